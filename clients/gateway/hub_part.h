/* The hub (hub.h) as a part of the gateway (gateway.h). */
#ifndef GATEWAY_HUB_PART_H
#define GATEWAY_HUB_PART_H

#include "clients/gateway/gateway.h"

extern const struct gateway_part hub_part;

#endif
