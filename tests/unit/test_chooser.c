/* Choosing chats: bounds, repeatability, and whether frequencies are those of Zipf's law. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/bench/chooser.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DRAWS 400000

static void count_ranks(uint64_t count, double exponent, uint64_t *counts)
{
    struct chooser chooser;

    memset(counts, 0, (count + 1) * sizeof *counts);
    chooser_init(&chooser, count, exponent, 42);
    for (int i = 0; i < DRAWS; i++) {
        uint64_t rank = chooser_rank(&chooser);
        assert_true(rank >= 1 && rank <= count);
        counts[rank]++;
    }
}

/* Within five standard deviations of what the law says, for each of the first ranks and the rest.
 */
static void expect_frequencies(uint64_t count, double exponent)
{
    uint64_t *counts = calloc(count + 1, sizeof *counts);
    double harmonic = 0;
    double rest = 1;
    double seen_rest = DRAWS;

    assert_non_null(counts);
    count_ranks(count, exponent, counts);
    for (uint64_t k = 1; k <= count; k++)
        harmonic += pow((double)k, -exponent);
    for (uint64_t k = 1; k <= count && k <= 20; k++) {
        double p = pow((double)k, -exponent) / harmonic;
        assert_true(fabs((double)counts[k] - DRAWS * p) <= 5 * sqrt(DRAWS * p * (1 - p)) + 1);
        rest -= p;
        seen_rest -= (double)counts[k];
    }
    rest = rest < 0 ? 0 : rest;
    assert_true(fabs(seen_rest - DRAWS * rest) <= 5 * sqrt(DRAWS * rest * (1 - rest)) + 1);
    free(counts);
}

static void test_zipf(void **state)
{
    (void)state;
    expect_frequencies(1000, 0.99);
    expect_frequencies(1000, 1);
    expect_frequencies(100000, 0.5);
    expect_frequencies(50, 2.5);
    expect_frequencies(2, 1.2);
}

static void test_uniform(void **state)
{
    (void)state;
    expect_frequencies(10, 0);
    expect_frequencies(1000, 0);
}

static void test_one_chat(void **state)
{
    struct chooser chooser;

    (void)state;
    for (int zipf = 0; zipf <= 1; zipf++) {
        chooser_init(&chooser, 1, zipf, 1);
        for (int i = 0; i < 100; i++)
            assert_true(chooser_next(&chooser) == 0);
    }
}

/* Ranks are spread over all chats: each chat has exactly one. */
static void test_ranks_are_a_permutation(void **state)
{
    static const uint64_t sizes[] = {1, 2, 3, 4, 6, 10, 1000, 1024, 9973};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct chooser chooser;
        uint8_t *seen = calloc(sizes[i], 1);
        assert_non_null(seen);
        chooser_init(&chooser, sizes[i], 0.99, 1);
        for (uint64_t rank = 0; rank < sizes[i]; rank++)
            seen[rank * chooser.stride % sizes[i]]++;
        for (uint64_t chat = 0; chat < sizes[i]; chat++)
            assert_int_equal(seen[chat], 1);
        free(seen);
    }
}

static void test_seed_decides(void **state)
{
    struct chooser first, same, other;
    int different = 0;

    (void)state;
    chooser_init(&first, 1000, 0.99, 5);
    chooser_init(&same, 1000, 0.99, 5);
    chooser_init(&other, 1000, 0.99, 6);
    for (int i = 0; i < 1000; i++) {
        uint64_t chosen = chooser_next(&first);
        assert_true(chosen == chooser_next(&same));
        different += chosen != chooser_next(&other);
    }
    assert_true(different > 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zipf),         cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_one_chat),     cmocka_unit_test(test_ranks_are_a_permutation),
        cmocka_unit_test(test_seed_decides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
