/*
 * Times as in the JSON mapping of google.protobuf.Timestamp: RFC 3339, from year 1 to 9999.
 * Any thread; nothing is allocated.
 */
#ifndef PROTO_RFC3339_H
#define PROTO_RFC3339_H

#include <stddef.h>
#include <stdint.h>

/* "2026-01-31T12:00:00.123456789Z" with its NUL. */
#define RFC3339_BYTES 31

/*
 * Writes the time with 0, 3, 6 or 9 digits of fraction, as few as say it whole, and "Z".
 * Returns 0, or -1 when the time is out of range or `nanos` is not within 0 … 999,999,999.
 */
int rfc3339_format(int64_t seconds, int32_t nanos, char text[RFC3339_BYTES]);

/*
 * Reads a time with up to 9 digits of fraction, "Z" or an offset. Returns 0, or -1 when the text is
 * no such time or is out of range. A leap second (":60") has no Timestamp and is refused.
 */
int rfc3339_parse(const char *text, size_t size, int64_t *seconds, int32_t *nanos);

#endif
