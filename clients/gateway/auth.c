/*
 *     credentials ─▶ token ─┬─▶ in the file ─▶ namespace and user of its line ─┐
 *                           └─▶ three parts ─▶ claims of the JWT ──────────────┴─▶ the namespace
 * that was asked for?
 *
 * Whatever is wrong ends as one refusal: 400 for a request that contradicts itself, 401 for
 * credentials, with the challenge of RFC 6750, and 403 for a namespace that is not the token's.
 */
#include "clients/gateway/auth.h"

#include "clients/libchat/chat.h"
#include <ctype.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DEFAULT_NAMESPACE "default"
#define CHALLENGE "Bearer realm=\"chat\""
#define CHALLENGE_INVALID CHALLENGE ", error=\"invalid_token\""
#define SCHEME "Bearer"
#define CHECKED_MAX 2048

/* A JWT that was found right: a signature takes up to 0.2 ms to check, and a client shows the same
 * token with each request. */
struct checked_jwt {
    uint8_t id[IDENTITY_ID_BYTES]; /* of the token's text; zeroes: none */
    struct auth_jwt_claims claims;
};

struct auth {
    bool none;
    char *tokens_file;
    char *jwt_key_file;
    char *jwt_algorithm;
    char *jwt_issuer;
    char *jwt_audience;
    struct auth_tokens *tokens; /* NULL without a file */
    struct auth_jwt *jwt;       /* NULL without keys */
    char *jwt_keys;             /* what `jwt` was made from, to see whether it changes */
    size_t jwt_keys_size;
    uint64_t generation;         /* counts changes of the keys */
    struct checked_jwt *checked; /* CHECKED_MAX, each in the place that its id says; or NULL */
};

/* ---- Files ---- */

/* Returns the file's content with a NUL behind it, or NULL and `problem`. */
static char *read_file(const char *path, size_t bytes_max, size_t *size, char *problem,
                       size_t problem_bytes)
{
    FILE *file = fopen(path, "rbe");
    char *bytes = file == NULL ? NULL : malloc(bytes_max + 1);

    if (bytes == NULL) {
        snprintf(problem, problem_bytes, "%s: %s", path, strerror(errno));
        if (file != NULL)
            fclose(file);
        return NULL;
    }
    errno = 0;
    *size = fread(bytes, 1, bytes_max + 1, file);
    if (ferror(file))
        snprintf(problem, problem_bytes, "%s: %s", path, strerror(errno));
    else if (*size > bytes_max)
        snprintf(problem, problem_bytes, "%s: larger than %zu KiB", path, bytes_max / 1024);
    if (ferror(file) || *size > bytes_max) {
        free(bytes);
        bytes = NULL;
    } else {
        bytes[*size] = '\0';
    }
    fclose(file);
    return bytes;
}

static int load_tokens(const struct auth *auth, struct auth_tokens **tokens, char *problem,
                       size_t problem_bytes)
{
    char wrong[AUTH_DETAIL_BYTES];
    size_t size;
    char *text;
    int status;

    *tokens = NULL;
    if (auth->tokens_file == NULL)
        return 0;
    text = read_file(auth->tokens_file, AUTH_TOKENS_FILE_BYTES_MAX, &size, problem, problem_bytes);
    if (text == NULL)
        return -1;
    status = auth_tokens_parse(tokens, text, size, wrong, sizeof wrong);
    if (status != 0)
        snprintf(problem, problem_bytes, "%s: %s", auth->tokens_file, wrong);
    free(text);
    return status;
}

/* On success `keys` is the file's content, for the caller to free. */
static int load_jwt(const struct auth *auth, struct auth_jwt **jwt, char **keys, size_t *size,
                    char *problem, size_t problem_bytes)
{
    const struct auth_jwt_settings settings = {.algorithm = auth->jwt_algorithm,
                                               .issuer = auth->jwt_issuer,
                                               .audience = auth->jwt_audience};
    char wrong[AUTH_DETAIL_BYTES];

    *jwt = NULL;
    *keys = NULL;
    *size = 0;
    if (auth->jwt_key_file == NULL)
        return 0;
    *keys = read_file(auth->jwt_key_file, AUTH_JWT_KEY_BYTES_MAX, size, problem, problem_bytes);
    if (*keys == NULL)
        return -1;
    if (auth_jwt_create(jwt, &settings, *keys, *size, wrong, sizeof wrong) == 0)
        return 0;
    snprintf(problem, problem_bytes, "%s: %s", auth->jwt_key_file, wrong);
    explicit_bzero(*keys, *size);
    free(*keys);
    *keys = NULL;
    return -1;
}

static void forget_keys(struct auth *auth)
{
    if (auth->jwt_keys != NULL)
        explicit_bzero(auth->jwt_keys, auth->jwt_keys_size);
    free(auth->jwt_keys);
    free(auth->checked);
    auth_jwt_free(auth->jwt);
}

static void take_keys(struct auth *auth, struct auth_jwt *jwt, char *keys, size_t size)
{
    if (size != auth->jwt_keys_size || memcmp(keys, auth->jwt_keys, size) != 0)
        auth->generation++;
    forget_keys(auth);
    auth->checked = calloc(CHECKED_MAX, sizeof *auth->checked);
    auth->jwt = jwt;
    auth->jwt_keys = keys;
    auth->jwt_keys_size = size;
}

int auth_reload(struct auth *auth, char *problem, size_t problem_bytes)
{
    struct auth_tokens *tokens;
    struct auth_jwt *jwt;
    char *keys;
    size_t size;

    if (load_tokens(auth, &tokens, problem, problem_bytes) != 0)
        return -1;
    if (load_jwt(auth, &jwt, &keys, &size, problem, problem_bytes) != 0) {
        auth_tokens_free(tokens);
        return -1;
    }
    auth_tokens_free(auth->tokens);
    auth->tokens = tokens;
    if (jwt != NULL)
        take_keys(auth, jwt, keys, size);
    return 0;
}

/* ---- Beginning and end ---- */

static char *copy(const char *text, bool *failed)
{
    char *copied = text == NULL || text[0] == '\0' ? NULL : strdup(text);

    *failed |= copied == NULL && text != NULL && text[0] != '\0';
    return copied;
}

/* What does not fit together. Returns NULL or the sentence. */
static const char *check_settings(const struct auth_settings *s)
{
    bool keys = s->jwt_key_file != NULL && s->jwt_key_file[0] != '\0';
    bool tokens = s->tokens_file != NULL && s->tokens_file[0] != '\0';
    bool algorithm = s->jwt.algorithm != NULL && s->jwt.algorithm[0] != '\0';

    if (s->none && (keys || tokens))
        return "--auth none does not go together with --auth-tokens or --auth-jwt-key";
    if (!s->none && !keys && !tokens)
        return "say who may do what: --auth-tokens FILE, --auth-jwt-key FILE, or --auth none";
    if (keys && !algorithm)
        return "--auth-jwt-key needs --auth-jwt-alg: HS256, RS256, ES256 or EdDSA";
    if (!keys && (algorithm || (s->jwt.issuer != NULL && s->jwt.issuer[0] != '\0') ||
                  (s->jwt.audience != NULL && s->jwt.audience[0] != '\0')))
        return "--auth-jwt-alg, --auth-jwt-issuer and --auth-jwt-audience need --auth-jwt-key";
    if (keys && !auth_jwt_is_algorithm(s->jwt.algorithm))
        return "--auth-jwt-alg is one of HS256, RS256, ES256 and EdDSA";
    return NULL;
}

int auth_create(struct auth **result, const struct auth_settings *settings, char *problem,
                size_t problem_bytes)
{
    const char *wrong = check_settings(settings);
    struct auth *auth = calloc(1, sizeof *auth);
    bool failed = auth == NULL;

    if (wrong == NULL && !failed) {
        auth->none = settings->none;
        auth->tokens_file = copy(settings->tokens_file, &failed);
        auth->jwt_key_file = copy(settings->jwt_key_file, &failed);
        auth->jwt_algorithm = copy(settings->jwt.algorithm, &failed);
        auth->jwt_issuer = copy(settings->jwt.issuer, &failed);
        auth->jwt_audience = copy(settings->jwt.audience, &failed);
    }
    if (wrong == NULL && failed)
        wrong = "out of memory";
    if (wrong != NULL)
        snprintf(problem, problem_bytes, "%s", wrong);
    if (wrong == NULL && auth_reload(auth, problem, problem_bytes) == 0) {
        *result = auth;
        return 0;
    }
    auth_free(auth);
    return -1;
}

void auth_free(struct auth *auth)
{
    if (auth == NULL)
        return;
    forget_keys(auth);
    auth_tokens_free(auth->tokens);
    free(auth->tokens_file);
    free(auth->jwt_key_file);
    free(auth->jwt_algorithm);
    free(auth->jwt_issuer);
    free(auth->jwt_audience);
    free(auth);
}

const char *auth_describe(const struct auth *auth, size_t *tokens)
{
    *tokens = auth->tokens == NULL ? 0 : auth_tokens_count(auth->tokens);
    if (auth->none)
        return "none";
    if (auth->jwt == NULL)
        return "tokens";
    return auth->tokens == NULL ? "jwt" : "tokens,jwt";
}

/* ---- Refusals ---- */

__attribute__((format(printf, 5, 6))) static int refuse(struct auth_refusal *refusal, int status,
                                                        const char *reason, const char *challenge,
                                                        const char *format, ...)
{
    va_list arguments;

    *refusal = (struct auth_refusal){.status = status, .reason = reason, .challenge = challenge};
    va_start(arguments, format);
    vsnprintf(refusal->detail, sizeof refusal->detail, format, arguments);
    va_end(arguments);
    return -1;
}

static int refuse_token(struct auth_refusal *refusal, const char *detail)
{
    return refuse(refusal, 401, "Unauthorized", CHALLENGE_INVALID, "%s", detail);
}

static int refuse_without_token(struct auth_refusal *refusal, const char *detail)
{
    return refuse(refusal, 401, "Unauthorized", CHALLENGE, "%s", detail);
}

/* ---- Credentials ---- */

/* RFC 6750, section 2.1: "Bearer" in any case, blanks, the token. NULL when it is none. */
static const char *bearer_token(const char *authorization)
{
    const char *token = authorization + strlen(SCHEME);

    if (strncasecmp(authorization, SCHEME, strlen(SCHEME)) != 0 || *token != ' ')
        return NULL;
    return token + strspn(token, " ");
}

static bool is_token(const char *token)
{
    for (const char *at = token; *at != '\0'; at++)
        if (!isgraph((unsigned char)*at))
            return false;
    return token[0] != '\0';
}

/* Returns 0 and the token, or -1 and `refusal`. */
static int find_token(const struct auth_request *request, const char **token,
                      struct auth_refusal *refusal)
{
    bool in_query = request->access_token != NULL;

    if (in_query && !request->access_token_counts)
        return refuse_without_token(refusal,
                                    "access_token counts for Connect and Events only; here the "
                                    "token goes into the header: authorization: Bearer TOKEN");
    if (in_query && request->authorization != NULL)
        return refuse(refusal, 400, "Malformed", NULL,
                      "the token goes into the authorization header or into access_token, "
                      "not into both");
    if (!in_query && request->authorization == NULL)
        return refuse_without_token(refusal, "a token is needed: authorization: Bearer TOKEN");
    *token = in_query ? request->access_token : bearer_token(request->authorization);
    if (*token == NULL)
        return refuse_without_token(refusal, "the authorization header has the form: Bearer TOKEN");
    if (strlen(*token) > AUTH_JWT_BYTES_MAX)
        return refuse_token(refusal, "the token is larger than 8 KiB");
    return is_token(*token) ? 0
                            : refuse_token(refusal, "a token has no blanks, no control characters "
                                                    "and nothing but ASCII");
}

/* ---- Identities ---- */

/* `bound` is the token's, or "" for any. */
static int settle_namespace(const char *asked, const char *bound, struct identity *identity,
                            struct auth_refusal *refusal)
{
    const char *chosen = bound[0] != '\0' ? bound : DEFAULT_NAMESPACE;

    if (asked != NULL && asked[0] != '\0')
        chosen = asked;
    if (bound[0] != '\0' && strcmp(chosen, bound) != 0)
        return refuse(refusal, 403, "WrongNamespace", NULL,
                      "the token is for namespace %s, not for %s", bound, chosen);
    memcpy(identity->namespace_name, chosen, strlen(chosen) + 1);
    return 0;
}

static int identify_by_file(const struct auth_token *token, const char *asked,
                            struct identity *identity, struct auth_refusal *refusal)
{
    identity->from_file = true;
    identity->anywhere = token->namespace_name[0] == '\0';
    memcpy(identity->user, token->user_id, sizeof token->user_id);
    memcpy(identity->id, token->id, sizeof identity->id);
    return settle_namespace(asked, token->namespace_name, identity, refusal);
}

/* As auth_jwt_check; what was right before, with the same keys, is right until it expires. */
static const char *check_jwt(const struct auth *auth, const char *token, int64_t now_s,
                             struct auth_jwt_claims *claims)
{
    uint8_t id[IDENTITY_ID_BYTES];
    struct checked_jwt *place;
    const char *wrong;

    if (auth->checked == NULL)
        return auth_jwt_check(auth->jwt, token, strlen(token), now_s, claims);
    auth_make_id(token, strlen(token), id);
    place = &auth->checked[(id[0] | (unsigned)id[1] << 8) % CHECKED_MAX];
    if (CRYPTO_memcmp(place->id, id, sizeof id) == 0 && now_s < place->claims.expires_s) {
        *claims = place->claims;
        return NULL;
    }
    wrong = auth_jwt_check(auth->jwt, token, strlen(token), now_s, claims);
    if (wrong == NULL) {
        memcpy(place->id, id, sizeof id);
        place->claims = *claims;
    }
    return wrong;
}

/* The id is the user's, not the token's: a user who gets a new token each minute stays the same. */
static int identify_by_jwt(const struct auth *auth, const char *token, int64_t now_s,
                           const char *asked, struct identity *identity,
                           struct auth_refusal *refusal)
{
    char name[AUTH_NAMESPACE_BYTES_MAX + AUTH_USER_BYTES_MAX + 8];
    struct auth_jwt_claims claims;
    const char *wrong = check_jwt(auth, token, now_s, &claims);
    int size;

    if (wrong != NULL)
        return refuse_token(refusal, wrong);
    size = snprintf(name, sizeof name, "jwt %s %s", claims.namespace_name, claims.user_id);
    auth_make_id(name, (size_t)size, identity->id);
    identity->expires_s = claims.expires_s;
    identity->generation = auth->generation;
    memcpy(identity->user, claims.user_id, sizeof claims.user_id);
    return settle_namespace(asked, claims.namespace_name, identity, refusal);
}

int auth_check(const struct auth *auth, const struct auth_request *request, int64_t now_s,
               struct identity *identity, struct auth_refusal *refusal)
{
    const char *asked = request->wanted_namespace, *token = NULL;
    const struct auth_token *found = NULL;

    *identity = (struct identity){.expires_s = INT64_MAX};
    if (auth->none)
        return settle_namespace(asked, "", identity, refusal);
    if (find_token(request, &token, refusal) != 0)
        return -1;
    identity->known = true;
    if (auth->tokens != NULL)
        found = auth_tokens_find(auth->tokens, token, strlen(token));
    if (found != NULL)
        return identify_by_file(found, asked, identity, refusal);
    if (auth->jwt == NULL || (auth->tokens != NULL && !auth_jwt_has_form(token, strlen(token))))
        return refuse_token(refusal, "the token is not known");
    return identify_by_jwt(auth, token, now_s, asked, identity, refusal);
}

bool auth_is_still_valid(const struct auth *auth, const struct identity *identity, int64_t now_s)
{
    const struct auth_token *token;

    if (now_s >= identity->expires_s)
        return false;
    if (!identity->known)
        return auth->none;
    if (!identity->from_file)
        return auth->jwt != NULL && identity->generation == auth->generation;
    token = auth->tokens == NULL ? NULL : auth_tokens_find_id(auth->tokens, identity->id);
    return token != NULL && strcmp(token->user_id, identity->user) == 0 &&
           (token->namespace_name[0] == '\0' ||
            strcmp(token->namespace_name, identity->namespace_name) == 0);
}
