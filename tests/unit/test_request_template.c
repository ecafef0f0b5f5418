/* The load generator's bytes, against protobuf-c: requests decode to what was meant, replies of any
 * shape are read right, and damaged ones are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chat.pb-c.h"
#include "clients/bench/request_template.h"
#include <stdlib.h>
#include <string.h>

static const char chat_id[] = "54356f8d-a48f-41fc-b775-1a3c108ec97a";
static struct send_template *template;

static int make(void **state)
{
    (void)state;
    template = calloc(1, sizeof *template);
    return template == NULL ? -1 : 0;
}

static int forget(void **state)
{
    (void)state;
    free(template);
    return 0;
}

static void test_send(void **state)
{
    static const size_t sizes[] = {1, 11, 12, 64, 127, 128, 20000, TEMPLATE_TEXT_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        send_template_init(template, sizes[i]);
        send_template_set(template, chat_id, 0xabc);
        assert_true(template->size <= sizeof template->bytes);
        Chat__SendRequest *request =
            chat__send_request__unpack(NULL, template->size, template->bytes);
        assert_non_null(request);
        assert_string_equal(request->chat_id, chat_id);
        assert_string_equal(request->user_id, TEMPLATE_USER);
        assert_int_equal(strlen(request->text), sizes[i]);
        assert_int_equal(strlen(request->client_id), UUID_TEXT_BYTES);
        assert_string_equal(request->client_id + TEMPLATE_PREFIX_BYTES, "000000000abc");
        if (sizes[i] >= TEMPLATE_NUMBER_BYTES)
            assert_memory_equal(request->text, "000000000abc", TEMPLATE_NUMBER_BYTES);
        chat__send_request__free_unpacked(request, NULL);
    }
}

static void test_new(void **state)
{
    struct new_template t;

    (void)state;
    new_template_init(&t, "someone-");
    new_template_set(&t, 0xffffffffffff);
    Chat__NewRequest *request = chat__new_request__unpack(NULL, t.size, t.bytes);
    assert_non_null(request);
    assert_int_equal(request->n_user_ids, 2);
    assert_string_equal(request->user_ids[0], TEMPLATE_USER);
    assert_string_equal(request->user_ids[1], "someone-ffffffffffff");
    chat__new_request__free_unpacked(request, NULL);
}

static void test_history_request(void **state)
{
    uint8_t bytes[HISTORY_REQUEST_BYTES];
    size_t size = history_request_put(bytes, chat_id, UINT64_MAX, 1000);

    (void)state;
    assert_true(size <= sizeof bytes);
    Chat__HistoryRequest *request = chat__history_request__unpack(NULL, size, bytes);
    assert_non_null(request);
    assert_string_equal(request->chat_id, chat_id);
    assert_true(request->from_seq == UINT64_MAX && request->limit == 1000);
    chat__history_request__free_unpacked(request, NULL);
    assert_int_equal(history_request_put(bytes, chat_id, 0, 0), 2 + UUID_TEXT_BYTES);
}

static void test_numbers(void **state)
{
    char text[TEMPLATE_NUMBER_BYTES];
    uint64_t number = 0;

    (void)state;
    template_put_number(text, 0x123456789abc);
    assert_memory_equal(text, "123456789abc", sizeof text);
    assert_true(template_get_number(text, &number) && number == 0x123456789abc);
    text[3] = 'g';
    assert_false(template_get_number(text, &number));
    text[3] = '\0';
    assert_false(template_get_number(text, &number));
}

static size_t pack_send_reply(uint8_t *bytes, bool duplicate)
{
    Chat__Message message;
    Chat__SendResponse reply;

    chat__message__init(&message);
    chat__send_response__init(&reply);
    message.id = message.chat_id = (char *)(uintptr_t)chat_id;
    message.client_id = (char[]){"c1"};
    message.user_id = (char[]){"John"};
    message.text = (char[]){"Hey"};
    message.seq = 300;
    reply.message = &message;
    reply.duplicate = duplicate;
    return chat__send_response__pack(&reply, bytes);
}

static void test_send_reply(void **state)
{
    uint8_t bytes[512];
    struct reply_send reply;
    struct reply_message message;
    size_t size = pack_send_reply(bytes, true);

    (void)state;
    assert_true(reply_read_send(bytes, size, &reply));
    assert_true(reply.duplicate);
    assert_true(reply_read_message(reply.message, reply.message_bytes, &message));
    assert_true(message.seq == 300);
    assert_int_equal(message.client_id_bytes, 2);
    assert_memory_equal(message.text, "Hey", 3);
    for (size_t cut = 1; cut < size - 2; cut++)
        assert_false(reply_read_send(bytes, cut, &reply));
    assert_false(reply_read_send(bytes, 0, &reply));
    size = pack_send_reply(bytes, false);
    assert_true(reply_read_send(bytes, size, &reply) && !reply.duplicate);
}

static void test_new_reply(void **state)
{
    Chat__NewResponse reply;
    uint8_t bytes[64];
    char id[UUID_TEXT_BYTES];
    bool created;

    (void)state;
    chat__new_response__init(&reply);
    reply.chat_id = (char *)(uintptr_t)chat_id;
    reply.created = true;
    size_t size = chat__new_response__pack(&reply, bytes);
    assert_true(reply_read_new(bytes, size, id, &created));
    assert_memory_equal(id, chat_id, sizeof id);
    assert_true(created);
    assert_false(reply_read_new(bytes, size - 3, id, &created));
    assert_false(reply_read_new(bytes, 0, id, &created));
}

static bool stop_at_two(void *data, const uint8_t *message, size_t size)
{
    (void)message;
    (void)size;
    return ++*(int *)data < 2;
}

/* What the responder sends is what readers of the real thing take, whatever its size. */
static void test_filled_replies(void **state)
{
    static uint8_t bytes[70000];
    struct reply_history page;
    struct reply_send reply;

    (void)state;
    for (size_t size = 2; size < 40000; size += size < 600 ? 1 : 997) {
        memset(bytes, 0xff, size + 1);
        assert_true(reply_fill(bytes, size, 1));
        assert_int_equal(bytes[size], 0xff);
        assert_true(reply_read_send(bytes, size, &reply));
    }
    for (size_t records = 1; records <= 1000; records += 37) {
        assert_true(reply_fill(bytes, 50 * records + records % 7, records));
        assert_true(reply_read_history(bytes, 50 * records + records % 7, &page, NULL, NULL));
        assert_int_equal(page.messages, records);
    }
    int calls = 0;
    assert_true(reply_fill(bytes, 100, 5));
    assert_false(reply_read_history(bytes, 100, &page, stop_at_two, &calls));
    assert_int_equal(calls, 2);
    assert_false(reply_fill(bytes, 9, 5));
    assert_false(reply_fill(bytes, 9, 0));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, forget)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_send),       TEST(test_new),       TEST(test_history_request), TEST(test_numbers),
        TEST(test_send_reply), TEST(test_new_reply), TEST(test_filled_replies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
