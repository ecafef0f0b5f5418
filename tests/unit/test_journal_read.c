/*
 * Reading a journal beside the process that appends to it: all that was durable is there, a torn
 * append is not, and damage is not taken for the journal's end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/database.h"
#include "store/disk.h"
#include "store/journal_read.h"
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_BYTES ((uint64_t)1 << 20)
#define RECORD_BYTES 2000
#define BATCH_RECORDS 37
#define DEADLINE_S 120

static const uint8_t store_id[16] = "a store of tests";

struct rig {
    char root[64];
    char directory[80];
    struct journal *journal;
    uint64_t last_lsn;
};

static int no_record(void *data, const struct journal_record *record)
{
    (void)data;
    (void)record;
    return STORE_CORRUPT;
}

static void open_journal(struct rig *rig)
{
    const struct journal_options options = {
        .directory = rig->directory, .segment_bytes = SEGMENT_BYTES, .segments_max = 8};
    struct journal_recovery recovery;
    struct store_failure failure;

    assert_int_equal(
        journal_open(&rig->journal, &options, store_id, 0, no_record, NULL, &recovery, &failure),
        0);
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof *rig);

    strcpy(rig->root, "/tmp/test_journal_read.XXXXXX");
    assert_non_null(mkdtemp(rig->root));
    snprintf(rig->directory, sizeof rig->directory, "%s/journal", rig->root);
    open_journal(rig);
    *state = rig;
    return 0;
}

static void remove_all(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;

    while (directory != NULL && (entry = readdir(directory)) != NULL)
        unlinkat(dirfd(directory), entry->d_name, 0);
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

static int tear_down(void **state)
{
    struct rig *rig = *state;

    if (rig->journal != NULL)
        journal_close(rig->journal);
    remove_all(rig->directory);
    remove_all(rig->root);
    free(rig);
    return 0;
}

/* A record holds its own LSN, over and over. */
static void append(struct rig *rig, unsigned count)
{
    struct journal_batch batch = {0};
    struct store_failure failure;
    int rc;

    for (unsigned i = 0; i < count; i++) {
        uint64_t lsn = rig->last_lsn + 1 + i;
        uint8_t *payload = journal_batch_add(&batch, 1, RECORD_BYTES);
        for (size_t at = 0; at < RECORD_BYTES; at += sizeof lsn)
            memcpy(payload + at, &lsn, sizeof lsn);
    }
    rc = journal_append(rig->journal, &batch, &failure);
    if (rc == STORE_FULL) {
        assert_int_equal(journal_prepare(rig->journal, &failure), 0);
        rc = journal_append(rig->journal, &batch, &failure);
    }
    assert_int_equal(rc, 0);
    rig->last_lsn += count;
    journal_batch_free(&batch);
}

struct replayed {
    uint64_t first_lsn;
    uint64_t count;
};

static int check_record(void *data, const struct journal_record *record)
{
    struct replayed *replayed = data;

    if (replayed->count++ == 0)
        replayed->first_lsn = record->lsn;
    assert_int_equal(record->lsn, replayed->first_lsn + replayed->count - 1);
    assert_int_equal(record->size, RECORD_BYTES);
    assert_memory_equal(record->payload, &record->lsn, sizeof record->lsn);
    return 0;
}

/* Replays what lies behind `settled_lsn`; returns what the replay did. */
static int read_from(const struct rig *rig, uint64_t settled_lsn, uint64_t *last_lsn)
{
    struct replayed replayed = {0};
    struct journal_figures figures;
    struct store_failure failure = {0};
    struct journal_image *image;
    int rc = journal_read(&image, rig->directory, store_id, settled_lsn, &figures, &failure);

    if (rc != 0)
        return rc;
    rc = journal_image_replay(image, settled_lsn, check_record, &replayed, last_lsn, &failure);
    journal_image_free(image);
    if (rc == 0 && replayed.count > 0)
        assert_int_equal(replayed.first_lsn, settled_lsn + 1);
    if (rc == 0)
        assert_int_equal(replayed.count, *last_lsn - settled_lsn);
    return rc;
}

static void test_all_of_it(void **state)
{
    struct rig *rig = *state;
    uint64_t last_lsn;

    assert_int_equal(read_from(rig, 7, &last_lsn), 0);
    assert_int_equal(last_lsn, 7);
    for (unsigned i = 0; i < 90; i++)
        append(rig, 1 + i % 40);
    assert_true(rig->last_lsn > 2 * SEGMENT_BYTES / RECORD_BYTES);
    for (uint64_t settled_lsn = 0; settled_lsn <= rig->last_lsn; settled_lsn += 97) {
        assert_int_equal(read_from(rig, settled_lsn, &last_lsn), 0);
        assert_int_equal(last_lsn, rig->last_lsn);
    }
    assert_int_equal(read_from(rig, rig->last_lsn, &last_lsn), 0);
}

static void test_none(void **state)
{
    struct rig *rig = *state;
    struct journal_figures figures;
    struct store_failure failure;
    struct journal_image *image;

    append(rig, 3);
    assert_int_equal(journal_read(&image, "/no/such/journal", store_id, 0, &figures, &failure), 0);
    journal_image_free(image);
    assert_int_equal(figures.segments, 0);
    assert_int_equal(journal_read(&image, rig->directory, (const uint8_t *)"another store..", 0,
                                  &figures, &failure),
                     STORE_FORMAT);
}

/* Changes a byte of the record in whichever segment has it last; true if one has. */
static bool damage(const struct rig *rig, uint64_t lsn)
{
    uint8_t pattern[64];
    uint8_t *bytes = malloc(SEGMENT_BYTES);
    bool found = false;

    for (size_t at = 0; at < sizeof pattern; at += sizeof lsn)
        memcpy(pattern + at, &lsn, sizeof lsn);
    for (unsigned i = 1; i <= 8; i++) {
        char path[128];
        int file;
        snprintf(path, sizeof path, "%s/%04u.seg", rig->directory, i);
        file = open(path, O_RDWR | O_CLOEXEC);
        if (file < 0)
            continue;
        assert_int_equal(pread(file, bytes, SEGMENT_BYTES, 0), SEGMENT_BYTES);
        uint8_t *place = memmem(bytes, SEGMENT_BYTES, pattern, sizeof pattern);
        if (place != NULL) {
            *place ^= 1;
            assert_int_equal(pwrite(file, place, 1, place - bytes), 1);
            found = true;
        }
        close(file);
    }
    free(bytes);
    return found;
}

static void test_damage(void **state)
{
    struct rig *rig = *state;
    uint64_t last_lsn;

    for (unsigned i = 0; i < 30; i++)
        append(rig, 40);
    /* The last batch: nothing says that it was durable. */
    assert_true(damage(rig, rig->last_lsn - 3));
    assert_int_equal(read_from(rig, 0, &last_lsn), 0);
    assert_int_equal(last_lsn, rig->last_lsn - 4);
    /* The one before: the last one does. */
    assert_true(damage(rig, rig->last_lsn - 50));
    assert_int_equal(read_from(rig, 0, &last_lsn), STORE_CORRUPT);
    assert_int_equal(read_from(rig, rig->last_lsn - 60, &last_lsn), STORE_CORRUPT);
    /* What is settled may be damaged. */
    assert_int_equal(read_from(rig, rig->last_lsn - 50, &last_lsn), 0);
    assert_int_equal(last_lsn, rig->last_lsn - 4);
    /* So may an earlier segment. */
    assert_true(damage(rig, 5));
    assert_int_equal(read_from(rig, rig->last_lsn - 50, &last_lsn), 0);
    assert_int_equal(read_from(rig, 4, &last_lsn), STORE_CORRUPT);
}

/* --- beside the one who appends and releases --- */

struct race {
    struct rig *rig;
    atomic_uint_least64_t durable_lsn;
    atomic_uint_least64_t settled_lsn;
    atomic_bool stop;
};

static void *append_and_release(void *data)
{
    struct race *race = data;

    while (!atomic_load(&race->stop)) {
        append(race->rig, BATCH_RECORDS);
        atomic_store(&race->durable_lsn, race->rig->last_lsn);
        /* Settling lags behind a little, and segments are used again at once. */
        if (race->rig->last_lsn > 600) {
            atomic_store(&race->settled_lsn, race->rig->last_lsn - 600);
            journal_release(race->rig->journal, race->rig->last_lsn - 600);
        }
    }
    return NULL;
}

/*
 * What journal_read promises: behind an LSN that is settled when it has returned, all that was
 * durable when it began. Reading again is asked for only when two segments were begun meanwhile,
 * however long that took: then all of the first of them was appended. True if nothing was missing.
 */
static bool read_once(const struct race *race)
{
    const uint64_t segment_records = SEGMENT_BYTES / (RECORD_BYTES + 64);
    uint64_t durable_lsn = atomic_load(&race->durable_lsn);
    uint64_t after_lsn = atomic_load(&race->settled_lsn);
    struct journal_figures figures;
    struct replayed replayed = {0};
    struct store_failure failure = {0};
    struct journal_image *image;
    uint64_t settled_lsn, last_lsn, appended;
    int rc;

    assert_int_equal(
        journal_read(&image, race->rig->directory, store_id, after_lsn, &figures, &failure), 0);
    settled_lsn = atomic_load(&race->settled_lsn);
    appended = atomic_load(&race->durable_lsn) - durable_lsn;
    rc = journal_image_replay(image, settled_lsn, check_record, &replayed, &last_lsn, &failure);
    if (rc == 0)
        assert_true(last_lsn >= durable_lsn);
    else if (rc != STORE_CORRUPT || appended < segment_records - BATCH_RECORDS)
        fail_msg("%s, and only %llu records were appended meanwhile", failure.detail,
                 (unsigned long long)appended);
    journal_image_free(image);
    return rc == 0;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void test_beside(void **state)
{
    struct race race = {.rig = *state};
    double began_s = now_s();
    unsigned whole = 0;
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, append_and_release, &race), 0);
    while (whole < 20 || atomic_load(&race.durable_lsn) < 8000) {
        whole += read_once(&race);
        if (now_s() - began_s > DEADLINE_S)
            fail_msg("%u whole readings of %llu records in %d s", whole,
                     (unsigned long long)atomic_load(&race.durable_lsn), DEADLINE_S);
    }
    atomic_store(&race.stop, true);
    pthread_join(thread, NULL);
}

/* Appends two batches in the middle of reading a segment: the first one lies where was read before,
 * in part, and the second one, which knows it as durable, where is read after. */
struct overtaking {
    struct rig *rig;
    uint64_t at; /* offset in the segment */
    bool done;
};

static int overtake(void *data, struct disk_event *event)
{
    struct overtaking *overtaking = data;

    if (event->call != DISK_READ)
        return 0;
    if (event->offset < overtaking->at) {
        if (event->size > overtaking->at - event->offset)
            event->size = overtaking->at - event->offset;
    } else if (!overtaking->done) {
        overtaking->done = true;
        append(overtaking->rig, 3);
        append(overtaking->rig, 3);
    }
    return 0;
}

static void test_overtaken(void **state)
{
    struct overtaking overtaking = {.rig = *state};
    uint64_t last_lsn, end = JOURNAL_SEGMENT_HEADER_BYTES;

    append(overtaking.rig, 40);
    for (uint64_t i = 0; i < 40; i++)
        end += journal_record_bytes(RECORD_BYTES);
    for (uint64_t past = 0; past < 7 * RECORD_BYTES; past += RECORD_BYTES / 2) {
        overtaking.at = end + past;
        overtaking.done = false;
        disk_set_hook(overtake, &overtaking);
        assert_int_equal(read_from(overtaking.rig, 0, &last_lsn), 0);
        disk_set_hook(NULL, NULL);
        assert_true(overtaking.done);
        assert_in_range(last_lsn, overtaking.rig->last_lsn - 6, overtaking.rig->last_lsn);
        end += 6 * journal_record_bytes(RECORD_BYTES);
    }
}

/* --- the other half: a reader of the database that is killed --- */

static uint64_t settle_heads(struct database *database, uint64_t *seq, unsigned rounds,
                             const char *path)
{
    struct database_message messages[20];
    struct store_failure failure;
    struct stat status;

    for (unsigned round = 0; round < rounds; round++) {
        struct database_batch batch = {.messages = messages, .settled_lsn = *seq + 2};
        ++*seq;
        for (uint64_t number = 1; number <= 20; number++) {
            struct database_message *message = &messages[batch.message_count++];
            *message = (struct database_message){
                .chat_number = number, .seq = *seq, .bytes = (const uint8_t *)"text", .size = 4};
            memcpy(message->client_digest, seq, sizeof *seq);
            message->client_digest[15] = (uint8_t)number;
        }
        assert_int_equal(database_settle(database, &batch, &failure), 0);
    }
    assert_int_equal(stat(path, &status), 0);
    return (uint64_t)status.st_size;
}

/* In a process of its own: reads beside the writer until it is killed. */
static void read_for_ever(const char *directory, int begin, int begun)
{
    const struct database_options options = {.directory = directory,
                                             .map_bytes = (uint64_t)1 << 30,
                                             .check = DATABASE_CHECK_NONE,
                                             .access = DATABASE_READ_BESIDE};
    struct database_snapshot *snapshot;
    struct store_failure failure;
    struct database *database;
    char byte;

    if (read(begin, &byte, 1) != 1 || database_open_with(&database, &options, &failure) != 0 ||
        database_snapshot_begin(database, &snapshot) != 0 || write(begun, "x", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

static void test_killed_reader(void **state)
{
    struct rig *rig = *state;
    struct database_new_chat chats[20];
    struct database_batch batch = {.chats = chats, .chat_count = 20, .settled_lsn = 1};
    struct store_failure failure;
    struct database *database;
    uint64_t seq = 0, before, after;
    char path[128], byte;
    int begin[2], begun[2];
    pid_t child;

    snprintf(path, sizeof path, "%s/chats.mdb", rig->root);
    assert_int_equal(pipe(begin) | pipe(begun), 0);
    child = fork();
    if (child == 0)
        read_for_ever(rig->root, begin[0], begun[1]);
    assert_int_equal(database_open(&database, rig->root, (uint64_t)1 << 30, &failure), 0);
    for (uint64_t i = 0; i < 20; i++) {
        chats[i] = (struct database_new_chat){.number = i + 1,
                                              .namespace_name = "default",
                                              .users = (const uint8_t *)"\001u",
                                              .users_size = 2,
                                              .users_digest = {(uint8_t)i}};
        chats[i].id.bytes[0] = (uint8_t)i;
    }
    assert_int_equal(database_settle(database, &batch, &failure), 0);
    settle_heads(database, &seq, 20, path);
    assert_int_equal(write(begin[1], "x", 1), 1);
    assert_int_equal(read(begun[0], &byte, 1), 1);
    before = settle_heads(database, &seq, 20, path);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    after = settle_heads(database, &seq, 200, path);
    /* With the dead reader's pages kept, each round took at least 20 pages more. */
    if (after > before + 200 * 5 * 4096)
        fail_msg("it grew from %llu to %llu bytes", (unsigned long long)before,
                 (unsigned long long)after);
    database_close(database);
    for (int i = 0; i < 2; i++) {
        close(begin[i]);
        close(begun[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_of_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_none, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_beside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overtaken, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_killed_reader, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
