/* What the database's file says of itself, read before LMDB maps it. */
#ifndef STORE_DATABASE_FILE_H
#define STORE_DATABASE_FILE_H

#include "store/status.h"
#include <stdint.h>

/* LMDB does not write pages that a transaction took at the end of the file and gave back. So many
 * may be missing there: as many as a transaction's list of free pages can be moved by, with room to
 * spare. */
#define DATABASE_MISSING_BYTES_MAX (64u << 20)

struct database_file {
    uint64_t page_bytes;
    uint64_t pages_present; /* whole ones */
    uint64_t pages_used;    /* up to the last page in use, as the newer meta page says */
    uint64_t bytes;
};

/*
 * Checks that `path` begins with LMDB's two meta pages and says how long it is and should be: LMDB
 * maps without looking, and reading a page that the file does not have would end the process with
 * SIGBUS. Changes nothing. Any thread; blocks. Returns 0, STORE_NOT_FOUND when there is no such
 * file, STORE_CORRUPT, STORE_FORMAT or STORE_IO with `failure`.
 */
int database_file_check(const char *path, struct database_file *found,
                        struct store_failure *failure);

#endif
