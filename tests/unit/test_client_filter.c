/* The filter of client ids: what was added is found, always; what was not, hardly ever. */
#include "store/client_filter.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Digests are random numbers; these are the same in each run. */
static void digest_of(uint64_t number, uint8_t digest[DATABASE_DIGEST_BYTES])
{
    for (size_t i = 0; i < DATABASE_DIGEST_BYTES; i += 8) {
        uint64_t value = (number + 1) * 0x9e3779b97f4a7c15u + i;

        value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
        value = (value ^ value >> 27) * 0x94d049bb133111ebu;
        value ^= value >> 31;
        memcpy(digest + i, &value, sizeof value);
    }
}

static bool may_hold(const struct client_filter *filter, uint64_t number)
{
    uint8_t digest[DATABASE_DIGEST_BYTES];

    digest_of(number, digest);
    return client_filter_may_hold(filter, digest);
}

static void add(struct client_filter *filter, uint64_t number)
{
    uint8_t digest[DATABASE_DIGEST_BYTES];

    digest_of(number, digest);
    client_filter_add(filter, digest);
}

static void test_begins_given_up(void **unused)
{
    struct client_filter filter = {0};

    (void)unused;
    assert_true(may_hold(&filter, 1));
    add(&filter, 2);
    assert_true(may_hold(&filter, 1));
    assert_int_equal(client_filter_bytes(&filter), 0);
}

static void test_finds_all_and_little_else(void **unused)
{
    struct client_filter filter;
    unsigned wrong = 0;

    (void)unused;
    client_filter_begin(&filter);
    assert_false(may_hold(&filter, 0));
    for (uint64_t i = 0; i < CLIENT_FILTER_MAX; i++) {
        add(&filter, i);
        assert_true(may_hold(&filter, i));
        assert_true(may_hold(&filter, i / 2));
    }
    for (uint64_t i = 0; i < CLIENT_FILTER_MAX; i++)
        assert_true(may_hold(&filter, i));
    for (uint64_t i = 0; i < 10000; i++)
        wrong += may_hold(&filter, CLIENT_FILTER_MAX + i) ? 1 : 0;
    /* 470 are to be expected of a full one, of 16 bits each. */
    assert_in_range(wrong, 300, 700);
    client_filter_free(&filter);
}

static void test_gives_up_when_full(void **unused)
{
    struct client_filter filter;

    (void)unused;
    client_filter_begin(&filter);
    for (uint64_t i = 0; i < (uint64_t)CLIENT_FILTER_MAX * 2; i++)
        add(&filter, i);
    for (uint64_t i = 0; i < 10000; i++)
        assert_true(may_hold(&filter, i));
    assert_int_equal(client_filter_bytes(&filter), 0);
    client_filter_free(&filter);
}

static void test_takes_any_digest(void **unused)
{
    struct client_filter filter;
    uint8_t zeros[DATABASE_DIGEST_BYTES] = {0};

    (void)unused;
    client_filter_begin(&filter);
    client_filter_add(&filter, zeros);
    client_filter_add(&filter, zeros);
    assert_true(client_filter_may_hold(&filter, zeros));
    assert_int_equal(filter.count, 1);
    client_filter_free(&filter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_begins_given_up),
        cmocka_unit_test(test_finds_all_and_little_else),
        cmocka_unit_test(test_gives_up_when_full),
        cmocka_unit_test(test_takes_any_digest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
