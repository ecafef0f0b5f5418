/*
 * The journal on a disk that fails, is full, or loses power.
 *
 * The disk's hook remembers what every write since the last sync of its file overwrote, and which
 * renames no sync of the directory has followed. Losing power then takes back any part of these,
 * in pieces of 8 to 4096 bytes. A failed sync leaves its writes in that state.
 *
 * JOURNAL_TEST_SEED chooses another history, JOURNAL_TEST_STEPS its length.
 */
#include "tests/unit/journal_rig.h"

#include <errno.h>
#include <fcntl.h>

#define WRITES_MAX 256

struct lost_write {
    char path[128];
    ino_t inode;
    uint64_t offset;
    size_t size;
    uint8_t *old;
};

struct disk {
    const char *directory;
    uint64_t random;
    int countdown; /* calls until one fails; -1: never */
    int error;
    bool once; /* else all calls fail from then on */
    bool tear; /* a write that is to fail is cut short first */
    bool dead;
    bool failed;
    struct lost_write writes[WRITES_MAX];
    unsigned write_count;
    char renamed[32]; /* a new name that may be gone after a crash */
};

/* Recovery relies on it: no record is written behind a header that is not synced. */
static void assert_header_synced(const struct disk *disk, const struct lost_write *record)
{
    if (strstr(record->path, ".seg") == NULL || record->offset < JOURNAL_SEGMENT_HEADER_BYTES)
        return;
    for (unsigned i = 0; i < disk->write_count; i++)
        assert_false(disk->writes[i].inode == record->inode && disk->writes[i].offset == 0);
}

static void remember_write(struct disk *disk, const struct disk_event *event)
{
    struct lost_write *write = &disk->writes[disk->write_count++];
    char link[64];
    struct stat status;
    ssize_t length, got;
    int fd;

    assert_true(disk->write_count <= WRITES_MAX);
    snprintf(link, sizeof link, "/proc/self/fd/%d", event->fd);
    length = readlink(link, write->path, sizeof write->path - 1);
    assert_true(length > 0);
    write->path[length] = '\0';
    assert_int_equal(fstat(event->fd, &status), 0);
    write->inode = status.st_ino;
    write->offset = event->offset;
    assert_header_synced(disk, write);
    write->size = event->size;
    write->old = calloc(1, event->size);
    assert_non_null(write->old);
    fd = open(write->path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    got = pread(fd, write->old, write->size, (off_t)write->offset);
    assert_true(got >= 0);
    close(fd);
}

static void forget_synced(struct disk *disk, int fd)
{
    struct stat status;
    unsigned kept = 0;

    assert_int_equal(fstat(fd, &status), 0);
    if (S_ISDIR(status.st_mode)) {
        disk->renamed[0] = '\0';
        return;
    }
    for (unsigned i = 0; i < disk->write_count; i++) {
        if (disk->writes[i].inode == status.st_ino)
            free(disk->writes[i].old);
        else
            disk->writes[kept++] = disk->writes[i];
    }
    disk->write_count = kept;
}

static void remember_rename(struct disk *disk, const struct disk_event *event)
{
    char path[160];

    snprintf(path, sizeof path, "%s/%s", disk->directory, event->to);
    if (access(path, F_OK) != 0)
        snprintf(disk->renamed, sizeof disk->renamed, "%s", event->to);
}

static int on_disk_call(void *data, struct disk_event *event)
{
    struct disk *disk = data;

    if (disk->dead)
        return disk->error;
    if (disk->countdown >= 0 && disk->countdown-- == 0) {
        disk->failed = true;
        disk->dead = !disk->once;
        if (event->call != DISK_WRITE || !disk->tear || event->size < 2)
            return disk->error;
        event->size = 1 + rig_random(&disk->random) % (event->size - 1);
    }
    if (event->call == DISK_WRITE)
        remember_write(disk, event);
    else if (event->call == DISK_DATASYNC || event->call == DISK_SYNC)
        forget_synced(disk, event->fd);
    else if (event->call == DISK_RENAME)
        remember_rename(disk, event);
    return 0;
}

static void lose_write(struct disk *disk, const struct lost_write *write, size_t piece)
{
    int fd = open(write->path, O_WRONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    for (size_t at = 0; at < write->size; at += piece) {
        size_t part = write->size - at < piece ? write->size - at : piece;

        if (rig_random(&disk->random) % 2 == 0)
            assert_int_equal(pwrite(fd, write->old + at, part, (off_t)(write->offset + at)), part);
    }
    close(fd);
}

/* All that was not synced is kept, or lost, or some of each. The disk works again after that. */
static void lose_power(struct disk *disk)
{
    static const size_t pieces[] = {8, 64, 512, 4096, 1 << 30};
    uint64_t choice = rig_random(&disk->random) % 8;

    while (disk->write_count > 0) {
        const struct lost_write *write = &disk->writes[--disk->write_count];

        if (choice < 5)
            lose_write(disk, write, pieces[choice]);
        free(write->old);
    }
    if (disk->renamed[0] != '\0' && choice % 2 == 0) {
        char from[160], to[160];

        snprintf(from, sizeof from, "%s/%s", disk->directory, disk->renamed);
        snprintf(to, sizeof to, "%s/next.new", disk->directory);
        rename(from, to);
    }
    disk->renamed[0] = '\0';
    disk->countdown = -1;
    disk->dead = disk->failed = false;
}

static void plug_in(struct disk *disk, const struct rig *rig, uint64_t seed)
{
    *disk = (struct disk){.directory = rig->directory, .random = seed, .countdown = -1};
    disk_set_hook(on_disk_call, disk);
}

static void unplug(struct disk *disk)
{
    lose_power(disk);
    disk_set_hook(NULL, NULL);
}

static bool has_unfinished_file(const struct rig *rig)
{
    char path[160];

    snprintf(path, sizeof path, "%s/next.new", rig->directory);
    return access(path, F_OK) == 0;
}

/* --- each call fails in turn --- */

/* Not through the rig's list, where the records of the failed append still stand. */
static void append_after_failure(struct rig *rig)
{
    struct journal_batch batch = {0};

    assert_non_null(journal_batch_add(&batch, 1, 0));
    assert_int_equal(journal_append(rig->journal, &batch, &rig->failure), STORE_IO);
    journal_batch_free(&batch);
}

/* False when the process would have ended. */
static bool run_appends(struct rig *rig, unsigned count, uint32_t size)
{
    for (unsigned i = 0; i < count; i++) {
        int status = rig_append(rig, 2, size);

        assert_true(status == STORE_OK || status == STORE_IO || status == STORE_FULL);
        journal_batch_reset(&rig->batch);
        if (status == STORE_IO) {
            append_after_failure(rig);
            return false;
        }
    }
    return true;
}

static void run_scenario(struct rig *rig)
{
    int status = rig_open(rig);

    if (status != STORE_OK) {
        assert_true(status == STORE_IO || status == STORE_FULL);
        return;
    }
    if (!run_appends(rig, 3, 200))
        return;
    status = journal_prepare(rig->journal, &rig->failure);
    assert_true(status == STORE_OK || status == STORE_IO || status == STORE_FULL);
    if (!run_appends(rig, 3, 200000))
        return;
    rig_settle(rig, rig->acked_lsn > 5 ? 5 : 0);
    journal_prepare(rig->journal, &rig->failure);
    rig_close(rig);
    if (rig_open(rig) == STORE_OK)
        run_appends(rig, 3, 200000);
}

static unsigned fail_each_call(int error, bool once, bool tear)
{
    struct disk disk;
    bool failed = true;
    unsigned n;

    for (n = 0; failed; n++) {
        struct rig rig;

        rig_init(&rig);
        plug_in(&disk, &rig, n);
        disk.countdown = (int)n;
        disk.error = error;
        disk.once = once;
        disk.tear = tear;
        run_scenario(&rig);
        rig_close(&rig);
        failed = disk.failed;
        unplug(&disk);
        rig_reopen(&rig);
        assert_int_equal(rig_append(&rig, 1, 100), STORE_OK);
        rig_reopen(&rig);
        rig_free(&rig);
    }
    return n;
}

static void test_each_call_fails(void **state)
{
    (void)state;
    assert_true(fail_each_call(EIO, true, false) > 40);
    assert_true(fail_each_call(EIO, false, true) > 40);
    assert_true(fail_each_call(ENOSPC, true, false) > 40);
    assert_true(fail_each_call(ENOSPC, false, false) > 40);
}

/* Interrupted calls and short reads and writes are not failures. */
static int interrupt(void *data, struct disk_event *event)
{
    unsigned *calls = data;

    if (++*calls % 3 == 0 && (event->call <= DISK_ALLOCATE && event->call != DISK_RENAME))
        return EINTR;
    if (event->size > 1)
        event->size = event->size / 2 + 1 < event->size ? event->size / 2 + 1 : event->size - 1;
    return 0;
}

static void test_interrupted_and_short_calls(void **state)
{
    struct rig rig;
    unsigned calls = 0;

    (void)state;
    rig_init(&rig);
    disk_set_hook(interrupt, &calls);
    rig_reopen(&rig);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(journal_prepare(rig.journal, &rig.failure), STORE_OK);
        assert_int_equal(rig_append(&rig, 2, 100000), STORE_OK);
    }
    rig_reopen(&rig);
    assert_int_equal(rig.recovery.records, 16);
    disk_set_hook(NULL, NULL);
    rig_reopen(&rig);
    assert_int_equal(rig.recovery.records, 16);
    assert_true(calls > 100);
    rig_free(&rig);
}

/*
 * After a failed sync the system may show bytes that are not on disk and take them for clean. So
 * what recovery finds of the last batch it must write again, or a sync is worth nothing.
 */
struct rewrite_watch {
    bool refuse_sync;
    const uint8_t *batch;
    size_t batch_bytes;
    enum { NOT_WRITTEN, WRITTEN, SYNCED } seen;
};

static int watch_rewrite(void *data, struct disk_event *event)
{
    struct rewrite_watch *watch = data;

    if (event->call == DISK_DATASYNC && watch->refuse_sync)
        return EIO;
    if (event->call == DISK_WRITE && event->size == watch->batch_bytes &&
        memcmp(event->bytes, watch->batch, event->size) == 0)
        watch->seen = WRITTEN;
    if (event->call == DISK_DATASYNC && watch->seen == WRITTEN)
        watch->seen = SYNCED;
    return 0;
}

static void test_last_batch_is_written_again(void **state)
{
    struct rewrite_watch watch = {.seen = NOT_WRITTEN};
    struct rig rig;

    (void)state;
    rig_init(&rig);
    rig_reopen(&rig);
    assert_int_equal(rig_append(&rig, 2, 100), STORE_OK);
    disk_set_hook(watch_rewrite, &watch);
    watch.refuse_sync = true;
    assert_int_equal(rig_append(&rig, 3, 50), STORE_IO);
    watch.refuse_sync = false;
    watch.batch = rig.batch.bytes;
    watch.batch_bytes = 3 * journal_record_bytes(50);
    rig_reopen(&rig);
    assert_int_equal(rig.recovery.records, 5);
    assert_int_equal(watch.seen, SYNCED);
    disk_set_hook(NULL, NULL);
    rig_free(&rig);
}

/* --- a full disk --- */

struct full_disk {
    enum disk_call call;
    bool full;
};

static int refuse_space(void *data, struct disk_event *event)
{
    const struct full_disk *disk = data;

    return disk->full && event->call == disk->call ? ENOSPC : 0;
}

static void test_full_disk(void **state)
{
    static const enum disk_call calls[] = {DISK_ALLOCATE, DISK_WRITE};

    (void)state;

    for (unsigned i = 0; i < 2; i++) {
        struct full_disk disk = {.call = calls[i], .full = true};
        struct rig rig;

        rig_init(&rig);
        disk_set_hook(refuse_space, &disk);
        rig_reopen(&rig);
        assert_int_equal(journal_room_bytes(rig.journal, 4096), 0);
        assert_int_equal(journal_disk_bytes(rig.journal), 0);
        assert_int_equal(journal_prepare(rig.journal, &rig.failure), STORE_FULL);
        assert_false(has_unfinished_file(&rig));
        assert_int_equal(rig_append(&rig, 1, 100), STORE_FULL);
        disk.full = false;
        assert_int_equal(journal_prepare(rig.journal, &rig.failure), STORE_OK);
        assert_int_equal(rig_commit(&rig), STORE_OK);
        /* What there is can be filled, with no space beside it. */
        disk.full = calls[i] == DISK_ALLOCATE;
        while (rig_append(&rig, 1, 100000) == STORE_OK)
            ;
        assert_int_equal(rig.failure.status, STORE_FULL);
        assert_int_equal(rig.acked_lsn, 11);
        journal_batch_reset(&rig.batch);
        rig_reopen(&rig);
        assert_int_equal(rig.recovery.records, 11);
        disk_set_hook(NULL, NULL);
        rig_free(&rig);
    }
}

/* --- a history --- */

static unsigned from_environment(const char *name, unsigned fallback)
{
    const char *text = getenv(name);

    return text == NULL ? fallback : (unsigned)strtoul(text, NULL, 10);
}

static void plan_failure(struct disk *disk)
{
    uint64_t choice = rig_random(&disk->random);

    disk->countdown = (int)(choice % 14);
    disk->tear = choice / 16 % 2 == 0;
    disk->error = EIO;
}

/* Power fails in recovery, too, now and then more than once. */
static void crash_and_recover(struct rig *rig, struct disk *disk)
{
    static const uint64_t sizes[] = {MIB, MIB + 3 * 4096, 2 * MIB};

    rig_close(rig);
    lose_power(disk);
    journal_batch_reset(&rig->batch);
    if (rig_random(&disk->random) % 4 == 0)
        rig->options.segment_bytes = sizes[rig_random(&disk->random) % 3];
    for (;;) {
        int status;

        if (rig_random(&disk->random) % 3 == 0)
            plan_failure(disk);
        status = rig_open(rig);
        if (status == STORE_OK)
            break;
        if (!disk->failed)
            fail_msg("%s", rig->failure.detail);
        lose_power(disk);
    }
    disk->countdown = -1;
    /* A failure that open could do without may have come after all else was done. */
    if (disk->failed)
        crash_and_recover(rig, disk);
}

/* Returns false when the process would have ended. */
static bool append_something(struct rig *rig, struct disk *disk)
{
    uint64_t choice = rig_random(&disk->random);
    unsigned count = 1 + (unsigned)(choice % 5);
    uint32_t size_max = choice / 8 % 4 == 0 ? 190000 : 600;
    bool same_size = choice / 64 % 2 == 0;
    int status;

    while (count-- > 0)
        rig_add(rig, same_size ? 64 : (uint32_t)(rig_random(&disk->random) % size_max));
    status = rig_commit(rig);
    if (status == STORE_FULL) {
        journal_batch_reset(&rig->batch);
        rig_settle(rig, rig->acked_lsn);
    }
    return status == STORE_OK || status == STORE_FULL;
}

static bool step(struct rig *rig, struct disk *disk)
{
    uint64_t choice = rig_random(&disk->random) % 16;
    uint64_t ahead = rig->acked_lsn - rig->settled_lsn;

    if (choice == 0 && disk->countdown < 0)
        plan_failure(disk);
    if (choice == 1)
        return false;
    if (choice < 4)
        return journal_prepare(rig->journal, &rig->failure) != STORE_IO;
    if (choice < 6 && ahead > 0) {
        rig_settle(rig, rig->settled_lsn + rig_random(&disk->random) % (ahead + 1));
        return true;
    }
    return append_something(rig, disk);
}

static void test_history(void **state)
{
    unsigned seed = from_environment("JOURNAL_TEST_SEED", 20260131);
    unsigned steps = from_environment("JOURNAL_TEST_STEPS", 1500), crashes = 0;
    struct rig rig;
    struct disk disk;

    (void)state;
    print_message("JOURNAL_TEST_SEED=%u JOURNAL_TEST_STEPS=%u\n", seed, steps);
    rig_init(&rig);
    plug_in(&disk, &rig, seed);
    rig_reopen(&rig);
    for (unsigned i = 0; i < steps; i++) {
        if (!step(&rig, &disk)) {
            crash_and_recover(&rig, &disk);
            crashes++;
        }
    }
    crash_and_recover(&rig, &disk);
    print_message("%u crashes, %u records\n", crashes, (unsigned)rig.acked_lsn);
    assert_true(rig.acked_lsn > steps);
    unplug(&disk);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails),
        cmocka_unit_test(test_interrupted_and_short_calls),
        cmocka_unit_test(test_last_batch_is_written_again),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_history),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
