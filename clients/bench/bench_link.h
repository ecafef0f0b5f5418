/*
 * Connections to the broker on one loop, for the load generator and for the responder: libchat's,
 * without its calls, which would cost more than what is to be measured.
 *
 * They come back by themselves when they are lost; what was under way is not answered then. All
 * functions are for the loop's thread; links_open and links_close run the loop until they are done.
 */
#ifndef CLIENTS_BENCH_BENCH_LINK_H
#define CLIENTS_BENCH_BENCH_LINK_H

#include "base/options.h"
#include "clients/libchat/connection.h"
#include <nats/nats.h>
#include <stddef.h>
#include <stdio.h>
#include <uv.h>

#define LINK_INBOX_BYTES 64

/* How to reach the broker. What is NULL or empty is not used. */
struct link_settings {
    struct option_list nats_urls; /* empty: CHAT_DEFAULT_URL */
    const char *user;
    const char *password;
    const char *token;
    const char *credentials_file; /* a JWT and its seed */
    const char *tls_ca_file;      /* this and the next two make the connections TLS */
    const char *tls_cert_file;
    const char *tls_key_file;
};

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
int links_open(struct links *links, uv_loop_t *loop, const struct link_settings *settings,
               size_t count, const struct link_subject *subject, FILE *err);

/* Closes the connections and runs the loop until they are gone. */
void links_close(struct links *links);

#endif
