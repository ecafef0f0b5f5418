/* The load of "chat-bench gateway": Sends by HTTP, in a closed loop. Runs a loop of its own. */
#ifndef CLIENTS_BENCH_GATEWAY_LOAD_H
#define CLIENTS_BENCH_GATEWAY_LOAD_H

#include "clients/bench/gateway_target.h"
#include "clients/bench/measurement.h"

/*
 * Makes the chats, warms up and measures. Returns 0, or -1 with a line on `err` when the gateway
 * cannot be reached, refuses to make chats or drops a connection.
 */
int gateway_load_run(const struct gateway_target *target, struct measurement *measurement,
                     FILE *err);

#endif
