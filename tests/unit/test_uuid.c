/* UUIDs: form, uniqueness across pools and threads, and what is refused as text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/uuid.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* More than two pools of a page hold. */
#define MANY 1000
#define THREADS 4

static void test_version_and_variant(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++) {
        struct uuid uuid;
        uuid_make(&uuid);
        assert_int_equal(uuid.bytes[6] & 0xf0, 0x40);
        assert_int_equal(uuid.bytes[8] & 0xc0, 0x80);
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(struct uuid));
}

static void *make_many(void *into)
{
    for (int i = 0; i < MANY; i++)
        uuid_make((struct uuid *)into + i);
    return NULL;
}

static void test_distinct_across_threads(void **state)
{
    static struct uuid made[THREADS * MANY];
    pthread_t threads[THREADS];

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, make_many, made + i * MANY), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    qsort(made, THREADS * MANY, sizeof made[0], compare);
    for (int i = 1; i < THREADS * MANY; i++)
        assert_int_not_equal(compare(&made[i - 1], &made[i]), 0);
}

/* Every bit that is not fixed takes both values: no part of the pool is left unfilled. */
static void test_all_bits_vary(void **state)
{
    struct uuid ones = {{0}};
    struct uuid zeros = {{0}};

    (void)state;
    for (int i = 0; i < MANY; i++) {
        struct uuid uuid;
        uuid_make(&uuid);
        for (int j = 0; j < UUID_BYTES; j++) {
            ones.bytes[j] |= uuid.bytes[j];
            zeros.bytes[j] |= (uint8_t)~uuid.bytes[j];
        }
    }
    for (int j = 0; j < UUID_BYTES; j++) {
        assert_int_equal(ones.bytes[j], j == 6 ? 0x4f : j == 8 ? 0xbf : 0xff);
        assert_int_equal(zeros.bytes[j], j == 6 ? 0xbf : j == 8 ? 0x7f : 0xff);
    }
}

static void test_format(void **state)
{
    static const struct uuid uuid = {{0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0x4d, 0xef, 0x80, 0x11,
                                      0x22, 0x33, 0x44, 0x55, 0x66, 0xf7}};
    char text[UUID_TEXT_BYTES + 1];

    (void)state;
    memset(text, '!', sizeof text);
    uuid_format(&uuid, text);
    assert_memory_equal(text, "01234567-89ab-4def-8011-2233445566f7!", sizeof text);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++) {
        struct uuid made, parsed;
        char text[UUID_TEXT_BYTES];
        uuid_make(&made);
        uuid_format(&made, text);
        assert_true(uuid_parse(text, sizeof text, &parsed));
        assert_memory_equal(&made, &parsed, sizeof made);
    }
}

static void test_parse_either_case(void **state)
{
    struct uuid lower, upper;

    (void)state;
    assert_true(uuid_parse("01234567-89ab-4def-8011-2233445566f7", 36, &lower));
    assert_true(uuid_parse("01234567-89AB-4DEF-8011-2233445566F7", 36, &upper));
    assert_memory_equal(&lower, &upper, sizeof lower);
}

static void test_parse_refuses(void **state)
{
    static const char *const wrong[] = {
        "",
        "01234567-89ab-4def-8011-2233445566f",
        "01234567-89ab-4def-8011-2233445566f77",
        "0123456789ab-4def-8011-2233445566f7-",
        "01234567x89ab-4def-8011-2233445566f7",
        "01234567-89ab-4def-8011x2233445566f7",
        "g1234567-89ab-4def-8011-2233445566f7",
        "01234567-89ab-4def-8011-2233445566f/",
        "01234567-89ab-4def-8011-2233445566f:",
        "01234567-89ab-4def-8011-2233445566f`",
        "01234567-89ab-4def-8011-2233445566f@",
        " 1234567-89ab-4def-8011-2233445566f7",
        "\xffz234567-89ab-4def-8011-2233445566f7",
    };
    struct uuid uuid, before;

    (void)state;
    memset(&uuid, 0xaa, sizeof uuid);
    before = uuid;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(uuid_parse(wrong[i], strlen(wrong[i]), &uuid));
        assert_memory_equal(&uuid, &before, sizeof uuid);
    }
}

static int hex_digit(int character)
{
    static const char hex[] = "0123456789abcdef0123456789ABCDEF";
    const char *found = character == 0 ? NULL : strchr(hex, character);

    return found == NULL ? -1 : (int)((found - hex) % 16);
}

/* Each byte at each place: taken for the digit that it is, or refused. */
static void test_parse_every_byte(void **state)
{
    static const char good[] = "01234567-89ab-4def-8011-2233445566f7";
    static const uint8_t places[] = {0,  1,  2,  3,  4,  5,  6,  7,  9,  10, 11,
                                     12, 14, 15, 16, 17, 19, 20, 21, 22, 24, 25,
                                     26, 27, 28, 29, 30, 31, 32, 33, 34, 35};
    struct uuid expected, parsed;
    char text[sizeof good];

    (void)state;
    for (unsigned i = 0; i < sizeof places; i++) {
        for (int byte = 0; byte < 256; byte++) {
            int value = hex_digit(byte);
            assert_true(uuid_parse(good, UUID_TEXT_BYTES, &expected));
            parsed = expected;
            memcpy(text, good, sizeof text);
            text[places[i]] = (char)byte;
            assert_int_equal(uuid_parse(text, UUID_TEXT_BYTES, &parsed), value >= 0);
            if (value >= 0 && i % 2 == 0)
                expected.bytes[i / 2] = (uint8_t)(value << 4 | (expected.bytes[i / 2] & 0x0f));
            else if (value >= 0)
                expected.bytes[i / 2] = (uint8_t)((expected.bytes[i / 2] & 0xf0) | value);
            assert_memory_equal(&parsed, &expected, sizeof parsed);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_version_and_variant), cmocka_unit_test(test_distinct_across_threads),
        cmocka_unit_test(test_all_bits_vary),       cmocka_unit_test(test_format),
        cmocka_unit_test(test_round_trip),          cmocka_unit_test(test_parse_either_case),
        cmocka_unit_test(test_parse_refuses),       cmocka_unit_test(test_parse_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
