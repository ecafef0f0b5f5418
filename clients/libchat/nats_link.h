/*
 * One connection of the NATS library on the caller's loop, from the attempt to connect until the
 * library's last callback. It does not come back: who wants another one opens another link.
 *
 * All functions are for the loop's thread, and all handlers are called there, on a later turn than
 * the function that caused them. Nothing blocks.
 */
#ifndef LIBCHAT_NATS_LINK_H
#define LIBCHAT_NATS_LINK_H

#include "clients/libchat/connection_options.h"
#include <nats/nats.h>
#include <uv.h>

struct nats_link;

struct nats_link_handlers {
    void *data;
    /* The connection is there, and may be subscribed and published with. */
    void (*opened)(void *data);
    /* The library has read from the socket: its subscriptions may have messages. */
    void (*readable)(void *data);
    /* The broker's words for something it does not permit, "Permissions Violation for …". */
    void (*denied)(void *data, const char *text);
    /*
     * There was no connection to be had, or it is over; nothing is left of the link. Comes once.
     * `status` is that of the attempt, or NATS_OK when there was a connection or nats_link_close
     * came before it; `reason` is text of the library, maybe "".
     */
    void (*ended)(void *data, natsStatus status, const char *reason);
};

/*
 * Begins to connect, on a thread of its own. Holds `options`, which are for one link at a time; the
 * link sets their callbacks, and leaves the library's own reconnecting to be switched off by the
 * caller. Returns 0 or -1.
 */
int nats_link_open(struct nats_link **link, uv_loop_t *loop, struct connection_options *options,
                   const struct nats_link_handlers *handlers);

/* NULL before opened, and from some time before ended on. */
natsConnection *nats_link_connection(const struct nats_link *link);

/* So many bytes were published: what has gathered goes out before the loop waits, or now. */
void nats_link_published(struct nats_link *link, size_t size);

/* Takes what was published to the broker if it can within half a second, and closes; `ended`
 * follows. An attempt to connect is not waited for. */
void nats_link_close(struct nats_link *link);

#endif
