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
    if (size >= sizeof state) {
        uint32_t four;
        memcpy(&four, next, sizeof four);
        state = _mm_crc32_u32(state, four);
        next += sizeof four;
        size -= sizeof four;
    }
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

static void one_by_one(uint32_t crcs[CRC32C_TOGETHER], const uint8_t *const data[CRC32C_TOGETHER],
                       const size_t sizes[CRC32C_TOGETHER])
{
    for (size_t i = 0; i < CRC32C_TOGETHER; i++)
        crcs[i] = crc32c(crcs[i], data[i], sizes[i]);
}

#ifdef __x86_64__
static uint64_t load(const uint8_t *from)
{
    uint64_t eight;

    memcpy(&eight, from, sizeof eight);
    return eight;
}

__attribute__((target("sse4.2"))) static uint32_t rest_alone(uint32_t state, const uint8_t *data,
                                                             size_t size)
{
    return size < SHORT_BYTES ? ~short_crc(state, data, size) : ~long_crc(state, data, size);
}

/* The instruction's result is there after three cycles, and another one can begin in each: three
 * variables, since an array would be in memory. What a longer piece has beyond the shortest, it has
 * alone. */
__attribute__((target("sse4.2"))) static void
interleaved(uint32_t crcs[CRC32C_TOGETHER], const uint8_t *const data[CRC32C_TOGETHER],
            const size_t sizes[CRC32C_TOGETHER])
{
    size_t shorter = sizes[0] < sizes[1] ? sizes[0] : sizes[1];
    size_t common = (shorter < sizes[2] ? shorter : sizes[2]) & ~(sizeof(uint64_t) - 1);
    const uint8_t *a = data[0];
    const uint8_t *b = data[1];
    const uint8_t *c = data[2];
    uint64_t state_a = ~crcs[0];
    uint64_t state_b = ~crcs[1];
    uint64_t state_c = ~crcs[2];

    for (const uint8_t *end = a + common; a < end; a += 8, b += 8, c += 8) {
        state_a = _mm_crc32_u64(state_a, load(a));
        state_b = _mm_crc32_u64(state_b, load(b));
        state_c = _mm_crc32_u64(state_c, load(c));
    }
    crcs[0] = rest_alone((uint32_t)state_a, a, sizes[0] - common);
    crcs[1] = rest_alone((uint32_t)state_b, b, sizes[1] - common);
    crcs[2] = rest_alone((uint32_t)state_c, c, sizes[2] - common);
}

void crc32c_together(uint32_t crcs[CRC32C_TOGETHER], const uint8_t *const data[CRC32C_TOGETHER],
                     const size_t sizes[CRC32C_TOGETHER])
{
    if (has_instruction())
        interleaved(crcs, data, sizes);
    else
        one_by_one(crcs, data, sizes);
}
#else
void crc32c_together(uint32_t crcs[CRC32C_TOGETHER], const uint8_t *const data[CRC32C_TOGETHER],
                     const size_t sizes[CRC32C_TOGETHER])
{
    one_by_one(crcs, data, sizes);
}
#endif
