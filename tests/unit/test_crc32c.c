/* CRC-32C: the values of RFC 3720, appendix B.4; a bit by bit model, whole and in parts; and that
 * the vector registers are given up afterwards (store/crc32c.c says why). */
#include "store/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SIZE_MAX_TRIED 700
#define POLYNOMIAL 0x82f63b78u

static uint32_t model(const uint8_t *bytes, size_t size)
{
    uint32_t state = ~0u;

    for (size_t i = 0; i < size; i++) {
        state ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            state = (state >> 1) ^ ((state & 1) != 0 ? POLYNOMIAL : 0);
    }
    return ~state;
}

static void test_values(void **unused)
{
    uint8_t bytes[32];

    (void)unused;
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x8a9136aa);
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x62a8ab43);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, sizeof bytes), 0x46dd794e);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, NULL, 0), 0);
}

static void test_model(void **unused)
{
    uint8_t bytes[SIZE_MAX_TRIED];

    (void)unused;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 131 + (i >> 3));
    for (size_t size = 0; size <= sizeof bytes; size++) {
        uint32_t expected = model(bytes, size);
        size_t part = size * 2 / 5;
        assert_int_equal(crc32c(0, bytes, size), expected);
        assert_int_equal(crc32c(crc32c(0, bytes, part), bytes + part, size - part), expected);
    }
}

/* Three pieces of any sizes, each begun with something of its own. */
static void test_together(void **unused)
{
    static const size_t sizes[] = {0, 1, 7, 8, 9, 20, 63, 64, 250, 255, 256, 257, 300, 600};
    enum { COUNT = sizeof sizes / sizeof *sizes };
    uint8_t bytes[CRC32C_TOGETHER * SIZE_MAX_TRIED];

    (void)unused;
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 89 + (i >> 5));
    for (size_t i = 0; i < (size_t)COUNT * COUNT * COUNT; i++) {
        const size_t chosen[] = {sizes[i % COUNT], sizes[i / COUNT % COUNT],
                                 sizes[i / COUNT / COUNT]};
        const uint8_t *data[] = {bytes, bytes + SIZE_MAX_TRIED + 1, bytes + 2 * SIZE_MAX_TRIED - 3};
        uint32_t crcs[] = {0, 7, 0xfffffffeu};
        uint32_t expected[CRC32C_TOGETHER];

        for (size_t k = 0; k < CRC32C_TOGETHER; k++)
            expected[k] = crc32c(crcs[k], data[k], chosen[k]);
        crc32c_together(crcs, data, chosen);
        assert_memory_equal(crcs, expected, sizeof crcs);
    }
}

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

#define LEAF_XSAVE 0xd
#define XSAVE_HAS_XGETBV_1 (1u << 2)
/* Of the state components: the upper halves of the 256-bit, and of the 512-bit registers. */
#define COMPONENTS_UPPER ((1u << 2) | (1u << 6))

__attribute__((target("xsave"))) static bool upper_is_used(void)
{
    return (_xgetbv(1) & COMPONENTS_UPPER) != 0;
}

/* Not compiled for AVX: the compiler would then give them up by itself. */
static void use_upper(void)
{
    __asm__ volatile("vpcmpeqd %%xmm0, %%xmm0, %%xmm0\n\tvinsertf128 $1, %%xmm0, %%ymm0, %%ymm0"
                     :
                     :
                     : "xmm0");
}

__attribute__((target("avx"))) static void zero_upper(void)
{
    _mm256_zeroupper();
}

/* Whether the processor says what is in use, and does not merely say that all of it is. */
static bool upper_is_told(void)
{
    unsigned a = 0;
    unsigned b = 0;
    unsigned c = 0;
    unsigned d = 0;
    bool told;

    if (!__builtin_cpu_supports("avx") || __get_cpuid_count(LEAF_XSAVE, 1, &a, &b, &c, &d) == 0 ||
        (a & XSAVE_HAS_XGETBV_1) == 0)
        return false;
    use_upper();
    told = upper_is_used();
    zero_upper();
    return told && !upper_is_used();
}

static void test_vectors_are_given_up(void **unused)
{
    static const size_t sizes[] = {16, 100, 260, 1000, 4096};
    static uint8_t bytes[4096];

    (void)unused;
    if (!upper_is_told())
        skip();
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint32_t crc = crc32c(0, bytes, sizes[i]);
        bool used = upper_is_used();
        assert_true(crc != 0);
        assert_false(used);
    }
}
#else
static void test_vectors_are_given_up(void **unused)
{
    (void)unused;
    skip();
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_model),
        cmocka_unit_test(test_together),
        cmocka_unit_test(test_vectors_are_given_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
