/*
 * The workload against the service and against a responder that does nothing, in turn: same broker,
 * same client, same requests, replies of the same size. The ratio says how much of what this
 * machine could do the service reaches; what the machine does besides disturbs both.
 */
#ifndef CLIENTS_BENCH_COMPARE_H
#define CLIENTS_BENCH_COMPARE_H

#include "clients/bench/load.h"
#include "clients/bench/verify.h"

/* Runs all pairs and prints what came out, on `out`. Returns an exit status. */
int compare_run(struct load *load, struct engine *engine, FILE *out, FILE *err);

#endif
