#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "clients/gateway/rate_limit.h"

static struct rate_limit *made(uint64_t per_second, uint64_t burst, uint64_t held, size_t keys)
{
    const struct rate_limit_settings settings = {per_second, burst, held, keys};
    struct rate_limit *limit = rate_limit_create(&settings);

    assert_non_null(limit);
    return limit;
}

/* Keys that differ at their end, so that all are in one chain. */
static const uint8_t *key(unsigned number)
{
    static uint8_t keys[4][RATE_LIMIT_KEY_BYTES];
    static unsigned next;
    uint8_t *made_key = keys[next++ % 4];

    memset(made_key, 7, RATE_LIMIT_KEY_BYTES);
    memcpy(made_key + 12, &number, sizeof number);
    return made_key;
}

static void a_burst_passes_and_then_the_rate_counts(void **state)
{
    struct rate_limit *limit = made(10, 3, 0, 8);
    uint64_t wait_ms = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        assert_true(rate_limit_take(limit, key(1), 5000, &wait_ms));
    assert_false(rate_limit_take(limit, key(1), 5000, &wait_ms));
    assert_int_equal(wait_ms, 100);
    assert_false(rate_limit_take(limit, key(1), 5060, &wait_ms));
    assert_int_equal(wait_ms, 40);
    assert_true(rate_limit_take(limit, key(1), 5100, &wait_ms));
    assert_false(rate_limit_take(limit, key(1), 5100, &wait_ms));
    rate_limit_free(limit);
}

static void a_bucket_never_holds_more_than_the_burst(void **state)
{
    struct rate_limit *limit = made(1000, 2, 0, 8);
    uint64_t wait_ms;

    (void)state;
    assert_true(rate_limit_take(limit, key(1), 0, &wait_ms));
    assert_true(rate_limit_take(limit, key(1), UINT64_MAX / 2, &wait_ms));
    assert_true(rate_limit_take(limit, key(1), UINT64_MAX / 2, &wait_ms));
    assert_false(rate_limit_take(limit, key(1), UINT64_MAX / 2, &wait_ms));
    rate_limit_free(limit);
}

static void one_does_not_pay_for_another(void **state)
{
    struct rate_limit *limit = made(1, 1, 0, 8);
    uint64_t wait_ms;

    (void)state;
    assert_true(rate_limit_take(limit, key(1), 0, &wait_ms));
    assert_false(rate_limit_take(limit, key(1), 0, &wait_ms));
    assert_true(rate_limit_take(limit, key(2), 0, &wait_ms));
    rate_limit_free(limit);
}

static void without_a_rate_everything_passes(void **state)
{
    struct rate_limit *limit = made(0, 1, 0, 1);
    uint64_t wait_ms;

    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_true(rate_limit_take(limit, key(1), 0, &wait_ms));
        assert_true(rate_limit_hold(limit, key(1), 0));
    }
    assert_int_equal(rate_limit_keys(limit), 0);
    rate_limit_free(limit);
}

static void the_quietest_makes_room(void **state)
{
    struct rate_limit *limit = made(1, 1, 0, 3);
    uint64_t wait_ms;

    (void)state;
    for (unsigned i = 1; i <= 3; i++)
        assert_true(rate_limit_take(limit, key(i), 0, &wait_ms));
    assert_false(rate_limit_take(limit, key(1), 0, &wait_ms));
    assert_true(rate_limit_take(limit, key(4), 0, &wait_ms)); /* in the place of 2 */
    assert_false(rate_limit_take(limit, key(1), 0, &wait_ms));
    assert_false(rate_limit_take(limit, key(3), 0, &wait_ms));
    assert_true(rate_limit_take(limit, key(2), 0, &wait_ms));
    assert_int_equal(rate_limit_keys(limit), 3);
    rate_limit_free(limit);
}

static void so_many_may_be_held_and_no_more(void **state)
{
    struct rate_limit *limit = made(0, 1, 2, 4);

    (void)state;
    assert_true(rate_limit_hold(limit, key(1), 0));
    assert_true(rate_limit_hold(limit, key(1), 0));
    assert_false(rate_limit_hold(limit, key(1), 0));
    assert_true(rate_limit_hold(limit, key(2), 0));
    rate_limit_release(limit, key(1));
    assert_true(rate_limit_hold(limit, key(1), 0));
    assert_false(rate_limit_hold(limit, key(1), 0));
    rate_limit_free(limit);
}

static void who_holds_something_is_not_forgotten(void **state)
{
    struct rate_limit *limit = made(1, 1, 1, 2);
    uint64_t wait_ms;

    (void)state;
    assert_true(rate_limit_hold(limit, key(1), 0));
    for (unsigned i = 2; i < 100; i++)
        assert_true(rate_limit_take(limit, key(i), 0, &wait_ms));
    assert_false(rate_limit_hold(limit, key(1), 0));
    assert_true(rate_limit_hold(limit, key(99), 0));
    assert_false(rate_limit_take(limit, key(100), 0, &wait_ms));
    assert_false(rate_limit_hold(limit, key(100), 0));
    rate_limit_release(limit, key(99));
    assert_true(rate_limit_take(limit, key(100), 0, &wait_ms));
    rate_limit_free(limit);
}

static void an_ipv6_customer_is_one(void **state)
{
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true},
        {"2001:db8:1:2::1", "2001:db8:1:3::1", false},
        {"192.0.2.1", "192.0.2.2", false},
        {"192.0.2.1", "::ffff:192.0.2.1", true},
        {"192.0.2.1", "192.0.2.1", true},
    };
    uint8_t one[RATE_LIMIT_KEY_BYTES], other[RATE_LIMIT_KEY_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        rate_limit_address_key(cases[i].one, one);
        rate_limit_address_key(cases[i].other, other);
        assert_int_equal(memcmp(one, other, sizeof one) == 0, cases[i].same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_burst_passes_and_then_the_rate_counts),
        cmocka_unit_test(a_bucket_never_holds_more_than_the_burst),
        cmocka_unit_test(one_does_not_pay_for_another),
        cmocka_unit_test(without_a_rate_everything_passes),
        cmocka_unit_test(the_quietest_makes_room),
        cmocka_unit_test(so_many_may_be_held_and_no_more),
        cmocka_unit_test(who_holds_something_is_not_forgotten),
        cmocka_unit_test(an_ipv6_customer_is_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
