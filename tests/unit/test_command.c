/* From words to requests: what is encoded, what is missing, and what comes from standard input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/uuid.h"
#include "chat.pb-c.h"
#include "clients/command.h"
#include "proto/codec.h"
#include <stdlib.h>
#include <string.h>

static struct command_request request;
static char *out_text, *err_text;
static char *input;
static size_t input_size;

static int prepare(void **state)
{
    (void)state;
    request = (struct command_request){0};
    input = NULL;
    input_size = 0;
    return 0;
}

static int forget(void **state)
{
    (void)state;
    command_request_free(&request);
    free(out_text);
    free(err_text);
    out_text = err_text = NULL;
    return 0;
}

static FILE *open_input(void)
{
    return input_size == 0 ? fopen("/dev/null", "r") : fmemopen(input, input_size, "r");
}

/* Words after the command's name; they end with NULL. */
static enum command_state run(const struct command *command, ...)
{
    char *words[16] = {(char[]){"command"}};
    int used = 1;
    size_t size;
    va_list rest;

    va_start(rest, command);
    for (const char *word; (word = va_arg(rest, const char *)) != NULL;)
        words[used++] = (char *)(uintptr_t)word;
    va_end(rest);
    forget(NULL);
    request = (struct command_request){0};
    struct command_streams streams = {.in = open_input(),
                                      .out = open_memstream(&out_text, &size),
                                      .err = open_memstream(&err_text, &size)};
    enum command_state state = command->prepare(used, words, &streams, &request);
    fclose(streams.in);
    fclose(streams.out);
    fclose(streams.err);
    return state;
}

static void test_new(void **state)
{
    (void)state;
    assert_int_equal(run(&command_new, "--user_ids=John,Barry", "--user-ids=Zoë", NULL),
                     COMMAND_READY);
    assert_string_equal(request.subject, "chat.New");
    assert_string_equal(request.client_id, "");
    Chat__NewRequest *message = chat__new_request__unpack(NULL, request.size, request.bytes);
    assert_non_null(message);
    assert_int_equal(message->n_user_ids, 3);
    assert_string_equal(message->user_ids[0], "John");
    assert_string_equal(message->user_ids[2], "Zoë");
    chat__new_request__free_unpacked(message, NULL);
}

static void test_send(void **state)
{
    (void)state;
    assert_int_equal(run(&command_send, "--chat_id=c", "--user_id=John", "--subject=Hello",
                         "--text=Hey Barry", "--client_id=once", "--namespace=acme", NULL),
                     COMMAND_READY);
    assert_string_equal(request.subject, "chat.Send.acme");
    assert_string_equal(request.client_id, "once");
    Chat__SendRequest *message = chat__send_request__unpack(NULL, request.size, request.bytes);
    assert_non_null(message);
    assert_string_equal(message->client_id, "once");
    assert_string_equal(message->chat_id, "c");
    assert_string_equal(message->user_id, "John");
    assert_string_equal(message->subject, "Hello");
    assert_string_equal(message->text, "Hey Barry");
    chat__send_request__free_unpacked(message, NULL);
}

/* Without a client_id of the caller's there is one all the same, and it is in the request. */
static void test_send_makes_client_id(void **state)
{
    char first[COMMAND_CLIENT_ID_BYTES];
    struct uuid uuid;

    (void)state;
    assert_int_equal(run(&command_send, "--chat_id=c", "--user_id=J", "--text=t", NULL),
                     COMMAND_READY);
    memcpy(first, request.client_id, sizeof first);
    assert_true(uuid_parse(first, strlen(first), &uuid));
    Chat__SendRequest *message = chat__send_request__unpack(NULL, request.size, request.bytes);
    assert_string_equal(message->client_id, first);
    chat__send_request__free_unpacked(message, NULL);
    assert_int_equal(
        run(&command_send, "--chat_id=c", "--user_id=J", "--text=t", "--client_id=", NULL),
        COMMAND_READY);
    assert_true(uuid_parse(request.client_id, strlen(request.client_id), &uuid));
    assert_string_not_equal(request.client_id, first);
}

static void expect_text(const char *text)
{
    assert_int_equal(run(&command_send, "--chat_id=c", "--user_id=J", "--text=-", NULL),
                     COMMAND_READY);
    Chat__SendRequest *message = chat__send_request__unpack(NULL, request.size, request.bytes);
    assert_string_equal(message->text, text);
    chat__send_request__free_unpacked(message, NULL);
}

static void test_send_from_input(void **state)
{
    (void)state;
    expect_text("");
    input = (char[]){"two\nlines\n"};
    input_size = strlen(input);
    expect_text("two\nlines\n");
}

static void test_send_refuses_input(void **state)
{
    (void)state;
    input = malloc(CODEC_REQUEST_BYTES_MAX + 2);
    memset(input, 'x', CODEC_REQUEST_BYTES_MAX + 2);
    input_size = CODEC_REQUEST_BYTES_MAX;
    assert_int_equal(run(&command_send, "--chat_id=c", "--user_id=J", "--text=-", NULL),
                     COMMAND_READY);
    input_size = CODEC_REQUEST_BYTES_MAX + 1;
    assert_int_equal(run(&command_send, "--chat_id=c", "--user_id=J", "--text=-", NULL),
                     COMMAND_FAILED);
    assert_non_null(strstr(err_text, "256 KiB"));
    input_size = 100;
    input[50] = '\0';
    assert_int_equal(run(&command_send, "--chat_id=c", "--user_id=J", "--text=-", NULL),
                     COMMAND_FAILED);
    assert_non_null(strstr(err_text, "NUL"));
    free(input);
}

static void test_history(void **state)
{
    (void)state;
    assert_int_equal(run(&command_history, "--chat_id=c", "--from_seq=18446744073709551615",
                         "--before-seq=7", "--limit=4294967295", NULL),
                     COMMAND_READY);
    assert_string_equal(request.subject, "chat.History");
    Chat__HistoryRequest *message =
        chat__history_request__unpack(NULL, request.size, request.bytes);
    assert_string_equal(message->chat_id, "c");
    assert_true(message->from_seq == UINT64_MAX);
    assert_int_equal(message->before_seq, 7);
    assert_int_equal(message->limit, UINT32_MAX);
    chat__history_request__free_unpacked(message, NULL);
    assert_int_equal(run(&command_history, "--chat_id=c", NULL), COMMAND_READY);
    assert_int_equal(request.size, 3); /* nothing but the chat_id: tag, length, "c" */
    assert_int_equal(run(&command_history, "--chat_id=c", "--limit=4294967296", NULL),
                     COMMAND_USAGE);
}

static void expect_mistake(const char *line)
{
    assert_string_equal(err_text, line);
    assert_string_equal(out_text, "");
    assert_null(request.bytes);
}

static void test_missing(void **state)
{
    (void)state;
    assert_int_equal(run(&command_new, NULL), COMMAND_USAGE);
    expect_mistake("chat new: --user_ids is missing: give --user_ids=ID,… (see chat new --help)\n");
    assert_int_equal(run(&command_history, "--limit=5", NULL), COMMAND_USAGE);
    expect_mistake(
        "chat history: --chat_id is missing: give --chat_id=ID (see chat history --help)\n");
    assert_int_equal(run(&command_send, "--chat_id=c", "--user_id=J", NULL), COMMAND_USAGE);
    expect_mistake("chat send: --text is missing: give --text=TEXT (see chat send --help)\n");
    /* An empty one is the service's to refuse. */
    assert_int_equal(run(&command_send, "--chat_id=", "--user_id=J", "--text=", NULL),
                     COMMAND_READY);
}

static void test_common_options(void **state)
{
    (void)state;
    assert_int_equal(run(&command_new, "--user_ids=J", NULL), COMMAND_READY);
    assert_int_equal(request.settings.timeout_ms, 10000);
    assert_int_equal(request.settings.nats_urls.count, 0);
    assert_int_equal(run(&command_new, "--user_ids=J", "--nats_url=nats://a,nats://b",
                         "--timeout-ms=5", "--user=u", "--password=p", NULL),
                     COMMAND_READY);
    assert_int_equal(request.settings.timeout_ms, 5);
    assert_int_equal(request.settings.nats_urls.count, 2);
    assert_string_equal(request.settings.nats_urls.values[1], "nats://b");
    assert_string_equal(request.settings.password, "p");
}

static void test_common_mistakes(void **state)
{
    (void)state;
    assert_int_equal(run(&command_new, "--user_ids=J", "--namespace=a.b", NULL), COMMAND_USAGE);
    expect_mistake("chat new: --namespace must be 1 to 64 letters, digits, _ or - (see chat new "
                   "--help)\n");
    assert_int_equal(run(&command_new, "--user_ids=J", "--password=p", NULL), COMMAND_USAGE);
    expect_mistake("chat new: --password needs --user (see chat new --help)\n");
    assert_int_equal(run(&command_new, "--user_ids=J", "--tls-cert=x", NULL), COMMAND_USAGE);
    assert_int_equal(run(&command_new, "--user_ids=J", "--credentials=/nowhere/at/all", NULL),
                     COMMAND_USAGE);
    expect_mistake("chat new: the file of --credentials cannot be read: /nowhere/at/all: No such "
                   "file or directory\n");
    assert_int_equal(run(&command_new, "--user_ids=J", "--timeout-ms=0", NULL), COMMAND_USAGE);
}

static void test_help_and_version(void **state)
{
    (void)state;
    assert_int_equal(run(&command_send, "--help", NULL), COMMAND_DONE);
    assert_non_null(strstr(out_text, "--client_id ID"));
    assert_non_null(strstr(out_text, "CHAT_NATS_URL"));
    assert_non_null(strstr(out_text, "[default: 10000]"));
    assert_string_equal(err_text, "");
    assert_int_equal(run(&command_new, "--version", NULL), COMMAND_DONE);
    assert_memory_equal(out_text, "chat ", 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, prepare, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_new),
        TEST(test_send),
        TEST(test_send_makes_client_id),
        TEST(test_send_from_input),
        TEST(test_send_refuses_input),
        TEST(test_history),
        TEST(test_missing),
        TEST(test_common_options),
        TEST(test_common_mistakes),
        TEST(test_help_and_version),
    };
    clearenv(); /* options read it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
