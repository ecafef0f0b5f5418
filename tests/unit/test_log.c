/* Log lines: their form, what is quoted and escaped, levels, and lines that are too long. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int saved_stderr;
static int pipe_ends[2];
static char captured[1 << 20];

/* Standard error becomes a pipe, so that one read is one write. */
static int capture(void **state)
{
    (void)state;
    saved_stderr = dup(STDERR_FILENO);
    if (pipe2(pipe_ends, O_NONBLOCK) != 0)
        return -1;
    dup2(pipe_ends[1], STDERR_FILENO);
    log_set_level(LOG_LEVEL_INFO);
    return 0;
}

static int release(void **state)
{
    (void)state;
    dup2(saved_stderr, STDERR_FILENO);
    close(saved_stderr);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return 0;
}

/* All that was written, NUL-terminated. */
static const char *written(void)
{
    ssize_t got = read(pipe_ends[0], captured, sizeof captured - 1);

    captured[got < 0 ? 0 : got] = '\0';
    return captured;
}

/* What follows the time. */
static const char *without_time(const char *line)
{
    const char *level = strstr(line, " level=");

    assert_non_null(level);
    return level + 1;
}

static void expect_field(const char *data, size_t size, const char *as)
{
    char expected[256];

    LOG_INFO("test", log_bytes("value", data, size));
    snprintf(expected, sizeof expected, "level=info event=test value=%s\n", as);
    assert_string_equal(without_time(written()), expected);
}

static void test_whole_line(void **state)
{
    (void)state;
    LOG_WARN("disk.slow", log_text("path", "/var/lib/chat"), log_u64("took_ms", UINT64_MAX),
             log_i64("change", INT64_MIN), log_f64("share", 0.12345), log_bool("last", true));
    const char *line = written();
    int year, month, day, hour, minute, second, millisecond, end = 0;
    assert_int_equal(sscanf(line, "time=%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day,
                            &hour, &minute, &second, &millisecond, &end),
                     7);
    assert_int_equal(end, strlen("time=2026-01-31T12:00:00.123Z "));
    assert_string_equal(line + end, "level=warn event=disk.slow path=/var/lib/chat "
                                    "took_ms=18446744073709551615 change=-9223372036854775808 "
                                    "share=0.123 last=true\n");
}

static void test_plain_values(void **state)
{
    (void)state;
    expect_field("aZ09._:/@+-", 11, "aZ09._:/@+-");
    expect_field("", 0, "\"\"");
    expect_field("two words", 9, "\"two words\"");
    expect_field("a=b", 3, "\"a=b\"");
    LOG_INFO("test", log_text("value", NULL));
    assert_string_equal(without_time(written()), "level=info event=test value=\"\"\n");
}

static void test_escapes(void **state)
{
    (void)state;
    expect_field("say \"hi\" \\", 10, "\"say \\\"hi\\\" \\\\\"");
    expect_field("a\nlevel=error\r\t", 15, "\"a\\nlevel=error\\r\\t\"");
    expect_field("\0\x1b\x7f", 3, "\"\\x00\\x1b\\x7f\"");
}

static void test_utf8(void **state)
{
    (void)state;
    expect_field("Grüße, 世界 🌍", strlen("Grüße, 世界 🌍"), "\"Grüße, 世界 🌍\"");
    expect_field("\xff\xfe", 2, "\"\\xff\\xfe\"");
    expect_field("\xc3", 1, "\"\\xc3\"");
    expect_field("\xe4\xb8", 2, "\"\\xe4\\xb8\"");
    expect_field("\xc0\xaf", 2, "\"\\xc0\\xaf\"");                   /* overlong '/' */
    expect_field("\xed\xa0\x80", 3, "\"\\xed\\xa0\\x80\"");          /* a surrogate */
    expect_field("\xf4\x90\x80\x80", 4, "\"\\xf4\\x90\\x80\\x80\""); /* beyond U+10FFFF */
    expect_field("\xc2\x85", 2, "\"\\xc2\\x85\"");                   /* next line */
    expect_field("\xe2\x80\xa8z", 4, "\"\\xe2\\x80\\xa8z\"");        /* line separator */
    expect_field("\xc3\xbc\xff\xc3\xbc", 5, "\"\xc3\xbc\\xff\xc3\xbc\"");
}

static void test_levels(void **state)
{
    enum log_level level;

    (void)state;
    LOG_DEBUG("test", log_bool("seen", true));
    assert_string_equal(written(), "");
    log_set_level(LOG_LEVEL_ERROR);
    LOG_WARN("test", log_bool("seen", true));
    assert_string_equal(written(), "");
    LOG_ERROR("test", log_bool("seen", false));
    assert_string_equal(without_time(written()), "level=error event=test seen=false\n");
    assert_true(log_parse_level("debug", &level));
    log_set_level(level);
    LOG_DEBUG("test", log_bool("seen", true));
    assert_string_equal(without_time(written()), "level=debug event=test seen=true\n");
    assert_true(log_parse_level("warn", &level));
    assert_int_equal(level, LOG_LEVEL_WARN);
    assert_false(log_parse_level("WARN", &level));
    assert_false(log_parse_level("", &level));
}

static void expect_cut(const char *line, const char *end)
{
    size_t size = strlen(line);

    assert_in_range(size, 3000, 4096);
    assert_true(size > strlen(end));
    assert_string_equal(line + size - strlen(end), end);
    assert_ptr_equal(strchr(line, '\n'), line + size - 1);
}

/* Whatever stands at the border, a character or an escape, it is put whole or not at all. */
static void test_long_values(void **state)
{
    static char text[20000];
    static const char *const pieces[] = {"a", "\n", "\x01", "ü", "🌍", "\""};
    static const char *const as[] = {"a", "\\n", "\\x01", "ü", "🌍", "\\\""};

    (void)state;
    for (size_t piece = 0; piece < sizeof pieces / sizeof pieces[0]; piece++) {
        for (size_t shift = 0; shift < 6; shift++) {
            size_t size = shift;
            char end[64];
            memset(text, 'x', sizeof text);
            for (; size + 4 < sizeof text; size += strlen(pieces[piece]))
                memcpy(text + size, pieces[piece], strlen(pieces[piece]));
            LOG_INFO("test", log_bytes("value", text, size), log_bool("lost", true));
            snprintf(end, sizeof end, "%s\" truncated=true\n", as[piece]);
            expect_cut(written(), end);
        }
    }
}

/* Fields at every distance from the end: each is there whole, or not at all. */
static void test_many_fields(void **state)
{
    static char text[4096];

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t size = 3900; size < 4096; size++) {
        LOG_INFO("test", log_bytes("first", text, size), log_u64("count", 1234567),
                 log_text("word", "a b"));
        const char *line = written();
        assert_true(strlen(line) <= 4096);
        assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
        const char *number = strstr(line, " count=");
        if (number != NULL)
            assert_memory_equal(number, " count=1234567 ", 15);
        const char *word = strstr(line, " word=");
        if (word != NULL)
            assert_non_null(strchr(strchr(word, '"') + 1, '"'));
        if (number == NULL || word == NULL)
            assert_string_equal(line + strlen(line) - 16, " truncated=true\n");
    }
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    close(STDERR_FILENO);
    errno = ENOSPC;
    LOG_ERROR("test", log_bool("seen", false));
    assert_int_equal(errno, ENOSPC);
    dup2(pipe_ends[1], STDERR_FILENO);
}

static void *write_lines(void *count)
{
    for (int i = 0; i < *(int *)count; i++)
        LOG_INFO("thread", log_text("value", "some words that make the line a little longer"));
    return NULL;
}

static void test_threads_do_not_mix(void **state)
{
    pthread_t threads[4];
    int count = 50;

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_lines, &count), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    int lines = 0;
    for (const char *line = written(); *line != '\0'; line = strchr(line, '\n') + 1) {
        assert_memory_equal(line, "time=", 5);
        lines++;
    }
    assert_int_equal(lines, 4 * count);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, capture, release)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_whole_line),  TEST(test_plain_values),  TEST(test_escapes),
        TEST(test_utf8),        TEST(test_levels),        TEST(test_long_values),
        TEST(test_many_fields), TEST(test_errno_is_kept), TEST(test_threads_do_not_mix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
