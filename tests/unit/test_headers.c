#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/headers.h"

/* Messages are freed by a thread of the library's. */
static int open_library(void **state)
{
    (void)state;
    return nats_Open(-1) == NATS_OK ? 0 : -1;
}

static int close_library(void **state)
{
    (void)state;
    return nats_CloseAndWait(5000) == NATS_OK ? 0 : -1;
}

static int setup(void **state)
{
    natsMsg *message = NULL;

    if (natsMsg_Create(&message, "chat.Send", "_INBOX.x", "", 0) != NATS_OK)
        return -1;
    *state = message;
    return 0;
}

static int teardown(void **state)
{
    natsMsg_Destroy(*state);
    return 0;
}

static void add(natsMsg *message, const char *key, const char *value)
{
    assert_int_equal(natsMsgHeader_Add(message, key, value), NATS_OK);
}

static void without_headers_it_is_protobuf_by_a_trusted_service(void **state)
{
    struct request_headers headers;
    struct chat_error error;

    assert_int_equal(headers_read(*state, &headers, &error), 0);
    assert_int_equal(headers.format, CODEC_PROTOBUF);
    assert_null(headers.acting_user);
}

static void media_types_are_compared_without_case_and_parameters(void **state)
{
    (void)state;
    assert_true(headers_is_json("application/json"));
    assert_true(headers_is_json("Application/JSON; charset=utf-8"));
    assert_true(headers_is_json(" application/json ;x=y"));
    assert_false(headers_is_json("application/jsonp"));
    assert_false(headers_is_json("application/json x"));
    assert_false(headers_is_json("application/x-protobuf"));
    assert_false(headers_is_json(""));
}

static void header_names_are_compared_without_case(void **state)
{
    struct request_headers headers;
    struct chat_error error;

    add(*state, "content-TYPE", "application/json");
    add(*state, "chat-user", "Ann");
    add(*state, "Other", "x");
    assert_int_equal(headers_read(*state, &headers, &error), 0);
    assert_int_equal(headers.format, CODEC_JSON);
    assert_string_equal(headers.acting_user, "Ann");
}

static void assert_refused(natsMsg *message)
{
    struct request_headers headers;
    struct chat_error error = {.reason = CHAT_REASON_NONE};

    assert_int_equal(headers_read(message, &headers, &error), -1);
    assert_int_equal(error.reason, CHAT_INVALID_USER_ID);
    assert_int_equal(headers.format, CODEC_JSON);
}

static void one_user_only(void **state)
{
    add(*state, "Chat-User", "Ann");
    add(*state, "Chat-User", "Bob");
    add(*state, "Content-Type", "application/json");
    assert_refused(*state);
}

static void one_user_only_in_any_spelling(void **state)
{
    add(*state, "Chat-User", "Ann");
    add(*state, "CHAT-USER", "Ann");
    add(*state, "Content-Type", "application/json");
    assert_refused(*state);
}

static void an_empty_user_is_no_user(void **state)
{
    add(*state, "Chat-User", "");
    add(*state, "Content-Type", "application/json");
    assert_refused(*state);
}

static void a_user_is_checked_as_in_requests(void **state)
{
    add(*state, "Chat-User", "a\tb");
    add(*state, "Content-Type", "application/json");
    assert_refused(*state);
}

static void a_name_that_is_no_name_is_refused(void **state)
{
    struct request_headers headers;
    struct chat_error error;

    add(*state, "X\r\nChat-User", "Bob");
    assert_int_equal(headers_read(*state, &headers, &error), -1);
    assert_int_equal(error.reason, CHAT_MALFORMED);
}

/* What the library makes of an empty header before another one. */
static void an_empty_header_does_not_hide_the_next(void **state)
{
    struct request_headers headers;
    struct chat_error error;

    add(*state, "X-Empty", "chat-user: Bob");
    add(*state, "X-Void", "Content-Type: application/json");
    assert_int_equal(headers_read(*state, &headers, &error), 0);
    assert_string_equal(headers.acting_user, "Bob");
    assert_int_equal(headers.format, CODEC_JSON);
}

static void an_empty_user_before_another_header_is_no_user(void **state)
{
    add(*state, "Chat-User", "Content-Type: application/json");
    assert_refused(*state);
}

#define with_message(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        with_message(without_headers_it_is_protobuf_by_a_trusted_service),
        with_message(media_types_are_compared_without_case_and_parameters),
        with_message(header_names_are_compared_without_case),
        with_message(one_user_only),
        with_message(one_user_only_in_any_spelling),
        with_message(an_empty_user_is_no_user),
        with_message(a_user_is_checked_as_in_requests),
        with_message(a_name_that_is_no_name_is_refused),
        with_message(an_empty_header_does_not_hide_the_next),
        with_message(an_empty_user_before_another_header_is_no_user),
    };
    return cmocka_run_group_tests(tests, open_library, close_library);
}
