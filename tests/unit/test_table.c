/* The hash table against a plain array, through random additions and removals with bad hashes. */
#include "store/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define ITEMS 512

struct item {
    uint64_t hash;
    unsigned name;
    bool inside;
};

static bool match_name(const void *item, const void *key)
{
    return ((const struct item *)item)->name == *(const unsigned *)key;
}

static void test_empty(void **unused)
{
    struct table table = {0};
    unsigned name = 1;

    (void)unused;
    assert_null(table_find(&table, 1, match_name, &name));
    table_free(&table);
}

/* A guess is any item with the hash; there is one if there is an item with the hash. */
static void assert_guess(const struct table *table, const struct item *item)
{
    const struct item *guess = table_guess(table, item->hash);

    table_expect(table, item->hash);
    assert_true(guess != NULL || !item->inside);
    assert_true(guess == NULL || (guess->inside && guess->hash == item->hash));
}

/* Hashes from a small range collide and wrap around: removal must keep every probe chain whole. */
static void run_model(unsigned seed, uint64_t hashes)
{
    struct table table = {0};
    struct item items[ITEMS];
    size_t inside = 0;

    srand(seed);
    for (unsigned i = 0; i < ITEMS; i++)
        items[i] = (struct item){.hash = (uint64_t)rand() % hashes, .name = i};
    for (int step = 0; step < 20000; step++) {
        struct item *item = &items[rand() % ITEMS];
        if (item->inside) {
            table_remove(&table, item->hash, item);
            inside--;
        } else {
            assert_int_equal(table_add(&table, item->hash, item), 0);
            inside++;
        }
        item->inside = !item->inside;
        item = &items[rand() % ITEMS];
        assert_ptr_equal(table_find(&table, item->hash, match_name, &item->name),
                         item->inside ? item : NULL);
        assert_guess(&table, item);
        assert_int_equal(table.count, inside);
    }
    table_free(&table);
}

static void test_model(void **unused)
{
    (void)unused;
    run_model(1, 7);
    run_model(2, 1000);
    run_model(3, UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
