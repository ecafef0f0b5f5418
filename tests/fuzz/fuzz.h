/*
 * What the fuzz targets share. A target is one function that libFuzzer calls with any bytes; it
 * must neither crash, nor leak, nor break a property that it checks with FUZZ_CHECK. make fuzz
 * builds it with the address and undefined-behaviour sanitizers.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);                \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Input that is taken from its front; when it is used up, zeros follow. */
struct fuzz_input {
    const uint8_t *bytes;
    size_t size;
};

static inline void fuzz_take(struct fuzz_input *input, void *to, size_t size)
{
    size_t there = size < input->size ? size : input->size;

    memset(to, 0, size);
    if (there > 0)
        memcpy(to, input->bytes, there);
    input->bytes += there;
    input->size -= there;
}

static inline uint8_t fuzz_u8(struct fuzz_input *input)
{
    uint8_t value;
    fuzz_take(input, &value, sizeof value);
    return value;
}

static inline uint64_t fuzz_u64(struct fuzz_input *input)
{
    uint64_t value;
    fuzz_take(input, &value, sizeof value);
    return value;
}

/* A malloc'd copy of exactly these bytes, so that reading behind them is seen. */
static inline uint8_t *fuzz_copy(const uint8_t *bytes, size_t size)
{
    uint8_t *copied = malloc(size > 0 ? size : 1);

    FUZZ_CHECK(copied != NULL);
    if (size > 0)
        memcpy(copied, bytes, size);
    return copied;
}

/* The same with a NUL behind them. */
static inline char *fuzz_text(const uint8_t *bytes, size_t size)
{
    char *copied = malloc(size + 1);

    FUZZ_CHECK(copied != NULL);
    if (size > 0)
        memcpy(copied, bytes, size);
    copied[size] = '\0';
    return copied;
}

#endif
