#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "chat.pb-c.h"
#include "proto/json_text.h"
#include "proto/jsonpb_plain.h"

static Chat__SendRequest *decode(const char *text, size_t size, struct arena *arena)
{
    return (Chat__SendRequest *)(void *)jsonpb_decode_plain(text, size,
                                                            &chat__send_request__descriptor, arena);
}

static void strings_are_read_as_they_are(void **state)
{
    static const char *const texts[] = {
        "{\"client_id\":\"c\",\"text\":\"\xc3\xa4 / \x7f {}[],:\"}",
        "\t{ \"text\" :\n\"\xc3\xa4 / \x7f {}[],:\" ,\r\"client_id\": \"c\" } \n",
        ("{\"subject\":\"\",\"client_id\":\"c\",\"text\":\"\xc3\xa4 / \x7f "
         "{}[],:\",\"user_id\":\"\"}"),
    };
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 16);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        Chat__SendRequest *request = decode(texts[i], strlen(texts[i]), &arena);
        assert_non_null(request);
        assert_string_equal(request->client_id, "c");
        assert_string_equal(request->text, "\xc3\xa4 / \x7f {}[],:");
        assert_string_equal(request->subject, "");
        assert_string_equal(request->user_id, "");
        assert_string_equal(request->chat_id, "");
    }
    arena_free(&arena);
}

/* Some of them are right, but not that simple; all are for the other way. */
static void everything_else_is_left(void **state)
{
    static const char *const texts[] = {
        "",
        " ",
        "{",
        "{}",
        "[]",
        "\"text\"",
        "{\"text\":\"a\"",
        "{\"text\":\"a\"}}",
        "{\"text\":\"a\"} x",
        "{\"text\":\"a\",}",
        "{,\"text\":\"a\"}",
        "{\"text\":\"a\" \"subject\":\"b\"}",
        "{\"text\"\"a\"}",
        "{\"text\":}",
        "{\"text\":\"a}",
        "{\"text:\"a\"}",
        "{\"text\":\"a\\n\"}",
        "{\"t\\u0065xt\":\"a\"}",
        "{\"text\":\"a\nb\"}",
        "{\"text\":\"a\x1f\"}",
        "{\"text\":\"\xc3\x28\"}",
        "{\"text\":\"\xed\xa0\x80\"}",
        "{\"text\":\"a\",\"text\":\"a\"}",
        "{\"clientId\":\"c\"}",
        "{\"txet\":\"a\"}",
        "{\"tex\":\"a\"}",
        "{\"text\":null}",
        "{\"text\":5}",
        "{\"text\":{\"text\":\"a\"}}",
        "\xef\xbb\xbf{\"text\":\"a\"}",
    };
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 16);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (decode(texts[i], strlen(texts[i]), &arena) != NULL)
            fail_msg("read: %s", texts[i]);
    }
    assert_null(decode("{\"text\":\"a\0b\"}", 14, &arena));
    assert_null(decode("{\"text\":\"a\"}\0", 13, &arena));
    assert_null(decode("{\"text\":\"a\"}", 12 - 1, &arena));
    assert_int_equal(arena.taken_bytes, 0);
    arena_free(&arena);
}

static void fields_of_other_types_are_left(void **state)
{
    static const char history[] = "{\"chat_id\":\"a\",\"limit\":\"5\"}";
    static const char new[] = "{\"user_ids\":\"a\"}";
    struct arena arena;

    (void)state;
    arena_init(&arena, 1 << 16);
    assert_null(jsonpb_decode_plain(history, sizeof history - 1, &chat__history_request__descriptor,
                                    &arena));
    assert_null(jsonpb_decode_plain(new, sizeof new - 1, &chat__new_request__descriptor, &arena));
    arena_free(&arena);
}

static void without_memory_nothing_is_read(void **state)
{
    static const char text[] = "{\"text\":\"a\"}";
    struct arena arena;

    (void)state;
    arena_init(&arena, 1);
    assert_null(decode(text, sizeof text - 1, &arena));
    arena_free(&arena);
}

/* Each byte at each place of a string that is longer than what is looked at in one go. */
static void each_byte_counts_wherever_it_is(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool escaped = byte < 0x20 || byte == '"' || byte == '\\';
        for (size_t place = 0; place < 24; place++) {
            for (unsigned filler = 0x20; filler < 256; filler += 0x5f) {
                char text[24];
                memset(text, (int)filler, sizeof text);
                text[place] = (char)byte;
                assert_int_equal(json_text_plain_length(text, sizeof text),
                                 escaped ? place : sizeof text);
                assert_int_equal(json_text_plain_length(text, place), place);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_read_as_they_are),
        cmocka_unit_test(everything_else_is_left),
        cmocka_unit_test(fields_of_other_types_are_left),
        cmocka_unit_test(without_memory_nothing_is_read),
        cmocka_unit_test(each_byte_counts_wherever_it_is),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
