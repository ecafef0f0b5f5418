#include "clients/bench/report.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

const double report_fractions[REPORT_PERCENTILES] = {0.5, 0.9, 0.99, 0.999};
const char *const report_percentile_names[REPORT_PERCENTILES] = {"p50", "p90", "p99", "p99.9"};

/* ---- Table ---- */

static void print_latency_row(const char *name, double rate, const struct histogram *h, FILE *out)
{
    fprintf(out, "%-10s %11.0f", name, rate);
    for (int i = 0; i < REPORT_PERCENTILES; i++)
        fprintf(out, " %9.3f", (double)histogram_percentile(h, report_fractions[i]) / 1e6);
    fprintf(out, " %9.3f\n", (double)h->maximum / 1e6);
}

static int compare_seconds(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a;
    uint32_t y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void print_seconds(const struct measurement *m, FILE *out)
{
    size_t count = measurement_full_seconds(m);
    uint32_t *sorted = count < 2 ? NULL : malloc(count * sizeof *sorted);

    if (sorted == NULL)
        return;
    memcpy(sorted, m->seconds, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, compare_seconds);
    fprintf(out,
            "throughput of a second: lowest %" PRIu32 ", median %" PRIu32 ", highest %" PRIu32 "\n",
            sorted[0], sorted[count / 2], sorted[count - 1]);
    free(sorted);
}

static void print_errors(const struct measurement *m, FILE *out)
{
    char text[16];

    if (m->errors == 0) {
        fputs("errors: none\n", out);
        return;
    }
    fprintf(out, "errors: %" PRIu64 " (", m->errors);
    const char *separator = "";
    for (int code = 0; code < ENGINE_CODES; code++) {
        if (m->errors_by_code[code] == 0)
            continue;
        fprintf(out, "%s%s: %" PRIu64, separator, engine_code_text(code, text),
                m->errors_by_code[code]);
        separator = ", ";
    }
    fputs(")\n", out);
}

static void print_loop(const struct bench_settings *s, FILE *out)
{
    if (s->rate > 0)
        fprintf(out, "open loop, %" PRIu64 "/s due", s->rate);
    else
        fprintf(out, "closed loop, %" PRIu64 " outstanding", s->outstanding);
    fprintf(out, ", %" PRIu64 " connection%s, %" PRIu64 " chats, ", s->connections,
            s->connections == 1 ? "" : "s", s->chats);
    if (s->zipf > 0)
        fprintf(out, "Zipf %g", s->zipf);
    else
        fputs("uniform", out);
    fprintf(out, ", %" PRIu64 "-byte text\n", s->text_bytes);
}

void report_print(const struct bench_settings *s, const struct measurement *m, FILE *out)
{
    double seconds = measurement_seconds(m);

    fprintf(out, "%s to the %s: ", s->workload, m->target);
    print_loop(s, out);
    fprintf(out, "%.3f s, %" PRIu64 " replies; the load generator used %.0f%% of a core\n\n",
            seconds, m->completed,
            seconds > 0 ? 100 * m->client_cpu_s / (seconds + (double)s->warmup_ms / 1000) : 0);
    fprintf(out, "%-10s %11s %9s %9s %9s %9s %9s\n", "", "per second", "p50 ms", "p90 ms", "p99 ms",
            "p99.9 ms", "max ms");
    print_latency_row("all", measurement_rate(m), &m->latency, out);
    for (int kind = 0; kind < BENCH_KINDS; kind++) {
        const struct measured_kind *k = &m->kinds[kind];
        if (s->shares[kind] > 0 && s->shares[kind] < 1)
            print_latency_row(bench_kind_name((enum bench_kind)kind),
                              seconds > 0 ? (double)k->replies / seconds : 0, &k->latency, out);
    }
    fputs("\n", out);
    print_seconds(m, out);
    print_errors(m, out);
}

void report_print_verification(const struct verification *v, FILE *out)
{
    fprintf(out,
            "verification %s: %" PRIu64 " acknowledged, %" PRIu64 " read; %" PRIu64
            " missing, %" PRIu64 " repeated, %" PRIu64 " misplaced, %" PRIu64 " altered, %" PRIu64
            " gaps, %" PRIu64 " out of order, %" PRIu64 " chats not read; %" PRIu64
            " there without acknowledgement\n",
            verification_passed(v) ? "passed" : "FAILED", v->acknowledged, v->read, v->missing,
            v->repeated, v->misplaced, v->altered, v->gaps, v->out_of_order, v->unread_chats,
            v->unacknowledged);
}

/* ---- JSON ---- */

static json_t *number(uint64_t value)
{
    return json_integer((json_int_t)value);
}

/* Three decimals are all that is known. */
static json_t *rounded(double value)
{
    char text[64];

    snprintf(text, sizeof text, "%.3f", value);
    return json_real(strtod(text, NULL));
}

json_t *report_latency_json(const struct histogram *latency)
{
    json_t *json = json_object();

    for (int i = 0; i < REPORT_PERCENTILES; i++)
        json_object_set_new(
            json, report_percentile_names[i],
            rounded((double)histogram_percentile(latency, report_fractions[i]) / 1e3));
    json_object_set_new(json, "max", rounded((double)latency->maximum / 1e3));
    json_object_set_new(json, "mean", rounded(histogram_mean(latency) / 1e3));
    json_object_set_new(json, "count", number(latency->total));
    return json;
}

static json_t *kind_json(const struct measurement *m, enum bench_kind kind)
{
    const struct measured_kind *k = &m->kinds[kind];
    double seconds = measurement_seconds(m);

    return json_pack("{s:o,s:o,s:o,s:o}", "throughput_per_second",
                     rounded(seconds > 0 ? (double)k->replies / seconds : 0), "reply_bytes_mean",
                     rounded(measurement_reply_bytes(m, kind)), "messages", number(k->messages),
                     "latency_us", report_latency_json(&k->latency));
}

static json_t *kinds_json(const struct measurement *m)
{
    json_t *json = json_object();

    for (int kind = 0; kind < BENCH_KINDS; kind++)
        if (m->kinds[kind].replies > 0)
            json_object_set_new(json, bench_kind_name((enum bench_kind)kind),
                                kind_json(m, (enum bench_kind)kind));
    return json;
}

static json_t *errors_json(const struct measurement *m)
{
    json_t *json = json_object();
    char text[16];

    for (int code = 0; code < ENGINE_CODES; code++)
        if (m->errors_by_code[code] > 0)
            json_object_set_new(json, engine_code_text(code, text),
                                number(m->errors_by_code[code]));
    return json;
}

static json_t *seconds_json(const struct measurement *m)
{
    json_t *json = json_array();
    size_t count = measurement_full_seconds(m);

    for (size_t i = 0; i < count; i++)
        json_array_append_new(json, number(m->seconds[i]));
    return json;
}

json_t *report_settings_json(const struct bench_settings *s)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:s}", "workload", s->workload,
                     "chats", number(s->chats), "zipf", json_real(s->zipf), "text_bytes",
                     number(s->text_bytes), "outstanding", number(s->outstanding), "clients",
                     number(s->connections), "rate", number(s->rate), "warmup_ms",
                     number(s->warmup_ms), "seed", number(s->seed), "prefill", number(s->prefill),
                     "limit", number(s->limit), "page", s->page_text);
}

json_t *report_json(const struct measurement *m)
{
    return json_pack("{s:s,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "target", m->target, "seconds",
                     rounded(measurement_seconds(m)), "completed", number(m->completed),
                     "throughput_per_second", rounded(measurement_rate(m)), "latency_us",
                     report_latency_json(&m->latency), "kinds", kinds_json(m), "errors",
                     number(m->errors), "errors_by_code", errors_json(m), "per_second",
                     seconds_json(m), "client_cpu_seconds", rounded(m->client_cpu_s));
}

json_t *report_verification_json(const struct verification *v)
{
    return json_pack("{s:b,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "passed",
                     (int)verification_passed(v), "acknowledged", number(v->acknowledged), "read",
                     number(v->read), "missing", number(v->missing), "repeated",
                     number(v->repeated), "misplaced", number(v->misplaced), "altered",
                     number(v->altered), "gaps", number(v->gaps), "out_of_order",
                     number(v->out_of_order), "unread_chats", number(v->unread_chats),
                     "unacknowledged", number(v->unacknowledged));
}

int report_print_json(json_t *json, FILE *out)
{
    int status = json == NULL ? -1 : json_dumpf(json, out, JSON_INDENT(2));

    json_decref(json);
    if (status == 0)
        putc('\n', out);
    return status;
}
