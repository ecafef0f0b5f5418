/*
 * The broker's socket on the loop: the NATS client library's libuv adapter, which is code in a
 * header, with another way to write.
 *
 * By itself that adapter polls until the socket is writable whenever something is published, and no
 * longer when it is written: four system calls more and one turn of the loop, for each batch of
 * replies. A socket nearly always takes what there is. So this one writes before the loop waits, or
 * earlier if it is asked to, and polls only for what is left over.
 *
 * One connection at a time. The library calls in from any of its threads; the functions here are
 * for the loop's.
 */
#ifndef SERVICE_BROKER_ADAPTER_H
#define SERVICE_BROKER_ADAPTER_H

#include <nats/nats.h>
#include <stdbool.h>
#include <uv.h>

struct broker_adapter {
    uv_loop_t *loop;
    natsConnection *connection; /* NULL: none */
    uv_thread_t thread;         /* of the loop */
    uv_prepare_t prepare;       /* before the loop waits */
    uv_idle_t idle;             /* while bytes are unwritten: the loop does not wait */
    bool closed;                /* the handles are */
    uv_mutex_t lock; /* over what follows; a leaf, taken with the connection's lock held */
    natsSock socket; /* of the connection that was made last, until it is detached */
    void *inner;     /* the library's adapter; NULL: no connection that is in use */
    bool unwritten;  /* published bytes wait for broker_adapter_write */
    bool polled;     /* the library's adapter polls until the socket takes them */
};

/* Borrows the loop. Returns 0 or -1. */
int broker_adapter_init(struct broker_adapter *adapter, uv_loop_t *loop);
/* Closes the handles; writing goes on through the library's adapter. */
void broker_adapter_close(struct broker_adapter *adapter);
/* After the loop has run out, or before it has run. */
void broker_adapter_free(struct broker_adapter *adapter);
/* Lets connections made with `options`, on any thread, read and write on the loop. */
natsStatus broker_adapter_install(struct broker_adapter *adapter, natsOptions *options);
/* The connection reads and writes on the loop from now on; when that fails it does not, and is to
 * be destroyed. NULL before it is destroyed. */
natsStatus broker_adapter_use(struct broker_adapter *adapter, natsConnection *connection);
/* Writes what was published, as far as the socket takes it. Cheap when there is nothing. */
void broker_adapter_write(struct broker_adapter *adapter);

#endif
