/* Asking the processor for memory before it is needed. A hint: nothing depends on it. */
#ifndef STORE_PREFETCH_H
#define STORE_PREFETCH_H

#include <stddef.h>

#define PREFETCH_LINE_BYTES 64

/* All `size` bytes, a line of the cache at a time. */
static inline void prefetch(const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += PREFETCH_LINE_BYTES)
        __builtin_prefetch((const char *)bytes + i);
}

#endif
