/*
 * The pages of the database's file, looked at without LMDB: whether its trees, and its list of free
 * pages, hold together.
 *
 * LMDB maps the file and follows page numbers, offsets and sizes without doubting them: on a
 * damaged or truncated file it ends the process (SIGBUS, SIGSEGV or an assertion). So the file is
 * read with pread(2) first, and LMDB gets to see it only when all that it would follow stays within
 * the file. What rows say is not looked at: they have CRCs of their own.
 *
 * Any thread; blocks. Nobody may write to the file meanwhile. Changes nothing.
 */
#ifndef STORE_DATABASE_PAGES_H
#define STORE_DATABASE_PAGES_H

#include "store/status.h"
#include <stdint.h>

enum database_pages_depth {
    /* Branch pages, the list of free pages, the table of tables: where each page is and that none
     * is in two places. The pages with the rows are not read: about one page in a hundred is. */
    DATABASE_PAGES_QUICK,
    /* Every page in use. After this LMDB can read anything in the file without harm. */
    DATABASE_PAGES_FULL,
};

struct database_pages {
    uint64_t page_bytes;
    uint64_t pages_used; /* up to the last one in use */
    uint64_t pages_present;
    uint64_t pages_read;
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t free_pages;
    uint64_t lost_pages; /* neither in use nor free: wasted, which does no harm */
    uint64_t problems;
};

struct database_pages_problem {
    const char *table; /* "main" and "free" are LMDB's own; NULL before any table is known */
    uint64_t page;
    uint64_t offset;  /* in the file, in bytes */
    const char *what; /* valid during the call */
};

typedef void (*database_pages_report_fn)(void *data, const struct database_pages_problem *problem);

/*
 * Checks the pages that the newer meta page leads to. `report` (NULL: nobody) is called for each
 * problem; below a damaged page the walk does not go on, beside it it does. Returns 0, or
 * STORE_CORRUPT with the first problem in `failure`, or as database_file_check: STORE_NOT_FOUND,
 * STORE_FORMAT, STORE_IO; STORE_NO_MEMORY. `figures` are valid with 0 and STORE_CORRUPT.
 */
int database_pages_check(const char *path, enum database_pages_depth depth,
                         database_pages_report_fn report, void *data,
                         struct database_pages *figures, struct store_failure *failure);

#endif
