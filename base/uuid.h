/*
 * UUIDs, version 4 (RFC 9562, section 5.4), from the kernel's random numbers.
 *
 * Random bytes are drawn a page at a time, so that making one costs no system
 * call. Each thread has a pool of its own: any thread may call, without locks.
 */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UUID_BYTES 16
/* The text form, 8-4-4-4-12 lower-case hexadecimal digits, without a NUL. */
#define UUID_TEXT_BYTES 36

struct uuid {
    uint8_t bytes[UUID_BYTES];
};

/* A fresh random UUID. Ends the process if the kernel has no random numbers to give. */
void uuid_make(struct uuid *uuid);

/* Writes UUID_TEXT_BYTES characters to `text`, and no NUL. */
void uuid_format(const struct uuid *uuid, char *text);

/* Reads exactly UUID_TEXT_BYTES characters, digits in either case. False when `text` is no UUID. */
bool uuid_parse(const char *text, size_t size, struct uuid *uuid);

#endif
