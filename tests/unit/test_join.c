/*
 * Joining by seq: each message once, in order, whatever comes twice, late, early or not at all.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/libchat/join.h"
#include <stdlib.h>
#include <string.h>

/* A follow without connection: what is handed on is counted. */
struct reader {
    struct join join;
    uint64_t handed_on; /* the last one */
};

static void hand_on_kept(struct reader *reader)
{
    const struct join_message *kept;

    while ((kept = join_front(&reader->join)) != NULL) {
        assert_int_equal(kept->seq, reader->handed_on + 1);
        assert_int_equal(kept->size, sizeof kept->seq);
        assert_memory_equal(kept->bytes, &kept->seq, sizeof kept->seq);
        reader->handed_on++;
        join_advance(&reader->join);
    }
}

static void bring(struct reader *reader, uint64_t seq)
{
    join_saw(&reader->join, seq);
    if (join_is_next(&reader->join, seq)) {
        assert_int_equal(seq, reader->handed_on + 1);
        reader->handed_on++;
        join_advance(&reader->join);
    } else {
        join_hold(&reader->join, seq, (const uint8_t *)&seq, sizeof seq);
    }
    hand_on_kept(reader);
}

static void test_in_order(void **state)
{
    struct reader reader = {0};

    (void)state;
    join_init(&reader.join, 1);
    for (uint64_t seq = 1; seq <= 100; seq++)
        bring(&reader, seq);
    assert_int_equal(reader.handed_on, 100);
    assert_int_equal(reader.join.count, 0);
    assert_false(join_is_behind(&reader.join));
    join_free(&reader.join);
}

static void test_hole(void **state)
{
    struct reader reader = {0};

    (void)state;
    join_init(&reader.join, 1);
    bring(&reader, 1);
    bring(&reader, 3);
    bring(&reader, 5);
    assert_int_equal(reader.handed_on, 1);
    assert_true(join_is_behind(&reader.join));
    bring(&reader, 3);
    bring(&reader, 1);
    assert_int_equal(reader.join.count, 2);
    bring(&reader, 2);
    assert_int_equal(reader.handed_on, 3);
    assert_true(join_is_behind(&reader.join));
    bring(&reader, 4);
    assert_int_equal(reader.handed_on, 5);
    assert_false(join_is_behind(&reader.join));
    join_free(&reader.join);
}

static void test_head_without_message(void **state)
{
    struct reader reader = {.handed_on = 6};

    (void)state;
    join_init(&reader.join, 7);
    assert_false(join_is_behind(&reader.join));
    join_saw(&reader.join, 6);
    assert_false(join_is_behind(&reader.join));
    join_saw(&reader.join, 7);
    assert_true(join_is_behind(&reader.join));
    bring(&reader, 7);
    assert_false(join_is_behind(&reader.join));
    join_free(&reader.join);
}

/* Events come before it is known where to begin. */
static void test_begin_later(void **state)
{
    struct reader reader = {0};

    (void)state;
    join_init(&reader.join, 0);
    assert_int_equal(join_first_held(&reader.join), 0);
    for (uint64_t seq = 40; seq <= 45; seq++)
        bring(&reader, seq);
    assert_int_equal(reader.handed_on, 0);
    assert_int_equal(join_first_held(&reader.join), 40);
    join_begin_at(&reader.join, 43);
    assert_int_equal(reader.join.count, 3);
    reader.handed_on = 42;
    hand_on_kept(&reader);
    assert_int_equal(reader.handed_on, 45);
    join_free(&reader.join);
}

/* Past its limit the highest go, and the next one has always room. */
static void test_bounded(void **state)
{
    struct reader reader = {0};
    size_t large = JOIN_BYTES_MAX / 2 + 1;
    uint8_t *bytes = calloc(1, large);

    (void)state;
    join_init(&reader.join, 1);
    for (uint64_t seq = 2; seq < JOIN_MESSAGES_MAX + 100; seq++)
        bring(&reader, seq);
    assert_int_equal(reader.join.count, JOIN_MESSAGES_MAX);
    bring(&reader, 1);
    assert_int_equal(reader.handed_on, JOIN_MESSAGES_MAX + 1);
    assert_true(join_is_behind(&reader.join));
    assert_int_equal(reader.join.held_bytes, 0);
    assert_null(reader.join.held);

    join_free(&reader.join);
    join_init(&reader.join, 1);
    join_hold(&reader.join, 5, bytes, large);
    join_hold(&reader.join, 6, bytes, large);
    assert_int_equal(reader.join.count, 1);
    join_hold(&reader.join, 4, bytes, large);
    assert_int_equal(reader.join.count, 1);
    assert_int_equal(join_first_held(&reader.join), 4);
    join_hold(&reader.join, 1, bytes, large);
    assert_int_equal(join_first_held(&reader.join), 1);
    assert_int_equal(reader.join.held_bytes, large);
    join_free(&reader.join);
    free(bytes);
}

static uint64_t random_state;

static uint64_t random_below(uint64_t limit)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (random_state >> 33) % limit;
}

/*
 * A chat that grows, events of which some are lost, repeated or exchanged, and pages of history
 * asked for whenever the join says that something is missing.
 */
static void follow_by_chance(uint64_t seed)
{
    struct reader reader = {0};
    uint64_t head = 0;

    random_state = seed;
    join_init(&reader.join, 1);
    for (int step = 0; step < 2000; step++) {
        uint64_t grown = random_below(4);
        for (uint64_t i = 0; i < grown; i++) {
            head++;
            if (random_below(10) > 1)
                bring(&reader, head);
            if (random_below(10) == 0)
                bring(&reader, 1 + random_below(head));
        }
        if (!join_is_behind(&reader.join) || random_below(3) > 0)
            continue;
        uint64_t from = reader.join.next_seq;
        uint64_t to = from + random_below(20);
        for (uint64_t seq = from; seq <= to && seq <= head; seq++)
            bring(&reader, seq);
    }
    join_saw(&reader.join, head);
    while (join_is_behind(&reader.join))
        bring(&reader, reader.join.next_seq);
    assert_int_equal(reader.handed_on, head);
    assert_int_equal(reader.join.count, 0);
    join_free(&reader.join);
}

static void test_by_chance(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++)
        follow_by_chance(seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_hole),
        cmocka_unit_test(test_head_without_message),
        cmocka_unit_test(test_begin_later),
        cmocka_unit_test(test_bounded),
        cmocka_unit_test(test_by_chance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
