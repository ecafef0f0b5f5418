/*
 *     exchange ─▶ watch ─▶ STARTED ─▶ 101 ─▶ websocket
 *                   └─▶ FAILED: an ordinary error
 *
 *     hub ─▶ messages, live ─┐
 *     sends ─▶ acks, errors ─┴─▶ websocket ─▶ client
 *     client ─▶ {"text":…} ─▶ sends, one at a time ─▶ service
 *
 * The handshake waits until the hub has looked at the chat: what is wrong with it is told as HTTP
 * has it, by a status and an Error. What happens to an open session is told over the WebSocket.
 *
 * What is shown is pulled from the hub, as long as less than PENDING_BYTES waits to be written. A
 * client that does not read is therefore a place in the chat and little else, until the server
 * closes it. Who sends faster than it reads the answers is not read from until it has read them.
 *
 * When the chat cannot be shown any longer, the client is told why, and the WebSocket is closed
 * with 4000 and the error's code.
 */
#include "clients/gateway/connect.h"

#include "clients/gateway/access.h"
#include "clients/gateway/gateway.h"
#include "clients/gateway/hub.h"
#include "clients/gateway/live_arguments.h"
#include "clients/gateway/live_text.h"
#include "clients/gateway/send_queue.h"
#include "clients/gateway/websocket.h"
#include "proto/codec.h"
#include "proto/jsonpb.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_BYTES ((size_t)64 * 1024)
#define CLOSE_CODES 4000
/* Of what a client sends. */
#define FIELDS "client_id, subject, text"

struct connection {
    struct exchange *exchange;   /* until the handshake is answered */
    struct websocket *websocket; /* from then on */
    struct hub_watcher *watcher; /* NULL: the chat cannot be shown any more */
    struct send_queue *sends;
    struct access_lease lease;
    bool paused; /* not read from */
};

/* ---- To the client ---- */

static void say(struct connection *connection, const char *text)
{
    struct shared_bytes *frame = websocket_frame(text, strlen(text));

    websocket_send(connection->websocket, frame);
    shared_bytes_drop(frame);
    if (websocket_pending(connection->websocket) < PENDING_BYTES)
        return;
    connection->paused = true;
    websocket_pause(connection->websocket);
}

static void say_error(struct connection *connection, const struct live_error *error)
{
    char *text = live_text_error_frame(error);

    say(connection, text);
    free(text);
}

static void say_live(struct connection *connection, uint64_t head_seq)
{
    char text[64];

    snprintf(text, sizeof text, "{\"live\":{\"head_seq\":%" PRIu64 "}}", head_seq);
    say(connection, text);
}

static void leave(struct connection *connection)
{
    if (connection->watcher != NULL)
        hub_leave(connection->watcher);
    connection->watcher = NULL;
}

/* Nobody will call any more. */
static void end(struct connection *connection)
{
    leave(connection);
    access_lease_end(&connection->lease);
    send_queue_close(connection->sends);
    free(connection);
}

/* Instead of a WebSocket. */
static void refuse_handshake(struct connection *connection, const struct hub_error *error)
{
    struct exchange *exchange = connection->exchange;

    exchange_fail(exchange, error->code, error->id, "%s", error->detail);
    end(connection);
}

static void give_up(struct connection *connection, const struct hub_error *error)
{
    char reason[100];

    say_error(connection,
              &(struct live_error){.code = error->code, .id = error->id, .detail = error->detail});
    snprintf(reason, sizeof reason, "%s", error->id);
    websocket_close(connection->websocket, CLOSE_CODES + error->code, reason);
    leave(connection);
}

/* The caller may follow the chat. -1 when nothing is left of the connection. */
static int open_websocket(struct connection *connection);

static void pump(void *data)
{
    struct connection *connection = data;
    struct hub_item item;

    while (connection->watcher != NULL &&
           (connection->websocket == NULL ||
            websocket_pending(connection->websocket) < PENDING_BYTES)) {
        switch (hub_take(connection->watcher, &item)) {
        case HUB_NOTHING:
            return;
        case HUB_STARTED:
            if (open_websocket(connection) != 0)
                return;
            break;
        case HUB_MESSAGE:
            websocket_send(connection->websocket, item.bytes);
            break;
        case HUB_LIVE:
            say_live(connection, item.head_seq);
            break;
        case HUB_FAILED:
            if (connection->websocket == NULL)
                refuse_handshake(connection, &item.error);
            else
                give_up(connection, &item.error);
            return;
        }
    }
}

/* The client has been told all that there was. */
static void on_drained(void *data)
{
    struct connection *connection = data;

    if (connection->paused)
        websocket_resume(connection->websocket);
    connection->paused = false;
    pump(connection);
}

/* ---- From the client ---- */

/* How the library's failures are told. */
static const struct {
    int status;
    int code;
    const char *id;
} failures[] = {
    {CHAT_ETIMEDOUT, 504, "gateway.Timeout"},    {CHAT_ECONNECT, 504, "gateway.Timeout"},
    {CHAT_ETOOLARGE, 413, "chat.Send.TooLarge"}, {CHAT_EPROTO, 502, "gateway.BadAnswer"},
    {CHAT_EDENIED, 502, "gateway.BrokerDenied"}, {CHAT_ECANCELED, 503, "gateway.Stopping"},
};

static void say_unanswered(struct connection *connection, const char *client_id,
                           const struct chat_call *call)
{
    struct live_error error = {.code = 500, .id = "gateway.Internal", .client_id = client_id};
    char detail[CHAT_ERROR_DETAIL_BYTES * 2];

    for (size_t i = 0; i < sizeof failures / sizeof failures[0]; i++) {
        if (failures[i].status == call->status) {
            error.code = failures[i].code;
            error.id = failures[i].id;
        }
    }
    snprintf(detail, sizeof detail, "%s: %s",
             call->maybe_done
                 ? "it may have been stored, send it again with the same client_id to find out"
                 : "it has not been stored, send it again",
             call->detail);
    error.detail = detail;
    say_error(connection, &error);
}

/* What became of a message that is not stored, as far as is known. */
static void say_not_sent(struct connection *connection, const char *client_id,
                         const struct chat_call *call)
{
    if (call->status != CHAT_EREFUSED)
        say_unanswered(connection, client_id, call);
    else
        say_error(connection, &(struct live_error){.code = call->code,
                                                   .id = call->error,
                                                   .detail = call->detail,
                                                   .client_id = client_id});
}

static void on_sent(void *data, const char *client_id, const struct chat_call *call)
{
    struct connection *connection = data;
    char *text;

    if (call->status != CHAT_OK) {
        say_not_sent(connection, client_id, call);
        return;
    }
    text = live_text_ack(call->result.sent.message->client_id, call->result.sent.message->seq,
                         call->result.sent.duplicate);
    say(connection, text);
    free(text);
}

/* `client_id` is NULL or "" when the message has none. */
static void refuse(struct connection *connection, const char *client_id,
                   const struct chat_error *error)
{
    char id[64];

    snprintf(id, sizeof id, "chat.Send.%s", chat_error_reason(error->reason));
    say_error(connection, &(struct live_error){.code = chat_error_code(error->reason),
                                               .id = id,
                                               .detail = error->detail,
                                               .client_id = client_id});
}

static int check_nul(const ProtobufCFieldDescriptor *field, struct chat_error *error)
{
    if (field == NULL)
        return 0;
    return chat_error_set(error,
                          strcmp(field->name, "text") == 0      ? CHAT_INVALID_TEXT
                          : strcmp(field->name, "subject") == 0 ? CHAT_INVALID_SUBJECT
                                                                : CHAT_INVALID_CLIENT_ID,
                          "%s holds a NUL (\\u0000), which no text may hold", field->name);
}

/* The chat and the user are those of the connection. */
static int check_fields(const Chat__SendRequest *request, struct chat_error *error)
{
    const char *field = request->chat_id[0] != '\0'   ? "chat_id"
                        : request->user_id[0] != '\0' ? "user_id"
                                                      : NULL;

    if (field == NULL)
        return 0;
    return chat_error_set(error, CHAT_MALFORMED,
                          "%s cannot be given: it is that of the connection; there are " FIELDS,
                          field);
}

static void push(struct connection *connection, const Chat__SendRequest *request)
{
    const struct send_queue_message message = {
        .client_id = request->client_id, .subject = request->subject, .text = request->text};
    struct chat_error error;
    int status = send_queue_push(connection->sends, &message);

    if (status == CHAT_OK)
        return;
    if (status == CHAT_ETOOLARGE)
        (void)chat_error_set(&error, CHAT_OVERLOADED,
                             "%d messages or %zu bytes of this connection wait to be stored: send "
                             "it again after their acks",
                             SEND_QUEUE_MESSAGES_MAX, SEND_QUEUE_BYTES_MAX);
    else
        (void)chat_error_set(&error, CHAT_INTERNAL, "%s", chat_strerror(status));
    refuse(connection, request->client_id, &error);
}

/* A WebSocket is no way around the limits of requests. */
static bool may_send(struct connection *connection, const Chat__SendRequest *request)
{
    char detail[128];

    if (access_lease_take(&connection->lease, detail, sizeof detail) == 0)
        return true;
    say_error(connection, &(struct live_error){.code = 429,
                                               .id = "gateway.TooManyRequests",
                                               .detail = detail,
                                               .client_id = request->client_id});
    return false;
}

static struct arena *scratch(void)
{
    static struct arena arena;

    if (arena.limit_bytes == 0)
        arena_init(&arena, CODEC_ARENA_BYTES);
    return &arena;
}

/* Of an object that does not decode: the message that it was meant to be, as far as that can be
 * seen, so that its sender knows which one failed; and which of its fields there are not. */
static void refuse_undecoded(struct connection *connection, const char *text, size_t size,
                             struct chat_error *error)
{
    static const char *const known[] = {"client_id", "clientId", "subject", "text"};
    json_t *object = json_loadb(text, size, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    const json_t *client_id = json_object_get(object, "client_id");
    const char *name;
    json_t *value;

    if (client_id == NULL)
        client_id = json_object_get(object, "clientId");
    json_object_foreach(object, name, value)
    {
        bool is_known = false;
        for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
            is_known = is_known || strcmp(name, known[i]) == 0;
        if (!is_known) {
            (void)chat_error_set(error, CHAT_MALFORMED,
                                 "there is no field %.64s; there are " FIELDS, name);
            break;
        }
    }
    refuse(connection, json_string_value(client_id), error);
    json_decref(object);
}

static void on_message(void *data, const char *text, size_t size)
{
    struct connection *connection = data;
    struct arena *arena = scratch();
    const ProtobufCFieldDescriptor *nul_field;
    ProtobufCMessage *decoded = NULL;
    Chat__SendRequest *request;
    struct chat_error error;

    if (jsonpb_decode(text, size, &chat__send_request__descriptor, arena, &decoded, &nul_field,
                      &error) != 0) {
        refuse_undecoded(connection, text, size, &error);
    } else {
        request = (Chat__SendRequest *)(void *)decoded;
        if (check_nul(nul_field, &error) != 0 || check_fields(request, &error) != 0)
            refuse(connection, request->client_id, &error);
        else if (may_send(connection, request))
            push(connection, request);
    }
    arena_reset(arena);
}

/* ---- Beginning and end ---- */

static void on_closed(void *data)
{
    end(data);
}

static int open_websocket(struct connection *connection)
{
    static const struct hub_error stopping = {503, "gateway.Stopping",
                                              "the gateway is stopping; connect again"};
    struct exchange *exchange = connection->exchange;

    if (exchange_gateway(exchange)->draining) {
        refuse_handshake(connection, &stopping);
        return -1;
    }
    connection->exchange = NULL;
    connection->websocket = websocket_accept(
        exchange,
        &(struct websocket_handlers){
            .data = connection, .message = on_message, .drained = on_drained, .closed = on_closed});
    if (connection->websocket != NULL)
        return 0;
    end(connection);
    return -1;
}

/* The client left before it had an answer. */
static void on_gone(void *data)
{
    end(data);
}

static void on_revoked(void *data)
{
    static const struct hub_error revoked = {401, "gateway.Unauthorized",
                                             "the token does not count any more"};
    struct connection *connection = data;

    if (connection->websocket == NULL) {
        refuse_handshake(connection, &revoked);
        return;
    }
    websocket_close(connection->websocket, WEBSOCKET_POLICY, revoked.detail);
    leave(connection);
}

static int start(struct connection *connection, const struct live_arguments *arguments)
{
    const struct identity *identity = exchange_identity(connection->exchange);
    struct gateway *gateway = exchange_gateway(connection->exchange);
    const struct send_queue_options sends = {.client = gateway->client,
                                             .namespace_name = identity->namespace_name,
                                             .acting_user = identity->user,
                                             .chat_id = arguments->chat_id,
                                             .user_id = arguments->user_id,
                                             .timeout_ms = gateway->settings->timeout_ms,
                                             .data = connection,
                                             .done = on_sent};
    const struct hub_watch_options watch = {.method = "Connect",
                                            .namespace_name = identity->namespace_name,
                                            .chat_id = arguments->chat_id,
                                            .acting_user = identity->user,
                                            .from_seq = arguments->from_seq,
                                            .form = SHARED_FRAME,
                                            .data = connection,
                                            .ready = pump};

    connection->sends = send_queue_create(&sends);
    if (connection->sends == NULL)
        return -1;
    if (hub_watch(gateway->hub, &connection->watcher, &watch) == CHAT_OK)
        return 0;
    send_queue_close(connection->sends);
    return -1;
}

void connect_handle(struct exchange *exchange)
{
    struct connection *connection;
    struct live_arguments arguments;

    if (live_arguments_read(exchange, "Connect", &arguments) != 0)
        return;
    connection = calloc(1, sizeof *connection);
    if (connection == NULL)
        abort();
    connection->lease.data = connection;
    connection->lease.revoked = on_revoked;
    if (access_lease_begin(&connection->lease, exchange) != 0) {
        free(connection);
        return;
    }
    connection->exchange = exchange;
    if (start(connection, &arguments) != 0)
        abort();
    exchange_on_gone(exchange, on_gone, connection);
    pump(connection);
}
