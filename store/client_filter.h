/*
 * Which client ids a chat may have used: a set of 16-bit fingerprints of their digests.
 *
 * A Send whose client id is not in the set cannot be a retry of a message in the database, and
 * need not be looked up there, which costs a hop to another thread and cold pages. Nearly all are
 * not: a retry is rare, and another id has the same fingerprint as one of n in n of 65,536 cases.
 * The set is exact in one direction only: what was added is found.
 *
 * A set knows all or nothing: one that would grow too large, or finds no memory, is given up, and
 * then holds everything. Zero-initialised it is given up; client_filter_begin makes it empty. Not
 * for several threads at once.
 */
#ifndef STORE_CLIENT_FILTER_H
#define STORE_CLIENT_FILTER_H

#include "store/database.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Client ids in a set, at most. */
#define CLIENT_FILTER_MAX 3072

struct client_filter {
    uint16_t *slots; /* 0: empty; NULL with a capacity of 0 */
    uint16_t capacity;
    uint16_t count;
    bool complete; /* not given up */
};

void client_filter_begin(struct client_filter *filter);
void client_filter_free(struct client_filter *filter);
void client_filter_add(struct client_filter *filter, const uint8_t digest[DATABASE_DIGEST_BYTES]);
/* False: it was never added. */
bool client_filter_may_hold(const struct client_filter *filter,
                            const uint8_t digest[DATABASE_DIGEST_BYTES]);
/* Fetches what client_filter_may_hold will read into the processor's cache. */
void client_filter_expect(const struct client_filter *filter,
                          const uint8_t digest[DATABASE_DIGEST_BYTES]);
/* Memory that it takes besides the struct. */
size_t client_filter_bytes(const struct client_filter *filter);

#endif
