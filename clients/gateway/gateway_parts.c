/* The parts with a life of their own, in the order in which they start. */
#include "clients/gateway/access.h"
#include "clients/gateway/gateway.h"
#include "clients/gateway/hub_part.h"
#include "clients/gateway/monitoring.h"

const struct gateway_part *const gateway_parts[] = {
    &monitoring_part, &access_part, &hub_part, NULL, /* the end */
};

const size_t gateway_part_count = sizeof gateway_parts / sizeof gateway_parts[0] - 1;
