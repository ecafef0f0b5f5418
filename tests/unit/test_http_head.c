/* Heads of requests: what is taken, what is refused with which status, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/gateway/http_head.h"
#include <stdlib.h>
#include <string.h>

static const struct http_head_limits limits = {.bytes = 16384, .fields = 100};

#define HOST "Host: chat.example\r\n"
#define GET "GET / HTTP/1.1\r\n" HOST
#define POST "POST /chat/Send HTTP/1.1\r\n" HOST

/* Reads it in pieces of `step` bytes; the buffer is the caller's, and is exactly as large as what
 * has come. */
static enum http_head_result read_in_steps(struct http_head *head, const char *text, size_t size,
                                           size_t step, char **buffer)
{
    enum http_head_result result = HTTP_HEAD_MORE;

    *head = (struct http_head){0};
    *buffer = NULL;
    for (size_t there = 0; there < size && result == HTTP_HEAD_MORE;) {
        size_t next = size - there < step ? size : there + step;
        *buffer = realloc(*buffer, next);
        memcpy(*buffer + there, text + there, next - there);
        there = next;
        result = http_head_read(head, &limits, *buffer, there);
    }
    return result;
}

static void assert_refused(const char *text, size_t size, int code)
{
    for (size_t step = 1; step <= size; step += step < 8 ? 1 : size) {
        struct http_head head;
        char *buffer;
        if (read_in_steps(&head, text, size, step, &buffer) != HTTP_HEAD_BAD)
            fail_msg("taken, or waited for, in steps of %zu: %s", step, text);
        if (head.code != code)
            fail_msg("%d instead of %d (%s): %s", head.code, code, head.problem, text);
        free(buffer);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *text;
        int code;
    } cases[] = {
        {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400},
        {POST "Content-Length: 5, 5\r\n\r\n", 400},
        {POST "Content-Length: -1\r\n\r\n", 400},
        {POST "Content-Length: +5\r\n\r\n", 400},
        {POST "Content-Length: 5x\r\n\r\n", 400},
        {POST "Content-Length: 0x5\r\n\r\n", 400},
        {POST "Content-Length: 5 5\r\n\r\n", 400},
        {POST "Content-Length:\r\n\r\n", 400},
        {POST "Content-Length: 18446744073709551621\r\n\r\n", 413},
        {POST "Content-Length : 5\r\n\r\n", 400},
        {POST "Content-Length\t: 5\r\n\r\n", 400},
        {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", 400},
        {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {POST "Transfer-Encoding: chunked, identity\r\n\r\n", 501},
        {POST "Transfer-Encoding: xchunked\r\n\r\n", 501},
        {POST "Transfer-Encoding: \"chunked\"\r\n\r\n", 501},
        {POST "Transfer-Encoding:\r\n\r\n", 501},
        {POST "Transfer-Encoding : chunked\r\n\r\n", 400},
        {POST "Transfer-Encoding: \vchunked\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {GET "X: a\r\n b\r\n\r\n", 400},
        {GET "X: a\r\n\tb\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {GET "X: a\n\r\n", 400},
        {GET "X: a\rb\r\n\r\n", 400},
        {GET "\r\r\n\r\n", 400},
        {GET "X: a\x01z\r\n\r\n", 400},
        {GET "X: a\x7fz\r\n\r\n", 400},
        {GET "X y: a\r\n\r\n", 400},
        {GET "X\r\n\r\n", 400},
        {GET ": a\r\n\r\n", 400},
        {GET "(X): a\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {GET "Host: chat.example\r\n\r\n", 400},
        {GET "host: b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: user@a\r\n\r\n", 400},
        {"GET /\r\n", 400},
        {"GET / \r\n", 400},
        {"GET  / HTTP/1.1\r\n", 400},
        {"GET /  HTTP/1.1\r\n", 400},
        {" GET / HTTP/1.1\r\n", 400},
        {"GET / HTTP/1.1 \r\n", 400},
        {"GET\t/\tHTTP/1.1\r\n", 400},
        {"GET / http/1.1\r\n", 400},
        {"GET / HTTP/1.10\r\n", 400},
        {"GET / HTTP/11\r\n", 400},
        {"GET / HTTP/2.0\r\n", 505},
        {"GET / HTTP/0.9\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
        {"G(T / HTTP/1.1\r\n", 400},
        {"GET /a b HTTP/1.1\r\n", 400},
        {"GET /\xc3\xa4 HTTP/1.1\r\n", 400},
        {"GET /#top HTTP/1.1\r\n", 400},
        {"GET a HTTP/1.1\r\n", 400},
        {"GET * HTTP/1.1\r\n", 400},
        {"GET ftp://a/ HTTP/1.1\r\n", 400},
        {"GET http:///a HTTP/1.1\r\n", 400},
        {"GET http://user@a/ HTTP/1.1\r\n", 400},
        {"CONNECT chat.example:443 HTTP/1.1\r\n", 501},
        {"\r\n\r\nGET / HTTP/1.1\r\n", 400},
        {GET "Expect: a pony\r\n\r\n", 417},
        {"\x16\x03\x01\x02\x01\x01\x01\xfc\x03\x03\n", 400},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_refused(cases[i].text, strlen(cases[i].text), cases[i].code);
    assert_refused(GET "X: a\0b\r\n\r\n", sizeof GET - 1 + 8, 400);
}

static void test_too_large(void **state)
{
    char *text = malloc(40000);
    size_t size;

    (void)state;
    memset(text, 'a', 40000);
    memcpy(text, "GET /", 5);
    memcpy(text + 9000, " HTTP/1.1\r\n", 11);
    assert_refused(text, 9011, 414);
    memset(text + 9000, 'a', 11);
    assert_refused(text, 20000, 414);
    size = sizeof GET - 1;
    memcpy(text, GET "X: ", size + 3);
    assert_refused(text, 20000, 431);
    for (size_t i = 0; i < 101; i++)
        memcpy(text + size + 6 * i, "X: y\r\n", 6);
    assert_refused(text, size + 606, 431);
    free(text);
}

/* The piece of the head, which the buffer may have after the last step. */
static const char *text_of(const char *buffer, struct http_piece piece)
{
    static char text[256];

    memcpy(text, buffer + piece.start, piece.size);
    text[piece.size] = '\0';
    return text;
}

static void test_taken(void **state)
{
    static const char text[] = "\r\nPOST /chat/Send?a=b?c HTTP/1.1\r\nHOST: chat.example:8080\r\n"
                               "X-Empty:\r\nX-Spaces: \t a b \t\r\nContent-length: 0012\r\n"
                               "Connection: foo, Upgrade,\tclose\r\nUpgrade: h2c, WebSocket\r\n"
                               "expect: 100-Continue\r\n\r\nbody that stays";

    (void)state;
    for (size_t step = 1; step < sizeof text; step++) {
        struct http_head head;
        char *buffer;
        assert_int_equal(read_in_steps(&head, text, sizeof text - 1, step, &buffer),
                         HTTP_HEAD_DONE);
        assert_string_equal(text_of(buffer, head.method), "POST");
        assert_string_equal(text_of(buffer, head.path), "/chat/Send");
        assert_string_equal(text_of(buffer, head.query), "a=b?c");
        assert_string_equal(text_of(buffer, head.host), "chat.example:8080");
        assert_int_equal(head.field_count, 7);
        assert_string_equal(text_of(buffer, http_head_find(&head, buffer, "x-spaces")->value),
                            "a b");
        assert_int_equal(http_head_find(&head, buffer, "x-empty")->value.size, 0);
        assert_null(http_head_find(&head, buffer, "x-other"));
        assert_int_equal(head.body, HTTP_BODY_LENGTH);
        assert_int_equal(head.content_length, 12);
        assert_int_equal(head.size, sizeof text - 1 - strlen("body that stays"));
        assert_true(head.upgrade_websocket);
        assert_true(head.expects_continue);
        assert_false(head.keep_alive);
        free(buffer);
    }
}

static struct http_head taken(const char *text, char **buffer)
{
    struct http_head head;

    assert_int_equal(read_in_steps(&head, text, strlen(text), 1024, buffer), HTTP_HEAD_DONE);
    return head;
}

static void test_connection(void **state)
{
    static const struct {
        const char *text;
        bool keep_alive;
        enum http_body_kind body;
    } cases[] = {
        {GET "\r\n", true, HTTP_BODY_NONE},
        {GET "Connection: close\r\n\r\n", false, HTTP_BODY_NONE},
        {GET "Connection: keep-alive\r\nConnection: x, Close\r\n\r\n", false, HTTP_BODY_NONE},
        {"GET / HTTP/1.0\r\n\r\n", false, HTTP_BODY_NONE},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true, HTTP_BODY_NONE},
        {"GET / HTTP/1.7\r\n" HOST "\r\n", true, HTTP_BODY_NONE},
        {POST "Transfer-Encoding: Chunked\r\n\r\n", true, HTTP_BODY_CHUNKED},
        {POST "Content-Length: 0\r\n\r\n", true, HTTP_BODY_NONE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *buffer;
        struct http_head head = taken(cases[i].text, &buffer);
        assert_int_equal(head.keep_alive, cases[i].keep_alive);
        assert_int_equal(head.body, cases[i].body);
        free(buffer);
    }
}

static void test_targets(void **state)
{
    static const struct {
        const char *text;
        const char *path;
        const char *query;
        const char *host;
    } cases[] = {
        {GET "\r\n", "/", "", "chat.example"},
        {"GET http://a.b:80/c?d HTTP/1.1\r\n" HOST "\r\n", "/c", "d", "a.b:80"},
        {"GET HTTPS://[::1]/ HTTP/1.1\r\n" HOST "\r\n", "/", "", "[::1]"},
        {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "*", "", "chat.example"},
        {"GET /%20'{|}?x=\\ HTTP/1.1\r\nHost:\r\n\r\n", "/%20'{|}", "x=\\", ""},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *buffer;
        struct http_head head = taken(cases[i].text, &buffer);
        assert_string_equal(text_of(buffer, head.path), cases[i].path);
        assert_string_equal(text_of(buffer, head.query), cases[i].query);
        assert_string_equal(text_of(buffer, head.host), cases[i].host);
        free(buffer);
    }
}

static void test_lists(void **state)
{
    (void)state;
    assert_true(http_list_has("a", 1, "A"));
    assert_true(http_list_has(" x ,\tB ", 7, "b"));
    assert_false(http_list_has("ab", 2, "a"));
    assert_false(http_list_has("a", 1, "ab"));
    assert_false(http_list_has("a b", 3, "b"));
    assert_false(http_list_has("", 0, "a"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused), cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_taken),   cmocka_unit_test(test_connection),
        cmocka_unit_test(test_targets), cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
