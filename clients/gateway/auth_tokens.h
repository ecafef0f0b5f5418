/*
 * The tokens that callers may have, from a file: who holds one of them is whom its line says. The
 * file knows only the SHA-256 of each token, so that reading it lets nobody in. README.md has the
 * format and an example.
 *
 * Loop thread only. A table never changes: whoever reloads makes a new one and frees the old one.
 */
#ifndef GATEWAY_AUTH_TOKENS_H
#define GATEWAY_AUTH_TOKENS_H

#include "clients/gateway/identity.h"
#include <stddef.h>
#include <stdint.h>

#define AUTH_NAMESPACE_BYTES_MAX (IDENTITY_NAMESPACE_BYTES - 1)
#define AUTH_USER_BYTES_MAX (IDENTITY_USER_BYTES - 1)
#define AUTH_TOKENS_MAX 100000
#define AUTH_TOKENS_FILE_BYTES_MAX (32 * 1024 * 1024)

struct auth_tokens;

/* One line of the file. */
struct auth_token {
    uint8_t id[IDENTITY_ID_BYTES]; /* tells this token from others, in this process only */
    char namespace_name[AUTH_NAMESPACE_BYTES_MAX + 1]; /* "": any */
    char user_id[AUTH_USER_BYTES_MAX + 1];             /* "": any */
    unsigned line;
};

/*
 * Reads a whole file's text; borrows it. Returns 0, or -1 with `problem` saying which line is wrong
 * and what would be right, without anything that the line holds but its length and its characters'
 * place. A text without any token is a problem, too.
 */
int auth_tokens_parse(struct auth_tokens **tokens, const char *text, size_t size, char *problem,
                      size_t problem_bytes) __attribute__((warn_unused_result));

/* NULL when it is none of them. The time that it takes tells nothing about the tokens that there
 * are. Valid until the table is freed. */
const struct auth_token *auth_tokens_find(const struct auth_tokens *tokens, const char *token,
                                          size_t size);
/* The same by the id of an earlier find, in this table or another one of this process. */
const struct auth_token *auth_tokens_find_id(const struct auth_tokens *tokens,
                                             const uint8_t id[IDENTITY_ID_BYTES]);

size_t auth_tokens_count(const struct auth_tokens *tokens);
void auth_tokens_free(struct auth_tokens *tokens); /* NULL does nothing */

/* The id of any secret: SHA-256 over a key of this process and the secret's SHA-256. */
void auth_make_id(const void *secret, size_t size, uint8_t id[IDENTITY_ID_BYTES]);

#endif
