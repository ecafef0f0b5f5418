/* Makes keys and JSON Web Tokens for tests, right ones and wrong ones, without the library that
 * checks them. Ends the test when it cannot. */
#ifndef TESTS_UNIT_JWT_SIGNER_H
#define TESTS_UNIT_JWT_SIGNER_H

#include <stddef.h>

#define JWT_TEXT_BYTES 32768

struct jwt_signer;

/* "RS256", "ES256", "EdDSA" with a fresh key; "HS256" with jwt_signer_secret. */
struct jwt_signer *jwt_signer_make(const char *algorithm);
void jwt_signer_free(struct jwt_signer *signer);
/* PEM of the public and of the private key; of HS256 the secret. Valid until the signer goes. */
const char *jwt_signer_public(const struct jwt_signer *signer);
const char *jwt_signer_private(const struct jwt_signer *signer);

/* Signs header and claims, which are JSON. */
void jwt_sign(const struct jwt_signer *signer, const char *header, const char *claims,
              char token[JWT_TEXT_BYTES]);
/* HMAC-SHA-256 with any secret: what an attacker can do. */
void jwt_sign_hmac(const void *secret, size_t secret_size, const char *header, const char *claims,
                   char token[JWT_TEXT_BYTES]);

#endif
