/*
 * Open addressing with linear probing, at most three quarters full. A fingerprint's home is its low
 * bits, so that growing needs no digests. Two ids with one fingerprint share a slot.
 */
#include "store/client_filter.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 8
#define CAPACITY_MAX 4096

_Static_assert(CLIENT_FILTER_MAX == CAPACITY_MAX / 4 * 3, "a full set is three quarters full");

/* From bytes that the tables' hashes do not use. */
static uint16_t fingerprint(const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    uint16_t value;

    memcpy(&value, digest + (DATABASE_DIGEST_BYTES - sizeof value), sizeof value);
    return value == 0 ? 1 : value;
}

/* The slot that has the value, or the empty one where it would go. */
static size_t slot_of(const uint16_t *slots, size_t capacity, uint16_t value)
{
    size_t i = value & (capacity - 1);

    while (slots[i] != 0 && slots[i] != value)
        i = (i + 1) & (capacity - 1);
    return i;
}

void client_filter_begin(struct client_filter *filter)
{
    *filter = (struct client_filter){.complete = true};
}

void client_filter_free(struct client_filter *filter)
{
    free(filter->slots);
    *filter = (struct client_filter){0};
}

static bool grow(struct client_filter *filter)
{
    size_t capacity = filter->capacity == 0 ? CAPACITY_MIN : (size_t)filter->capacity * 2;
    uint16_t *slots = capacity > CAPACITY_MAX ? NULL : calloc(capacity, sizeof *slots);

    if (slots == NULL)
        return false;
    for (size_t i = 0; i < filter->capacity; i++) {
        if (filter->slots[i] != 0)
            slots[slot_of(slots, capacity, filter->slots[i])] = filter->slots[i];
    }
    free(filter->slots);
    filter->slots = slots;
    filter->capacity = (uint16_t)capacity;
    return true;
}

void client_filter_add(struct client_filter *filter, const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    uint16_t value = fingerprint(digest);
    size_t slot;

    if (!filter->complete)
        return;
    if ((filter->count + 1) * 4 > filter->capacity * 3 && !grow(filter)) {
        client_filter_free(filter);
        return;
    }
    slot = slot_of(filter->slots, filter->capacity, value);
    if (filter->slots[slot] != 0)
        return;
    filter->slots[slot] = value;
    filter->count++;
}

bool client_filter_may_hold(const struct client_filter *filter,
                            const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    uint16_t value = fingerprint(digest);

    if (!filter->complete)
        return true;
    return filter->count > 0 &&
           filter->slots[slot_of(filter->slots, filter->capacity, value)] == value;
}

void client_filter_expect(const struct client_filter *filter,
                          const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    if (filter->slots != NULL)
        __builtin_prefetch(&filter->slots[fingerprint(digest) & (filter->capacity - 1u)]);
}

size_t client_filter_bytes(const struct client_filter *filter)
{
    return filter->capacity * sizeof *filter->slots;
}
