#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "service/method.h"
#include "store/status.h"

static void methods_are_found_by_their_exact_name(void **state)
{
    (void)state;
    assert_ptr_equal(method_find("New"), &method_new);
    assert_ptr_equal(method_find("Send"), &method_send);
    assert_ptr_equal(method_find("History"), &method_history);
    assert_null(method_find("send"));
    assert_null(method_find("Sen"));
    assert_null(method_find(""));
    for (int i = 0; i < METHOD_COUNT; i++)
        assert_int_equal(method_at((enum method_index)i)->index, i);
}

struct meaning {
    int status;
    int code;
    const char *reason;
};

static void the_stores_statuses_have_the_contracts_codes(void **state)
{
    static const struct meaning meanings[] = {
        {STORE_NO_CHAT, 404, "InvalidChatID"}, {STORE_NOT_A_MEMBER, 403, "NotAMember"},
        {STORE_OVERLOADED, 503, "Overloaded"}, {STORE_CLIENT_ID_REUSED, 409, "ClientIDReused"},
        {STORE_FULL, 507, "StorageFull"},      {STORE_CORRUPT, 500, "Internal"},
        {STORE_NO_MEMORY, 503, "Overloaded"},  {STORE_CLOSING, 503, "Overloaded"},
        {STORE_IO, 500, "Internal"},
    };
    uv_loop_t loop = {0};
    struct service service = {.loop = &loop};
    struct request request = {
        .service = &service, .method = &method_send, .namespace_name = "acme"};
    struct chat_error error;

    (void)state;
    for (size_t i = 0; i < sizeof meanings / sizeof *meanings; i++) {
        assert_int_equal(method_store_error(&request, meanings[i].status, &error), -1);
        assert_int_equal(chat_error_code(error.reason), meanings[i].code);
        assert_string_equal(chat_error_reason(error.reason), meanings[i].reason);
    }
}

static void damage_names_the_chat(void **state)
{
    uv_loop_t loop = {0};
    struct service service = {.loop = &loop};
    struct request request = {.service = &service, .method = &method_history};
    struct chat_error error;

    (void)state;
    assert_true(uuid_parse("0f0e0d0c-0b0a-4908-8706-050403020100", 36, &request.chat_id));
    assert_int_equal(method_store_error(&request, STORE_CORRUPT, &error), -1);
    assert_non_null(strstr(error.detail, "0f0e0d0c-0b0a-4908-8706-050403020100"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_are_found_by_their_exact_name),
        cmocka_unit_test(the_stores_statuses_have_the_contracts_codes),
        cmocka_unit_test(damage_names_the_chat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
