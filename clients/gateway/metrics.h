/*
 * What the gateway counts by itself: requests by route and code, how long they took, and who was
 * refused for what reason. Loop thread only.
 */
#ifndef GATEWAY_METRICS_H
#define GATEWAY_METRICS_H

#include "clients/gateway/metrics_text.h"

/* X(id, value of the label "reason") */
#define METRICS_REFUSALS(X)                                                                        \
    X(CREDENTIALS, "credentials")             /* 401 */                                            \
    X(NAMESPACE, "namespace")                 /* 403, or 400 for one that is none */               \
    X(RATE_TOKEN, "rate_token")               /* 429 */                                            \
    X(RATE_ADDRESS, "rate_address")           /* 429 */                                            \
    X(CONNECTIONS_TOKEN, "connections_token") /* 429 */

enum metrics_refusal {
#define X(id, label) METRICS_REFUSED_##id,
    METRICS_REFUSALS(X)
#undef X
        METRICS_REFUSAL_COUNT
};

struct metrics;

/* For these routes, borrowed for ever; names that come twice count together. NULL without memory.
 */
struct metrics *metrics_create(const char *const *routes, size_t count);
void metrics_free(struct metrics *metrics); /* NULL does nothing */

/* A request has been answered, or, with code 0, its client left before. A route that is NULL or not
 * known counts as "other". */
void metrics_request(struct metrics *metrics, const char *route, int code, uint64_t took_us);
void metrics_refuse(struct metrics *metrics, enum metrics_refusal refusal);

/* All of it, and the figures of this process. */
void metrics_write(const struct metrics *metrics, struct metrics_text *text);
void metrics_write_process(struct metrics_text *text);

#endif
