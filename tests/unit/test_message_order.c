/* Messages of a settle job: put into the order of chats and seqs, none lost, however they came. */
#include "store/message_order.h"

#include "store/database_order.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT_MAX 20000
#define CHATS_MAX 8192

static uint64_t state = 1;

static uint64_t next_random(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33;
}

/* As applied: of random chats, each chat's seqs ascending. */
static struct database_message *make(size_t count, size_t chats, uint64_t low, uint64_t step)
{
    struct database_message *messages = calloc(count + 1, sizeof *messages);
    uint64_t *heads = calloc(chats, sizeof *heads);

    assert_non_null(messages);
    assert_non_null(heads);
    for (size_t i = 0; i < count; i++) {
        size_t chat = (size_t)next_random() % chats;
        messages[i].chat_number = low + chat * step;
        messages[i].seq = ++heads[chat];
        messages[i].size = (uint32_t)i;
    }
    free(heads);
    return messages;
}

/* Sorted, and the same messages as before: each size is there once and with the chat it had. */
static void check(const struct database_message *before, struct database_message *messages,
                  size_t count)
{
    uint8_t *seen = calloc(count + 1, 1);

    assert_non_null(seen);
    message_order(messages, count);
    for (size_t i = 0; i < count; i++) {
        const struct database_message *was = &before[messages[i].size];
        assert_false(seen[messages[i].size]);
        seen[messages[i].size] = 1;
        assert_int_equal(messages[i].chat_number, was->chat_number);
        assert_int_equal(messages[i].seq, was->seq);
        if (i > 0)
            assert_true(database_by_seq(&messages[i - 1], &messages[i]) < 0);
    }
    free(seen);
}

static void check_made(size_t count, size_t chats, uint64_t low, uint64_t step)
{
    struct database_message *before = make(count, chats, low, step);
    struct database_message *messages = malloc((count + 1) * sizeof *messages);

    assert_non_null(messages);
    memcpy(messages, before, count * sizeof *messages);
    check(before, messages, count);
    free(messages);
    free(before);
}

static void test_as_applied(void **test)
{
    (void)test;
    check_made(0, 1, 1, 1);
    check_made(1, 1, 1, 1);
    check_made(65, 1, 7, 1);
    check_made(64, 10, 1, 1);
    check_made(COUNT_MAX, 100, 1, 1);
    check_made(COUNT_MAX, CHATS_MAX, 1, 1);
    /* Numbers of one, two and three digits, whose lowest digit alone would say nothing. */
    check_made(COUNT_MAX, 2000, 12345, 2048);
    check_made(COUNT_MAX, 1000, 99, 2048 * 2048);
}

static void test_numbers_far_apart(void **test)
{
    (void)test;
    check_made(COUNT_MAX, 1000, 1, UINT64_C(1) << 40);
}

static void test_any_order(void **test)
{
    struct database_message *before = make(COUNT_MAX, 500, 1, 1);
    struct database_message *messages = malloc(COUNT_MAX * sizeof *messages);

    (void)test;
    assert_non_null(messages);
    for (size_t i = 0; i < COUNT_MAX; i++)
        messages[i] = before[COUNT_MAX - 1 - i];
    check(before, messages, COUNT_MAX);
    free(messages);
    free(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_as_applied),
        cmocka_unit_test(test_numbers_far_apart),
        cmocka_unit_test(test_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
