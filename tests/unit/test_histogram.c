/* The log-linear histogram: where values go, how far off a percentile may be, and the edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/bench/chooser.h"
#include "clients/bench/histogram.h"
#include <stdlib.h>
#include <string.h>

static struct histogram *histogram;

static int make(void **state)
{
    (void)state;
    histogram = calloc(1, sizeof *histogram);
    return histogram == NULL ? -1 : 0;
}

static int forget(void **state)
{
    (void)state;
    free(histogram);
    return 0;
}

/* Buckets follow each other without a gap or an overlap, and a value is in the one it should be. */
static void test_buckets(void **state)
{
    uint64_t lowest = 0;

    (void)state;
    for (size_t bucket = 0; bucket < HISTOGRAM_BUCKETS; bucket++) {
        uint64_t highest = histogram_bucket_highest(bucket);
        assert_true(highest >= lowest);
        assert_int_equal(histogram_bucket(lowest), bucket);
        assert_int_equal(histogram_bucket(highest), bucket);
        /* No wider than 1/128 of what is in it. */
        assert_true(highest - lowest <= lowest / HISTOGRAM_HALF);
        lowest = highest + 1;
    }
    assert_true(lowest == (uint64_t)1 << HISTOGRAM_VALUE_BITS);
    assert_int_equal(histogram_bucket(UINT64_MAX), HISTOGRAM_BUCKETS - 1);
}

static void test_empty_and_single(void **state)
{
    (void)state;
    assert_true(histogram_percentile(histogram, 0.5) == 0);
    assert_true(histogram_mean(histogram) == 0);
    histogram_record(histogram, 1000003);
    /* Never past what was seen. */
    assert_true(histogram_percentile(histogram, 0) == 1000003);
    assert_true(histogram_percentile(histogram, 0.5) == 1000003);
    assert_true(histogram_percentile(histogram, 1) == 1000003);
    assert_true(histogram->maximum == 1000003);
}

static void test_small_values_are_exact(void **state)
{
    (void)state;
    for (uint64_t value = 1; value <= 100; value++)
        histogram_record(histogram, value);
    assert_true(histogram_percentile(histogram, 0.01) == 1);
    assert_true(histogram_percentile(histogram, 0.5) == 50);
    assert_true(histogram_percentile(histogram, 0.505) == 51);
    assert_true(histogram_percentile(histogram, 0.99) == 99);
    assert_true(histogram_percentile(histogram, 1) == 100);
    assert_true(histogram_mean(histogram) == 50.5);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* Against sorting: over seven powers of ten, each percentile is within 1/128 above the true one. */
static void test_percentiles_against_sorting(void **state)
{
    enum { COUNT = 20000 };
    static uint64_t values[COUNT];
    static const double fractions[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1};
    struct random random;

    (void)state;
    random_seed(&random, 7);
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = random_next(&random) >> (24 + random_below(&random, 24));
        histogram_record(histogram, values[i]);
    }
    qsort(values, COUNT, sizeof *values, compare);
    for (size_t i = 0; i < sizeof fractions / sizeof *fractions; i++) {
        size_t rank = (size_t)(fractions[i] * COUNT + 0.5);
        uint64_t truth = values[rank - 1];
        uint64_t found = histogram_percentile(histogram, fractions[i]);
        assert_true(found >= truth);
        assert_true(found <= truth + truth / HISTOGRAM_HALF);
    }
}

static void test_past_the_range(void **state)
{
    (void)state;
    histogram_record(histogram, 5);
    histogram_record(histogram, UINT64_MAX / 2);
    assert_true(histogram_percentile(histogram, 0.5) == 5);
    assert_true(histogram_percentile(histogram, 1) == UINT64_MAX / 2);
}

static void test_add(void **state)
{
    struct histogram *other = calloc(1, sizeof *other);

    (void)state;
    assert_non_null(other);
    for (int i = 0; i < 90; i++)
        histogram_record(histogram, 10);
    for (int i = 0; i < 10; i++)
        histogram_record(other, 200);
    histogram_add(histogram, other);
    assert_true(histogram->total == 100 && histogram->maximum == 200 && histogram->sum == 2900);
    assert_true(histogram_percentile(histogram, 0.9) == 10);
    assert_true(histogram_percentile(histogram, 0.91) == 200);
    free(other);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_buckets),
        TEST(test_empty_and_single),
        TEST(test_small_values_are_exact),
        TEST(test_percentiles_against_sorting),
        TEST(test_past_the_range),
        TEST(test_add),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
