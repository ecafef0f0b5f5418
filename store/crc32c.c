/*
 * ISA-L's code for AVX and AVX-512 leaves the upper parts of the vector registers in use when it
 * returns. On processors of these days each change between SSE, which all other code is compiled
 * to, and AVX then costs hundreds of cycles, in this thread, for as long as they are: a CRC of 260
 * bytes and two SSE instructions took 480 ns, and 25 with them given up. So they are.
 */
#include "store/crc32c.h"

#include <isa-l/crc.h>
#include <limits.h>
#include <stdbool.h>

/* Of fewer bytes than this the processor's own instruction makes the CRC sooner: 4 ns instead of 13
 * for 20 bytes, 29 instead of 37 for 200, but 43 instead of 25 for 300. */
#define SHORT_BYTES 256

#ifdef __x86_64__
#include <immintrin.h>
#include <string.h>

__attribute__((target("avx"))) static void zero_upper(void)
{
    _mm256_zeroupper();
}

static void give_up_vectors(void)
{
    if (__builtin_cpu_supports("avx"))
        zero_upper();
}

static bool has_instruction(void)
{
    return __builtin_cpu_supports("sse4.2");
}

__attribute__((target("sse4.2"))) static uint32_t short_crc(uint32_t state, const uint8_t *next,
                                                            size_t size)
{
    uint64_t wide = state;

    for (; size >= sizeof wide; size -= sizeof wide, next += sizeof wide) {
        uint64_t eight;
        memcpy(&eight, next, sizeof eight);
        wide = _mm_crc32_u64(wide, eight);
    }
    state = (uint32_t)wide;
    for (; size > 0; size--)
        state = _mm_crc32_u8(state, *next++);
    return state;
}
#else
static void give_up_vectors(void)
{
}

static bool has_instruction(void)
{
    return false;
}

static uint32_t short_crc(uint32_t state, const uint8_t *next, size_t size)
{
    (void)next;
    (void)size;
    return state;
}
#endif

static uint32_t long_crc(uint32_t state, const uint8_t *data, size_t size)
{
    /* ISA-L takes an int for the length and leaves out the inversions before and after. It does
     * not write through the pointer, whatever the type of its parameter says. */
    unsigned char *next = (unsigned char *)(uintptr_t)data;

    while (size > 0) {
        int part = size > INT_MAX ? INT_MAX : (int)size;
        state = crc32_iscsi(next, part, state);
        next += part;
        size -= (size_t)part;
    }
    give_up_vectors();
    return state;
}

uint32_t crc32c(uint32_t crc, const void *data, size_t size)
{
    return size < SHORT_BYTES && has_instruction() ? ~short_crc(~crc, data, size)
                                                   : ~long_crc(~crc, data, size);
}
