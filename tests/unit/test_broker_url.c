/* Addresses of brokers that can be right, and others. */
#include "base/broker_url.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void what_can_be_right_is_let_through(void **state)
{
    static const char *const urls[] = {
        "nats://127.0.0.1:4222",
        "nats://localhost",
        "tls://a-b.example:65535",
        "broker:4222",
        "broker",
        "nats://user:pass@host:1",
        "nats://token@host:4222",
        "nats://u:p@ss/w:rd@host:1",
        "nats://[::1]:4222",
        "tls://[fe80::1]",
        "nats://under_score:4222",
    };

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++)
        assert_null(broker_url_mistake(urls[i]));
}

static void what_can_not_is_named(void **state)
{
    static const char *const cases[][2] = {
        {"", "no host"},
        {"nats://", "no host"},
        {"nats://user:secret@", "no host"},
        {"http://host:1", "nats://"},
        {"NATS://host:1", "nats://"},
        {"nats://host:", "port"},
        {"nats://host:0", "port"},
        {"nats://host:65536", "port"},
        {"nats://host:100000", "port"},
        {"nats://host:1x", "port"},
        {"nats://host:-1", "port"},
        {"nats://host:1:2", "port"},
        {"nats://host:1/", "slash"},
        {"nats://host/path:1", "path"},
        {"nats://ho\nst:1", "space"},
        {"nats://host :1", "space"},
        {"nats://[::1:1", "brackets"},
        {"nats://[::1]x", "brackets"},
        {"nats://[host]:1", "brackets"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *mistake = broker_url_mistake(cases[i][0]);
        assert_non_null(mistake);
        assert_non_null(strstr(mistake, cases[i][1]));
    }
}

static void tls_and_prefixes(void **state)
{
    (void)state;
    assert_true(broker_url_is_tls("tls://host"));
    assert_false(broker_url_is_tls("nats://tls://"));
    assert_true(broker_inbox_prefix_is_valid("_INBOX_acme"));
    assert_true(broker_inbox_prefix_is_valid("a.b"));
    assert_false(broker_inbox_prefix_is_valid(""));
    assert_false(broker_inbox_prefix_is_valid(".a"));
    assert_false(broker_inbox_prefix_is_valid("a."));
    assert_false(broker_inbox_prefix_is_valid("a..b"));
    assert_false(broker_inbox_prefix_is_valid("a.*"));
    assert_false(broker_inbox_prefix_is_valid("a.>"));
    assert_false(broker_inbox_prefix_is_valid("a b"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_be_right_is_let_through),
        cmocka_unit_test(what_can_not_is_named),
        cmocka_unit_test(tls_and_prefixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
