/*
 * Latencies in a log-linear histogram: constant memory, constant time to record, and every value
 * known to within 1/128, whether it is a microsecond or a minute.
 *
 * The method is HdrHistogram's (Gil Tene, hdrhistogram.org): the range is cut at powers of two, and
 * each part into the same number of equal buckets. Zero-initialised is empty. One thread.
 */
#ifndef CLIENTS_BENCH_HISTOGRAM_H
#define CLIENTS_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

#define HISTOGRAM_HALF_BITS 7
#define HISTOGRAM_HALF ((size_t)1 << HISTOGRAM_HALF_BITS)
/* Values are nanoseconds; those of 2^42 (73 minutes) and more count as the largest bucket. */
#define HISTOGRAM_VALUE_BITS 42
#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_HALF_BITS + 1) * HISTOGRAM_HALF)

struct histogram {
    uint64_t total; /* values recorded */
    uint64_t sum;
    uint64_t maximum; /* exact, also past the range */
    uint64_t counts[HISTOGRAM_BUCKETS];
};

/* Where a value belongs, and the largest value that belongs there. */
size_t histogram_bucket(uint64_t value);
uint64_t histogram_bucket_highest(size_t bucket);

static inline void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->counts[histogram_bucket(value)]++;
    histogram->total++;
    histogram->sum += value;
    if (value > histogram->maximum)
        histogram->maximum = value;
}

void histogram_add(struct histogram *histogram, const struct histogram *other);

/*
 * The smallest value that `fraction` (0 to 1) of the values do not exceed, rounded up to its
 * bucket's end but never past the maximum; 0 when there is none.
 */
uint64_t histogram_percentile(const struct histogram *histogram, double fraction);
double histogram_mean(const struct histogram *histogram);

#endif
