/* The table of refusals, the filter on details, and the body in both formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chat.pb-c.h"
#include "proto/error.h"
#include "proto/utf8.h"
#include <jansson.h>
#include <string.h>

static void every_reason_has_code_and_status(void **state)
{
    (void)state;
    static const struct {
        enum chat_reason reason;
        int code;
        const char *text;
        const char *status;
    } expected[] = {
        {CHAT_MISSING_USER_IDS, 400, "MissingUserIDs", "Bad Request"},
        {CHAT_MISSING_CHAT_ID, 400, "MissingChatID", "Bad Request"},
        {CHAT_MISSING_USER_ID, 400, "MissingUserID", "Bad Request"},
        {CHAT_MISSING_TEXT, 400, "MissingText", "Bad Request"},
        {CHAT_INVALID_USER_ID, 400, "InvalidUserID", "Bad Request"},
        {CHAT_INVALID_CLIENT_ID, 400, "InvalidClientID", "Bad Request"},
        {CHAT_INVALID_SUBJECT, 400, "InvalidSubject", "Bad Request"},
        {CHAT_INVALID_TEXT, 400, "InvalidText", "Bad Request"},
        {CHAT_INVALID_RANGE, 400, "InvalidRange", "Bad Request"},
        {CHAT_MALFORMED, 400, "Malformed", "Bad Request"},
        {CHAT_WRONG_USER, 403, "WrongUser", "Forbidden"},
        {CHAT_NOT_A_MEMBER, 403, "NotAMember", "Forbidden"},
        {CHAT_INVALID_CHAT_ID, 404, "InvalidChatID", "Not Found"},
        {CHAT_UNKNOWN_METHOD, 404, "UnknownMethod", "Not Found"},
        {CHAT_CLIENT_ID_REUSED, 409, "ClientIDReused", "Conflict"},
        {CHAT_TOO_LARGE, 413, "TooLarge", "Content Too Large"},
        {CHAT_INTERNAL, 500, "Internal", "Internal Server Error"},
        {CHAT_OVERLOADED, 503, "Overloaded", "Service Unavailable"},
        {CHAT_STORAGE_FULL, 507, "StorageFull", "Insufficient Storage"},
    };
    assert_int_equal(sizeof(expected) / sizeof(expected[0]), CHAT_REASON_COUNT - 1);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(chat_error_code(expected[i].reason), expected[i].code);
        assert_string_equal(chat_error_reason(expected[i].reason), expected[i].text);
        assert_string_equal(chat_error_status(expected[i].code), expected[i].status);
    }
}

static void an_unset_reason_is_internal(void **state)
{
    (void)state;
    assert_int_equal(chat_error_code(CHAT_REASON_NONE), 500);
    assert_string_equal(chat_error_reason(CHAT_REASON_COUNT), "Internal");
    assert_string_equal(chat_error_status(299), "Unknown Status");
}

static void set_returns_minus_one_and_formats(void **state)
{
    (void)state;
    struct chat_error error;
    assert_int_equal(chat_error_set(&error, CHAT_TOO_LARGE, "%d of %s", 7, "these"), -1);
    assert_int_equal(error.reason, CHAT_TOO_LARGE);
    assert_string_equal(error.detail, "7 of these");
}

static void details_hold_no_control_characters(void **state)
{
    (void)state;
    struct chat_error error;
    chat_error_set(&error, CHAT_MALFORMED, "%s",
                   "a\r\nB: c\t\x7f\xc2\x85\x1b[0m \xc3\xa9 \xff\xc3");
    assert_string_equal(error.detail, "a??B: c????[0m \xc3\xa9 ??");
}

static void a_long_detail_is_cut_between_characters(void **state)
{
    (void)state;
    struct chat_error error;
    char text[1000];
    for (size_t start = 0; start < 4; start++) {
        memset(text, 'a', start);
        for (size_t at = start; at + 4 < sizeof(text); at += 4)
            memcpy(text + at, "\xf0\x9f\x98\x80", 5);
        chat_error_set(&error, CHAT_MALFORMED, "%s", text);
        size_t length = strlen(error.detail);
        assert_true(length < CHAT_ERROR_DETAIL_BYTES && length > CHAT_ERROR_DETAIL_BYTES - 5);
        assert_int_equal(utf8_printable_length(error.detail, length), length);
        assert_null(strchr(error.detail, '?'));
    }
    memset(text, '\n', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    chat_error_set(&error, CHAT_MALFORMED, "%s", text);
    assert_int_equal(strspn(error.detail, "?"), CHAT_ERROR_DETAIL_BYTES - 1);
}

static void the_body_decodes_as_error(void **state)
{
    (void)state;
    struct arena arena;
    struct chat_error error;
    const uint8_t *bytes;
    size_t size;
    arena_init(&arena, 64 * 1024);
    chat_error_set(&error, CHAT_MISSING_TEXT, "text is missing");
    assert_int_equal(chat_error_encode(&error, "Send", CODEC_PROTOBUF, &arena, &bytes, &size), 0);
    Chat__Error *body = chat__error__unpack(NULL, size, bytes);
    assert_non_null(body);
    assert_string_equal(body->id, "chat.Send.MissingText");
    assert_int_equal(body->code, 400);
    assert_string_equal(body->detail, "text is missing");
    assert_string_equal(body->status, "Bad Request");
    chat__error__free_unpacked(body, NULL);
    arena_free(&arena);
}

static void the_body_is_json_when_asked(void **state)
{
    (void)state;
    struct arena arena;
    struct chat_error error;
    const uint8_t *bytes;
    size_t size;
    arena_init(&arena, 64 * 1024);
    chat_error_set(&error, CHAT_INVALID_CHAT_ID, "no \"%s\"", "\xc3\xa9\xff");
    assert_int_equal(chat_error_encode(&error, "History", CODEC_JSON, &arena, &bytes, &size), 0);
    static const char expected[] = "{\"id\":\"chat.History.InvalidChatID\",\"code\":404,"
                                   "\"detail\":\"no \\\"\xc3\xa9?\\\"\",\"status\":\"Not Found\"}";
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(bytes, expected, size);
    arena_free(&arena);
}

static void an_exhausted_arena_is_told(void **state)
{
    (void)state;
    struct chat_error error;
    const uint8_t *bytes;
    size_t size;
    chat_error_set(&error, CHAT_INTERNAL, "x");
    for (size_t limit = 0; limit < 200; limit += 8) {
        struct arena arena;
        arena_init(&arena, limit);
        int protobuf = chat_error_encode(&error, "New", CODEC_PROTOBUF, &arena, &bytes, &size);
        arena_reset(&arena);
        int json = chat_error_encode(&error, "New", CODEC_JSON, &arena, &bytes, &size);
        if (limit < 64)
            assert_true(protobuf == -1 && json == -1);
        arena_free(&arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_reason_has_code_and_status),
        cmocka_unit_test(an_unset_reason_is_internal),
        cmocka_unit_test(set_returns_minus_one_and_formats),
        cmocka_unit_test(details_hold_no_control_characters),
        cmocka_unit_test(a_long_detail_is_cut_between_characters),
        cmocka_unit_test(the_body_decodes_as_error),
        cmocka_unit_test(the_body_is_json_when_asked),
        cmocka_unit_test(an_exhausted_arena_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
