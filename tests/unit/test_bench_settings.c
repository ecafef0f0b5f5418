/* The command line of chat-bench: defaults that depend on each other, and every refusal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/bench/bench_settings.h"
#include <stdlib.h>
#include <string.h>

static struct bench_settings settings;
static char *out_text, *err_text;

static int forget(void **state)
{
    (void)state;
    bench_settings_free(&settings);
    free(out_text);
    free(err_text);
    out_text = err_text = NULL;
    return 0;
}

/* Words end with NULL. Of the settings only the last remain. */
static enum options_result parse(const char *workload, int compare, ...)
{
    char *words[16] = {(char *)(uintptr_t)workload};
    int used = 1;
    size_t size;
    va_list rest;

    va_start(rest, compare);
    for (const char *word; (word = va_arg(rest, const char *)) != NULL;)
        words[used++] = (char *)(uintptr_t)word;
    va_end(rest);
    forget(NULL);
    FILE *out = open_memstream(&out_text, &size);
    FILE *err = open_memstream(&err_text, &size);
    enum options_result result =
        bench_settings_parse(&settings, workload, compare != 0, used, words, out, err);
    fclose(out);
    fclose(err);
    return result;
}

static void expect_refused(const char *workload, const char *word, const char *about)
{
    assert_int_equal(parse(workload, false, word, NULL), OPTIONS_USAGE);
    assert_non_null(strstr(err_text, about));
    assert_non_null(strchr(err_text, '\n'));
}

static void test_defaults(void **state)
{
    (void)state;
    assert_int_equal(parse("send", false, NULL), OPTIONS_OK);
    assert_int_equal(settings.outstanding, 64);
    assert_int_equal(settings.chats, 10000);
    assert_int_equal(settings.prefill, 0);
    assert_true(settings.zipf == 0);
    assert_true(settings.shares[BENCH_SEND] == 1 && settings.shares[BENCH_HISTORY] == 0);
    assert_false(settings.deep);
    assert_int_equal(parse("history", false, NULL), OPTIONS_OK);
    assert_int_equal(settings.prefill, 50);
    /* An open loop must be able to have more under way than a closed one. */
    assert_int_equal(parse("send", false, "--rate=100", NULL), OPTIONS_OK);
    assert_int_equal(settings.outstanding, 16384);
    assert_int_equal(parse("send", false, "--rate=100", "--outstanding=7", NULL), OPTIONS_OK);
    assert_int_equal(settings.outstanding, 7);
}

static void test_mix(void **state)
{
    (void)state;
    assert_int_equal(parse("mixed", false, NULL), OPTIONS_OK);
    assert_true(settings.shares[BENCH_SEND] == 0.5 && settings.shares[BENCH_HISTORY] == 0.5);
    assert_int_equal(parse("mixed", false, "--mix=send=3,new=1", NULL), OPTIONS_OK);
    assert_true(settings.shares[BENCH_SEND] == 0.75 && settings.shares[BENCH_NEW] == 0.25 &&
                settings.shares[BENCH_HISTORY] == 0);
    expect_refused("mixed", "--mix=send", "--mix must be");
    expect_refused("mixed", "--mix=send=x", "--mix must be");
    expect_refused("mixed", "--mix=send=-1", "--mix must be");
    expect_refused("mixed", "--mix=sends=1", "--mix must be");
    expect_refused("mixed", "--mix=jetstream=1", "--mix must be");
    expect_refused("mixed", "--mix=send=0", "more than 0");
    expect_refused("send", "--mix=send=1", "for the workload mixed");
}

static void test_zipf(void **state)
{
    static const char *const wrong[] = {"--zipf=x",   "--zipf=-1",  "--zipf=11",
                                        "--zipf=nan", "--zipf=0x1", "--zipf=1.5x"};

    (void)state;
    assert_int_equal(parse("send", false, "--zipf=0.99", NULL), OPTIONS_OK);
    assert_true(settings.zipf == 0.99);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        expect_refused("send", wrong[i], "--zipf must be");
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refused("history", "--page=oldest", "--page must be");
    expect_refused("history", "--verify", "workloads that send");
    expect_refused("send", "--namespace=a.b", "--namespace must be");
    expect_refused("send", "--nats-url=http://x", "--nats-url must be");
    expect_refused("send", "--password=x", "--password needs --user");
    expect_refused("send", "--tls-cert=x", "go together");
    expect_refused("send", "--chats=0", "--chats");
    expect_refused("send", "--text-bytes=64KiBs", "--text-bytes");
    expect_refused("send", "--text-bytes=65537", "--text-bytes");
    /* Of compare alone. */
    expect_refused("send", "--pairs=3", "unknown option --pairs");
    assert_int_equal(parse("send", true, "--pairs=3", NULL), OPTIONS_OK);
    assert_int_equal(parse("send", true, "--responder=a.b", NULL), OPTIONS_USAGE);
}

static void test_workloads_and_subjects(void **state)
{
    char subject[BENCH_SUBJECT_BYTES];

    (void)state;
    assert_true(bench_is_workload("send") && bench_is_workload("mixed"));
    assert_false(bench_is_workload("Send") || bench_is_workload("") || bench_is_workload("sync"));
    bench_subject("chat", BENCH_SEND, NULL, subject);
    assert_string_equal(subject, "chat.Send");
    bench_subject("ab12", BENCH_HISTORY, "tenant", subject);
    assert_string_equal(subject, "ab12.History.tenant");
}

static void test_responder_and_sync(void **state)
{
    struct responder_settings responder;
    struct sync_settings sync;
    char *ok[] = {(char[]){"responder"}, (char[]){"--send-bytes=99"}, NULL};
    char *bad[] = {(char[]){"responder"}, (char[]){"--prefix=a.b"}, NULL};
    char *small[] = {(char[]){"responder"}, (char[]){"--history-bytes=99"}, NULL};
    char *nothing[] = {(char[]){"sync"}, NULL};
    FILE *sink = fopen("/dev/null", "w");

    (void)state;
    assert_non_null(sink);
    assert_int_equal(responder_settings_parse(&responder, 2, ok, sink, sink), OPTIONS_OK);
    assert_int_equal(responder.send_bytes, 99);
    responder_settings_free(&responder);
    assert_int_equal(responder_settings_parse(&responder, 2, bad, sink, sink), OPTIONS_USAGE);
    responder_settings_free(&responder);
    assert_int_equal(responder_settings_parse(&responder, 2, small, sink, sink), OPTIONS_USAGE);
    responder_settings_free(&responder);
    assert_int_equal(sync_settings_parse(&sync, 1, nothing, sink, sink), OPTIONS_USAGE);
    fclose(sink);
}

#define TEST(name) cmocka_unit_test_teardown(name, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_defaults),
        TEST(test_mix),
        TEST(test_zipf),
        TEST(test_refusals),
        TEST(test_workloads_and_subjects),
        TEST(test_responder_and_sync),
    };
    clearenv();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
