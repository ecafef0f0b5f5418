/*
 * Bytes that are made once and sent many times: an answer, or an event that goes to a thousand
 * watchers. Counted; for the loop's thread.
 */
#ifndef GATEWAY_SHARED_BYTES_H
#define GATEWAY_SHARED_BYTES_H

#include <stddef.h>
#include <stdint.h>

struct shared_bytes {
    unsigned holders;
    size_t size;
    uint8_t data[];
};

/* Room for `size` bytes, held once, by the caller, who writes them before anybody else sees them.
 * Ends the process when there is no memory. */
struct shared_bytes *shared_bytes_make(size_t size);
/* One more holder; returns the same. */
struct shared_bytes *shared_bytes_hold(struct shared_bytes *bytes);
/* One holder less; the last one frees it. NULL is nothing. */
void shared_bytes_drop(struct shared_bytes *bytes);

#endif
