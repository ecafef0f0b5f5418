/*
 * Requests as bytes, against what protobuf-c reads; responses from what protobuf-c writes; and
 * responses that are cut, flipped or nonsense.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chat.pb-c.h"
#include "clients/libchat/wire_form.h"
#include <stdlib.h>
#include <string.h>

/* Read-only texts for protobuf-c's structs. */
#define TEXT(text) ((char[]){text})

static void test_send(void **state)
{
    const struct chat_send_options options = {
        .client_id = "c1", .chat_id = "chat", .user_id = "John", .text = "Hey Barry"};
    uint8_t bytes[128];
    size_t size = wire_form_send(&options, NULL);
    Chat__SendRequest *request;

    (void)state;
    assert_int_equal(wire_form_send(&options, bytes), size);
    request = chat__send_request__unpack(NULL, size, bytes);
    assert_non_null(request);
    assert_int_equal(chat__send_request__get_packed_size(request), size);
    assert_string_equal(request->client_id, "c1");
    assert_string_equal(request->chat_id, "chat");
    assert_string_equal(request->user_id, "John");
    assert_string_equal(request->subject, "");
    assert_string_equal(request->text, "Hey Barry");
    chat__send_request__free_unpacked(request, NULL);
}

static void test_new(void **state)
{
    static const char *const users[] = {"a", "", "c"};
    const struct chat_new_options options = {.user_ids = users, .user_count = 3};
    uint8_t bytes[64];
    size_t size = wire_form_new(&options, NULL);
    Chat__NewRequest *request;

    (void)state;
    assert_int_equal(wire_form_new(&options, bytes), size);
    request = chat__new_request__unpack(NULL, size, bytes);
    assert_non_null(request);
    assert_int_equal(request->n_user_ids, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(request->user_ids[i], users[i]);
    chat__new_request__free_unpacked(request, NULL);
}

static void test_history(void **state)
{
    const struct chat_history_options options = {
        .chat_id = "chat", .from_seq = UINT64_MAX, .before_seq = 300, .limit = UINT32_MAX};
    uint8_t bytes[64];
    size_t size = wire_form_history(&options, NULL);
    Chat__HistoryRequest *request;

    (void)state;
    assert_int_equal(wire_form_history(&options, bytes), size);
    request = chat__history_request__unpack(NULL, size, bytes);
    assert_non_null(request);
    assert_string_equal(request->chat_id, "chat");
    assert_true(request->from_seq == UINT64_MAX);
    assert_int_equal(request->before_seq, 300);
    assert_int_equal(request->limit, UINT32_MAX);
    chat__history_request__free_unpacked(request, NULL);
}

/* A page of three, the last one with all fields. */
static size_t make_page(uint8_t *bytes)
{
    Google__Protobuf__Timestamp time;
    Chat__Message messages[3];
    Chat__Message *pointers[3];
    Chat__HistoryResponse response;

    char text[] = "text";

    google__protobuf__timestamp__init(&time);
    time.seconds = -5;
    time.nanos = 999999999;
    for (size_t i = 0; i < 3; i++) {
        chat__message__init(&messages[i]);
        messages[i].seq = 7 + i;
        messages[i].text = text;
        pointers[i] = &messages[i];
    }
    messages[2].id = TEXT("id");
    messages[2].client_id = TEXT("client");
    messages[2].chat_id = TEXT("chat");
    messages[2].user_id = TEXT("user");
    messages[2].subject = TEXT("subject");
    messages[2].text = TEXT("é👍\n");
    messages[2].sent_at = &time;
    chat__history_response__init(&response);
    response.n_messages = 3;
    response.messages = pointers;
    response.head_seq = 1234567890123;
    response.more = 1;
    return chat__history_response__pack(&response, bytes);
}

static void test_read_page(void **state)
{
    uint8_t bytes[512];
    size_t size = make_page(bytes);
    struct chat_call call;
    void *memory;
    const struct chat_message *last;

    (void)state;
    assert_int_equal(wire_form_read_history(bytes, size, &call, &memory), CHAT_OK);
    assert_int_equal(call.result.page.count, 3);
    assert_true(call.result.page.head_seq == 1234567890123);
    assert_true(call.result.page.more);
    assert_int_equal(call.result.page.messages[0].seq, 7);
    assert_string_equal(call.result.page.messages[1].text, "text");
    assert_string_equal(call.result.page.messages[1].user_id, "");
    last = &call.result.page.messages[2];
    assert_string_equal(last->id, "id");
    assert_string_equal(last->client_id, "client");
    assert_string_equal(last->chat_id, "chat");
    assert_string_equal(last->user_id, "user");
    assert_string_equal(last->subject, "subject");
    assert_string_equal(last->text, "é👍\n");
    assert_true(last->sent_at_seconds == -5);
    assert_int_equal(last->sent_at_nanos, 999999999);
    assert_int_equal(wire_form_read_seq(last->bytes, last->bytes_size), 9);
    free(memory);
}

static void test_read_empty_page(void **state)
{
    struct chat_call call;
    void *memory;

    (void)state;
    assert_int_equal(wire_form_read_history((const uint8_t *)"", 0, &call, &memory), CHAT_OK);
    assert_int_equal(call.result.page.count, 0);
    assert_int_equal(call.result.page.head_seq, 0);
    assert_false(call.result.page.more);
    free(memory);
}

static void test_read_send_and_new(void **state)
{
    Chat__Message message;
    Chat__SendResponse sent;
    Chat__NewResponse created;
    uint8_t bytes[128];
    size_t size;
    struct chat_call call;
    void *memory;

    (void)state;
    chat__message__init(&message);
    message.seq = 3;
    message.text = TEXT("t");
    chat__send_response__init(&sent);
    sent.message = &message;
    sent.duplicate = 1;
    size = chat__send_response__pack(&sent, bytes);
    assert_int_equal(wire_form_read_send(bytes, size, &call, &memory), CHAT_OK);
    assert_int_equal(call.result.sent.message->seq, 3);
    assert_string_equal(call.result.sent.message->text, "t");
    assert_true(call.result.sent.duplicate);
    free(memory);
    assert_int_equal(wire_form_read_send(bytes, 0, &call, &memory), CHAT_EPROTO);
    free(memory);

    chat__new_response__init(&created);
    created.chat_id = TEXT("id");
    created.created = 1;
    size = chat__new_response__pack(&created, bytes);
    assert_int_equal(wire_form_read_new(bytes, size, &call, &memory), CHAT_OK);
    assert_string_equal(call.result.created.chat_id, "id");
    assert_true(call.result.created.created);
    free(memory);
    assert_int_equal(wire_form_read_new(bytes, 0, &call, &memory), CHAT_EPROTO);
    free(memory);
}

/* Each prefix and each flipped byte, in memory of its own so that a sanitizer sees its ends. */
static void test_damage(void **state)
{
    uint8_t good[512];
    size_t size = make_page(good);
    struct chat_call call;
    void *memory;

    (void)state;
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *bytes = malloc(cut + 1);
        memcpy(bytes, good, cut);
        (void)!wire_form_read_history(bytes, cut, &call, &memory);
        free(memory);
        (void)!wire_form_read_send(bytes, cut, &call, &memory);
        free(memory);
        free(bytes);
    }
    for (size_t at = 0; at < size; at++) {
        for (unsigned flip = 1; flip < 256; flip++) {
            uint8_t *bytes = malloc(size);
            memcpy(bytes, good, size);
            bytes[at] = (uint8_t)(bytes[at] ^ flip);
            if (wire_form_read_history(bytes, size, &call, &memory) == CHAT_OK) {
                for (size_t i = 0; i < call.result.page.count; i++)
                    assert_true(strlen(call.result.page.messages[i].text) <= size);
            }
            free(memory);
            free(bytes);
        }
    }
}

static void test_bad_strings(void **state)
{
    static const uint8_t nul[] = {0x3a, 3, 'a', 0, 'b', 0x40, 1};
    static const uint8_t no_utf8[] = {0x3a, 2, 0xc3, 'b', 0x40, 1};
    static const uint8_t no_seq[] = {0x3a, 1, 'a'};
    static const uint8_t twice[] = {0x3a, 1, 'a', 0x3a, 2, 'b', 'c', 0x40, 1};
    char text[16];
    struct chat_message message;

    (void)state;
    assert_int_equal(wire_form_read_message(nul, sizeof nul, text, &message), -1);
    assert_int_equal(wire_form_read_message(no_utf8, sizeof no_utf8, text, &message), -1);
    assert_int_equal(wire_form_read_message(no_seq, sizeof no_seq, text, &message), -1);
    assert_int_equal(wire_form_read_message(twice, sizeof twice, text, &message), 0);
    assert_string_equal(message.text, "bc");
}

static void test_errors(void **state)
{
    Chat__Error error;
    uint8_t bytes[256];
    char id[8];
    char detail[16];
    size_t size;

    (void)state;
    chat__error__init(&error);
    error.id = TEXT("chat.Send.InvalidChatID");
    error.detail = TEXT("bad\nline");
    size = chat__error__pack(&error, bytes);
    wire_form_read_error(bytes, size, id, sizeof id, detail, sizeof detail);
    assert_string_equal(id, "chat.Se");
    assert_string_equal(detail, "bad");
    wire_form_read_error((const uint8_t *)"\xff\xff", 2, id, sizeof id, detail, sizeof detail);
    assert_string_equal(id, "");
    assert_string_equal(detail, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_send),
        cmocka_unit_test(test_new),
        cmocka_unit_test(test_history),
        cmocka_unit_test(test_read_page),
        cmocka_unit_test(test_read_empty_page),
        cmocka_unit_test(test_read_send_and_new),
        cmocka_unit_test(test_damage),
        cmocka_unit_test(test_bad_strings),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
