/*
 * UTF-8 (RFC 3629), strictly: no overlong forms, no surrogates, nothing above U+10FFFF. Any
 * thread; nothing is allocated.
 */
#ifndef PROTO_UTF8_H
#define PROTO_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Reads the character at `data`, which has `size` bytes, at least one. Returns how many bytes
 * it takes, 1 to 4, or 0 when there is no whole and valid one.
 */
size_t utf8_read(const char *data, size_t size, uint32_t *character);

/* C0 (with NUL), DEL and C1. */
static inline bool utf8_is_control(uint32_t character)
{
    return character < 0x20 || (character >= 0x7f && character <= 0x9f);
}

/* Returns the offset of the first byte that does not belong to valid UTF-8, or `size`. */
size_t utf8_valid_length(const char *data, size_t size);

/* The same, and stops at control characters as well. */
size_t utf8_printable_length(const char *data, size_t size);

#endif
