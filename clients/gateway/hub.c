/*
 *     clients ─▶ watchers ─┬─▶ pages of history, each watcher its own   (hub_watcher.c)
 *                          └─▶ channels, one follow for each chat       (hub_channel.c)
 *
 * This file holds the two together: options, the time that passes, errors in words, beginning and
 * end. One timer lets go of old messages and of chats that nobody watches any more; it runs only
 * while there are any.
 *
 * Closing: all watchers have left, of whom some wait for the end of a call; the follows close; when
 * all of it is gone, so is the hub.
 */
#include "clients/gateway/hub_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_MS_MIN 10
#define SWEEP_MS_MAX 1000

static const struct hub_source library = {
    .history = chat_history,
    .cancel = chat_cancel,
    .follow = chat_follow_start,
    .follow_error = chat_follow_error,
    .unfollow = chat_follow_close,
};

static const struct hub_options defaults = {
    .source = &library,
    .linger_ms = 5000,
    .recent_ms = 10000,
    .recent_bytes = (size_t)32 * 1024 * 1024,
    .page_messages = 200,
    .page_bytes = (size_t)32 * 1024 * 1024,
    .page_requests = 32,
    .start_timeout_ms = 10000,
};

uint64_t hub_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- Errors ---- */

struct hub_failure *hub_failure_make(int code, const char *id, const char *detail)
{
    struct hub_failure *failure = calloc(1, sizeof *failure);

    if (failure == NULL)
        return NULL;
    failure->code = code;
    snprintf(failure->id, sizeof failure->id, "%s", id);
    snprintf(failure->detail, sizeof failure->detail, "%s", detail);
    return failure;
}

struct hub_failure *hub_failure_refuse(const char *method, int code, const char *reason,
                                       const char *detail)
{
    char id[HUB_ID_BYTES];

    snprintf(id, sizeof id, "chat.%s.%s", method, reason);
    return hub_failure_make(code, id, detail);
}

/* A follow that is refused had been shown the chat before. */
struct hub_failure *hub_failure_of(int status, const char *detail)
{
    switch (status) {
    case CHAT_ETIMEDOUT:
        return hub_failure_make(504, "gateway.Timeout", detail);
    case CHAT_EREFUSED:
    case CHAT_ELOST:
        return hub_failure_make(410, "gateway.Lost", detail);
    case CHAT_EDENIED:
        return hub_failure_make(502, "gateway.BrokerDenied", detail);
    case CHAT_EPROTO:
        return hub_failure_make(502, "gateway.BadAnswer", detail);
    case CHAT_ECANCELED:
        return hub_failure_make(503, "gateway.Stopping", "the gateway is stopping; connect again");
    default:
        return hub_failure_make(500, "gateway.Internal", detail);
    }
}

/* ---- What must go after a while ---- */

static void on_sweep(uv_timer_t *timer)
{
    struct hub *hub = timer->data;
    uint64_t now_ms = hub_now_ms();
    struct hub_recent *recent;
    struct hub_channel *channel;

    while ((recent = TAILQ_FIRST(&hub->recent)) != NULL &&
           now_ms - recent->at_ms >= hub->options.recent_ms)
        hub_recent_drop(hub);
    while ((channel = TAILQ_FIRST(&hub->idle)) != NULL &&
           now_ms - channel->idle_since_ms >= hub->options.linger_ms)
        hub_channel_close(channel);
    if (TAILQ_EMPTY(&hub->recent) && TAILQ_EMPTY(&hub->idle))
        uv_timer_stop(timer);
}

void hub_need_sweep(struct hub *hub)
{
    uint64_t shortest_ms = hub->options.linger_ms < hub->options.recent_ms ? hub->options.linger_ms
                                                                           : hub->options.recent_ms;
    uint64_t period_ms = shortest_ms / 4;

    if (period_ms < SWEEP_MS_MIN)
        period_ms = SWEEP_MS_MIN;
    if (period_ms > SWEEP_MS_MAX)
        period_ms = SWEEP_MS_MAX;
    if (!hub->closing && !uv_is_active((uv_handle_t *)&hub->sweep))
        uv_timer_start(&hub->sweep, on_sweep, period_ms, period_ms);
}

/* ---- Beginning and end ---- */

static void fill_in_defaults(struct hub_options *options)
{
#define FILL_IN(field) options->field = options->field == 0 ? defaults.field : options->field
    FILL_IN(source);
    FILL_IN(linger_ms);
    FILL_IN(recent_ms);
    FILL_IN(recent_bytes);
    FILL_IN(page_messages);
    FILL_IN(page_bytes);
    FILL_IN(page_requests);
    FILL_IN(start_timeout_ms);
#undef FILL_IN
}

int hub_create(struct hub **result, uv_loop_t *loop, struct chat_client *client,
               const struct hub_options *options)
{
    struct hub *hub = calloc(1, sizeof *hub);

    if (hub == NULL)
        return CHAT_ENOMEM;
    hub->loop = loop;
    hub->client = client;
    hub->options = *options;
    fill_in_defaults(&hub->options);
    TAILQ_INIT(&hub->idle);
    TAILQ_INIT(&hub->recent);
    TAILQ_INIT(&hub->queue);
    TAILQ_INIT(&hub->pages);
    if (uv_timer_init(loop, &hub->sweep) != 0) {
        free(hub);
        return CHAT_ESYSTEM;
    }
    hub->sweep.data = hub;
    *result = hub;
    return CHAT_OK;
}

void hub_part_gone(struct hub *hub)
{
    void (*closed)(void *data) = hub->closed;
    void *data = hub->closed_data;

    if (!hub->closing || !hub->timer_closed || hub->channel_count > 0 || hub->watcher_count > 0)
        return;
    jsonpb_buffer_free(&hub->scratch);
    free(hub);
    if (closed != NULL)
        closed(data);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct hub *hub = handle->data;

    hub->timer_closed = true;
    hub_part_gone(hub);
}

void hub_close(struct hub *hub, void (*closed)(void *data), void *data)
{
    hub->closing = true;
    hub->closed = closed;
    hub->closed_data = data;
    while (!TAILQ_EMPTY(&hub->idle))
        hub_channel_close(TAILQ_FIRST(&hub->idle));
    uv_close((uv_handle_t *)&hub->sweep, on_timer_closed);
}

void hub_stats(const struct hub *hub, struct hub_stats *stats)
{
    *stats = hub->stats;
    stats->watchers = hub->watcher_count;
    stats->chats = hub->channel_count;
}
