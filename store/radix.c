/*
 * From the lowest byte of the keys to the highest, each time into the other array, in the order of
 * that byte and otherwise as they are. A byte that is the same in all of them is passed over.
 */
#include "store/radix.h"

#include <string.h>

#define BYTES sizeof(uint64_t)
#define VALUES 256

static void count_bytes(const struct radix_item *items, size_t count, size_t counts[BYTES][VALUES])
{
    memset(counts, 0, BYTES * sizeof *counts);
    for (size_t i = 0; i < count; i++)
        for (size_t byte = 0; byte < BYTES; byte++)
            counts[byte][items[i].key >> (8 * byte) & (VALUES - 1)]++;
}

static void distribute(const struct radix_item *from, struct radix_item *to, size_t count,
                       size_t byte, const size_t counts[VALUES])
{
    size_t places[VALUES];
    size_t place = 0;

    for (size_t value = 0; value < VALUES; value++) {
        places[value] = place;
        place += counts[value];
    }
    for (size_t i = 0; i < count; i++)
        to[places[from[i].key >> (8 * byte) & (VALUES - 1)]++] = from[i];
}

void radix_sort(struct radix_item *items, struct radix_item *scratch, size_t count)
{
    size_t counts[BYTES][VALUES];
    struct radix_item *from = items;
    struct radix_item *to = scratch;

    if (count < 2)
        return;
    count_bytes(items, count, counts);
    for (size_t byte = 0; byte < BYTES; byte++) {
        struct radix_item *sorted = to;
        if (counts[byte][items[0].key >> (8 * byte) & (VALUES - 1)] == count)
            continue;
        distribute(from, to, count, byte, counts[byte]);
        to = from;
        from = sorted;
    }
    if (from != items)
        memcpy(items, from, count * sizeof *items);
}
