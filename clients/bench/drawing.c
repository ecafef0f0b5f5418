/*
 * The drawing: on the left latency over percentile, both logarithmic, the way HdrHistogram plots it
 * (each step to the right leaves a tenth of the requests), and on the right throughput over time.
 */
#include "clients/bench/report.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <string.h>

#define PANEL_WIDTH 420.0
#define PANEL_HEIGHT 280.0
#define LEFT_X 70.0
#define RIGHT_X 580.0
#define TOP 60.0
#define BOTTOM (TOP + PANEL_HEIGHT)
/* p0 to p99.999 */
#define NINES 5
#define STEPS_PER_NINE 20

static const char *const colours[] = {"#1f6fb4", "#d9822b"};
#define COLOURS (sizeof colours / sizeof *colours)

struct scale {
    double low;
    double high;
};

static double y_of(const struct scale *scale, double value)
{
    return BOTTOM - PANEL_HEIGHT * (value - scale->low) / (scale->high - scale->low);
}

static void line(FILE *out, double x1, double y1, double x2, double y2)
{
    fprintf(out, "<line x1='%.1f' y1='%.1f' x2='%.1f' y2='%.1f' stroke='#ccc' stroke-width='1'/>\n",
            x1, y1, x2, y2);
}

static void text(FILE *out, double x, double y, const char *anchor, const char *words)
{
    fprintf(out, "<text x='%.1f' y='%.1f' text-anchor='%s'>", x, y, anchor);
    for (; *words != '\0'; words++) {
        switch (*words) {
        case '<':
            fputs("&lt;", out);
            break;
        case '&':
            fputs("&amp;", out);
            break;
        default:
            putc(*words, out);
        }
    }
    fputs("</text>\n", out);
}

/* ---- Latency ---- */

/* In powers of ten of a millisecond, at whole ones. */
static struct scale latency_scale(const struct measurement *const *ms, size_t count)
{
    struct scale scale = {0, 0};
    bool found = false;

    for (size_t i = 0; i < count; i++) {
        if (ms[i]->latency.total == 0)
            continue;
        double low = log10((double)histogram_percentile(&ms[i]->latency, 0) / 1e6 + 1e-6);
        double high = log10((double)ms[i]->latency.maximum / 1e6 + 1e-6);
        scale.low = found ? fmin(scale.low, floor(low)) : floor(low);
        scale.high = found ? fmax(scale.high, ceil(high)) : ceil(high);
        found = true;
    }
    if (scale.high <= scale.low)
        scale.high = scale.low + 1;
    return scale;
}

static void draw_latency_axes(FILE *out, const struct scale *scale)
{
    static const char *const names[] = {"0", "90 %", "99 %", "99.9 %", "99.99 %", "99.999 %"};
    char words[32];

    for (int nine = 0; nine <= NINES; nine++) {
        double x = LEFT_X + PANEL_WIDTH * nine / NINES;
        line(out, x, TOP, x, BOTTOM);
        text(out, x, BOTTOM + 18, "middle", names[nine]);
    }
    for (double power = scale->low; power <= scale->high; power++) {
        line(out, LEFT_X, y_of(scale, power), LEFT_X + PANEL_WIDTH, y_of(scale, power));
        snprintf(words, sizeof words, "%g ms", pow(10, power));
        text(out, LEFT_X - 6, y_of(scale, power) + 4, "end", words);
    }
    text(out, LEFT_X, TOP - 12, "start", "latency by percentile");
}

static void draw_latency(FILE *out, const struct scale *scale, const struct histogram *latency,
                         const char *colour)
{
    fprintf(out, "<polyline fill='none' stroke='%s' stroke-width='2' points='", colour);
    for (int step = 0; latency->total > 0 && step <= NINES * STEPS_PER_NINE; step++) {
        double nines = (double)step / STEPS_PER_NINE;
        double value = (double)histogram_percentile(latency, 1 - pow(10, -nines)) / 1e6 + 1e-6;
        fprintf(out, "%.1f,%.1f ", LEFT_X + PANEL_WIDTH * nines / NINES, y_of(scale, log10(value)));
    }
    fputs("'/>\n", out);
}

/* ---- Throughput ---- */

/* One, two or five times a power of ten, so that there are about five steps to `high`. */
static double step_of(double high)
{
    double power = pow(10, floor(log10(high / 5)));
    double part = high / 5 / power;

    return power * (part <= 1 ? 1 : part <= 2 ? 2 : part <= 5 ? 5 : 10);
}

static struct scale throughput_scale(const struct measurement *const *ms, size_t count)
{
    double high = 1;

    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < measurement_full_seconds(ms[i]); j++)
            high = fmax(high, ms[i]->seconds[j]);
    return (struct scale){0, step_of(high) * ceil(high / step_of(high))};
}

static size_t longest(const struct measurement *const *ms, size_t count)
{
    size_t seconds = 1;

    for (size_t i = 0; i < count; i++)
        if (measurement_full_seconds(ms[i]) > seconds)
            seconds = measurement_full_seconds(ms[i]);
    return seconds;
}

static void draw_throughput_axes(FILE *out, const struct scale *scale, size_t seconds)
{
    double step_s = step_of((double)seconds) < 1 ? 1 : step_of((double)seconds);
    char words[32];

    for (double s = 0; s <= (double)seconds; s += step_s) {
        double x = RIGHT_X + PANEL_WIDTH * s / (double)seconds;
        line(out, x, TOP, x, BOTTOM);
        snprintf(words, sizeof words, "%g s", s);
        text(out, x, BOTTOM + 18, "middle", words);
    }
    for (double value = 0; value <= scale->high * 1.0001; value += step_of(scale->high)) {
        line(out, RIGHT_X, y_of(scale, value), RIGHT_X + PANEL_WIDTH, y_of(scale, value));
        snprintf(words, sizeof words, "%g", value);
        text(out, RIGHT_X - 6, y_of(scale, value) + 4, "end", words);
    }
    text(out, RIGHT_X, TOP - 12, "start", "replies in each second");
}

static void draw_throughput(FILE *out, const struct scale *scale, size_t seconds,
                            const struct measurement *m, const char *colour)
{
    double width = PANEL_WIDTH / (double)seconds;

    fprintf(out, "<polyline fill='none' stroke='%s' stroke-width='2' points='", colour);
    for (size_t i = 0; i < measurement_full_seconds(m); i++)
        fprintf(out, "%.1f,%.1f %.1f,%.1f ", RIGHT_X + width * (double)i,
                y_of(scale, m->seconds[i]), RIGHT_X + width * (double)(i + 1),
                y_of(scale, m->seconds[i]));
    fputs("'/>\n", out);
}

/* ---- All of it ---- */

static void draw_legend(FILE *out, const struct measurement *const *ms, size_t count)
{
    char words[128];

    for (size_t i = 0; i < count; i++) {
        const struct histogram *h = &ms[i]->latency;
        double y = BOTTOM + 46 + 18 * (double)i;
        fprintf(out, "<rect x='%.1f' y='%.1f' width='12' height='12' fill='%s'/>\n", LEFT_X, y - 10,
                colours[i % COLOURS]);
        snprintf(words, sizeof words, "%s: %.0f/s, p50 %.3f ms, p99 %.3f ms, p99.9 %.3f ms",
                 ms[i]->target, measurement_rate(ms[i]), (double)histogram_percentile(h, 0.5) / 1e6,
                 (double)histogram_percentile(h, 0.99) / 1e6,
                 (double)histogram_percentile(h, 0.999) / 1e6);
        text(out, LEFT_X + 18, y, "start", words);
    }
}

static void draw(FILE *out, const char *title, const struct measurement *const *ms, size_t count)
{
    struct scale latency = latency_scale(ms, count);
    struct scale throughput = throughput_scale(ms, count);
    size_t seconds = longest(ms, count);

    fprintf(out,
            "<svg xmlns='http://www.w3.org/2000/svg' width='1030' height='%.0f' "
            "font-family='sans-serif' font-size='12' fill='#222'>\n"
            "<rect width='100%%' height='100%%' fill='#fff'/>\n",
            BOTTOM + 40 + 20 * (double)count);
    fputs("<g font-size='15'>\n", out);
    text(out, LEFT_X, 26, "start", title);
    fputs("</g>\n", out);
    draw_latency_axes(out, &latency);
    draw_throughput_axes(out, &throughput, seconds);
    for (size_t i = 0; i < count; i++) {
        draw_latency(out, &latency, &ms[i]->latency, colours[i % COLOURS]);
        draw_throughput(out, &throughput, seconds, ms[i], colours[i % COLOURS]);
    }
    draw_legend(out, ms, count);
    fputs("</svg>\n", out);
}

int report_draw(const char *path, const char *title, const struct measurement *const *measurements,
                size_t count, FILE *err)
{
    FILE *out = fopen(path, "w");
    bool bad;

    if (out == NULL) {
        fprintf(err, BENCH_PROGRAM ": cannot write %s: %s\n", path, strerror(errno));
        return -1;
    }
    draw(out, title, measurements, count);
    bad = ferror(out) != 0;
    bad = fclose(out) != 0 || bad;
    if (bad)
        fprintf(err, BENCH_PROGRAM ": cannot write %s\n", path);
    return bad ? -1 : 0;
}
