/*
 * Zipf by rejection-inversion (W. Hörmann and G. Derflinger, "Rejection-inversion to generate
 * variates from monotone discrete distributions", 1996): the histogram of 1 / k^s is enclosed by
 * the curve 1 / x^s, whose integral can be inverted; a point under the curve is drawn, and accepted
 * if it is in the histogram too. No tables, and few are rejected, whatever the count.
 */
#include "clients/bench/chooser.h"

#include <math.h>
#include <stdbool.h>

void random_seed(struct random *random, uint64_t seed)
{
    /* One step of splitmix64, so that seeds 1, 2, 3 have nothing in common; never 0. */
    uint64_t z = seed + UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    random->state = (z ^ (z >> 31)) | 1;
}

/* (e^x - 1) / x, also near 0. */
static double expm1_over(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

/* ln(1 + x) / x, also near 0. */
static double log1p_over(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

static double density(const struct chooser *chooser, double x)
{
    return exp(-chooser->exponent * log(x));
}

/* The integral of the density from 1 to x, for any exponent, 1 included. */
static double integral(const struct chooser *chooser, double x)
{
    double log_x = log(x);

    return expm1_over((1 - chooser->exponent) * log_x) * log_x;
}

static double inverse_integral(const struct chooser *chooser, double y)
{
    double t = y * (1 - chooser->exponent);

    return exp(log1p_over(t < -1 ? -1 : t) * y);
}

static uint64_t greatest_divisor(uint64_t a, uint64_t b)
{
    while (b != 0) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

void chooser_init(struct chooser *chooser, uint64_t count, double exponent, uint64_t seed)
{
    *chooser = (struct chooser){.count = count, .exponent = exponent};
    random_seed(&chooser->random, seed);
    /* Near the golden section of the count, and without a common divisor: a permutation. */
    chooser->stride = (uint64_t)((double)count * 0.6180339887) | 1;
    while (greatest_divisor(chooser->stride, count) != 1)
        chooser->stride += 2;
    if (exponent <= 0)
        return;
    chooser->h_first = integral(chooser, 1.5) - 1;
    chooser->h_last = integral(chooser, (double)count + 0.5);
    chooser->squeeze = 2 - inverse_integral(chooser, integral(chooser, 2.5) - density(chooser, 2));
}

static bool accepts(const struct chooser *chooser, double k, double x, double u)
{
    return k - x <= chooser->squeeze || u >= integral(chooser, k + 0.5) - density(chooser, k);
}

uint64_t chooser_rank(struct chooser *chooser)
{
    if (chooser->exponent <= 0)
        return 1 + random_below(&chooser->random, chooser->count);
    for (;;) {
        double u = chooser->h_last +
                   random_fraction(&chooser->random) * (chooser->h_first - chooser->h_last);
        double x = inverse_integral(chooser, u);
        double k = floor(x + 0.5);
        if (k < 1)
            k = 1;
        if (k > (double)chooser->count)
            k = (double)chooser->count;
        if (accepts(chooser, k, x, u))
            return (uint64_t)k;
    }
}

uint64_t chooser_next(struct chooser *chooser)
{
    uint64_t rank = chooser_rank(chooser) - 1;

    return chooser->exponent <= 0 ? rank : rank * chooser->stride % chooser->count;
}
