/*
 * Eight bytes at a time, as long as none of them needs a closer look. (word - n) has the high bit
 * of a byte set where that byte was below n, and nowhere else if the byte's own high bit is not
 * taken for it; a borrow from the byte before can only add such a bit behind a true one.
 */
#include "proto/json_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define EACH_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

static uint64_t below(uint64_t word, uint64_t limit)
{
    return (word - EACH_BYTE(1) * limit) & ~word & EACH_BYTE(0x80);
}

static bool all_plain(const char *data)
{
    uint64_t word;

    memcpy(&word, data, sizeof word);
    return (below(word, 0x20) | below(word ^ EACH_BYTE('"'), 1) |
            below(word ^ EACH_BYTE('\\'), 1)) == 0;
}

static bool must_be_escaped(char character)
{
    return (unsigned char)character < 0x20 || character == '"' || character == '\\';
}

size_t json_text_plain_length(const char *data, size_t size)
{
    size_t at = 0;

    while (size - at >= sizeof(uint64_t) && all_plain(data + at))
        at += sizeof(uint64_t);
    while (at < size && !must_be_escaped(data[at]))
        at++;
    return at;
}
