/* The pure parts of a call: subjects, pauses between attempts, addresses in messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/call.h"
#include <string.h>

static void test_subjects(void **state)
{
    char subject[CALL_SUBJECT_BYTES];
    static const char longest[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

    (void)state;
    assert_int_equal(call_subject("Send", NULL, subject), 0);
    assert_string_equal(subject, "chat.Send");
    assert_int_equal(call_subject("New", "", subject), 0);
    assert_string_equal(subject, "chat.New");
    assert_int_equal(call_subject("History", "acme", subject), 0);
    assert_string_equal(subject, "chat.History.acme");
    assert_int_equal(strlen(longest), 64);
    assert_int_equal(call_subject("History", longest, subject), 0);
    assert_int_equal(strlen(subject), strlen("chat.History.") + 64);
}

/* Whatever could add a token, a wildcard or a line to the protocol. */
static void test_no_namespace(void **state)
{
    static const char *const wrong[] = {
        "a.b",
        "*",
        ">",
        "a b",
        "a\r\nPUB x 0\r\n",
        "é",
        "a/b",
        "$SYS",
        "a\x7f",
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-x",
    };
    char subject[CALL_SUBJECT_BYTES] = "untouched";

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(call_subject("Send", wrong[i], subject), -1);
        assert_string_equal(subject, "untouched");
    }
    assert_false(call_namespace_is_valid(""));
}

static void test_backoff(void **state)
{
    static const uint64_t longest_ms[] = {250, 500, 1000, 2000, 2000, 2000};

    (void)state;
    for (unsigned i = 0; i < sizeof longest_ms / sizeof longest_ms[0]; i++) {
        uint64_t least = UINT64_MAX;
        assert_int_equal(call_backoff_ms(i + 1, 0), longest_ms[i]);
        for (uint32_t random = 0; random < 4000; random++) {
            uint64_t delay_ms = call_backoff_ms(i + 1, random);
            assert_in_range(delay_ms, longest_ms[i] / 2, longest_ms[i]);
            least = delay_ms < least ? delay_ms : least;
        }
        assert_int_equal(least, longest_ms[i] / 2);
    }
    assert_int_equal(call_backoff_ms(UINT32_MAX, 0), 2000);
}

static void test_url_forms(void **state)
{
    static const char *const right[] = {"nats://127.0.0.1:4222", "tls://u:p@host", "host:4222",
                                        "nats://[::1]:4222", "host"};
    static const char *const wrong[] = {"",        "nats://",    "http://host", "NATS://host",
                                        "foo bar", "nats://a b", "ws://host",   "://host",
                                        "tls://",  "nats://a\nb"};

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_true(call_url_is_valid(right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(call_url_is_valid(wrong[i]));
}

static void expect_described(char *url, const char *as)
{
    const struct option_list urls = {.values = &url, .count = 1};
    char text[128];

    call_describe_urls(&urls, text, sizeof text);
    assert_string_equal(text, as);
}

static void test_urls_without_secrets(void **state)
{
    char *two[] = {(char[]){"nats://a:b@one:1"}, (char[]){"tls://two"}};
    const struct option_list urls = {.values = two, .count = 2};
    const struct option_list none = {0};
    char text[128];

    (void)state;
    expect_described((char[]){"nats://host:4222"}, "nats://host:4222");
    expect_described((char[]){"nats://user:pass@host:4222"}, "nats://host:4222");
    expect_described((char[]){"nats://token@host"}, "nats://host");
    expect_described((char[]){"user:pass@host"}, "host");
    expect_described((char[]){"nats://user:p@ss/word@host"}, "nats://host");
    expect_described((char[]){"user:x://y@host"}, "user:x://host");
    call_describe_urls(&urls, text, sizeof text);
    assert_string_equal(text, "nats://one:1,tls://two");
    call_describe_urls(&none, text, sizeof text);
    assert_string_equal(text, CALL_DEFAULT_URL);
    for (size_t size = 1; size < 30; size++) {
        call_describe_urls(&urls, text, size);
        assert_true(strlen(text) < size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subjects),
        cmocka_unit_test(test_no_namespace),
        cmocka_unit_test(test_backoff),
        cmocka_unit_test(test_url_forms),
        cmocka_unit_test(test_urls_without_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
