/*
 * The digests by which the store finds client ids and sets of users: SHA-256 (FIPS 180-4) from
 * libcrypto, so that nobody can make two keys collide on purpose. One thread uses a digester at a
 * time; looking the algorithm up costs more than hashing a short key, so it is done once.
 */
#ifndef STORE_DIGEST_H
#define STORE_DIGEST_H

#include "store/database.h"
#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

struct digester {
    EVP_MD *algorithm;
    EVP_MD_CTX *context;
};

/* Returns 0 or STORE_NO_MEMORY. */
int digester_init(struct digester *digester);
void digester_free(struct digester *digester);

/*
 * Of (user id, client id): the first half of SHA-256 over u8 user size, user id, client id. Returns
 * 0 or STORE_NO_MEMORY.
 */
int digest_client(struct digester *digester, const char *user_id, size_t user_size,
                  const char *client_id, size_t client_size, uint8_t digest[DATABASE_DIGEST_BYTES]);

/*
 * Of a chat's users in their stored form: for each, in byte order, u8 size and the bytes. Returns
 * 0 or STORE_NO_MEMORY.
 */
int digest_users(struct digester *digester, const uint8_t *users, size_t size,
                 uint8_t digest[DATABASE_USERS_DIGEST_BYTES]);

#endif
