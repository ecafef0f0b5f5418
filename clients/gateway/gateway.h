/*
 * The gateway as its parts see it: one struct, made by chat-gateway_main.c before anything starts
 * and gone after everything has ended, and the two seams where parts plug in.
 *
 *     socket ─▶ http_connection ─▶ route ─▶ guard ─▶ body ─▶ handler ─▶ libchat ─▶ broker
 *                (checks, limits)           (who?                │
 *                                            too many?)          └─▶ answer, stream or WebSocket
 *
 * All of it is on one libuv loop; nothing here may block.
 */
#ifndef GATEWAY_GATEWAY_H
#define GATEWAY_GATEWAY_H

#include "clients/gateway/exchange.h"
#include "clients/gateway/gateway_settings.h"
#include "clients/libchat/chat.h"
#include <uv.h>

struct http_server;
struct route;
struct auth;
struct access;
struct monitoring;
struct hub;

/*
 * Who may come in: asked for each request to a guarded route when its head has been read, before
 * its body is. Both functions answer the exchange themselves with exchange_fail when they return
 * -1, with exchange_add_field before it for WWW-Authenticate or Retry-After. They look at
 * exchange_header, exchange_argument, exchange_address; there is no body yet.
 */
struct guard {
    /*
     * From credentials (header authorization, argument access_token) and the wanted namespace
     * (header micro-namespace, argument namespace) to an identity. Returns 0 with `identity` filled
     * in, or -1 when the exchange has been refused (401, 403, 400 for a namespace that is none).
     * NULL: guard_anybody.
     */
    int (*identify)(struct exchange *exchange, struct identity *identity);
    /* Whether the identity and the address have not had too much already. Returns 0, or -1 when
     * it has been refused (429). NULL: everybody has not. */
    int (*admit)(struct exchange *exchange, const struct identity *identity);
};

/* --auth none: everybody is a trusted caller in the namespace they name (chat_namespace_is_valid).
 */
int guard_anybody(struct exchange *exchange, struct identity *identity);
/* The namespace that the request names by header or argument: "" when it names none. Returns 0, or
 * -1 when it was refused (400: none, or two different ones). For whoever identifies. */
int guard_wanted_namespace(struct exchange *exchange, char name[IDENTITY_NAMESPACE_BYTES]);

/* What became of one exchange, for who counts. Valid for the call. */
struct exchange_outcome {
    const struct route *route; /* NULL: a file, or nothing that there is */
    int code;                  /* 101 and 200 of streams come when they begin; 0: the client left */
    uint64_t took_us;          /* from the head's first byte to the answer */
    size_t received_bytes;     /* of the body */
    size_t sent_bytes;         /* of the body; 0 for streams */
};

struct gateway {
    uv_loop_t *loop;
    const struct gateway_settings *settings;
    struct chat_client *client;
    struct http_server *server; /* http_server.h: counts of connections */
    bool broker_connected;
    bool draining; /* no new streams or WebSockets now: the gateway is about to stop */

    struct guard guard;
    /* Called for every exchange that ends, or NULL. */
    void (*observe)(struct gateway *gateway, const struct exchange_outcome *outcome);

    /* Each set by its own part's start, and looked at by nobody else. */
    struct auth *auth;
    struct access *access;
    struct monitoring *monitoring;
    struct hub *hub;
};

/*
 * A part of the gateway with a life of its own: a line in the table of gateway_parts.c. Functions
 * may be NULL. Parts are started in the table's order and stopped in the reverse one.
 */
struct gateway_part {
    const char *name;
    /* Before the sockets listen; the client is there, maybe not connected yet. Plugs itself into
     * `guard`, `observe` and so on. Returns 0, or -1 when it has said on stderr, by
     * LOG_ERROR, what is wrong and what would be right: the gateway then ends with status 1. */
    int (*start)(struct gateway *gateway);
    /* On SIGHUP: reads its files again; what it cannot read it says, and keeps the old. */
    void (*reload)(struct gateway *gateway);
    /* On SIGTERM, when no new connection is taken any more. WebSockets and streams are closed by
     * the server itself. */
    void (*drain)(struct gateway *gateway);
    /* All exchanges, streams and WebSockets are gone, the client is still there. Closes handles and
     * gives back memory; handles may still be closing when it returns. */
    void (*stop)(struct gateway *gateway);
};

extern const struct gateway_part *const gateway_parts[];
extern const size_t gateway_part_count;

#endif
