/*
 * A UUID is sixteen bytes from this thread's pool with six bits overwritten: four say version 4,
 * two say the RFC's variant. The pool is filled a page at a time with getrandom(2), which cannot
 * run short once the kernel is seeded; should it fail all the same, nothing that follows could be
 * unique, and the process ends.
 */
#include "base/uuid.h"

#include "base/log.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define POOL_BYTES 4096

static _Thread_local struct {
    uint8_t bytes[POOL_BYTES];
    size_t left; /* unused bytes, at the end */
} pool;

static void pool_fill(void)
{
    size_t filled = 0;

    while (filled < POOL_BYTES) {
        ssize_t got = getrandom(pool.bytes + filled, POOL_BYTES - filled, 0);
        if (got > 0) {
            filled += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            LOG_ERROR("uuid.no_random_numbers",
                      log_text("problem", got == 0 ? "no bytes" : strerror(errno)));
            abort();
        }
    }
    pool.left = POOL_BYTES;
}

void uuid_make(struct uuid *uuid)
{
    if (pool.left < UUID_BYTES)
        pool_fill();
    memcpy(uuid->bytes, pool.bytes + POOL_BYTES - pool.left, UUID_BYTES);
    pool.left -= UUID_BYTES;
    uuid->bytes[6] = (uint8_t)((uuid->bytes[6] & 0x0f) | 0x40);
    uuid->bytes[8] = (uint8_t)((uuid->bytes[8] & 0x3f) | 0x80);
}

/* Where each byte's two digits stand in the text, and the dashes between them. */
static const uint8_t text_places[UUID_BYTES] = {0,  2,  4,  6,  9,  11, 14, 16,
                                                19, 21, 24, 26, 28, 30, 32, 34};
static const uint8_t dash_places[] = {8, 13, 18, 23};

/* Marks a value as a digit's. */
#define DIGIT 0x10u

/* The two digits of each byte. */
#define PAIRS(high)                                                                                \
    high "0" high "1" high "2" high "3" high "4" high "5" high "6" high "7" high "8" high "9" high \
         "a" high "b" high "c" high "d" high "e" high "f"
static const char hex_pairs[] =
    PAIRS("0") PAIRS("1") PAIRS("2") PAIRS("3") PAIRS("4") PAIRS("5") PAIRS("6") PAIRS("7")
        PAIRS("8") PAIRS("9") PAIRS("a") PAIRS("b") PAIRS("c") PAIRS("d") PAIRS("e") PAIRS("f");
#undef PAIRS

void uuid_format(const struct uuid *uuid, char *text)
{
    for (size_t i = 0; i < UUID_BYTES; i++)
        memcpy(text + text_places[i], hex_pairs + (size_t)2 * uuid->bytes[i], 2);
    for (size_t i = 0; i < sizeof dash_places; i++)
        text[dash_places[i]] = '-';
}

/* The value of a hexadecimal digit with DIGIT set; 0 for anything else. */
static unsigned hex_value(char digit)
{
    static const uint8_t values[256] = {
        ['0'] = DIGIT | 0,  ['1'] = DIGIT | 1,  ['2'] = DIGIT | 2,  ['3'] = DIGIT | 3,
        ['4'] = DIGIT | 4,  ['5'] = DIGIT | 5,  ['6'] = DIGIT | 6,  ['7'] = DIGIT | 7,
        ['8'] = DIGIT | 8,  ['9'] = DIGIT | 9,  ['a'] = DIGIT | 10, ['b'] = DIGIT | 11,
        ['c'] = DIGIT | 12, ['d'] = DIGIT | 13, ['e'] = DIGIT | 14, ['f'] = DIGIT | 15,
        ['A'] = DIGIT | 10, ['B'] = DIGIT | 11, ['C'] = DIGIT | 12, ['D'] = DIGIT | 13,
        ['E'] = DIGIT | 14, ['F'] = DIGIT | 15,
    };
    return values[(unsigned char)digit];
}

bool uuid_parse(const char *text, size_t size, struct uuid *uuid)
{
    struct uuid parsed;
    unsigned all = DIGIT;

    if (size != UUID_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < sizeof dash_places; i++) {
        if (text[dash_places[i]] != '-')
            return false;
    }
    /* Without a branch for each digit: whether they all were digits is looked at once. */
    for (size_t i = 0; i < UUID_BYTES; i++) {
        unsigned high = hex_value(text[text_places[i]]);
        unsigned low = hex_value(text[text_places[i] + 1]);
        all &= high & low;
        parsed.bytes[i] = (uint8_t)(high << 4 | (low & 0x0f));
    }
    if (all != DIGIT)
        return false;
    *uuid = parsed;
    return true;
}
