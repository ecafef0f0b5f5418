/* How long to wait before another attempt, for calls and connections. Any thread. */
#ifndef LIBCHAT_BACKOFF_H
#define LIBCHAT_BACKOFF_H

#include <stdint.h>

/*
 * The pause when `failures` attempts have failed (from 1): from 250 ms doubling to 2 s, of which a
 * part of up to a half is taken off by `random`, so that many callers who failed together do
 * not come back together.
 */
uint64_t backoff_ms(unsigned failures, uint32_t random);

/* A random number; merely 0 where the kernel has none to give: pauses are then regular. */
uint32_t backoff_random(void);

#endif
