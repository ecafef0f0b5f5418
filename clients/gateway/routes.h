/*
 * Which path is answered by whom: one table, in routes.c. A path that is not in it is looked for
 * among the embedded files (web_files.h), and is 404 otherwise; a method that the path does not
 * have is 405 with Allow. HEAD comes with GET, and OPTIONS with everything, by themselves.
 *
 * To add a route, write its handler and a line in the table.
 */
#ifndef GATEWAY_ROUTES_H
#define GATEWAY_ROUTES_H

#include "clients/gateway/exchange.h"

enum route_flags {
    ROUTE_OPEN = 0,           /* for everybody: neither identity nor limits */
    ROUTE_GUARDED = 1 << 0,   /* the guard (gateway.h) is asked first */
    ROUTE_WEBSOCKET = 1 << 1, /* only as a WebSocket handshake, which has been checked */
    ROUTE_LIMITED = 1 << 2,   /* not guarded, but still asks the guard's `admit` */
};

struct route {
    const char *method; /* "GET" or "POST" */
    const char *path;   /* all of it */
    const char *name;   /* for metrics, logs and ids of errors: "Send" */
    unsigned flags;
    void (*handle)(struct exchange *exchange);
};

/* The route, or NULL. When the path exists and the method does not fit, `*allow` becomes what would
 * ("GET, HEAD, OPTIONS"), otherwise NULL; valid for ever. */
const struct route *routes_find(const char *method, const char *path, const char **allow);

/* What to show for the path, for those who count by route: the i-th of them, NULL past the last. */
const struct route *routes_at(size_t i);

#endif
