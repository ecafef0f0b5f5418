/* What a JSON string may hold as it is (RFC 8259, 7). Any thread; nothing is allocated. */
#ifndef PROTO_JSON_TEXT_H
#define PROTO_JSON_TEXT_H

#include <stddef.h>

/* Returns the offset of the first byte that must be escaped in a string (a quote, a backslash,
 * what is below 0x20), or `size`. */
size_t json_text_plain_length(const char *data, size_t size);

#endif
