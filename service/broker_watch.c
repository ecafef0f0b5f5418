/*
 * Disconnects and reconnects are the library's business: it restores the subscriptions itself. Only
 * "closed" needs the loop, which must then connect anew: the library gives up by itself when a
 * broker refuses the same credentials twice.
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

static void on_disconnected(natsConnection *connection, void *data)
{
    const char *error = NULL;

    if (is_stopped(data))
        return;
    natsConnection_GetLastError(connection, &error);
    LOG_WARN("broker.disconnected", log_text("error", error == NULL ? "" : error));
}

static void on_reconnected(natsConnection *connection, void *data)
{
    char url[NATS_URL_TEXT_BYTES];

    (void)data;
    broker_watch_url(connection, url, sizeof url);
    LOG_INFO("broker.reconnected", log_text("nats_url", url));
}

static void on_closed(natsConnection *connection, void *data)
{
    struct broker_watch *watch = data;
    const char *error = NULL;
    bool stopped;

    uv_mutex_lock(&watch->lock);
    stopped = watch->stopped;
    if (!stopped)
        uv_async_send(&watch->wake);
    uv_mutex_unlock(&watch->lock);
    if (stopped)
        return;
    natsConnection_GetLastError(connection, &error);
    LOG_WARN("broker.closed", log_text("error", error == NULL ? "" : error));
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
    LOG_WARN("broker.error", log_text("status", natsStatus_GetText(status)),
             log_text("error", error == NULL ? "" : error), log_u64("withheld", withheld));
}

static void on_wake(uv_async_t *handle)
{
    struct broker_watch *watch = handle->data;

    if (!watch->stopped)
        watch->closed(watch->data);
}

int broker_watch_start(struct broker_watch *watch, uv_loop_t *loop, void (*closed)(void *data),
                       void *data)
{
    *watch = (struct broker_watch){.closed = closed, .data = data};
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
        status = natsOptions_SetReconnectedCB(options, on_reconnected, watch);
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
