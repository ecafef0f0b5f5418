/* Commands as bytes: written and read back, against protobuf-c, and refused when damaged. */
#include "store/command.h"

#include "chat.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct command_text text_of(const char *string)
{
    return (struct command_text){string, strlen(string)};
}

static uint8_t *send_bytes(const struct command_send *command, uint64_t seq, size_t *size)
{
    uint8_t *bytes = malloc(command_send_size(command) + COMMAND_SEQ_BYTES_MAX);

    command_send_write(command, bytes);
    *size = command_send_size(command);
    if (seq > 0)
        *size += command_seq_write(seq, bytes + *size);
    return bytes;
}

static void test_send_is_the_wire_form_of_message(void **unused)
{
    struct command_send command = {
        .sent_ns = 1700000000123456789u,
        .client_id = text_of("c-1"),
        .user_id = text_of("John"),
        .subject = text_of("Hello"),
        .text = text_of("Hey Barry"),
    };
    char id[UUID_TEXT_BYTES + 1] = {0};
    size_t size;
    uint8_t *bytes;
    uint8_t packed[512];
    Chat__Message *message;

    (void)unused;
    uuid_make(&command.id);
    uuid_make(&command.chat_id);
    bytes = send_bytes(&command, 300, &size);
    message = chat__message__unpack(NULL, size, bytes);
    assert_non_null(message);
    uuid_format(&command.id, id);
    assert_string_equal(message->id, id);
    uuid_format(&command.chat_id, id);
    assert_string_equal(message->chat_id, id);
    assert_string_equal(message->client_id, "c-1");
    assert_string_equal(message->user_id, "John");
    assert_string_equal(message->subject, "Hello");
    assert_string_equal(message->text, "Hey Barry");
    assert_int_equal(message->seq, 300);
    assert_int_equal(message->sent_at->seconds, 1700000000);
    assert_int_equal(message->sent_at->nanos, 123456789);
    /* Byte for byte what a protobuf library writes. */
    assert_int_equal(chat__message__pack(message, packed), size);
    assert_memory_equal(packed, bytes, size);
    chat__message__free_unpacked(message, NULL);
    free(bytes);
}

static void test_send_without_subject_and_with_long_fields(void **unused)
{
    char *text = malloc(65536 + 1);
    char user[129];
    struct command_send command = {.client_id = text_of("c"), .subject = text_of("")};
    uint8_t *packed = malloc(70000);
    size_t size;
    uint8_t *bytes;
    Chat__Message *message;

    (void)unused;
    memset(text, 'x', 65536);
    text[65536] = '\0';
    memset(user, 'u', 128);
    user[128] = '\0';
    command.user_id = text_of(user);
    command.text = text_of(text);
    bytes = send_bytes(&command, UINT64_MAX, &size);
    message = chat__message__unpack(NULL, size, bytes);
    assert_non_null(message);
    assert_int_equal(message->seq, UINT64_MAX);
    assert_string_equal(message->subject, "");
    assert_int_equal(chat__message__pack(message, packed), size);
    assert_memory_equal(packed, bytes, size);
    chat__message__free_unpacked(message, NULL);
    free(bytes);
    free(packed);
    free(text);
}

static void test_message_read(void **unused)
{
    struct command_send command = {
        .sent_ns = 5,
        .client_id = text_of("key"),
        .user_id = text_of("u"),
        .subject = text_of("s"),
        .text = text_of("t"),
    };
    struct command_message message;
    size_t size;
    uint8_t *bytes = send_bytes(&command, 7, &size);

    (void)unused;
    assert_true(command_message_read(bytes, size, &message));
    assert_int_equal(message.seq, 7);
    assert_int_equal(message.client_id.size, 3);
    assert_memory_equal(message.client_id.data, "key", 3);
    assert_memory_equal(message.text.data, "t", 1);
    for (size_t cut = 0; cut < size - 2; cut++) {
        /* Cut within a field it does not decode; cut between fields one is missing. */
        uint8_t *exact = malloc(cut + 1);
        memcpy(exact, bytes, cut);
        assert_false(command_message_read(exact, cut, &message));
        free(exact);
    }
    free(bytes);
}

static void test_new_round_trip(void **unused)
{
    char *users[] = {(char[]){"a"}, (char[]){"b_c"}};
    uint8_t blob[16];
    uint8_t bytes[128];
    size_t users_size = command_users_size(users, 2);
    struct command_new written = {.created_ns = 0x0102030405060708u,
                                  .namespace_name = "tenant",
                                  .namespace_size = 6,
                                  .users = blob,
                                  .users_size = users_size};
    struct command_new read;
    size_t size = command_new_size(6, users_size);

    (void)unused;
    uuid_make(&written.chat_id);
    command_users_write(users, 2, blob);
    command_new_write(&written, bytes);
    assert_true(command_new_read(bytes, size, &read));
    assert_memory_equal(&read.chat_id, &written.chat_id, sizeof read.chat_id);
    assert_int_equal(read.created_ns, written.created_ns);
    assert_int_equal(read.namespace_size, 6);
    assert_memory_equal(read.namespace_name, "tenant", 6);
    assert_int_equal(read.users_size, users_size);
    assert_memory_equal(read.users, blob, users_size);
    for (size_t cut = 0; cut < size; cut++)
        assert_int_equal(command_new_read(bytes, cut, &read), cut == size - 4);
}

static void test_new_refuses_damage(void **unused)
{
    uint8_t bytes[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0, 0,   0, 0,   0,  0,
                       0, 0, 0, 0, 0, 0, 0, 0, 1, 'n', 1, 'u', 2, 'v', 'w'};
    struct command_new command;

    (void)unused;
    assert_true(command_new_read(bytes, sizeof bytes, &command));
    bytes[24] = 0; /* no namespace */
    assert_false(command_new_read(bytes, sizeof bytes, &command));
    bytes[24] = 65; /* longer than one may be, and than what is there */
    assert_false(command_new_read(bytes, sizeof bytes, &command));
    bytes[24] = 1;
    bytes[25] = 0; /* a NUL in its name */
    assert_false(command_new_read(bytes, sizeof bytes, &command));
    bytes[25] = 'n';
    bytes[28] = 3; /* a user beyond the end */
    assert_false(command_new_read(bytes, sizeof bytes, &command));
    bytes[28] = 0; /* an empty user */
    assert_false(command_new_read(bytes, sizeof bytes, &command));
}

static void test_users_contain(void **unused)
{
    char *users[] = {(char[]){"ann"}, (char[]){"bob"}, (char[]){"bobby"}};
    uint8_t blob[32];
    size_t size = command_users_size(users, 3);

    (void)unused;
    command_users_write(users, 3, blob);
    assert_true(command_users_contain(blob, size, "ann"));
    assert_true(command_users_contain(blob, size, "bob"));
    assert_true(command_users_contain(blob, size, "bobby"));
    assert_false(command_users_contain(blob, size, "bo"));
    assert_false(command_users_contain(blob, size, ""));
    assert_false(command_users_contain(blob, size, "nnbob"));
}

static void the_time_comes_back(void **state)
{
    static const uint64_t times[] = {0, 1, 999999999, 1000000000, 1700000000123456789};
    uint8_t bytes[256];

    (void)state;
    for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
        const struct command_send send = {
            .sent_ns = times[i], .client_id = {"c", 1}, .user_id = {"u", 1}, .text = {"t", 1}};
        uint64_t sent_ns = 7;
        command_send_write(&send, bytes);
        assert_true(command_message_sent_ns(bytes, command_send_size(&send), &sent_ns));
        assert_int_equal(sent_ns, times[i]);
        assert_false(command_message_sent_ns(bytes, 40, &sent_ns));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_time_comes_back),
        cmocka_unit_test(test_send_is_the_wire_form_of_message),
        cmocka_unit_test(test_send_without_subject_and_with_long_fields),
        cmocka_unit_test(test_message_read),
        cmocka_unit_test(test_new_round_trip),
        cmocka_unit_test(test_new_refuses_damage),
        cmocka_unit_test(test_users_contain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
