/*
 * The library closes a connection that it has lost, and the loop must connect anew.
 *
 * A broker in lame duck mode says so, and closes its connections one by one before it ends. There
 * is nothing to be done but to say it: the next connection is to another of the addresses, or waits
 * for this one.
 *
 * uv_async_send must not meet a handle that is being closed: the lock is held over both.
 */
#include "service/broker_watch.h"

#include "base/log.h"
#include "service/nats_url.h"

#define ERROR_LOG_INTERVAL_MS 1000

void broker_watch_url(natsConnection *connection, char *text, size_t size)
{
    char url[NATS_URL_TEXT_BYTES];

    if (natsConnection_GetConnectedUrl(connection, url, sizeof url) != NATS_OK)
        url[0] = '\0';
    nats_url_without_credentials(url, text, size);
}

/* After broker_watch_stop: what happens now is our own doing, and no news. */
static bool is_stopped(struct broker_watch *watch)
{
    bool stopped;

    uv_mutex_lock(&watch->lock);
    stopped = watch->stopped;
    uv_mutex_unlock(&watch->lock);
    return stopped;
}

/* Tells the loop that the connection is over. Returns whether it listens. */
static bool wake(struct broker_watch *watch)
{
    bool stopped;

    uv_mutex_lock(&watch->lock);
    stopped = watch->stopped;
    watch->is_closed = true;
    if (!stopped)
        uv_async_send(&watch->wake);
    uv_mutex_unlock(&watch->lock);
    return !stopped;
}

static void on_disconnected(natsConnection *connection, void *data)
{
    struct broker_watch *watch = data;
    const char *error = NULL;

    if (is_stopped(watch))
        return;
    uv_mutex_lock(&watch->lock);
    watch->lost++;
    uv_mutex_unlock(&watch->lock);
    natsConnection_GetLastError(connection, &error);
    LOG_WARN("broker.disconnected", log_text("connection", watch->name),
             log_text("error", error == NULL ? "" : error));
}

static void on_lame_duck(natsConnection *connection, void *data)
{
    char url[NATS_URL_TEXT_BYTES];

    if (is_stopped(data))
        return;
    broker_watch_url(connection, url, sizeof url);
    LOG_WARN("broker.lame_duck", log_text("connection", ((struct broker_watch *)data)->name),
             log_text("nats_url", url),
             log_text("advice", "this broker is about to end; we go on with another of --nats-url "
                                "when it closes the connection"));
}

static void on_closed(natsConnection *connection, void *data)
{
    struct broker_watch *watch = data;
    const char *error = NULL;

    if (!wake(watch))
        return;
    natsConnection_GetLastError(connection, &error);
    LOG_WARN("broker.closed", log_text("connection", watch->name),
             log_text("error", error == NULL ? "" : error));
}

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
                     void *data)
{
    struct broker_watch *watch = data;
    /* The thread's, while it is called: the connection has only the last one of several. */
    const char *error = nats_GetLastError(NULL);
    uint64_t withheld = 0;
    bool speak;

    (void)subscription;
    uv_mutex_lock(&watch->lock);
    speak = pace_allows(&watch->errors, uv_hrtime() / 1000000, ERROR_LOG_INTERVAL_MS, &withheld);
    uv_mutex_unlock(&watch->lock);
    if (!speak)
        return;
    if (error == NULL || error[0] == '\0')
        natsConnection_GetLastError(connection, &error);
    LOG_WARN("broker.error", log_text("connection", watch->name),
             log_text("status", natsStatus_GetText(status)),
             log_text("error", error == NULL ? "" : error), log_u64("withheld", withheld));
}

static void on_wake(uv_async_t *handle)
{
    struct broker_watch *watch = handle->data;
    bool closed;

    uv_mutex_lock(&watch->lock);
    closed = watch->is_closed;
    watch->is_closed = false;
    uv_mutex_unlock(&watch->lock);
    if (watch->stopped)
        return;
    if (closed)
        watch->closed(watch->data);
}

uint64_t broker_watch_lost(struct broker_watch *watch)
{
    uint64_t lost;

    uv_mutex_lock(&watch->lock);
    lost = watch->lost;
    uv_mutex_unlock(&watch->lock);
    return lost;
}

int broker_watch_start(struct broker_watch *watch, uv_loop_t *loop, const char *name,
                       void (*closed)(void *data), void *data)
{
    *watch = (struct broker_watch){.name = name, .closed = closed, .data = data};
    if (uv_mutex_init(&watch->lock) != 0)
        return -1;
    if (uv_async_init(loop, &watch->wake, on_wake) != 0) {
        uv_mutex_destroy(&watch->lock);
        return -1;
    }
    watch->wake.data = watch;
    return 0;
}

natsStatus broker_watch_install(struct broker_watch *watch, natsOptions *options)
{
    natsStatus status = natsOptions_SetDisconnectedCB(options, on_disconnected, watch);

    if (status == NATS_OK)
        status = natsOptions_SetLameDuckModeCB(options, on_lame_duck, watch);
    if (status == NATS_OK)
        status = natsOptions_SetClosedCB(options, on_closed, watch);
    if (status == NATS_OK)
        status = natsOptions_SetErrorHandler(options, on_error, watch);
    return status;
}

void broker_watch_stop(struct broker_watch *watch)
{
    uv_mutex_lock(&watch->lock);
    watch->stopped = true;
    uv_close((uv_handle_t *)&watch->wake, NULL);
    uv_mutex_unlock(&watch->lock);
}

void broker_watch_free(struct broker_watch *watch)
{
    uv_mutex_destroy(&watch->lock);
}
