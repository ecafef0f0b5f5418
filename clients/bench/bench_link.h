/*
 * Connections to the broker on one loop, for the load generator and for the responder: set up as
 * the service sets up its own, so that neither has an advantage.
 *
 * Messages come from a synchronous subscription that is emptied right after the loop has polled.
 * All functions are for the loop's thread; links_open and links_close block for a moment.
 */
#ifndef CLIENTS_BENCH_BENCH_LINK_H
#define CLIENTS_BENCH_BENCH_LINK_H

#include "base/options.h"
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

struct link {
    natsConnection *connection;
    natsSubscription *subscription;
    char inbox[LINK_INBOX_BYTES]; /* what replies' subjects begin with, and a dot behind it */
};

struct links {
    uv_loop_t *loop;
    size_t count;
    struct link *links; /* owned */
    natsOptions *options;
    uint64_t nobody;
};

/*
 * Opens `count` connections. With `subject` NULL each of them subscribes to an inbox of its own;
 * otherwise to `subject`, in the queue group `q`. Returns 0, or -1 with a line on `err`; then there
 * is nothing to close.
 */
int links_open(struct links *links, uv_loop_t *loop, const struct link_settings *settings,
               size_t count, const char *subject, FILE *err);

/*
 * Hands on what has been read; `receive` borrows the message. Returns how many there were. The
 * broker's word that nobody listens to a request is not among them: the library keeps it from a
 * synchronous subscription, with the subject that would say which request it was; `nobody` counts
 * these.
 */
size_t links_drain(struct links *links, void (*receive)(void *data, natsMsg *message), void *data);

/* Closes the connections and runs the loop until their handles are gone. */
void links_close(struct links *links);

/* Ends the library's threads, at the end of the program. */
void links_end_library(void);

#endif
