/*
 * Backups: a copy of a store that the service can be started with, taken while it runs or not.
 *
 * What was acknowledged when the command began is in it, and so is everything before the last
 * message that is in it; the unsettled is in a journal of its own.
 */
#ifndef STORE_BACKUP_H
#define STORE_BACKUP_H

#include "store/status.h"
#include "store/verify.h"

/*
 * Copies the store in `directory` to `target`, which does not exist or is an empty directory. The
 * copy is made beside it as `target`.unfinished, synced, verified, and renamed; so what has the
 * name is whole. Returns 0 with what verifying it found; or a status with `failure`, and nothing is
 * left behind. Blocks.
 */
int backup_make(const char *directory, const char *target, struct verify_figures *figures,
                struct store_failure *failure);

#endif
