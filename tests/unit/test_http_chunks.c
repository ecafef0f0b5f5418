/* Bodies in chunks: what is taken, whole and byte by byte, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/gateway/http_chunks.h"
#include <string.h>

/* Reads as a connection does: the body grows at the front, what is not read yet is behind it. */
static int read_in_steps(const char *text, size_t size, size_t step, size_t room, char *body,
                         size_t *body_size, size_t *left)
{
    struct http_chunks chunks = {0};
    int result = 0;
    size_t there = 0;

    *body_size = 0;
    *left = 0;
    while (there < size && result == 0) {
        size_t next = size - there < step ? size - there : step;
        const char *raw = body + *body_size;
        size_t raw_size = next;
        size_t added;
        memcpy(body + *body_size, text + there, next);
        there += next;
        result = http_chunks_read(&chunks, &raw, &raw_size, body + *body_size, room - *body_size,
                                  &added);
        *body_size += added;
        *left = raw_size;
        if (result == 0)
            assert_int_equal(raw_size, 0);
    }
    *left += size - there;
    return result;
}

static void test_taken(void **state)
{
    static const struct {
        const char *text;
        const char *body;
        size_t left;
    } cases[] = {
        {"3\r\nabc\r\n0\r\n\r\n", "abc", 0},
        {"0\r\n\r\nGET", "", 3},
        {"a;name=\"v\"\r\n0123456789\r\n1\r\nx\r\n00\r\nTrailer: y\r\n\r\n", "0123456789x", 0},

    };
    char body[256];
    size_t size;
    size_t left;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        for (size_t step = 1; step <= strlen(cases[i].text); step++) {
            assert_int_equal(
                read_in_steps(cases[i].text, strlen(cases[i].text), step, 100, body, &size, &left),
                1);
            assert_int_equal(size, strlen(cases[i].body));
            assert_memory_equal(body, cases[i].body, size);
            assert_int_equal(left, cases[i].left);
        }
    }
}

static void test_refused(void **state)
{
    static const char *const cases[] = {
        "\r\n",        " 3\r\nabc", "3 \r\nabc",   "0x3\r\nabc",       "-3\r\nabc",
        "+3\r\nabc",   "g\r\n",     "3\nabc",      "3\r\rabc",         "3\r\nabcd\r\n",
        "3\r\nabc\n",  "3;\n",      "3;a\x01\r\n", "123456789\r\n",    "0\r\n:\r\n",
        "0\r\n a\r\n", "0\r\n\rx",  "0\r\nA: b\n", "3\r\nabc\r\n\r\n",
    };
    char body[256];
    size_t size;
    size_t left;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (size_t step = 1; step <= strlen(cases[i]); step++) {
            if (read_in_steps(cases[i], strlen(cases[i]), step, 100, body, &size, &left) != -1)
                fail_msg("taken: %s", cases[i]);
        }
    }
}

static void test_bounded(void **state)
{
    struct http_chunks chunks = {.state = HTTP_CHUNKS_EXTENSION};
    const char *input = "x";
    size_t input_size = 1;
    char body[256];
    size_t size;
    size_t left;
    int result = 0;
    unsigned taken = 0;

    (void)state;
    assert_int_equal(read_in_steps("5\r\nab", 5, 5, 4, body, &size, &left), -2);
    assert_int_equal(read_in_steps("4\r\nabcd\r\n1\r\nx", 13, 13, 4, body, &size, &left), -2);
    assert_int_equal(read_in_steps("4\r\nabcd\r\n0\r\n\r\n", 14, 3, 4, body, &size, &left), 1);
    /* Extensions and trailers end. */
    while (result == 0 && taken++ < 10000) {
        input = "x";
        input_size = 1;
        result = http_chunks_read(&chunks, &input, &input_size, body, 100, &size);
    }
    assert_int_equal(result, -1);
    assert_in_range(taken, 4000, 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_taken),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
