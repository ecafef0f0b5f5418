/* The data directory: made if missing, and held by one process at a time (flock on the file
 * "lock"). */
#ifndef STORE_DIRECTORY_H
#define STORE_DIRECTORY_H

#include "store/status.h"
#include <stdint.h>

/*
 * Makes `path` if needed (its parent must exist) and locks it. Returns a descriptor that holds the
 * lock until it is closed, or a negative status with `failure` (STORE_LOCKED names the holder).
 */
int directory_lock(const char *path, struct store_failure *failure);
void directory_unlock(int descriptor);

/*
 * What is left of a store that lacks its database or its journal must not be taken for a whole one:
 * messages that were acknowledged would be missing, and nothing would say so. The first is to be
 * asked before the database is opened, which would make one; the second before the journal is, of a
 * database that has settled something. A journal that is an empty directory passes: whoever makes
 * it has given up what was in it, and the journal's own check says if the database cannot do
 * without (journal_open). Return 0 or STORE_CORRUPT with `failure`.
 *
 * For a store that is new, the first also sees to it that the directory's name is on disk: what is
 * synced in a directory that a power loss takes away is lost as well. STORE_IO when it cannot be.
 */
int directory_check_database(const char *path, struct store_failure *failure);
int directory_check_journal(const char *path, struct store_failure *failure);

/* Bytes that are free for us on the directory's file system; UINT64_MAX when that is unknown. */
uint64_t directory_free_bytes(const char *path);

#endif
