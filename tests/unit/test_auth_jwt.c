#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "clients/gateway/auth_jwt.h"
#include "tests/unit/jwt_signer.h"

#define NOW 1700000000
#define CLAIMS "{\"sub\":\"John\",\"namespace\":\"acme\",\"exp\":1700000100}"

static const char *const algorithms[] = {"HS256", "RS256", "ES256", "EdDSA"};
enum { ALGORITHMS = sizeof algorithms / sizeof *algorithms };
static struct jwt_signer *signers[ALGORITHMS];

static int make_signers(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++)
        signers[i] = jwt_signer_make(algorithms[i]);
    return 0;
}

static int free_signers(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++)
        jwt_signer_free(signers[i]);
    return 0;
}

static struct auth_jwt *made(const char *algorithm, const char *issuer, const char *audience,
                             const char *keys)
{
    const struct auth_jwt_settings settings = {algorithm, issuer, audience};
    struct auth_jwt *jwt = NULL;
    char problem[256] = "";

    if (auth_jwt_create(&jwt, &settings, keys, strlen(keys), problem, sizeof problem) != 0)
        fail_msg("%s", problem);
    return jwt;
}

static void assert_no_keys(const char *algorithm, const char *keys, const char *expected)
{
    const struct auth_jwt_settings settings = {algorithm, NULL, NULL};
    struct auth_jwt *jwt = NULL;
    char problem[256] = "";

    assert_int_equal(auth_jwt_create(&jwt, &settings, keys, strlen(keys), problem, sizeof problem),
                     -1);
    if (strstr(problem, expected) == NULL)
        fail_msg("\"%s\" is not in: %s", expected, problem);
}

static void assert_checks(const struct auth_jwt *jwt, const char *token, const char *expected)
{
    struct auth_jwt_claims claims;
    const char *wrong = auth_jwt_check(jwt, token, strlen(token), NOW, &claims);

    if (expected == NULL && wrong != NULL)
        fail_msg("refused: %s", wrong);
    if (expected != NULL && (wrong == NULL || strstr(wrong, expected) == NULL))
        fail_msg("not refused with \"%s\": %s", expected, wrong == NULL ? "accepted" : wrong);
}

/* By HS256, which is the quickest. */
static void assert_claims(const struct auth_jwt *jwt, const char *claims, const char *expected)
{
    char token[JWT_TEXT_BYTES];

    jwt_sign(signers[0], "{\"alg\":\"HS256\"}", claims, token);
    assert_checks(jwt, token, expected);
}

static void header_of(const char *algorithm, char header[64])
{
    snprintf(header, 64, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", algorithm);
}

/* ---- Signatures ---- */

static void a_token_that_is_rightly_signed_says_who_it_is(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct auth_jwt *jwt = made(algorithms[i], NULL, NULL, jwt_signer_public(signers[i]));
        struct auth_jwt_claims claims;
        char token[JWT_TEXT_BYTES], header[64];

        header_of(algorithms[i], header);
        jwt_sign(signers[i], header, CLAIMS, token);
        assert_null(auth_jwt_check(jwt, token, strlen(token), NOW, &claims));
        assert_string_equal(claims.user_id, "John");
        assert_string_equal(claims.namespace_name, "acme");
        assert_int_equal(claims.expires_s, 1700000100 + AUTH_JWT_LEEWAY_S);
        auth_jwt_free(jwt);
    }
}

static void a_token_of_another_key_or_a_changed_one_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i < ALGORITHMS; i++) {
        struct auth_jwt *jwt = made(algorithms[i], NULL, NULL, jwt_signer_public(signers[i]));
        char token[JWT_TEXT_BYTES], header[64], *signature;
        struct jwt_signer *stranger = jwt_signer_make(algorithms[i]);

        header_of(algorithms[i], header);
        if (i == 0)
            jwt_sign_hmac("another secret that has 32 bytes too", 36, header, CLAIMS, token);
        else
            jwt_sign(stranger, header, CLAIMS, token);
        assert_checks(jwt, token, "signature");
        jwt_sign(signers[i], header, CLAIMS, token);
        signature = strrchr(token, '.') + 1;
        signature[3] = signature[3] == 'A' ? 'B' : 'A';
        assert_checks(jwt, token, "signature");
        jwt_sign(signers[i], header, CLAIMS, token);
        strcpy(strrchr(token, '.') + 1, "AAAA");
        assert_checks(jwt, token, "signature");
        jwt_signer_free(stranger);
        auth_jwt_free(jwt);
    }
}

static void no_other_algorithm_than_the_pinned_one_counts(void **state)
{
    char token[JWT_TEXT_BYTES], header[64];

    (void)state;
    for (int pinned = 0; pinned < ALGORITHMS; pinned++) {
        struct auth_jwt *jwt =
            made(algorithms[pinned], NULL, NULL, jwt_signer_public(signers[pinned]));
        for (int used = 0; used < ALGORITHMS; used++) {
            header_of(algorithms[used], header);
            jwt_sign(signers[used], header, CLAIMS, token);
            assert_checks(jwt, token, used == pinned ? NULL : "algorithm");
        }
        auth_jwt_free(jwt);
    }
}

/* The oldest trick: the public key, which everybody has, as the secret of an HMAC. */
static void a_public_key_is_no_secret(void **state)
{
    char token[JWT_TEXT_BYTES];

    (void)state;
    for (int i = 1; i < ALGORITHMS; i++) {
        const char *public_key = jwt_signer_public(signers[i]);
        struct auth_jwt *jwt = made(algorithms[i], NULL, NULL, public_key);
        char header[64];

        jwt_sign_hmac(public_key, strlen(public_key), "{\"alg\":\"HS256\"}", CLAIMS, token);
        assert_checks(jwt, token, "algorithm");
        header_of(algorithms[i], header);
        jwt_sign_hmac(public_key, strlen(public_key), header, CLAIMS, token);
        assert_checks(jwt, token, "signature");
        auth_jwt_free(jwt);
        assert_no_keys("HS256", public_key, "PEM");
    }
}

static void an_unsigned_token_is_refused(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\"}", "{\"alg\":\"None\"}",   "{\"alg\":\"\"}", "{\"alg\":null}", "{}",
        "{\"typ\":\"JWT\"}",  "{\"alg\":[\"HS256\"]}"};
    struct auth_jwt *jwt = made("HS256", NULL, NULL, jwt_signer_public(signers[0]));
    char token[JWT_TEXT_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        jwt_sign(signers[0], headers[i], CLAIMS, token);
        assert_checks(jwt, token, "algorithm");
        strrchr(token, '.')[1] = '\0';
        assert_checks(jwt, token, "three parts");
    }
    auth_jwt_free(jwt);
}

/* ---- Headers and forms ---- */

static void headers_that_ask_for_more_are_refused(void **state)
{
    struct auth_jwt *jwt = made("HS256", NULL, NULL, jwt_signer_public(signers[0]));
    char token[JWT_TEXT_BYTES];

    (void)state;
    jwt_sign(signers[0], "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", CLAIMS, token);
    assert_checks(jwt, token, "extension");
    jwt_sign(signers[0], "{\"alg\":\"HS256\",\"zip\":\"DEF\"}", CLAIMS, token);
    assert_checks(jwt, token, "compressed");
    jwt_sign(signers[0], "{\"alg\":\"HS256\",\"kid\":1}", CLAIMS, token);
    assert_checks(jwt, token, "kid");
    jwt_sign(signers[0], "{\"alg\":\"none\",\"alg\":\"HS256\"}", CLAIMS, token);
    assert_checks(jwt, token, "header");
    jwt_sign(signers[0], "[\"HS256\"]", CLAIMS, token);
    assert_checks(jwt, token, "header");
    jwt_sign(signers[0], "{\"alg\":\"HS256\"", CLAIMS, token);
    assert_checks(jwt, token, "header");
    auth_jwt_free(jwt);
}

/* A key of the attacker's own, signed with it, in the header: never looked at. */
static void a_key_that_the_token_brings_is_not_used(void **state)
{
    struct auth_jwt *jwt = made("HS256", NULL, NULL, jwt_signer_public(signers[0]));
    char token[JWT_TEXT_BYTES];

    (void)state;
    jwt_sign_hmac("01234567890123456789012345678901", 32,
                  "{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\","
                  "\"k\":\"MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE\"}}",
                  CLAIMS, token);
    assert_checks(jwt, token, "signature");
    jwt_sign_hmac("01234567890123456789012345678901", 32,
                  "{\"alg\":\"HS256\",\"jku\":\"http://127.0.0.1:1/keys\"}", CLAIMS, token);
    assert_checks(jwt, token, "signature");
    auth_jwt_free(jwt);
}

static void what_is_no_token_is_refused(void **state)
{
    static const char *const texts[] = {"",
                                        ".",
                                        "..",
                                        "...",
                                        "a.b",
                                        "a.b.c",
                                        "eyJ9.e30.",
                                        "!!!!.e30.AAAA",
                                        "eyJhbGciOiJIUzI1NiJ9.e30.AAAA.AAAA",
                                        "eyJhbGciOiJIUzI1NiJ9.e3=.AAAA",
                                        "eyJhbGciOiJIUzI1NiJ9.e30.A+AA"};
    struct auth_jwt *jwt = made("HS256", NULL, NULL, jwt_signer_public(signers[0]));

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_checks(jwt, texts[i], "three parts");
    assert_claims(jwt, "no object", "signature");
    assert_claims(jwt, "[]", "");
    auth_jwt_free(jwt);
}

static void a_huge_token_is_refused(void **state)
{
    struct auth_jwt *jwt = made("HS256", NULL, NULL, jwt_signer_public(signers[0]));
    char claims[JWT_TEXT_BYTES / 2];

    (void)state;
    snprintf(claims, sizeof claims,
             "{\"sub\":\"John\",\"namespace\":\"acme\",\"exp\":1700000100,\"fill\":\"%05000d\"}",
             0);
    assert_claims(jwt, claims, NULL);
    snprintf(claims, sizeof claims,
             "{\"sub\":\"John\",\"namespace\":\"acme\",\"exp\":1700000100,\"fill\":\"%07000d\"}",
             0);
    assert_claims(jwt, claims, "8 KiB");
    auth_jwt_free(jwt);
}

/* ---- Claims ---- */

static void a_token_counts_in_its_time_only(void **state)
{
    struct auth_jwt *jwt = made("HS256", NULL, NULL, jwt_signer_public(signers[0]));

    (void)state;
    assert_claims(jwt, "{\"sub\":\"John\"}", "no exp");
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":\"1700000100\"}", "no exp");
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":null}", "no exp");
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":0}", "expired");
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":-1e300}", "expired");
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":1699999970}", "expired");
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":1699999971}", NULL);
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":1699999971.9}", NULL);
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":1e300}", NULL);
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":1700000100,\"nbf\":1700000030}", NULL);
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":1700000100,\"nbf\":1700000031}", "not valid yet");
    assert_claims(jwt, "{\"sub\":\"John\",\"exp\":1700000100,\"nbf\":\"0\"}", "nbf");
    auth_jwt_free(jwt);
}

static void issuer_and_audience_are_checked(void **state)
{
    const char *secret = jwt_signer_public(signers[0]);
    struct auth_jwt *jwt = made("HS256", "https://id.example", "chat", secret);
    struct auth_jwt *open = made("HS256", "", "", secret);
#define WITH(claims) "{\"sub\":\"John\",\"exp\":1700000100," claims "}"

    (void)state;
    assert_claims(jwt, WITH("\"iss\":\"https://id.example\",\"aud\":\"chat\""), NULL);
    assert_claims(jwt, WITH("\"iss\":\"https://id.example\",\"aud\":[\"mail\",\"chat\"]"), NULL);
    assert_claims(jwt, WITH("\"iss\":\"https://id.example\",\"aud\":\"mail\""), "another audience");
    assert_claims(jwt, WITH("\"iss\":\"https://id.example\",\"aud\":[]"), "another audience");
    assert_claims(jwt, WITH("\"iss\":\"https://id.example\",\"aud\":[[\"chat\"]]"),
                  "another audience");
    assert_claims(jwt, WITH("\"iss\":\"https://id.example\""), "no aud");
    assert_claims(jwt, WITH("\"iss\":\"https://id.example/\",\"aud\":\"chat\""), "issuer");
    assert_claims(jwt, WITH("\"iss\":[\"https://id.example\"],\"aud\":\"chat\""), "issuer");
    assert_claims(jwt, WITH("\"aud\":\"chat\""), "issuer");
    /* Who is not told whom tokens are for is not the one whom they are for. */
    assert_claims(open, WITH("\"iss\":\"anybody\""), NULL);
    assert_claims(open, WITH("\"aud\":\"chat\""), "another audience");
    auth_jwt_free(jwt);
    auth_jwt_free(open);
}

static void user_and_namespace_must_be_such(void **state)
{
    struct auth_jwt *jwt = made("HS256", NULL, NULL, jwt_signer_public(signers[0]));
    char claims[512];

    (void)state;
    assert_claims(jwt, "{\"exp\":1700000100}", "no sub");
    assert_claims(jwt, "{\"exp\":1700000100,\"sub\":\"\"}", "no sub");
    assert_claims(jwt, "{\"exp\":1700000100,\"sub\":7}", "no sub");
    assert_claims(jwt, "{\"exp\":1700000100,\"sub\":\"a\\nb\"}", "no user id");
    assert_claims(jwt, "{\"exp\":1700000100,\"sub\":\"a\\u0000b\"}", "");
    snprintf(claims, sizeof claims, "{\"exp\":1700000100,\"sub\":\"%0128d\"}", 0);
    assert_claims(jwt, claims, NULL);
    snprintf(claims, sizeof claims, "{\"exp\":1700000100,\"sub\":\"%0129d\"}", 0);
    assert_claims(jwt, claims, "no user id");
    assert_claims(jwt, WITH("\"namespace\":\"*\""), "namespace");
    assert_claims(jwt, WITH("\"namespace\":\"a.b\""), "namespace");
    assert_claims(jwt, WITH("\"namespace\":\"\""), "namespace");
    assert_claims(jwt, WITH("\"namespace\":[\"acme\"]"), "namespace");
    assert_claims(jwt, WITH("\"namespace\":null"), "namespace");
    auth_jwt_free(jwt);
}

static void without_a_namespace_it_is_the_default_one(void **state)
{
    struct auth_jwt *jwt = made("HS256", NULL, NULL, jwt_signer_public(signers[0]));
    struct auth_jwt_claims claims;
    char token[JWT_TEXT_BYTES];

    (void)state;
    jwt_sign(signers[0], "{\"alg\":\"HS256\"}", "{\"exp\":1700000100,\"sub\":\"*\"}", token);
    assert_null(auth_jwt_check(jwt, token, strlen(token), NOW, &claims));
    assert_string_equal(claims.namespace_name, "default");
    /* A subject is a name, and never stands for anybody. */
    assert_string_equal(claims.user_id, "*");
    auth_jwt_free(jwt);
}

/* ---- Keys ---- */

static void keys_must_fit_the_algorithm(void **state)
{
    (void)state;
    assert_no_keys("HS256", "too short a secret", "32 to 4096 bytes");
    assert_no_keys("HS256", "", "32 to 4096 bytes");
    for (int pinned = 1; pinned < ALGORITHMS; pinned++) {
        for (int other = 0; other < ALGORITHMS; other++)
            if (other != pinned)
                assert_no_keys(algorithms[pinned], jwt_signer_public(signers[other]), "public");
        assert_no_keys(algorithms[pinned], jwt_signer_private(signers[pinned]), "private key");
        assert_no_keys(algorithms[pinned], "{\"kty\":", "JSON");
        assert_no_keys(algorithms[pinned], "{\"keys\":[7]}", "none");
        assert_no_keys(algorithms[pinned], "{\"keys\":[]}", "public");
    }
    assert_no_keys("RS256", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "RSA");
    assert_no_keys("HS512", "a secret that has at least 32 bytes", "HS256, RS256");
    assert_no_keys("none", "a secret that has at least 32 bytes", "HS256, RS256");
}

/* k is base64url of the secrets "a secret that has at least 32 bytes" and 32 times "x". */
#define KEY_A                                                                                      \
    "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"YSBzZWNyZXQgdGhhdCBoYXMgYXQgbGVhc3QgMzIgYnl0ZXM\"}"
#define KEY_X                                                                                      \
    "{\"kty\":\"oct\",\"kid\":\"x\",\"k\":\"eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg\"}"
#define KEY_ENC                                                                                    \
    "{\"kty\":\"oct\",\"kid\":\"e\",\"use\":\"enc\","                                              \
    "\"k\":\"eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHh4eHg\"}"

static void the_kid_chooses_among_keys(void **state)
{
    struct auth_jwt *jwt =
        made("HS256", NULL, NULL, "{\"keys\":[" KEY_X "," KEY_ENC "," KEY_A "]}");
    struct auth_jwt *single = made("HS256", NULL, NULL, KEY_A);
    char token[JWT_TEXT_BYTES];

    (void)state;
    jwt_sign(signers[0], "{\"alg\":\"HS256\",\"kid\":\"a\"}", CLAIMS, token);
    assert_checks(jwt, token, NULL);
    assert_checks(single, token, NULL);
    jwt_sign(signers[0], "{\"alg\":\"HS256\",\"kid\":\"x\"}", CLAIMS, token);
    assert_checks(jwt, token, "signature");
    assert_checks(single, token, "kid");
    jwt_sign(signers[0], "{\"alg\":\"HS256\",\"kid\":\"b\"}", CLAIMS, token);
    assert_checks(jwt, token, "kid");
    jwt_sign(signers[0], "{\"alg\":\"HS256\",\"kid\":\"e\"}", CLAIMS, token);
    assert_checks(jwt, token, "kid");
    jwt_sign(signers[0], "{\"alg\":\"HS256\"}", CLAIMS, token);
    assert_checks(jwt, token, "kid");
    assert_checks(single, token, NULL);
    auth_jwt_free(jwt);
    auth_jwt_free(single);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_that_is_rightly_signed_says_who_it_is),
        cmocka_unit_test(a_token_of_another_key_or_a_changed_one_is_refused),
        cmocka_unit_test(no_other_algorithm_than_the_pinned_one_counts),
        cmocka_unit_test(a_public_key_is_no_secret),
        cmocka_unit_test(an_unsigned_token_is_refused),
        cmocka_unit_test(headers_that_ask_for_more_are_refused),
        cmocka_unit_test(a_key_that_the_token_brings_is_not_used),
        cmocka_unit_test(what_is_no_token_is_refused),
        cmocka_unit_test(a_huge_token_is_refused),
        cmocka_unit_test(a_token_counts_in_its_time_only),
        cmocka_unit_test(issuer_and_audience_are_checked),
        cmocka_unit_test(user_and_namespace_must_be_such),
        cmocka_unit_test(without_a_namespace_it_is_the_default_one),
        cmocka_unit_test(keys_must_fit_the_algorithm),
        cmocka_unit_test(the_kid_chooses_among_keys),
    };
    return cmocka_run_group_tests(tests, make_signers, free_signers);
}
