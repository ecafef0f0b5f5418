/* Pauses between attempts: they grow to a limit and differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/libchat/backoff.h"

static void test_backoff(void **state)
{
    static const uint64_t longest_ms[] = {250, 500, 1000, 2000, 2000, 2000};

    (void)state;
    for (unsigned i = 0; i < sizeof longest_ms / sizeof longest_ms[0]; i++) {
        uint64_t least = UINT64_MAX;
        assert_int_equal(backoff_ms(i + 1, 0), longest_ms[i]);
        for (uint32_t random = 0; random < 4000; random++) {
            uint64_t delay_ms = backoff_ms(i + 1, random);
            assert_in_range(delay_ms, longest_ms[i] / 2, longest_ms[i]);
            least = delay_ms < least ? delay_ms : least;
        }
        assert_int_equal(least, longest_ms[i] / 2);
    }
    assert_int_equal(backoff_ms(UINT32_MAX, 0), 2000);
}

static void test_random_differs(void **state)
{
    uint32_t first = backoff_random();
    unsigned same = 0;

    (void)state;
    for (int i = 0; i < 8; i++)
        same += backoff_random() == first;
    assert_true(same < 8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_random_differs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
