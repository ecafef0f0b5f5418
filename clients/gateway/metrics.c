/* Counting is an addition or two; everything else is done when somebody asks. */
#include "clients/gateway/metrics.h"

#include "base/version.h"
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CODES 600
#define OTHER "other"
#define PREFIX "chat_gateway_"

static const uint64_t bounds_us[] = {500,    1000,   2500,   5000,    10000,   25000,   50000,
                                     100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000};
#define BOUNDS (sizeof bounds_us / sizeof *bounds_us)

struct route_counts {
    const char *name;
    uint64_t codes[CODES];
    uint64_t buckets[BOUNDS + 1]; /* each for itself; the last one is beyond all bounds */
    uint64_t took_us;
};

struct metrics {
    uint64_t refusals[METRICS_REFUSAL_COUNT];
    size_t route_count;
    struct route_counts routes[];
};

struct metrics *metrics_create(const char *const *routes, size_t count)
{
    struct metrics *metrics = calloc(1, sizeof *metrics + (count + 1) * sizeof *metrics->routes);

    if (metrics == NULL)
        return NULL;
    for (size_t i = 0; i <= count; i++) {
        const char *name = i < count ? routes[i] : OTHER;
        bool known = false;
        for (size_t j = 0; j < metrics->route_count; j++)
            known = known || strcmp(metrics->routes[j].name, name) == 0;
        if (!known)
            metrics->routes[metrics->route_count++].name = name;
    }
    return metrics;
}

void metrics_free(struct metrics *metrics)
{
    free(metrics);
}

/* ---- Counting ---- */

void metrics_request(struct metrics *metrics, const char *route, int code, uint64_t took_us)
{
    struct route_counts *counts = &metrics->routes[metrics->route_count - 1];
    size_t bucket = 0;

    for (size_t i = 0; route != NULL && i < metrics->route_count; i++)
        if (strcmp(metrics->routes[i].name, route) == 0)
            counts = &metrics->routes[i];
    counts->codes[code < 0 || code >= CODES ? 0 : code]++;
    while (bucket < BOUNDS && took_us > bounds_us[bucket])
        bucket++;
    counts->buckets[bucket]++;
    counts->took_us += took_us;
}

void metrics_refuse(struct metrics *metrics, enum metrics_refusal refusal)
{
    metrics->refusals[refusal]++;
}

/* ---- Writing ---- */

static void write_requests(const struct metrics *metrics, struct metrics_text *text)
{
    static const char name[] = PREFIX "http_requests_total";
    char digits[8];

    metrics_text_family(text, name, "counter",
                        "Requests answered, by route and HTTP status; code 0: the client left "
                        "before its answer.");
    for (size_t i = 0; i < metrics->route_count; i++) {
        const struct route_counts *counts = &metrics->routes[i];
        for (int code = 0; code < CODES; code++) {
            const struct metrics_label labels[] = {{"route", counts->name}, {"code", digits}};
            if (counts->codes[code] == 0)
                continue;
            snprintf(digits, sizeof digits, "%d", code);
            metrics_text_sample(text, name, "", labels, 2, (double)counts->codes[code]);
        }
    }
}

static void write_errors(const struct metrics *metrics, struct metrics_text *text)
{
    static const char name[] = PREFIX "http_errors_total";
    char digits[8];

    metrics_text_family(text, name, "counter",
                        "Requests of all routes answered with a status of 400 or more.");
    for (int code = 400; code < CODES; code++) {
        const struct metrics_label label = {"code", digits};
        uint64_t sum = 0;
        for (size_t i = 0; i < metrics->route_count; i++)
            sum += metrics->routes[i].codes[code];
        snprintf(digits, sizeof digits, "%d", code);
        if (sum > 0)
            metrics_text_sample(text, name, "", &label, 1, (double)sum);
    }
}

static void write_durations(const struct metrics *metrics, struct metrics_text *text)
{
    static const char name[] = PREFIX "http_request_duration_seconds";
    char bound[24];

    metrics_text_family(text, name, "histogram",
                        "Time from a request's first byte to its answer, in seconds; of "
                        "WebSockets and event streams to their beginning.");
    for (size_t i = 0; i < metrics->route_count; i++) {
        const struct route_counts *counts = &metrics->routes[i];
        struct metrics_label labels[] = {{"route", counts->name}, {"le", bound}};
        uint64_t sum = 0;
        for (size_t j = 0; j <= BOUNDS; j++) {
            sum += counts->buckets[j];
            if (j < BOUNDS)
                snprintf(bound, sizeof bound, "%g", (double)bounds_us[j] / 1e6);
            else
                snprintf(bound, sizeof bound, "+Inf");
            metrics_text_sample(text, name, "_bucket", labels, 2, (double)sum);
        }
        metrics_text_sample(text, name, "_sum", labels, 1, (double)counts->took_us / 1e6);
        metrics_text_sample(text, name, "_count", labels, 1, (double)sum);
    }
}

static void write_refusals(const struct metrics *metrics, struct metrics_text *text)
{
    static const char *const reasons[] = {
#define X(id, label) label,
        METRICS_REFUSALS(X)
#undef X
    };
    static const char name[] = PREFIX "refused_total";

    metrics_text_family(text, name, "counter",
                        "Requests refused before they were looked at, by reason: credentials, "
                        "namespace, the rate of a token or an address, a token's open "
                        "connections.");
    for (size_t i = 0; i < METRICS_REFUSAL_COUNT; i++) {
        const struct metrics_label label = {"reason", reasons[i]};
        metrics_text_sample(text, name, "", &label, 1, (double)metrics->refusals[i]);
    }
}

void metrics_write(const struct metrics *metrics, struct metrics_text *text)
{
    const struct metrics_label version = {"version", CHAT_VERSION};

    metrics_text_family(text, PREFIX "build_info", "gauge", "Always 1; the version is its label.");
    metrics_text_sample(text, PREFIX "build_info", "", &version, 1, 1);
    write_requests(metrics, text);
    write_errors(metrics, text);
    write_durations(metrics, text);
    write_refusals(metrics, text);
}

/* ---- The process ---- */

/* Pages, as the kernel says in /proc/self/statm: all, then resident. */
static void write_memory(struct metrics_text *text)
{
    double page_bytes = (double)sysconf(_SC_PAGESIZE);
    unsigned long long all, resident;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return;
    if (fscanf(file, "%20llu %20llu", &all, &resident) == 2) {
        metrics_text_single(text, "process_virtual_memory_bytes", "gauge",
                            "Address space of this process, in bytes.", (double)all * page_bytes);
        metrics_text_single(text, "process_resident_memory_bytes", "gauge",
                            "Memory of this process that is in RAM, in bytes.",
                            (double)resident * page_bytes);
    }
    fclose(file);
}

static void write_descriptors(struct metrics_text *text)
{
    DIR *folder = opendir("/proc/self/fd");
    double count = -3; /* ".", ".." and the folder's own */
    struct rlimit limit;

    if (folder == NULL)
        return;
    while (readdir(folder) != NULL)
        count++;
    closedir(folder);
    metrics_text_single(text, "process_open_fds", "gauge", "Open file descriptors.", count);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metrics_text_single(text, "process_max_fds", "gauge",
                            "File descriptors that may be open at once.", (double)limit.rlim_cur);
}

void metrics_write_process(struct metrics_text *text)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metrics_text_single(text, "process_cpu_seconds_total", "counter",
                            "Processor time used, in seconds.",
                            (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                                (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6);
    write_memory(text);
    write_descriptors(text);
}
