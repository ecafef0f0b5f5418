/*
 * Connections to the broker on one loop, for the load generator and for the responder: libchat's,
 * without its calls, which would cost more than what is to be measured.
 *
 * They come back by themselves when they are lost; what was under way is not answered then. All
 * functions are for the loop's thread; links_open and links_close run the loop until they are done.
 */
#ifndef CLIENTS_BENCH_BENCH_LINK_H
#define CLIENTS_BENCH_BENCH_LINK_H

#include "clients/broker_access.h"
#include "clients/libchat/connection.h"
#include <nats/nats.h>
#include <stddef.h>
#include <stdio.h>
#include <uv.h>

#define LINK_INBOX_BYTES 256 /* a prefix has 200 bytes at most */

struct links;

struct link {
    struct links *links;
    struct connection *connection;
    struct connection_subscription subscription;
    char inbox[LINK_INBOX_BYTES]; /* what replies' subjects begin with, and a dot behind it */
    char subject[LINK_INBOX_BYTES + 2];
};

struct links {
    uv_loop_t *loop;
    size_t count;
    struct link *links; /* owned */

    /* Its own. */
    FILE *err;
    size_t up;   /* connections that are or have been there */
    size_t open; /* that have not been closed */
    bool failed; /* and it has been said */
};

/* What is received; `receive` borrows the message. */
struct link_subject {
    const char *subject; /* NULL: an inbox for each link; otherwise in the queue group `q` */
    void *data;
    void (*receive)(void *data, natsMsg *message);
    void (*no_responders)(
        void *data); /* nobody listened to a request; to which, is not known. Or NULL */
};

/*
 * Opens `count` connections, each subscribed to `subject`, which may go. Returns 0, or -1 with a
 * line on `err`; then there is nothing to close. `err` is borrowed until links_close: what is lost
 * or not permitted later is said there, once.
 */
int links_open(struct links *links, uv_loop_t *loop, const struct broker_access *access,
               size_t count, const struct link_subject *subject, FILE *err);

/* Closes the connections and runs the loop until they are gone. */
void links_close(struct links *links);

#endif
