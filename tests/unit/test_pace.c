#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/pace.h"

static void one_in_an_interval_and_the_rest_is_counted(void **state)
{
    struct pace pace = {0};
    uint64_t withheld = 99;

    (void)state;
    assert_true(pace_allows(&pace, 5, 100, &withheld));
    assert_int_equal(withheld, 0);
    assert_false(pace_allows(&pace, 5, 100, &withheld));
    assert_false(pace_allows(&pace, 104, 100, &withheld));
    assert_true(pace_allows(&pace, 105, 100, &withheld));
    assert_int_equal(withheld, 2);
    assert_false(pace_allows(&pace, 204, 100, &withheld));
    assert_true(pace_allows(&pace, 1000, 100, &withheld));
    assert_int_equal(withheld, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_in_an_interval_and_the_rest_is_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
