/*
 * Writes to the segment that is appended to, one batch after the other.
 *
 * Where the file system allows it, past the page cache (O_DIRECT): what is synced at once gains
 * nothing by a copy in memory, and finding, locking and cleaning its pages takes longer than
 * copying it. Such writes are whole blocks out of aligned memory, so the block that a batch ends in
 * is written again with the next one: with the same bytes as far as it had been filled. (Through
 * the page cache it is no different: the system writes back whole pages.) The rest of the block is
 * zero.
 *
 * By one thread at a time. Functions return 0 or a negative errno value; after an error
 * nobody knows what is on disk.
 */
#ifndef STORE_JOURNAL_WRITER_H
#define STORE_JOURNAL_WRITER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is written at once at most. */
#define JOURNAL_WRITER_STAGING_BYTES ((size_t)256 * 1024)

struct journal_writer {
    int fd;           /* -1: none is open */
    bool direct;      /* past the page cache */
    uint64_t offset;  /* where the next bytes go */
    uint8_t *staging; /* direct: the block of `offset`, as far as it is filled */
};

/* Returns 0 or -ENOMEM. */
int journal_writer_init(struct journal_writer *writer);
void journal_writer_free(struct journal_writer *writer);

/* Goes on in the file `name` of `directory_fd` at `offset`; closes the one before. */
int journal_writer_open(struct journal_writer *writer, int directory_fd, const char *name,
                        uint64_t offset);
/* The file must have room. */
int journal_writer_write(struct journal_writer *writer, const uint8_t *bytes, size_t size);
/* What was written is on disk when this returns 0. */
int journal_writer_sync(struct journal_writer *writer);

#endif
