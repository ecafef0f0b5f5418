/*
 * What was measured, for people (a table), for programs (JSON) and as a drawing (SVG). One thread.
 */
#ifndef CLIENTS_BENCH_REPORT_H
#define CLIENTS_BENCH_REPORT_H

#include "clients/bench/measurement.h"
#include "clients/bench/verify.h"
#include <jansson.h>
#include <stdio.h>

/* The percentiles that are reported, and their names. */
#define REPORT_PERCENTILES 4
extern const double report_fractions[REPORT_PERCENTILES];
extern const char *const report_percentile_names[REPORT_PERCENTILES];

void report_print(const struct bench_settings *settings, const struct measurement *m, FILE *out);
void report_print_verification(const struct verification *v, FILE *out);

/* New references; NULL when out of memory. */
json_t *report_settings_json(const struct bench_settings *settings);
json_t *report_json(const struct measurement *m);
json_t *report_verification_json(const struct verification *v);
json_t *report_latency_json(const struct histogram *latency);

/* Prints and takes the reference. Returns 0 or -1, as nothing was printed. */
int report_print_json(json_t *json, FILE *out);

/*
 * Draws one or more measurements over each other: latency by percentile, and throughput over time.
 * Returns 0, or -1 with a line on `err`.
 */
int report_draw(const char *path, const char *title, const struct measurement *const *measurements,
                size_t count, FILE *err);

#endif
