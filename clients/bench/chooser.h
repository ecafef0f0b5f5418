/*
 * Chooses chats by a seed: all equally often, or by Zipf's law, as in real life, where few chats
 * have most of the talk. The same seed gives the same choices. One thread.
 */
#ifndef CLIENTS_BENCH_CHOOSER_H
#define CLIENTS_BENCH_CHOOSER_H

#include <stdint.h>

/* xorshift64* (Vigna, "An experimental exploration of Marsaglia's xorshift generators"). */
struct random {
    uint64_t state;
};

static inline uint64_t random_next(struct random *random)
{
    uint64_t x = random->state;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    random->state = x;
    return x * UINT64_C(2685821657736338717);
}

void random_seed(struct random *random, uint64_t seed);

/* From 0 to bound - 1, evenly for any bound that is small against 2^64. */
static inline uint64_t random_below(struct random *random, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)random_next(random) * bound) >> 64);
}

/* At least 0, below 1. */
static inline double random_fraction(struct random *random)
{
    return (double)(random_next(random) >> 11) * 0x1p-53;
}

struct chooser {
    struct random random;
    uint64_t count;
    /* Of Zipf; exponent 0 is uniform. */
    double exponent;
    double h_first;
    double h_last;
    double squeeze;
    uint64_t stride;
};

/* `count` is 1 to 2^32; `exponent` 0 (uniform) to 10. */
void chooser_init(struct chooser *chooser, uint64_t count, double exponent, uint64_t seed);

/* The next rank, 1 to count: rank k comes up in proportion to 1 / k^exponent. */
uint64_t chooser_rank(struct chooser *chooser);

/* The next choice, 0 to count - 1: ranks are spread over the chats, so that the busy ones do not
 * lie side by side as those made one after another do. */
uint64_t chooser_next(struct chooser *chooser);

#endif
