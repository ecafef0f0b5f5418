/*
 *     body ─▶ codec: decoded and checked as the service does ─▶ libchat ─▶ service
 *                                                                            │
 *     answer ◀── codec: the stored bytes as JSON ◀── reply, or an Error ◀────┘
 *
 * What is wrong with a request is found here, with the service's own code and so with its own
 * words, and costs the service nothing. Its limits are its own to know (they are options there):
 * here they are as wide as they can be.
 *
 * A client that leaves does not stop its call: what was sent is carried out. It is only not told.
 */
#include "clients/gateway/http_calls.h"

#include "base/uuid.h"
#include "clients/gateway/gateway.h"
#include "clients/gateway/message_json.h"
#include "clients/gateway/prefer.h"
#include "proto/check.h"
#include "proto/codec.h"
#include "proto/jsonpb.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USERS_MAX 100000
/* A page as JSON: at most 6 bytes for each of a stored one, which fits a broker's message. */
#define REPLY_BYTES_MAX ((size_t)512 * 1024 * 1024)
/* Of a buffer that is used again. */
#define KEPT_BYTES ((size_t)16 * 1024)

struct http_call {
    struct chat_call call;
    struct exchange *exchange; /* NULL: the client left */
    const char *method;        /* "Send" */
    bool minimal;              /* nothing but that it is done */
    /* Of a Send whose sender gave none; without it the sender could not repeat it. */
    char made_client_id[UUID_TEXT_BYTES + 1];
};

static const struct codec_limits limits = {.request_bytes = CODEC_REQUEST_BYTES_MAX,
                                           .text_bytes = CODEC_REQUEST_BYTES_MAX,
                                           .users = USERS_MAX};

/* For one request at a time, to be reset after it. */
static struct arena *scratch(void)
{
    static struct arena arena;

    if (arena.limit_bytes == 0)
        arena_init(&arena, REPLY_BYTES_MAX);
    return &arena;
}

/* ---- Answers ---- */

static void reply_json(struct exchange *exchange, const void *bytes, size_t size)
{
    exchange_reply(exchange, &(struct exchange_answer){.code = 200,
                                                       .content_type = "application/json",
                                                       .body = bytes,
                                                       .body_size = size});
}

static void fail_with(struct exchange *exchange, const char *method, const struct chat_error *error)
{
    char id[64];

    snprintf(id, sizeof id, "chat.%s.%s", method, chat_error_reason(error->reason));
    exchange_fail(exchange, chat_error_code(error->reason), id, "%s", error->detail);
}

/* What libchat could not get done. A Send without an answer may have been done all the same. */
static void fail_unanswered(struct http_call *call)
{
    const struct chat_call *c = &call->call;
    char again[128] = "; it is safe to ask again";
    char id[64];

    if (strcmp(call->method, "Send") == 0)
        snprintf(again, sizeof again, "; it is safe to send it again with %s%s",
                 call->made_client_id[0] == '\0' ? "the same client_id" : "the client_id ",
                 call->made_client_id);

    switch (c->status) {
    case CHAT_ETOOLARGE:
        snprintf(id, sizeof id, "chat.%s.TooLarge", call->method);
        exchange_fail(call->exchange, 413, id, "%s", c->detail);
        break;
    case CHAT_EPROTO:
        exchange_fail(call->exchange, 502, "gateway.BadAnswer", "%s%s", c->detail, again);
        break;
    case CHAT_EDENIED:
        exchange_fail(call->exchange, 502, "gateway.BrokerDenied", "%s", c->detail);
        break;
    case CHAT_ECANCELED:
        exchange_fail(call->exchange, 503, "gateway.Stopping", "the gateway stops%s", again);
        break;
    default:
        exchange_fail(call->exchange, 504, "gateway.Timeout", "%s%s", c->detail, again);
        break;
    }
}

static void fail_call(struct http_call *call)
{
    const struct chat_call *c = &call->call;

    if (c->status != CHAT_EREFUSED) {
        fail_unanswered(call);
        return;
    }
    exchange_fail(call->exchange, c->code, c->error, "%s", c->detail);
}

static int encode_history(const struct chat_call *call, struct arena *arena, const uint8_t **bytes,
                          size_t *size)
{
    size_t count = call->result.page.count;
    struct codec_record *records = arena_alloc(arena, (count + 1) * sizeof *records);

    if (records == NULL)
        return -1;
    for (size_t i = 0; i < count; i++)
        records[i] = (struct codec_record){.data = call->result.page.messages[i].bytes,
                                           .size = call->result.page.messages[i].bytes_size};
    return codec_encode_history(records, count, call->result.page.head_seq, call->result.page.more,
                                false, REPLY_BYTES_MAX / 2, CODEC_JSON, arena, bytes, size);
}

static char *append(char *out, const char *bytes, size_t size)
{
    memcpy(out, bytes, size);
    return out + size;
}

/* As codec_encode_send writes it, which would have to decode the message once more. */
static int encode_send(const struct chat_call *call, struct arena *arena, const uint8_t **bytes,
                       size_t *size)
{
    static const char head[] = "{\"message\":";
    static struct jsonpb_buffer message;
    const char *tail =
        call->result.sent.duplicate ? ",\"duplicate\":true}" : ",\"duplicate\":false}";
    char *out = NULL;

    if (message_json_print(call->result.sent.message, &message) == 0)
        out = arena_alloc(arena, sizeof head - 1 + message.size + strlen(tail));
    if (out != NULL) {
        *bytes = (const uint8_t *)out;
        out = append(append(out, head, sizeof head - 1), message.data, message.size);
        *size = (size_t)((const uint8_t *)append(out, tail, strlen(tail)) - *bytes);
    }
    if (message.capacity > KEPT_BYTES)
        jsonpb_buffer_free(&message);
    return out == NULL ? -1 : 0;
}

static int encode(const struct http_call *call, struct arena *arena, const uint8_t **bytes,
                  size_t *size)
{
    const struct chat_call *c = &call->call;

    switch (call->method[0]) {
    case 'N':
        return codec_encode_new(c->result.created.chat_id, c->result.created.created, CODEC_JSON,
                                arena, bytes, size);
    case 'S':
        return encode_send(c, arena, bytes, size);
    default:
        return encode_history(c, arena, bytes, size);
    }
}

static void answer(struct http_call *call)
{
    struct arena *arena = scratch();
    const uint8_t *bytes;
    size_t size;

    if (call->call.status != CHAT_OK) {
        fail_call(call);
    } else if (call->minimal) {
        exchange_add_field(call->exchange, "Preference-Applied", "return=minimal");
        reply_json(call->exchange, "{}", 2);
    } else if (encode(call, arena, &bytes, &size) != 0) {
        exchange_fail(call->exchange, 502, "gateway.BadAnswer",
                      "the service's answer cannot be shown as JSON");
    } else {
        reply_json(call->exchange, bytes, size);
    }
    arena_reset(arena);
}

static void on_answer(struct chat_call *c)
{
    struct http_call *call = c->data;

    if (call->exchange != NULL)
        answer(call);
    free(call);
}

static void on_gone(void *data)
{
    struct http_call *call = data;

    call->exchange = NULL;
}

/* ---- Calls ---- */

static struct http_call *make_call(struct exchange *exchange, const char *method)
{
    struct http_call *call = calloc(1, sizeof *call);

    if (call == NULL)
        abort();
    call->exchange = exchange;
    call->method = method;
    call->call.data = call;
    exchange_on_gone(exchange, on_gone, call);
    return call;
}

static struct chat_context context_of(const struct exchange *exchange)
{
    const struct identity *identity = exchange_identity(exchange);

    return (struct chat_context){.namespace_name = identity->namespace_name,
                                 .acting_user = identity->user,
                                 .timeout_ms = exchange_gateway(exchange)->settings->timeout_ms,
                                 .refusals_are_final = true};
}

/* The library did not take it: nothing was sent. */
static void check_started(struct http_call *call, int status)
{
    if (status == CHAT_OK)
        return;
    exchange_fail(call->exchange, 500, "gateway.Internal", "%s", chat_strerror(status));
    free(call);
}

void http_calls_new(struct exchange *exchange)
{
    struct arena *arena = scratch();
    Chat__NewRequest *request;
    struct chat_error error;
    size_t size;
    const char *body = exchange_body(exchange, &size);

    if (codec_decode_new((const uint8_t *)body, size, CODEC_JSON, &limits, arena, &request,
                         &error) != 0) {
        fail_with(exchange, "New", &error);
    } else {
        struct http_call *call = make_call(exchange, "New");
        const struct chat_new_options options = {
            .context = context_of(exchange),
            .user_ids = (const char *const *)request->user_ids,
            .user_count = request->n_user_ids,
        };
        check_started(
            call, chat_new(exchange_gateway(exchange)->client, &call->call, &options, on_answer));
    }
    arena_reset(arena);
}

static bool prefers_minimal(const struct exchange *exchange)
{
    const char *prefer = exchange_header(exchange, "prefer");

    return prefer != NULL && prefer_is_minimal(prefer);
}

/* The header Idempotency-Key is the client_id of a body that has none; in quotes, as its draft
 * standard has it, or without. */
static int take_key(const struct exchange *exchange, struct chat_send_options *options,
                    struct chat_error *error)
{
    const char *key = exchange_header(exchange, "idempotency-key");
    struct check_text text = {.what = "Idempotency-Key", .data = key};

    if (exchange_header_count(exchange, "idempotency-key") > 1)
        return chat_error_set(error, CHAT_INVALID_CLIENT_ID,
                              "Idempotency-Key is given twice: give it once, or none and a "
                              "client_id in the body");
    if (key == NULL || options->client_id[0] != '\0')
        return 0;
    text.size = strlen(key);
    if (text.size >= 2 && key[0] == '"' && key[text.size - 1] == '"') {
        text.size -= 2;
        text.data = arena_copy(scratch(), key + 1, text.size);
        if (text.data == NULL)
            return chat_error_set(error, CHAT_OVERLOADED, "out of memory for the request");
    }
    options->client_id = text.data;
    return check_id(&text, CHAT_INVALID_CLIENT_ID, error);
}

static const char *make_client_id(struct http_call *call)
{
    struct uuid uuid;

    uuid_make(&uuid);
    uuid_format(&uuid, call->made_client_id);
    return call->made_client_id;
}

void http_calls_send(struct exchange *exchange)
{
    struct arena *arena = scratch();
    const struct identity *identity = exchange_identity(exchange);
    Chat__SendRequest *request;
    struct chat_error error;
    struct chat_send_options options;
    size_t size;
    const char *body = exchange_body(exchange, &size);
    int result = codec_decode_send((const uint8_t *)body, size, CODEC_JSON, &limits,
                                   identity->user[0] == '\0' ? NULL : identity->user, arena,
                                   &request, &error);

    if (result == 0) {
        options = (struct chat_send_options){.context = context_of(exchange),
                                             .client_id = request->client_id,
                                             .chat_id = request->chat_id,
                                             .user_id = request->user_id,
                                             .subject = request->subject,
                                             .text = request->text};
        result = take_key(exchange, &options, &error);
    }
    if (result != 0) {
        fail_with(exchange, "Send", &error);
    } else {
        struct http_call *call = make_call(exchange, "Send");
        call->minimal = prefers_minimal(exchange);
        if (options.client_id[0] == '\0')
            options.client_id = make_client_id(call);
        check_started(
            call, chat_send(exchange_gateway(exchange)->client, &call->call, &options, on_answer));
    }
    arena_reset(arena);
}

static void start_history(struct exchange *exchange, const Chat__HistoryRequest *request)
{
    struct http_call *call = make_call(exchange, "History");
    const struct chat_history_options options = {
        .context = context_of(exchange),
        .chat_id = request->chat_id,
        .from_seq = request->from_seq,
        .before_seq = request->before_seq,
        .limit = request->limit,
    };

    check_started(
        call, chat_history(exchange_gateway(exchange)->client, &call->call, &options, on_answer));
}

/* ---- Arguments instead of a body ---- */

struct argument_reader {
    struct json_t *object;
    const char *unknown;
};

/* Numbers may be strings in the JSON mapping, so that all arguments can be. */
static void see_argument(void *data, const char *name, const char *value)
{
    static const char *const known[] = {"chat_id", "from_seq", "before_seq", "limit"};
    struct argument_reader *reader = data;

    if (strcmp(name, "access_token") == 0 || strcmp(name, "namespace") == 0)
        return;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i]) == 0) {
            json_object_set_new(reader->object, name, json_string(value));
            return;
        }
    }
    reader->unknown = name;
}

/* The arguments as the body that they stand for; NULL when it has been refused. To be freed. */
static char *body_of_arguments(struct exchange *exchange)
{
    struct argument_reader reader = {.object = json_object()};
    char *body = NULL;

    exchange_each_argument(exchange, see_argument, &reader);
    if (reader.unknown == NULL)
        body = json_dumps(reader.object, JSON_COMPACT);
    else
        exchange_fail(exchange, 400, "chat.History.Malformed",
                      "there is no argument %s; there are chat_id, from_seq, before_seq, limit, "
                      "namespace",
                      reader.unknown);
    json_decref(reader.object);
    return body;
}

void http_calls_history(struct exchange *exchange)
{
    struct arena *arena = scratch();
    Chat__HistoryRequest *request;
    struct chat_error error;
    size_t size;
    const char *body = exchange_body(exchange, &size);
    char *made = NULL;

    if (strcmp(exchange_method(exchange), "GET") == 0) {
        made = body_of_arguments(exchange);
        if (made == NULL)
            return;
        body = made;
        size = strlen(made);
    }
    if (codec_decode_history((const uint8_t *)body, size, CODEC_JSON, &limits, arena, &request,
                             &error) != 0)
        fail_with(exchange, "History", &error);
    else
        start_history(exchange, request);
    free(made);
    arena_reset(arena);
}

void http_calls_healthz(struct exchange *exchange)
{
    static const char body[] = "{\"status\":\"ok\"}";

    reply_json(exchange, body, sizeof body - 1);
}
