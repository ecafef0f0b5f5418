/* The header traceparent of W3C Trace Context: whether a value has its shape. Pure; any thread. */
#ifndef BASE_TRACE_H
#define BASE_TRACE_H

#include <stdbool.h>

/* Of a value, with the NUL. */
#define TRACE_PARENT_BYTES 56

/* Whether it is <version>-<trace id>-<parent id>-<flags>, as 00-4bf92f3577b34da6a3ce929d0e0e4736-
 * 00f067aa0ba902b7-01: lower-case hexadecimal, a version below ff, ids that are not all zero. */
bool trace_parent_is_valid(const char *value);

#endif
