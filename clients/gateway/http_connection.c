/*
 *     IDLE ──▶ HEAD ──▶ BODY ──▶ HANDLING ──(answer)──▶ IDLE, or LINGERING ──▶ CLOSED
 *                │        │          ├──▶ STREAM ───────────────┘
 *                └────────┴─(refused)┘──▶ WEBSOCKET ────────────┘
 *
 * Bytes are gathered in `input` until a request is there in one piece, and stay where they are
 * while it is handled, since handlers have pointers into it. What comes meanwhile waits in `ahead`:
 * requests on a connection are answered one after the other. After a request that is not as it must
 * be nothing on the connection can be trusted, so that its refusal is the last answer.
 *
 * The last answer is followed by the end of our output, and the client is given LINGER_MS to end
 * its own. Closing at once would throw away what it has sent, and with it, in TCP, the answer it
 * has not read yet.
 */
#include "clients/gateway/http_connection.h"

#include "clients/gateway/cors.h"
#include "clients/gateway/web_files.h"
#include "clients/gateway/websocket.h"
#include <stdlib.h>
#include <string.h>

#define LINGER_MS 2000
/* For a request that is on its way when the gateway begins to stop. */
#define LAST_REQUEST_MS 250
/* Of requests that wait for the one before them; past it reading stops. */
#define AHEAD_BYTES_MAX ((size_t)64 * 1024)
/* Of answers that are not read; past it the next request waits until they are. */
#define UNREAD_BYTES_MAX ((size_t)64 * 1024)
#define KEPT_INPUT_BYTES 4096

/* ---- Buffers ---- */

void byte_buffer_append(struct byte_buffer *buffer, const char *bytes, size_t size)
{
    if (size == 0)
        return; /* there may be no memory to copy nothing to */
    if (buffer->capacity - buffer->size < size) {
        size_t capacity = buffer->capacity == 0 ? 1024 : buffer->capacity;
        while (capacity - buffer->size < size)
            capacity *= 2;
        buffer->data = realloc(buffer->data, capacity);
        if (buffer->data == NULL)
            abort();
        buffer->capacity = capacity;
    }
    memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
}

void byte_buffer_drop(struct byte_buffer *buffer, size_t size)
{
    buffer->size -= size;
    if (buffer->size > 0)
        memmove(buffer->data, buffer->data + size, buffer->size);
    else if (buffer->capacity > KEPT_INPUT_BYTES)
        byte_buffer_free(buffer);
}

void byte_buffer_free(struct byte_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct byte_buffer){0};
}

/* ---- The connection ---- */

static const struct gateway_settings *settings_of(const struct http_connection *connection)
{
    return http_server_gateway(connection->server)->settings;
}

void http_connection_set_deadline(struct http_connection *connection, uint64_t after_ms)
{
    connection->deadline_ms =
        after_ms == 0 ? 0 : uv_now(connection->transport.pool->loop) + after_ms;
}

void http_connection_close(struct http_connection *connection)
{
    transport_close(&connection->transport);
}

void http_connection_finish(struct http_connection *connection)
{
    connection->state = CONNECTION_LINGERING;
    http_connection_set_deadline(connection, 0);
    if (connection->paused)
        transport_resume(&connection->transport);
    connection->paused = false;
    byte_buffer_free(&connection->input);
    byte_buffer_free(&connection->ahead);
    transport_finish(&connection->transport);
}

static void drop_exchange(struct http_connection *connection)
{
    if (connection->exchange == NULL)
        return;
    exchange_clear(connection->exchange);
    free(connection->exchange);
    connection->exchange = NULL;
}

static struct exchange *make_exchange(struct http_connection *connection)
{
    struct exchange *exchange = connection->exchange;

    if (exchange == NULL) {
        exchange = malloc(sizeof *exchange);
        if (exchange == NULL)
            abort();
        connection->exchange = exchange;
        exchange->connection = connection;
    }
    memset((char *)exchange + offsetof(struct exchange, identity), 0,
           sizeof *exchange - offsetof(struct exchange, identity) - sizeof exchange->head);
    exchange->head = (struct http_head){0};
    exchange->address = connection->address;
    exchange->started_ns = uv_hrtime();
    return exchange;
}

/* ---- A request ---- */

/* The pieces become strings: what is overwritten are the delimiters behind them. */
static void terminate(struct exchange *exchange)
{
    struct http_head *head = &exchange->head;
    char *buffer = exchange->connection->input.data;

    buffer[head->method.start + head->method.size] = '\0';
    buffer[head->path.start + head->path.size] = '\0';
    buffer[head->query.start + head->query.size] = '\0';
    for (size_t i = 0; i < head->field_count; i++) {
        buffer[head->fields[i].name.start + head->fields[i].name.size] = '\0';
        buffer[head->fields[i].value.start + head->fields[i].value.size] = '\0';
    }
}

/* What is too large is told before any of it is read. */
static int check_body(struct exchange *exchange)
{
    const struct http_head *head = &exchange->head;
    uint64_t most = settings_of(exchange->connection)->max_body_bytes;
    const char *encoding = exchange_header(exchange, "content-encoding");

    if (head->body == HTTP_BODY_LENGTH && head->content_length > most) {
        exchange_fail(exchange, 413, "gateway.TooLarge",
                      "the body has %llu bytes; at most %llu are taken",
                      (unsigned long long)head->content_length, (unsigned long long)most);
        return -1;
    }
    if (head->body != HTTP_BODY_NONE && encoding != NULL && strcasecmp(encoding, "identity") != 0) {
        exchange_add_field(exchange, "Accept-Encoding", "identity");
        exchange_fail(exchange, 415, "gateway.UnsupportedEncoding",
                      "the body must come as it is, without Content-Encoding");
        return -1;
    }
    return 0;
}

static void fail_without_route(struct exchange *exchange, const char *allow)
{
    if (allow == NULL) {
        exchange_fail(exchange, 404, "gateway.NotFound",
                      "there is nothing at this path; the calls are POST /chat/New, /chat/Send and "
                      "/chat/History");
        return;
    }
    exchange_add_field(exchange, "Allow", allow);
    exchange_fail(exchange, 405, "gateway.MethodNotAllowed", "this path has only: %s", allow);
}

/* Finds who is to answer. 0, or -1 when it has been answered already. */
static int choose_route(struct exchange *exchange)
{
    const char *method = exchange_method(exchange);
    const char *path = exchange_path(exchange);
    const char *allow = NULL;
    const struct web_file *file;

    exchange->route = routes_find(method, path, &allow);
    if (exchange->route != NULL)
        return 0;
    file = allow == NULL ? web_files_find(path) : NULL;
    if (file != NULL)
        allow = "GET, HEAD, OPTIONS";
    if (strcmp(path, "*") == 0)
        allow = "GET, HEAD, POST, OPTIONS";
    if (strcmp(method, "OPTIONS") == 0 && allow != NULL)
        cors_answer_options(exchange, allow);
    else if (file != NULL && strcmp(method, "GET") == 0)
        web_files_reply(file, exchange);
    else
        fail_without_route(exchange, allow);
    return -1;
}

/* 0, or -1 when it has been refused. */
static int admit(struct exchange *exchange)
{
    struct gateway *gateway = http_server_gateway(exchange->connection->server);
    const struct guard *guard = &gateway->guard;
    unsigned flags = exchange->route->flags;

    if ((flags & ROUTE_WEBSOCKET) != 0 && websocket_check(exchange) != 0)
        return -1;
    if ((flags & ROUTE_GUARDED) != 0) {
        int (*identify)(struct exchange *, struct identity *) =
            guard->identify == NULL ? guard_anybody : guard->identify;
        if (identify(exchange, &exchange->identity) != 0)
            return -1;
    }
    if ((flags & (ROUTE_GUARDED | ROUTE_LIMITED)) != 0 && guard->admit != NULL)
        return guard->admit(exchange, &exchange->identity);
    return 0;
}

static void begin_body(struct exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct http_head *head = &exchange->head;

    exchange->body_start = head->size;
    connection->state = CONNECTION_BODY;
    http_connection_set_deadline(connection, settings_of(connection)->body_timeout_ms);
    if (head->expects_continue && head->body != HTTP_BODY_NONE &&
        connection->input.size == head->size) {
        static const char answer[] = "HTTP/1.1 100 Continue\r\n\r\n";
        struct shared_bytes *bytes = shared_bytes_make(sizeof answer - 1);
        memcpy(bytes->data, answer, bytes->size);
        transport_write(&connection->transport, bytes);
    }
}

/* A body that is there already does not stand in the way of the next request, whatever becomes of
 * this one. */
static void note_whole_body(struct exchange *exchange)
{
    size_t there = exchange->connection->input.size - exchange->head.size;

    if (exchange->head.body != HTTP_BODY_LENGTH || there < exchange->head.content_length)
        return;
    exchange->end = exchange->head.size + (size_t)exchange->head.content_length;
    exchange->body_done = true;
}

/* The head is there: everything that can be said without the body is said now. */
static void begin_exchange(struct exchange *exchange)
{
    struct http_head *head = &exchange->head;

    terminate(exchange);
    exchange->end = head->size;
    exchange->is_head = http_piece_is(exchange->connection->input.data, head->method, "HEAD");
    exchange->body_done = head->body == HTTP_BODY_NONE;
    note_whole_body(exchange);
    cors_note_origin(exchange);
    exchange_find_address(exchange);
    if (check_body(exchange) != 0 || choose_route(exchange) != 0 ||
        exchange_read_query(exchange) != 0 || admit(exchange) != 0)
        return;
    begin_body(exchange);
}

/* A request that is none: there is nobody to ask and no way on. */
static void refuse_head(struct exchange *exchange)
{
    struct http_connection *connection = exchange->connection;

    http_server_tally(connection->server)->malformed++;
    exchange->head.keep_alive = false;
    exchange->head.method.size = 0;
    exchange_fail(exchange, exchange->head.code, "gateway.Malformed", "%s", exchange->head.problem);
}

/* ---- The body ---- */

static void refuse_chunks(struct exchange *exchange, int result)
{
    struct http_connection *connection = exchange->connection;

    exchange->head.keep_alive = false;
    if (result == -2) {
        exchange_fail(exchange, 413, "gateway.TooLarge", "the body has more than %llu bytes",
                      (unsigned long long)settings_of(connection)->max_body_bytes);
        return;
    }
    http_server_tally(connection->server)->malformed++;
    exchange_fail(exchange, 400, "gateway.Malformed",
                  "the body's chunks are not: size in hexadecimal, CR LF, data, CR LF, …, 0");
}

/* Takes the framing out of the body as it comes, so that it ends in one piece behind the head. */
static bool read_chunks(struct exchange *exchange)
{
    struct http_connection *connection = exchange->connection;
    struct byte_buffer *input = &connection->input;
    size_t body_end = exchange->body_start + exchange->body_size;
    const char *raw = input->data + body_end;
    size_t raw_size = input->size - body_end;
    size_t room = (size_t)settings_of(connection)->max_body_bytes - exchange->body_size;
    size_t added;
    int result =
        http_chunks_read(&exchange->chunks, &raw, &raw_size, input->data + body_end, room, &added);

    if (result < 0) {
        refuse_chunks(exchange, result);
        return false;
    }
    exchange->body_size += added;
    body_end += added;
    memmove(input->data + body_end, raw, raw_size);
    input->size = body_end + raw_size;
    exchange->end = body_end;
    return result == 1;
}

static bool read_body(struct exchange *exchange)
{
    struct http_connection *connection = exchange->connection;

    switch (exchange->head.body) {
    case HTTP_BODY_NONE:
        break;
    case HTTP_BODY_LENGTH:
        if (connection->input.size - exchange->body_start < exchange->head.content_length)
            return false;
        exchange->body_size = (size_t)exchange->head.content_length;
        exchange->end = exchange->body_start + exchange->body_size;
        break;
    case HTTP_BODY_CHUNKED:
        if (!read_chunks(exchange))
            return false;
        break;
    }
    exchange->body_done = true;
    return true;
}

static void handle(struct exchange *exchange)
{
    struct http_connection *connection = exchange->connection;

    connection->state = CONNECTION_HANDLING;
    http_connection_set_deadline(connection, 0);
    exchange->route->handle(exchange);
}

/* ---- One after the other ---- */

static void read_head(struct http_connection *connection)
{
    const struct gateway_settings *settings = settings_of(connection);
    const struct http_head_limits limits = {.bytes = (size_t)settings->max_head_bytes,
                                            .fields = (size_t)settings->max_head_fields};
    struct exchange *exchange;

    if (connection->state == CONNECTION_IDLE) {
        make_exchange(connection);
        connection->state = CONNECTION_HEAD;
        http_connection_set_deadline(connection, settings->head_timeout_ms);
    }
    exchange = connection->exchange;
    switch (
        http_head_read(&exchange->head, &limits, connection->input.data, connection->input.size)) {
    case HTTP_HEAD_MORE:
        break;
    case HTTP_HEAD_DONE:
        begin_exchange(exchange);
        break;
    case HTTP_HEAD_BAD:
        refuse_head(exchange);
        break;
    }
}

/* A next request is there, and the answers before it are not read: one is enough to keep. */
static bool waits_for_reader(const struct http_connection *connection)
{
    return connection->state == CONNECTION_IDLE && connection->input.size > 0 &&
           connection->transport.pending > UNREAD_BYTES_MAX;
}

/* Goes on as far as the input allows, and the reader of the output. */
static void advance(struct http_connection *connection)
{
    enum connection_state before;
    size_t size;

    if (connection->advancing || waits_for_reader(connection))
        return;
    connection->advancing = true;
    do {
        before = connection->state;
        size = connection->input.size;
        if ((connection->state == CONNECTION_IDLE || connection->state == CONNECTION_HEAD) &&
            size > 0)
            read_head(connection);
        else if (connection->state == CONNECTION_BODY && read_body(connection->exchange))
            handle(connection->exchange);
    } while (!waits_for_reader(connection) &&
             (connection->state != before ||
              (connection->state == CONNECTION_IDLE && connection->input.size > 0)));
    connection->advancing = false;
    if (connection->state == CONNECTION_STREAM || connection->state == CONNECTION_WEBSOCKET)
        http_connection_trim(connection);
    if (connection->input_ended && connection->state < CONNECTION_HANDLING &&
        !waits_for_reader(connection))
        http_connection_finish(connection);
}

void http_connection_next(struct http_connection *connection)
{
    byte_buffer_drop(&connection->input, connection->exchange->end);
    exchange_clear(connection->exchange);
    if (connection->ahead.size > 0) {
        byte_buffer_append(&connection->input, connection->ahead.data, connection->ahead.size);
        byte_buffer_free(&connection->ahead);
    }
    if (connection->paused) {
        connection->paused = false;
        transport_resume(&connection->transport);
    }
    connection->state = CONNECTION_IDLE;
    http_connection_set_deadline(connection, settings_of(connection)->idle_timeout_ms);
    advance(connection);
}

void http_connection_trim(struct http_connection *connection)
{
    struct byte_buffer early = connection->input;
    size_t end = connection->exchange == NULL ? 0 : connection->exchange->end;

    if (connection->state == CONNECTION_IDLE && early.size > 0)
        return;
    drop_exchange(connection);
    connection->input = (struct byte_buffer){0};
    if (connection->paused)
        transport_resume(&connection->transport);
    connection->paused = false;
    /* A client may send its first frames right behind the handshake. */
    if (connection->websocket != NULL && early.size > end)
        websocket_read(connection->websocket, early.data + end, early.size - end);
    if (connection->websocket != NULL && connection->ahead.size > 0)
        websocket_read(connection->websocket, connection->ahead.data, connection->ahead.size);
    byte_buffer_free(&connection->ahead);
    byte_buffer_free(&early);
    /* Who listens to one of these has left when its output ends, and may have done so before. */
    if (connection->input_ended &&
        (connection->state == CONNECTION_STREAM || connection->state == CONNECTION_WEBSOCKET))
        http_connection_close(connection);
}

/* A handler calls this, and its exchange is over; the memory goes when the handler has returned. */
void http_connection_become(struct http_connection *connection, enum connection_state state)
{
    http_connection_set_deadline(connection, 0);
    exchange_clear(connection->exchange);
    connection->state = state;
    if (state == CONNECTION_STREAM) {
        connection->is_stream = true;
        http_server_tally(connection->server)->streams++;
    }
}

/* ---- What the transport tells ---- */

static void on_read(void *data, const char *bytes, size_t size)
{
    struct http_connection *connection = data;

    switch (connection->state) {
    case CONNECTION_IDLE:
    case CONNECTION_HEAD:
    case CONNECTION_BODY:
        byte_buffer_append(&connection->input, bytes, size);
        advance(connection);
        if (waits_for_reader(connection) && connection->input.size > AHEAD_BYTES_MAX) {
            connection->paused = true;
            transport_pause(&connection->transport);
        }
        break;
    case CONNECTION_HANDLING:
        byte_buffer_append(&connection->ahead, bytes, size);
        if (connection->ahead.size > AHEAD_BYTES_MAX) {
            connection->paused = true;
            transport_pause(&connection->transport);
        }
        break;
    case CONNECTION_WEBSOCKET:
        if (connection->exchange != NULL)
            http_connection_trim(connection);
        if (connection->state == CONNECTION_WEBSOCKET)
            websocket_read(connection->websocket, bytes, size);
        break;
    case CONNECTION_STREAM:
    case CONNECTION_LINGERING:
    case CONNECTION_CLOSED:
        break;
    }
}

/* A client that has ended its output may still wait for its answer; one that listens to a stream
 * or a WebSocket has left. */
static void on_ended(void *data, int error)
{
    struct http_connection *connection = data;

    connection->input_ended = true;
    if (error != 0 || connection->state == CONNECTION_STREAM ||
        connection->state == CONNECTION_WEBSOCKET || connection->state == CONNECTION_LINGERING)
        http_connection_close(connection);
    else if (connection->state < CONNECTION_HANDLING && !waits_for_reader(connection))
        http_connection_finish(connection);
}

static void on_drained(void *data)
{
    struct http_connection *connection = data;

    if (connection->exchange != NULL &&
        (connection->state == CONNECTION_STREAM || connection->state == CONNECTION_WEBSOCKET))
        http_connection_trim(connection);
    if (connection->state == CONNECTION_IDLE && connection->paused) {
        connection->paused = false;
        transport_resume(&connection->transport);
    }
    if (connection->state == CONNECTION_IDLE && connection->input.size > 0)
        advance(connection);
    else if (connection->state == CONNECTION_WEBSOCKET)
        websocket_drained(connection->websocket);
    else if (connection->state == CONNECTION_STREAM && connection->stream.handlers.drained != NULL)
        connection->stream.handlers.drained(connection->stream.handlers.data);
    else if (connection->state == CONNECTION_LINGERING && connection->input_ended)
        http_connection_close(connection);
    else if (connection->state == CONNECTION_LINGERING && connection->deadline_ms == 0)
        http_connection_set_deadline(connection, LINGER_MS);
}

static void on_closed(void *data)
{
    struct http_connection *connection = data;
    struct http_server *server = connection->server;

    if (connection->state == CONNECTION_HANDLING)
        exchange_lost(connection->exchange);
    if (connection->is_stream) {
        http_server_tally(server)->streams--;
        connection->stream.handlers.closed(connection->stream.handlers.data);
    }
    if (connection->websocket != NULL)
        websocket_ended(connection->websocket);
    connection->state = CONNECTION_CLOSED;
    drop_exchange(connection);
    byte_buffer_free(&connection->input);
    byte_buffer_free(&connection->ahead);
    http_server_remove(server, connection);
    free(connection);
}

static const struct transport_handlers handlers = {
    .read = on_read, .ended = on_ended, .drained = on_drained, .closed = on_closed};

/* ---- What the server tells ---- */

/* An IPv4 client of a socket for both kinds is shown as what it is. */
static void note_address(struct http_connection *connection)
{
    struct sockaddr_storage address = {0};
    int size = sizeof address;

    if (uv_tcp_getpeername(&connection->transport.tcp, (struct sockaddr *)&address, &size) != 0)
        return;
    if (address.ss_family == AF_INET6)
        uv_ip6_name((struct sockaddr_in6 *)&address, connection->address,
                    sizeof connection->address);
    else
        uv_ip4_name((struct sockaddr_in *)&address, connection->address,
                    sizeof connection->address);
    if (strncmp(connection->address, "::ffff:", 7) == 0 && strchr(connection->address, '.') != NULL)
        memmove(connection->address, connection->address + 7, strlen(connection->address + 7) + 1);
}

/* Too many: says so, where that can be said at once, and leaves. */
static void turn_away(struct http_connection *connection, const char *refusal)
{
    if (!connection->is_tls) {
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)refusal, (unsigned)strlen(refusal));
        (void)uv_try_write((uv_stream_t *)&connection->transport.tcp, &buf, 1);
    }
    http_connection_close(connection);
}

void http_connection_accept(struct http_server *server, uv_stream_t *listener)
{
    struct http_connection *connection = calloc(1, sizeof *connection);
    struct tls_session *tls = NULL;
    const char *refusal = NULL;
    bool has_tls = http_server_tls(server, &tls) == 0;

    if (connection == NULL)
        abort();
    connection->server = server;
    connection->is_tls = tls != NULL;
    if (transport_accept(&connection->transport, http_server_pool(server), listener, tls, &handlers,
                         connection) != 0) {
        (void)http_server_add(server, connection, &refusal);
        return;
    }
    note_address(connection);
    http_connection_set_deadline(connection, settings_of(connection)->head_timeout_ms);
    if (http_server_add(server, connection, &refusal) != 0)
        turn_away(connection, refusal);
    else if (!has_tls)
        http_connection_close(connection);
}

void http_connection_timed_out(struct http_connection *connection)
{
    struct http_server_counts *tally = http_server_tally(connection->server);

    switch (connection->state) {
    case CONNECTION_HEAD:
        connection->exchange->head.method.size = 0; /* not all there is to be shown */
        /* fallthrough */
    case CONNECTION_BODY:
        tally->timed_out++;
        connection->exchange->head.keep_alive = false;
        exchange_fail(connection->exchange, 408, "gateway.TooSlow",
                      "the request did not come as a whole in time");
        break;
    default:
        http_connection_close(connection);
        break;
    }
}

void http_connection_drain(struct http_connection *connection)
{
    if (connection->state == CONNECTION_IDLE)
        http_connection_set_deadline(connection, LAST_REQUEST_MS);
    else if (connection->state == CONNECTION_STREAM)
        http_connection_finish(connection);
    else if (connection->state == CONNECTION_WEBSOCKET)
        websocket_close(connection->websocket, WEBSOCKET_GOING_AWAY, "the gateway stops");
}
