/*
 * The calls of the service over HTTP: JSON in, a call of libchat, JSON out, as the service itself
 * would answer in JSON. Handlers of routes; for the loop's thread.
 */
#ifndef GATEWAY_HTTP_CALLS_H
#define GATEWAY_HTTP_CALLS_H

#include "clients/gateway/exchange.h"

void http_calls_new(struct exchange *exchange);
void http_calls_send(struct exchange *exchange);
/* POST with a body, GET with arguments of the same names. */
void http_calls_history(struct exchange *exchange);
/* The process is there and its loop turns. */
void http_calls_healthz(struct exchange *exchange);

#endif
