/* What chat-gateway is told, and what it refuses to be told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/gateway/gateway_settings.h"
#include <stdlib.h>
#include <string.h>

static enum options_result parse(struct gateway_settings *settings, char *said, size_t size,
                                 const char *first, const char *second)
{
    char *argv[] = {(char[]){"chat-gateway"}, (char *)(uintptr_t)first, (char *)(uintptr_t)second,
                    NULL};
    FILE *err = fmemopen(said, size, "w");
    enum options_result result = gateway_settings_parse(settings,
                                                        second != NULL  ? 3
                                                        : first != NULL ? 2
                                                                        : 1,
                                                        argv, err, err);

    fclose(err);
    return result;
}

static void test_defaults(void **state)
{
    struct gateway_settings settings;
    char said[512] = "";

    (void)state;
    assert_int_equal(parse(&settings, said, sizeof said, NULL, NULL), OPTIONS_OK);
    assert_int_equal(settings.listen.count, 1);
    assert_string_equal(settings.listen.values[0], "127.0.0.1:8080");
    assert_true(gateway_settings_loopback_only(&settings));
    gateway_settings_free(&settings);
}

static void test_refused(void **state)
{
    static const struct {
        const char *words[2];
        const char *said;
    } cases[] = {
        {{"--listen=8080", NULL}, "--listen must be"},
        {{"--listen=host.example:8080", NULL}, "--listen must be"},
        {{"--listen=127.0.0.1:65536", NULL}, "--listen must be"},
        {{"--listen=127.0.0.1:", NULL}, "--listen must be"},
        {{"--listen=[::1:80", NULL}, "--listen must be"},
        {{"--listen-tls-cert=a", NULL}, "go together"},
        {{"--auth-tokens=", NULL}, "--auth-tokens is empty"},
        {{"--auth-tokens", ""}, "--auth-tokens is empty"},
        {{"--auth-jwt-key=", NULL}, "--auth-jwt-key is empty"},
        {{"--auth-jwt-issuer=", NULL}, "--auth-jwt-issuer is empty"},
        {{"--auth-jwt-audience=", NULL}, "--auth-jwt-audience is empty"},
        {{"--listen-tls-cert=", "--listen-tls-key="}, "--listen-tls-cert is empty"},
        {{"--cors-origin=*", NULL}, "--cors-origin must be"},
        {{"--cors-origin=chat.example", NULL}, "--cors-origin must be"},
        {{"--cors-origin=https://chat.example/", NULL}, "--cors-origin must be"},
        {{"--trusted-proxies=proxy", NULL}, "--trusted-proxies must be"},
        {{"--nats-url=http://a", NULL}, "--nats-url must be"},
        {{"--password=x", NULL}, "--password needs --user"},
        {{"--tls-key=x", NULL}, "go together"},
        {{"--inbox-prefix=_INBOX.*", NULL}, "--inbox-prefix must be"},
        {{"--nkey-seed=/none", NULL}, "--nkey-seed is not usable"},
        {{"--user=a", "--nkey-seed=/none"}, "exclude each other"},
        {{"--log-level=loud", NULL}, "--log-level must be"},
        {{"--max-body-bytes=1", NULL}, "--max-body-bytes"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gateway_settings settings;
        char said[512] = "";
        assert_int_equal(parse(&settings, said, sizeof said, cases[i].words[0], cases[i].words[1]),
                         OPTIONS_USAGE);
        if (strstr(said, cases[i].said) == NULL)
            fail_msg("%s: %s", cases[i].words[0], said);
        gateway_settings_free(&settings);
    }
}

static void test_broker(void **state)
{
    struct gateway_settings settings;
    struct chat_options broker;
    char said[512] = "";

    (void)state;
    assert_int_equal(parse(&settings, said, sizeof said, NULL, NULL), OPTIONS_OK);
    assert_string_equal(gateway_settings_broker(&settings).name, "chat-gateway");
    gateway_settings_free(&settings);
    assert_int_equal(parse(&settings, said, sizeof said, "--inbox-prefix=_INBOX.backend",
                           "--connection-name=front"),
                     OPTIONS_OK);
    broker = gateway_settings_broker(&settings);
    assert_string_equal(broker.inbox_prefix, "_INBOX.backend");
    assert_string_equal(broker.name, "front");
    gateway_settings_free(&settings);
}

static void test_addresses(void **state)
{
    struct sockaddr_storage address;
    static const struct {
        const char *text;
        bool loopback;
    } cases[] = {{"127.0.0.1:0", true},    {"[::1]:8080", true},   {"localhost:1", true},
                 {"127.8.0.1:8080", true}, {"0.0.0.0:80", false},  {"*:80", false},
                 {"[::]:80", false},       {"10.0.0.1:80", false}, {"[2001:db8::1]:80", false}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *values[] = {(char *)(uintptr_t)cases[i].text};
        struct gateway_settings settings = {.listen = {.values = values, .count = 1}};
        assert_int_equal(gateway_settings_address(cases[i].text, &address), 0);
        assert_int_equal(gateway_settings_loopback_only(&settings), cases[i].loopback);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_broker),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
