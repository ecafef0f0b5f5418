/*
 * What the tests of the journal share: a journal in a directory of its own, a list of what was
 * appended to it that recovery is compared with, and copies of the directory to damage and restore.
 */
#ifndef TESTS_UNIT_JOURNAL_RIG_H
#define TESTS_UNIT_JOURNAL_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/disk.h"
#include "store/journal.h"
#include "store/journal_format.h"
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((uint64_t)1 << 20)
#define RIG_LSN_MAX 200000

struct rig_record {
    uint64_t serial; /* never the same twice, so that a stale record cannot pass for a new one */
    uint32_t size;
    uint8_t kind;
};

struct rig {
    char root[64];
    char directory[80];
    struct journal_options options;
    uint8_t store_id[16];
    struct journal *journal;
    struct journal_batch batch;
    struct store_failure failure;
    struct journal_recovery recovery;
    struct rig_record *records; /* records[lsn] */
    uint64_t acked_lsn;
    uint64_t pending_lsn; /* beyond acked_lsn: of an append that failed */
    uint64_t settled_lsn;
    uint64_t replayed_lsn;
    uint64_t serial;
};

static inline uint64_t rig_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static inline void rig_fill(uint8_t *bytes, const struct rig_record *record)
{
    uint64_t state = record->serial;

    for (uint32_t i = 0; i < record->size; i++)
        bytes[i] = (uint8_t)(i % 8 == 0 ? rig_random(&state) : (state >> (i % 8 * 8)));
}

static inline void rig_init(struct rig *rig)
{
    *rig = (struct rig){.options = {.segment_bytes = MIB, .segments_max = 4}};
    /* In memory where that is possible: thousands of syncs are made, and only their order counts.
     */
    snprintf(rig->root, sizeof rig->root, "%s/test_journal.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(rig->root));
    snprintf(rig->directory, sizeof rig->directory, "%s/journal", rig->root);
    rig->options.directory = rig->directory;
    memset(rig->store_id, 0x5a, sizeof rig->store_id);
    rig->records = calloc(RIG_LSN_MAX, sizeof *rig->records);
    assert_non_null(rig->records);
}

static inline void rig_close(struct rig *rig)
{
    if (rig->journal != NULL)
        journal_close(rig->journal);
    rig->journal = NULL;
}

static inline void rig_wipe(const char *directory)
{
    DIR *listing = opendir(directory);
    const struct dirent *entry;
    char path[512];

    if (listing == NULL)
        return;
    while ((entry = readdir(listing)) != NULL) {
        snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        unlink(path);
    }
    closedir(listing);
}

static inline void rig_free(struct rig *rig)
{
    rig_close(rig);
    rig_wipe(rig->directory);
    rmdir(rig->directory);
    rmdir(rig->root);
    journal_batch_free(&rig->batch);
    free(rig->records);
}

static inline int rig_replay(void *data, const struct journal_record *record)
{
    struct rig *rig = data;
    const struct rig_record *expected = &rig->records[record->lsn];
    uint8_t *payload;

    assert_int_equal(record->lsn, rig->replayed_lsn + 1);
    assert_true(record->lsn <= rig->pending_lsn);
    assert_int_equal(record->kind, expected->kind);
    assert_int_equal(record->size, expected->size);
    payload = malloc((size_t)expected->size + 1);
    assert_non_null(payload);
    rig_fill(payload, expected);
    assert_memory_equal(record->payload, payload, expected->size);
    free(payload);
    rig->replayed_lsn = record->lsn;
    return 0;
}

/* Opens; when that succeeds, all that was acknowledged must be there, and of the append that was
 * not the beginning or nothing. What is there now counts as acknowledged from then on. */
static inline int rig_open(struct rig *rig)
{
    int status;

    rig->replayed_lsn = rig->settled_lsn;
    status = journal_open(&rig->journal, &rig->options, rig->store_id, rig->settled_lsn, rig_replay,
                          rig, &rig->recovery, &rig->failure);
    if (status != STORE_OK) {
        assert_int_equal(status, rig->failure.status);
        assert_true(strlen(rig->failure.detail) > 0);
        rig->journal = NULL;
        return status;
    }
    assert_int_equal(rig->recovery.last_lsn, rig->replayed_lsn);
    assert_true(rig->recovery.last_lsn >= rig->acked_lsn);
    rig->acked_lsn = rig->pending_lsn = rig->recovery.last_lsn;
    return STORE_OK;
}

static inline void rig_reopen(struct rig *rig)
{
    rig_close(rig);
    if (rig_open(rig) != STORE_OK)
        fail_msg("%s", rig->failure.detail);
}

/* Adds a record to the batch that rig_commit appends. */
static inline void rig_add(struct rig *rig, uint32_t size)
{
    struct rig_record *record = &rig->records[rig->acked_lsn + rig->batch.count + 1];
    uint8_t *payload;

    assert_true(rig->acked_lsn + rig->batch.count + 1 < RIG_LSN_MAX);
    *record = (struct rig_record){.serial = ++rig->serial, .size = size};
    record->kind = (uint8_t)(rig->serial * 7);
    payload = journal_batch_add(&rig->batch, record->kind, size);
    assert_non_null(payload);
    rig_fill(payload, record);
}

static inline int rig_commit(struct rig *rig)
{
    int status;

    rig->pending_lsn = rig->acked_lsn + rig->batch.count;
    status = journal_append(rig->journal, &rig->batch, &rig->failure);
    if (status == STORE_OK)
        rig->acked_lsn = rig->pending_lsn;
    if (status == STORE_FULL)
        rig->pending_lsn = rig->acked_lsn;
    else
        journal_batch_reset(&rig->batch);
    return status;
}

static inline int rig_append(struct rig *rig, unsigned count, uint32_t size)
{
    while (count-- > 0)
        rig_add(rig, size);
    return rig_commit(rig);
}

static inline void rig_settle(struct rig *rig, uint64_t lsn)
{
    rig->settled_lsn = lsn;
    journal_release(rig->journal, lsn);
}

/* --- copies of the directory --- */

#define COPY_FILES_MAX 16

struct copy {
    unsigned count;
    struct {
        char name[32];
        size_t size;
        uint8_t *bytes;
    } files[COPY_FILES_MAX];
};

static inline void copy_file(struct copy *copy, const char *directory, const char *name)
{
    unsigned i = copy->count++;
    char path[512];
    struct stat status;
    FILE *file;

    assert_true(i < COPY_FILES_MAX && strlen(name) < sizeof copy->files[i].name);
    snprintf(path, sizeof path, "%s/%s", directory, name);
    snprintf(copy->files[i].name, sizeof copy->files[i].name, "%.31s", name);
    file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &status), 0);
    copy->files[i].size = (size_t)status.st_size;
    copy->files[i].bytes = malloc(copy->files[i].size + 1);
    assert_non_null(copy->files[i].bytes);
    assert_int_equal(fread(copy->files[i].bytes, 1, copy->files[i].size, file),
                     copy->files[i].size);
    fclose(file);
}

static inline void copy_take(struct copy *copy, const char *directory)
{
    struct dirent **names;
    int count = scandir(directory, &names, NULL, alphasort);

    assert_true(count >= 0);
    copy->count = 0;
    for (int i = 0; i < count; i++) {
        if (names[i]->d_name[0] != '.')
            copy_file(copy, directory, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

static inline void copy_free(struct copy *copy)
{
    while (copy->count > 0)
        free(copy->files[--copy->count].bytes);
}

static inline void copy_restore(const struct copy *copy, const char *directory)
{
    char path[512];

    rig_wipe(directory);
    for (unsigned i = 0; i < copy->count; i++) {
        FILE *file;

        snprintf(path, sizeof path, "%s/%s", directory, copy->files[i].name);
        file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(copy->files[i].bytes, 1, copy->files[i].size, file),
                         copy->files[i].size);
        assert_int_equal(fclose(file), 0);
    }
}

static inline bool copy_equals(const struct copy *copy, const char *directory)
{
    struct copy now;
    bool equal;

    copy_take(&now, directory);
    equal = now.count == copy->count;
    for (unsigned i = 0; i < now.count && equal; i++)
        equal = strcmp(now.files[i].name, copy->files[i].name) == 0 &&
                now.files[i].size == copy->files[i].size &&
                memcmp(now.files[i].bytes, copy->files[i].bytes, now.files[i].size) == 0;
    copy_free(&now);
    return equal;
}

/* The file whose header has the highest first LSN. */
static inline unsigned copy_last(const struct copy *copy)
{
    uint64_t highest = 0;
    unsigned last = copy->count;

    for (unsigned i = 0; i < copy->count; i++) {
        struct journal_header header;

        if (journal_format_read_header(copy->files[i].bytes, &header) == JOURNAL_HEADER_VALID &&
            header.first_lsn > highest) {
            highest = header.first_lsn;
            last = i;
        }
    }
    assert_true(last < copy->count);
    return last;
}

/* Where the record `lsn` stands in a file of the copy; its whole size in *total. */
static inline size_t copy_find(const struct copy *copy, unsigned file, const struct rig *rig,
                               uint64_t lsn, size_t *total)
{
    struct journal_entry entry;
    size_t offset = JOURNAL_SEGMENT_HEADER_BYTES;

    assert_true(journal_format_find_record(copy->files[file].bytes, copy->files[file].size,
                                           journal_format_seed(rig->store_id), lsn, lsn, &offset,
                                           &entry));
    *total = entry.total_bytes;
    return offset;
}

#endif
