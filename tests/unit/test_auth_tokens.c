#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clients/gateway/auth_tokens.h"

/* printf %s TOKEN | sha256sum */
#define OPEN_SESAME "d7ecdf25eaf3deba0f2628771dbdd22d4138ab6cf38f91ed02a2ca0dec7c8ab7"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static struct auth_tokens *parsed(const char *text)
{
    struct auth_tokens *tokens = NULL;
    char problem[256] = "";

    if (auth_tokens_parse(&tokens, text, strlen(text), problem, sizeof problem) != 0)
        fail_msg("%s", problem);
    return tokens;
}

static void assert_refused(const char *text, const char *expected)
{
    struct auth_tokens *tokens = NULL;
    char problem[256] = "";

    assert_int_equal(auth_tokens_parse(&tokens, text, strlen(text), problem, sizeof problem), -1);
    assert_null(tokens);
    if (strstr(problem, expected) == NULL)
        fail_msg("\"%s\" is not in: %s", expected, problem);
}

static void a_line_gives_its_token_a_namespace_and_a_user(void **state)
{
    struct auth_tokens *tokens = parsed("# people\n\n"
                                        "  " ABC "\tacme  John Barry \r\n"
                                        "   # robots\n" OPEN_SESAME " * *");
    const struct auth_token *token;

    (void)state;
    assert_int_equal(auth_tokens_count(tokens), 2);
    token = auth_tokens_find(tokens, "abc", 3);
    assert_non_null(token);
    assert_string_equal(token->namespace_name, "acme");
    assert_string_equal(token->user_id, "John Barry");
    assert_int_equal(token->line, 3);
    token = auth_tokens_find(tokens, "open-sesame", 11);
    assert_non_null(token);
    assert_string_equal(token->namespace_name, "");
    assert_string_equal(token->user_id, "");
    auth_tokens_free(tokens);
}

static void only_the_very_token_is_found(void **state)
{
    struct auth_tokens *tokens = parsed(ABC " acme John\n");

    (void)state;
    assert_non_null(auth_tokens_find(tokens, "abc", 3));
    assert_null(auth_tokens_find(tokens, "abc", 2));
    assert_null(auth_tokens_find(tokens, "abc\0", 4));
    assert_null(auth_tokens_find(tokens, "ABC", 3));
    assert_null(auth_tokens_find(tokens, "", 0));
    assert_null(auth_tokens_find(tokens, ABC, strlen(ABC)));
    auth_tokens_free(tokens);
}

static void digits_count_in_either_case(void **state)
{
    struct auth_tokens *tokens =
        parsed("BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD acme John\n");

    (void)state;
    assert_non_null(auth_tokens_find(tokens, "abc", 3));
    auth_tokens_free(tokens);
}

static void a_bad_line_is_named_and_not_shown(void **state)
{
    struct auth_tokens *tokens = NULL;
    char problem[256];
    const char *secret = "# fine\nhunter2 acme John\n";

    (void)state;
    assert_int_equal(auth_tokens_parse(&tokens, secret, strlen(secret), problem, sizeof problem),
                     -1);
    assert_non_null(strstr(problem, "line 2: "));
    assert_null(strstr(problem, "hunter2"));
    assert_refused(ABC "0 acme John", "64 hexadecimal digits");
    assert_refused("xa7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad acme John",
                   "line 1: the SHA-256 of a token has 64 hexadecimal digits");
    assert_refused(ABC, "a namespace, or *");
    assert_refused(ABC " acme", "a user id, or *");
    assert_refused(ABC " ac.me John", "a namespace has letters");
    assert_refused(ABC " aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa John",
                   "at most 64");
    assert_refused(ABC " acme Jo\x01hn", "without control characters");
    assert_refused(ABC " acme Jo\xffhn", "UTF-8");
    assert_refused(OPEN_SESAME " a b\n\n" ABC " acme John\n" ABC " acme Barry\n",
                   "line 4: the token of line 3 again");
}

static void a_user_id_has_128_bytes_at_most(void **state)
{
    char line[400];
    char user[130];
    struct auth_tokens *tokens;

    (void)state;
    memset(user, 'u', 129);
    user[129] = '\0';
    snprintf(line, sizeof line, ABC " acme %s", user);
    assert_refused(line, "at most 128");
    user[128] = '\0';
    snprintf(line, sizeof line, ABC " acme %s", user);
    tokens = parsed(line);
    assert_string_equal(auth_tokens_find(tokens, "abc", 3)->user_id, user);
    auth_tokens_free(tokens);
}

static void a_file_without_a_token_is_refused(void **state)
{
    (void)state;
    assert_refused("", "no token");
    assert_refused("# nobody\n\n", "no token");
}

static void a_file_with_nul_is_refused(void **state)
{
    static const char text[] = ABC " ac\0me John\n";
    struct auth_tokens *tokens = NULL;
    char problem[256];

    (void)state;
    assert_int_equal(auth_tokens_parse(&tokens, text, sizeof text - 1, problem, sizeof problem),
                     -1);
}

static void thousands_of_tokens_are_told_apart(void **state)
{
    enum { COUNT = 5000 };
    char *text = malloc(COUNT * 80 + 1), *at = text;
    struct auth_tokens *tokens;

    (void)state;
    assert_non_null(text);
    at += sprintf(at, ABC " acme John\n");
    for (int i = 1; i < COUNT; i++)
        at += sprintf(at, "%064x n%d u\n", i, i % 7);
    tokens = parsed(text);
    assert_int_equal(auth_tokens_count(tokens), COUNT);
    assert_string_equal(auth_tokens_find(tokens, "abc", 3)->user_id, "John");
    assert_null(auth_tokens_find(tokens, "abd", 3));
    auth_tokens_free(tokens);
    free(text);
}

static void an_id_finds_the_token_in_a_later_table(void **state)
{
    struct auth_tokens *before = parsed(ABC " acme John\n");
    struct auth_tokens *after = parsed("#\n" ABC " acme Barry\n");
    struct auth_tokens *without = parsed(OPEN_SESAME " acme John\n");
    const struct auth_token *token = auth_tokens_find(before, "abc", 3);

    (void)state;
    assert_string_equal(auth_tokens_find_id(after, token->id)->user_id, "Barry");
    assert_null(auth_tokens_find_id(without, token->id));
    auth_tokens_free(before);
    auth_tokens_free(after);
    auth_tokens_free(without);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_line_gives_its_token_a_namespace_and_a_user),
        cmocka_unit_test(only_the_very_token_is_found),
        cmocka_unit_test(digits_count_in_either_case),
        cmocka_unit_test(a_bad_line_is_named_and_not_shown),
        cmocka_unit_test(a_user_id_has_128_bytes_at_most),
        cmocka_unit_test(a_file_without_a_token_is_refused),
        cmocka_unit_test(a_file_with_nul_is_refused),
        cmocka_unit_test(thousands_of_tokens_are_told_apart),
        cmocka_unit_test(an_id_finds_the_token_in_a_later_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
