/*
 * Answers are put together as one piece of bytes, head and body, which is one allocation and one
 * write for each. What a client sent gets into an answer only as an Error's detail, inside JSON.
 */
#include "clients/gateway/http_connection.h"

#include "base/log.h"
#include "chat.pb-c.h"
#include "clients/gateway/websocket.h"
#include "proto/error.h"
#include "proto/jsonpb.h"
#include "proto/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a head without its content type and the fields of its own: more than there can be. */
#define HEAD_BYTES_MAX 512
#define LOGGED_BYTES_MAX 200
#define RETRY_AFTER "1" /* seconds */

/* What goes with answers for programs. Pages have a policy of their own (web_files.c). */
static const char api_fields[] =
    "Cache-Control: no-store\r\n"
    "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n";
static const char common_fields[] = "X-Content-Type-Options: nosniff\r\n"
                                    "Referrer-Policy: no-referrer\r\n";

/* ---- The request ---- */

struct gateway *exchange_gateway(const struct exchange *exchange)
{
    return http_server_gateway(exchange->connection->server);
}

static const char *text_at(const struct exchange *exchange, struct http_piece piece)
{
    return exchange->connection->input.data + piece.start;
}

const char *exchange_method(const struct exchange *exchange)
{
    return exchange->is_head ? "GET" : text_at(exchange, exchange->head.method);
}

const char *exchange_path(const struct exchange *exchange)
{
    return text_at(exchange, exchange->head.path);
}

const char *exchange_argument(const struct exchange *exchange, const char *name)
{
    for (size_t i = 0; i < exchange->argument_count; i++) {
        if (strcmp(exchange->arguments[i].name, name) == 0)
            return exchange->arguments[i].value;
    }
    return NULL;
}

void exchange_each_argument(const struct exchange *exchange,
                            void (*see)(void *data, const char *name, const char *value),
                            void *data)
{
    for (size_t i = 0; i < exchange->argument_count; i++)
        see(data, exchange->arguments[i].name, exchange->arguments[i].value);
}

/* All values of a repeated field, which the exchange keeps; the first one alone when there is no
 * place to keep them, which takes four repeated fields that somebody asks for. */
static const char *join_values(struct exchange *exchange, size_t first, const char *name)
{
    const struct http_head *head = &exchange->head;
    struct byte_buffer joined = {0};

    for (size_t i = first; i < head->field_count; i++) {
        const struct http_field *field = &head->fields[i];
        if (!http_piece_is(exchange->connection->input.data, field->name, name))
            continue;
        if (joined.size > 0)
            byte_buffer_append(&joined, ", ", 2);
        byte_buffer_append(&joined, text_at(exchange, field->value), field->value.size);
    }
    byte_buffer_append(&joined, "", 1);
    for (size_t i = 0; i < sizeof exchange->joined / sizeof exchange->joined[0]; i++) {
        if (exchange->joined[i] == NULL) {
            exchange->joined[i] = joined.data;
            return joined.data;
        }
        /* Another field may have the same values, and somebody has been given this piece. */
        if (strcmp(exchange->joined[i], joined.data) == 0) {
            byte_buffer_free(&joined);
            return exchange->joined[i];
        }
    }
    byte_buffer_free(&joined);
    return text_at(exchange, head->fields[first].value);
}

/* How often there is that field, and the place of the first one. */
static size_t find_header(const struct exchange *exchange, const char *name, size_t *first)
{
    const struct http_head *head = &exchange->head;
    const char *input = exchange->connection->input.data;
    size_t count = 0;

    for (size_t i = 0; i < head->field_count; i++) {
        if (http_piece_is(input, head->fields[i].name, name) && count++ == 0)
            *first = i;
    }
    return count;
}

size_t exchange_header_count(const struct exchange *exchange, const char *name)
{
    size_t first;

    return find_header(exchange, name, &first);
}

const char *exchange_header(const struct exchange *exchange, const char *name)
{
    size_t first = 0;
    size_t count = find_header(exchange, name, &first);

    if (count == 0)
        return NULL;
    if (count == 1)
        return text_at(exchange, exchange->head.fields[first].value);
    return join_values(exchange->connection->exchange, first, name);
}

const char *exchange_body(const struct exchange *exchange, size_t *size)
{
    *size = exchange->body_size;
    return exchange->body_size == 0 ? NULL
                                    : exchange->connection->input.data + exchange->body_start;
}

const char *exchange_address(const struct exchange *exchange)
{
    return exchange->address;
}

bool exchange_is_secure(const struct exchange *exchange)
{
    const char *scheme = exchange->address == exchange->connection->address
                             ? NULL
                             : exchange_header(exchange, "x-forwarded-proto");

    return exchange->connection->is_tls || (scheme != NULL && strcasecmp(scheme, "https") == 0);
}

const struct identity *exchange_identity(const struct exchange *exchange)
{
    return &exchange->identity;
}

/* ---- Where it comes from ---- */

static bool is_trusted(const struct option_list *proxies, const char *address)
{
    for (size_t i = 0; i < proxies->count; i++) {
        if (strcmp(proxies->values[i], address) == 0)
            return true;
    }
    return false;
}

/* Each proxy adds the address that it saw to the end of the list: only what the last one added is
 * true, and only if it is one of ours. */
void exchange_find_address(struct exchange *exchange)
{
    const struct option_list *proxies = &exchange_gateway(exchange)->settings->trusted_proxies;
    const char *list;
    const char *last;
    struct sockaddr_in6 six;
    struct sockaddr_in four;

    exchange->address = exchange->connection->address;
    if (proxies->count == 0 || !is_trusted(proxies, exchange->connection->address))
        return;
    list = exchange_header(exchange, "x-forwarded-for");
    if (list == NULL)
        return;
    last = strrchr(list, ',');
    last = last == NULL ? list : last + 1;
    last += strspn(last, " \t");
    if (strlen(last) >= sizeof exchange->forwarded_address ||
        (uv_ip4_addr(last, 0, &four) != 0 && uv_ip6_addr(last, 0, &six) != 0))
        return;
    snprintf(exchange->forwarded_address, sizeof exchange->forwarded_address, "%s", last);
    exchange->address = exchange->forwarded_address;
}

/* ---- The query ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* In place. 0, or -1 when it does not decode to UTF-8 without NUL. */
static int decode(char *text)
{
    char *out = text;

    for (const char *in = text; *in != '\0'; in++) {
        int high;
        int low;
        if (*in != '%') {
            *out++ = *in == '+' ? ' ' : *in;
            continue;
        }
        high = hex_digit(in[1]);
        low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || (high == 0 && low == 0))
            return -1;
        *out++ = (char)(high << 4 | low);
        in += 2;
    }
    *out = '\0';
    return utf8_valid_length(text, (size_t)(out - text)) == (size_t)(out - text) ? 0 : -1;
}

static int add_argument(struct exchange *exchange, char *text)
{
    char *equals = strchr(text, '=');
    char *value = equals == NULL ? text + strlen(text) : equals + 1;

    if (equals != NULL)
        *equals = '\0';
    if (decode(text) != 0 || decode(value) != 0) {
        exchange_fail(exchange, 400, "gateway.MalformedQuery",
                      "an argument of the query is not percent-encoded UTF-8");
        return -1;
    }
    if (exchange_argument(exchange, text) != NULL) {
        exchange_fail(exchange, 400, "gateway.MalformedQuery",
                      "the query has the argument %s twice; give it once", text);
        return -1;
    }
    if (exchange->argument_count == EXCHANGE_ARGUMENTS_MAX) {
        exchange_fail(exchange, 400, "gateway.MalformedQuery",
                      "the query has more than %d arguments", EXCHANGE_ARGUMENTS_MAX);
        return -1;
    }
    exchange->arguments[exchange->argument_count++] =
        (struct exchange_argument){.name = text, .value = value};
    return 0;
}

int exchange_read_query(struct exchange *exchange)
{
    char *rest;
    char *text;

    if (exchange->head.query.size == 0)
        return 0;
    exchange->query = strdup(text_at(exchange, exchange->head.query));
    if (exchange->query == NULL)
        abort();
    rest = exchange->query;
    while ((text = strsep(&rest, "&")) != NULL) {
        if (text[0] != '\0' && add_argument(exchange, text) != 0)
            return -1;
    }
    return 0;
}

/* ---- The answer's head ---- */

static const struct {
    int code;
    const char *text;
} statuses[] = {
    {101, "Switching Protocols"},
    {200, "OK"},
    {204, "No Content"},
    {304, "Not Modified"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {417, "Expectation Failed"},
    {426, "Upgrade Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *exchange_status_text(int code)
{
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
        if (statuses[i].code == code)
            return statuses[i].text;
    }
    return "Unknown Status";
}

void exchange_add_field(struct exchange *exchange, const char *name, const char *value)
{
    if (!http_is_token(name, strlen(name)) || strpbrk(value, "\r\n") != NULL)
        abort();
    byte_buffer_append(&exchange->fields, name, strlen(name));
    byte_buffer_append(&exchange->fields, ": ", 2);
    byte_buffer_append(&exchange->fields, value, strlen(value));
    byte_buffer_append(&exchange->fields, "\r\n", 2);
}

static char *put(char *out, const char *text)
{
    return stpcpy(out, text);
}

static char *put_number(char *out, size_t number)
{
    char digits[20];
    size_t first = sizeof digits;

    do {
        digits[--first] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    memcpy(out, digits + first, sizeof digits - first);
    return out + sizeof digits - first;
}

struct shared_bytes *exchange_make_head(struct exchange *exchange, int code,
                                        const char *content_type, size_t length, bool close,
                                        size_t room)
{
    size_t type_size = content_type == NULL ? 0 : strlen(content_type);
    struct shared_bytes *bytes =
        shared_bytes_make(HEAD_BYTES_MAX + type_size + exchange->fields.size + room);
    char *out = put((char *)bytes->data, "HTTP/1.1 ");

    out = put(put_number(out, (size_t)code), " ");
    out = put(put(out, exchange_status_text(code)), "\r\nDate: ");
    out = put(put(out, http_server_date(exchange->connection->server)), "\r\n");
    out = put(out, common_fields);
    if (!exchange->is_page)
        out = put(out, api_fields);
    if (content_type != NULL)
        out = put(put(put(out, "Content-Type: "), content_type), "\r\n");
    if (length != SIZE_MAX)
        out = put(put_number(put(out, "Content-Length: "), length), "\r\n");
    if (close)
        out = put(out, "Connection: close\r\n");
    else if (exchange->head.minor == 0)
        out = put(out, "Connection: keep-alive\r\n");
    if (exchange->fields.size > 0)
        memcpy(out, exchange->fields.data, exchange->fields.size);
    out = put(out + exchange->fields.size, "\r\n");
    bytes->size = (size_t)(out - (char *)bytes->data);
    return bytes;
}

/* ---- What became of it ---- */

/* As much of what the client wrote as a line of the log should hold. */
static struct log_field log_some(const char *name, const char *text)
{
    return log_bytes(name, text, strnlen(text, LOGGED_BYTES_MAX));
}

/* The path without the query, where secrets may be. */
static void log_exchange(struct exchange *exchange, int code, uint64_t took_us, size_t sent_bytes)
{
    bool has_head = exchange->head.method.size > 0;
    const char *agent = has_head ? exchange_header(exchange, "user-agent") : NULL;

    LOG_INFO(
        "http.request", log_text("address", exchange->address),
        log_text("method", has_head ? text_at(exchange, exchange->head.method) : ""),
        log_some("path", has_head ? exchange_path(exchange) : ""), log_i64("code", code),
        log_u64("took_us", took_us), log_u64("received_bytes", exchange->body_size),
        log_u64("sent_bytes", sent_bytes), log_text("namespace", exchange->identity.namespace_name),
        log_text("user", exchange->identity.user), log_some("agent", agent == NULL ? "" : agent));
}

void exchange_note_outcome(struct exchange *exchange, int code, size_t sent_bytes)
{
    struct gateway *gateway = exchange_gateway(exchange);
    uint64_t took_us = (uv_hrtime() - exchange->started_ns) / 1000;

    if (gateway->observe != NULL) {
        const struct exchange_outcome outcome = {.route = exchange->route,
                                                 .code = code,
                                                 .took_us = took_us,
                                                 .received_bytes = exchange->body_size,
                                                 .sent_bytes = sent_bytes};
        gateway->observe(gateway, &outcome);
    }
    if (gateway->settings->access_log)
        log_exchange(exchange, code, took_us, sent_bytes);
}

void exchange_on_gone(struct exchange *exchange, void (*gone)(void *data), void *data)
{
    exchange->gone = gone;
    exchange->gone_data = data;
}

void exchange_lost(struct exchange *exchange)
{
    exchange_note_outcome(exchange, 0, 0);
    if (exchange->gone != NULL)
        exchange->gone(exchange->gone_data);
}

void exchange_clear(struct exchange *exchange)
{
    free(exchange->query);
    byte_buffer_free(&exchange->fields);
    for (size_t i = 0; i < sizeof exchange->joined / sizeof exchange->joined[0]; i++) {
        free(exchange->joined[i]);
        exchange->joined[i] = NULL;
    }
    exchange->query = NULL;
    exchange->argument_count = 0;
}

/* ---- Answers ---- */

void exchange_reply(struct exchange *exchange, const struct exchange_answer *answer)
{
    struct http_connection *connection = exchange->connection;
    bool close =
        !exchange->head.keep_alive || !exchange->body_done || exchange_gateway(exchange)->draining;
    bool has_length = answer->code != 204 && answer->code != 304;
    size_t size = exchange->is_head || !has_length ? 0 : answer->body_size;
    struct shared_bytes *bytes =
        exchange_make_head(exchange, answer->code, answer->content_type,
                           has_length ? answer->body_size : SIZE_MAX, close, size);

    if (size > 0)
        memcpy(bytes->data + bytes->size, answer->body, size);
    bytes->size += size;
    exchange_note_outcome(exchange, answer->code, size);
    transport_write(&connection->transport, bytes);
    if (close)
        http_connection_finish(connection);
    else
        http_connection_next(connection);
}

void exchange_fail(struct exchange *exchange, int code, const char *id, const char *format, ...)
{
    struct jsonpb_buffer text = {0};
    struct chat_error detail;
    Chat__Error error;
    char formatted[1024];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(formatted, sizeof formatted, format, arguments);
    va_end(arguments);
    (void)chat_error_set(&detail, CHAT_INTERNAL, "%s", formatted);
    chat__error__init(&error);
    error.id = (char *)(uintptr_t)id;
    error.code = code;
    error.detail = detail.detail;
    error.status = (char *)(uintptr_t)exchange_status_text(code);
    if (jsonpb_print(&error.base, &text) != 0)
        abort();
    if (code == 503 || code == 504 || code == 507)
        exchange_add_field(exchange, "Retry-After", RETRY_AFTER);
    exchange_reply(exchange, &(struct exchange_answer){.code = code,
                                                       .content_type = "application/json",
                                                       .body = text.data,
                                                       .body_size = text.size});
    jsonpb_buffer_free(&text);
}

/* ---- Streams ---- */

struct http_stream *exchange_start_stream(struct exchange *exchange, const char *content_type,
                                          const struct http_stream_handlers *handlers)
{
    struct http_connection *connection = exchange->connection;

    exchange->head.keep_alive = false;
    transport_write(&connection->transport,
                    exchange_make_head(exchange, 200, content_type, SIZE_MAX, true, 0));
    exchange_note_outcome(exchange, 200, 0);
    connection->stream.handlers = *handlers;
    http_connection_become(connection, CONNECTION_STREAM);
    if (exchange->is_head)
        http_connection_finish(connection);
    return &connection->stream;
}

static struct http_connection *connection_of(const struct http_stream *stream)
{
    return (struct http_connection *)((uintptr_t)stream - offsetof(struct http_connection, stream));
}

void http_stream_write(struct http_stream *stream, struct shared_bytes *bytes)
{
    struct http_connection *connection = connection_of(stream);

    if (connection->state == CONNECTION_STREAM)
        transport_write(&connection->transport, shared_bytes_hold(bytes));
}

size_t http_stream_pending(const struct http_stream *stream)
{
    return connection_of(stream)->transport.pending;
}

void http_stream_end(struct http_stream *stream)
{
    struct http_connection *connection = connection_of(stream);

    if (connection->state == CONNECTION_STREAM)
        http_connection_finish(connection);
}
