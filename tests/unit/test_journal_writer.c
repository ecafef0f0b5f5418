/* The writer to a segment against a plain array: batches of all sizes, past the page cache and
 * through it, going on in the middle of a block, and file systems that change their mind. */
#include "store/disk.h"
#include "store/journal_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define FILE_NAME "segment"
#define FILE_BYTES ((size_t)2 * 1024 * 1024)
#define BLOCK 4096
#define OLD_BYTE 0xee

struct fixture {
    char directory[64];
    int directory_fd;
    struct journal_writer writer;
    uint8_t *expected; /* what was written, behind which is OLD_BYTE or zero */
    size_t end;
    bool refuse_open;   /* the next opening is refused, as where there is no O_DIRECT */
    unsigned refuse_at; /* the write counted down to is refused: it is not aligned */
    unsigned unaligned; /* writes that were not whole blocks out of aligned memory */
    unsigned writes;
};

static int watch(void *data, struct disk_event *event)
{
    struct fixture *fixture = data;

    if (event->call == DISK_OPEN && fixture->refuse_open) {
        fixture->refuse_open = false;
        return EINVAL;
    }
    if (event->call != DISK_WRITE)
        return 0;
    fixture->writes++;
    if (event->offset % BLOCK != 0 || event->size % BLOCK != 0 ||
        (uintptr_t)event->bytes % BLOCK != 0)
        fixture->unaligned++;
    return fixture->refuse_at > 0 && --fixture->refuse_at == 0 ? EINVAL : 0;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);
    uint8_t *old = malloc(FILE_BYTES);
    int fd;

    assert_non_null(fixture);
    assert_non_null(old);
    snprintf(fixture->directory, sizeof fixture->directory, "/tmp/test_journal_writer.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    fixture->directory_fd = open(fixture->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fixture->directory_fd >= 0);
    memset(old, OLD_BYTE, FILE_BYTES);
    fd = disk_open(fixture->directory_fd, FILE_NAME, O_WRONLY | O_CREAT);
    assert_true(fd >= 0);
    assert_int_equal(disk_pwrite(fd, old, FILE_BYTES, 0), 0);
    close(fd);
    free(old);
    fixture->expected = malloc(FILE_BYTES);
    assert_non_null(fixture->expected);
    assert_int_equal(journal_writer_init(&fixture->writer), 0);
    disk_set_hook(watch, fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    disk_set_hook(NULL, NULL);
    journal_writer_free(&fixture->writer);
    unlinkat(fixture->directory_fd, FILE_NAME, 0);
    close(fixture->directory_fd);
    rmdir(fixture->directory);
    free(fixture->expected);
    free(fixture);
    return 0;
}

static void start(struct fixture *fixture)
{
    assert_int_equal(
        journal_writer_open(&fixture->writer, fixture->directory_fd, FILE_NAME, fixture->end), 0);
}

static void append(struct fixture *fixture, size_t size)
{
    uint8_t *bytes = fixture->expected + fixture->end;

    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)rand();
    assert_int_equal(journal_writer_write(&fixture->writer, bytes, size), 0);
    assert_int_equal(journal_writer_sync(&fixture->writer), 0);
    fixture->end += size;
}

/* The file holds what was written; then zeros up to the block's end, where blocks are written, and
 * what was there before. */
static void check_file(const struct fixture *fixture, bool blocks)
{
    size_t zeros_end = blocks ? (fixture->end + BLOCK - 1) / BLOCK * BLOCK : fixture->end;
    uint8_t *bytes = malloc(FILE_BYTES);
    size_t got;
    int fd = disk_open(fixture->directory_fd, FILE_NAME, O_RDONLY);

    assert_non_null(bytes);
    assert_true(fd >= 0);
    assert_int_equal(disk_pread(fd, bytes, FILE_BYTES, 0, &got), 0);
    close(fd);
    assert_int_equal(got, FILE_BYTES);
    assert_memory_equal(bytes, fixture->expected, fixture->end);
    for (size_t i = fixture->end; i < FILE_BYTES; i++)
        assert_int_equal(bytes[i], i < zeros_end ? 0 : OLD_BYTE);
    free(bytes);
}

static const size_t sizes[] = {1,    300,  4096, 4095, 1,     8192,  5000,   3,    300000,
                               4097, 4096, 2000, 2096, 65536, 70000, 262144, 4096, 17};

static void append_all(struct fixture *fixture, bool blocks)
{
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        append(fixture, sizes[i]);
        check_file(fixture, blocks);
        if (i % 3 == 2)
            start(fixture); /* as after a restart */
    }
}

/* Not all file systems take O_DIRECT, /tmp's may be one of them: then this is the same as below. */
static void test_past_the_page_cache(void **state)
{
    struct fixture *fixture = *state;

    start(fixture);
    append_all(fixture, fixture->writer.direct);
    if (fixture->writer.direct)
        assert_int_equal(fixture->unaligned, 0);
}

static void test_through_the_page_cache(void **state)
{
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fixture->refuse_open = true;
        start(fixture);
        assert_false(fixture->writer.direct);
        append(fixture, sizes[i]);
        check_file(fixture, false);
    }
}

/* It opens the file that way, and then does not write to it. Nothing is lost or repeated. */
static void test_refused_when_writing(void **state)
{
    struct fixture *fixture = *state;

    start(fixture);
    if (!fixture->writer.direct)
        skip(); /* what this is about cannot happen here */
    append(fixture, 300);
    fixture->refuse_at = 1;
    append(fixture, 5000);
    assert_false(fixture->writer.direct);
    check_file(fixture, true);
    append(fixture, 700);
    append(fixture, 9000);
    start(fixture);
    assert_true(fixture->writer.direct);
    append(fixture, 12);
    check_file(fixture, true);
}

/* Other errors are told, whichever write they meet. */
static int fail_second(void *data, struct disk_event *event)
{
    unsigned *writes = data;

    return event->call == DISK_WRITE && ++*writes == 2 ? EIO : 0;
}

static void test_errors_are_told(void **state)
{
    struct fixture *fixture = *state;
    uint8_t *bytes = calloc(1, FILE_BYTES);
    unsigned writes = 0;

    assert_non_null(bytes);
    start(fixture);
    disk_set_hook(fail_second, &writes);
    assert_int_equal(journal_writer_write(&fixture->writer, bytes, 100), 0);
    assert_int_equal(journal_writer_write(&fixture->writer, bytes, 300000), -EIO);
    disk_set_hook(watch, fixture);
    assert_int_equal(journal_writer_open(&fixture->writer, fixture->directory_fd, "other", 0),
                     -ENOENT);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_past_the_page_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_through_the_page_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_refused_when_writing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_errors_are_told, set_up, tear_down),
    };
    srand(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
