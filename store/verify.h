/*
 * Whether a data directory is sound: the database's pages, its rows, and the journal's records as
 * far as they are needed. For a directory that no process holds; changes nothing in it.
 */
#ifndef STORE_VERIFY_H
#define STORE_VERIFY_H

#include "store/database_pages.h"
#include "store/database_verify.h"
#include "store/status.h"
#include <stdint.h>
#include <stdio.h>

struct verify_figures {
    struct database_pages pages;
    struct database_verified rows;
    uint64_t journal_records; /* not settled */
    uint64_t settled_lsn;
    uint64_t last_lsn;
    uint64_t problems; /* of all kinds */
};

/*
 * Writes a line for each problem to `out`. Returns 0 when the check was made, whatever it found;
 * STORE_NOT_FOUND, STORE_LOCKED, STORE_FORMAT, STORE_IO or STORE_NO_MEMORY with `failure` when it
 * could not be made. Damaged pages end it: what lies behind them is then not looked at.
 */
int verify_directory(const char *directory, FILE *out, struct verify_figures *figures,
                     struct store_failure *failure);

#endif
