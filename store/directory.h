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

/* Bytes that are free for us on the directory's file system; UINT64_MAX when that is unknown. */
uint64_t directory_free_bytes(const char *path);

#endif
