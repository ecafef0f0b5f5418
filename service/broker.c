/*
 *   timer ─▶ connect ─▶ early ─▶ connected … admit ─▶ subscribe ─▶ flush (pool) ─▶ ready
 *     ▲         │ failed                                                │ failed: once more
 *     └─────────┴──── closed by the library, or a subscription failed or is not permitted
 *
 * An attempt to connect blocks: for seconds when a host swallows what it is sent, and for longer
 * when a name does not resolve. Meanwhile the other connection has its requests, and pages of the
 * database the pool: so each attempt has a thread of its own, and the loop takes the connection
 * over when it is there. Nothing can stop an attempt. Who stops meanwhile does not wait: the thread
 * is left alone with what it uses, and the process ends without it.
 *
 * A connection that is lost is never brought back (broker_options.c says why): a new one is made,
 * with new subscriptions. What was to be published meanwhile is lost; who waits for a reply asks
 * again.
 *
 * Subscriptions are synchronous ones without a thread: the library's read callback fills their
 * queues during poll, and the check handle, which runs right after poll, empties them. So
 * everything that one read brought is handed on before the loop waits again, in one thread.
 *
 * A flush is a round trip to the broker and blocks; a pool thread does it while the loop goes on
 * (which reads the answer). It is how we know that the broker has our subscriptions, has sent all
 * it will send after we took them back, and has taken our last replies: bytes that are merely
 * written can be lost when a socket is closed that has something unread.
 *
 * A connection that is over is kept until the next attempt, a quarter of a second later at least:
 * the adapter's handles still refer to it until the loop has closed them.
 */
#include "service/broker.h"

#include "base/handshake.h"
#include "base/log.h"
#include "base/side_thread.h"
#include "service/broker_adapter.h"
#include "service/broker_options.h"
#include "service/broker_watch.h"
#include "service/nats_url.h"
#include "service/pace.h"
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RETRY_MIN_MS 250
#define RETRY_MAX_MS 2000
#define RETRY_LOG_INTERVAL_MS 10000
#define READY_TIMEOUT_MS 5000
#define LIBRARY_STOP_MS 2000
/* Of a subject that is needed, with its quotation marks. */
#define REFUSED_SUBJECT_BYTES 64
/* Messages that are done with and not yet destroyed: how many, and of how many bytes; and how many
 * may be kept until the next ones come. */
#define SPENT_MESSAGES 256
#define SPENT_KEPT 32
#define SPENT_BYTES (1024 * 1024)
/* This much is written at once: the broker can go on with it, and moving what a socket does not
 * take, which the library does, stays cheap. */
#define WRITE_BYTES (64 * 1024)
/* The library has a thread for each subscription that is being drained. */
#define DRAINED_AT_ONCE 256
#define CONNECTED_URL_BYTES 1024
#define ATTEMPT_ERROR_BYTES 256
/* A TLS handshake may take one to two of them. */
#define HANDSHAKE_CHECK_MS 3000

struct subscription {
    const struct broker_subject *subject;
    size_t first;           /* the place of the first one of the subject */
    natsSubscription *nats; /* NULL without a connection */
};

/* The thread's, until it is done, but for the handshake, which is watched from the loop. */
struct attempt {
    struct handshake handshake;
    natsConnection *connection;
    natsStatus status;
    char error[ATTEMPT_ERROR_BYTES];
};

struct broker {
    uv_loop_t *loop;
    struct broker_plan plan;
    natsOptions *options;
    natsConnection *connection; /* NULL, or the last one, maybe closed */
    struct subscription *subscriptions;
    size_t subscription_count;
    size_t lately; /* the first subscription of the subject that had a message last */
    natsStatistics *statistics;
    uint64_t received;              /* messages of `connection` that are handed on */
    struct broker *other;           /* to be connected where this one is; NULL: none */
    bool follows;                   /* is connected nowhere else */
    bool lost;                      /* `connection` is over */
    bool admitted;                  /* broker_admit has been called */
    bool announced;                 /* ready has been called */
    bool refused;                   /* what is needed is not permitted on `connection` */
    bool stopping;                  /* no further attempts to connect */
    unsigned flushes;               /* under way; they use `connection` */
    struct side_thread *connecting; /* NULL: not now. It uses `options`, `adapter` and: */
    struct attempt attempt;
    uint64_t retry_ms;
    struct pace retry_pace;
    struct pace refused_pace;
    natsMsg *spent[SPENT_MESSAGES];
    size_t spent_count;
    size_t spent_bytes;
    size_t published_bytes; /* since the last writing */
    struct broker_adapter adapter;
    struct broker_watch watch;
    uv_timer_t timer;
    uv_check_t check;
};

struct flush {
    uv_work_t work;
    struct broker *broker;
    bool drain; /* all subscriptions first */
    natsConnection *connection;
    uint64_t timeout_ms;
    natsStatus status;
    void (*done)(struct broker *broker, natsStatus status);
    void (*then)(void *data); /* after that; NULL: nothing */
    void *data;
};

static void on_timer(uv_timer_t *timer);

/* ---- Receiving ---- */

/*
 * They are destroyed many at a time: the library leaves that to a thread of its own and wakes it
 * when it sleeps, which is once for all of them rather than once for each. (One by one, that was a
 * third of this thread's time under load.)
 */
static void destroy_spent(struct broker *broker)
{
    while (broker->spent_count > 0)
        natsMsg_Destroy(broker->spent[--broker->spent_count]);
    broker->spent_bytes = 0;
}

static void spend(struct broker *broker, natsMsg *message)
{
    broker->spent[broker->spent_count++] = message;
    broker->spent_bytes += (size_t)natsMsg_GetDataLength(message);
    if (broker->spent_count == SPENT_MESSAGES || broker->spent_bytes >= SPENT_BYTES)
        destroy_spent(broker);
}

/* Takes up to `limit` messages from the subscription's queue. */
static size_t take_group(const struct subscription *subscription, natsMsg *group[BROKER_EXPECTED],
                         size_t limit)
{
    const struct broker_subject *subject = subscription->subject;
    size_t count = 0;

    for (; limit > 0; limit--) {
        natsStatus status = natsSubscription_NextMsg(&group[count], subscription->nats, 0);
        /* Errors say something about the subscription, not about the message; the next call has
         * it. A subscription that was closed meanwhile has none. */
        if (status == NATS_OK)
            count++;
        else if (status == NATS_NO_RESPONDERS && subject->no_responders != NULL)
            subject->no_responders(subject->data);
    }
    return count;
}

/* Hands on up to `limit` messages. */
static void drain_burst(struct broker *broker, const struct subscription *subscription,
                        uint64_t limit)
{
    const struct broker_subject *subject = subscription->subject;
    natsMsg *group[BROKER_EXPECTED];

    while (limit > 0) {
        size_t taken = limit < BROKER_EXPECTED ? (size_t)limit : BROKER_EXPECTED;
        size_t count = take_group(subscription, group, taken);
        if (count > 1 && subject->expect != NULL)
            subject->expect(subject->data, group, count);
        for (size_t i = 0; i < count; i++) {
            subject->receive(subject->data, group[i]);
            spend(broker, group[i]);
        }
        limit -= taken;
    }
}

/* Messages that the connection has read; what it cannot say is as good as "some". */
static uint64_t count_received(struct broker *broker)
{
    uint64_t received = 0;

    if (natsConnection_GetStats(broker->connection, broker->statistics) != NATS_OK ||
        natsStatistics_GetCounts(broker->statistics, &received, NULL, NULL, NULL, NULL) != NATS_OK)
        return UINT64_MAX;
    return received;
}

/* Hands on what has come by the subscription. */
static void drain(struct broker *broker, const struct subscription *subscription)
{
    uint64_t queued = 0;

    if (subscription->nats == NULL ||
        natsSubscription_QueuedMsgs(subscription->nats, &queued) != NATS_OK || queued == 0)
        return;
    drain_burst(broker, subscription, queued);
    broker->received += queued;
    broker->lately = subscription->first;
}

/*
 * There may be hundreds of subscriptions, and to look at one takes 20 ns: it begins with those of
 * the subject by which something came the last time, and ends when all that has come is found.
 */
static void receive(struct broker *broker)
{
    size_t count = broker->subscription_count;
    uint64_t received;

    if (broker->connection == NULL)
        return;
    received = count_received(broker);
    for (size_t i = broker->lately; i < count && broker->received != received; i++)
        drain(broker, &broker->subscriptions[i]);
    for (size_t i = 0; i < count && broker->received != received; i++)
        drain(broker, &broker->subscriptions[i]);
    broker->received = received;
    if (broker->spent_count > SPENT_KEPT)
        destroy_spent(broker);
}

static void write_published(struct broker *broker)
{
    broker->published_bytes = 0;
    broker_adapter_write(&broker->adapter);
}

static void on_check(uv_check_t *check)
{
    struct broker *broker = check->data;

    /* What was answered goes out before more is taken in. */
    write_published(broker);
    receive(broker);
}

/* ---- Flushing ---- */

/* At least 1: the library takes no less. */
static int64_t left_ms(uint64_t deadline_ms)
{
    uint64_t now_ms = uv_hrtime() / 1000000;

    return now_ms < deadline_ms ? (int64_t)(deadline_ms - now_ms) : 1;
}

/* Some at a time: with a round trip, the threads of those before have ended, or nearly so. */
static natsStatus drain_subscriptions(const struct flush *flush, uint64_t deadline_ms)
{
    const struct broker *broker = flush->broker;
    natsStatus status = NATS_OK;

    for (size_t i = 0; i < broker->subscription_count && status == NATS_OK; i++) {
        natsSubscription *subscription = broker->subscriptions[i].nats;
        if (subscription != NULL)
            status = natsSubscription_DrainTimeout(subscription, left_ms(deadline_ms));
        if (status == NATS_OK && i % DRAINED_AT_ONCE == DRAINED_AT_ONCE - 1)
            status = natsConnection_FlushTimeout(flush->connection, left_ms(deadline_ms));
    }
    return status;
}

/* All of it within one timeout, however many round trips it is. */
static void flush_work(uv_work_t *work)
{
    struct flush *flush = work->data;
    uint64_t deadline_ms = uv_hrtime() / 1000000 + flush->timeout_ms;

    flush->status = flush->drain ? drain_subscriptions(flush, deadline_ms) : NATS_OK;
    if (flush->status == NATS_OK)
        flush->status = natsConnection_FlushTimeout(flush->connection, left_ms(deadline_ms));
}

static void flush_finished(uv_work_t *work, int cancelled)
{
    struct flush flush = *(struct flush *)work->data;

    free(work->data);
    flush.broker->flushes--;
    flush.done(flush.broker, cancelled != 0 ? NATS_ERR : flush.status);
    if (flush.then != NULL)
        flush.then(flush.data);
}

bool broker_is_connected(const struct broker *broker)
{
    return broker->connection != NULL && !broker->lost &&
           natsConnection_Status(broker->connection) == NATS_CONN_STATUS_CONNECTED;
}

/* Returns -1 if there is nobody to flush to, and nothing of `then` is called. */
static int start_flush(struct broker *broker, const struct flush *wanted)
{
    struct flush *flush;

    if (!broker_is_connected(broker) || (flush = malloc(sizeof *flush)) == NULL)
        return -1;
    *flush = *wanted;
    flush->broker = broker;
    flush->connection = broker->connection;
    flush->work.data = flush;
    if (uv_queue_work(broker->loop, &flush->work, flush_work, flush_finished) != 0) {
        free(flush);
        return -1;
    }
    broker->flushes++;
    return 0;
}

/* ---- Connecting ---- */

static void retry_later(struct broker *broker)
{
    uint64_t wait = broker->retry_ms + uv_hrtime() % (broker->retry_ms / 2);

    if (broker->stopping)
        return;
    broker->retry_ms = broker->retry_ms * 2 < RETRY_MAX_MS ? broker->retry_ms * 2 : RETRY_MAX_MS;
    uv_timer_start(&broker->timer, on_timer, wait, 0);
}

static void on_lost(void *data)
{
    struct broker *broker = data;

    /* Of one that was over before the loop had it, and is gone. */
    if (broker->connection == NULL || !natsConnection_IsClosed(broker->connection))
        return;
    broker->lost = true;
    broker->retry_ms = broker->refused ? RETRY_MAX_MS : RETRY_MIN_MS;
    retry_later(broker);
}

static void drop_connection(struct broker *broker)
{
    for (size_t i = 0; i < broker->subscription_count; i++) {
        natsSubscription_Destroy(broker->subscriptions[i].nats);
        broker->subscriptions[i].nats = NULL;
    }
    broker_adapter_use(&broker->adapter, NULL);
    natsConnection_Destroy(broker->connection);
    broker->connection = NULL;
    broker->received = 0;
    broker->lost = false;
}

static void log_attempt(struct broker *broker, const char *event, natsStatus status,
                        const char *detail)
{
    uint64_t withheld = 0;

    if (pace_allows(&broker->retry_pace, uv_now(broker->loop), RETRY_LOG_INTERVAL_MS, &withheld))
        LOG_WARN(event, log_text("connection", broker->plan.name),
                 log_text("error", natsStatus_GetText(status)),
                 log_text("detail", detail == NULL ? "" : detail), log_bool("retrying", true),
                 log_u64("withheld", withheld));
}

static natsStatus subscribe_to(natsConnection *connection, const struct broker_subject *subject,
                               natsSubscription **subscription)
{
    if (subject->queue_group == NULL)
        return natsConnection_SubscribeSync(subscription, connection, subject->subject);
    return natsConnection_QueueSubscribeSync(subscription, connection, subject->subject,
                                             subject->queue_group);
}

static natsStatus subscribe(struct broker *broker, bool early)
{
    natsStatus status = NATS_OK;

    for (size_t i = 0; i < broker->subscription_count && status == NATS_OK; i++) {
        struct subscription *subscription = &broker->subscriptions[i];
        if (subscription->subject->early != early)
            continue;
        status = subscribe_to(broker->connection, subscription->subject, &subscription->nats);
        /* No limits here: the queues are emptied each time the loop has read, and what is too much
         * is then answered as such, instead of being dropped in silence. */
        if (status == NATS_OK)
            status = natsSubscription_SetPendingLimits(subscription->nats, -1, -1);
    }
    return status;
}

/*
 * Whether the broker does not permit a subscription that is needed. It says so before it answers
 * the flush, and the connection keeps the last such error; hence the order of the subjects.
 */
static bool is_refused(struct broker *broker)
{
    const char *error = NULL;
    char quoted[REFUSED_SUBJECT_BYTES];

    if (natsConnection_GetLastError(broker->connection, &error) != NATS_NOT_PERMITTED ||
        error == NULL)
        return false;
    for (size_t i = 0; i < broker->plan.subject_count; i++) {
        const struct broker_subject *subject = &broker->plan.subjects[i];
        snprintf(quoted, sizeof quoted, "\"%s\"", subject->subject);
        if (subject->needed && strstr(error, quoted) != NULL)
            return true;
    }
    return false;
}

/* Permissions may be mended while we wait, and are those of a new connection then. */
static void refuse(struct broker *broker)
{
    const char *error = NULL;
    uint64_t withheld = 0;

    broker->refused = true;
    (void)natsConnection_GetLastError(broker->connection, &error);
    if (pace_allows(&broker->refused_pace, uv_now(broker->loop), RETRY_LOG_INTERVAL_MS, &withheld))
        LOG_ERROR("broker.not_permitted", log_text("error", error == NULL ? "" : error),
                  log_text("advice",
                           "this user must be allowed to subscribe to chat.> and $SRV.>, and "
                           "to publish wherever callers want their replies"),
                  log_bool("retrying", true), log_u64("withheld", withheld));
    natsConnection_Close(broker->connection); /* and on_lost goes on from there */
}

static void announced(struct broker *broker, natsStatus status)
{
    char url[NATS_URL_TEXT_BYTES];

    if (broker->stopping)
        return;
    if (status != NATS_OK) {
        log_attempt(broker, "broker.not_ready", status, NULL);
        retry_later(broker);
        return;
    }
    if (is_refused(broker)) {
        refuse(broker);
        return;
    }
    broker->announced = true;
    broker_watch_url(broker->connection, url, sizeof url);
    broker->plan.handlers.ready(broker->plan.handlers.data, url);
}

static void announce(struct broker *broker)
{
    const struct flush flush = {.timeout_ms = READY_TIMEOUT_MS, .done = announced};

    if (start_flush(broker, &flush) != 0)
        retry_later(broker);
}

static natsStatus subscribe_now(struct broker *broker, bool early)
{
    natsStatus status = subscribe(broker, early);

    if (status != NATS_OK) {
        log_attempt(broker, "broker.not_subscribed", status, nats_GetLastError(NULL));
        natsConnection_Close(broker->connection); /* and on_lost goes on from there */
    }
    return status;
}

static void serve(struct broker *broker)
{
    char url[NATS_URL_TEXT_BYTES];

    if (subscribe_now(broker, false) != NATS_OK)
        return;
    broker->retry_ms = RETRY_MIN_MS;
    broker->refused = false;
    if (!broker->announced) {
        announce(broker);
        return;
    }
    broker_watch_url(broker->connection, url, sizeof url);
    LOG_INFO("broker.reconnected", log_text("connection", broker->plan.name),
             log_text("nats_url", url));
    broker->plan.handlers.reconnected(broker->plan.handlers.data);
}

void broker_admit(struct broker *broker)
{
    broker->admitted = true;
    if (broker->connection != NULL && !broker->lost && !broker->stopping)
        serve(broker);
}

/* Where the other one is, first of all, or only there. False when that is nowhere. */
static bool choose_address(struct broker *broker)
{
    char url[CONNECTED_URL_BYTES];
    bool there =
        broker->other != NULL && broker_is_connected(broker->other) &&
        natsConnection_GetConnectedUrl(broker->other->connection, url, sizeof url) == NATS_OK;

    if (!there && broker->follows)
        return false;
    return natsOptions_SetURL(broker->options, there ? url : NULL) == NATS_OK;
}

/* On a thread of its own. */
static void connect_work(void *data)
{
    struct broker *broker = data;
    struct attempt *attempt = &broker->attempt;
    const char *error = NULL;

    attempt->connection = NULL;
    handshake_watch(&attempt->handshake);
    attempt->status = natsConnection_Connect(&attempt->connection, broker->options);
    handshake_unwatch();
    if (attempt->status != NATS_OK)
        error = nats_GetLastError(NULL);
    snprintf(attempt->error, sizeof attempt->error, "%s", error == NULL ? "" : error);
    nats_ReleaseThreadMemory();
}

static void begin(struct broker *broker)
{
    if (subscribe_now(broker, true) != NATS_OK)
        return;
    if (broker->admitted)
        serve(broker);
    else
        broker->plan.handlers.connected(broker->plan.handlers.data);
}

static void connect_done(void *data)
{
    struct broker *broker = data;
    struct attempt *attempt = &broker->attempt;

    broker->connecting = NULL;
    uv_timer_stop(&broker->timer);
    if (attempt->status == NATS_OK) {
        broker->connection = attempt->connection;
        attempt->status = broker_adapter_use(&broker->adapter, broker->connection);
    }
    if (attempt->status != NATS_OK || broker->stopping) {
        drop_connection(broker);
        if (!broker->stopping)
            log_attempt(broker, "broker.not_connected", attempt->status, attempt->error);
        retry_later(broker);
        return;
    }
    begin(broker);
}

/* The process is about to end, and with it the connection, if there is one after all. */
static void connect_left(void *data)
{
    (void)data;
}

static void connect_now(struct broker *broker)
{
    const struct side_job job = {
        .data = broker, .work = connect_work, .done = connect_done, .left = connect_left};

    if (choose_address(broker))
        broker->connecting = side_thread_start(broker->loop, &job);
    if (broker->connecting == NULL)
        retry_later(broker);
    else
        uv_timer_start(&broker->timer, on_timer, HANDSHAKE_CHECK_MS, HANDSHAKE_CHECK_MS);
}

static void on_timer(uv_timer_t *timer)
{
    struct broker *broker = timer->data;

    if (broker->connecting != NULL) {
        handshake_check(&broker->attempt.handshake);
        return;
    }
    if (broker->lost && broker->flushes > 0) {
        retry_later(broker);
        return;
    }
    if (broker->lost)
        drop_connection(broker);
    if (broker->connection == NULL)
        connect_now(broker);
    else if (broker->admitted && !broker->announced)
        announce(broker);
}

/* ---- Publishing ---- */

static natsStatus published(struct broker *broker, natsStatus status, size_t size)
{
    broker->published_bytes += size;
    if (broker->published_bytes >= WRITE_BYTES)
        write_published(broker);
    return status;
}

natsStatus broker_publish(struct broker *broker, const char *subject, const void *bytes,
                          size_t size)
{
    natsStatus status;

    if (broker->connection == NULL)
        return NATS_CONNECTION_CLOSED;
    status = natsConnection_Publish(broker->connection, subject, bytes, (int)size);
    return published(broker, status, size);
}

natsStatus broker_publish_message(struct broker *broker, natsMsg *message)
{
    if (broker->connection == NULL)
        return NATS_CONNECTION_CLOSED;
    return published(broker, natsConnection_PublishMsg(broker->connection, message),
                     (size_t)natsMsg_GetDataLength(message));
}

natsStatus broker_request(struct broker *broker, const char *subject, const char *reply)
{
    if (broker->connection == NULL)
        return NATS_CONNECTION_CLOSED;
    return natsConnection_PublishRequest(broker->connection, subject, reply, NULL, 0);
}

uint64_t broker_connections_lost(struct broker *broker)
{
    return broker_watch_lost(&broker->watch);
}

size_t broker_max_payload(const struct broker *broker)
{
    int64_t max = broker->connection == NULL ? 0 : natsConnection_GetMaxPayload(broker->connection);

    return max > 0 ? (size_t)max : 0;
}

size_t broker_buffered_bytes(const struct broker *broker)
{
    int bytes = broker->connection == NULL ? 0 : natsConnection_Buffered(broker->connection);

    return bytes > 0 ? (size_t)bytes : 0;
}

/* ---- Stopping ---- */

static void requests_stopped(struct broker *broker, natsStatus status)
{
    if (status != NATS_OK)
        LOG_WARN("broker.not_drained", log_text("connection", broker->plan.name),
                 log_text("error", natsStatus_GetText(status)));
    receive(broker);
}

void broker_stop_requests(struct broker *broker, uint64_t timeout_ms, void (*done)(void *data),
                          void *data)
{
    const struct flush flush = {.drain = true,
                                .timeout_ms = timeout_ms,
                                .done = requests_stopped,
                                .then = done,
                                .data = data};

    broker->stopping = true;
    uv_timer_stop(&broker->timer);
    if (start_flush(broker, &flush) != 0)
        done(data);
}

static void flushed(struct broker *broker, natsStatus status)
{
    if (status != NATS_OK)
        LOG_WARN("broker.not_flushed", log_text("connection", broker->plan.name),
                 log_text("error", natsStatus_GetText(status)));
}

void broker_flush(struct broker *broker, uint64_t timeout_ms, void (*done)(void *data), void *data)
{
    const struct flush flush = {
        .timeout_ms = timeout_ms, .done = flushed, .then = done, .data = data};

    if (start_flush(broker, &flush) != 0)
        done(data);
}

void broker_close(struct broker *broker)
{
    broker->stopping = true;
    if (broker->connecting != NULL)
        side_thread_leave(broker->connecting);
    broker_watch_stop(&broker->watch);
    uv_close((uv_handle_t *)&broker->timer, NULL);
    uv_close((uv_handle_t *)&broker->check, NULL);
    broker_adapter_close(&broker->adapter);
    natsConnection_Close(broker->connection);
}

bool broker_free_all(struct broker *const *brokers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (brokers[i]->connecting != NULL) /* it has been left, and goes on */
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        drop_connection(brokers[i]);
        destroy_spent(brokers[i]);
        natsOptions_Destroy(brokers[i]->options);
        natsStatistics_Destroy(brokers[i]->statistics);
    }
    nats_CloseAndWait(LIBRARY_STOP_MS);
    for (size_t i = 0; i < count; i++) {
        broker_watch_free(&brokers[i]->watch);
        broker_adapter_free(&brokers[i]->adapter);
        handshake_destroy(&brokers[i]->attempt.handshake);
        free(brokers[i]->subscriptions);
        free(brokers[i]);
    }
    return true;
}

/* ---- Starting ---- */

/*
 * The library's threads begin with the scheduling policy of the thread that opens it. With
 * SCHED_BATCH they get the same share of the processors, but waking one up takes none away from the
 * loop: the one that frees messages is woken while the loop hands it more, and would interrupt it
 * tens of thousands of times a second under load.
 */
static natsStatus open_library(void)
{
    const struct sched_param unused = {0};
    bool changed =
        sched_getscheduler(0) == SCHED_OTHER && sched_setscheduler(0, SCHED_BATCH, &unused) == 0;
    natsStatus status = nats_Open(-1);

    if (changed)
        (void)sched_setscheduler(0, SCHED_OTHER, &unused);
    return status;
}

static int set_options(struct broker *broker, const struct broker_settings *settings)
{
    natsStatus status = open_library();

    if (status == NATS_OK && broker_options_create(&broker->options, settings, broker->plan.name,
                                                   broker->plan.read_bytes) != 0)
        return -1;
    if (status == NATS_OK)
        status = broker_adapter_install(&broker->adapter, broker->options);
    if (status == NATS_OK)
        status = broker_watch_install(&broker->watch, broker->options);
    if (status == NATS_OK)
        status = natsStatistics_Create(&broker->statistics);
    if (status == NATS_OK)
        return 0;
    LOG_ERROR("broker.start_failed", log_text("error", natsStatus_GetText(status)));
    natsOptions_Destroy(broker->options);
    return -1;
}

static int plan_subscriptions(struct broker *broker)
{
    const struct broker_plan *plan = &broker->plan;
    size_t count = 0;

    for (size_t i = 0; i < plan->subject_count; i++)
        count += plan->subjects[i].weight > 0 ? plan->subjects[i].weight : 1;
    broker->subscriptions = calloc(count, sizeof *broker->subscriptions);
    if (broker->subscriptions == NULL)
        return -1;
    for (size_t i = 0; i < plan->subject_count; i++) {
        size_t first = broker->subscription_count;
        size_t end = first + (plan->subjects[i].weight > 0 ? plan->subjects[i].weight : 1);
        while (broker->subscription_count < end)
            broker->subscriptions[broker->subscription_count++] =
                (struct subscription){.subject = &plan->subjects[i], .first = first};
    }
    return 0;
}

static void start_handles(struct broker *broker)
{
    uv_timer_init(broker->loop, &broker->timer);
    broker->timer.data = broker;
    uv_check_init(broker->loop, &broker->check);
    broker->check.data = broker;
    uv_check_start(&broker->check, on_check);
}

int broker_create(struct broker **result, uv_loop_t *loop, const struct broker_settings *settings,
                  const struct broker_plan *plan)
{
    struct broker *broker = calloc(1, sizeof *broker);

    if (broker == NULL)
        return -1;
    *broker = (struct broker){.loop = loop, .plan = *plan, .retry_ms = RETRY_MIN_MS};
    if (handshake_init(&broker->attempt.handshake) != 0)
        goto err_after_broker;
    if (plan_subscriptions(broker) != 0)
        goto err_after_handshake;
    if (broker_adapter_init(&broker->adapter, loop) != 0)
        goto err_after_subscriptions;
    if (broker_watch_start(&broker->watch, loop, plan->name, on_lost, broker) != 0)
        goto err_after_adapter;
    if (set_options(broker, settings) != 0)
        goto err_after_watch;
    start_handles(broker);
    *result = broker;
    return 0;

err_after_watch:
    broker_watch_stop(&broker->watch);
    uv_run(loop, UV_RUN_NOWAIT); /* closes its handle */
    broker_watch_free(&broker->watch);
err_after_adapter:
    broker_adapter_close(&broker->adapter);
    uv_run(loop, UV_RUN_NOWAIT);
    broker_adapter_free(&broker->adapter);
err_after_subscriptions:
    free(broker->subscriptions);
err_after_handshake:
    handshake_destroy(&broker->attempt.handshake);
err_after_broker:
    free(broker);
    return -1;
}

void broker_start(struct broker *broker)
{
    uv_timer_start(&broker->timer, on_timer, 0, 0);
}

void broker_start_beside(struct broker *broker, struct broker *other)
{
    broker->other = other;
    broker->follows = true;
    other->other = broker;
    /* The addresses of the settings: it is to try none of them. */
    (void)natsOptions_SetServers(broker->options, NULL, 0);
    broker_start(broker);
}
