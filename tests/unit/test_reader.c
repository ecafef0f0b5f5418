/*
 * Where reads are done: by the pool; by the loop while all of the database is in memory, as much as
 * a turn may take; by the pool again after a page that had to be waited for.
 */
#include "store/reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define MAP_BYTES ((uint64_t)64 * 1024 * 1024)
#define HOLE_PAGES 100

struct fixture {
    char directory[64];
    char path[96];
    uv_loop_t loop;
    struct database *database;
    struct reader reader;
    unsigned under_way;
    bool large;
};

struct read {
    struct reader_item item; /* first */
    struct fixture *fixture;
    unsigned sleep_us;
    bool started;
    uv_thread_t reader;
};

static void read_start(struct reader_item *item)
{
    ((struct read *)item)->started = true;
}

static void read_run(struct reader_item *item, struct database_snapshot *snapshot, int status)
{
    struct read *read = (struct read *)item;

    assert_int_equal(status, 0);
    assert_non_null(snapshot);
    assert_true(read->started);
    if (read->sleep_us > 0)
        usleep(read->sleep_us);
    read->reader = uv_thread_self();
}

static void read_done(struct reader_item *item)
{
    ((struct read *)item)->fixture->under_way--;
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct store_failure failure;

    strcpy(f->directory, "/tmp/test_reader.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    snprintf(f->path, sizeof f->path, "%s/chats.mdb", f->directory);
    assert_int_equal(database_open(&f->database, f->directory, MAP_BYTES, &failure), 0);
    assert_int_equal(uv_loop_init(&f->loop), 0);
    reader_init(&f->reader, &f->loop, f->database);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    char lock[128];

    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(reader_idle(&f->reader));
    assert_int_equal(uv_loop_close(&f->loop), 0);
    database_close(f->database);
    snprintf(lock, sizeof lock, "%s-lock", f->path);
    unlink(lock);
    unlink(f->path);
    assert_int_equal(rmdir(f->directory), 0);
    free(f);
    return 0;
}

/* Reads `count` times; says how many of them the loop did. */
static size_t reads_of(struct fixture *f, size_t count, unsigned sleep_us,
                       void (*add)(struct reader *reader, struct reader_item *item))
{
    struct read *reads = calloc(count, sizeof *reads);
    uv_thread_t self = uv_thread_self();
    size_t here = 0;

    for (size_t i = 0; i < count; i++) {
        reads[i] = (struct read){
            .item = {.large = f->large, .start = read_start, .run = read_run, .done = read_done},
            .fixture = f,
            .sleep_us = sleep_us,
        };
        reads[i].started = add == reader_add_urgent;
        add(&f->reader, &reads[i].item);
    }
    f->under_way = (unsigned)count;
    (void)reader_flush(&f->reader);
    while (f->under_way > 0)
        uv_run(&f->loop, UV_RUN_ONCE);
    for (size_t i = 0; i < count; i++)
        here += (size_t)uv_thread_equal(&reads[i].reader, &self);
    free(reads);
    return here;
}

static size_t reads_here(struct fixture *f, size_t count, unsigned sleep_us)
{
    return reads_of(f, count, sleep_us, reader_add_bulk);
}

static void wait_for_look(struct fixture *f)
{
    while (!residency_idle(&f->reader.residency))
        uv_run(&f->loop, UV_RUN_ONCE);
}

/* As if the last look had been long ago: what it found no longer counts. */
static void age(struct fixture *f)
{
    f->reader.residency.looked_ms -= 10000;
    f->reader.residency.found_ms -= 10000;
}

/* As if it had just been: no other one begins. */
static void refresh(struct fixture *f)
{
    uv_update_time(&f->loop);
    f->reader.residency.looked_ms = uv_now(&f->loop);
    f->reader.residency.found_ms = uv_now(&f->loop);
}

static void test_by_the_pool_first(void **state)
{
    struct fixture *f = *state;

    uv_update_time(&f->loop);
    assert_int_equal(reads_here(f, 20, 0), 0);
    wait_for_look(f);
    assert_true(f->reader.residency.holds);
    assert_int_equal(reads_here(f, 1, 0), 1);
}

static void test_urgent_items_too(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(reads_of(f, 20, 0, reader_add_urgent), 0);
    wait_for_look(f);
    assert_int_equal(reads_of(f, 1, 0, reader_add_urgent), 1);
    assert_true(reads_of(f, 20, 1000, reader_add_urgent) < 20);
}

/* A turn of the loop is not to be long: what is slow goes to the pool but for the first ones. */
static void test_no_longer_than_a_turn(void **state)
{
    struct fixture *f = *state;
    size_t here;

    assert_int_equal(reads_here(f, 1, 0), 0);
    wait_for_look(f);
    here = reads_here(f, 20, 1000);
    assert_true(here >= 1);
    assert_true(here < 20);
}

static void test_large_items_by_the_pool(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(reads_here(f, 1, 0), 0);
    wait_for_look(f);
    f->large = true;
    assert_int_equal(reads_here(f, 5, 0), 0);
    f->large = false;
    assert_int_equal(reads_here(f, 5, 0), 5);
}

static void test_by_the_pool_after_a_fault(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(reads_here(f, 1, 0), 0);
    wait_for_look(f);
    refresh(f);
    assert_int_equal(reads_here(f, 1, 0), 1);
    f->reader.residency.faults--;
    assert_int_equal(reads_here(f, 1, 0), 0);
    refresh(f);
    assert_int_equal(reads_here(f, 1, 0), 0);
    age(f);
    assert_int_equal(reads_here(f, 1, 0), 0);
    wait_for_look(f);
    assert_int_equal(reads_here(f, 1, 0), 1);
}

/* What nobody has read is not in memory: here a hole at the file's end. */
static void test_file_not_in_memory(void **state)
{
    struct fixture *f = *state;
    char page[4096] = {0};
    FILE *file;
    long size;

    assert_true(database_is_resident(f->database, RESIDENCY_BYTES_MAX));
    assert_false(database_is_resident(f->database, 4096));
    assert_int_equal(reads_here(f, 1, 0), 0);
    wait_for_look(f);
    assert_int_equal(reads_here(f, 1, 0), 1);
    file = fopen(f->path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    assert_int_equal(truncate(f->path, size + (long)(HOLE_PAGES * sizeof page)), 0);
    assert_false(database_is_resident(f->database, RESIDENCY_BYTES_MAX));
    age(f);
    assert_int_equal(reads_here(f, 1, 0), 0);
    wait_for_look(f);
    assert_int_equal(reads_here(f, 1, 0), 0);
    /* It is filled, and then it is. */
    assert_int_equal(fseek(file, size, SEEK_SET), 0);
    for (int i = 0; i < HOLE_PAGES; i++)
        assert_int_equal(fwrite(page, sizeof page, 1, file), 1);
    assert_int_equal(fflush(file), 0);
    assert_true(database_is_resident(f->database, RESIDENCY_BYTES_MAX));
    assert_int_equal(truncate(f->path, size), 0);
    fclose(file);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_by_the_pool_first),         TEST(test_urgent_items_too),
        TEST(test_no_longer_than_a_turn),     TEST(test_large_items_by_the_pool),
        TEST(test_by_the_pool_after_a_fault), TEST(test_file_not_in_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
