/*
 * Values below 256 have a bucket each. From there on, a value is shifted right until it fits into
 * eight bits, of which the first is then set: the number of shifts chooses the part, the seven
 * other bits the bucket in it.
 *
 *     bucket   0 … 127   128 … 255   256 … 383    384 … 511    …
 *     values   0 … 127   128 … 255   256 … 511    512 … 1023   …
 *     width       1          1           2            4
 */
#include "clients/bench/histogram.h"

#include <math.h>

#define VALUE_MAX (((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1)

size_t histogram_bucket(uint64_t value)
{
    if (value > VALUE_MAX)
        value = VALUE_MAX;
    /* The | makes the first two parts one, in which nothing is shifted. */
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | (2 * HISTOGRAM_HALF - 1));
    unsigned shift = bits - (HISTOGRAM_HALF_BITS + 1);
    return shift * HISTOGRAM_HALF + (size_t)(value >> shift);
}

uint64_t histogram_bucket_highest(size_t bucket)
{
    size_t part = bucket / HISTOGRAM_HALF;
    unsigned shift = part < 2 ? 0 : (unsigned)part - 1;
    uint64_t first = (uint64_t)(bucket - shift * HISTOGRAM_HALF) << shift;

    return first + ((uint64_t)1 << shift) - 1;
}

void histogram_add(struct histogram *histogram, const struct histogram *other)
{
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->counts[i] += other->counts[i];
    histogram->total += other->total;
    histogram->sum += other->sum;
    if (other->maximum > histogram->maximum)
        histogram->maximum = other->maximum;
}

uint64_t histogram_percentile(const struct histogram *histogram, double fraction)
{
    double rank = ceil(fraction * (double)histogram->total);
    uint64_t wanted = rank < 1 ? 1 : (uint64_t)rank;
    uint64_t seen = 0;

    if (histogram->total == 0)
        return 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= wanted) {
            uint64_t highest = histogram_bucket_highest(i);
            return i == HISTOGRAM_BUCKETS - 1 || highest > histogram->maximum ? histogram->maximum
                                                                              : highest;
        }
    }
    return histogram->maximum;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->total == 0 ? 0 : (double)histogram->sum / (double)histogram->total;
}
