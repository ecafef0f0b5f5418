/* Options: both spellings, defaults, variables, checks, messages, and the help text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/options.h"
#include <stdlib.h>
#include <string.h>

static const char *url;
static const char *password;
static struct option_list users;
static bool verbose;
static bool follow;
static uint64_t limit;
static uint64_t size_bytes;
static uint64_t count;

static const struct option table[] = {
    {"nats-url", "TEST_NATS_URL", OPTION_TEXT, &url, 0, 0, "URL", "Where the broker is.", false},
    {"password", "TEST_PASSWORD", OPTION_TEXT, &password, 0, 0, "TEXT", "Said to nobody.", true},
    {"user_ids", "TEST_USER_IDS", OPTION_LIST, &users, 0, 0, "ID,…",
     "The users: repeat the option, or separate them by commas. This sentence is only here to make "
     "the text so long that it must be wrapped.",
     false},
    {"verbose", "TEST_VERBOSE", OPTION_FLAG, &verbose, 0, 0, NULL, "Say more.", false},
    {"follow", NULL, OPTION_FLAG, &follow, 0, 0, NULL, "Go on at [::1]:8080.", false},
    {"limit", "TEST_LIMIT", OPTION_U64, &limit, 1, 1000, "N",
     "At most so many, which leaves no place for a note.", false},
    {"count", NULL, OPTION_U64, &count, 0, 0, "N", "Any number.", false},
    {"size-with-a-rather-long-name", "TEST_SIZE", OPTION_BYTES, &size_bytes, 1024, 1 << 20, "SIZE",
     "How large.", false},
};

static const struct options options = {
    .program = "tester",
    .usage = "tester [options]",
    .summary = "Tests options.",
    .examples = "  tester --limit=3",
    .table = table,
    .count = sizeof table / sizeof table[0],
};

static char *out_text, *err_text;

static int defaults(void **state)
{
    (void)state;
    url = "nats://127.0.0.1:4222";
    password = "hunter2";
    verbose = false;
    follow = true;
    limit = 50;
    count = 0;
    size_bytes = 64 * 1024;
    for (size_t i = 0; i < options.count; i++) {
        if (table[i].environment != NULL)
            unsetenv(table[i].environment);
    }
    return 0;
}

static int forget(void **state)
{
    (void)state;
    option_list_free(&users);
    free(out_text);
    free(err_text);
    out_text = err_text = NULL;
    return 0;
}

/* Words end with NULL. Leaves what was printed in out_text and err_text. */
static enum options_result parse(const char *first, ...)
{
    char *words[16] = {(char[]){"tester"}};
    int used = 1;
    size_t size;
    va_list rest;

    va_start(rest, first);
    for (const char *word = first; word != NULL; word = va_arg(rest, const char *))
        words[used++] = (char *)(uintptr_t)word;
    va_end(rest);
    free(out_text);
    free(err_text);
    FILE *out = open_memstream(&out_text, &size);
    FILE *err = open_memstream(&err_text, &size);
    enum options_result result = options_parse(&options, used, words, out, err);
    fclose(out);
    fclose(err);
    return result;
}

static void expect_usage(const char *word, const char *message)
{
    char line[512];

    assert_int_equal(parse(word, NULL), OPTIONS_USAGE);
    snprintf(line, sizeof line, "tester: %s (see tester --help)\n", message);
    assert_string_equal(err_text, line);
    assert_string_equal(out_text, "");
}

static void test_nothing_given(void **state)
{
    (void)state;
    assert_int_equal(parse(NULL), OPTIONS_OK);
    assert_string_equal(url, "nats://127.0.0.1:4222");
    assert_int_equal(limit, 50);
    assert_false(verbose);
    assert_true(follow);
    assert_int_equal(users.count, 0);
    assert_string_equal(err_text, "");
}

static void test_both_forms(void **state)
{
    (void)state;
    assert_int_equal(parse("--nats-url=a=b", "--limit", "7", "--verbose", "--follow=false",
                           "--count=18446744073709551615", NULL),
                     OPTIONS_OK);
    assert_string_equal(url, "a=b");
    assert_int_equal(limit, 7);
    assert_true(verbose);
    assert_false(follow);
    assert_true(count == UINT64_MAX);
    /* A value may look like an option, and may be empty; the last one counts. */
    assert_int_equal(parse("--nats-url", "--limit", "--password=", NULL), OPTIONS_OK);
    assert_string_equal(url, "--limit");
    assert_string_equal(password, "");
    assert_int_equal(parse("--limit=3", "--limit=4", NULL), OPTIONS_OK);
    assert_int_equal(limit, 4);
}

static void test_dash_or_underscore(void **state)
{
    (void)state;
    assert_int_equal(parse("--nats_url=x", "--user-ids=John", "--user_ids=Barry", NULL),
                     OPTIONS_OK);
    assert_string_equal(url, "x");
    assert_int_equal(users.count, 2);
}

static void test_lists(void **state)
{
    (void)state;
    setenv("TEST_USER_IDS", "from,environment", 1);
    assert_int_equal(parse("--user_ids=John,Barry", "--user_ids", "Zoë", NULL), OPTIONS_OK);
    assert_int_equal(users.count, 3);
    assert_string_equal(users.values[0], "John");
    assert_string_equal(users.values[1], "Barry");
    assert_string_equal(users.values[2], "Zoë");
    /* A list given replaces the one that was there. */
    assert_int_equal(parse("--user_ids=one", NULL), OPTIONS_OK);
    assert_int_equal(users.count, 1);
    assert_int_equal(parse(NULL), OPTIONS_OK);
    assert_int_equal(users.count, 2);
    assert_string_equal(users.values[1], "environment");
    assert_int_equal(parse("--user_ids=", NULL), OPTIONS_OK);
    assert_int_equal(users.count, 0);
    expect_usage("--user_ids=a,,b",
                 "--user_ids=a,,b: has an empty item; separate values by single commas");
    expect_usage("--user_ids=a,",
                 "--user_ids=a,: has an empty item; separate values by single commas");
}

static void test_environment(void **state)
{
    (void)state;
    setenv("TEST_NATS_URL", "nats://broker", 1);
    setenv("TEST_VERBOSE", "1", 1);
    setenv("TEST_LIMIT", "", 1);
    setenv("TEST_SIZE", "2KiB", 1);
    assert_int_equal(parse("--size-with-a-rather-long-name=1MiB", NULL), OPTIONS_OK);
    assert_string_equal(url, "nats://broker");
    assert_true(verbose);
    assert_int_equal(limit, 50);
    assert_int_equal(size_bytes, 1 << 20);
    /* A wrong variable is refused, unless the option was given. */
    setenv("TEST_LIMIT", "many", 1);
    assert_int_equal(parse("--limit=5", NULL), OPTIONS_OK);
    assert_int_equal(parse(NULL), OPTIONS_USAGE);
    assert_string_equal(err_text, "tester: TEST_LIMIT=many: must be a whole number from 1 to 1000 "
                                  "(see tester --help)\n");
}

static void test_numbers(void **state)
{
    static const char *const wrong[] = {"0",  "1001", "",   "-1",   "+1",
                                        " 1", "1 ",   "1x", "0x10", "99999999999999999999999"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char word[64], message[128];
        snprintf(word, sizeof word, "--limit=%s", wrong[i]);
        snprintf(message, sizeof message, "%s: must be a whole number from 1 to 1000", word);
        expect_usage(word, message);
        assert_int_equal(limit, 50);
    }
    expect_usage("--count=18446744073709551616",
                 "--count=18446744073709551616: must be a whole number");
    expect_usage("--count=1KiB", "--count=1KiB: must be a whole number");
    assert_int_equal(parse("--limit=1", NULL), OPTIONS_OK);
    assert_int_equal(parse("--limit=1000", NULL), OPTIONS_OK);
}

static void test_bytes(void **state)
{
    (void)state;
    assert_int_equal(parse("--size-with-a-rather-long-name=1025", NULL), OPTIONS_OK);
    assert_int_equal(size_bytes, 1025);
    assert_int_equal(parse("--size-with-a-rather-long-name=64KiB", NULL), OPTIONS_OK);
    assert_int_equal(size_bytes, 65536);
    expect_usage("--size-with-a-rather-long-name=17179869185GiB",
                 "--size-with-a-rather-long-name=17179869185GiB: must be a number of bytes, such "
                 "as 1000 or 64KiB, from 1KiB to 1MiB");
    expect_usage("--size-with-a-rather-long-name=1kb",
                 "--size-with-a-rather-long-name=1kb: must be a number of bytes, such as 1000 or "
                 "64KiB, from 1KiB to 1MiB");
}

static void test_refused_words(void **state)
{
    (void)state;
    expect_usage("--colour=red", "unknown option --colour");
    expect_usage("--limt=5", "unknown option --limt; did you mean --limit?");
    expect_usage("--user-id=5", "unknown option --user-id; did you mean --user_ids?");
    expect_usage("--lim=5", "unknown option --lim");
    expect_usage("--evil\nname", "unknown option --evil?name");
    expect_usage("word", "unexpected word \"word\"; options are written --name=value");
    expect_usage("-v", "unexpected word \"-v\"; options are written --name=value");
    expect_usage("--", "unexpected word \"--\"; options are written --name=value");
    expect_usage("--limit", "--limit needs a value: --limit=N");
    expect_usage("--verbose=yes", "--verbose=yes: must be true or false");
    assert_int_equal(parse("--verbose", "false", NULL), OPTIONS_USAGE);
}

static void test_help(void **state)
{
    (void)state;
    assert_int_equal(parse("--limit=7", "--wrong", "--help", NULL), OPTIONS_HELP);
    assert_string_equal(err_text, "");
    assert_string_equal(
        out_text,
        "Usage: tester [options]\n"
        "\n"
        "Tests options.\n"
        "\n"
        "Options:\n"
        "  --nats-url URL              Where the broker is. [default: nats://127.0.0.1:4222]\n"
        "                              [env: TEST_NATS_URL]\n"
        "  --password TEXT             Said to nobody. [env: TEST_PASSWORD]\n"
        "  --user_ids ID,…             The users: repeat the option, or separate them by commas. "
        "This\n"
        "                              sentence is only here to make the text so long that it must "
        "be\n"
        "                              wrapped. [env: TEST_USER_IDS]\n"
        "  --verbose                   Say more. [env: TEST_VERBOSE]\n"
        "  --follow                    Go on at [::1]:8080. [default: true]\n"
        "  --limit N                   At most so many, which leaves no place for a note.\n"
        "                              [default: 50] [env: TEST_LIMIT]\n"
        "  --count N                   Any number. [default: 0]\n"
        "  --size-with-a-rather-long-name SIZE\n"
        "                              How large. [default: 64KiB] [env: TEST_SIZE]\n"
        "  --help                      Show this help and exit.\n"
        "  --version                   Show the version and exit.\n"
        "\n"
        "Examples:\n"
        "  tester --limit=3\n");
}

/* The word after an option is its value, whatever it looks like. */
static void test_help_as_value(void **state)
{
    (void)state;
    assert_int_equal(parse("--nats-url", "--help", NULL), OPTIONS_OK);
    assert_string_equal(url, "--help");
    assert_int_equal(parse("--version", NULL), OPTIONS_VERSION);
    assert_int_equal(parse("--version", "--help", NULL), OPTIONS_VERSION);
}

/* A secret must not come out in a message or in the help. */
static void test_secrets(void **state)
{
    (void)state;
    setenv("TEST_PASSWORD", "opensesame", 1);
    assert_int_equal(parse("--help", NULL), OPTIONS_HELP);
    assert_null(strstr(out_text, "hunter2"));
    assert_null(strstr(out_text, "opensesame"));
    assert_int_equal(parse("--passwrd=swordfish", NULL), OPTIONS_USAGE);
    assert_null(strstr(err_text, "swordfish"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, defaults, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_given), TEST(test_both_forms),    TEST(test_dash_or_underscore),
        TEST(test_lists),         TEST(test_environment),   TEST(test_numbers),
        TEST(test_bytes),         TEST(test_refused_words), TEST(test_help),
        TEST(test_help_as_value), TEST(test_secrets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
