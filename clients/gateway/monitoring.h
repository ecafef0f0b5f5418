/*
 * What operators and their tools ask for, as a part of the gateway: GET /metrics and GET /readyz.
 * Both ask the service over the broker, once for all who ask within a second. Loop thread only.
 */
#ifndef GATEWAY_MONITORING_H
#define GATEWAY_MONITORING_H

#include "clients/gateway/gateway.h"
#include "clients/gateway/metrics.h"

extern const struct gateway_part monitoring_part;

/* The handlers of the two routes. */
void monitoring_metrics(struct exchange *exchange);
void monitoring_readyz(struct exchange *exchange);

void monitoring_count_refusal(struct gateway *gateway, enum metrics_refusal refusal);

#endif
