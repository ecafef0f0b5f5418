/* GET /chat/Events, a text/event-stream: shows a chat. For the loop's thread. */
#ifndef GATEWAY_EVENTS_H
#define GATEWAY_EVENTS_H

#include "clients/gateway/exchange.h"

void events_handle(struct exchange *exchange);

#endif
