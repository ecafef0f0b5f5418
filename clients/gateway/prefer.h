/*
 * The header Prefer (RFC 7240): what a client would like of an answer. Any thread; nothing is
 * allocated.
 */
#ifndef GATEWAY_PREFER_H
#define GATEWAY_PREFER_H

#include <stdbool.h>

/*
 * Whether the field's value, of all its lines joined with commas, asks for return=minimal, quoted
 * or not, among whatever else. Of several `return` the first one counts, and what is no preference
 * is passed over.
 */
bool prefer_is_minimal(const char *value);

#endif
