#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "service/subject.h"

static void assert_target(const char *subject, const char *method, const char *namespace_name)
{
    struct subject_target target;

    assert_int_equal(subject_parse(subject, &target), 0);
    assert_string_equal(target.method, method);
    assert_string_equal(target.namespace_name, namespace_name);
    assert_false(target.altered);
}

static void a_subject_names_method_and_namespace(void **state)
{
    (void)state;
    assert_target("chat.New", "New", "default");
    assert_target("chat.Send.acme", "Send", "acme");
    assert_target("chat.History.A-z_09", "History", "A-z_09");
}

static void a_namespace_has_1_to_64_characters_of_its_alphabet(void **state)
{
    char longest[65];

    (void)state;
    memset(longest, 'n', 64);
    longest[64] = '\0';
    assert_true(subject_is_namespace(longest));
    assert_true(subject_is_namespace("a"));
    assert_false(subject_is_namespace(""));
    assert_false(subject_is_namespace("a b"));
    assert_false(subject_is_namespace("a.b"));
    assert_false(subject_is_namespace("a*"));
    assert_false(subject_is_namespace("\xc3\xa4"));
    assert_false(subject_is_namespace("a\r\nPUB x"));
}

static void a_namespace_of_65_characters_is_refused(void **state)
{
    char subject[128] = "chat.Send.";
    struct subject_target target;

    (void)state;
    memset(subject + strlen("chat.Send."), 'n', 65);
    assert_int_equal(subject_parse(subject, &target), -1);
    assert_string_equal(target.method, "Send");
    assert_string_equal(target.namespace_name, "");
}

static void a_bad_namespace_still_tells_the_method(void **state)
{
    struct subject_target target;

    (void)state;
    assert_int_equal(subject_parse("chat.New.a~b", &target), -1);
    assert_string_equal(target.method, "New");
    assert_int_equal(subject_parse("chat.New.", &target), -1);
    assert_int_equal(subject_parse("chat.New.a.b", &target), -1);
    assert_int_equal(subject_parse("other.New", &target), -1);
    assert_string_equal(target.method, "");
}

static void a_method_is_made_fit_for_an_id_and_marked(void **state)
{
    struct subject_target target;

    (void)state;
    assert_int_equal(subject_parse("chat.Ne\"w", &target), 0);
    assert_string_equal(target.method, "Ne_w");
    assert_true(target.altered);
    assert_int_equal(subject_parse("chat.abcdefghijklmnopqrstuvwxyz0123456789", &target), 0);
    assert_string_equal(target.method, "abcdefghijklmnopqrstuvwxyz012345");
    assert_true(target.altered);
    assert_int_equal(subject_parse("chat.", &target), 0);
    assert_true(target.altered);
}

static void an_event_goes_to_its_namespace_and_chat(void **state)
{
    char event[SUBJECT_EVENT_BYTES];
    char longest[65];
    struct uuid chat_id;

    (void)state;
    assert_true(uuid_parse("0f0e0d0c-0b0a-4908-8706-050403020100", 36, &chat_id));
    subject_of_event("acme", &chat_id, event);
    assert_string_equal(event, "chat.events.acme.0f0e0d0c-0b0a-4908-8706-050403020100");
    memset(longest, 'n', 64);
    longest[64] = '\0';
    subject_of_event(longest, &chat_id, event);
    assert_int_equal(strlen(event), 12 + 64 + 1 + 36);
}

static void only_foreign_inboxes_are_answered(void **state)
{
    bool refused;

    (void)state;
    assert_true(subject_is_answerable("_INBOX.abc.def", &refused));
    assert_false(refused);
    assert_true(subject_is_answerable("chatter.box", &refused));
    assert_false(subject_is_answerable(NULL, &refused));
    assert_false(refused);
    assert_false(subject_is_answerable("", &refused));
    assert_false(refused);
    assert_false(subject_is_answerable("chat.Send", &refused));
    assert_true(refused);
    assert_false(subject_is_answerable("$SRV.PING", &refused));
    assert_true(refused);
    assert_false(subject_is_answerable("$JS.API.INFO", &refused));
    assert_true(refused);
    assert_false(subject_is_answerable("$SYS.x", &refused));
    assert_true(refused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_subject_names_method_and_namespace),
        cmocka_unit_test(a_namespace_has_1_to_64_characters_of_its_alphabet),
        cmocka_unit_test(a_namespace_of_65_characters_is_refused),
        cmocka_unit_test(a_bad_namespace_still_tells_the_method),
        cmocka_unit_test(a_method_is_made_fit_for_an_id_and_marked),
        cmocka_unit_test(an_event_goes_to_its_namespace_and_chat),
        cmocka_unit_test(only_foreign_inboxes_are_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
