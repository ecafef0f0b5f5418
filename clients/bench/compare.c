/*
 * One pair after the other: pause, service, pause, responder. The responder is started after the
 * first run of the service, when it is known how large the replies are; it lives until the end, and
 * costs nothing while nobody asks it.
 *
 * Of each figure the median over the runs is taken, and the ratio of the two medians: a run that
 * was disturbed then counts as one, however much it was.
 */
#include "clients/bench/compare.h"

#include "base/uuid.h"
#include "clients/bench/report.h"
#include "clients/bench/responder.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum side { SERVICE, RESPONDER, SIDES };
static const char *const side_names[] = {"service", "responder"};

/* Throughput, and latencies in milliseconds. */
#define FIGURES (1 + REPORT_PERCENTILES)

struct comparison {
    struct load *load;
    struct engine *engine;
    const struct bench_settings *settings;
    struct measurement *(*runs)[SIDES]; /* owned; by pair */
    size_t pairs;                       /* complete ones */
    char prefix[17];                    /* of the responder */
    pid_t pid;                          /* of the responder; 0: none of ours */
    FILE *out;
    FILE *err;
};

static double figure(const struct measurement *m, int index)
{
    if (index == 0)
        return measurement_rate(m);
    return (double)histogram_percentile(&m->latency, report_fractions[index - 1]) / 1e6;
}

static const char *figure_name(int index)
{
    return index == 0 ? "throughput" : report_percentile_names[index - 1];
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(const struct comparison *c, enum side side, int index)
{
    double values[1000] = {0};

    for (size_t i = 0; i < c->pairs; i++)
        values[i] = figure(c->runs[i][side], index);
    qsort(values, c->pairs, sizeof *values, compare_doubles);
    return c->pairs % 2 == 1 ? values[c->pairs / 2]
                             : (values[c->pairs / 2 - 1] + values[c->pairs / 2]) / 2;
}

static double ratio(const struct comparison *c, int index)
{
    double below = median(c, RESPONDER, index);

    return below > 0 ? median(c, SERVICE, index) / below : 0;
}

/* ---- The responder ---- */

static uint64_t size_like(const struct measurement *m, enum bench_kind kind, uint64_t fallback)
{
    double bytes = measurement_reply_bytes(m, kind);

    return bytes < 2 ? fallback : (uint64_t)llround(bytes);
}

static int start_responder(struct comparison *c, const struct measurement *m)
{
    const struct measured_kind *history = &m->kinds[BENCH_HISTORY];
    struct uuid uuid;
    struct responder_settings s = {
        .broker = c->settings->broker,
        .prefix = c->prefix,
        .send_bytes = size_like(m, BENCH_SEND, 230),
        .new_bytes = size_like(m, BENCH_NEW, 40),
        .history_bytes = size_like(m, BENCH_HISTORY, 11000),
        .history_messages = 1,
    };

    if (history->replies > 0 && history->messages > 0)
        s.history_messages =
            (uint64_t)llround((double)history->messages / (double)history->replies);
    if (s.history_messages == 0 || s.history_bytes / s.history_messages < 2)
        s.history_messages = 1;
    /* As long as "chat", and another one each time, so that two comparisons do not meet. */
    uuid_make(&uuid);
    snprintf(c->prefix, sizeof c->prefix, "%02x%02x", uuid.bytes[0], uuid.bytes[1]);
    c->pid = responder_start(&s, c->err);
    return c->pid < 0 ? -1 : 0;
}

/* ---- Runs ---- */

static bool run_side(struct comparison *c, enum side side, struct measurement **result)
{
    struct measurement *m = measurement_new(side_names[side]);

    *result = m;
    if (m == NULL)
        fputs(BENCH_PROGRAM ": out of memory\n", c->err);
    return m != NULL && engine_pause(c->engine, c->settings->pause_ms) &&
           load_run(c->load, c->engine, side == SERVICE ? "chat" : c->prefix, m);
}

static void print_pair(const struct comparison *c, size_t pair)
{
    const struct measurement *service = c->runs[pair][SERVICE];
    const struct measurement *responder = c->runs[pair][RESPONDER];
    double rate = measurement_rate(responder);

    if (c->settings->json)
        return;
    fprintf(c->out, "pair %zu: service %.0f/s, responder %.0f/s, ratio %.3f; p99 %.3f and %.3f ms",
            pair + 1, measurement_rate(service), rate,
            rate > 0 ? measurement_rate(service) / rate : 0, figure(service, 3),
            figure(responder, 3));
    if (service->errors + responder->errors > 0)
        fprintf(c->out, "; errors %llu and %llu", (unsigned long long)service->errors,
                (unsigned long long)responder->errors);
    fputc('\n', c->out);
    fflush(c->out);
}

static bool run_pair(struct comparison *c)
{
    struct measurement **runs = c->runs[c->pairs];

    if (!run_side(c, SERVICE, &runs[SERVICE]))
        return false;
    if (c->prefix[0] == '\0' && start_responder(c, runs[SERVICE]) != 0)
        return false;
    if (!run_side(c, RESPONDER, &runs[RESPONDER]))
        return false;
    print_pair(c, c->pairs++);
    return true;
}

/* ---- What came out ---- */

static uint64_t errors_of(const struct comparison *c)
{
    uint64_t errors = 0;

    for (size_t i = 0; i < c->pairs; i++)
        errors += c->runs[i][SERVICE]->errors + c->runs[i][RESPONDER]->errors;
    return errors;
}

static void print_table(const struct comparison *c)
{
    fprintf(c->out, "\n%s, medians of %zu pair%s:\n%-12s %12s %12s %12s\n", c->settings->workload,
            c->pairs, c->pairs == 1 ? "" : "s", "", side_names[SERVICE], side_names[RESPONDER],
            "ratio");
    for (int i = 0; i < FIGURES; i++)
        fprintf(c->out,
                i == 0 ? "%-12s %12.0f %12.0f %12.3f  per second\n"
                       : "%-12s %12.3f %12.3f %12.3f  ms\n",
                figure_name(i), median(c, SERVICE, i), median(c, RESPONDER, i), ratio(c, i));
    fprintf(c->out, "errors: %llu\n", (unsigned long long)errors_of(c));
}

static json_t *figures_json(const struct comparison *c,
                            double (*value)(const struct comparison *, enum side, int),
                            enum side side)
{
    json_t *json = json_object();

    for (int i = 0; i < FIGURES; i++)
        json_object_set_new(json, figure_name(i), json_real(value(c, side, i)));
    return json;
}

static double ratio_of_any(const struct comparison *c, enum side side, int index)
{
    (void)side;
    return ratio(c, index);
}

static json_t *comparison_json(const struct comparison *c)
{
    json_t *pairs = json_array();

    for (size_t i = 0; i < c->pairs; i++)
        json_array_append_new(
            pairs, json_pack("{s:o,s:o}", side_names[SERVICE], report_json(c->runs[i][SERVICE]),
                             side_names[RESPONDER], report_json(c->runs[i][RESPONDER])));
    return json_pack(
        "{s:o,s:o,s:o,s:o,s:I,s:o}", "settings", report_settings_json(c->settings), "service",
        figures_json(c, median, SERVICE), "responder", figures_json(c, median, RESPONDER), "ratio",
        figures_json(c, ratio_of_any, SERVICE), "errors", (json_int_t)errors_of(c), "pairs", pairs);
}

/* The pair whose ratio is the median one is drawn. */
static int draw(const struct comparison *c)
{
    size_t best = 0;
    double least = INFINITY;

    for (size_t i = 0; i < c->pairs; i++) {
        double off = fabs(measurement_rate(c->runs[i][SERVICE]) /
                              fmax(measurement_rate(c->runs[i][RESPONDER]), 1) -
                          ratio(c, 0));
        if (off < least) {
            least = off;
            best = i;
        }
    }
    const struct measurement *const both[] = {c->runs[best][SERVICE], c->runs[best][RESPONDER]};
    return report_draw(c->settings->svg, c->settings->workload, both, SIDES, c->err);
}

static int verify(const struct comparison *c, json_t *json)
{
    struct verification v;

    if (verify_run(&v, c->load, c->engine, c->err) != 0)
        return EXIT_FAILURE;
    if (json == NULL)
        report_print_verification(&v, c->out);
    else
        json_object_set_new(json, "verification", report_verification_json(&v));
    return verification_passed(&v) ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int show(const struct comparison *c)
{
    json_t *json = c->settings->json ? comparison_json(c) : NULL;
    int status = EXIT_SUCCESS;

    if (json == NULL)
        print_table(c);
    if (c->settings->verify)
        status = verify(c, json);
    if (json != NULL && report_print_json(json, c->out) != 0)
        status = EXIT_FAILURE;
    if (c->settings->svg != NULL && draw(c) != 0)
        status = EXIT_FAILURE;
    return status;
}

int compare_run(struct load *load, struct engine *engine, FILE *out, FILE *err)
{
    struct comparison c = {
        .load = load, .engine = engine, .settings = load->settings, .out = out, .err = err};
    size_t wanted = (size_t)load->settings->pairs;
    int status = EXIT_FAILURE;

    if (load->settings->responder != NULL)
        snprintf(c.prefix, sizeof c.prefix, "%s", load->settings->responder);
    c.runs = calloc(wanted, sizeof *c.runs);
    if (c.runs == NULL)
        return status;
    while (c.pairs < wanted && run_pair(&c))
        continue;
    responder_stop(c.pid);
    if (c.pairs > 0 && show(&c) == EXIT_SUCCESS && c.pairs == wanted)
        status = EXIT_SUCCESS;
    for (size_t i = 0; i < wanted; i++) {
        measurement_free(c.runs[i][SERVICE]);
        measurement_free(c.runs[i][RESPONDER]);
    }
    free(c.runs);
    return status;
}
