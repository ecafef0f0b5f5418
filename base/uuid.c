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

/*
 * Text and back by all digits at once, in two vectors of sixteen: an id is written or read six
 * times for each message. (Vectors as gcc and clang both have them, on any processor.)
 */
typedef uint8_t digits __attribute__((vector_size(16)));

/* The digits of the text without its dashes. */
#define DIGITS 32

static const uint8_t dash_places[] = {8, 13, 18, 23};

static digits load(const void *bytes)
{
    digits loaded;

    memcpy(&loaded, bytes, sizeof loaded);
    return loaded;
}

static digits digits_of(digits values)
{
    return values + '0' + ((digits)(values > 9) & ('a' - '0' - 10));
}

void uuid_format(const struct uuid *uuid, char *text)
{
    digits bytes = load(uuid->bytes);
    digits high = bytes >> 4;
    digits low = bytes & 0x0f;
    digits first = digits_of(
        __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    digits second = digits_of(__builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12,
                                                      28, 13, 29, 14, 30, 15, 31));
    char all[DIGITS];

    memcpy(all, &first, sizeof first);
    memcpy(all + sizeof first, &second, sizeof second);
    memcpy(text, all, 8);
    memcpy(text + 9, all + 8, 4);
    memcpy(text + 14, all + 12, 4);
    memcpy(text + 19, all + 16, 4);
    memcpy(text + 24, all + 20, 12);
    for (size_t i = 0; i < sizeof dash_places; i++)
        text[dash_places[i]] = '-';
}

/* Their values; and bits are missing from *good where something else stands. */
static digits values_of(digits text, digits *good)
{
    digits decimal = text - '0';
    digits letter = (text | 0x20) - 'a';
    digits is_decimal = (digits)(decimal < 10);
    digits is_letter = (digits)(letter < 6);

    *good &= is_decimal | is_letter;
    return (decimal & is_decimal) | ((letter + 10) & is_letter);
}

static bool is_all_ones(digits vector)
{
    uint64_t halves[2];

    memcpy(halves, &vector, sizeof halves);
    return (halves[0] & halves[1]) == UINT64_MAX;
}

bool uuid_parse(const char *text, size_t size, struct uuid *uuid)
{
    char all[DIGITS];
    digits good = ~(digits){0};
    digits first, second, bytes;

    if (size != UUID_TEXT_BYTES)
        return false;
    for (size_t i = 0; i < sizeof dash_places; i++) {
        if (text[dash_places[i]] != '-')
            return false;
    }
    memcpy(all, text, 8);
    memcpy(all + 8, text + 9, 4);
    memcpy(all + 12, text + 14, 4);
    memcpy(all + 16, text + 19, 4);
    memcpy(all + 20, text + 24, 12);
    first = values_of(load(all), &good);
    second = values_of(load(all + sizeof first), &good);
    bytes = __builtin_shufflevector(first, second, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24,
                                    26, 28, 30)
            << 4;
    bytes |= __builtin_shufflevector(first, second, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25,
                                     27, 29, 31);
    if (!is_all_ones(good))
        return false;
    memcpy(uuid->bytes, &bytes, sizeof bytes);
    return true;
}
