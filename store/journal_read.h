/*
 * Reading a journal that another process may be appending to: its records as of now, in memory.
 * Changes nothing and takes no lock.
 *
 * One thread; blocks. The journal's segments may be released and used again while they are read:
 * only what is settled can go that way, so that a snapshot of the database that is begun after
 * journal_read returns has whatever the journal no longer had.
 */
#ifndef STORE_JOURNAL_READ_H
#define STORE_JOURNAL_READ_H

#include "store/journal.h"
#include <stdbool.h>

struct journal_image;

struct journal_figures {
    uint64_t segments;       /* files */
    uint64_t bytes;          /* of them */
    uint64_t format_version; /* the highest one; 0 when no segment has a header */
};

/*
 * Reads all whole records behind `after_lsn`. A journal that does not exist is empty. Returns 0,
 * STORE_FORMAT, STORE_IO or STORE_NO_MEMORY with `failure`; the image is the caller's to free.
 */
int journal_read(struct journal_image **image, const char *directory, const uint8_t store_id[16],
                 uint64_t after_lsn, struct journal_figures *figures,
                 struct store_failure *failure);

/*
 * Replays the records from `settled_lsn` + 1 on, up to the first that is not there. `settled_lsn`
 * is at least the image's `after_lsn`. Returns 0 with the last LSN (`settled_lsn` when there were
 * none); STORE_CORRUPT when another record says that the one missing was durable: it is damaged, or
 * the image was taken while segments changed quickly, which reading again shows; or what `replay`
 * returned.
 */
int journal_image_replay(const struct journal_image *image, uint64_t settled_lsn,
                         journal_replay_fn replay, void *data, uint64_t *last_lsn,
                         struct store_failure *failure);
void journal_image_free(struct journal_image *image);

#endif
