/* Exponential, bounded, with jitter. */
#include "clients/libchat/backoff.h"

#include <sys/random.h>
#include <sys/types.h>

#define FIRST_MS 250
#define MAX_MS 2000

uint64_t backoff_ms(unsigned failures, uint32_t random)
{
    uint64_t delay_ms = FIRST_MS;

    for (unsigned i = 1; i < failures && delay_ms < MAX_MS; i++)
        delay_ms *= 2;
    if (delay_ms > MAX_MS)
        delay_ms = MAX_MS;
    return delay_ms - random % (delay_ms / 2 + 1);
}

uint32_t backoff_random(void)
{
    uint32_t random = 0;

    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        return 0;
    return random;
}
