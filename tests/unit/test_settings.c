#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "service/settings.h"

#define WORDS_MAX 8

struct parsed {
    struct settings settings;
    enum options_result result;
    char *out;
    char *err;
};

static void parse(struct parsed *parsed, const char *const *words)
{
    const char *argv[WORDS_MAX + 1] = {"chatd"};
    int argc = 1;
    size_t out_size;
    size_t err_size;
    FILE *out = open_memstream(&parsed->out, &out_size);
    FILE *err = open_memstream(&parsed->err, &err_size);

    for (; words[argc - 1] != NULL; argc++)
        argv[argc] = words[argc - 1];
    parsed->result = settings_parse(&parsed->settings, argc, (char **)(uintptr_t)argv, out, err);
    fclose(out);
    fclose(err);
}

static void clear(struct parsed *parsed)
{
    settings_free(&parsed->settings);
    free(parsed->out);
    free(parsed->err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void assert_mistake(const char *const *words, const char *named)
{
    struct parsed parsed;

    parse(&parsed, words);
    assert_int_equal(parsed.result, OPTIONS_USAGE);
    assert_non_null(strstr(parsed.err, named));
    clear(&parsed);
}

static void defaults_are_the_contracts(void **state)
{
    struct parsed parsed;

    (void)state;
    parse(&parsed, WORDS("--data-dir=/data"));
    assert_int_equal(parsed.result, OPTIONS_OK);
    assert_int_equal(parsed.settings.limits.text_bytes, 65536);
    assert_int_equal(parsed.settings.limits.users, 1000);
    assert_int_equal(parsed.settings.limits.request_bytes, 262144);
    assert_true(parsed.settings.events);
    assert_int_equal(parsed.settings.log_level, LOG_LEVEL_INFO);
    assert_int_equal(parsed.settings.store.check, DATABASE_CHECK_AUTO);
    assert_int_equal(parsed.settings.broker.urls.count, 0);
    clear(&parsed);
}

static void options_reach_their_place(void **state)
{
    struct parsed parsed;

    (void)state;
    parse(&parsed,
          WORDS("--data-dir=/data", "--nats-url=nats://a:1,nats://b:2", "--events=false",
                "--max-text-bytes=1KiB", "--settle-ms=7", "--log-level=debug", "--check=quick"));
    assert_int_equal(parsed.result, OPTIONS_OK);
    assert_int_equal(parsed.settings.broker.urls.count, 2);
    assert_string_equal(parsed.settings.broker.urls.values[1], "nats://b:2");
    assert_false(parsed.settings.events);
    assert_int_equal(parsed.settings.limits.text_bytes, 1024);
    assert_int_equal(parsed.settings.store.settle_ms, 7);
    assert_int_equal(parsed.settings.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(parsed.settings.store.check, DATABASE_CHECK_QUICK);
    clear(&parsed);
}

static void every_option_is_a_variable_too(void **state)
{
    struct parsed parsed;

    (void)state;
    setenv("CHAT_DATA_DIR", "/from/environment", 1);
    setenv("CHAT_MAX_USERS", "3", 1);
    parse(&parsed, WORDS("--max-requests=5"));
    assert_int_equal(parsed.result, OPTIONS_OK);
    assert_string_equal(parsed.settings.store.directory, "/from/environment");
    assert_int_equal(parsed.settings.limits.users, 3);
    assert_int_equal(parsed.settings.store.requests_max, 5);
    clear(&parsed);
    unsetenv("CHAT_DATA_DIR");
    unsetenv("CHAT_MAX_USERS");
}

static void mistakes_are_named(void **state)
{
    (void)state;
    assert_mistake(WORDS("--events"), "--data-dir is missing");
    assert_mistake(WORDS("--data-dir=/d", "--log-level=loud"), "--log-level");
    assert_mistake(WORDS("--data-dir=/d", "--check=none"), "--check");
    assert_mistake(WORDS("--data-dir=/d", "--password=x"), "--user");
    assert_mistake(WORDS("--data-dir=/d", "--tls-key=x"), "--tls-cert");
    assert_mistake(WORDS("--data-dir=/d", "--max-users=0"), "--max-users");
    /* A text so long that no request could carry it. */
    assert_mistake(WORDS("--data-dir=/d", "--max-text-bytes=256KiB"), "--max-text-bytes");
    /* More than can be mapped, which LMDB would take for something much smaller. */
    assert_mistake(WORDS("--data-dir=/d", "--database-map-bytes=18446744073709551615"),
                   "--database-map-bytes");
}

static void help_shows_no_secrets(void **state)
{
    struct parsed parsed;

    (void)state;
    setenv("CHAT_NATS_URL", "nats://u:hush@a:1", 1);
    setenv("CHAT_PASSWORD", "hush", 1);
    setenv("CHAT_TOKEN", "hush", 1);
    parse(&parsed, WORDS("--help"));
    unsetenv("CHAT_NATS_URL");
    unsetenv("CHAT_PASSWORD");
    unsetenv("CHAT_TOKEN");
    assert_int_equal(parsed.result, OPTIONS_HELP);
    assert_null(strstr(parsed.out, "hush"));
    assert_non_null(strstr(parsed.out, "--nats-url"));
    clear(&parsed);
}

static void version_is_printed(void **state)
{
    struct parsed parsed;

    (void)state;
    parse(&parsed, WORDS("--version"));
    assert_int_equal(parsed.result, OPTIONS_VERSION);
    assert_memory_equal(parsed.out, "chatd ", 6);
    clear(&parsed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_contracts),
        cmocka_unit_test(options_reach_their_place),
        cmocka_unit_test(every_option_is_a_variable_too),
        cmocka_unit_test(mistakes_are_named),
        cmocka_unit_test(help_shows_no_secrets),
        cmocka_unit_test(version_is_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
