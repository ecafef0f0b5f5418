/*
 * Requests: every refusal that decoding knows, each limit below, at and above, and hostile input.
 * Replies: against protobuf-c and jansson, and how a page of history is cut.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/codec.h"
#include "proto/utf8.h"
#include "proto/wire.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAT_ID "6f1d0c2e-8a53-4b7e-9d10-3c5a7e9b1f42"

static const struct codec_limits limits = {CODEC_REQUEST_BYTES_MAX, CODEC_TEXT_BYTES_MAX,
                                           CODEC_USERS_MAX};
static struct arena arena;
static struct chat_error error;

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena, CODEC_ARENA_BYTES);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

/* ── building requests ────────────────────────────────────────────────────────────────────── */

struct payload {
    uint8_t *bytes;
    size_t size;
};

static struct payload payload_new(void)
{
    struct payload payload = {malloc(1024 * 1024), 0};
    assert_non_null(payload.bytes);
    return payload;
}

static void put(struct payload *payload, uint32_t number, const void *data, size_t size)
{
    uint8_t *end = wire_put_bytes(payload->bytes + payload->size, number, data, size);
    payload->size = (size_t)(end - payload->bytes);
}

static void put_text(struct payload *payload, uint32_t number, const char *text)
{
    put(payload, number, text, strlen(text));
}

static void put_number(struct payload *payload, uint32_t number, uint64_t value)
{
    uint8_t *end = wire_put_tag(payload->bytes + payload->size, number, WIRE_VARINT);
    payload->size = (size_t)(wire_put_varint(end, value) - payload->bytes);
}

static void put_raw(struct payload *payload, const void *data, size_t size)
{
    memcpy(payload->bytes + payload->size, data, size);
    payload->size += size;
}

static struct payload good_send(void)
{
    struct payload payload = payload_new();
    put_text(&payload, 1, "client");
    put_text(&payload, 2, CHAT_ID);
    put_text(&payload, 3, "John");
    put_text(&payload, 4, "Hello");
    put_text(&payload, 5, "Hey Barry");
    return payload;
}

/* ── decoding them ────────────────────────────────────────────────────────────────────────── */

enum method { NEW, SEND, HISTORY };

static int decode_exact(enum method method, const uint8_t *bytes, size_t size,
                        enum codec_format format, void **request)
{
    if (method == NEW)
        return codec_decode_new(bytes, size, format, &limits, &arena, (Chat__NewRequest **)request,
                                &error);
    if (method == SEND)
        return codec_decode_send(bytes, size, format, &limits, NULL, &arena,
                                 (Chat__SendRequest **)request, &error);
    return codec_decode_history(bytes, size, format, &limits, &arena,
                                (Chat__HistoryRequest **)request, &error);
}

/*
 * Decodes a copy in memory of exactly this size, which is gone before the request is looked at: a
 * request must not borrow from its bytes. NULL when refused.
 */
static void *decode_as(enum method method, const void *bytes, size_t size, enum codec_format format)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    void *request = NULL;
    memset(&error, 0, sizeof(error));
    arena_reset(&arena);
    int result = decode_exact(method, exact, size, format, &request);
    free(exact);
    assert_int_equal(result, request == NULL ? -1 : 0);
    if (result < 0) {
        size_t length = strlen(error.detail);
        assert_true(error.reason != CHAT_REASON_NONE && length > 10);
        assert_int_equal(utf8_printable_length(error.detail, length), length);
    }
    return request;
}

static void *decode_freeing(enum method method, struct payload payload)
{
    void *request = decode_as(method, payload.bytes, payload.size, CODEC_PROTOBUF);
    free(payload.bytes);
    return request;
}

static void refused(enum method method, struct payload payload, enum chat_reason reason)
{
    if (decode_freeing(method, payload) != NULL || error.reason != reason)
        fail_msg("got %s (%s), wanted %s", chat_error_reason(error.reason), error.detail,
                 chat_error_reason(reason));
}

static void refused_json(enum method method, const char *text, enum chat_reason reason)
{
    if (decode_as(method, text, strlen(text), CODEC_JSON) != NULL || error.reason != reason)
        fail_msg("%s: got %s (%s), wanted %s", text, chat_error_reason(error.reason), error.detail,
                 chat_error_reason(reason));
}

static void says(const char *wanted)
{
    if (strstr(error.detail, wanted) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.detail, wanted);
}

/* A good Send with one field replaced. */
static struct payload send_with(uint32_t number, const void *data, size_t size)
{
    struct payload payload = good_send();
    put(&payload, number, data, size);
    return payload;
}

static struct payload new_with(const void *data, size_t size)
{
    struct payload payload = payload_new();
    put(&payload, 1, data, size);
    return payload;
}

/* ── good requests ────────────────────────────────────────────────────────────────────────── */

static void a_good_send_decodes(void **state)
{
    (void)state;
    Chat__SendRequest *send = decode_freeing(SEND, good_send());
    assert_non_null(send);
    assert_string_equal(send->client_id, "client");
    assert_string_equal(send->chat_id, CHAT_ID);
    assert_string_equal(send->user_id, "John");
    assert_string_equal(send->subject, "Hello");
    assert_string_equal(send->text, "Hey Barry");
    static const char json[] = "{\"clientId\":\"client\",\"chat_id\":\"" CHAT_ID
                               "\",\"userId\":\"John\",\"text\":\"Hey\\nBarry\"}";
    send = decode_as(SEND, json, strlen(json), CODEC_JSON);
    assert_non_null(send);
    assert_string_equal(send->client_id, "client");
    assert_string_equal(send->subject, "");
    assert_string_equal(send->text, "Hey\nBarry");
}

static void the_last_of_repeated_singular_fields_wins(void **state)
{
    (void)state;
    struct payload payload = good_send();
    put_text(&payload, 5, "second");
    put_text(&payload, 3, "Barry");
    put_text(&payload, 5, "third");
    Chat__SendRequest *send = decode_freeing(SEND, payload);
    assert_non_null(send);
    assert_string_equal(send->text, "third");
    assert_string_equal(send->user_id, "Barry");
    /* That goes for a NUL as well: only that of the last value counts. */
    payload = send_with(5, "a\0b", 3);
    put_text(&payload, 5, "clean");
    assert_non_null(decode_freeing(SEND, payload));
    payload = good_send();
    put(&payload, 5, "a\0b", 3);
    refused(SEND, payload, CHAT_INVALID_TEXT);
    payload = send_with(5, "", 0);
    refused(SEND, payload, CHAT_MISSING_TEXT);
}

static void user_ids_come_back_sorted_and_distinct(void **state)
{
    (void)state;
    static const char *const ids[] = {"b", "a", "\xc3\xa9", "b", "ab", "Z", "a", "b"};
    static const char *const sorted[] = {"Z", "a", "ab", "b", "\xc3\xa9"};
    struct payload payload = payload_new();
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
        put_text(&payload, 1, ids[i]);
    Chat__NewRequest *new = decode_freeing(NEW, payload);
    assert_non_null(new);
    assert_int_equal(new->n_user_ids, 5);
    for (size_t i = 0; i < 5; i++)
        assert_string_equal(new->user_ids[i], sorted[i]);
    static const char json[] = "{\"user_ids\":[\"b\",\"a\",\"b\"]}";
    new = decode_as(NEW, json, strlen(json), CODEC_JSON);
    assert_non_null(new);
    assert_int_equal(new->n_user_ids, 2);
    assert_string_equal(new->user_ids[0], "a");
}

static uint32_t decoded_limit(uint64_t limit)
{
    struct payload payload = payload_new();
    put_text(&payload, 1, CHAT_ID);
    put_number(&payload, 4, limit);
    Chat__HistoryRequest *history = decode_freeing(HISTORY, payload);
    assert_non_null(history);
    return history->limit;
}

static void the_page_limit_is_1_to_1000(void **state)
{
    (void)state;
    assert_int_equal(decoded_limit(0), 50);
    assert_int_equal(decoded_limit(1), 1);
    assert_int_equal(decoded_limit(999), 999);
    assert_int_equal(decoded_limit(1000), 1000);
    assert_int_equal(decoded_limit(1001), 1000);
    assert_int_equal(decoded_limit(UINT32_MAX), 1000);
    /* A uint32 takes the low 32 bits of its varint, as everywhere in protobuf. */
    assert_int_equal(decoded_limit(UINT64_C(1) << 32), 50);
    assert_int_equal(decoded_limit((UINT64_C(1) << 32) + 7), 7);
    assert_int_equal(decoded_limit(UINT64_MAX), 1000);
    refused_json(HISTORY, "{\"chat_id\":\"" CHAT_ID "\",\"limit\":4294967296}", CHAT_MALFORMED);
    says("limit");
    refused_json(HISTORY, "{\"chat_id\":\"" CHAT_ID "\",\"limit\":-1}", CHAT_MALFORMED);
}

static void ranges_are_checked_up_to_64_bits(void **state)
{
    (void)state;
    static const struct {
        uint64_t from_seq, before_seq;
        bool good;
    } ranges[] = {
        {0, 0, true},
        {1, 0, true},
        {UINT64_MAX, 0, true},
        {0, UINT64_MAX, true},
        {5, 5, true},
        {6, 5, false},
        {1, 2, true},
        {UINT64_MAX, UINT64_MAX, true},
        {2, 1, false},
        {UINT64_MAX, UINT64_MAX - 1, false},
        {UINT64_C(1) << 32, 1, false},
        {1, UINT64_C(1) << 32, true},
    };
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        struct payload payload = payload_new();
        put_text(&payload, 1, CHAT_ID);
        put_number(&payload, 2, ranges[i].from_seq);
        put_number(&payload, 3, ranges[i].before_seq);
        char json[200];
        snprintf(json, sizeof(json),
                 "{\"chat_id\":\"" CHAT_ID "\",\"from_seq\":%" PRIu64 ",\"before_seq\":%" PRIu64
                 "}",
                 ranges[i].from_seq, ranges[i].before_seq);
        if (!ranges[i].good) {
            refused(HISTORY, payload, CHAT_INVALID_RANGE);
            refused_json(HISTORY, json, CHAT_INVALID_RANGE);
            continue;
        }
        Chat__HistoryRequest *history = decode_freeing(HISTORY, payload);
        assert_non_null(history);
        assert_true(history->from_seq == ranges[i].from_seq);
        assert_true(history->before_seq == ranges[i].before_seq);
        assert_int_equal(history->limit, 50);
        history = decode_as(HISTORY, json, strlen(json), CODEC_JSON);
        assert_non_null(history);
        assert_true(history->from_seq == ranges[i].from_seq);
        assert_true(history->before_seq == ranges[i].before_seq);
    }
}

/* ── missing and invalid ──────────────────────────────────────────────────────────────────── */

static void an_empty_payload_misses_everything(void **state)
{
    (void)state;
    refused(NEW, payload_new(), CHAT_MISSING_USER_IDS);
    refused(SEND, payload_new(), CHAT_MISSING_CHAT_ID);
    says("name the chat that chat.New returned");
    refused(HISTORY, payload_new(), CHAT_MISSING_CHAT_ID);
    void *request;
    assert_int_equal(decode_exact(SEND, NULL, 0, CODEC_PROTOBUF, &request), -1);
    assert_int_equal(error.reason, CHAT_MISSING_CHAT_ID);
    assert_int_equal(decode_exact(SEND, NULL, 0, CODEC_JSON, &request), -1);
    assert_int_equal(error.reason, CHAT_MALFORMED);
    refused_json(NEW, "{}", CHAT_MISSING_USER_IDS);
    refused_json(NEW, "{\"user_ids\":[]}", CHAT_MISSING_USER_IDS);
    refused_json(SEND, "{}", CHAT_MISSING_CHAT_ID);
}

/* What is missing is told before what is wrong, and in the order of the contract. */
static void missing_comes_before_invalid(void **state)
{
    (void)state;
    struct payload payload = payload_new();
    put_text(&payload, 1, "bad\n");
    put_text(&payload, 4, "\xff");
    refused(SEND, payload, CHAT_MISSING_CHAT_ID);
    payload = payload_new();
    put_text(&payload, 2, "no UUID");
    refused(SEND, payload, CHAT_MISSING_USER_ID);
    payload = payload_new();
    put_text(&payload, 2, "no UUID");
    put_text(&payload, 3, "bad\n");
    refused(SEND, payload, CHAT_MISSING_TEXT);
    payload = payload_new();
    put_text(&payload, 2, "no UUID");
    put_text(&payload, 3, "bad\n");
    put_text(&payload, 5, "text");
    refused(SEND, payload, CHAT_INVALID_USER_ID);
    payload = payload_new();
    put_number(&payload, 2, 9);
    put_number(&payload, 3, 1);
    refused(HISTORY, payload, CHAT_MISSING_CHAT_ID);
}

static const struct {
    const char *data;
    size_t size;
} bad_ids[] = {
    {"\0", 1},
    {"a\0b", 3},
    {"a\0", 2},
    {"\0a", 2},
    {"a\r\nb", 4},
    {"\n", 1},
    {"a\x1f", 2},
    {"a\x7f", 2},
    {"a\xc2\x80", 3},
    {"a\xc2\x9f", 3},
    {"\xc2\x85", 2},
    {"\0011234567", 8},
    {"1234567\x1f", 8},
    {"1234567\x7f", 8},
    {"12345678\t", 9},
    {"\xff", 1},
    {"\xc0\x80", 2},
    {"\xc1\xbf", 2},
    {"\xe0\x80\xaf", 3},
    {"\xe0\x9f\xbf", 3},
    {"\xf0\x8f\xbf\xbf", 4},
    {"\xed\xa0\x80", 3},
    {"\xed\xbf\xbf", 3},
    {"\xf4\x90\x80\x80", 4},
    {"\xf5\x80\x80\x80", 4},
    {"\xc3", 1},
    {"\xe2\x82", 2},
    {"\xf0\x9f\x98", 3},
    {"\x80", 1},
    {"a\303b", 3},
    {"12345678\xc3", 9},
    {"\xfe\xff", 2},
};

static const char *const good_ids[] = {
    "a",
    " ",
    "a b",
    "~",
    "12345678",
    "\xc2\xa0",
    "\xdf\xbf",
    "\xe0\xa0\x80",
    "\xed\x9f\xbf",
    "\xee\x80\x80",
    "\xef\xbf\xbf",
    "\xf0\x90\x80\x80",
    "\xf4\x8f\xbf\xbf",
    "1234567\303\2511234567890",
    "\xf0\x9f\x98\x80 <b>\"'\\./*>$",
};

static void ids_are_text_without_control_characters(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        const char *data = bad_ids[i].data;
        size_t size = bad_ids[i].size;
        refused(SEND, send_with(1, data, size), CHAT_INVALID_CLIENT_ID);
        refused(SEND, send_with(3, data, size), CHAT_INVALID_USER_ID);
        refused(SEND, send_with(2, data, size), CHAT_INVALID_CHAT_ID);
        refused(NEW, new_with(data, size), CHAT_INVALID_USER_ID);
        assert_int_equal(codec_check_user_id(data, size, "Chat-User", &error), -1);
        assert_int_equal(error.reason, CHAT_INVALID_USER_ID);
        says("Chat-User");
    }
    for (size_t i = 0; i < sizeof(good_ids) / sizeof(good_ids[0]); i++) {
        size_t size = strlen(good_ids[i]);
        assert_non_null(decode_freeing(SEND, send_with(1, good_ids[i], size)));
        assert_non_null(decode_freeing(SEND, send_with(3, good_ids[i], size)));
        assert_non_null(decode_freeing(NEW, new_with(good_ids[i], size)));
        assert_int_equal(codec_check_user_id(good_ids[i], size, "user", &error), 0);
    }
    assert_int_equal(codec_check_user_id("", 0, "user", &error), -1);
    refused_json(NEW, "{\"user_ids\":[\"a\",\"b\\u0000\"]}", CHAT_INVALID_USER_ID);
    refused_json(NEW, "{\"user_ids\":[\"a\\r\\n\"]}", CHAT_INVALID_USER_ID);
    says("user_ids[0] holds a control character at byte 1");
}

/* Each of the 256 bytes at each place of strings that are one to three times the eight bytes that
 * are checked at once, or not a multiple of them. */
static void each_byte_is_judged_at_each_place(void **state)
{
    (void)state;
    for (int byte = 0; byte < 256; byte++) {
        for (size_t size = 1; size <= 24; size++) {
            for (size_t place = 0; place < size; place++) {
                char id[] = "0123456789abcdefghijklmn";
                id[place] = (char)byte;
                bool good = byte >= 0x20 && byte < 0x7f;
                assert_int_equal(codec_check_user_id(id, size, "user", &error), good ? 0 : -1);
                assert_int_equal(utf8_printable_length(id, size), good ? size : place);
                assert_int_equal(utf8_valid_length(id, size), byte < 0x80 ? size : place);
            }
        }
    }
}

static void subject_and_text_are_any_utf8_without_nul(void **state)
{
    (void)state;
    static const char any[] = "\r\n\t\x01\x7f\xc2\x85\xf4\x8f\xbf\xbf 12345678 \xef\xbf\xbe";
    Chat__SendRequest *send = decode_freeing(SEND, send_with(5, any, strlen(any)));
    assert_non_null(send);
    assert_string_equal(send->text, any);
    send = decode_freeing(SEND, send_with(4, any, strlen(any)));
    assert_non_null(send);
    assert_string_equal(send->subject, any);
    for (size_t i = 0; i < sizeof(bad_ids) / sizeof(bad_ids[0]); i++) {
        const char *data = bad_ids[i].data;
        size_t size = bad_ids[i].size;
        bool good = utf8_valid_length(data, size) == size && memchr(data, 0, size) == NULL;
        if (good) {
            assert_non_null(decode_freeing(SEND, send_with(5, data, size)));
            continue;
        }
        refused(SEND, send_with(4, data, size), CHAT_INVALID_SUBJECT);
        refused(SEND, send_with(5, data, size), CHAT_INVALID_TEXT);
    }
#define JSON_SEND(rest) "{\"chat_id\":\"" CHAT_ID "\",\"user_id\":\"u\"," rest "}"
    refused_json(SEND, JSON_SEND("\"text\":\"\\u0000\""), CHAT_INVALID_TEXT);
    refused_json(SEND, JSON_SEND("\"text\":\"t\",\"subject\":\"a\\u0000\""), CHAT_INVALID_SUBJECT);
    refused_json(SEND, JSON_SEND("\"text\":\"t\",\"client_id\":\"\\u0000\""),
                 CHAT_INVALID_CLIENT_ID);
    refused_json(SEND, JSON_SEND("\"text\":\"\xff\""), CHAT_MALFORMED);
    refused_json(SEND, JSON_SEND("\"text\":\"\\ud800\""), CHAT_MALFORMED);
    refused_json(SEND, JSON_SEND("\"text\":\"\""), CHAT_MISSING_TEXT);
}

static void a_chat_id_is_a_uuid(void **state)
{
    (void)state;
    refused(SEND, send_with(2, "chat", 4), CHAT_INVALID_CHAT_ID);
    says("chat_id is no UUID");
    refused(SEND, send_with(2, CHAT_ID "0", 37), CHAT_INVALID_CHAT_ID);
    refused(SEND, send_with(2, CHAT_ID "\0", 37), CHAT_INVALID_CHAT_ID);
    refused(SEND, send_with(2, CHAT_ID, 35), CHAT_INVALID_CHAT_ID);
    refused_json(HISTORY, "{\"chat_id\":\"x\"}", CHAT_INVALID_CHAT_ID);
    refused_json(HISTORY, "{\"chat_id\":\"" CHAT_ID "\\u0000\"}", CHAT_INVALID_CHAT_ID);
    struct payload payload = payload_new();
    put(&payload, 1, "\0" CHAT_ID, 37);
    refused(HISTORY, payload, CHAT_INVALID_CHAT_ID);
}

/* ── limits ───────────────────────────────────────────────────────────────────────────────── */

static struct payload send_sized(uint32_t number, size_t size)
{
    struct payload payload = good_send();
    char *data = malloc(size);
    assert_non_null(data);
    memset(data, 'x', size);
    put(&payload, number, data, size);
    free(data);
    return payload;
}

static void each_text_has_its_limit(void **state)
{
    (void)state;
    static const struct {
        uint32_t number;
        size_t bytes_max;
        enum chat_reason reason;
    } fields[] = {
        {1, CODEC_ID_BYTES_MAX, CHAT_INVALID_CLIENT_ID},
        {3, CODEC_ID_BYTES_MAX, CHAT_INVALID_USER_ID},
        {4, CODEC_SUBJECT_BYTES_MAX, CHAT_TOO_LARGE},
        {5, CODEC_TEXT_BYTES_MAX, CHAT_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        size_t most = fields[i].bytes_max;
        assert_non_null(decode_freeing(SEND, send_sized(fields[i].number, most - 1)));
        assert_non_null(decode_freeing(SEND, send_sized(fields[i].number, most)));
        refused(SEND, send_sized(fields[i].number, most + 1), fields[i].reason);
    }
    char id[CODEC_ID_BYTES_MAX + 1];
    memset(id, 'x', sizeof(id));
    assert_non_null(decode_freeing(NEW, new_with(id, CODEC_ID_BYTES_MAX)));
    refused(NEW, new_with(id, CODEC_ID_BYTES_MAX + 1), CHAT_INVALID_USER_ID);
    says("user_ids[0] has 129 bytes");
    refused(NEW, new_with("", 0), CHAT_INVALID_USER_ID);
    refused_json(NEW, "{\"user_ids\":[\"\"]}", CHAT_INVALID_USER_ID);
}

static struct payload many_users(size_t distinct, size_t repeats)
{
    struct payload payload = payload_new();
    for (size_t i = 0; i < distinct * repeats; i++) {
        char id[32];
        snprintf(id, sizeof(id), "u%zu", i % distinct);
        put_text(&payload, 1, id);
    }
    return payload;
}

static void users_are_counted_once(void **state)
{
    (void)state;
    assert_non_null(decode_freeing(NEW, many_users(999, 1)));
    assert_non_null(decode_freeing(NEW, many_users(1000, 1)));
    refused(NEW, many_users(1001, 1), CHAT_TOO_LARGE);
    says("1001 users: at most 1000");
    Chat__NewRequest *new = decode_freeing(NEW, many_users(1000, CODEC_REPEATS_MAX));
    assert_non_null(new);
    assert_int_equal(new->n_user_ids, 1000);
    refused(NEW, many_users(1001, CODEC_REPEATS_MAX - 1), CHAT_TOO_LARGE);
    says("1001 users");
}

/* `element`, with a comma, as often as it is said. */
static struct payload json_users(const char *element, size_t count)
{
    struct payload payload = payload_new();
    put_raw(&payload, "{\"user_ids\":[", 13);
    for (size_t i = 0; i < count; i++)
        put_raw(&payload, element, strlen(element) - (i + 1 == count));
    put_raw(&payload, "]}", 2);
    return payload;
}

static void refused_json_users(const char *element, size_t count, enum chat_reason reason)
{
    struct payload payload = json_users(element, count);
    assert_null(decode_as(NEW, payload.bytes, payload.size, CODEC_JSON));
    assert_int_equal(error.reason, reason);
    free(payload.bytes);
}

/* What would hold up everybody else's requests is refused before it is unpacked. */
static void the_number_of_values_is_bounded(void **state)
{
    (void)state;
    const size_t most = (size_t)CODEC_USERS_MAX * CODEC_REPEATS_MAX;
    struct payload payload = json_users("\"a,[{\\\"\",", most);
    assert_non_null(decode_freeing(NEW, many_users(1, most)));
    refused(NEW, many_users(1, most + 1), CHAT_TOO_LARGE);
    says("more than 10000 values");
    refused(NEW, many_users(most + 1, 1), CHAT_TOO_LARGE);
    Chat__NewRequest *new =
        (Chat__NewRequest *)decode_as(NEW, payload.bytes, payload.size, CODEC_JSON);
    assert_non_null(new);
    assert_int_equal(new->n_user_ids, 1);
    assert_string_equal(new->user_ids[0], "a,[{\"");
    free(payload.bytes);
    refused_json_users("\"a\",", most + 1, CHAT_TOO_LARGE);
    refused_json_users("7,", most + 1, CHAT_TOO_LARGE);
    refused_json_users("{},", 98, CHAT_MALFORMED);
    says("user_ids must be a string");
    refused_json_users("{},", 99, CHAT_MALFORMED);
    says("101 objects and arrays");
    refused_json_users("{},", 80000, CHAT_MALFORMED);
}

/* Filled up with unknown fields to exactly `size` bytes. */
static struct payload padded_send(size_t size)
{
    struct payload payload = good_send();
    while (payload.size + 1000 < size)
        put_raw(&payload, "\xb8\x3e\x07", 3);
    size_t left = size - payload.size - 4;
    char *filling = calloc(1, left);
    assert_non_null(filling);
    put(&payload, 500, filling, left);
    free(filling);
    assert_int_equal(payload.size, size);
    return payload;
}

static void the_request_has_its_limit(void **state)
{
    (void)state;
    assert_non_null(decode_freeing(SEND, padded_send(CODEC_REQUEST_BYTES_MAX - 1)));
    Chat__SendRequest *send = decode_freeing(SEND, padded_send(CODEC_REQUEST_BYTES_MAX));
    assert_non_null(send);
    assert_string_equal(send->text, "Hey Barry");
    assert_int_equal(send->base.n_unknown_fields, 0);
    assert_true(arena.taken_bytes <= 64 * 1024);
    refused(SEND, padded_send(CODEC_REQUEST_BYTES_MAX + 1), CHAT_TOO_LARGE);
    char *json = malloc(CODEC_REQUEST_BYTES_MAX + 2);
    assert_non_null(json);
    memset(json, ' ', CODEC_REQUEST_BYTES_MAX + 2);
    static const char text[] = "{\"chat_id\":\"" CHAT_ID "\"}";
    memcpy(json, text, strlen(text));
    assert_non_null(decode_as(HISTORY, json, CODEC_REQUEST_BYTES_MAX, CODEC_JSON));
    assert_null(decode_as(HISTORY, json, CODEC_REQUEST_BYTES_MAX + 1, CODEC_JSON));
    assert_int_equal(error.reason, CHAT_TOO_LARGE);
    free(json);
}

static void acting_users_fill_in_a_missing_user_id(void **state)
{
    (void)state;
    struct payload payload = payload_new();
    put_text(&payload, 2, CHAT_ID);
    put_text(&payload, 5, "text");
    char acting[] = "Mary";
    Chat__SendRequest *send;
    assert_int_equal(codec_decode_send(payload.bytes, payload.size, CODEC_PROTOBUF, &limits, acting,
                                       &arena, &send, &error),
                     0);
    memset(acting, '?', 4);
    assert_string_equal(send->user_id, "Mary");
    put_text(&payload, 3, "John");
    assert_int_equal(codec_decode_send(payload.bytes, payload.size, CODEC_PROTOBUF, &limits, acting,
                                       &arena, &send, &error),
                     0);
    assert_string_equal(send->user_id, "John");
    put(&payload, 3, "\0", 1);
    assert_int_equal(codec_decode_send(payload.bytes, payload.size, CODEC_PROTOBUF, &limits, acting,
                                       &arena, &send, &error),
                     -1);
    assert_int_equal(error.reason, CHAT_INVALID_USER_ID);
    free(payload.bytes);
}

/* ── malformed and hostile ────────────────────────────────────────────────────────────────── */

static void wrong_wire_types_name_the_field(void **state)
{
    (void)state;
    struct payload payload = good_send();
    put_number(&payload, 5, 1);
    refused(SEND, payload, CHAT_MALFORMED);
    says("field text of SendRequest has wire type 0");
    payload = payload_new();
    put_raw(&payload, "\x0d\x01\x02\x03\x04", 5);
    refused(NEW, payload, CHAT_MALFORMED);
    says("field user_ids of NewRequest has wire type 5 at byte 0: it must be 2");
    payload = payload_new();
    put_text(&payload, 1, CHAT_ID);
    put_text(&payload, 4, "50");
    refused(HISTORY, payload, CHAT_MALFORMED);
    says("field limit");
    payload = payload_new();
    put_raw(&payload, "\x13\x14", 2);
    refused(SEND, payload, CHAT_MALFORMED);
    says("field chat_id of SendRequest has wire type 3");
}

static void what_does_not_decode_says_where(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *problem;
    } cases[] = {
        {"\x80", 1, "truncated varint"},
        {"\022\005abc", 5, "truncated length-delimited field"},
        {"\xa0\x06\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 13, "over-long varint"},
        {"\x00\x00", 2, "field number 0"},
        {"\xa4\x06", 2, "end of a group that was not begun"},
        {"\xa3\x06\xac\x06", 4, "group ended by another field's tag"},
        {"\xa3\x06", 2, "truncated group"},
        {"\xa6\x06", 2, "unknown wire type"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct payload payload = payload_new();
        put_text(&payload, 1, "abc");
        put_raw(&payload, cases[i].bytes, cases[i].size);
        refused(SEND, payload, CHAT_MALFORMED);
        says(cases[i].problem);
        says("at byte 5");
    }
}

static void unknown_fields_are_left_out(void **state)
{
    (void)state;
    struct payload payload = payload_new();
    put_raw(&payload, "\xa3\x06\x0a\x03zzz\xab\x06\xac\x06\xa4\x06", 13);
    put_text(&payload, 5, "text");
    put_text(&payload, 6, "\xff\0\xff");
    put_raw(&payload, "\x3d\x01\x02\x03\x04\x41\x01\x02\x03\x04\x05\x06\x07\x08", 14);
    put_text(&payload, 2, CHAT_ID);
    put_number(&payload, (1u << 29) - 1, UINT64_MAX);
    put_text(&payload, 3, "John");
    put_number(&payload, 7, 1);
    Chat__SendRequest *send = decode_freeing(SEND, payload);
    assert_non_null(send);
    assert_string_equal(send->text, "text");
    assert_string_equal(send->chat_id, CHAT_ID);
    assert_string_equal(send->user_id, "John");
    assert_int_equal(send->base.n_unknown_fields, 0);
    payload = payload_new();
    put_number(&payload, 99, 1);
    refused(NEW, payload, CHAT_MISSING_USER_IDS);
}

static void groups_do_not_eat_the_stack(void **state)
{
    (void)state;
    static const size_t depths[] = {100, 101, 100000};
    for (size_t i = 0; i < 3; i++) {
        struct payload payload = good_send();
        memset(payload.bytes + payload.size, 0x3b, depths[i]);
        memset(payload.bytes + payload.size + depths[i], 0x3c, depths[i]);
        payload.size += 2 * depths[i];
        if (depths[i] <= WIRE_GROUP_DEPTH_MAX) {
            assert_non_null(decode_freeing(SEND, payload));
        } else {
            refused(SEND, payload, CHAT_MALFORMED);
            says("nested too deep");
        }
    }
}

/* The inputs that take the most memory for their size stay within the promise of the header. */
static void a_decoding_arena_is_large_enough_for_anything(void **state)
{
    (void)state;
    const size_t most = (size_t)CODEC_USERS_MAX * CODEC_REPEATS_MAX;
    struct payload payload = good_send();
    for (size_t i = 5; i < most; i++)
        put_text(&payload, 4, "");
    assert_non_null(decode_freeing(SEND, payload));
    assert_true(arena.taken_bytes < CODEC_ARENA_BYTES / 2);
    payload = payload_new();
    for (size_t i = 0; i < most; i++)
        put_text(&payload, 1, "twenty bytes of name");
    Chat__NewRequest *new = decode_freeing(NEW, payload);
    assert_non_null(new);
    assert_int_equal(new->n_user_ids, 1);
    assert_true(arena.taken_bytes < CODEC_ARENA_BYTES / 2);
    payload = payload_new();
    while (payload.size + 4 <= CODEC_REQUEST_BYTES_MAX)
        put_raw(&payload, "\x0a\x00\x10\x00", 4);
    refused(NEW, payload, CHAT_TOO_LARGE);
    assert_true(arena.taken_bytes < CODEC_ARENA_BYTES / 2);
}

static void a_small_arena_refuses_and_does_not_crash(void **state)
{
    (void)state;
    struct payload known = good_send();
    struct payload unknown = good_send();
    put_number(&unknown, 77, 1);
    Chat__SendRequest *send;
    int refusals = 0;
    for (size_t limit = 0; limit < 600; limit += 8) {
        struct arena small;
        arena_init(&small, limit);
        for (int i = 0; i < 2; i++) {
            arena_reset(&small);
            const struct payload *payload = i == 0 ? &known : &unknown;
            if (codec_decode_send(payload->bytes, payload->size, CODEC_PROTOBUF, &limits, "u",
                                  &small, &send, &error) < 0) {
                assert_int_equal(error.reason, CHAT_TOO_LARGE);
                refusals++;
            }
        }
        arena_free(&small);
    }
    assert_true(refusals > 20);
    free(known.bytes);
    free(unknown.bytes);
}

/* A small generator of its own, so that a failure repeats. */
static uint64_t random_state;

static uint32_t random_below(uint32_t bound)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 32) % bound;
}

static void request_is_sound(enum method method, void *request)
{
    if (method == SEND) {
        Chat__SendRequest *send = request;
        assert_int_equal(strlen(send->chat_id), 36);
        assert_int_equal(codec_check_user_id(send->user_id, strlen(send->user_id), "", &error), 0);
        assert_true(strlen(send->text) > 0);
    } else if (method == HISTORY) {
        Chat__HistoryRequest *history = request;
        assert_int_equal(strlen(history->chat_id), 36);
        assert_true(history->limit >= 1 && history->limit <= 1000);
    } else {
        Chat__NewRequest *new = request;
        for (size_t i = 0; i < new->n_user_ids; i++)
            assert_true(i == 0 || strcmp(new->user_ids[i - 1], new->user_ids[i]) < 0);
    }
}

static void random_bytes_are_refused_or_sound(void **state)
{
    (void)state;
    static const char json_alphabet[] = "{}[]\":,\\u0 1e-.nultrfase_idchtx\xc3\xa9";
    random_state = UINT64_C(0x9e3779b97f4a7c15);
    for (int round = 0; round < 200000; round++) {
        uint8_t bytes[48];
        size_t size = random_below(sizeof(bytes) + 1);
        enum codec_format format = round % 4 == 3 ? CODEC_JSON : CODEC_PROTOBUF;
        for (size_t i = 0; i < size; i++)
            bytes[i] = format == CODEC_JSON
                           ? (uint8_t)json_alphabet[random_below(sizeof(json_alphabet) - 1)]
                       : random_below(3) == 0 ? (uint8_t)random_below(64)
                                              : (uint8_t)random_below(256);
        enum method method = (enum method)random_below(3);
        void *request = decode_as(method, bytes, size, format);
        if (request != NULL)
            request_is_sound(method, request);
    }
}

/* A good request with a few bytes changed, cut or doubled gets much further than random bytes. */
static void mutated_requests_are_refused_or_sound(void **state)
{
    (void)state;
    static const char json[] = "{\"client_id\":\"c\",\"chat_id\":\"" CHAT_ID
                               "\",\"user_id\":\"u\",\"text\":\"a\\u00e9\\n\"}";
    struct payload good = good_send();
    put_raw(&good, "\xa3\x06\x0a\x03zzz\xab\x06\xac\x06\xa4\x06", 13);
    random_state = UINT64_C(0x2545f4914f6cdd1d);
    size_t decoded = 0;
    for (int round = 0; round < 60000; round++) {
        bool as_json = round % 2 == 1;
        const void *source = as_json ? (const void *)json : good.bytes;
        size_t size = as_json ? strlen(json) : good.size;
        uint8_t bytes[256];
        memcpy(bytes, source, size);
        for (uint32_t changes = 1 + random_below(3); changes > 0; changes--)
            bytes[random_below((uint32_t)size)] = (uint8_t)random_below(256);
        if (random_below(4) == 0)
            size = random_below((uint32_t)size + 1);
        void *request = decode_as(SEND, bytes, size, as_json ? CODEC_JSON : CODEC_PROTOBUF);
        if (request != NULL) {
            request_is_sound(SEND, request);
            decoded++;
        }
    }
    assert_true(decoded > 1000);
    free(good.bytes);
}

/* ── replies ──────────────────────────────────────────────────────────────────────────────── */

static struct codec_record make_record(uint64_t seq, const char *text)
{
    Google__Protobuf__Timestamp sent_at;
    Chat__Message message;
    char id[] = CHAT_ID, user_id[] = "John", *copy = strdup(text);
    google__protobuf__timestamp__init(&sent_at);
    sent_at.seconds = 1769860800;
    chat__message__init(&message);
    message.id = id;
    message.chat_id = id;
    message.user_id = user_id;
    message.sent_at = &sent_at;
    message.text = copy;
    message.seq = seq;
    uint8_t *data = malloc(chat__message__get_packed_size(&message));
    assert_non_null(data);
    struct codec_record record = {data, chat__message__pack(&message, data)};
    free(copy);
    return record;
}

static void free_record(struct codec_record *record)
{
    union {
        const uint8_t *data;
        void *memory;
    } owned = {record->data};
    free(owned.memory);
}

static void equals(const uint8_t *bytes, size_t size, const char *expected)
{
    assert_int_equal(size, strlen(expected));
    assert_memory_equal(bytes, expected, size);
}

static void new_replies_decode(void **state)
{
    (void)state;
    const uint8_t *bytes;
    size_t size;
    for (int created = 0; created < 2; created++) {
        assert_int_equal(codec_encode_new(CHAT_ID, created, CODEC_PROTOBUF, &arena, &bytes, &size),
                         0);
        Chat__NewResponse *response = chat__new_response__unpack(NULL, size, bytes);
        assert_non_null(response);
        assert_string_equal(response->chat_id, CHAT_ID);
        assert_int_equal(response->created, created);
        assert_int_equal(chat__new_response__get_packed_size(response), size);
        chat__new_response__free_unpacked(response, NULL);
    }
    assert_int_equal(codec_encode_new(CHAT_ID, false, CODEC_JSON, &arena, &bytes, &size), 0);
    equals(bytes, size, "{\"chat_id\":\"" CHAT_ID "\",\"created\":false}");
    assert_int_equal(codec_encode_new(CHAT_ID, true, CODEC_JSON, &arena, &bytes, &size), 0);
    equals(bytes, size, "{\"chat_id\":\"" CHAT_ID "\",\"created\":true}");
}

static void send_replies_hold_the_stored_bytes(void **state)
{
    (void)state;
    const uint8_t *bytes;
    size_t size;
    struct codec_record record = make_record(7, "h\xc3\xa9llo");
    for (int duplicate = 0; duplicate < 2; duplicate++) {
        assert_int_equal(
            codec_encode_send(&record, duplicate, CODEC_PROTOBUF, &arena, &bytes, &size), 0);
        Chat__SendResponse *response = chat__send_response__unpack(NULL, size, bytes);
        assert_non_null(response);
        assert_int_equal(response->duplicate, duplicate);
        uint8_t packed[512];
        assert_int_equal(chat__message__pack(response->message, packed), record.size);
        assert_memory_equal(packed, record.data, record.size);
        assert_int_equal(chat__send_response__get_packed_size(response), size);
        chat__send_response__free_unpacked(response, NULL);
    }
    assert_int_equal(codec_encode_send(&record, true, CODEC_JSON, &arena, &bytes, &size), 0);
    equals(bytes, size,
           "{\"message\":{\"id\":\"" CHAT_ID "\",\"client_id\":\"\",\"chat_id\":\"" CHAT_ID
           "\",\"user_id\":\"John\",\"sent_at\":\"2026-01-31T12:00:00Z\",\"subject\":\"\","
           "\"text\":\"h\xc3\xa9llo\",\"seq\":7},\"duplicate\":true}");
    free_record(&record);
    struct codec_record broken = {(const uint8_t *)"\x0a\x05", 2};
    assert_int_equal(codec_encode_send(&broken, false, CODEC_JSON, &arena, &bytes, &size), -1);
    assert_int_equal(
        codec_encode_history(&broken, 1, 1, false, false, 1000, CODEC_JSON, &arena, &bytes, &size),
        -1);
}

enum { RECORDS = 20 };

static void make_records(struct codec_record records[RECORDS])
{
    for (size_t i = 0; i < RECORDS; i++) {
        char text[64];
        snprintf(text, sizeof(text), "%.*s\"\x01\xc3\xa9", (int)(1 + i * 7 % 40),
                 "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz");
        records[i] = make_record(101 + i, text);
    }
}

/* What a reply says, from either format. */
struct summary {
    uint64_t first_seq;
    size_t count;
    uint64_t head_seq;
    bool more;
};

static struct summary read_protobuf(const uint8_t *bytes, size_t size)
{
    Chat__HistoryResponse *page = chat__history_response__unpack(NULL, size, bytes);
    assert_non_null(page);
    assert_int_equal(chat__history_response__get_packed_size(page), size);
    struct summary summary = {0, page->n_messages, page->head_seq, page->more};
    for (size_t i = 0; i < page->n_messages; i++)
        assert_true(page->messages[i]->seq == page->messages[0]->seq + i);
    if (page->n_messages > 0)
        summary.first_seq = page->messages[0]->seq;
    chat__history_response__free_unpacked(page, NULL);
    return summary;
}

static struct summary read_json(const uint8_t *bytes, size_t size)
{
    json_t *page = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(page);
    json_t *messages = json_object_get(page, "messages");
    struct summary summary = {0, json_array_size(messages),
                              (uint64_t)json_integer_value(json_object_get(page, "head_seq")),
                              json_is_true(json_object_get(page, "more"))};
    for (size_t i = 0; i < summary.count; i++) {
        json_t *seq = json_object_get(json_array_get(messages, i), "seq");
        if (i == 0)
            summary.first_seq = (uint64_t)json_integer_value(seq);
        assert_true((uint64_t)json_integer_value(seq) == summary.first_seq + i);
    }
    char *again = json_dumps(page, JSON_COMPACT);
    equals(bytes, size, again);
    free(again);
    json_decref(page);
    return summary;
}

static void whole_pages_are_not_cut(void **state)
{
    (void)state;
    struct codec_record records[RECORDS];
    make_records(records);
    const uint8_t *bytes;
    size_t size;
    for (int variant = 0; variant < 8; variant++) {
        enum codec_format format = variant & 1 ? CODEC_JSON : CODEC_PROTOBUF;
        bool newest = variant & 2, more = variant & 4;
        size_t count = variant == 5 ? 0 : RECORDS;
        assert_int_equal(codec_encode_history(records, count, 120, more, newest, 1024 * 1024,
                                              format, &arena, &bytes, &size),
                         0);
        struct summary got =
            format == CODEC_JSON ? read_json(bytes, size) : read_protobuf(bytes, size);
        assert_int_equal(got.count, count);
        assert_true(got.first_seq == (count == 0 ? 0 : 101));
        assert_true(got.head_seq == 120 && got.more == more);
        /* The exact size is enough, and one byte less is not. */
        size_t whole = size;
        if (count == 0)
            continue;
        assert_int_equal(codec_encode_history(records, count, 120, more, newest, whole, format,
                                              &arena, &bytes, &size),
                         0);
        assert_int_equal(size, whole);
        assert_int_equal(codec_encode_history(records, count, 120, more, newest, whole - 1, format,
                                              &arena, &bytes, &size),
                         0);
        got = format == CODEC_JSON ? read_json(bytes, size) : read_protobuf(bytes, size);
        assert_true(got.count == count - 1 && got.more);
    }
    for (size_t i = 0; i < RECORDS; i++)
        free_record(&records[i]);
}

/* For every size there is: within it, from the right end, as many as fit, and `more` says so. */
static void pages_are_cut_to_fit(void **state)
{
    (void)state;
    struct codec_record records[RECORDS];
    make_records(records);
    for (int variant = 0; variant < 4; variant++) {
        enum codec_format format = variant & 1 ? CODEC_JSON : CODEC_PROTOBUF;
        bool newest = variant & 2;
        size_t last_count = 0;
        for (size_t most = 0; last_count < RECORDS; most++) {
            const uint8_t *bytes = NULL;
            size_t size = 0;
            arena_reset(&arena);
            int result = codec_encode_history(records, RECORDS, 500, false, newest, most, format,
                                              &arena, &bytes, &size);
            if (result == -2) {
                assert_null(bytes);
                assert_int_equal(last_count, 0);
                continue;
            }
            assert_int_equal(result, 0);
            assert_true(size <= most);
            struct summary got =
                format == CODEC_JSON ? read_json(bytes, size) : read_protobuf(bytes, size);
            assert_true(got.count >= 1 && got.count >= last_count && got.count <= last_count + 1);
            assert_true(got.first_seq == (newest ? 121 - got.count : 101));
            assert_true(got.head_seq == 500 && got.more == (got.count < RECORDS));
            last_count = got.count;
        }
    }
    for (size_t i = 0; i < RECORDS; i++)
        free_record(&records[i]);
}

static void empty_pages_and_large_heads(void **state)
{
    (void)state;
    const uint8_t *bytes;
    size_t size;
    assert_int_equal(
        codec_encode_history(NULL, 0, 0, false, true, 100, CODEC_PROTOBUF, &arena, &bytes, &size),
        0);
    assert_int_equal(size, 0);
    assert_int_equal(codec_encode_history(NULL, 0, UINT64_MAX, true, false, 100, CODEC_PROTOBUF,
                                          &arena, &bytes, &size),
                     0);
    struct summary got = read_protobuf(bytes, size);
    assert_true(got.head_seq == UINT64_MAX && got.more && got.count == 0);
    assert_int_equal(
        codec_encode_history(NULL, 0, 0, false, true, 100, CODEC_JSON, &arena, &bytes, &size), 0);
    equals(bytes, size, "{\"messages\":[],\"head_seq\":0,\"more\":false}");
    assert_int_equal(codec_encode_history(NULL, 0, UINT64_MAX, false, true, 100, CODEC_JSON, &arena,
                                          &bytes, &size),
                     0);
    equals(bytes, size, "{\"messages\":[],\"head_seq\":\"18446744073709551615\",\"more\":false}");
}

/* Nothing grows more in JSON than control characters do. */
static void the_worst_text_fits_its_page(void **state)
{
    (void)state;
    char *text = malloc(CODEC_TEXT_BYTES_MAX + 1);
    assert_non_null(text);
    memset(text, 1, CODEC_TEXT_BYTES_MAX);
    text[CODEC_TEXT_BYTES_MAX] = '\0';
    struct codec_record records[2] = {make_record(UINT64_MAX - 1, text),
                                      make_record(UINT64_MAX, text)};
    free(text);
    const uint8_t *bytes;
    size_t size;
    for (int newest = 0; newest < 2; newest++) {
        assert_int_equal(codec_encode_history(records, 2, UINT64_MAX, false, newest, SIZE_MAX / 2,
                                              CODEC_JSON, &arena, &bytes, &size),
                         0);
        assert_true(size > 2 * 6 * CODEC_TEXT_BYTES_MAX);
    }
    free_record(&records[0]);
    free_record(&records[1]);
}

static void replies_tell_an_exhausted_arena(void **state)
{
    (void)state;
    struct codec_record record = make_record(1, "text");
    const uint8_t *bytes;
    size_t size;
    struct arena none;
    arena_init(&none, 0);
    for (int i = 0; i < 2; i++) {
        enum codec_format format = i == 0 ? CODEC_PROTOBUF : CODEC_JSON;
        assert_int_equal(codec_encode_new(CHAT_ID, true, format, &none, &bytes, &size), -1);
        assert_int_equal(codec_encode_send(&record, true, format, &none, &bytes, &size), -1);
        assert_int_equal(
            codec_encode_history(&record, 1, 1, true, true, 1000, format, &none, &bytes, &size),
            -1);
    }
    free_record(&record);
}

/* A SendRequest is unpacked without protobuf-c: what comes out is what protobuf-c makes of it. */
static void test_send_as_protobuf_c_unpacks_it(void **state)
{
    (void)state;
    struct payload payload = payload_new();
    Chat__SendRequest *request;
    put(&payload, 5, "early", 5);
    put(&payload, 99, "unknown", 7);
    put(&payload, 1, "c1", 2);
    put(&payload, 3, "a\0b", 3); /* replaced below, NUL and all */
    put(&payload, 2, "no uuid", 7);
    put(&payload, 4, "", 0);
    put(&payload, 2, CHAT_ID, 36);
    put(&payload, 3, "user", 4);
    put(&payload, 1, "", 0);
    put(&payload, 5, "later", 5);
    Chat__SendRequest *wanted = chat__send_request__unpack(NULL, payload.size, payload.bytes);
    assert_non_null(wanted);
    assert_int_equal(codec_decode_send(payload.bytes, payload.size, CODEC_PROTOBUF, &limits, NULL,
                                       &arena, &request, &error),
                     0);
    assert_string_equal(request->client_id, wanted->client_id);
    assert_string_equal(request->chat_id, wanted->chat_id);
    assert_string_equal(request->user_id, wanted->user_id);
    assert_string_equal(request->subject, wanted->subject);
    assert_string_equal(request->text, wanted->text);
    assert_string_equal(request->client_id, "");
    assert_string_equal(request->text, "later");
    chat__send_request__free_unpacked(wanted, NULL);
    free(payload.bytes);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_send_as_protobuf_c_unpacks_it),
        TEST(a_good_send_decodes),
        TEST(the_last_of_repeated_singular_fields_wins),
        TEST(user_ids_come_back_sorted_and_distinct),
        TEST(the_page_limit_is_1_to_1000),
        TEST(ranges_are_checked_up_to_64_bits),
        TEST(an_empty_payload_misses_everything),
        TEST(missing_comes_before_invalid),
        TEST(ids_are_text_without_control_characters),
        TEST(each_byte_is_judged_at_each_place),
        TEST(subject_and_text_are_any_utf8_without_nul),
        TEST(a_chat_id_is_a_uuid),
        TEST(each_text_has_its_limit),
        TEST(users_are_counted_once),
        TEST(the_number_of_values_is_bounded),
        TEST(the_request_has_its_limit),
        TEST(acting_users_fill_in_a_missing_user_id),
        TEST(wrong_wire_types_name_the_field),
        TEST(what_does_not_decode_says_where),
        TEST(unknown_fields_are_left_out),
        TEST(groups_do_not_eat_the_stack),
        TEST(a_decoding_arena_is_large_enough_for_anything),
        TEST(a_small_arena_refuses_and_does_not_crash),
        TEST(random_bytes_are_refused_or_sound),
        TEST(mutated_requests_are_refused_or_sound),
        TEST(new_replies_decode),
        TEST(send_replies_hold_the_stored_bytes),
        TEST(whole_pages_are_not_cut),
        TEST(pages_are_cut_to_fit),
        TEST(empty_pages_and_large_heads),
        TEST(the_worst_text_fits_its_page),
        TEST(replies_tell_an_exhausted_arena),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
