#include "store/digest.h"

#include <string.h>

int digester_init(struct digester *digester)
{
    digester->algorithm = EVP_MD_fetch(NULL, "SHA256", NULL);
    digester->context = EVP_MD_CTX_new();
    if (digester->algorithm == NULL || digester->context == NULL) {
        digester_free(digester);
        return STORE_NO_MEMORY;
    }
    return 0;
}

void digester_free(struct digester *digester)
{
    EVP_MD_CTX_free(digester->context);
    EVP_MD_free(digester->algorithm);
    digester->context = NULL;
    digester->algorithm = NULL;
}

int digest_client(struct digester *digester, const char *user_id, size_t user_size,
                  const char *client_id, size_t client_size, uint8_t digest[DATABASE_DIGEST_BYTES])
{
    uint8_t full[EVP_MAX_MD_SIZE];
    uint8_t size_byte = (uint8_t)user_size;

    if (!EVP_DigestInit_ex2(digester->context, digester->algorithm, NULL) ||
        !EVP_DigestUpdate(digester->context, &size_byte, 1) ||
        !EVP_DigestUpdate(digester->context, user_id, user_size) ||
        !EVP_DigestUpdate(digester->context, client_id, client_size) ||
        !EVP_DigestFinal_ex(digester->context, full, NULL))
        return STORE_NO_MEMORY;
    memcpy(digest, full, DATABASE_DIGEST_BYTES);
    return 0;
}

int digest_users(struct digester *digester, const uint8_t *users, size_t size,
                 uint8_t digest[DATABASE_USERS_DIGEST_BYTES])
{
    if (!EVP_DigestInit_ex2(digester->context, digester->algorithm, NULL) ||
        !EVP_DigestUpdate(digester->context, users, size) ||
        !EVP_DigestFinal_ex(digester->context, digest, NULL))
        return STORE_NO_MEMORY;
    return 0;
}
