/*
 * Reading a journal back: which segments there are, what is in them, and whether what is missing
 * may be missing. Changes nothing on disk; journal.c does what follows from the result.
 *
 * For the thread that opens the journal. The result's memory is the caller's.
 */
#ifndef STORE_JOURNAL_RECOVERY_H
#define STORE_JOURNAL_RECOVERY_H

#include "store/journal.h"
#include <stddef.h>
#include <stdint.h>

/* Segment files are numbered; so many at most. */
#define JOURNAL_SLOTS_MAX 9999
#define JOURNAL_SLOT_NAME_BYTES 16

enum journal_slot_state {
    JOURNAL_SLOT_ABSENT = 0,
    JOURNAL_SLOT_MAKING, /* a file is being made for it; nobody else may touch it */
    JOURNAL_SLOT_FREE,
    JOURNAL_SLOT_USED,    /* holds records that may still be needed; not written to any more */
    JOURNAL_SLOT_CURRENT, /* appended to */
};

/* slots[i] is the file `i + 1`.seg */
struct journal_slot {
    enum journal_slot_state state;
    uint64_t bytes;     /* the file's size */
    uint64_t first_lsn; /* of a valid header; 0: it has none */
    uint64_t last_lsn;  /* USED and CURRENT: of the last record in it */
};

/* `name` has JOURNAL_SLOT_NAME_BYTES. */
void journal_slot_name(char *name, unsigned slot);
/* The slot of a file name, or JOURNAL_SLOTS_MAX when it is no segment's. */
unsigned journal_slot_of_name(const char *name);

struct journal_source {
    const char *directory; /* for messages */
    int directory_fd;
    unsigned segments_max;
    const uint8_t *store_id; /* 16 bytes */
    uint64_t settled_lsn;
    uint64_t reached_lsn; /* no record up to this one may be missing; 0: none has to be there */
    journal_replay_fn replay;
    void *data;
};

struct journal_bytes {
    uint8_t *data;
    size_t capacity;
};

struct journal_recovered {
    struct journal_slot *slots; /* JOURNAL_SLOTS_MAX; none but those below slot_count is present */
    unsigned slot_count;        /* segments_max at least */
    unsigned last_slot;         /* the one with the highest LSN; slot_count when there is none */
    /* That one's content, where its good records end and where the last batch of them begins. It
     * is CURRENT, or FREE when it must not be appended to. */
    struct journal_bytes bytes;
    size_t batch_offset;
    size_t tail_offset;
};

/* Fails as journal_open does. `recovered` is to be freed in either case. */
int journal_recover(struct journal_recovered *recovered, const struct journal_source *source,
                    struct journal_recovery *figures, struct store_failure *failure);
void journal_recovered_free(struct journal_recovered *recovered);

#endif
