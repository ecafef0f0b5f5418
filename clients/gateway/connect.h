/* GET /chat/Connect, a WebSocket: shows a chat and sends to it. For the loop's thread. */
#ifndef GATEWAY_CONNECT_H
#define GATEWAY_CONNECT_H

#include "clients/gateway/exchange.h"

void connect_handle(struct exchange *exchange);

#endif
