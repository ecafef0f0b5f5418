/*
 * How much each of many may do: a token bucket and a count of what is held open for each key, in a
 * table of bounded size.
 *
 * A bucket holds up to `burst` requests and gets `per_second` back each second. When the table is
 * full, the key that has been quiet the longest makes room, and starts with a full bucket when it
 * comes again; one that holds something open stays.
 *
 * Loop thread only. Times are those of one clock that does not go back, in milliseconds.
 */
#ifndef GATEWAY_RATE_LIMIT_H
#define GATEWAY_RATE_LIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATE_LIMIT_KEY_BYTES 16
#define RATE_LIMIT_KEYS 16384

struct rate_limit;

struct rate_limit_settings {
    uint64_t per_second; /* 0: no limit */
    uint64_t burst;      /* at least 1 */
    uint64_t held;       /* open at once; 0: no limit */
    size_t keys;         /* in the table, at least 1 */
};

/* NULL without memory. */
struct rate_limit *rate_limit_create(const struct rate_limit_settings *settings);
void rate_limit_free(struct rate_limit *limit); /* NULL does nothing */

/*
 * Keys are the first RATE_LIMIT_KEY_BYTES of something that nobody outside can choose, such as
 * auth_make_id gives. Takes one request: true, or false with how long it takes until there is one
 * to be had again, at least 1 ms. A refused request takes nothing.
 */
bool rate_limit_take(struct rate_limit *limit, const uint8_t *key, uint64_t now_ms,
                     uint64_t *wait_ms);

/* One more is open: true, to be followed by a release, or false when there are too many. */
bool rate_limit_hold(struct rate_limit *limit, const uint8_t *key, uint64_t now_ms);
void rate_limit_release(struct rate_limit *limit, const uint8_t *key);

size_t rate_limit_keys(const struct rate_limit *limit);

/* What addresses are limited by: one of IPv4 as a whole, of IPv6 the /64 that one customer has. A
 * text that is no address is taken as it is. */
void rate_limit_address_key(const char *address, uint8_t key[RATE_LIMIT_KEY_BYTES]);

#endif
