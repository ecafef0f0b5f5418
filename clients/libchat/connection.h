/*
 * The client's connection to the broker: one link after the other, for ever, with the same
 * subscriptions on each. All functions are for the loop's thread; all handlers are called there,
 * never from within the function that caused them.
 */
#ifndef LIBCHAT_CONNECTION_H
#define LIBCHAT_CONNECTION_H

#include "clients/libchat/chat.h"
#include <nats/nats.h>

#define CONNECTION_TEXT_BYTES 512

struct connection;

struct connection_handlers {
    void *data;
    /* There is a connection, and the subscriptions are on their way to the broker, ahead of
     * whatever is published from now on. */
    void (*up)(void *data);
    /* There is none; `status` is CHAT_ECONNECT, or CHAT_EDENIED when the broker will not have us,
     * and `detail` says why. Also after each attempt that failed. */
    void (*down)(void *data, int status, const char *detail);
    /* What the broker does not permit: `text` holds the subject. */
    void (*denied)(void *data, const char *text);
};

/* Embedded by whoever wants messages; zero-initialised. */
struct connection_subscription {
    const char *subject;     /* must stay */
    const char *queue_group; /* the same; NULL: none */
    void *data;
    void (*receive)(void *data, natsMsg *message); /* lent for the call */
    /* Nobody has subscribed to the subject of a request whose reply would come here; NULL: not of
     * interest. The library keeps to itself which request that was. */
    void (*no_responders)(void *data);

    /* The connection's. */
    natsSubscription *subscription;
    struct connection_subscription *next;
    struct connection_subscription *previous;
};

/* Returns 0 or a chat_status: CHAT_EINVAL, CHAT_ENOMEM, CHAT_ESYSTEM. Copies the options. */
int connection_start(struct connection **connection, uv_loop_t *loop,
                     const struct chat_options *options,
                     const struct connection_handlers *handlers);

/* On this connection and all later ones. */
void connection_subscribe(struct connection *connection,
                          struct connection_subscription *subscription);
/* `receive` is not called any more. Harmless if it was not subscribed. */
void connection_unsubscribe(struct connection *connection,
                            struct connection_subscription *subscription);

bool connection_is_up(const struct connection *connection);
/* The addresses as configured, without secrets; for messages. */
const char *connection_urls(const struct connection *connection);

/* Publishes, with a reply subject and the header Chat-User unless these are NULL. Returns the
 * library's status; NATS_CONNECTION_CLOSED when there is no connection. */
natsStatus connection_publish(struct connection *connection, const char *subject, const char *reply,
                              const char *acting_user, const char *traceparent,
                              const uint8_t *bytes, size_t size);

/* No handler is called any more but `closed`, when nothing is left. */
void connection_close(struct connection *connection, void (*closed)(void *data), void *data);

#endif
