/*
 * The journal: commands in the order in which they happened, durable before they take effect.
 *
 * Records go into segments: files of one fixed size, written full of zeros before they are used,
 * so that an append changes neither a file's size nor its allocation. An append then costs one
 * pwrite and one fdatasync, and cannot hit a full disk. A batch of records is written and synced at
 * once, never lies in two segments, and is wholly durable when journal_append returns 0. Segments
 * that are no longer needed are used again.
 *
 * Every record carries the LSN (log sequence number) up to which all was durable when it was
 * written. That is what tells the two kinds of damage apart on recovery: behind a torn append,
 * which was never acknowledged, no record can say that the torn one was durable; if one does, a
 * record that had been acknowledged is damaged, and opening fails with STORE_CORRUPT and changes
 * nothing.
 *
 * Threads: journal_open and journal_close by one thread alone. Then one thread may append
 * while another one calls journal_release, journal_prepare and journal_room_bytes: they share the
 * list of free segments under a lock held for a few instructions, never over a system call.
 *
 * Failure: after an append that failed nobody knows what is on disk. The journal then refuses
 * every further append, and the process has to end.
 */
#ifndef STORE_JOURNAL_H
#define STORE_JOURNAL_H

#include "store/status.h"
#include <stddef.h>
#include <stdint.h>

struct journal;

/* The header of each record, in front of the payload, in bytes; layout in journal_format.c. */
#define JOURNAL_RECORD_HEADER_BYTES 32
/* A segment's header, in bytes. */
#define JOURNAL_SEGMENT_HEADER_BYTES 4096

struct journal_options {
    const char *directory;  /* exists or is made; nothing else lives in it */
    uint64_t segment_bytes; /* of new segments: 1 MiB to 1 GiB, a multiple of 4096 */
    unsigned segments_max;  /* 2 to 9999: bounds the journal's size */
    uint64_t reached_lsn;   /* the database may hold what came up to here; see journal_open */
    /* NULL, or called behind the last record with the data of `replay`, and with its meaning, for a
     * caller that does not carry them out at once. */
    int (*replayed)(void *data);
};

struct journal_record {
    uint64_t lsn;
    uint8_t kind;
    uint32_t size;
    const uint8_t *payload; /* borrowed: valid during the call that passes it */
};

/* Called on recovery for each record after `settled_lsn`, in order. Non-zero stops it; the caller
 * may have filled the `failure` that was passed to journal_open itself, and it is then kept. */
typedef int (*journal_replay_fn)(void *data, const struct journal_record *record);

struct journal_recovery {
    uint64_t last_lsn;   /* settled_lsn when there were no records behind it */
    uint64_t records;    /* replayed */
    uint64_t bytes;      /* of those, with headers */
    uint64_t torn_bytes; /* of an unfinished append that were cleared, as far as can be told */
};

/*
 * Opens or makes the journal and replays what lies behind `settled_lsn`. Before it returns 0, what
 * was replayed is synced, a torn tail is cleared, and a free segment is ready unless the disk is
 * full (that is no error: see journal_room_bytes). `store_id` (16 bytes) goes into segment headers;
 * a segment of another store is refused. An empty directory is an empty journal, whatever
 * `settled_lsn` is; numbering goes on from there.
 *
 * With a `reached_lsn` in the options that is behind `settled_lsn`, a journal that ends before it
 * is STORE_CORRUPT: these records were durable, and the database has the effects of some of them.
 *
 * Returns STORE_CORRUPT, STORE_FORMAT, STORE_IO, STORE_FULL (the directory cannot be made),
 * STORE_NO_MEMORY, or what `replay` returned, with `failure` filled. Nothing on disk has then been
 * changed, except by a STORE_IO that came after the last record was replayed: opening again does
 * no harm.
 */
int journal_open(struct journal **journal, const struct journal_options *options,
                 const uint8_t store_id[16], uint64_t settled_lsn, journal_replay_fn replay,
                 void *data, struct journal_recovery *recovery, struct store_failure *failure);

/*
 * A batch: a buffer that the caller fills with records through journal_batch_add. One owner at a
 * time. Zero-initialise; keeps its memory when reset.
 */
struct journal_batch {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    uint32_t count; /* of records */
};

/*
 * Room for one more record of `size` bytes of payload. Returns where to write the payload (valid
 * until the next add), or NULL when out of memory. The rest of the header is filled in by
 * journal_append.
 */
uint8_t *journal_batch_add(struct journal_batch *batch, uint8_t kind, uint32_t size);
/* What a record of `size` bytes of payload takes in a batch and in a segment. */
size_t journal_record_bytes(uint32_t size);
void journal_batch_reset(struct journal_batch *batch);
void journal_batch_free(struct journal_batch *batch);

/* The largest batch that fits into a segment, in bytes. A larger one is STORE_IO. */
size_t journal_batch_bytes_max(const struct journal *journal);

/*
 * Numbers the batch's records from the last LSN + 1, writes them and syncs. Returns 0 when they are
 * durable; STORE_FULL when there is no free segment (nothing was written; the same batch may be
 * tried again later); or STORE_IO, after which the journal is unusable and `failure` says what
 * failed. Blocks for the disk.
 */
int journal_append(struct journal *journal, struct journal_batch *batch,
                   struct store_failure *failure);

/* How many bytes can be appended at least before a segment has to be made or released, in batches
 * of `batch_bytes_max` at most each, however they fall on the segments. Any thread. */
uint64_t journal_room_bytes(struct journal *journal, size_t batch_bytes_max);
/* Segments in use and free, with headers, in bytes. Any thread. */
uint64_t journal_disk_bytes(struct journal *journal);

/* Records up to `settled_lsn` are no longer needed, for good: segments that hold no others become
 * free, but for the one that is appended to. */
void journal_release(struct journal *journal, uint64_t settled_lsn);

/*
 * Makes one more segment when none is free and segments_max allows it. Blocks for the disk; not
 * for the thread that appends. By one thread at a time. Returns 0 (also when there was nothing to
 * do), STORE_FULL, or STORE_IO, with `failure`; the journal goes on as it was before.
 */
int journal_prepare(struct journal *journal, struct store_failure *failure);

/* Writes nothing: what was appended is durable, and closing is no different from a crash. */
void journal_close(struct journal *journal);

#endif
