#include "store/table.h"

#include "store/status.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CAPACITY_MIN 64
/* Of the system's larger pages. A table that takes several is in them, if there are any to be had:
 * each place in it is met at random, and would otherwise be looked for in the page tables, too. */
#define LARGE_PAGE_BYTES ((size_t)2 * 1024 * 1024)

/* The hashes are digests or random ids: any of their bits are as good as others. */
static size_t home_of(const struct table *table, uint64_t hash)
{
    return (size_t)hash & (table->capacity - 1);
}

static size_t next_of(const struct table *table, size_t index)
{
    return (index + 1) & (table->capacity - 1);
}

void table_free(struct table *table)
{
    free(table->slots);
    *table = (struct table){0};
}

void table_expect(const struct table *table, uint64_t hash)
{
    if (table->count > 0)
        __builtin_prefetch(&table->slots[home_of(table, hash)]);
}

void *table_guess(const struct table *table, uint64_t hash)
{
    if (table->count == 0)
        return NULL;
    for (size_t i = home_of(table, hash); table->slots[i].item != NULL; i = next_of(table, i)) {
        if (table->slots[i].hash == hash)
            return table->slots[i].item;
    }
    return NULL;
}

void *table_find(const struct table *table, uint64_t hash, table_match_fn match, const void *key)
{
    if (table->count == 0)
        return NULL;
    for (size_t i = home_of(table, hash); table->slots[i].item != NULL; i = next_of(table, i)) {
        if (table->slots[i].hash == hash && match(table->slots[i].item, key))
            return table->slots[i].item;
    }
    return NULL;
}

static void place(struct table *table, uint64_t hash, void *item)
{
    size_t i = home_of(table, hash);
    while (table->slots[i].item != NULL)
        i = next_of(table, i);
    table->slots[i] = (struct table_slot){hash, item};
}

static struct table_slot *make_slots(size_t capacity)
{
    size_t bytes = capacity * sizeof(struct table_slot);
    struct table_slot *slots;

    if (bytes < 2 * LARGE_PAGE_BYTES)
        return calloc(capacity, sizeof *slots);
    slots = aligned_alloc(LARGE_PAGE_BYTES, bytes);
    if (slots == NULL)
        return NULL;
    (void)madvise(slots, bytes, MADV_HUGEPAGE);
    memset(slots, 0, bytes);
    return slots;
}

static int grow(struct table *table)
{
    struct table larger = {.capacity = table->capacity == 0 ? CAPACITY_MIN : table->capacity * 2,
                           .count = table->count};

    larger.slots = make_slots(larger.capacity);
    if (larger.slots == NULL)
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < table->capacity; i++) {
        if (table->slots[i].item != NULL)
            place(&larger, table->slots[i].hash, table->slots[i].item);
    }
    free(table->slots);
    *table = larger;
    return 0;
}

int table_add(struct table *table, uint64_t hash, void *item)
{
    /* At most two thirds full: probes stay short. */
    if ((table->count + 1) * 3 > table->capacity * 2) {
        int status = grow(table);
        if (status != 0)
            return status;
    }
    place(table, hash, item);
    table->count++;
    return 0;
}

void table_remove(struct table *table, uint64_t hash, const void *item)
{
    size_t hole = home_of(table, hash);

    while (table->slots[hole].item != item)
        hole = next_of(table, hole);
    /* Whatever comes behind the hole, up to the next empty slot, moves into it if the hole lies
     * between its home and where it is now. */
    for (size_t i = next_of(table, hole); table->slots[i].item != NULL; i = next_of(table, i)) {
        size_t home = home_of(table, table->slots[i].hash);
        size_t distance_home = (i - home) & (table->capacity - 1);
        size_t distance_hole = (i - hole) & (table->capacity - 1);
        if (distance_home >= distance_hole) {
            table->slots[hole] = table->slots[i];
            hole = i;
        }
    }
    table->slots[hole].item = NULL;
    table->count--;
}
