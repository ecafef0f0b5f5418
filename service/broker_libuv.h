/* The NATS client library's libuv adapter, which is code in a header: compiled in one place. Its
 * functions are described in <nats/adapters/libuv.h>. */
#ifndef SERVICE_BROKER_LIBUV_H
#define SERVICE_BROKER_LIBUV_H

#include <nats/nats.h>
#include <stdbool.h>
#include <uv.h>

struct broker_libuv {
    void (*init)(void);
    void (*set_thread_loop)(uv_loop_t *loop);
    /* A connection's first socket; from the loop's thread. */
    natsStatus (*attach)(void **user_data, uv_loop_t *loop, natsConnection *connection,
                         natsSock socket);
    natsStatus (*read)(void *user_data, bool add);
    natsStatus (*write)(void *user_data, bool add);
    natsStatus (*detach)(void *user_data);
};

extern const struct broker_libuv broker_libuv;

#endif
