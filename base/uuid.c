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

static const char hex_digits[] = "0123456789abcdef";

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

/* A dash stands before the bytes 4, 6, 8 and 10. */
static bool dash_before(size_t byte)
{
    return byte == 4 || byte == 6 || byte == 8 || byte == 10;
}

void uuid_format(const struct uuid *uuid, char *text)
{
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (dash_before(i))
            *text++ = '-';
        *text++ = hex_digits[uuid->bytes[i] >> 4];
        *text++ = hex_digits[uuid->bytes[i] & 0x0f];
    }
}

static int hex_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

bool uuid_parse(const char *text, size_t size, struct uuid *uuid)
{
    struct uuid parsed;

    if (size != UUID_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < UUID_BYTES; i++) {
        if (dash_before(i) && *text++ != '-')
            return false;
        int high = hex_value(*text++);
        int low = hex_value(*text++);
        if (high < 0 || low < 0)
            return false;
        parsed.bytes[i] = (uint8_t)(high << 4 | low);
    }
    *uuid = parsed;
    return true;
}
