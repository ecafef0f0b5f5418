/*
 * A request that was due before the window and completed in it counts for throughput and not for
 * latency; one that was due in it and completed after it, the other way round. So neither is bent
 * by where the window begins and ends.
 */
#include "clients/bench/measurement.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SECOND_NS UINT64_C(1000000000)

struct measurement *measurement_new(const char *target)
{
    struct measurement *m = calloc(1, sizeof *m);

    if (m != NULL) {
        m->target = target;
        m->end_ns = UINT64_MAX;
    }
    return m;
}

void measurement_free(struct measurement *m)
{
    if (m == NULL)
        return;
    free(m->seconds);
    free(m);
}

/* Without memory the later seconds are not drawn; everything else is right all the same. */
static void count_second(struct measurement *m, uint64_t now_ns)
{
    size_t second = (size_t)((now_ns - m->begin_ns) / SECOND_NS);

    if (second >= m->second_capacity) {
        size_t capacity = 2 * second + 64;
        uint32_t *seconds = realloc(m->seconds, capacity * sizeof *seconds);
        if (seconds == NULL)
            return;
        memset(seconds + m->second_capacity, 0, (capacity - m->second_capacity) * sizeof *seconds);
        m->seconds = seconds;
        m->second_capacity = capacity;
    }
    m->seconds[second]++;
    if (second >= m->second_count)
        m->second_count = second + 1;
}

void measurement_record(struct measurement *m, enum bench_kind kind, uint64_t due_ns,
                        uint64_t now_ns, size_t reply_bytes, uint64_t messages)
{
    struct measured_kind *k = &m->kinds[kind];

    if (now_ns >= m->begin_ns && now_ns < m->end_ns) {
        m->completed++;
        k->replies++;
        k->reply_bytes += reply_bytes;
        k->messages += messages;
        count_second(m, now_ns);
    }
    if (due_ns >= m->begin_ns && due_ns < m->end_ns) {
        uint64_t latency_ns = now_ns > due_ns ? now_ns - due_ns : 0;
        histogram_record(&k->latency, latency_ns);
        histogram_record(&m->latency, latency_ns);
    }
}

void measurement_fail(struct measurement *m, uint64_t due_ns, int code)
{
    if (due_ns < m->begin_ns || due_ns >= m->end_ns)
        return;
    m->errors++;
    m->errors_by_code[code >= 0 && code < ENGINE_CODES ? code : 0]++;
}

double measurement_seconds(const struct measurement *m)
{
    return m->end_ns > m->begin_ns ? (double)(m->end_ns - m->begin_ns) / (double)SECOND_NS : 0;
}

double measurement_rate(const struct measurement *m)
{
    double seconds = measurement_seconds(m);

    return seconds > 0 ? (double)m->completed / seconds : 0;
}

double measurement_reply_bytes(const struct measurement *m, enum bench_kind kind)
{
    const struct measured_kind *k = &m->kinds[kind];

    return k->replies == 0 ? 0 : (double)k->reply_bytes / (double)k->replies;
}

size_t measurement_full_seconds(const struct measurement *m)
{
    size_t full = (size_t)measurement_seconds(m);

    return full < m->second_count ? full : m->second_count;
}

double measurement_cpu_seconds(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}
