/*
 * Who comes in and how often, as a part of the gateway: it plugs auth.h and rate_limit.h into the
 * guard, reads the files again on SIGHUP, and ends what stays open (WebSockets, event streams) when
 * the token that opened it does not count any more. Loop thread only.
 */
#ifndef GATEWAY_ACCESS_H
#define GATEWAY_ACCESS_H

#include "clients/gateway/gateway.h"
#include "clients/gateway/rate_limit.h"

extern const struct gateway_part access_part;

/*
 * For whoever keeps a connection open in somebody's name: embedded there, zero-initialised. It
 * counts for the limit of its token, until it is ended.
 */
struct access_lease {
    /* The identity does not count any more: close, soon. Comes at most once, from the loop, never
     * from within a function of this header; the lease is still to be ended. */
    void (*revoked)(void *data);
    void *data;

    struct identity identity; /* all that follows is access.c's */
    struct access_lease *next;
    struct access_lease *previous;
    struct gateway *gateway; /* NULL: not begun */
    uint8_t address[RATE_LIMIT_KEY_BYTES];
    bool told;
};

/*
 * Begins it for the identity of the exchange, before that becomes a WebSocket or a stream. Returns
 * 0, or -1 when the exchange has been refused (429): the token has as many open as it may.
 */
int access_lease_begin(struct access_lease *lease, struct exchange *exchange)
    __attribute__((warn_unused_result));
/* Whether one request more may be made over it: as with those that come by themselves, each counts
 * for its address and its token. Otherwise -1, and `detail` says who has to wait, and how long. */
int access_lease_take(struct access_lease *lease, char *detail, size_t detail_bytes)
    __attribute__((warn_unused_result));
/* Harmless when it was not begun, or ended before. */
void access_lease_end(struct access_lease *lease);

/* Whether it is a token for any user in any namespace, or nobody is asked for one: whom operator's
 * pages are for. */
bool access_is_operator(const struct identity *identity);

#endif
