#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clients/gateway/auth.h"
#include "tests/unit/jwt_signer.h"
#include <unistd.h>

/* printf %s TOKEN | sha256sum */
#define OPEN_SESAME "d7ecdf25eaf3deba0f2628771dbdd22d4138ab6cf38f91ed02a2ca0dec7c8ab7"
#define ABC "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define NOW 1700000000

static char folder[] = "/tmp/test_auth.XXXXXX";
static char tokens_path[64], key_path[64];
static struct jwt_signer *signer;

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int make_files(void **state)
{
    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(tokens_path, sizeof tokens_path, "%s/tokens", folder);
    snprintf(key_path, sizeof key_path, "%s/key", folder);
    signer = jwt_signer_make("HS256");
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(tokens_path);
    unlink(key_path);
    rmdir(folder);
    jwt_signer_free(signer);
    return 0;
}

static struct auth *made(bool tokens, bool jwt)
{
    const struct auth_settings settings = {
        .none = !tokens && !jwt,
        .tokens_file = tokens ? tokens_path : NULL,
        .jwt_key_file = jwt ? key_path : "",
        .jwt.algorithm = jwt ? "HS256" : "",
    };
    struct auth *auth = NULL;
    char problem[512];

    write_file(tokens_path, ABC " acme John\n" OPEN_SESAME " * *\n");
    write_file(key_path, jwt_signer_public(signer));
    if (auth_create(&auth, &settings, problem, sizeof problem) != 0)
        fail_msg("%s", problem);
    return auth;
}

static struct identity accepted(const struct auth *auth, const char *authorization,
                                const char *wanted)
{
    const struct auth_request request = {.authorization = authorization,
                                         .wanted_namespace = wanted};
    struct auth_refusal refusal;
    struct identity identity;

    if (auth_check(auth, &request, NOW, &identity, &refusal) != 0)
        fail_msg("%d: %s", refusal.status, refusal.detail);
    return identity;
}

static void assert_refused(const struct auth *auth, struct auth_request request, int status,
                           const char *expected)
{
    struct auth_refusal refusal;
    struct identity identity;

    assert_int_equal(auth_check(auth, &request, NOW, &identity, &refusal), -1);
    assert_int_equal(refusal.status, status);
    assert_int_equal(refusal.challenge != NULL, status == 401);
    if (strstr(refusal.detail, expected) == NULL)
        fail_msg("\"%s\" is not in: %s", expected, refusal.detail);
}

static void with_auth_none_anybody_acts_anywhere(void **state)
{
    struct auth *auth = made(false, false);
    struct identity identity = accepted(auth, NULL, "acme");

    (void)state;
    assert_string_equal(identity.namespace_name, "acme");
    assert_string_equal(identity.user, "");
    assert_false(identity.known);
    assert_string_equal(accepted(auth, "Bearer whatever", "").namespace_name, "default");
    auth_free(auth);
}

static void a_token_acts_for_its_user_in_its_namespace(void **state)
{
    struct auth *auth = made(true, false);
    struct identity identity = accepted(auth, "Bearer abc", NULL);

    (void)state;
    assert_string_equal(identity.namespace_name, "acme");
    assert_string_equal(identity.user, "John");
    assert_string_equal(accepted(auth, "bEARER   abc", "acme").user, "John");
    assert_refused(
        auth, (struct auth_request){.authorization = "Bearer abc", .wanted_namespace = "default"},
        403, "for namespace acme, not for default");
    auth_free(auth);
}

static void a_token_for_any_acts_where_it_says(void **state)
{
    struct auth *auth = made(true, false);

    (void)state;
    assert_string_equal(accepted(auth, "Bearer open-sesame", "blue").namespace_name, "blue");
    assert_string_equal(accepted(auth, "Bearer open-sesame", NULL).namespace_name, "default");
    assert_string_equal(accepted(auth, "Bearer open-sesame", NULL).user, "");
    auth_free(auth);
}

static void other_credentials_are_refused(void **state)
{
    static const char *const forms[] = {"", "Bearer", "Bearerabc", "Basic YWJjOmFiYw==", "abc"};
    static const char *const tokens[] = {"Bearer ",         "Bearer abcd",   "Bearer abc abc",
                                         "Bearer \xc3\xa4", ("Bearer " ABC), "Bearer ABC"};
    struct auth *auth = made(true, false);

    (void)state;
    assert_refused(auth, (struct auth_request){0}, 401, "a token is needed");
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        assert_refused(auth, (struct auth_request){.authorization = forms[i]}, 401, "has the form");
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++)
        assert_refused(auth, (struct auth_request){.authorization = tokens[i]}, 401, "token");
    auth_free(auth);
}

static void access_token_counts_for_streams_only(void **state)
{
    struct auth *auth = made(true, false);
    struct auth_request request = {.access_token = "abc", .access_token_counts = true};
    struct auth_refusal refusal;
    struct identity identity;

    (void)state;
    assert_int_equal(auth_check(auth, &request, NOW, &identity, &refusal), 0);
    assert_string_equal(identity.user, "John");
    request.authorization = "Bearer abc";
    assert_refused(auth, request, 400, "not into both");
    request.authorization = NULL;
    request.access_token_counts = false;
    assert_refused(auth, request, 401, "Connect and Events only");
    auth_free(auth);
}

static void a_jwt_and_tokens_of_a_file_work_together(void **state)
{
    struct auth *both = made(true, true), *jwt_only = made(false, true);
    char header[JWT_TEXT_BYTES + 8] = "Bearer ";
    struct identity identity;

    (void)state;
    jwt_sign(signer, "{\"alg\":\"HS256\"}",
             "{\"sub\":\"Barry\",\"namespace\":\"blue\",\"exp\":1700000100}", header + 7);
    identity = accepted(both, header, NULL);
    assert_string_equal(identity.user, "Barry");
    assert_string_equal(identity.namespace_name, "blue");
    assert_string_equal(accepted(both, "Bearer abc", NULL).user, "John");
    assert_string_equal(accepted(jwt_only, header, "blue").user, "Barry");
    assert_refused(jwt_only, (struct auth_request){.authorization = "Bearer abc"}, 401, "three");
    assert_refused(both, (struct auth_request){.authorization = "Bearer abd"}, 401, "not known");
    assert_refused(both, (struct auth_request){.authorization = header, .wanted_namespace = "acme"},
                   403, "blue");
    assert_true(auth_is_still_valid(both, &identity, NOW));
    assert_true(auth_is_still_valid(both, &identity, 1700000129));
    assert_false(auth_is_still_valid(both, &identity, 1700000130));
    auth_free(both);
    auth_free(jwt_only);
}

static void a_reload_takes_all_or_nothing(void **state)
{
    struct auth *auth = made(true, true);
    struct identity john = accepted(auth, "Bearer abc", NULL);
    struct identity any = accepted(auth, "Bearer open-sesame", "blue");
    char problem[512] = "";

    (void)state;
    write_file(tokens_path, OPEN_SESAME " blue *\nbroken\n");
    assert_int_equal(auth_reload(auth, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "tokens: line 2: "));
    assert_string_equal(accepted(auth, "Bearer abc", NULL).user, "John");
    write_file(tokens_path, OPEN_SESAME " blue *\n");
    write_file(key_path, "short");
    assert_int_equal(auth_reload(auth, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "key: "));
    assert_true(auth_is_still_valid(auth, &john, NOW));
    write_file(key_path, jwt_signer_public(signer));
    assert_int_equal(auth_reload(auth, problem, sizeof problem), 0);
    assert_refused(auth, (struct auth_request){.authorization = "Bearer abc"}, 401, "not known");
    assert_false(auth_is_still_valid(auth, &john, NOW));
    assert_true(auth_is_still_valid(auth, &any, NOW));
    unlink(tokens_path);
    assert_int_equal(auth_reload(auth, problem, sizeof problem), -1);
    assert_non_null(strstr(problem, "No such file"));
    auth_free(auth);
}

static void new_keys_end_what_old_ones_allowed(void **state)
{
    struct auth *auth = made(false, true);
    char header[JWT_TEXT_BYTES + 8] = "Bearer ", problem[512];
    struct identity identity;

    (void)state;
    jwt_sign(signer, "{\"alg\":\"HS256\"}", "{\"sub\":\"Barry\",\"exp\":1700000100}", header + 7);
    identity = accepted(auth, header, NULL);
    assert_int_equal(auth_reload(auth, problem, sizeof problem), 0);
    assert_true(auth_is_still_valid(auth, &identity, NOW));
    write_file(key_path, "another secret of 32 bytes and more");
    assert_int_equal(auth_reload(auth, problem, sizeof problem), 0);
    assert_false(auth_is_still_valid(auth, &identity, NOW));
    assert_refused(auth, (struct auth_request){.authorization = header}, 401, "signature");
    auth_free(auth);
}

static void a_token_that_was_right_expires_all_the_same(void **state)
{
    struct auth *auth = made(false, true);
    char header[JWT_TEXT_BYTES + 8] = "Bearer ";
    const struct auth_request request = {.authorization = header};
    struct auth_refusal refusal;
    struct identity identity;

    (void)state;
    jwt_sign(signer, "{\"alg\":\"HS256\"}", "{\"sub\":\"Barry\",\"exp\":1700000100}", header + 7);
    for (int i = 0; i < 3; i++)
        assert_string_equal(accepted(auth, header, NULL).user, "Barry");
    assert_int_equal(auth_check(auth, &request, 1700000129, &identity, &refusal), 0);
    assert_int_equal(auth_check(auth, &request, 1700000130, &identity, &refusal), -1);
    assert_string_equal(refusal.detail, "the token has expired");
    header[strlen(header) - 1] ^= 1;
    assert_refused(auth, request, 401, "signature");
    auth_free(auth);
}

static void settings_must_fit_together(void **state)
{
    static const struct {
        struct auth_settings settings;
        const char *expected;
    } cases[] = {
        {{.none = false}, "say who may do what"},
        {{.none = true, .tokens_file = "f"}, "--auth none does not"},
        {{.none = true, .jwt_key_file = "f", .jwt.algorithm = "HS256"}, "--auth none does not"},
        {{.jwt_key_file = "f"}, "--auth-jwt-alg"},
        {{.tokens_file = "f", .jwt.audience = "chat"}, "need --auth-jwt-key"},
        {{.jwt_key_file = "f", .jwt.algorithm = "none"}, "is one of"},
        {{.jwt_key_file = "f", .jwt.algorithm = "hs256"}, "is one of"},
        {{.tokens_file = "/nowhere/tokens"}, "/nowhere/tokens: No such file"},
    };
    char problem[512];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct auth *auth = NULL;
        assert_int_equal(auth_create(&auth, &cases[i].settings, problem, sizeof problem), -1);
        if (strstr(problem, cases[i].expected) == NULL)
            fail_msg("\"%s\" is not in: %s", cases[i].expected, problem);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_auth_none_anybody_acts_anywhere),
        cmocka_unit_test(a_token_acts_for_its_user_in_its_namespace),
        cmocka_unit_test(a_token_for_any_acts_where_it_says),
        cmocka_unit_test(other_credentials_are_refused),
        cmocka_unit_test(access_token_counts_for_streams_only),
        cmocka_unit_test(a_jwt_and_tokens_of_a_file_work_together),
        cmocka_unit_test(a_reload_takes_all_or_nothing),
        cmocka_unit_test(new_keys_end_what_old_ones_allowed),
        cmocka_unit_test(a_token_that_was_right_expires_all_the_same),
        cmocka_unit_test(settings_must_fit_together),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
