/* Subjects and addresses: what may get into them, and what messages show of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/libchat/address.h"
#include "clients/libchat/chat.h"
#include <string.h>

static const char longest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

static void test_subjects(void **state)
{
    char subject[ADDRESS_SUBJECT_BYTES];

    (void)state;
    assert_int_equal(address_of_method("Send", NULL, subject), 0);
    assert_string_equal(subject, "chat.Send");
    assert_int_equal(address_of_method("New", "", subject), 0);
    assert_string_equal(subject, "chat.New");
    assert_int_equal(address_of_method("History", "acme", subject), 0);
    assert_string_equal(subject, "chat.History.acme");
    assert_int_equal(strlen(longest), 64);
    assert_int_equal(address_of_method("History", longest, subject), 0);
    assert_int_equal(strlen(subject), strlen("chat.History.") + 64);
}

static void test_subjects_of_events(void **state)
{
    char subject[ADDRESS_EVENT_BYTES];
    static const char id[] = "54356f8d-a48f-41fc-b775-1a3c108ec97a";

    (void)state;
    assert_int_equal(address_of_events(NULL, id, subject), 0);
    assert_string_equal(subject, "chat.events.default.54356f8d-a48f-41fc-b775-1a3c108ec97a");
    assert_int_equal(address_of_events("acme", "54356F8D-A48F-41FC-B775-1A3C108EC97A", subject), 0);
    assert_string_equal(subject, "chat.events.acme.54356f8d-a48f-41fc-b775-1a3c108ec97a");
    assert_int_equal(address_of_events(longest, id, subject), 0);
    assert_int_equal(strlen(subject), sizeof subject - 1);
    assert_int_equal(address_of_events("a.b", id, subject), -1);
    assert_int_equal(address_of_events(NULL, "*", subject), -1);
    assert_int_equal(address_of_events(NULL, "", subject), -1);
    assert_int_equal(address_of_events(NULL, NULL, subject), -1);
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
    char subject[ADDRESS_SUBJECT_BYTES] = "untouched";

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_int_equal(address_of_method("Send", wrong[i], subject), -1);
        assert_string_equal(subject, "untouched");
    }
    assert_false(chat_namespace_is_valid(""));
}

static void test_prefixes(void **state)
{
    static const char *const right[] = {"_INBOX", "_INBOX.tenant-1", "a.b.c", "$x"};
    static const char *const wrong[] = {"", ".a", "a.", "a..b", "a b", "a.*", ">", "a\n", "é"};

    (void)state;
    for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
        assert_true(address_prefix_is_valid(right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(address_prefix_is_valid(wrong[i]));
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
        assert_true(chat_url_is_valid(right[i]));
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        assert_false(chat_url_is_valid(wrong[i]));
}

static void expect_described(const char *url, const char *as)
{
    char text[128];

    address_describe(&url, 1, text, sizeof text);
    assert_string_equal(text, as);
}

static void test_urls_without_secrets(void **state)
{
    const char *two[] = {"nats://a:b@one:1", "tls://two"};
    char text[128];

    (void)state;
    expect_described("nats://host:4222", "nats://host:4222");
    expect_described("nats://user:pass@host:4222", "nats://host:4222");
    expect_described("nats://token@host", "nats://host");
    expect_described("user:pass@host", "host");
    expect_described("nats://user:p@ss/word@host", "nats://host");
    expect_described("user:x://y@host", "user:x://host");
    address_describe(two, 2, text, sizeof text);
    assert_string_equal(text, "nats://one:1,tls://two");
    address_describe(NULL, 0, text, sizeof text);
    assert_string_equal(text, CHAT_DEFAULT_URL);
    for (size_t size = 1; size < 30; size++) {
        address_describe(two, 2, text, size);
        assert_true(strlen(text) < size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_subjects),     cmocka_unit_test(test_subjects_of_events),
        cmocka_unit_test(test_no_namespace), cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_url_forms),    cmocka_unit_test(test_urls_without_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
