/* The JSON mapping: what is read, what is refused and how it is said, and what is written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "chat.pb-c.h"
#include "proto/jsonpb.h"
#include "proto/rfc3339.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct arena arena;
static struct chat_error error;
static const ProtobufCFieldDescriptor *nul_field;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 32 * 1024 * 1024);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* Copied to memory of exactly this size, so that a read past the end shows under a sanitizer. */
static void *decode_sized(const char *text, size_t size,
                          const ProtobufCMessageDescriptor *descriptor)
{
    char *exact = malloc(size == 0 ? 1 : size);
    assert_non_null(exact);
    memcpy(exact, text, size);
    memset(&error, 0, sizeof(error));
    ProtobufCMessage *message = NULL;
    int result = jsonpb_decode(exact, size, descriptor, &arena, &message, &nul_field, &error);
    free(exact);
    assert_int_equal(result, message == NULL ? -1 : 0);
    if (result < 0) {
        assert_int_equal(error.reason, CHAT_MALFORMED);
        assert_true(strlen(error.detail) > 10);
    }
    return message;
}

static void *decode(const char *text, const ProtobufCMessageDescriptor *descriptor)
{
    return decode_sized(text, strlen(text), descriptor);
}

static Chat__SendRequest *send_of(const char *text)
{
    return decode(text, &chat__send_request__descriptor);
}

static Chat__HistoryRequest *history_of(const char *text)
{
    return decode(text, &chat__history_request__descriptor);
}

static void refused(const char *text, const char *wanted)
{
    if (history_of(text) != NULL || strstr(error.detail, wanted) == NULL)
        fail_msg("%s: got \"%s\", wanted \"%s\"", text, error.detail, wanted);
}

static void both_spellings_of_names_are_read(void **state)
{
    (void)state;
    Chat__SendRequest *send =
        send_of("{\"client_id\":\"c\",\"chat_id\":\"h\",\"user_id\":\"u\","
                "\"subject\":\"s\",\"text\":\"t\xc3\xa9\\u00e9\\ud83d\\ude00\"}");
    assert_non_null(send);
    assert_string_equal(send->client_id, "c");
    assert_string_equal(send->chat_id, "h");
    assert_string_equal(send->user_id, "u");
    assert_string_equal(send->subject, "s");
    assert_string_equal(send->text, "t\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80");
    Chat__HistoryRequest *history =
        history_of(" {\"chatId\":\"h\",\"fromSeq\":1,\"beforeSeq\":\"2\",\"limit\":3} \n");
    assert_non_null(history);
    assert_string_equal(history->chat_id, "h");
    assert_true(history->from_seq == 1 && history->before_seq == 2 && history->limit == 3);
}

static void absent_and_null_are_the_default(void **state)
{
    (void)state;
    Chat__HistoryRequest *history = history_of("{\"chat_id\":null,\"from_seq\":null}");
    assert_non_null(history);
    assert_string_equal(history->chat_id, "");
    assert_true(history->from_seq == 0 && history->limit == 0);
    assert_non_null(history_of("{}"));
    Chat__NewRequest *new = decode("{\"user_ids\":null}", &chat__new_request__descriptor);
    assert_non_null(new);
    assert_int_equal(new->n_user_ids, 0);
    new = decode("{\"userIds\":[]}", &chat__new_request__descriptor);
    assert_int_equal(new->n_user_ids, 0);
    new = decode("{\"userIds\":[\"b\",\"a\"]}", &chat__new_request__descriptor);
    assert_int_equal(new->n_user_ids, 2);
    assert_string_equal(new->user_ids[0], "b");
    assert_string_equal(new->user_ids[1], "a");
}

static void unknown_and_repeated_names_are_refused(void **state)
{
    (void)state;
    refused("{\"chatid\":\"x\"}", "\"chatid\"");
    refused("{\"chatid\":\"x\"}", "HistoryRequest has the fields chat_id, from_seq, before_seq");
    refused("{\"chat_id\":\"x\",\"text\":\"x\"}", "\"text\"");
    refused("{\"ChatId\":\"x\"}", "\"ChatId\"");
    refused("{\"chat_id\":\"x\",\"chatId\":\"y\"}", "field chat_id is there twice");
    refused("{\"chat_id\":null,\"chatId\":\"y\"}", "field chat_id is there twice");
    refused("{\"chat_id\":\"x\",\"chat_id\":\"y\"}", "duplicate");
    refused("{\"a\\u0000\":1}", "not valid JSON");
    refused("{\"\":1}", "\"\"");
    refused("{\"a\\r\\nX: y\":1}", "\"a??X: y\"");
}

static void wrong_types_are_refused_by_field(void **state)
{
    (void)state;
    refused("{\"chat_id\":5}", "field chat_id must be a string");
    refused("{\"chatId\":[\"x\"]}", "field chat_id must be a string");
    refused("{\"chat_id\":18446744073709551615}", "field chat_id must be a string");
    refused("{\"chat_id\":true}", "field chat_id must be a string");
    refused("{\"limit\":true}", "field limit must be an integer");
    refused("{\"limit\":{}}", "field limit must be an integer");
    refused("{\"limit\":\"\"}", "field limit must be an integer");
    refused("{\"limit\":\" 1\"}", "field limit must be an integer");
    refused("{\"limit\":\"0x10\"}", "field limit must be an integer");
    refused("{\"limit\":\"1\\u0000\"}", "field limit must be an integer");
    refused("{\"limit\":\"\\u00001\"}", "field limit must be an integer");
    refused("{\"limit\":\"\\u00001\",\"from_seq\":18446744073709551615}",
            "field limit must be an integer");
    assert_null(decode("{\"user_ids\":\"a\"}", &chat__new_request__descriptor));
    assert_non_null(strstr(error.detail, "field user_ids must be an array"));
    assert_null(decode("{\"user_ids\":[\"a\",null]}", &chat__new_request__descriptor));
    assert_non_null(strstr(error.detail, "field user_ids must be a string"));
    assert_null(decode("{\"created\":1}", &chat__new_response__descriptor));
    assert_non_null(strstr(error.detail, "field created must be true or false"));
    assert_null(decode("{\"message\":[]}", &chat__send_response__descriptor));
    assert_non_null(strstr(error.detail, "field message must be an object"));
}

static void integer_forms(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"\"-0\"", 0},
        {"1.0", 1},
        {"1e3", 1000},
        {"1E+3", 1000},
        {"1500e-2", 15},
        {"-0.0", 0},
        {"\"1.0\"", 1},
        {"\"1e3\"", 1000},
        {"\"1.5e1\"", 15},
        {"\"1500e-2\"", 15},
        {"\"0e999999999999999999999999\"", 0},
        {"\"0.0e-999999999999999999999999\"", 0},
        {"\"1.8446744073709551615e19\"", UINT64_MAX},
        {"4294967296", UINT64_C(4294967296)},
        {"9223372036854775807", INT64_MAX},
        {"9223372036854775808", (uint64_t)INT64_MAX + 1},
        {"18446744073709551615", UINT64_MAX},
        {"\"18446744073709551615\"", UINT64_MAX},
        {"1e19", UINT64_C(10000000000000000000)},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "{\"from_seq\":%s}", good[i].text);
        Chat__HistoryRequest *history = history_of(text);
        if (history == NULL || history->from_seq != good[i].value)
            fail_msg("%s: %s", text, error.detail);
    }
    static const char *const bad[] = {
        "-1",
        "\"-1\"",
        "18446744073709551616",
        "\"18446744073709551616\"",
        "2e19",
        "1.5",
        "\"1.5\"",
        "\"1e-1\"",
        "\"1e\"",
        "\"1.\"",
        "\"01\"",
        "\"+1\"",
        "\".5\"",
        "\"1 \"",
        "\"1e99999999999999999\"",
        "99999999999999999999999999999",
        "1e400",
        "\"NaN\"",
        "\"-\"",
        "-9223372036854775809",
        "1e-1",
        "00000000000000000000000001",
        "-1e0",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[128];
        snprintf(text, sizeof(text), "{\"from_seq\":%s}", bad[i]);
        if (history_of(text) != NULL)
            fail_msg("%s is taken", text);
    }
    refused("{\"from_seq\":-1}", "field from_seq is out of range");
    refused("{\"before_seq\":18446744073709551616}", "within 0 and 18446744073709551615");
}

static void each_width_has_its_range(void **state)
{
    (void)state;
    Chat__HistoryRequest *history = history_of("{\"limit\":4294967295}");
    assert_non_null(history);
    assert_true(history->limit == UINT32_MAX);
    refused("{\"limit\":4294967296}", "field limit is out of range");
    refused("{\"limit\":18446744073709551615}", "field limit is out of range");
    refused("{\"limit\":-1}", "field limit is out of range: it must be within 0 and 4294967295");
    Chat__Error *body = decode("{\"code\":-2147483648}", &chat__error__descriptor);
    assert_non_null(body);
    assert_int_equal(body->code, INT32_MIN);
    body = decode("{\"code\":\"2147483647\"}", &chat__error__descriptor);
    assert_int_equal(body->code, INT32_MAX);
    assert_null(decode("{\"code\":2147483648}", &chat__error__descriptor));
    assert_non_null(strstr(error.detail, "within -2147483648 and 2147483647"));
    assert_null(decode("{\"code\":-2147483649}", &chat__error__descriptor));
}

/* The second parse marks long integers; what looks like one within a string must stay itself. */
static void marking_long_integers_touches_nothing_else(void **state)
{
    (void)state;
    Chat__HistoryRequest *history =
        history_of("{\"chat_id\":\"18446744073709551615 \\\" 18446744073709551615 \\\\u0000 \\\\\","
                   "\"from_seq\":18446744073709551614,\"before_seq\":18446744073709551615}");
    assert_non_null(history);
    assert_string_equal(history->chat_id,
                        "18446744073709551615 \" 18446744073709551615 \\u0000 \\");
    assert_true(history->from_seq == UINT64_MAX - 1 && history->before_seq == UINT64_MAX);
    assert_null(nul_field);
    history = history_of("{\"chat_id\":\"\\u00001\",\"from_seq\":18446744073709551615}");
    assert_non_null(history);
    assert_non_null(nul_field);
    assert_string_equal(nul_field->name, "chat_id");
    refused("{\"from_seq\":18446744073709551615,\"limit\":00000000000000000001}", "not valid JSON");
    refused("{18446744073709551615:1}", "not valid JSON");
    refused("{\"from_seq\":18446744073709551615,\"x\":1}", "\"x\"");
    refused("{\"from_seq\":18446744073709551615x}", "not valid JSON");
    refused("{\"from_seq\":18446744073709551615\"1\"}", "not valid JSON");
    refused("{\"from_seq\":18446744073709551615,\"chat_id\":\"\\", "not valid JSON");
    refused("{\"from_seq\":18446744073709551615,\"chat_id\":\"\\u000", "not valid JSON");
}

static void what_is_no_json_object_is_refused(void **state)
{
    (void)state;
    refused("", "empty");
    refused("[]", "must be a JSON object");
    refused("[{\"limit\":1}]", "must be a JSON object");
    refused("null", "not valid JSON");
    refused("1", "not valid JSON");
    refused("\"x\"", "not valid JSON");
    refused("   ", "not valid JSON");
    refused("{\"limit\":1} x", "line 1, column 13");
    refused("{\"limit\":1}{}", "not valid JSON");
    refused("{\"limit\":1,}", "not valid JSON");
    refused("{\"limit\":1", "not valid JSON");
    refused("{'limit':1}", "not valid JSON");
    refused("\xef\xbb\xbf{}", "not valid JSON");
    refused("{}\n// comment", "not valid JSON");
    assert_null(decode_sized("{}\0", 3, &chat__history_request__descriptor));
}

static void broken_strings_are_refused(void **state)
{
    (void)state;
    refused("{\"chat_id\":\"\xff\"}", "not valid JSON");
    refused("{\"chat_id\":\"\xc0\x80\"}", "not valid JSON");
    refused("{\"chat_id\":\"\xe0\x80\x80\"}", "not valid JSON");
    refused("{\"chat_id\":\"\xed\xa0\x80\"}", "not valid JSON");
    refused("{\"chat_id\":\"\xf4\x90\x80\x80\"}", "not valid JSON");
    refused("{\"chat_id\":\"\xc3\"}", "not valid JSON");
    refused("{\"chat_id\":\"\\ud800\"}", "not valid JSON");
    refused("{\"chat_id\":\"\\udc00\"}", "not valid JSON");
    refused("{\"chat_id\":\"\\ud800\\u0041\"}", "not valid JSON");
    refused("{\"chat_id\":\"a\nb\"}", "not valid JSON");
    assert_null(decode_sized("{\"chat_id\":\"a\0b\"}", 17, &chat__history_request__descriptor));
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    enum { DEPTH = 100000 };
    char *text = malloc(2 * DEPTH + 1);
    assert_non_null(text);
    memset(text, '[', DEPTH);
    memset(text + DEPTH, ']', DEPTH);
    assert_null(decode_sized(text, 2 * DEPTH, &chat__history_request__descriptor));
    assert_non_null(strstr(error.detail, "depth"));
    free(text);
}

static void a_nul_is_told_by_field(void **state)
{
    (void)state;
    Chat__SendRequest *send = send_of("{\"text\":\"\\u0000b\",\"subject\":\"a\\u0000\\u0000c\"}");
    assert_non_null(send);
    assert_non_null(nul_field);
    assert_string_equal(nul_field->name, "subject");
    assert_string_equal(send->subject, "a??c");
    assert_string_equal(send->text, "?b");
    assert_non_null(send_of("{\"text\":\"b\"}"));
    assert_null(nul_field);
    Chat__NewRequest *new =
        decode("{\"user_ids\":[\"a\",\"b\\u0000\"]}", &chat__new_request__descriptor);
    assert_non_null(new);
    assert_string_equal(nul_field->name, "user_ids");
}

static void an_exhausted_arena_is_told(void **state)
{
    (void)state;
    static const char text[] = "{\"messages\":[{\"text\":\"hello\",\"seq\":18446744073709551615},"
                               "{\"sent_at\":\"2026-01-31T12:00:00Z\"}]}";
    int failed = 0;
    ProtobufCMessage *message = NULL;
    for (size_t limit = 0; message == NULL && limit < 4096; limit += 16) {
        struct arena small;
        arena_init(&small, limit);
        if (jsonpb_decode(text, strlen(text), &chat__history_response__descriptor, &small, &message,
                          &nul_field, &error) < 0) {
            assert_int_equal(error.reason, CHAT_TOO_LARGE);
            failed++;
        }
        arena_free(&small);
    }
    assert_non_null(message);
    assert_true(failed > 10);
}

static void all_fields_are_written(void **state)
{
    (void)state;
    Chat__HistoryResponse page;
    chat__history_response__init(&page);
    json_t *json = jsonpb_encode(&page.base);
    char *text = json_dumps(json, JSON_COMPACT);
    assert_string_equal(text, "{\"messages\":[],\"head_seq\":0,\"more\":false}");
    free(text);
    json_decref(json);
}

static void messages_are_written_and_read_back(void **state)
{
    (void)state;
    Google__Protobuf__Timestamp sent_at;
    google__protobuf__timestamp__init(&sent_at);
    sent_at.seconds = 1769860800;
    sent_at.nanos = 120000000;
    char id[] = "i", text_of_message[] = "\"\xc3\xa9\x01/\xe2\x80\xa8";
    Chat__Message message;
    chat__message__init(&message);
    message.id = id;
    message.sent_at = &sent_at;
    message.text = text_of_message;
    message.seq = INT64_MAX;
    json_t *json = jsonpb_encode(&message.base);
    char *text = json_dumps(json, JSON_COMPACT);
    json_decref(json);
    assert_string_equal(text, "{\"id\":\"i\",\"client_id\":\"\",\"chat_id\":\"\",\"user_id\":\"\","
                              "\"sent_at\":\"2026-01-31T12:00:00.120Z\",\"subject\":\"\","
                              "\"text\":\"\\\"\xc3\xa9\\u0001/\xe2\x80\xa8\","
                              "\"seq\":9223372036854775807}");
    Chat__Message *back = decode(text, &chat__message__descriptor);
    free(text);
    assert_non_null(back);
    assert_string_equal(back->text, message.text);
    assert_true(back->seq == INT64_MAX && back->sent_at->seconds == sent_at.seconds);
    assert_int_equal(back->sent_at->nanos, sent_at.nanos);
    assert_null(
        ((Chat__Message *)decode("{\"sent_at\":null}", &chat__message__descriptor))->sent_at);
}

static void what_has_no_json_form_is_told(void **state)
{
    (void)state;
    char broken[] = "\xff";
    Chat__Message message;
    Chat__Message *messages[] = {&message};
    chat__message__init(&message);
    message.seq = UINT64_MAX;
    json_t *json = jsonpb_encode(&message.base);
    assert_string_equal(json_string_value(json_object_get(json, "seq")), "18446744073709551615");
    json_decref(json);
    message.text = broken;
    assert_null(jsonpb_encode(&message.base));
    Chat__HistoryResponse page;
    chat__history_response__init(&page);
    page.n_messages = 1;
    page.messages = messages;
    assert_null(jsonpb_encode(&page.base));
    Google__Protobuf__Timestamp never;
    google__protobuf__timestamp__init(&never);
    never.nanos = -1;
    chat__message__init(&message);
    message.sent_at = &never;
    assert_null(jsonpb_encode(&message.base));
}

static void times_round_trip(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
        int32_t nanos;
    } times[] = {
        {"1970-01-01T00:00:00Z", 0, 0},
        {"1969-12-31T23:59:59.999999999Z", -1, 999999999},
        {"0001-01-01T00:00:00Z", INT64_C(-62135596800), 0},
        {"9999-12-31T23:59:59.999Z", INT64_C(253402300799), 999000000},
        {"2024-02-29T01:02:03.000001Z", 1709168523, 1000},
        {"2026-01-31T12:00:00.000000001Z", 1769860800, 1},
    };
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        char text[RFC3339_BYTES];
        int64_t seconds;
        int32_t nanos;
        assert_int_equal(rfc3339_format(times[i].seconds, times[i].nanos, text), 0);
        assert_string_equal(text, times[i].text);
        assert_int_equal(rfc3339_parse(text, strlen(text), &seconds, &nanos), 0);
        assert_true(seconds == times[i].seconds && nanos == times[i].nanos);
    }
    char text[RFC3339_BYTES];
    assert_int_equal(rfc3339_format(INT64_C(253402300800), 0, text), -1);
    assert_int_equal(rfc3339_format(INT64_C(-62135596801), 0, text), -1);
    assert_int_equal(rfc3339_format(0, 1000000000, text), -1);
    assert_int_equal(rfc3339_format(INT64_MIN, 0, text), -1);
}

static void offsets_are_read_and_nonsense_is_not(void **state)
{
    (void)state;
    int64_t seconds = 0;
    int32_t nanos = 0;
    static const char offset[] = "2026-01-31T14:30:00.5+02:30";
    assert_int_equal(rfc3339_parse(offset, strlen(offset), &seconds, &nanos), 0);
    assert_true(seconds == 1769860800 && nanos == 500000000);
    static const char west[] = "2026-01-31T04:00:00-08:00";
    assert_int_equal(rfc3339_parse(west, strlen(west), &seconds, &nanos), 0);
    assert_true(seconds == 1769860800 && nanos == 0);
    static const char *const bad[] = {
        "",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31 12:00:00Z",
        "2026-01-31T12:00:00z",
        "2026-02-29T12:00:00Z",
        "2026-04-31T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "2026-00-01T12:00:00Z",
        "2026-01-00T12:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00.Z",
        "2026-01-31T12:00:00.1234567890Z",
        "2026-01-31T12:00:00Zx",
        "2026-01-31T12:00:00+0100",
        "2026-01-31T12:00:00+24:00",
        "0000-12-31T12:00:00Z",
        "0001-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "26-01-31T12:00:00Z",
        "-026-01-31T12:00:00Z",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (rfc3339_parse(bad[i], strlen(bad[i]), &seconds, &nanos) == 0)
            fail_msg("%s is taken", bad[i]);
    assert_null(decode("{\"sent_at\":\"soon\"}", &chat__message__descriptor));
    assert_non_null(strstr(error.detail, "field sent_at must be a time"));
    assert_null(decode("{\"sent_at\":1}", &chat__message__descriptor));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(both_spellings_of_names_are_read),
        TEST(absent_and_null_are_the_default),
        TEST(unknown_and_repeated_names_are_refused),
        TEST(wrong_types_are_refused_by_field),
        TEST(integer_forms),
        TEST(each_width_has_its_range),
        TEST(marking_long_integers_touches_nothing_else),
        TEST(what_is_no_json_object_is_refused),
        TEST(broken_strings_are_refused),
        TEST(deep_nesting_is_refused),
        TEST(a_nul_is_told_by_field),
        TEST(an_exhausted_arena_is_told),
        TEST(all_fields_are_written),
        TEST(messages_are_written_and_read_back),
        TEST(what_has_no_json_form_is_told),
        TEST(times_round_trip),
        TEST(offsets_are_read_and_nonsense_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
