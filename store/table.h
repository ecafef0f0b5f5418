/*
 * A hash table of pointers: open addressing with linear probing, deletion by shifting back, so
 * that it never fills with tombstones however long entries come and go. Callers bring the
 * hash (64 good bits) and compare; the table compares only hashes. One thread.
 */
#ifndef STORE_TABLE_H
#define STORE_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table_slot {
    uint64_t hash;
    void *item; /* NULL: empty */
};

struct table {
    struct table_slot *slots;
    size_t capacity; /* 0 or a power of two */
    size_t count;
};

/* Whether `item`, whose hash is the wanted one, is the one meant by `key`. */
typedef bool (*table_match_fn)(const void *item, const void *key);

/* Zero-initialised is empty. Frees the slots, not the items. */
void table_free(struct table *table);
/* Fetches what table_find will read for this hash into the processor's cache. */
void table_expect(const struct table *table, uint64_t hash);
/* The first item with this hash, or NULL: it may be another one than the one meant. */
void *table_guess(const struct table *table, uint64_t hash);
void *table_find(const struct table *table, uint64_t hash, table_match_fn match, const void *key);
/* `item` must not be there already. Returns 0 or STORE_NO_MEMORY. */
int table_add(struct table *table, uint64_t hash, void *item);
/* Removes this very item; it must be there. */
void table_remove(struct table *table, uint64_t hash, const void *item);

#endif
