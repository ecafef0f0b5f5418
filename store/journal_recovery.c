/*
 * All headers are read, and the segments that have a valid one are put in the order of their first
 * LSNs. A segment ends where the next one begins, so those that end at or before the settled LSN
 * are free without being read. The others must chain from the settled LSN on:
 *
 *            settled LSN                        the tail
 *                 v                                v
 *     [101 ... 200][201 ... 300][301 ... 400][401 ... 437 ?????]    [damaged header]
 *      free         read         read         read, judged           scanned
 *
 * In the last segment the records end at the first place where the expected one is not. That is
 * either the end of the journal or a torn append, both harmless, or damage. It is damage when any
 * record behind that place says that the expected one was durable when it was written.
 *
 * A segment's header is durable before any record is written behind it. So a record that is still
 * needed in a segment without a valid header means that the header was damaged later.
 *
 * What cannot be told apart: damage in the very last batch before a crash looks like a batch that
 * was never finished.
 *
 * When the database holds the effects of some records behind the settled LSN, up to the reached
 * LSN, a journal that ends before that has lost them.
 *
 * Damage among records that are settled does no harm: they are in the database. Reading goes on at
 * the next record that can be found. When the journal ends before the settled LSN and nothing
 * behind that is to be found, there is nothing to replay; numbering goes on from the settled LSN
 * in a fresh segment, so that the segments still chain.
 */
#include "store/journal_recovery.h"

#include "store/disk.h"
#include "store/journal_format.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct reading {
    const struct journal_source *source;
    struct journal_recovered *result;
    struct journal_recovery *figures;
    struct store_failure *failure;
    uint32_t seed;
    unsigned *chain; /* slots with valid headers, by first LSN */
    unsigned chain_count;
};

/* The place in a segment that is being read. */
struct walk {
    unsigned slot;
    const uint8_t *bytes;
    size_t size;
    size_t offset;
    size_t batch_offset;
    uint64_t batch_durable_lsn;
    uint64_t expected_lsn;
};

void journal_slot_name(char *name, unsigned slot)
{
    snprintf(name, JOURNAL_SLOT_NAME_BYTES, "%04u.seg", slot + 1);
}

unsigned journal_slot_of_name(const char *name)
{
    char expected[JOURNAL_SLOT_NAME_BYTES];
    unsigned long number = strtoul(name, NULL, 10);

    if (number == 0 || number > JOURNAL_SLOTS_MAX)
        return JOURNAL_SLOTS_MAX;
    journal_slot_name(expected, (unsigned)number - 1);
    return strcmp(name, expected) == 0 ? (unsigned)number - 1 : JOURNAL_SLOTS_MAX;
}

static int fail_slot(const struct reading *reading, int status, unsigned slot, const char *what)
{
    return store_fail(reading->failure, status, "%s/%04u.seg: %s", reading->source->directory,
                      slot + 1, what);
}

static int fail_corrupt(const struct reading *reading, unsigned slot, size_t offset, uint64_t lsn,
                        const char *why)
{
    return store_fail(reading->failure, STORE_CORRUPT,
                      "%s/%04u.seg: at byte %zu, record %" PRIu64
                      ": %s; nothing was changed; restore the data directory from a backup",
                      reading->source->directory, slot + 1, offset, lsn, why);
}

/* --- which segments there are --- */

static int list_slots(struct reading *reading)
{
    struct journal_recovered *result = reading->result;
    int fd = openat(reading->source->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (directory == NULL) {
        if (fd >= 0)
            close(fd);
        return store_fail(reading->failure, STORE_IO, "%s: cannot be listed: %s",
                          reading->source->directory, disk_error_text(-errno));
    }
    result->slot_count = reading->source->segments_max;
    while ((errno = 0, entry = readdir(directory)) != NULL) {
        unsigned slot = journal_slot_of_name(entry->d_name);

        if (slot == JOURNAL_SLOTS_MAX)
            continue;
        result->slots[slot].state = JOURNAL_SLOT_FREE;
        if (slot >= result->slot_count)
            result->slot_count = slot + 1;
    }
    int error = errno;
    closedir(directory);
    if (error != 0)
        return store_fail(reading->failure, STORE_IO, "%s: cannot be listed: %s",
                          reading->source->directory, disk_error_text(-error));
    result->last_slot = result->slot_count;
    return STORE_OK;
}

/* Reads the first `limit` bytes of a slot's file, or less where it ends. */
static int read_slot(struct reading *reading, unsigned slot, void *bytes, size_t limit, size_t *got)
{
    char name[JOURNAL_SLOT_NAME_BYTES];
    struct stat status;
    int fd, error;

    journal_slot_name(name, slot);
    fd = disk_open(reading->source->directory_fd, name, O_RDONLY);
    if (fd < 0)
        return fail_slot(reading, STORE_IO, slot, disk_error_text(fd));
    error = fstat(fd, &status) < 0 ? -errno : disk_pread(fd, bytes, limit, 0, got);
    close(fd);
    if (error != 0)
        return fail_slot(reading, STORE_IO, slot, disk_error_text(error));
    reading->result->slots[slot].bytes = (uint64_t)status.st_size;
    return STORE_OK;
}

static int read_header(struct reading *reading, unsigned slot)
{
    uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES] = {0};
    struct journal_header header;
    size_t got;
    int status = read_slot(reading, slot, bytes, sizeof bytes, &got);

    if (status != STORE_OK)
        return status;
    switch (journal_format_read_header(bytes, &header)) {
    case JOURNAL_HEADER_OTHER_VERSION:
        return store_fail(reading->failure, STORE_FORMAT,
                          "%s/%04u.seg: has format version %" PRIu32 ", this program knows %d",
                          reading->source->directory, slot + 1, header.version,
                          JOURNAL_FORMAT_VERSION);
    case JOURNAL_HEADER_ZERO:
    case JOURNAL_HEADER_DAMAGED:
        return STORE_OK;
    case JOURNAL_HEADER_VALID:
        break;
    }
    if (memcmp(header.store_id, reading->source->store_id, sizeof header.store_id) != 0)
        return fail_slot(reading, STORE_FORMAT, slot,
                         "belongs to another store than the database beside it");
    reading->result->slots[slot].first_lsn = header.first_lsn;
    return STORE_OK;
}

static int compare_first_lsn(const void *left, const void *right, void *slots)
{
    const struct journal_slot *all = slots;
    uint64_t a = all[*(const unsigned *)left].first_lsn;
    uint64_t b = all[*(const unsigned *)right].first_lsn;

    return a < b ? -1 : a > b;
}

static int build_chain(struct reading *reading)
{
    struct journal_recovered *result = reading->result;

    reading->chain = calloc(result->slot_count, sizeof *reading->chain);
    if (reading->chain == NULL)
        return store_fail(reading->failure, STORE_NO_MEMORY, "out of memory");
    for (unsigned slot = 0; slot < result->slot_count; slot++) {
        int status;

        if (result->slots[slot].state == JOURNAL_SLOT_ABSENT)
            continue;
        status = read_header(reading, slot);
        if (status != STORE_OK)
            return status;
        if (result->slots[slot].first_lsn != 0)
            reading->chain[reading->chain_count++] = slot;
    }
    qsort_r(reading->chain, reading->chain_count, sizeof *reading->chain, compare_first_lsn,
            result->slots);
    return STORE_OK;
}

static struct journal_slot *chain_slot(const struct reading *reading, unsigned index)
{
    return &reading->result->slots[reading->chain[index]];
}

/* The index in the chain from which on segments hold what is not settled; the last one always. */
static unsigned first_needed(const struct reading *reading)
{
    unsigned index = 0;

    while (index + 1 < reading->chain_count &&
           chain_slot(reading, index + 1)->first_lsn - 1 <= reading->source->settled_lsn)
        index++;
    return index;
}

static int check_chain(const struct reading *reading, unsigned start)
{
    uint64_t settled_lsn = reading->source->settled_lsn;
    uint64_t first_lsn = chain_slot(reading, start)->first_lsn;

    for (unsigned i = 1; i < reading->chain_count; i++) {
        uint64_t lsn = chain_slot(reading, i)->first_lsn;

        if (chain_slot(reading, i - 1)->first_lsn == lsn)
            return fail_corrupt(reading, reading->chain[i], 0, lsn,
                                "another segment begins with the same record");
    }
    /* A header says that all before its first record was durable. */
    if (first_lsn - 1 > settled_lsn)
        return fail_corrupt(reading, reading->chain[start], 0, settled_lsn + 1,
                            "the journal begins behind this record, which the database does not "
                            "have: a segment is missing or damaged, or the database is too old");
    return STORE_OK;
}

/* --- what is in them --- */

/* Reads a whole file. Segments are mostly of one size: the memory of one serves the next. */
static int load_slot(struct reading *reading, unsigned slot, struct journal_bytes *bytes,
                     size_t *size)
{
    uint64_t file_bytes = reading->result->slots[slot].bytes;

    /* A file gets its name when it is whole, so no crash leaves one of such a size. */
    if (file_bytes < JOURNAL_SEGMENT_BYTES_MIN || file_bytes > JOURNAL_SEGMENT_BYTES_MAX ||
        file_bytes % JOURNAL_SEGMENT_HEADER_BYTES != 0)
        return fail_slot(reading, STORE_CORRUPT, slot,
                         "has been cut short or grown; nothing was changed; restore the data "
                         "directory from a backup");
    if (file_bytes > bytes->capacity) {
        free(bytes->data);
        bytes->data = malloc((size_t)file_bytes);
        bytes->capacity = bytes->data == NULL ? 0 : (size_t)file_bytes;
    }
    if (bytes->data == NULL)
        return fail_slot(reading, STORE_NO_MEMORY, slot, "no memory to read it");
    return read_slot(reading, slot, bytes->data, (size_t)file_bytes, size);
}

static int load_segment(struct reading *reading, unsigned slot, struct walk *walk)
{
    struct journal_recovered *result = reading->result;
    struct journal_header header = {0};
    size_t size = 0;
    int status = load_slot(reading, slot, &result->bytes, &size);

    if (status != STORE_OK)
        return status;
    if (size != result->slots[slot].bytes ||
        journal_format_read_header(result->bytes.data, &header) != JOURNAL_HEADER_VALID ||
        header.segment_bytes != size)
        return fail_slot(reading, STORE_CORRUPT, slot,
                         "is not as long as its header says; nothing was changed; restore the "
                         "data directory from a backup");
    *walk = (struct walk){
        .slot = slot,
        .bytes = result->bytes.data,
        .size = size,
        .offset = JOURNAL_SEGMENT_HEADER_BYTES,
        .batch_offset = JOURNAL_SEGMENT_HEADER_BYTES,
        .batch_durable_lsn = header.first_lsn - 1,
        .expected_lsn = header.first_lsn,
    };
    return STORE_OK;
}

/* Where settled records are damaged, the next one that is still readable, up to the first one
 * that is not settled. */
static bool skip_damage(const struct reading *reading, struct walk *walk,
                        struct journal_entry *entry)
{
    size_t offset = walk->offset;

    if (walk->expected_lsn > reading->source->settled_lsn ||
        !journal_format_find_record(walk->bytes, walk->size, reading->seed, walk->expected_lsn + 1,
                                    reading->source->settled_lsn + 1, &offset, entry))
        return false;
    walk->offset = offset;
    walk->expected_lsn = entry->lsn;
    return true;
}

static bool next_record(const struct reading *reading, struct walk *walk,
                        struct journal_entry *entry)
{
    if (!journal_format_read_record(walk->bytes + walk->offset, walk->size - walk->offset,
                                    reading->seed, entry) ||
        entry->lsn != walk->expected_lsn)
        return skip_damage(reading, walk, entry);
    return true;
}

static int replay_record(const struct reading *reading, const struct journal_entry *entry)
{
    const struct journal_record record = {
        .lsn = entry->lsn, .kind = entry->kind, .size = entry->size, .payload = entry->payload};
    int status = reading->source->replay(reading->source->data, &record);

    /* The callback may have said better what is wrong. */
    if (status != 0 && reading->failure->status == STORE_OK)
        store_fail(reading->failure, status, "record %" PRIu64 " of the journal was refused",
                   entry->lsn);
    reading->figures->records++;
    reading->figures->bytes += entry->total_bytes;
    return status;
}

/* Replays until `end_lsn` is expected, or the expected record is not there. */
static int walk_records(const struct reading *reading, struct walk *walk, uint64_t end_lsn)
{
    struct journal_entry entry = {0};

    while (walk->expected_lsn != end_lsn && next_record(reading, walk, &entry)) {
        if (entry.durable_lsn != walk->batch_durable_lsn) {
            walk->batch_durable_lsn = entry.durable_lsn;
            walk->batch_offset = walk->offset;
        }
        if (entry.lsn > reading->source->settled_lsn) {
            int status = replay_record(reading, &entry);

            if (status != 0)
                return status;
        }
        walk->offset += entry.total_bytes;
        walk->expected_lsn++;
    }
    return STORE_OK;
}

static int read_inner_segment(struct reading *reading, unsigned index)
{
    unsigned slot = reading->chain[index];
    uint64_t end_lsn = chain_slot(reading, index + 1)->first_lsn;
    struct walk walk;
    int status = load_segment(reading, slot, &walk);

    if (status == STORE_OK)
        status = walk_records(reading, &walk, end_lsn);
    if (status != STORE_OK)
        return status;
    if (walk.expected_lsn != end_lsn)
        return fail_corrupt(reading, slot, walk.offset, walk.expected_lsn,
                            "it is damaged, and a later segment shows that it had been written");
    reading->result->slots[slot].state = JOURNAL_SLOT_USED;
    reading->result->slots[slot].last_lsn = end_lsn - 1;
    return STORE_OK;
}

/* Is what stands behind the last good record a torn append, or what is left after damage? */
static int judge_tail(const struct reading *reading, const struct walk *walk)
{
    uint64_t settled_lsn = reading->source->settled_lsn;
    bool damaged = walk->expected_lsn <= settled_lsn;
    uint64_t next_lsn = damaged ? settled_lsn + 1 : walk->expected_lsn;
    size_t offset = walk->offset;
    size_t end = offset + journal_format_claimed_bytes(walk->bytes + offset, walk->size - offset,
                                                       walk->expected_lsn);
    struct journal_entry entry;

    while (journal_format_find_record(walk->bytes, walk->size, reading->seed, next_lsn, UINT64_MAX,
                                      &offset, &entry)) {
        if (damaged || entry.durable_lsn >= next_lsn)
            return fail_corrupt(reading, walk->slot, walk->offset, walk->expected_lsn,
                                "it is damaged, and later records show that it had been written");
        offset += entry.total_bytes;
        if (offset > end)
            end = offset;
    }
    reading->figures->torn_bytes = end - walk->offset;
    return STORE_OK;
}

static int read_last_segment(struct reading *reading)
{
    struct journal_recovered *result = reading->result;
    uint64_t settled_lsn = reading->source->settled_lsn;
    unsigned slot = reading->chain[reading->chain_count - 1];
    struct walk walk;
    int status = load_segment(reading, slot, &walk);

    if (status == STORE_OK)
        status = walk_records(reading, &walk, UINT64_MAX);
    if (status == STORE_OK)
        status = judge_tail(reading, &walk);
    if (status != STORE_OK)
        return status;
    result->last_slot = slot;
    result->batch_offset = walk.batch_offset;
    result->tail_offset = walk.offset;
    result->slots[slot].last_lsn = walk.expected_lsn - 1;
    if (walk.expected_lsn > settled_lsn) {
        reading->figures->last_lsn = walk.expected_lsn - 1;
        if (walk.offset > JOURNAL_SEGMENT_HEADER_BYTES)
            result->slots[slot].state = JOURNAL_SLOT_CURRENT;
    }
    return STORE_OK;
}

/* Looks for records that are needed in the segments whose headers do not say what they hold. */
static int check_headerless(struct reading *reading)
{
    struct journal_recovered *result = reading->result;
    uint64_t next_lsn = reading->figures->last_lsn + 1;
    struct journal_bytes bytes = {0};
    int status = STORE_OK;

    for (unsigned slot = 0; slot < result->slot_count && status == STORE_OK; slot++) {
        size_t offset = 0, size = 0;
        struct journal_entry entry;

        if (result->slots[slot].state == JOURNAL_SLOT_ABSENT || result->slots[slot].first_lsn != 0)
            continue;
        status = load_slot(reading, slot, &bytes, &size);
        if (status == STORE_OK && journal_format_find_record(bytes.data, size, reading->seed,
                                                             next_lsn, UINT64_MAX, &offset, &entry))
            status = fail_corrupt(reading, slot, offset, entry.lsn,
                                  "it is needed, but the segment's header is damaged");
    }
    free(bytes.data);
    return status;
}

static int check_reached(const struct reading *reading)
{
    uint64_t last_lsn = reading->figures->last_lsn;

    if (last_lsn >= reading->source->reached_lsn)
        return STORE_OK;
    return store_fail(reading->failure, STORE_CORRUPT,
                      "%s ends with record %" PRIu64 ", and the database holds what came up to "
                      "record %" PRIu64 ": the end of the journal is missing or damaged; nothing "
                      "was changed; restore the data directory from a backup",
                      reading->source->directory, last_lsn, reading->source->reached_lsn);
}

static int read_chain(struct reading *reading)
{
    unsigned start = first_needed(reading);
    int status = check_chain(reading, start);

    for (unsigned i = start; i + 1 < reading->chain_count && status == STORE_OK; i++)
        status = read_inner_segment(reading, i);
    return status == STORE_OK ? read_last_segment(reading) : status;
}

int journal_recover(struct journal_recovered *recovered, const struct journal_source *source,
                    struct journal_recovery *figures, struct store_failure *failure)
{
    struct reading reading = {
        .source = source,
        .result = recovered,
        .figures = figures,
        .failure = failure,
        .seed = journal_format_seed(source->store_id),
    };
    int status;

    *figures = (struct journal_recovery){.last_lsn = source->settled_lsn};
    *failure = (struct store_failure){.status = STORE_OK};
    *recovered = (struct journal_recovered){
        .slots = calloc(JOURNAL_SLOTS_MAX, sizeof(struct journal_slot)),
    };
    if (recovered->slots == NULL)
        return store_fail(failure, STORE_NO_MEMORY, "out of memory");
    status = list_slots(&reading);
    if (status == STORE_OK)
        status = build_chain(&reading);
    if (status == STORE_OK && reading.chain_count > 0)
        status = read_chain(&reading);
    if (status == STORE_OK)
        status = check_headerless(&reading);
    if (status == STORE_OK)
        status = check_reached(&reading);
    free(reading.chain);
    return status;
}

void journal_recovered_free(struct journal_recovered *recovered)
{
    free(recovered->slots);
    free(recovered->bytes.data);
    recovered->slots = NULL;
    recovered->bytes = (struct journal_bytes){0};
}
