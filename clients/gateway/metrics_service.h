/*
 * The figures of every chatd, from what they say of themselves when asked for STATS over the
 * broker (io.nats.micro.v1.stats_response). Loop thread only.
 */
#ifndef GATEWAY_METRICS_SERVICE_H
#define GATEWAY_METRICS_SERVICE_H

#include "clients/gateway/metrics_text.h"
#include <stdbool.h>

#define METRICS_SERVICE_INSTANCES_MAX 64

/* What several instances said; zero-initialised. */
struct metrics_service {
    void *answers[METRICS_SERVICE_INSTANCES_MAX];
    size_t count;
};

/* Takes one answer in. False for what is none, and for one too many. */
bool metrics_service_add(struct metrics_service *service, const char *json, size_t size);
/* Forgets all answers. */
void metrics_service_clear(struct metrics_service *service);
void metrics_service_write(const struct metrics_service *service, struct metrics_text *text);

#endif
