/* What is in a store: of a data directory that nobody holds, or of the service's as of now. */
#ifndef STORE_STATS_H
#define STORE_STATS_H

#include "base/uuid.h"
#include "store/database.h"
#include "store/journal_read.h"
#include "store/status.h"
#include <stdbool.h>
#include <stdio.h>

struct stats_namespace {
    char name[DATABASE_NAMESPACE_BYTES_MAX + 1];
    uint64_t chats;
    uint64_t messages;
};

struct stats {
    struct uuid store_id;
    bool in_use; /* by another process */
    uint64_t chats;
    uint64_t messages;
    unsigned database_format;
    uint64_t database_bytes;
    uint64_t settled_lsn;
    uint64_t reached_lsn; /* behind it: a settle job is under way, or was cut short */
    uint64_t last_lsn;
    struct journal_figures journal;
    struct stats_namespace *namespaces; /* by name */
    size_t namespace_count;
};

/* Fails as view_open does; STORE_CORRUPT too when a chat cannot be read. To be freed in any case.
 */
int stats_read(const char *directory, struct stats *stats, struct store_failure *failure);
void stats_free(struct stats *stats);

/* As lines of text, or as one JSON object with the same names. Returns 0 or STORE_IO. */
int stats_write(const struct stats *stats, bool json, FILE *out);

#endif
