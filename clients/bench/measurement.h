/*
 * What a run measured. Latencies are those of requests that were due in the window, throughput is
 * what was completed in it; the warm-up lies before the window. One thread.
 */
#ifndef CLIENTS_BENCH_MEASUREMENT_H
#define CLIENTS_BENCH_MEASUREMENT_H

#include "clients/bench/bench_settings.h"
#include "clients/bench/engine.h"
#include "clients/bench/histogram.h"

struct measured_kind {
    uint64_t replies; /* good ones, in the window */
    uint64_t reply_bytes;
    uint64_t messages; /* in pages of History */
    struct histogram latency;
};

struct measurement {
    const char *target; /* "service" or "responder" */
    uint64_t begin_ns;
    uint64_t end_ns;
    uint64_t completed;       /* of all kinds, good, in the window */
    struct histogram latency; /* of all kinds */
    struct measured_kind kinds[BENCH_KINDS];
    uint64_t errors;
    uint64_t errors_by_code[ENGINE_CODES];
    uint32_t *seconds; /* owned; completed in each second of the window, the last one maybe cut */
    size_t second_count;
    size_t second_capacity;
    double client_cpu_s; /* what the load generator itself used */
};

/* NULL when out of memory; to be freed with measurement_free, which takes NULL too. */
struct measurement *measurement_new(const char *target);
void measurement_free(struct measurement *m);

/* A good reply. It counts for throughput if it came in the window, for latency if it was due in
 * it. */
void measurement_record(struct measurement *m, enum bench_kind kind, uint64_t due_ns,
                        uint64_t now_ns, size_t reply_bytes, uint64_t messages);
void measurement_fail(struct measurement *m, uint64_t due_ns, int code);

double measurement_seconds(const struct measurement *m);
double measurement_rate(const struct measurement *m); /* good replies per second */
double measurement_reply_bytes(const struct measurement *m, enum bench_kind kind); /* mean */
/* Seconds that were measured in full. */
size_t measurement_full_seconds(const struct measurement *m);

/* What this process has used of processors until now, in seconds. */
double measurement_cpu_seconds(void);

#endif
