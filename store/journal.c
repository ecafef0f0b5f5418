/*
 * A directory holds slots, the files 0001.seg, 0002.seg, ...: segments of fixed size that are used
 * again and again, overwritten in place.
 *
 *                 journal_prepare             journal_append, when the
 *                 (next.new, renamed)         current one has no room
 *     ABSENT ---> MAKING ---------> FREE -----------------------------> CURRENT
 *                                    ^                                     |
 *                                    |  journal_release                    | the next one
 *                                    +--------------- USED <---------------+ becomes current
 *
 * Appending fills in the numbers and CRCs of the records in the batch, writes them behind the last
 * one and syncs. When the batch does not fit, the next free slot gets a new header first, which is
 * synced by itself: so no record is ever on disk behind a header that is not, and records of an
 * append that a crash cut short can only be in the slot with the highest valid header, where
 * recovery clears them.
 *
 * The records of an earlier use stay behind the new ones in a slot. They never come back: a record
 * counts only at its expected LSN, and LSNs only grow.
 *
 * Any write or sync that fails leaves the journal broken. The next opening finds out what is on
 * disk. It writes the last batch again before it syncs, since after a failed sync the system may
 * show bytes that never reached the disk and take them for clean.
 *
 * The format is in journal_format.c, recovery in journal_recovery.c.
 */
#include "store/journal.h"

#include "store/disk.h"
#include "store/journal_format.h"
#include "store/journal_recovery.h"
#include "store/journal_writer.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A segment that is being made; renamed when it is whole. */
#define UNFINISHED_NAME "next.new"
#define FREE_SLOTS_KEPT 2

struct journal {
    char *directory;
    int directory_fd;
    uint8_t store_id[16];
    uint32_t seed;
    uint64_t segment_bytes;
    unsigned segments_max;

    /* The appending thread's. */
    struct journal_writer writer; /* to the current slot */
    bool broken;

    /* Below: written by whoever holds the lock, which is never held over a system call.
     * `current`, `offset` and `last_lsn` are written by the appending thread only, which therefore
     * reads them without it. */
    pthread_mutex_t lock;
    struct journal_slot *slots;
    unsigned slot_count;
    unsigned current; /* slot_count when there is none */
    uint64_t offset;  /* where the next batch goes in it */
    uint64_t last_lsn;
};

static const uint8_t zeros[256 * 1024];

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t slot_capacity(const struct journal_slot *slot)
{
    return slot->bytes - JOURNAL_SEGMENT_HEADER_BYTES;
}

static int fail_io(const struct journal *journal, struct store_failure *failure, const char *what,
                   int error)
{
    bool full = error == -ENOSPC || error == -EDQUOT;

    return store_fail(failure, full ? STORE_FULL : STORE_IO, "%s: %s: %s", journal->directory, what,
                      disk_error_text(error));
}

/* --- batches --- */

static bool batch_reserve(struct journal_batch *batch, size_t more)
{
    size_t capacity = batch->capacity > 0 ? batch->capacity : 4096;
    uint8_t *bytes;

    while (capacity - batch->size < more)
        capacity *= 2;
    if (capacity == batch->capacity)
        return true;
    bytes = realloc(batch->bytes, capacity);
    if (bytes == NULL)
        return false;
    batch->bytes = bytes;
    batch->capacity = capacity;
    return true;
}

uint8_t *journal_batch_add(struct journal_batch *batch, uint8_t kind, uint32_t size)
{
    size_t total = journal_record_bytes(size);
    uint8_t *record;

    if (!batch_reserve(batch, total))
        return NULL;
    record = batch->bytes + batch->size;
    journal_format_begin_record(record, kind, size);
    batch->size += total;
    batch->count++;
    return record + JOURNAL_RECORD_HEADER_BYTES;
}

void journal_batch_reset(struct journal_batch *batch)
{
    batch->size = 0;
    batch->count = 0;
}

void journal_batch_free(struct journal_batch *batch)
{
    free(batch->bytes);
    *batch = (struct journal_batch){0};
}

size_t journal_batch_bytes_max(const struct journal *journal)
{
    return (size_t)journal->segment_bytes - JOURNAL_SEGMENT_HEADER_BYTES;
}

/* --- appending --- */

static int break_journal(struct journal *journal, struct store_failure *failure, const char *what,
                         int error)
{
    journal->broken = true;
    return store_fail(failure, STORE_IO, "%s/%04u.seg: %s at byte %" PRIu64 ": %s",
                      journal->directory, journal->current + 1, what, journal->offset,
                      disk_error_text(error));
}

/* Makes a free slot with room for `size` bytes the current one. False when there is none. */
static bool take_free_slot(struct journal *journal, size_t size)
{
    bool taken = false;

    pthread_mutex_lock(&journal->lock);
    for (unsigned i = 0; i < journal->slot_count && !taken; i++) {
        struct journal_slot *slot = &journal->slots[i];

        if (slot->state != JOURNAL_SLOT_FREE || slot_capacity(slot) < size)
            continue;
        if (journal->current != journal->slot_count)
            journal->slots[journal->current].state = JOURNAL_SLOT_USED;
        slot->state = JOURNAL_SLOT_CURRENT;
        slot->first_lsn = journal->last_lsn + 1;
        slot->last_lsn = journal->last_lsn;
        journal->current = i;
        journal->offset = JOURNAL_SEGMENT_HEADER_BYTES;
        taken = true;
    }
    pthread_mutex_unlock(&journal->lock);
    return taken;
}

static int write_header(struct journal *journal)
{
    const struct journal_slot *slot = &journal->slots[journal->current];
    struct journal_header header = {.version = JOURNAL_FORMAT_VERSION,
                                    .segment_bytes = slot->bytes,
                                    .first_lsn = slot->first_lsn};
    uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES];
    int error;

    memcpy(header.store_id, journal->store_id, sizeof header.store_id);
    journal_format_write_header(bytes, &header);
    error = journal_writer_write(&journal->writer, bytes, sizeof bytes);
    return error != 0 ? error : journal_writer_sync(&journal->writer);
}

static int begin_segment(struct journal *journal, size_t size, struct store_failure *failure)
{
    char name[JOURNAL_SLOT_NAME_BYTES];
    int error;

    if (!take_free_slot(journal, size))
        return store_fail(failure, STORE_FULL, "%s: no free segment", journal->directory);
    journal_slot_name(name, journal->current);
    error = journal_writer_open(&journal->writer, journal->directory_fd, name, 0);
    if (error != 0)
        return break_journal(journal, failure, "cannot open the segment", error);
    error = write_header(journal);
    return error != 0 ? break_journal(journal, failure, "cannot write the header", error)
                      : STORE_OK;
}

static void seal_batch(const struct journal *journal, struct journal_batch *batch)
{
    size_t offset = 0;

    for (uint64_t lsn = journal->last_lsn + 1; offset < batch->size; lsn++)
        offset += journal_format_seal_record(batch->bytes + offset, journal->seed, lsn,
                                             journal->last_lsn);
}

static bool fits_current(const struct journal *journal, size_t size)
{
    return journal->current != journal->slot_count &&
           journal->slots[journal->current].bytes - journal->offset >= size;
}

int journal_append(struct journal *journal, struct journal_batch *batch,
                   struct store_failure *failure)
{
    int status, error;

    if (journal->broken)
        return store_fail(failure, STORE_IO, "%s: an earlier append failed", journal->directory);
    if (batch->size > journal_batch_bytes_max(journal))
        return store_fail(failure, STORE_IO, "%s: a batch of %zu bytes is larger than a segment",
                          journal->directory, batch->size);
    if (batch->count == 0)
        return STORE_OK;
    if (!fits_current(journal, batch->size)) {
        status = begin_segment(journal, batch->size, failure);
        if (status != STORE_OK)
            return status;
    }
    seal_batch(journal, batch);
    error = journal_writer_write(&journal->writer, batch->bytes, batch->size);
    if (error != 0)
        return break_journal(journal, failure, "cannot write", error);
    error = journal_writer_sync(&journal->writer);
    if (error != 0)
        return break_journal(journal, failure, "cannot sync", error);
    pthread_mutex_lock(&journal->lock);
    journal->offset += batch->size;
    journal->last_lsn += batch->count;
    journal->slots[journal->current].last_lsn = journal->last_lsn;
    pthread_mutex_unlock(&journal->lock);
    return STORE_OK;
}

/* --- slots --- */

uint64_t journal_room_bytes(struct journal *journal, size_t batch_bytes_max)
{
    /* A batch that does not fit leaves less than its own size unused at a segment's end. */
    uint64_t waste_max = batch_bytes_max > 8 ? batch_bytes_max - 8 : 0;
    uint64_t room = 0, last_waste = 0;

    pthread_mutex_lock(&journal->lock);
    if (journal->current != journal->slot_count) {
        room = journal->slots[journal->current].bytes - journal->offset;
        last_waste = min_u64(room, waste_max);
    }
    for (unsigned i = 0; i < journal->slot_count; i++) {
        const struct journal_slot *slot = &journal->slots[i];

        if (slot->state != JOURNAL_SLOT_FREE || slot_capacity(slot) < batch_bytes_max)
            continue;
        room += slot_capacity(slot) - last_waste;
        last_waste = waste_max;
    }
    pthread_mutex_unlock(&journal->lock);
    return room;
}

uint64_t journal_disk_bytes(struct journal *journal)
{
    uint64_t bytes = 0;

    pthread_mutex_lock(&journal->lock);
    for (unsigned i = 0; i < journal->slot_count; i++)
        bytes += journal->slots[i].bytes;
    pthread_mutex_unlock(&journal->lock);
    return bytes;
}

void journal_release(struct journal *journal, uint64_t settled_lsn)
{
    pthread_mutex_lock(&journal->lock);
    for (unsigned i = 0; i < journal->slot_count; i++) {
        struct journal_slot *slot = &journal->slots[i];

        if (slot->state == JOURNAL_SLOT_USED && slot->last_lsn <= settled_lsn)
            slot->state = JOURNAL_SLOT_FREE;
    }
    pthread_mutex_unlock(&journal->lock);
}

/* The slot that a segment should be made for: a free one of another size, or a new one. Returns
 * slot_count when one is ready, or when there are as many as there may be. */
static unsigned claim_slot(struct journal *journal)
{
    unsigned absent = journal->slot_count, other_size = journal->slot_count, present = 0;
    unsigned claimed = journal->slot_count;
    bool ready = false;

    pthread_mutex_lock(&journal->lock);
    for (unsigned i = journal->slot_count; i-- > 0;) {
        const struct journal_slot *slot = &journal->slots[i];

        if (slot->state == JOURNAL_SLOT_ABSENT)
            absent = i;
        else
            present++;
        if (slot->state == JOURNAL_SLOT_FREE && slot->bytes != journal->segment_bytes)
            other_size = i;
        else if (slot->state == JOURNAL_SLOT_FREE)
            ready = true;
    }
    if (!ready && other_size != journal->slot_count)
        claimed = other_size;
    else if (!ready && present < journal->segments_max)
        claimed = absent;
    if (claimed != journal->slot_count)
        journal->slots[claimed].state = JOURNAL_SLOT_MAKING;
    pthread_mutex_unlock(&journal->lock);
    return claimed;
}

static void set_slot(struct journal *journal, unsigned slot, uint64_t bytes)
{
    pthread_mutex_lock(&journal->lock);
    journal->slots[slot].bytes = bytes;
    journal->slots[slot].state = bytes > 0 ? JOURNAL_SLOT_FREE : JOURNAL_SLOT_ABSENT;
    pthread_mutex_unlock(&journal->lock);
}

static int write_zeros(int fd, uint64_t offset, uint64_t size)
{
    int error = 0;

    while (size > 0 && error == 0) {
        size_t part = (size_t)min_u64(size, sizeof zeros);

        error = disk_pwrite(fd, zeros, part, offset);
        offset += part;
        size -= part;
    }
    return error;
}

/* Allocated and written: only then has a later fdatasync no metadata to write. */
static int fill_segment(int fd, uint64_t size)
{
    int error = disk_allocate(fd, size);

    if (error == 0)
        error = write_zeros(fd, 0, size);
    return error != 0 ? error : disk_fsync(fd);
}

/* Makes a whole segment under a name that recovery does not look at, then renames it. Leaves
 * nothing behind when it fails. */
static int make_segment(const struct journal *journal, unsigned slot)
{
    char name[JOURNAL_SLOT_NAME_BYTES];
    int fd = disk_open(journal->directory_fd, UNFINISHED_NAME, O_WRONLY | O_CREAT | O_TRUNC);
    int error;

    if (fd < 0)
        return fd;
    error = fill_segment(fd, journal->segment_bytes);
    close(fd);
    journal_slot_name(name, slot);
    if (error == 0)
        error = disk_rename(journal->directory_fd, UNFINISHED_NAME, name);
    if (error != 0)
        disk_unlink(journal->directory_fd, UNFINISHED_NAME);
    return error;
}

int journal_prepare(struct journal *journal, struct store_failure *failure)
{
    unsigned slot = claim_slot(journal);
    int error;

    if (slot == journal->slot_count)
        return STORE_OK;
    error = make_segment(journal, slot);
    if (error != 0) {
        /* As it was before. */
        set_slot(journal, slot, journal->slots[slot].bytes);
        return fail_io(journal, failure, "cannot make a segment", error);
    }
    error = disk_fsync(journal->directory_fd);
    if (error != 0)
        /* The slot stays in the making: after a crash its file could be another one. */
        return fail_io(journal, failure, "cannot sync the directory", error);
    set_slot(journal, slot, journal->segment_bytes);
    return STORE_OK;
}

/* --- opening --- */

/* Overwrites with zeros what is not zero from `offset` on. */
static int clear_tail(int fd, const uint8_t *bytes, size_t size, size_t offset)
{
    int error = 0;

    while (offset < size && error == 0) {
        size_t part = (size_t)min_u64(size - offset, 64 * 1024 - offset % (64 * 1024));

        if (memcmp(bytes + offset, zeros, part) != 0)
            error = disk_pwrite(fd, zeros, part, offset);
        offset += part;
    }
    return error;
}

/* Makes what was replayed durable, and what was not impossible to come back. */
static int mend_last_slot(struct journal *journal, const struct journal_recovered *recovered,
                          int fd)
{
    const struct journal_slot *slot = &journal->slots[recovered->last_slot];
    size_t batch = recovered->batch_offset, tail = recovered->tail_offset;
    int error = disk_pwrite(fd, recovered->bytes.data + batch, tail - batch, batch);

    if (error == 0)
        error = clear_tail(fd, recovered->bytes.data, (size_t)slot->bytes, tail);
    if (error == 0)
        error = disk_fdatasync(fd);
    if (error != 0 || slot->state == JOURNAL_SLOT_CURRENT)
        return error;
    /* Nothing in it is needed. Without its header it cannot be taken for the last segment
     * beside the one that will begin with the same LSN. The tail is clear by now: a record
     * behind a missing header would look like damage. */
    error = write_zeros(fd, 0, JOURNAL_SEGMENT_HEADER_BYTES);
    return error != 0 ? error : disk_fdatasync(fd);
}

static int resume_last_slot(struct journal *journal, const struct journal_recovered *recovered,
                            struct store_failure *failure)
{
    char name[JOURNAL_SLOT_NAME_BYTES];
    int fd, error;

    if (recovered->last_slot == recovered->slot_count)
        return STORE_OK;
    journal_slot_name(name, recovered->last_slot);
    fd = disk_open(journal->directory_fd, name, O_WRONLY);
    error = fd < 0 ? fd : mend_last_slot(journal, recovered, fd);
    if (fd >= 0)
        close(fd);
    if (error == 0 && journal->slots[recovered->last_slot].state == JOURNAL_SLOT_CURRENT) {
        journal->current = recovered->last_slot;
        journal->offset = recovered->tail_offset;
        error = journal_writer_open(&journal->writer, journal->directory_fd, name, journal->offset);
    }
    return error == 0
               ? STORE_OK
               : store_fail(failure, STORE_IO, "%s/%04u.seg: cannot be mended: %s",
                            journal->directory, recovered->last_slot + 1, disk_error_text(error));
}

/* Removes free slots of another size, and those beyond the few that are worth keeping. */
static int trim_slots(struct journal *journal, struct store_failure *failure)
{
    char name[JOURNAL_SLOT_NAME_BYTES];
    unsigned kept = 0;
    int error = disk_unlink(journal->directory_fd, UNFINISHED_NAME);

    if (error == -ENOENT)
        error = 0;
    for (unsigned i = 0; i < journal->slot_count && error == 0; i++) {
        struct journal_slot *slot = &journal->slots[i];

        if (slot->state != JOURNAL_SLOT_FREE ||
            (slot->bytes == journal->segment_bytes && kept++ < FREE_SLOTS_KEPT))
            continue;
        journal_slot_name(name, i);
        error = disk_unlink(journal->directory_fd, name);
        *slot = (struct journal_slot){.state = JOURNAL_SLOT_ABSENT};
    }
    /* A segment may have been made by a process that did not come to sync its name. */
    if (error == 0)
        error = disk_fsync(journal->directory_fd);
    return error == 0 ? STORE_OK : fail_io(journal, failure, "cannot tidy the directory", error);
}

static int end_replay(const struct journal_source *source, int (*replayed)(void *data),
                      struct store_failure *failure)
{
    int status = replayed == NULL ? STORE_OK : replayed(source->data);

    if (status != STORE_OK && failure->status == STORE_OK)
        store_fail(failure, status, "the records of the journal were refused");
    return status;
}

static int recover(struct journal *journal, const struct journal_source *source,
                   int (*replayed)(void *data), struct journal_recovery *figures,
                   struct store_failure *failure)
{
    struct journal_recovered recovered;
    int status = journal_recover(&recovered, source, figures, failure);

    if (status == STORE_OK)
        status = end_replay(source, replayed, failure);
    if (status == STORE_OK) {
        journal->slots = recovered.slots;
        journal->slot_count = recovered.slot_count;
        journal->current = recovered.slot_count;
        journal->last_lsn = figures->last_lsn;
        recovered.slots = NULL;
        status = resume_last_slot(journal, &recovered, failure);
    }
    journal_recovered_free(&recovered);
    if (status == STORE_OK)
        status = trim_slots(journal, failure);
    if (status != STORE_OK)
        return status;
    /* A full disk is no reason not to open: reading goes on. */
    status = journal_prepare(journal, failure);
    return status == STORE_FULL ? STORE_OK : status;
}

/* The directory may have been made by a process that did not come to sync it. */
static int sync_parent(int directory_fd)
{
    int parent = disk_open(directory_fd, "..", O_RDONLY | O_DIRECTORY);
    int error = parent < 0 ? parent : disk_fsync(parent);

    if (parent >= 0)
        close(parent);
    return error;
}

static int open_directory(struct journal *journal, struct store_failure *failure)
{
    int error = disk_mkdir(journal->directory);

    if (error == 0 || error == -EEXIST) {
        journal->directory_fd = disk_open(AT_FDCWD, journal->directory, O_RDONLY | O_DIRECTORY);
        error =
            journal->directory_fd < 0 ? journal->directory_fd : sync_parent(journal->directory_fd);
    }
    return error == 0 ? STORE_OK : fail_io(journal, failure, "cannot be opened", error);
}

static int check_options(const struct journal_options *options, struct store_failure *failure)
{
    if (options->segment_bytes < JOURNAL_SEGMENT_BYTES_MIN ||
        options->segment_bytes > JOURNAL_SEGMENT_BYTES_MAX ||
        options->segment_bytes % JOURNAL_SEGMENT_HEADER_BYTES != 0)
        return store_fail(failure, STORE_FORMAT,
                          "journal segments of %" PRIu64
                          " bytes: must be 1 MiB to 1 GiB and a multiple of 4096",
                          options->segment_bytes);
    if (options->segments_max < 2 || options->segments_max > JOURNAL_SLOTS_MAX)
        return store_fail(failure, STORE_FORMAT, "%u journal segments: must be 2 to %d",
                          options->segments_max, JOURNAL_SLOTS_MAX);
    return STORE_OK;
}

static struct journal *make_journal(const struct journal_options *options,
                                    const uint8_t store_id[16])
{
    struct journal *journal = calloc(1, sizeof *journal);

    if (journal == NULL)
        return NULL;
    journal->directory = strdup(options->directory);
    if (journal->directory == NULL) {
        free(journal);
        return NULL;
    }
    memcpy(journal->store_id, store_id, sizeof journal->store_id);
    journal->seed = journal_format_seed(store_id);
    journal->segment_bytes = options->segment_bytes;
    journal->segments_max = options->segments_max;
    journal->directory_fd = -1;
    if (journal_writer_init(&journal->writer) != 0) {
        free(journal->directory);
        free(journal);
        return NULL;
    }
    pthread_mutex_init(&journal->lock, NULL);
    return journal;
}

int journal_open(struct journal **journal, const struct journal_options *options,
                 const uint8_t store_id[16], uint64_t settled_lsn, journal_replay_fn replay,
                 void *data, struct journal_recovery *recovery, struct store_failure *failure)
{
    int status = check_options(options, failure);
    struct journal *made;

    if (status != STORE_OK)
        return status;
    made = make_journal(options, store_id);
    if (made == NULL)
        return store_fail(failure, STORE_NO_MEMORY, "out of memory");
    status = open_directory(made, failure);
    if (status == STORE_OK) {
        const struct journal_source source = {.directory = made->directory,
                                              .directory_fd = made->directory_fd,
                                              .segments_max = made->segments_max,
                                              .store_id = made->store_id,
                                              .settled_lsn = settled_lsn,
                                              .reached_lsn = options->reached_lsn,
                                              .replay = replay,
                                              .data = data};

        status = recover(made, &source, options->replayed, recovery, failure);
    }
    if (status != STORE_OK) {
        journal_close(made);
        return status;
    }
    *journal = made;
    return STORE_OK;
}

void journal_close(struct journal *journal)
{
    journal_writer_free(&journal->writer);
    if (journal->directory_fd >= 0)
        close(journal->directory_fd);
    pthread_mutex_destroy(&journal->lock);
    free(journal->slots);
    free(journal->directory);
    free(journal);
}
