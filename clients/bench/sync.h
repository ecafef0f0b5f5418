/* What the disk takes to make a write durable. Blocking, one thread. */
#ifndef CLIENTS_BENCH_SYNC_H
#define CLIENTS_BENCH_SYNC_H

#include "clients/bench/bench_settings.h"
#include "clients/bench/histogram.h"

/* Fills in the latencies of the fdatasyncs alone, with `direct` of write and fdatasync. Returns 0,
 * or -1 with a line on `err`. */
int sync_measure(const struct sync_settings *settings, struct histogram *latency, FILE *err);

#endif
