/*
 * The text of a seed is base32 (RFC 4648, without padding) of: two bytes that hold the kinds "seed"
 * and "user", the 32 bytes of an Ed25519 private key, and a CRC-16 (XMODEM, little-endian) of all
 * before it. That of a public key: one byte for the kind, the 32 bytes of the key, the CRC.
 * (Format: github.com/nats-io/nkeys.)
 */
#include "base/nkey.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define KEY_BYTES 32
#define SEED_BYTES (2 + KEY_BYTES + 2)
#define SEED_CHARACTERS 58
#define PUBLIC_BYTES (1 + KEY_BYTES + 2)
#define KIND_SEED (18 << 3)
#define KIND_USER (20 << 3)

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

static uint16_t crc16(const uint8_t *bytes, size_t size)
{
    uint16_t crc = 0;

    for (size_t i = 0; i < size; i++) {
        crc = (uint16_t)(crc ^ (bytes[i] << 8));
        for (int bit = 0; bit < 8; bit++)
            crc = (uint16_t)((crc & 0x8000) != 0 ? (crc << 1) ^ 0x1021 : crc << 1);
    }
    return crc;
}

static int decode_seed(const char *text, uint8_t bytes[SEED_BYTES])
{
    uint32_t bits = 0;
    int count = 0;
    size_t size = 0;

    if (strlen(text) != SEED_CHARACTERS)
        return -1;
    for (const char *c = text; *c != '\0'; c++) {
        const char *digit = strchr(alphabet, *c);
        if (digit == NULL)
            return -1;
        bits = (bits << 5 | (uint32_t)(digit - alphabet)) & 0xfff;
        count += 5;
        if (count >= 8) {
            count -= 8;
            bytes[size++] = (uint8_t)(bits >> count);
        }
    }
    if (crc16(bytes, SEED_BYTES - 2) !=
        (uint16_t)(bytes[SEED_BYTES - 2] | bytes[SEED_BYTES - 1] << 8))
        return -1;
    if ((bytes[0] & 0xf8) != KIND_SEED || ((bytes[0] & 7) << 5 | bytes[1] >> 3) != KIND_USER)
        return -1;
    return 0;
}

static void encode(const uint8_t *bytes, size_t size, char *text)
{
    uint32_t bits = 0;
    int count = 0;

    for (size_t i = 0; i < size; i++) {
        bits = (bits << 8 | bytes[i]) & 0xfff;
        for (count += 8; count >= 5; count -= 5)
            *text++ = alphabet[bits >> (count - 5) & 31];
    }
    if (count > 0)
        *text++ = alphabet[bits << (5 - count) & 31];
    *text = '\0';
}

int nkey_public_key(const char *seed, char public_key[NKEY_TEXT_BYTES])
{
    uint8_t private_bytes[SEED_BYTES] = {0};
    uint8_t bytes[PUBLIC_BYTES] = {KIND_USER};
    size_t size = KEY_BYTES;
    uint16_t crc;
    EVP_PKEY *key = NULL;
    int result = -1;

    if (decode_seed(seed, private_bytes) == 0)
        key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, private_bytes + 2, KEY_BYTES);
    if (key != NULL && EVP_PKEY_get_raw_public_key(key, bytes + 1, &size) == 1 &&
        size == KEY_BYTES) {
        crc = crc16(bytes, 1 + KEY_BYTES);
        bytes[1 + KEY_BYTES] = (uint8_t)(crc & 0xff);
        bytes[2 + KEY_BYTES] = (uint8_t)(crc >> 8);
        encode(bytes, sizeof bytes, public_key);
        result = 0;
    }
    EVP_PKEY_free(key);
    OPENSSL_cleanse(private_bytes, sizeof private_bytes);
    return result;
}

int nkey_read_seed(const char *path, char seed[NKEY_TEXT_BYTES], const char **problem)
{
    char line[256];
    char public_key[NKEY_TEXT_BYTES];
    FILE *file = fopen(path, "re");
    int result = -1;

    *problem = "it cannot be read";
    if (file == NULL)
        return -1;
    *problem = "it holds no user's nkey seed (a line SU… of 58 characters)";
    while (result != 0 && fgets(line, sizeof line, file) != NULL) {
        char *text = line + strspn(line, " \t\r\n");
        text[strcspn(text, " \t\r\n")] = '\0';
        if (strlen(text) != SEED_CHARACTERS)
            continue;
        memcpy(seed, text, SEED_CHARACTERS + 1);
        result = nkey_public_key(seed, public_key);
    }
    OPENSSL_cleanse(line, sizeof line);
    fclose(file);
    if (result != 0)
        nkey_forget(seed);
    return result;
}

void nkey_forget(char seed[NKEY_TEXT_BYTES])
{
    OPENSSL_cleanse(seed, NKEY_TEXT_BYTES);
}
