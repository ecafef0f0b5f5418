/*
 * A token is looked up by a digest of its digest that is keyed with random bytes of this process.
 * Nobody outside can tell which places of the table a guess leads to, so that the time of a search
 * says nothing; what is found there is compared in constant time all the same.
 *
 * The table is an array in the order of the file and an index over it: open addressing, at most
 * half full, the place taken from the first bytes of the id.
 */
#include "clients/gateway/auth_tokens.h"

#include "clients/libchat/chat.h"
#include "proto/utf8.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIGEST_BYTES 32
#define MASK_MIN 15

struct auth_tokens {
    struct auth_token *tokens;
    size_t count;
    uint32_t *index; /* place in `tokens` plus 1; 0: free */
    size_t mask;     /* slots of the index, less 1 */
};

/* ---- Ids ---- */

static void sha256(const void *bytes, size_t size, uint8_t digest[DIGEST_BYTES])
{
    if (EVP_Digest(bytes, size, digest, NULL, EVP_sha256(), NULL) != 1)
        abort(); /* only without memory: nothing can be checked then */
}

static void make_id_of_digest(const uint8_t digest[DIGEST_BYTES], uint8_t id[IDENTITY_ID_BYTES])
{
    static uint8_t key[DIGEST_BYTES];
    static bool have_key;
    uint8_t keyed[2 * DIGEST_BYTES];

    if (!have_key && RAND_bytes(key, sizeof key) != 1)
        abort(); /* the kernel has no random numbers to give */
    have_key = true;
    memcpy(keyed, key, sizeof key);
    memcpy(keyed + sizeof key, digest, DIGEST_BYTES);
    sha256(keyed, sizeof keyed, id);
}

void auth_make_id(const void *secret, size_t size, uint8_t id[IDENTITY_ID_BYTES])
{
    uint8_t digest[DIGEST_BYTES];

    sha256(secret, size, digest);
    make_id_of_digest(digest, id);
}

/* ---- The table ---- */

static size_t first_slot(const struct auth_tokens *tokens, const uint8_t id[IDENTITY_ID_BYTES])
{
    uint64_t place;

    memcpy(&place, id, sizeof place);
    return (size_t)place & tokens->mask;
}

const struct auth_token *auth_tokens_find_id(const struct auth_tokens *tokens,
                                             const uint8_t id[IDENTITY_ID_BYTES])
{
    for (size_t slot = first_slot(tokens, id); tokens->index[slot] != 0;
         slot = (slot + 1) & tokens->mask) {
        const struct auth_token *token = &tokens->tokens[tokens->index[slot] - 1];
        if (CRYPTO_memcmp(token->id, id, IDENTITY_ID_BYTES) == 0)
            return token;
    }
    return NULL;
}

const struct auth_token *auth_tokens_find(const struct auth_tokens *tokens, const char *token,
                                          size_t size)
{
    uint8_t id[IDENTITY_ID_BYTES];

    auth_make_id(token, size, id);
    return auth_tokens_find_id(tokens, id);
}

size_t auth_tokens_count(const struct auth_tokens *tokens)
{
    return tokens->count;
}

static void add_to_index(struct auth_tokens *tokens, size_t which)
{
    size_t slot = first_slot(tokens, tokens->tokens[which].id);

    while (tokens->index[slot] != 0)
        slot = (slot + 1) & tokens->mask;
    tokens->index[slot] = (uint32_t)which + 1;
}

/* `lines` bounds how many tokens there will be. */
static struct auth_tokens *make_table(size_t lines)
{
    struct auth_tokens *tokens = calloc(1, sizeof *tokens);

    if (tokens == NULL)
        return NULL;
    tokens->mask = MASK_MIN;
    while (tokens->mask < 2 * lines)
        tokens->mask = 2 * tokens->mask + 1;
    tokens->tokens = calloc(lines, sizeof *tokens->tokens);
    tokens->index = calloc(tokens->mask + 1, sizeof *tokens->index);
    if (tokens->tokens != NULL && tokens->index != NULL)
        return tokens;
    auth_tokens_free(tokens);
    return NULL;
}

void auth_tokens_free(struct auth_tokens *tokens)
{
    if (tokens == NULL)
        return;
    free(tokens->tokens);
    free(tokens->index);
    free(tokens);
}

/* ---- A line ---- */

struct span {
    const char *data;
    size_t size;
};

static bool is_blank(char character)
{
    return character == ' ' || character == '\t';
}

static void trim(struct span *line)
{
    while (line->size > 0 && is_blank(line->data[0])) {
        line->data++;
        line->size--;
    }
    while (line->size > 0 &&
           (is_blank(line->data[line->size - 1]) || line->data[line->size - 1] == '\r'))
        line->size--;
}

/* What is before the next blank; the line goes on after the blanks. */
static struct span take_word(struct span *line)
{
    struct span word = {line->data, 0};

    while (word.size < line->size && !is_blank(word.data[word.size]))
        word.size++;
    line->data += word.size;
    line->size -= word.size;
    trim(line);
    return word;
}

static bool is_any(const struct span *word)
{
    return word->size == 1 && word->data[0] == '*';
}

static int digit(char character)
{
    if (character >= '0' && character <= '9')
        return character - '0';
    if (character >= 'a' && character <= 'f')
        return character - 'a' + 10;
    if (character >= 'A' && character <= 'F')
        return character - 'A' + 10;
    return -1;
}

static const char *read_digest(const struct span *word, uint8_t digest[DIGEST_BYTES])
{
    if (word->size != 2 * DIGEST_BYTES)
        return "a line begins with the SHA-256 of a token, 64 hexadecimal digits";
    for (size_t i = 0; i < DIGEST_BYTES; i++) {
        int high = digit(word->data[2 * i]);
        int low = digit(word->data[2 * i + 1]);
        if (high < 0 || low < 0)
            return "the SHA-256 of a token has 64 hexadecimal digits, and nothing else";
        digest[i] = (uint8_t)(16 * high + low);
    }
    return NULL;
}

static const char *read_namespace(const struct span *word, char *namespace_name)
{
    if (is_any(word))
        return NULL;
    if (word->size == 0)
        return "after the SHA-256 comes a namespace, or * for any";
    if (word->size > AUTH_NAMESPACE_BYTES_MAX)
        return "a namespace has at most 64 characters";
    memcpy(namespace_name, word->data, word->size);
    if (memchr(namespace_name, '\0', word->size) == NULL && chat_namespace_is_valid(namespace_name))
        return NULL;
    return "a namespace has letters A-Z and a-z, digits, _ and -, or is * for any";
}

static const char *read_user(const struct span *rest, char *user_id)
{
    if (is_any(rest))
        return NULL;
    if (rest->size == 0)
        return "after the namespace comes a user id, or * for any";
    if (rest->size > AUTH_USER_BYTES_MAX)
        return "a user id has at most 128 bytes";
    if (utf8_printable_length(rest->data, rest->size) != rest->size)
        return "a user id is UTF-8 without control characters";
    memcpy(user_id, rest->data, rest->size);
    return NULL;
}

/* Returns NULL or what is wrong. */
static const char *read_line(struct span line, struct auth_token *token)
{
    uint8_t digest[DIGEST_BYTES];
    struct span word = take_word(&line);
    const char *problem = read_digest(&word, digest);

    if (problem != NULL)
        return problem;
    make_id_of_digest(digest, token->id);
    word = take_word(&line);
    problem = read_namespace(&word, token->namespace_name);
    return problem != NULL ? problem : read_user(&line, token->user_id);
}

/* ---- The file ---- */

static size_t count_lines(const char *text, size_t size)
{
    size_t lines = 1;

    for (const char *end = text; (end = memchr(end, '\n', size - (size_t)(end - text))) != NULL;
         end++)
        lines++;
    return lines;
}

static int add_line(struct auth_tokens *tokens, struct span line, unsigned number, char *problem,
                    size_t problem_bytes)
{
    struct auth_token *token = &tokens->tokens[tokens->count];
    const struct auth_token *earlier;
    const char *wrong;

    trim(&line);
    if (line.size == 0 || line.data[0] == '#')
        return 0;
    wrong = read_line(line, token);
    if (wrong != NULL) {
        snprintf(problem, problem_bytes, "line %u: %s", number, wrong);
        return -1;
    }
    earlier = auth_tokens_find_id(tokens, token->id);
    if (earlier != NULL) {
        snprintf(problem, problem_bytes, "line %u: the token of line %u again", number,
                 earlier->line);
        return -1;
    }
    token->line = number;
    add_to_index(tokens, tokens->count++);
    return 0;
}

static int add_lines(struct auth_tokens *tokens, const char *text, size_t size, char *problem,
                     size_t problem_bytes)
{
    const char *end = text + size;
    unsigned number = 1;

    for (const char *at = text; at < end; number++) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        struct span line = {at, (size_t)((newline == NULL ? end : newline) - at)};
        if (add_line(tokens, line, number, problem, problem_bytes) != 0)
            return -1;
        at = newline == NULL ? end : newline + 1;
    }
    if (tokens->count > 0)
        return 0;
    snprintf(problem, problem_bytes, "it holds no token, so that nobody could do anything");
    return -1;
}

int auth_tokens_parse(struct auth_tokens **result, const char *text, size_t size, char *problem,
                      size_t problem_bytes)
{
    size_t lines = count_lines(text, size);
    struct auth_tokens *tokens;

    if (lines > AUTH_TOKENS_MAX) {
        snprintf(problem, problem_bytes, "it has more than %d lines", AUTH_TOKENS_MAX);
        return -1;
    }
    tokens = make_table(lines);
    if (tokens == NULL) {
        snprintf(problem, problem_bytes, "out of memory");
        return -1;
    }
    if (add_lines(tokens, text, size, problem, problem_bytes) != 0) {
        auth_tokens_free(tokens);
        return -1;
    }
    *result = tokens;
    return 0;
}
