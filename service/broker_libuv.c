/*
 * The adapter's functions are not static and not free of warnings under our flags, hence this file
 * and the pragmas. It keeps the loop of the thread in thread-local data: calls from other threads
 * (the library's reconnecting thread) are put in a queue and carried out on the loop.
 */
#include "service/broker_libuv.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#include <nats/adapters/libuv.h>
#pragma GCC diagnostic pop

#include <stdlib.h>

static void free_events(natsLibuvEvents *events)
{
    free(events->handle);
    free(events->scheduler);
    free(events->lock);
    free(events);
}

static void on_scheduler_closed(uv_handle_t *scheduler)
{
    natsLibuvEvents *events = scheduler->data;

    uv_mutex_destroy(events->lock);
    free_events(events);
}

static natsLibuvEvents *make_events(uv_loop_t *loop)
{
    natsLibuvEvents *events = calloc(1, sizeof *events);

    if (events == NULL)
        return NULL;
    events->lock = malloc(sizeof *events->lock);
    events->scheduler = malloc(sizeof *events->scheduler);
    events->handle = malloc(sizeof *events->handle);
    if (events->lock == NULL || events->scheduler == NULL || events->handle == NULL ||
        uv_mutex_init(events->lock) != 0)
        goto err_after_events;
    if (uv_async_init(loop, events->scheduler, uvAsyncCb) != 0)
        goto err_after_lock;
    events->scheduler->data = events;
    events->loop = loop;
    return events;

err_after_lock:
    uv_mutex_destroy(events->lock);
err_after_events:
    free_events(events);
    return NULL;
}

/* What natsLibuv_Attach does for a connection's first socket, on the loop; but that one crashes
 * when memory or descriptors run out, since it undoes what it has not done. */
static natsStatus attach(void **user_data, uv_loop_t *loop, natsConnection *connection,
                         natsSock socket)
{
    natsLibuvEvents *events = make_events(loop);

    if (events == NULL)
        return NATS_NO_MEMORY;
    events->nc = connection;
    events->socket = socket;
    events->events = UV_READABLE;
    if (uv_poll_init_socket(loop, events->handle, socket) != 0) {
        uv_close((uv_handle_t *)events->scheduler, on_scheduler_closed);
        return NATS_ERR;
    }
    events->handle->data = events;
    (void)uv_poll_start(events->handle, UV_READABLE, natsLibuvPoll);
    *user_data = events;
    return NATS_OK;
}

const struct broker_libuv broker_libuv = {
    .init = natsLibuv_Init,
    .set_thread_loop = natsLibuv_SetThreadLocalLoop,
    .attach = attach,
    .read = natsLibuv_Read,
    .write = natsLibuv_Write,
    .detach = natsLibuv_Detach,
};
