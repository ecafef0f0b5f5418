/*
 * What the client library's own threads have to say about the connection: they log here, and wake
 * the loop when the connection is over. The struct is embedded by the broker.
 */
#ifndef SERVICE_BROKER_WATCH_H
#define SERVICE_BROKER_WATCH_H

#include "service/pace.h"
#include <nats/nats.h>
#include <stdbool.h>
#include <uv.h>

struct broker_watch {
    const char *name; /* of the connection, in log lines */
    uv_async_t wake;
    uv_mutex_t lock; /* over what follows, up to `errors`, which any thread may touch; a leaf */
    bool stopped;
    bool is_closed; /* and the loop does not know it yet */
    uint64_t lost;
    struct pace errors;
    void (*closed)(void *data);
    void *data;
};

/* On the loop, `closed` is called when the library has given up a connection. Borrows `name`.
 * Returns 0 or -1. */
int broker_watch_start(struct broker_watch *watch, uv_loop_t *loop, const char *name,
                       void (*closed)(void *data), void *data);
/* Sets the callbacks. `watch` must outlive all connections made with `options`. */
natsStatus broker_watch_install(struct broker_watch *watch, natsOptions *options);
/* From now on callbacks are silent. Closes the handle. */
void broker_watch_stop(struct broker_watch *watch);
/* When the library's threads are gone. */
void broker_watch_free(struct broker_watch *watch);

/* How often a connection was lost so far. Any thread. */
uint64_t broker_watch_lost(struct broker_watch *watch);

/* The address of the broker it is connected to, without credentials; "" when there is none. */
void broker_watch_url(natsConnection *connection, char *text, size_t size);

#endif
