/*
 * JSON Web Tokens (RFC 7519) that somebody else has signed: what is checked, in the order in which
 * it is checked (RFC 8725 says why):
 *
 *   - three parts of base64url, 8 KiB at most;
 *   - the header's `alg` is the one that the operator pinned, whatever the token would like; no
 *     `crit`, no `zip`; keys that the header brings or points to are not looked at;
 *   - the header's `kid`, where the keys have names, names one of them;
 *   - the signature;
 *   - `exp`, which must be there, and `nbf`, if there, with 30 seconds of leeway;
 *   - `iss` and `aud`, as the operator said; a token that is meant for an audience is refused when
 *     the operator named none;
 *   - `sub`, a user id, which must be there; `namespace`, or "default".
 *
 * Loop thread only. An object never changes: whoever reloads makes a new one.
 */
#ifndef GATEWAY_AUTH_JWT_H
#define GATEWAY_AUTH_JWT_H

#include "clients/gateway/auth_tokens.h"
#include <stdbool.h>

#define AUTH_JWT_BYTES_MAX 8192
#define AUTH_JWT_LEEWAY_S 30
#define AUTH_JWT_KEY_BYTES_MAX (256 * 1024)
#define AUTH_JWT_KEYS_MAX 32

struct auth_jwt;

struct auth_jwt_settings {
    const char *algorithm; /* "HS256", "RS256", "ES256" or "EdDSA" */
    const char *issuer;    /* NULL or empty: not checked */
    const char *audience;  /* NULL or empty: we are nobody's audience */
};

struct auth_jwt_claims {
    char namespace_name[AUTH_NAMESPACE_BYTES_MAX + 1];
    char user_id[AUTH_USER_BYTES_MAX + 1];
    int64_t expires_s; /* since 1970, leeway included */
};

bool auth_jwt_is_algorithm(const char *name);

/*
 * Reads keys: PEM of a public key or a certificate, a JWK, or a JWKS, of which the keys that fit
 * the algorithm are taken; for HS256 a JWK, a JWKS, or the secret itself, without the newline at
 * its end. Copies all it is given. Returns 0, or -1 with `problem` saying what is wrong.
 */
int auth_jwt_create(struct auth_jwt **jwt, const struct auth_jwt_settings *settings,
                    const char *keys, size_t size, char *problem, size_t problem_bytes)
    __attribute__((warn_unused_result));
void auth_jwt_free(struct auth_jwt *jwt); /* NULL does nothing */

/* Whether it looks like one: two dots. Where tokens of a file are in use too, it decides. */
bool auth_jwt_has_form(const char *token, size_t size);

/* Returns NULL and the claims, or what is wrong with the token: a text for its bearer, valid for
 * ever, that holds nothing of the token. `now_s` is the time since 1970. */
const char *auth_jwt_check(const struct auth_jwt *jwt, const char *token, size_t size,
                           int64_t now_s, struct auth_jwt_claims *claims);

#endif
