/* The arena: alignment, its limit, and what a reset keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/arena.h"
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

static void memory_is_aligned_and_apart(void **state)
{
    (void)state;
    struct arena arena;
    unsigned char *got[500];
    arena_init(&arena, 1024 * 1024);
    for (size_t i = 0; i < 500; i++) {
        got[i] = arena_alloc(&arena, i);
        assert_non_null(got[i]);
        assert_int_equal((uintptr_t)got[i] % alignof(max_align_t), 0);
        memset(got[i], (int)(i & 0xff), i);
    }
    for (size_t i = 0; i < 500; i++)
        for (size_t at = 0; at < i; at++)
            assert_int_equal(got[i][at], i & 0xff);
    arena_free(&arena);
}

static void the_limit_holds_for_all_blocks_together(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 300 * 1024);
    size_t handed_out = 0;
    while (arena_alloc(&arena, 1000) != NULL)
        handed_out += 1000;
    assert_true(handed_out > 250 * 1024);
    assert_true(handed_out <= 300 * 1024);
    assert_true(arena.taken_bytes <= 300 * 1024);
    arena_free(&arena);
    assert_int_equal(arena.taken_bytes, 0);
}

static void a_small_limit_and_odd_sizes_are_refused(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1000);
    assert_null(arena_alloc(&arena, 1000));
    assert_null(arena_alloc(&arena, SIZE_MAX));
    assert_null(arena_alloc(&arena, SIZE_MAX - 20));
    assert_null(arena_copy(&arena, "x", SIZE_MAX));
    assert_non_null(arena_alloc(&arena, 900));
    assert_null(arena_alloc(&arena, 900));
    arena_free(&arena);
    arena_init(&arena, 0);
    assert_null(arena_alloc(&arena, 0));
    arena_free(&arena);
}

static void a_large_block_leaves_the_room_of_the_small_one(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024 * 1024);
    char *first = arena_alloc(&arena, 16);
    char *large = arena_alloc(&arena, 500 * 1024);
    char *second = arena_alloc(&arena, 16);
    assert_non_null(large);
    assert_ptr_equal(second, first + 16);
    arena_free(&arena);
}

static void a_reset_keeps_one_ordinary_block(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 1024 * 1024);
    void *first = arena_alloc(&arena, 16);
    assert_non_null(arena_alloc(&arena, 500 * 1024));
    for (int i = 0; i < 200; i++)
        assert_non_null(arena_alloc(&arena, 1024));
    arena_reset(&arena);
    assert_true(arena.taken_bytes > 0 && arena.taken_bytes <= 64 * 1024);
    assert_non_null(first);
    assert_non_null(arena_alloc(&arena, 16));
    size_t taken = arena.taken_bytes;
    arena_reset(&arena);
    assert_int_equal(arena.taken_bytes, taken);
    arena_free(&arena);
    arena_reset(&arena);
    assert_int_equal(arena.taken_bytes, 0);
}

static void copies_end_in_nul(void **state)
{
    (void)state;
    struct arena arena;
    arena_init(&arena, 64 * 1024);
    memset(arena_alloc(&arena, 1024), 0xff, 1024);
    arena_reset(&arena);
    assert_string_equal(arena_copy(&arena, "hello", 3), "hel");
    assert_string_equal(arena_copy(&arena, NULL, 0), "");
    arena_free(&arena);
}

static void the_allocator_takes_from_the_arena_even_when_moved(void **state)
{
    (void)state;
    struct arena before;
    arena_init(&before, 64 * 1024);
    struct arena arena = before;
    ProtobufCAllocator *allocator = arena_allocator(&arena);
    void *memory = allocator->alloc(allocator->allocator_data, 10);
    assert_non_null(memory);
    allocator->free(allocator->allocator_data, memory);
    assert_int_equal(arena.taken_bytes, 64 * 1024);
    assert_int_equal(before.taken_bytes, 0);
    assert_null(allocator->alloc(allocator->allocator_data, 64 * 1024));
    arena_free(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_aligned_and_apart),
        cmocka_unit_test(the_limit_holds_for_all_blocks_together),
        cmocka_unit_test(a_small_limit_and_odd_sizes_are_refused),
        cmocka_unit_test(a_large_block_leaves_the_room_of_the_small_one),
        cmocka_unit_test(a_reset_keeps_one_ordinary_block),
        cmocka_unit_test(copies_end_in_nul),
        cmocka_unit_test(the_allocator_takes_from_the_arena_even_when_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
