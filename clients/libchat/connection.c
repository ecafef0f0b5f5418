/*
 *     timer ─▶ link opens ──▶ up: subscribe, tell ──▶ link ended ──▶ down: tell
 *       ▲           │ failed                                           │
 *       └───────────┴──────────────────────────────────────────────────┘   after a pause
 *
 * Subscriptions are synchronous ones of the library, which have no thread: its reading from
 * the socket fills their queues, on the loop, and right after it they are emptied. That looks at
 * all of them, which is cheap (about 20 ns each) as long as there are not tens of
 * thousands. They have no pending limits, since nothing stays in them.
 *
 * A receiver may subscribe and unsubscribe as it likes: what is being emptied is not freed, and the
 * walk over the list takes the removal of its next element into account.
 */
#include "clients/libchat/connection.h"

#include "clients/libchat/address.h"
#include "clients/libchat/backoff.h"
#include "clients/libchat/connection_options.h"
#include "clients/libchat/nats_link.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Messages that are destroyed together: the library has a thread for that, and wakes it each time
 * it sleeps. */
#define BURST_MESSAGES 256
#define URLS_TEXT_BYTES 256
/* After a connection that was there: soon, but not all clients at once. */
#define AGAIN_SPREAD_MS 250

struct connection {
    uv_loop_t *loop;
    struct connection_handlers handlers;
    struct connection_options *options;
    struct nats_link *link; /* NULL between attempts */
    uv_timer_t retry;
    unsigned failures;
    bool up;
    struct connection_subscription *subscriptions;
    struct connection_subscription *next; /* of the walk in receive */
    struct connection_subscription *receiving;
    char urls[URLS_TEXT_BYTES];
    bool closing;
    bool retry_closed;
    void (*closed)(void *data);
    void *closed_data;
};

static void try_to_connect(struct connection *connection);

/* ---- Receiving ---- */

/* Hands on up to BURST_MESSAGES; false when there are no more. */
static bool drain_burst(struct connection *connection, struct connection_subscription *from)
{
    natsMsg *burst[BURST_MESSAGES];
    size_t count = 0;
    uint64_t queued = 0;
    natsStatus status;

    while (count < BURST_MESSAGES && connection->receiving == from && from->subscription != NULL) {
        if (queued == 0 &&
            (natsSubscription_QueuedMsgs(from->subscription, &queued) != NATS_OK || queued == 0))
            break;
        queued--;
        status = natsSubscription_NextMsg(&burst[count], from->subscription, 0);
        if (status == NATS_OK)
            from->receive(from->data, burst[count++]);
        else if (status != NATS_NO_RESPONDERS)
            break;
        else if (from->no_responders != NULL)
            from->no_responders(from->data);
    }
    for (size_t i = 0; i < count; i++)
        natsMsg_Destroy(burst[i]);
    return count == BURST_MESSAGES && connection->receiving == from;
}

static void on_readable(void *data)
{
    struct connection *connection = data;

    for (struct connection_subscription *s = connection->subscriptions; s != NULL;
         s = connection->next) {
        connection->next = s->next;
        connection->receiving = s;
        while (drain_burst(connection, s))
            ;
    }
    connection->receiving = NULL;
    connection->next = NULL;
}

/* ---- Subscriptions ---- */

/* A failure is one of memory; the owner then hears nothing, and finds that out by asking. */
static void subscribe_now(struct connection *connection, struct connection_subscription *s)
{
    natsConnection *nats = connection->link == NULL ? NULL : nats_link_connection(connection->link);
    natsStatus status = NATS_CONNECTION_CLOSED;

    if (nats != NULL)
        status = s->queue_group == NULL
                     ? natsConnection_SubscribeSync(&s->subscription, nats, s->subject)
                     : natsConnection_QueueSubscribeSync(&s->subscription, nats, s->subject,
                                                         s->queue_group);
    if (status == NATS_OK)
        (void)natsSubscription_SetPendingLimits(s->subscription, -1, -1);
    else
        s->subscription = NULL;
}

static void unsubscribe_now(struct connection_subscription *s)
{
    natsSubscription_Destroy(s->subscription);
    s->subscription = NULL;
}

void connection_subscribe(struct connection *connection, struct connection_subscription *s)
{
    s->previous = NULL;
    s->next = connection->subscriptions;
    if (s->next != NULL)
        s->next->previous = s;
    connection->subscriptions = s;
    if (connection->up)
        subscribe_now(connection, s);
}

void connection_unsubscribe(struct connection *connection, struct connection_subscription *s)
{
    if (s->previous == NULL && connection->subscriptions != s)
        return;
    if (connection->next == s)
        connection->next = s->next;
    if (connection->receiving == s)
        connection->receiving = NULL;
    if (s->previous != NULL)
        s->previous->next = s->next;
    else
        connection->subscriptions = s->next;
    if (s->next != NULL)
        s->next->previous = s->previous;
    s->next = NULL;
    s->previous = NULL;
    unsubscribe_now(s);
}

/* ---- Connecting ---- */

static int status_of(natsStatus status)
{
    switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
    case NATS_SECURE_CONNECTION_REQUIRED:
    case NATS_SECURE_CONNECTION_WANTED:
    case NATS_SSL_ERROR:
        return CHAT_EDENIED;
    default:
        return CHAT_ECONNECT;
    }
}

static void describe(const struct connection *connection, natsStatus status, const char *reason,
                     char *text, size_t size)
{
    const char *urls = connection->urls;

    switch (status) {
    case NATS_OK:
        snprintf(text, size, "the connection to the broker at %s was lost", urls);
        break;
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
        snprintf(text, size, "the broker at %s does not let us in (%s)", urls, reason);
        break;
    case NATS_SECURE_CONNECTION_REQUIRED:
    case NATS_SECURE_CONNECTION_WANTED:
    case NATS_SSL_ERROR:
        snprintf(text, size, "no TLS connection with the broker at %s (%s)", urls, reason);
        break;
    default:
        snprintf(text, size, "the broker at %s cannot be reached (%s)", urls, reason);
        break;
    }
}

static void on_retry(uv_timer_t *timer)
{
    try_to_connect(timer->data);
}

static void retry_later(struct connection *connection, bool was_up)
{
    uint64_t pause_ms;

    if (was_up) {
        connection->failures = 0;
        pause_ms = backoff_random() % AGAIN_SPREAD_MS;
    } else {
        pause_ms = backoff_ms(++connection->failures, backoff_random());
    }
    uv_timer_start(&connection->retry, on_retry, pause_ms, 0);
}

static void on_opened(void *data)
{
    struct connection *connection = data;

    if (connection->closing)
        return;
    connection->up = true;
    for (struct connection_subscription *s = connection->subscriptions; s != NULL; s = s->next)
        subscribe_now(connection, s);
    connection->handlers.up(connection->handlers.data);
}

static void on_denied(void *data, const char *text)
{
    struct connection *connection = data;

    if (!connection->closing)
        connection->handlers.denied(connection->handlers.data, text);
}

static void finish_close(struct connection *connection)
{
    void (*closed)(void *data) = connection->closed;
    void *data = connection->closed_data;

    if (connection->link != NULL || !connection->retry_closed)
        return;
    connection_options_release(connection->options);
    free(connection);
    closed(data);
}

static void on_ended(void *data, natsStatus status, const char *reason)
{
    struct connection *connection = data;
    char text[CONNECTION_TEXT_BYTES];
    bool was_up = connection->up;

    connection->link = NULL;
    connection->up = false;
    for (struct connection_subscription *s = connection->subscriptions; s != NULL; s = s->next)
        unsubscribe_now(s);
    if (connection->closing) {
        finish_close(connection);
        return;
    }
    retry_later(connection, was_up);
    describe(connection, status, reason, text, sizeof text);
    connection->handlers.down(connection->handlers.data, status_of(status), text);
}

static void try_to_connect(struct connection *connection)
{
    const struct nats_link_handlers handlers = {.data = connection,
                                                .opened = on_opened,
                                                .readable = on_readable,
                                                .denied = on_denied,
                                                .ended = on_ended};

    if (nats_link_open(&connection->link, connection->loop, connection->options, &handlers) != 0) {
        connection->link = NULL;
        retry_later(connection, false);
    }
}

int connection_start(struct connection **result, uv_loop_t *loop,
                     const struct chat_options *options, const struct connection_handlers *handlers)
{
    struct connection *connection = calloc(1, sizeof *connection);
    int status;

    if (connection == NULL)
        return CHAT_ENOMEM;
    *connection = (struct connection){.loop = loop, .handlers = *handlers};
    status = connection_options_create(&connection->options, options);
    if (status != CHAT_OK) {
        free(connection);
        return status;
    }
    address_describe(options->urls, options->url_count, connection->urls, sizeof connection->urls);
    uv_timer_init(loop, &connection->retry);
    connection->retry.data = connection;
    uv_timer_start(&connection->retry, on_retry, 0, 0);
    *result = connection;
    return CHAT_OK;
}

/* ---- Publishing ---- */

bool connection_is_up(const struct connection *connection)
{
    return connection->up;
}

const char *connection_urls(const struct connection *connection)
{
    return connection->urls;
}

static natsStatus publish_with_headers(natsConnection *nats, const char *subject, const char *reply,
                                       const char *acting_user, const char *traceparent,
                                       const uint8_t *bytes, size_t size)
{
    natsMsg *message = NULL;
    natsStatus status = natsMsg_Create(&message, subject, reply, (const char *)bytes, (int)size);

    if (status == NATS_OK && acting_user != NULL)
        status = natsMsgHeader_Set(message, "Chat-User", acting_user);
    if (status == NATS_OK && traceparent != NULL)
        status = natsMsgHeader_Set(message, "traceparent", traceparent);
    if (status == NATS_OK)
        status = natsConnection_PublishMsg(nats, message);
    natsMsg_Destroy(message);
    return status;
}

natsStatus connection_publish(struct connection *connection, const char *subject, const char *reply,
                              const char *acting_user, const char *traceparent,
                              const uint8_t *bytes, size_t size)
{
    natsConnection *nats = connection->link == NULL ? NULL : nats_link_connection(connection->link);

    natsStatus status;

    if (nats == NULL)
        return NATS_CONNECTION_CLOSED;
    if (acting_user != NULL || traceparent != NULL)
        status = publish_with_headers(nats, subject, reply, acting_user, traceparent, bytes, size);
    else if (reply == NULL)
        status = natsConnection_Publish(nats, subject, bytes, (int)size);
    else
        status = natsConnection_PublishRequest(nats, subject, reply, bytes, (int)size);
    if (status == NATS_OK)
        nats_link_published(connection->link, size);
    return status;
}

/* ---- Closing ---- */

static void on_retry_closed(uv_handle_t *handle)
{
    struct connection *connection = handle->data;

    connection->retry_closed = true;
    finish_close(connection);
}

void connection_close(struct connection *connection, void (*closed)(void *data), void *data)
{
    connection->closing = true;
    connection->closed = closed;
    connection->closed_data = data;
    while (connection->subscriptions != NULL)
        connection_unsubscribe(connection, connection->subscriptions);
    uv_close((uv_handle_t *)&connection->retry, on_retry_closed);
    if (connection->link != NULL)
        nats_link_close(connection->link);
}
