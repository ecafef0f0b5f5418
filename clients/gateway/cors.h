/*
 * Which pages of elsewhere may call the gateway: those of --cors-origin, each compared exactly, and
 * never all of them (the "*"). For the loop's thread.
 */
#ifndef GATEWAY_CORS_H
#define GATEWAY_CORS_H

#include "clients/gateway/exchange.h"

/* Adds the fields that let the request's origin see the answer, if it may. */
void cors_note_origin(struct exchange *exchange);
/* Answers OPTIONS, and so also what browsers ask before a call from elsewhere. */
void cors_answer_options(struct exchange *exchange, const char *allow);
/* Whether a page of the request's origin may open a WebSocket, or call where no token is needed:
 * one of --cors-origin, or of the host that it calls; what is no browser has no origin, and may. */
bool cors_allows_websocket(const struct exchange *exchange);
/* Whether the Host that was called is an address, localhost, or the host of one of --cors-origin.
 * Any other name may be a stranger's, who lets it lead to this machine so that the stranger's page
 * counts as the gateway's own. */
bool cors_host_is_known(const struct exchange *exchange);

#endif
