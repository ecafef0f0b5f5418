/*
 * Who may do what: from the credentials of a request and the namespace that it asks for to an
 * identity, or a refusal that says why.
 *
 * Three ways to be known, the second and third also together: nobody needs to be (mode none: for
 * loopback), a token of a file, a JSON Web Token. An identity is bound to one namespace and acts
 * for one user, or for any; the service itself checks what that user may do (libchat's
 * acting_user), here it is only said who it is.
 *
 * Loop thread only. What is given is borrowed; identities and refusals are plain values.
 */
#ifndef GATEWAY_AUTH_H
#define GATEWAY_AUTH_H

#include "clients/gateway/auth_jwt.h"
#include "clients/gateway/auth_tokens.h"
#include "clients/gateway/identity.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AUTH_DETAIL_BYTES 256

struct auth;

struct auth_settings {
    bool none;                /* then nothing else is set */
    const char *tokens_file;  /* or NULL */
    const char *jwt_key_file; /* or NULL */
    struct auth_jwt_settings jwt;
};

/* What a request brings; NULL where it is not there. */
struct auth_request {
    const char *authorization; /* the header's value */
    const char *access_token;  /* of the query */
    bool access_token_counts;  /* WebSocket and server-sent events, where headers cannot be set */
    const char *wanted_namespace; /* valid, or NULL or "": it names none */
};

struct auth_refusal {
    int status;         /* 400, 401 or 403: of HTTP, and the Error's code */
    const char *reason; /* "Unauthorized": the last word of the Error's id */
    char detail[AUTH_DETAIL_BYTES];
    const char *challenge; /* value of WWW-Authenticate, or NULL */
};

/*
 * Reads the files. Returns 0, or -1 with `problem` saying which file is wrong, where, and what
 * would be right; it names no secret. Copies the settings.
 */
int auth_create(struct auth **auth, const struct auth_settings *settings, char *problem,
                size_t problem_bytes) __attribute__((warn_unused_result));
void auth_free(struct auth *auth); /* NULL does nothing */

/* Reads the files again, all or none of them: when one is wrong, -1 and `problem`, and what was
 * read before stays in force. */
int auth_reload(struct auth *auth, char *problem, size_t problem_bytes)
    __attribute__((warn_unused_result));

/* "none", "tokens", "jwt" or "tokens,jwt", and how many tokens the file holds; for the log. */
const char *auth_describe(const struct auth *auth, size_t *tokens);

/* Returns 0 and `identity`, or -1 and `refusal`. `now_s` is the time since 1970. */
int auth_check(const struct auth *auth, const struct auth_request *request, int64_t now_s,
               struct identity *identity, struct auth_refusal *refusal)
    __attribute__((warn_unused_result));

/* For connections that stay: whether the identity would still be given. It ends with its token, and
 * when a reload took that away, gave it to another user, or changed the keys. */
bool auth_is_still_valid(const struct auth *auth, const struct identity *identity, int64_t now_s);

#endif
