#include "store/crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    /* ISA-L takes an int for the length and leaves out the inversions before and after. It does
     * not write through the pointer, whatever the type of its parameter says. */
    unsigned char *next = (unsigned char *)(uintptr_t)data;
    unsigned int state = ~crc;

    while (size > 0) {
        int part = size > INT_MAX ? INT_MAX : (int)size;
        state = crc32_iscsi(next, part, state);
        next += part;
        size -= (size_t)part;
    }
    return ~state;
}
