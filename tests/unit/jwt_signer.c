/* RFC 7515 with OpenSSL. */
#include "tests/unit/jwt_signer.h"

#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEM_BYTES 8192
#define SECRET "a secret that has at least 32 bytes"

struct jwt_signer {
    char algorithm[8];
    EVP_PKEY *key; /* NULL for HS256 */
    char public_pem[PEM_BYTES];
    char private_pem[PEM_BYTES];
};

static void must(int condition)
{
    if (!condition)
        abort();
}

static void copy_pem(BIO *bio, char pem[PEM_BYTES])
{
    int size = BIO_read(bio, pem, PEM_BYTES - 1);

    must(size > 0);
    pem[size] = '\0';
    BIO_free(bio);
}

struct jwt_signer *jwt_signer_make(const char *algorithm)
{
    struct jwt_signer *signer = calloc(1, sizeof *signer);
    BIO *bio;

    must(signer != NULL);
    snprintf(signer->algorithm, sizeof signer->algorithm, "%s", algorithm);
    if (strcmp(algorithm, "HS256") == 0) {
        strcpy(signer->public_pem, SECRET);
        strcpy(signer->private_pem, SECRET);
        return signer;
    }
    signer->key = strcmp(algorithm, "RS256") == 0   ? EVP_RSA_gen(2048)
                  : strcmp(algorithm, "ES256") == 0 ? EVP_EC_gen("P-256")
                                                    : EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    must(signer->key != NULL);
    bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PUBKEY(bio, signer->key) == 1);
    copy_pem(bio, signer->public_pem);
    bio = BIO_new(BIO_s_mem());
    must(PEM_write_bio_PrivateKey(bio, signer->key, NULL, NULL, 0, NULL, NULL) == 1);
    copy_pem(bio, signer->private_pem);
    return signer;
}

void jwt_signer_free(struct jwt_signer *signer)
{
    EVP_PKEY_free(signer->key);
    free(signer);
}

const char *jwt_signer_public(const struct jwt_signer *signer)
{
    return signer->public_pem;
}

const char *jwt_signer_private(const struct jwt_signer *signer)
{
    return signer->private_pem;
}

/* ---- Signing ---- */

static size_t put_base64url(char *to, const void *bytes, size_t size)
{
    int written = EVP_EncodeBlock((unsigned char *)to, bytes, (int)size);

    for (char *at = to; *at != '\0'; at++)
        *at = *at == '+' ? '-' : *at == '/' ? '_' : *at;
    while (written > 0 && to[written - 1] == '=')
        to[--written] = '\0';
    return (size_t)written;
}

static size_t put_signed_part(char *token, const char *header, const char *claims)
{
    size_t size = put_base64url(token, header, strlen(header));

    token[size++] = '.';
    return size + put_base64url(token + size, claims, strlen(claims));
}

void jwt_sign_hmac(const void *secret, size_t secret_size, const char *header, const char *claims,
                   char token[JWT_TEXT_BYTES])
{
    size_t size = put_signed_part(token, header, claims);
    unsigned char mac[EVP_MAX_MD_SIZE];
    unsigned mac_size;

    must(HMAC(EVP_sha256(), secret, (int)secret_size, (unsigned char *)token, size, mac,
              &mac_size) != NULL);
    token[size++] = '.';
    put_base64url(token + size, mac, mac_size);
}

/* From DER to two numbers of 32 bytes. */
static size_t plain_ecdsa(unsigned char *signature, size_t size)
{
    const unsigned char *at = signature;
    ECDSA_SIG *parsed = d2i_ECDSA_SIG(NULL, &at, (long)size);

    must(parsed != NULL);
    must(BN_bn2binpad(ECDSA_SIG_get0_r(parsed), signature, 32) == 32);
    must(BN_bn2binpad(ECDSA_SIG_get0_s(parsed), signature + 32, 32) == 32);
    ECDSA_SIG_free(parsed);
    return 64;
}

void jwt_sign(const struct jwt_signer *signer, const char *header, const char *claims,
              char token[JWT_TEXT_BYTES])
{
    const EVP_MD *digest = strcmp(signer->algorithm, "EdDSA") == 0 ? NULL : EVP_sha256();
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[1024];
    size_t signature_size = sizeof signature, size;

    if (signer->key == NULL) {
        jwt_sign_hmac(SECRET, strlen(SECRET), header, claims, token);
        EVP_MD_CTX_free(context);
        return;
    }
    size = put_signed_part(token, header, claims);
    must(EVP_DigestSignInit(context, NULL, digest, NULL, signer->key) == 1);
    must(EVP_DigestSign(context, signature, &signature_size, (unsigned char *)token, size) == 1);
    if (strcmp(signer->algorithm, "ES256") == 0)
        signature_size = plain_ecdsa(signature, signature_size);
    token[size++] = '.';
    put_base64url(token + size, signature, signature_size);
    EVP_MD_CTX_free(context);
}
