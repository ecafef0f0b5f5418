/*
 * Who comes in: a file of tokens, and a JSON Web Token, whole or as its header and claims, which
 * are then rightly put together and wrongly signed. None of it may ever let anybody in whom no line
 * names.
 */
#include "clients/gateway/auth_jwt.h"
#include "clients/gateway/auth_tokens.h"
#include "tests/fuzz/fuzz.h"
#include <openssl/evp.h>

#define SECRET "0123456789abcdef0123456789abcdef"

static struct auth_jwt *jwt(void)
{
    static struct auth_jwt *made;
    const struct auth_jwt_settings settings = {"HS256", NULL, NULL};
    char problem[256];

    if (made == NULL)
        FUZZ_CHECK(auth_jwt_create(&made, &settings, SECRET, strlen(SECRET), problem,
                                   sizeof problem) == 0);
    return made;
}

static void check_tokens(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);
    struct auth_tokens *tokens = NULL;
    char problem[256] = "";

    if (auth_tokens_parse(&tokens, text, size, problem, sizeof problem) == 0) {
        FUZZ_CHECK(auth_tokens_count(tokens) > 0);
        FUZZ_CHECK(auth_tokens_find(tokens, text, size) == NULL);
    } else {
        FUZZ_CHECK(problem[0] != '\0');
    }
    auth_tokens_free(tokens);
    free(text);
}

static void check_jwt(const char *token, size_t size)
{
    struct auth_jwt_claims claims;

    FUZZ_CHECK(auth_jwt_check(jwt(), token, size, 1700000000, &claims) != NULL);
}

static size_t put_base64url(char *to, const uint8_t *bytes, size_t size)
{
    int written = EVP_EncodeBlock((unsigned char *)to, bytes, (int)size);

    for (char *at = to; *at != '\0'; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    while (written > 0 && to[written - 1] == '=')
        written--;
    return (size_t)written;
}

/* The first line is the header, the rest the claims. */
static void check_parts(const uint8_t *bytes, size_t size)
{
    const uint8_t *newline = memchr(bytes, '\n', size);
    size_t header_size = newline == NULL ? size : (size_t)(newline - bytes);
    char *token = malloc(2 * size + 128);
    size_t at;

    FUZZ_CHECK(token != NULL);
    at = put_base64url(token, bytes, header_size);
    token[at++] = '.';
    if (newline != NULL)
        at += put_base64url(token + at, newline + 1, size - header_size - 1);
    memcpy(token + at, ".AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 44);
    check_jwt(token, at + 44);
    free(token);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    char *text = fuzz_text(bytes, size);

    check_tokens(bytes, size);
    check_jwt(text, size);
    check_parts(bytes, size);
    free(text);
    return 0;
}
