/*
 * What "chat-bench fanout" measures: one chat, many WebSockets that follow it, and how long each
 * message takes from when it was due to be sent to each of them. Runs a loop of its own.
 */
#ifndef CLIENTS_BENCH_FANOUT_H
#define CLIENTS_BENCH_FANOUT_H

#include "clients/bench/gateway_target.h"
#include "clients/bench/histogram.h"

struct fanout_result {
    uint64_t messages;     /* due, and sent */
    uint64_t refused;      /* not acknowledged */
    uint64_t deliveries;   /* of messages to watchers */
    uint64_t missing;      /* acknowledged, and not delivered within 10 seconds */
    uint64_t out_of_order; /* or not there, or there again */
    double seconds;        /* from the first message's due time to the last delivery */
    double client_cpu_s;
    struct histogram latency;
};

/*
 * Returns 0, or -1 with a line on `err` when the gateway cannot be reached, refuses the chat or a
 * watcher, or closes a connection.
 */
int fanout_run(const struct gateway_target *target, struct fanout_result *result, FILE *err);

#endif
