/*
 * ISA-L's code for AVX and AVX-512 leaves the upper parts of the vector registers in use when it
 * returns. On processors of these days each change between SSE, which all other code is compiled
 * to, and AVX then costs hundreds of cycles, in this thread, for as long as they are: a CRC of 260
 * bytes and two SSE instructions took 480 ns, and 25 with them given up. So they are.
 */
#include "store/crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>

#ifdef __x86_64__
#include <immintrin.h>

__attribute__((target("avx"))) static void zero_upper(void)
{
    _mm256_zeroupper();
}

static void give_up_vectors(void)
{
    if (__builtin_cpu_supports("avx"))
        zero_upper();
}
#else
static void give_up_vectors(void)
{
}
#endif

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
    give_up_vectors();
    return ~state;
}
