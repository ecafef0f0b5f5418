/*
 * One connection's bytes: a TCP socket on the loop, maybe with TLS over it, and what waits to be
 * sent.
 *
 * Output is queued and goes out before the loop waits again, so that all that one turn of it wrote
 * to a connection is one system call. For the loop's thread. Embedded by its owner; valid until
 * `closed`. Handlers are called from the loop, never from within a function of this header.
 */
#ifndef GATEWAY_TRANSPORT_H
#define GATEWAY_TRANSPORT_H

#include "clients/gateway/shared_bytes.h"
#include <stdbool.h>
#include <uv.h>

struct tls_session;
struct transport;

/* What all transports of a loop share. */
struct transport_pool {
    uv_loop_t *loop;
    uv_prepare_t flush;
    struct transport *dirty; /* those with something to send */
    void (*closed)(void *data);
    void *closed_data;
    uint64_t received_bytes;
    uint64_t sent_bytes;
    char input[64 * 1024]; /* what was read is handed on at once */
};

struct transport_handlers {
    void (*read)(void *data, const char *bytes, size_t size);
    /* No more input: 0 at its end, or a negative code of libuv when the connection is lost (also
     * for output). */
    void (*ended)(void *data, int error);
    void (*drained)(void *data); /* the kernel has taken everything */
    void (*closed)(void *data);
};

struct transport {
    uv_tcp_t tcp;
    uv_write_t write;
    uv_shutdown_t shutdown;
    struct transport_pool *pool;
    const struct transport_handlers *handlers;
    void *data;
    struct tls_session *tls;
    struct shared_bytes **queue; /* a ring */
    size_t queue_first;
    size_t queue_count;
    size_t queue_capacity;
    size_t offset;               /* of the first one that is sent already */
    size_t in_flight;            /* how many of the queue libuv is writing */
    struct shared_bytes *sealed; /* of TLS: on its way */
    size_t sealed_offset;
    size_t pending;       /* bytes in the queue */
    uint64_t progress_ms; /* when something was last taken, or began to wait */
    struct transport *next_dirty;
    bool is_dirty;
    bool finishing; /* nothing more is written, and the other side is to be told */
    bool shut;
    bool failed;
    bool closing;
};

int transport_pool_start(struct transport_pool *pool, uv_loop_t *loop);
/* `closed` comes when the pool's memory may go; its data are what is given. */
void transport_pool_stop(struct transport_pool *pool, void (*closed)(void *data), void *data);

/*
 * Takes a connection that is waiting on the listener and begins to read; `data` is for the
 * handlers. With `tls`, which it takes, that is done first. Returns 0, or an error of libuv, after
 * which `closed` still comes.
 */
int transport_accept(struct transport *transport, struct transport_pool *pool,
                     uv_stream_t *listener, struct tls_session *tls,
                     const struct transport_handlers *handlers, void *data);

/* Queues the bytes and takes the caller's hold of them. */
void transport_write(struct transport *transport, struct shared_bytes *bytes);
/* Tells the other side, behind what is waiting, that nothing more comes. */
void transport_finish(struct transport *transport);
void transport_pause(struct transport *transport);
void transport_resume(struct transport *transport);
/* At once, with all that waits. */
void transport_close(struct transport *transport);

#endif
