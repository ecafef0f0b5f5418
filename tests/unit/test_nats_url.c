#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/nats_url.h"

static void assert_shown(const char *url, const char *expected)
{
    char text[NATS_URL_TEXT_BYTES];

    nats_url_without_credentials(url, text, sizeof text);
    assert_string_equal(text, expected);
}

static void addresses_without_credentials_stay_as_they_are(void **state)
{
    (void)state;
    assert_shown("nats://127.0.0.1:4222", "nats://127.0.0.1:4222");
    assert_shown("broker:4222", "broker:4222");
    assert_shown("", "");
}

static void credentials_are_taken_out(void **state)
{
    (void)state;
    assert_shown("nats://user:secret@host:4222", "nats://host:4222");
    assert_shown("tls://token@host", "tls://host");
    assert_shown("user:secret@host:1", "host:1");
}

static void strange_passwords_are_not_half_shown(void **state)
{
    (void)state;
    assert_shown("nats://user:se@cr/et@host:1", "nats://host:1");
    assert_shown("user:a://b@host:1", "host:1");
}

static void several_are_joined_and_cut(void **state)
{
    char first[] = "nats://u:p@a:1";
    char second[] = "nats://b:2";
    char *const urls[] = {first, second};
    char text[NATS_URL_TEXT_BYTES];
    char small[13];

    (void)state;
    nats_urls_without_credentials(urls, 2, text, sizeof text);
    assert_string_equal(text, "nats://a:1,nats://b:2");
    nats_urls_without_credentials(urls, 2, small, sizeof small);
    assert_string_equal(small, "nats://a:1,n");
    nats_urls_without_credentials(urls, 0, text, sizeof text);
    assert_string_equal(text, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_without_credentials_stay_as_they_are),
        cmocka_unit_test(credentials_are_taken_out),
        cmocka_unit_test(strange_passwords_are_not_half_shown),
        cmocka_unit_test(several_are_joined_and_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
