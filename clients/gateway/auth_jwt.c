/*
 * The library reads keys, parses tokens and checks signatures. Before it sees a token, the token's
 * header is read here: an algorithm that was not pinned, an extension that must be understood
 * (`crit`) and a payload to be inflated (`zip`) end there.
 *
 * Versions of the library up to 1.1.13 compare an HMAC with strcmp, so that the time tells how far
 * a guess was right. So HMACs are first compared here, in constant time, and the library only sees
 * right ones.
 */
#include "clients/gateway/auth_jwt.h"

#include "clients/libchat/chat.h"
#include "proto/utf8.h"
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <rhonabwy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HMAC_BYTES 32
#define SECRET_BYTES_MIN 32
#define SECRET_BYTES_MAX 4096
#define RSA_BITS_MIN 2048

struct algorithm {
    const char *name;
    jwa_alg id;
    int type; /* all of these flags of the library's */
    unsigned bits_min;
    unsigned bits_max;
    const char *curve; /* or NULL */
    const char *wanted;
};

static const struct algorithm algorithms[] = {
    {"HS256", R_JWA_ALG_HS256, R_KEY_TYPE_SYMMETRIC | R_KEY_TYPE_HMAC, 8 * SECRET_BYTES_MIN,
     8 * SECRET_BYTES_MAX, NULL, "a secret of 32 to 4096 bytes"},
    {"RS256", R_JWA_ALG_RS256, R_KEY_TYPE_PUBLIC | R_KEY_TYPE_RSA, RSA_BITS_MIN, 16384, NULL,
     "a public RSA key of 2048 bits or more"},
    {"ES256", R_JWA_ALG_ES256, R_KEY_TYPE_PUBLIC | R_KEY_TYPE_EC, 256, 256, "P-256",
     "a public key on the curve P-256"},
    {"EdDSA", R_JWA_ALG_EDDSA, R_KEY_TYPE_PUBLIC | R_KEY_TYPE_EDDSA, 256, 256, "Ed25519",
     "a public Ed25519 key"},
};

struct key {
    jwk_t *jwk;
    uint8_t secret[SECRET_BYTES_MAX]; /* of HS256 */
    size_t secret_size;
};

struct auth_jwt {
    const struct algorithm *algorithm;
    char *issuer;   /* or NULL */
    char *audience; /* or NULL */
    struct key *keys[AUTH_JWT_KEYS_MAX];
    size_t key_count;
};

static const struct algorithm *find_algorithm(const char *name)
{
    for (size_t i = 0; i < sizeof algorithms / sizeof *algorithms; i++)
        if (strcmp(name, algorithms[i].name) == 0)
            return &algorithms[i];
    return NULL;
}

bool auth_jwt_is_algorithm(const char *name)
{
    return find_algorithm(name) != NULL;
}

/* ---- Keys ---- */

static void free_key(struct key *key)
{
    r_jwk_free(key->jwk);
    OPENSSL_cleanse(key->secret, sizeof key->secret);
    free(key);
}

/* What a JWK says of itself must not contradict how it is to be used. */
static bool is_meant_for(jwk_t *jwk, const struct algorithm *algorithm)
{
    const char *use = r_jwk_get_property_str(jwk, "use");
    const char *alg = r_jwk_get_property_str(jwk, "alg");
    const char *curve = r_jwk_get_property_str(jwk, "crv");

    return (use == NULL || strcmp(use, "sig") == 0) &&
           (alg == NULL || strcmp(alg, algorithm->name) == 0) &&
           (algorithm->curve == NULL || (curve != NULL && strcmp(curve, algorithm->curve) == 0));
}

static bool is_usable(jwk_t *jwk, const struct algorithm *algorithm)
{
    unsigned bits = 0;
    int type = r_jwk_key_type(jwk, &bits, R_FLAG_IGNORE_REMOTE);

    return (type & algorithm->type) == algorithm->type && bits >= algorithm->bits_min &&
           bits <= algorithm->bits_max && is_meant_for(jwk, algorithm);
}

/* Takes the key if it fits the algorithm, and frees it if not. Returns 0, or -1 without memory. */
static int add_key(struct auth_jwt *jwt, jwk_t *jwk)
{
    struct key *key;

    if (!is_usable(jwk, jwt->algorithm) || jwt->key_count == AUTH_JWT_KEYS_MAX) {
        r_jwk_free(jwk);
        return 0;
    }
    key = calloc(1, sizeof *key);
    if (key == NULL) {
        r_jwk_free(jwk);
        return -1;
    }
    key->jwk = jwk;
    key->secret_size = sizeof key->secret;
    if (jwt->algorithm->id == R_JWA_ALG_HS256 &&
        r_jwk_export_to_symmetric_key(jwk, key->secret, &key->secret_size) != RHN_OK) {
        free_key(key);
        return 0;
    }
    jwt->keys[jwt->key_count++] = key;
    return 0;
}

static int add_json_key(struct auth_jwt *jwt, json_t *object)
{
    jwk_t *jwk = NULL;

    if (!json_is_object(object) || r_jwk_init(&jwk) != RHN_OK)
        return -1;
    if (r_jwk_import_from_json_t(jwk, object) == RHN_OK)
        return add_key(jwt, jwk);
    r_jwk_free(jwk);
    return 0;
}

static const char *add_json_keys(struct auth_jwt *jwt, const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    json_t *list = json_object_get(root, "keys");
    int status = 0;

    if (json_is_array(list)) {
        for (size_t i = 0; i < json_array_size(list) && status == 0; i++)
            status = add_json_key(jwt, json_array_get(list, i));
    } else if (root != NULL) {
        status = add_json_key(jwt, root);
    }
    json_decref(root);
    if (root == NULL)
        return "it begins like JSON and is none";
    return status == 0 ? NULL : "a key of it is none";
}

static const char *add_secret(struct auth_jwt *jwt, const char *text, size_t size)
{
    jwk_t *jwk = NULL;

    if (size > 0 && text[size - 1] == '\n')
        size--;
    if (size > 0 && text[size - 1] == '\r')
        size--;
    if (memmem(text, size, "-----BEGIN ", 11) != NULL)
        return "it is PEM, which holds no secret for HS256";
    if (size < SECRET_BYTES_MIN || size > SECRET_BYTES_MAX)
        return NULL; /* nothing is added, and the caller says what is wanted */
    if (r_jwk_init(&jwk) != RHN_OK)
        return "out of memory";
    if (r_jwk_import_from_symmetric_key(jwk, (const unsigned char *)text, size) == RHN_OK)
        return add_key(jwt, jwk) == 0 ? NULL : "out of memory";
    r_jwk_free(jwk);
    return NULL;
}

static const char *add_pem(struct auth_jwt *jwt, const char *text, size_t size)
{
    const unsigned char *bytes = (const unsigned char *)text;
    jwk_t *jwk = NULL;

    if (memmem(text, size, "PRIVATE KEY-----", 16) != NULL)
        return "it holds a private key, which is not needed here and belongs elsewhere";
    if (r_jwk_init(&jwk) != RHN_OK)
        return "out of memory";
    if (r_jwk_import_from_pem_der(jwk, R_X509_TYPE_PUBKEY, R_FORMAT_PEM, bytes, size) == RHN_OK)
        return add_key(jwt, jwk) == 0 ? NULL : "out of memory";
    r_jwk_free(jwk);
    if (r_jwk_init(&jwk) != RHN_OK)
        return "out of memory";
    if (r_jwk_import_from_pem_der(jwk, R_X509_TYPE_CERTIFICATE, R_FORMAT_PEM, bytes, size) ==
        RHN_OK)
        return add_key(jwt, jwk) == 0 ? NULL : "out of memory";
    r_jwk_free(jwk);
    return NULL;
}

static const char *add_keys(struct auth_jwt *jwt, const char *text, size_t size)
{
    size_t blanks = 0;

    if (size > AUTH_JWT_KEY_BYTES_MAX)
        return "it is larger than 256 KiB";
    while (blanks < size && strchr(" \t\r\n", text[blanks]) != NULL && text[blanks] != '\0')
        blanks++;
    if (blanks < size && text[blanks] == '{')
        return add_json_keys(jwt, text, size);
    if (jwt->algorithm->id == R_JWA_ALG_HS256)
        return add_secret(jwt, text, size);
    return add_pem(jwt, text, size);
}

static char *copy_unless_empty(const char *text, bool *failed)
{
    char *copy = text == NULL || text[0] == '\0' ? NULL : strdup(text);

    *failed |= copy == NULL && text != NULL && text[0] != '\0';
    return copy;
}

static void start_library(void)
{
    static bool started;

    if (!started && r_global_init() != RHN_OK)
        abort(); /* only without memory */
    started = true;
}

int auth_jwt_create(struct auth_jwt **result, const struct auth_jwt_settings *settings,
                    const char *keys, size_t size, char *problem, size_t problem_bytes)
{
    struct auth_jwt *jwt = calloc(1, sizeof *jwt);
    const struct algorithm *algorithm = find_algorithm(settings->algorithm);
    const char *wrong = NULL;
    bool failed = jwt == NULL;

    start_library();
    if (algorithm == NULL) {
        wrong = "the algorithm is one of HS256, RS256, ES256 and EdDSA";
    } else if (!failed) {
        jwt->algorithm = algorithm;
        jwt->issuer = copy_unless_empty(settings->issuer, &failed);
        jwt->audience = copy_unless_empty(settings->audience, &failed);
        wrong = add_keys(jwt, keys, size);
    }
    if (wrong == NULL && failed)
        wrong = "out of memory";
    if (wrong == NULL && jwt->key_count > 0) {
        *result = jwt;
        return 0;
    }
    if (wrong != NULL)
        snprintf(problem, problem_bytes, "%s", wrong);
    else
        snprintf(problem, problem_bytes, "it does not hold %s, which %s needs", algorithm->wanted,
                 algorithm->name);
    auth_jwt_free(jwt);
    return -1;
}

void auth_jwt_free(struct auth_jwt *jwt)
{
    if (jwt == NULL)
        return;
    for (size_t i = 0; i < jwt->key_count; i++)
        free_key(jwt->keys[i]);
    free(jwt->issuer);
    free(jwt->audience);
    free(jwt);
}

/* ---- The parts of a token ---- */

struct parts {
    const char *header;
    size_t header_size;
    size_t signed_size; /* of header, dot and payload */
    const char *signature;
    size_t signature_size;
};

static bool is_base64url(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = text[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_'))
            return false;
    }
    return size > 0 && size % 4 != 1;
}

static bool split(const char *token, size_t size, struct parts *parts)
{
    const char *first = memchr(token, '.', size);
    const char *second =
        first == NULL ? NULL : memchr(first + 1, '.', size - (size_t)(first + 1 - token));

    if (second == NULL)
        return false;
    *parts = (struct parts){.header = token,
                            .header_size = (size_t)(first - token),
                            .signed_size = (size_t)(second - token),
                            .signature = second + 1,
                            .signature_size = size - (size_t)(second + 1 - token)};
    return is_base64url(parts->header, parts->header_size) &&
           is_base64url(first + 1, (size_t)(second - first - 1)) &&
           is_base64url(parts->signature, parts->signature_size);
}

bool auth_jwt_has_form(const char *token, size_t size)
{
    struct parts parts;

    return split(token, size, &parts);
}

/* `bytes` has room for 3 bytes for every 4 characters begun. False when it is none after all. */
static bool decode(const char *text, size_t size, uint8_t *bytes, size_t *bytes_size)
{
    char padded[AUTH_JWT_BYTES_MAX + 4];
    size_t padding = (4 - size % 4) % 4;
    int decoded;

    for (size_t i = 0; i < size; i++)
        padded[i] = text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i];
    memset(padded + size, '=', padding);
    decoded = EVP_DecodeBlock(bytes, (const unsigned char *)padded, (int)(size + padding));
    if (decoded < (int)padding)
        return false;
    *bytes_size = (size_t)decoded - padding;
    return true;
}

/* ---- The header ---- */

static const char *choose_key(const struct auth_jwt *jwt, const json_t *kid,
                              const struct key **chosen)
{
    if (kid != NULL && !json_is_string(kid))
        return "the token's kid is no text";
    for (size_t i = 0; i < jwt->key_count; i++) {
        const char *name = r_jwk_get_property_str(jwt->keys[i]->jwk, "kid");
        /* A single key without a name is the key, whatever tokens call it. */
        bool only = jwt->key_count == 1 && (name == NULL || kid == NULL);
        if (only || (name != NULL && kid != NULL && strcmp(name, json_string_value(kid)) == 0)) {
            *chosen = jwt->keys[i];
            return NULL;
        }
    }
    return kid == NULL ? "the token does not say by its kid which key signed it"
                       : "the token's kid names no key that is known here";
}

static const char *check_header(const struct auth_jwt *jwt, const struct parts *parts,
                                const struct key **key)
{
    uint8_t bytes[AUTH_JWT_BYTES_MAX];
    size_t size;
    const char *wrong = NULL, *algorithm;
    json_t *header = NULL;

    if (decode(parts->header, parts->header_size, bytes, &size))
        header = json_loadb((const char *)bytes, size, JSON_REJECT_DUPLICATES, NULL);
    algorithm = json_string_value(json_object_get(header, "alg"));
    if (!json_is_object(header))
        wrong = "the token's header is no JSON object";
    else if (algorithm == NULL || strcmp(algorithm, jwt->algorithm->name) != 0)
        wrong = "the token's algorithm is not the one that is accepted here";
    else if (json_object_get(header, "crit") != NULL)
        wrong = "the token needs an extension that is not known here";
    else if (json_object_get(header, "zip") != NULL)
        wrong = "the token is compressed";
    else
        wrong = choose_key(jwt, json_object_get(header, "kid"), key);
    json_decref(header);
    return wrong;
}

/* ---- The signature ---- */

static bool hmac_is_right(const struct key *key, const struct parts *parts)
{
    uint8_t made[EVP_MAX_MD_SIZE], given[AUTH_JWT_BYTES_MAX];
    unsigned made_size = 0;
    size_t given_size;

    return decode(parts->signature, parts->signature_size, given, &given_size) &&
           given_size == HMAC_BYTES &&
           HMAC(EVP_sha256(), key->secret, (int)key->secret_size,
                (const unsigned char *)parts->header, parts->signed_size, made,
                &made_size) != NULL &&
           made_size == HMAC_BYTES && CRYPTO_memcmp(made, given, HMAC_BYTES) == 0;
}

/* Returns the claims of a token whose signature is right, or NULL. */
static json_t *verified_claims(const struct auth_jwt *jwt, const struct key *key,
                               const struct parts *parts, const char *token, size_t size)
{
    json_t *claims = NULL;
    jwt_t *parsed = NULL;

    if (jwt->algorithm->id == R_JWA_ALG_HS256 && !hmac_is_right(key, parts))
        return NULL;
    if (r_jwt_init(&parsed) != RHN_OK)
        return NULL;
    if (r_jwt_advanced_parsen(parsed, token, size, R_PARSE_NONE, R_FLAG_IGNORE_REMOTE) == RHN_OK &&
        r_jwt_get_type(parsed) == R_JWT_TYPE_SIGN &&
        r_jwt_get_sign_alg(parsed) == jwt->algorithm->id &&
        r_jwt_verify_signature(parsed, key->jwk, R_FLAG_IGNORE_REMOTE) == RHN_OK)
        claims = r_jwt_get_full_claims_json_t(parsed);
    r_jwt_free(parsed);
    return claims;
}

/* ---- The claims ---- */

/* Seconds, which may have a fraction; out of range counts as the nearest that is in it. */
static bool read_date(const json_t *claim, int64_t *seconds)
{
    double value = json_number_value(claim);

    if (!json_is_number(claim))
        return false;
    *seconds = value < 0 ? 0 : value > 1e15 ? (int64_t)1e15 : (int64_t)value;
    return true;
}

static const char *check_dates(const json_t *claims, int64_t now_s, int64_t *expires_s)
{
    const json_t *not_before = json_object_get(claims, "nbf");
    int64_t seconds;

    if (!read_date(json_object_get(claims, "exp"), expires_s))
        return "the token has no exp, a time at which it ends";
    *expires_s += AUTH_JWT_LEEWAY_S;
    if (now_s >= *expires_s)
        return "the token has expired";
    if (not_before == NULL)
        return NULL;
    if (!read_date(not_before, &seconds))
        return "the token's nbf is no time";
    return now_s + AUTH_JWT_LEEWAY_S < seconds ? "the token is not valid yet" : NULL;
}

static bool is_text(const json_t *claim, const char *text)
{
    return json_is_string(claim) && text != NULL && strcmp(json_string_value(claim), text) == 0;
}

static const char *check_audience(const struct auth_jwt *jwt, const json_t *claim)
{
    const char *wrong = "the token is for another audience";

    if (claim == NULL)
        return jwt->audience == NULL ? NULL : "the token has no aud, an audience it is for";
    if (is_text(claim, jwt->audience))
        return NULL;
    for (size_t i = 0; i < json_array_size(claim); i++)
        if (is_text(json_array_get(claim, i), jwt->audience))
            return NULL;
    return wrong;
}

static const char *check_origin(const struct auth_jwt *jwt, const json_t *claims)
{
    const json_t *issuer = json_object_get(claims, "iss");

    if (jwt->issuer != NULL && !is_text(issuer, jwt->issuer))
        return "the token is not from the issuer that is accepted here";
    return check_audience(jwt, json_object_get(claims, "aud"));
}

static const char *read_identity(const json_t *claims, struct auth_jwt_claims *read)
{
    const json_t *user = json_object_get(claims, "sub");
    const json_t *namespace_claim = json_object_get(claims, "namespace");
    const char *namespace_name =
        namespace_claim == NULL ? "default" : json_string_value(namespace_claim);
    size_t size = json_string_length(user);

    if (size == 0)
        return "the token has no sub, a user that it is for";
    if (size > AUTH_USER_BYTES_MAX || utf8_printable_length(json_string_value(user), size) != size)
        return "the token's sub is no user id: 1 to 128 bytes without control characters";
    if (namespace_name == NULL || !chat_namespace_is_valid(namespace_name))
        return "the token's namespace is none: 1 to 64 of A-Z, a-z, 0-9, _ and -";
    snprintf(read->namespace_name, sizeof read->namespace_name, "%s", namespace_name);
    memcpy(read->user_id, json_string_value(user), size + 1);
    return NULL;
}

const char *auth_jwt_check(const struct auth_jwt *jwt, const char *token, size_t size,
                           int64_t now_s, struct auth_jwt_claims *read)
{
    const struct key *key = NULL;
    struct parts parts;
    const char *wrong;
    json_t *claims;

    if (size > AUTH_JWT_BYTES_MAX)
        return "the token is larger than 8 KiB";
    if (!split(token, size, &parts))
        return "the token is no JSON Web Token of three parts";
    wrong = check_header(jwt, &parts, &key);
    if (wrong != NULL)
        return wrong;
    claims = verified_claims(jwt, key, &parts, token, size);
    if (claims == NULL)
        return "the token's signature is wrong";
    wrong = check_dates(claims, now_s, &read->expires_s);
    if (wrong == NULL)
        wrong = check_origin(jwt, claims);
    if (wrong == NULL)
        wrong = read_identity(claims, read);
    json_decref(claims);
    return wrong;
}
