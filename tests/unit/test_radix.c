/* Radix sort: any keys, in order, each with what belongs to it, and equal ones as they were. */
#include "store/radix.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#define COUNT_MAX 3000

static uint64_t random_state = 1;

static uint64_t random_key(uint64_t mask)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state & mask;
}

static void check_sorted(size_t count, uint64_t mask)
{
    static struct radix_item items[COUNT_MAX];
    static struct radix_item scratch[COUNT_MAX];
    static uint64_t keys[COUNT_MAX];

    for (size_t i = 0; i < count; i++) {
        keys[i] = random_key(mask);
        items[i] = (struct radix_item){keys[i], i};
    }
    radix_sort(items, scratch, count);
    for (size_t i = 0; i < count; i++)
        assert_int_equal(items[i].key, keys[items[i].index]);
    for (size_t i = 1; i < count; i++) {
        assert_true(items[i - 1].key <= items[i].key);
        if (items[i - 1].key == items[i].key)
            assert_true(items[i - 1].index < items[i].index);
    }
}

static void test_sorts(void **state)
{
    static const uint64_t masks[] = {0,         1, 0xff, 0xff00, 0xff00ff, (uint64_t)0xff << 56,
                                     UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof masks / sizeof masks[0]; i++)
        for (size_t count = 0; count < COUNT_MAX; count = count * 3 + 1)
            check_sorted(count, masks[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sorts)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
