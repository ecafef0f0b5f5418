/*
 *     exchange ─▶ watch ─▶ STARTED ─▶ stream: retry, id ─▶ messages, live, comments ─▶ …
 *                   └─▶ FAILED: an ordinary error          FAILED: event failed, the end ◀─┘
 *
 * The exchange waits until the hub has looked at the chat, so that what is wrong with it is told
 * as HTTP has it. After that there is a stream, which is written to as long as less than
 * PENDING_BYTES wait.
 *
 * A client resumes from the last id that it was given. Therefore ids come before any message, too:
 * with the first line and with live. Who was cut off before anything was said resumes all the same
 * from where it began.
 */
#include "clients/gateway/events.h"

#include "clients/gateway/access.h"
#include "clients/gateway/gateway.h"
#include "clients/gateway/hub.h"
#include "clients/gateway/live_arguments.h"
#include "clients/gateway/live_text.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_BYTES ((size_t)64 * 1024)
#define RETRY_MS 2000

struct events {
    struct exchange *exchange;  /* until there is a stream */
    struct http_stream *stream; /* from then on; NULL: gone */
    struct hub_watcher *watcher;
    uint64_t from_seq; /* 0: from now */
    uint64_t comment_ms;
    uv_timer_t comment;
    struct access_lease lease;
};

/* ---- To the client ---- */

static void say(struct events *events, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void say(struct events *events, const char *format, ...)
{
    va_list arguments, again;
    struct shared_bytes *bytes;
    int size;

    va_start(arguments, format);
    va_copy(again, arguments);
    size = vsnprintf(NULL, 0, format, arguments);
    bytes = shared_bytes_make((size_t)size + 1);
    (void)vsnprintf((char *)bytes->data, (size_t)size + 1, format, again);
    bytes->size = (size_t)size;
    va_end(again);
    va_end(arguments);
    http_stream_write(events->stream, bytes);
    shared_bytes_drop(bytes);
}

static void on_timer_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static void leave(struct events *events)
{
    if (events->watcher != NULL)
        hub_leave(events->watcher);
    events->watcher = NULL;
    uv_timer_stop(&events->comment);
}

/* Nobody will call any more. */
static void end(struct events *events)
{
    leave(events);
    access_lease_end(&events->lease);
    uv_close((uv_handle_t *)&events->comment, on_timer_closed);
}

/* ---- The stream ---- */

static void pump(void *data);

static void on_stream_closed(void *data)
{
    struct events *events = data;

    events->stream = NULL;
    end(events);
}

static void on_comment(uv_timer_t *timer)
{
    struct events *events = timer->data;

    if (http_stream_pending(events->stream) == 0)
        say(events, ":\n\n");
}

static void start_stream(struct events *events, uint64_t head_seq)
{
    const struct http_stream_handlers handlers = {
        .data = events, .drained = pump, .closed = on_stream_closed};
    uint64_t seen_seq = events->from_seq > 0 ? events->from_seq - 1 : head_seq;

    exchange_add_field(events->exchange, "X-Accel-Buffering",
                       "no"); /* nginx passes it on at once */
    events->stream = exchange_start_stream(events->exchange, "text/event-stream", &handlers);
    events->exchange = NULL;
    say(events, "retry: %d\nid: %" PRIu64 "\n\n", RETRY_MS, seen_seq);
    uv_timer_start(&events->comment, on_comment, events->comment_ms, events->comment_ms);
}

/* EventSource has events named "error" of its own. */
static void fail(struct events *events, const struct hub_error *error)
{
    struct live_error live = {.code = error->code, .id = error->id, .detail = error->detail};
    char *text;

    if (events->stream == NULL) {
        struct exchange *exchange = events->exchange;
        events->exchange = NULL;
        exchange_fail(exchange, error->code, error->id, "%s", error->detail);
        end(events);
        return;
    }
    text = live_text_error(&live);
    say(events, "event: failed\ndata: %s\n\n", text);
    free(text);
    http_stream_end(events->stream);
    leave(events);
}

static bool has_room(const struct events *events)
{
    return events->stream == NULL || http_stream_pending(events->stream) < PENDING_BYTES;
}

static void pump(void *data)
{
    static const struct hub_error stopping = {503, "gateway.Stopping",
                                              "the gateway is stopping; connect again"};
    struct events *events = data;
    struct hub_item item;

    while (events->watcher != NULL && has_room(events)) {
        switch (hub_take(events->watcher, &item)) {
        case HUB_NOTHING:
            return;
        case HUB_STARTED:
            if (exchange_gateway(events->exchange)->draining) {
                fail(events, &stopping);
                return;
            }
            start_stream(events, item.head_seq);
            break;
        case HUB_MESSAGE:
            http_stream_write(events->stream, item.bytes);
            break;
        case HUB_LIVE:
            say(events, "id: %" PRIu64 "\nevent: live\ndata: {\"head_seq\":%" PRIu64 "}\n\n",
                item.head_seq, item.head_seq);
            break;
        case HUB_FAILED:
            fail(events, &item.error);
            return;
        }
    }
}

/* ---- Beginning ---- */

static void on_revoked(void *data)
{
    fail(data, &(struct hub_error){.code = 401,
                                   .id = "gateway.Unauthorized",
                                   .detail = "the token does not count any more"});
}

static void on_gone(void *data)
{
    struct events *events = data;

    events->exchange = NULL;
    end(events);
}

/* What the client has had counts more than where it wanted to begin. Returns 0, or -1 when refused.
 */
static int read_last_id(struct exchange *exchange, struct live_arguments *arguments)
{
    const char *last_id = exchange_header(exchange, "last-event-id");
    uint64_t seen_seq;

    if (last_id == NULL || last_id[0] == '\0')
        return 0;
    if (live_arguments_number(last_id, &seen_seq) != 0 || seen_seq == UINT64_MAX) {
        exchange_fail(exchange, 400, "chat.Events.Malformed",
                      "Last-Event-ID must be a number: the seq of the last message that was seen");
        return -1;
    }
    arguments->from_seq = seen_seq + 1;
    return 0;
}

void events_handle(struct exchange *exchange)
{
    const struct identity *identity = exchange_identity(exchange);
    struct gateway *gateway = exchange_gateway(exchange);
    struct live_arguments arguments;
    struct hub_watch_options watch;
    struct events *events;

    if (live_arguments_read(exchange, "Events", &arguments) != 0 ||
        read_last_id(exchange, &arguments) != 0)
        return;
    events = calloc(1, sizeof *events);
    if (events == NULL)
        abort();
    events->lease.data = events;
    events->lease.revoked = on_revoked;
    if (access_lease_begin(&events->lease, exchange) != 0) {
        free(events);
        return;
    }
    watch = (struct hub_watch_options){.method = "Events",
                                       .namespace_name = identity->namespace_name,
                                       .chat_id = arguments.chat_id,
                                       .acting_user = identity->user,
                                       .from_seq = arguments.from_seq,
                                       .form = SHARED_EVENT,
                                       .data = events,
                                       .ready = pump};
    events->from_seq = arguments.from_seq;
    events->exchange = exchange;
    /* A little more often than a WebSocket is pinged: 15 seconds for 20. */
    events->comment_ms = gateway->settings->ping_interval_ms * 3 / 4 + 1;
    uv_timer_init(gateway->loop, &events->comment);
    events->comment.data = events;
    if (hub_watch(gateway->hub, &events->watcher, &watch) != CHAT_OK)
        abort();
    exchange_on_gone(exchange, on_gone, events);
    pump(events);
}
