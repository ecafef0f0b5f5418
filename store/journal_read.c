/*
 * The headers of all segments are read first, then the segments. Those that another one had
 * followed by then are complete; the newest is read up to where it has come:
 *
 *     [101 ... 200]   may be used again meanwhile, when all of it is settled
 *     [201 ... 300]
 *     [301 ... 400]
 *     [401 ...        up to where it has come by then
 *
 * So the records that are needed make one sequence without holes. A segment whose header has
 * changed between the two readings was settled, or was free, and is left out. When two segments are
 * begun while the headers are read, the first of them may be missed and the second one not: then a
 * record that was durable is missing, which replaying finds, and the caller reads again.
 *
 * Records are kept as runs: consecutive ones, whole and with the right CRC. Behind the end of a run
 * the rest of the segment is searched for further ones, though none should follow but those of a
 * torn append: one that says that a missing record was durable tells damage from the journal's
 * end, as in recovery.
 *
 * A segment is not read in one instant. When the writer overtakes the reader in it, what lay ahead
 * of the writer may have been read before a batch was written and what lies behind that batch after
 * the next one, which knows it as durable. So a hole counts only if it is there again when the
 * segment is read once more.
 */
#include "store/journal_read.h"

#include "store/disk.h"
#include "store/journal_format.h"
#include "store/journal_recovery.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct run {
    struct run *next;
    unsigned slot;
    uint64_t first_lsn;
    uint64_t last_lsn;
    uint64_t durable_lsn; /* the highest that one of its records speaks of */
    size_t size;
    uint8_t bytes[];
};

struct journal_image {
    struct run *runs; /* by first LSN once all are read */
    uint32_t seed;
};

struct file {
    unsigned slot;
    uint64_t first_lsn; /* 0: no valid header */
    uint64_t bytes;
};

struct reading {
    const char *directory;
    int directory_fd;
    const uint8_t *store_id;
    uint64_t after_lsn;
    struct journal_image *image;
    struct journal_figures *figures;
    struct store_failure *failure;
    struct file *files;
    size_t file_count;
};

static int fail_system(const struct reading *reading, const char *what, int error)
{
    return store_fail(reading->failure, STORE_IO, "%s: %s: %s", reading->directory, what,
                      disk_error_text(error));
}

static int out_of_memory(const struct reading *reading)
{
    return store_fail(reading->failure, STORE_NO_MEMORY, "%s: out of memory", reading->directory);
}

/* --- headers --- */

/* Reads up to `limit` bytes of a segment; *got is 0 when it is gone: it was free then. */
static int read_file(const struct reading *reading, const struct file *file, uint8_t *bytes,
                     size_t limit, size_t *got)
{
    char name[JOURNAL_SLOT_NAME_BYTES];
    int fd, error;

    *got = 0;
    journal_slot_name(name, file->slot);
    fd = disk_open(reading->directory_fd, name, O_RDONLY);
    if (fd == -ENOENT)
        return 0;
    if (fd < 0)
        return fail_system(reading, name, fd);
    error = disk_pread(fd, bytes, limit, 0, got);
    close(fd);
    return error == 0 ? 0 : fail_system(reading, name, error);
}

static int judge_header(const struct reading *reading, struct file *file, const uint8_t *bytes)
{
    struct journal_header header;

    file->first_lsn = 0;
    switch (journal_format_read_header(bytes, &header)) {
    case JOURNAL_HEADER_OTHER_VERSION:
        return store_fail(reading->failure, STORE_FORMAT,
                          "%s/%04u.seg: has format version %" PRIu32 ", this program knows %d",
                          reading->directory, file->slot + 1, header.version,
                          JOURNAL_FORMAT_VERSION);
    case JOURNAL_HEADER_ZERO:
    case JOURNAL_HEADER_DAMAGED:
        return 0;
    case JOURNAL_HEADER_VALID:
        break;
    }
    if (memcmp(header.store_id, reading->store_id, sizeof header.store_id) != 0)
        return store_fail(reading->failure, STORE_FORMAT,
                          "%s/%04u.seg: belongs to another store than the database beside it",
                          reading->directory, file->slot + 1);
    file->first_lsn = header.first_lsn;
    reading->figures->format_version = header.version;
    return 0;
}

static int add_file(struct reading *reading, unsigned slot)
{
    uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES] = {0};
    struct file *file = &reading->files[reading->file_count];
    char name[JOURNAL_SLOT_NAME_BYTES];
    struct stat status;
    size_t got;
    int rc;

    *file = (struct file){.slot = slot};
    journal_slot_name(name, slot);
    if (fstatat(reading->directory_fd, name, &status, 0) != 0)
        return errno == ENOENT ? 0 : fail_system(reading, name, -errno);
    file->bytes = (uint64_t)status.st_size;
    rc = read_file(reading, file, bytes, sizeof bytes, &got);
    if (rc == 0)
        rc = judge_header(reading, file, bytes);
    if (rc != 0)
        return rc;
    if (file->bytes > JOURNAL_SEGMENT_BYTES_MAX)
        return store_fail(reading->failure, STORE_CORRUPT, "%s/%s: has grown: it is damaged",
                          reading->directory, name);
    reading->figures->segments++;
    reading->figures->bytes += file->bytes;
    reading->file_count++;
    return 0;
}

static int list_files(struct reading *reading)
{
    int fd = openat(reading->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int rc = 0;

    if (directory == NULL) {
        rc = fail_system(reading, "list", -errno);
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (errno = 0, entry = readdir(directory)) != NULL) {
        unsigned slot = journal_slot_of_name(entry->d_name);
        if (slot != JOURNAL_SLOTS_MAX && reading->file_count < JOURNAL_SLOTS_MAX)
            rc = add_file(reading, slot);
    }
    if (rc == 0 && errno != 0)
        rc = fail_system(reading, "list", -errno);
    closedir(directory);
    return rc;
}

/* --- records --- */

static int add_run(const struct reading *reading, unsigned slot, const uint8_t *bytes, size_t size,
                   uint64_t first_lsn, uint64_t last_lsn, uint64_t durable_lsn)
{
    struct run *run = malloc(sizeof *run + size);
    struct run **place = &reading->image->runs;

    if (run == NULL)
        return out_of_memory(reading);
    *run = (struct run){.slot = slot,
                        .first_lsn = first_lsn,
                        .last_lsn = last_lsn,
                        .durable_lsn = durable_lsn,
                        .size = size};
    memcpy(run->bytes, bytes, size);
    while (*place != NULL && (*place)->first_lsn < first_lsn)
        place = &(*place)->next;
    run->next = *place;
    *place = run;
    return 0;
}

/* Takes the run of records that begins with `entry` at *offset, and moves *offset and *next_lsn
 * behind it. */
static int take_run(const struct reading *reading, unsigned slot, const uint8_t *bytes, size_t size,
                    size_t *offset, uint64_t *next_lsn, struct journal_entry *entry)
{
    uint64_t first_lsn = entry->lsn;
    uint64_t durable_lsn = 0;
    uint64_t lsn = first_lsn;
    size_t begin = *offset;

    do {
        if (entry->durable_lsn > durable_lsn)
            durable_lsn = entry->durable_lsn;
        *offset += entry->total_bytes;
        lsn++;
    } while (
        journal_format_read_record(bytes + *offset, size - *offset, reading->image->seed, entry) &&
        entry->lsn == lsn);
    *next_lsn = lsn;
    return add_run(reading, slot, bytes + begin, *offset - begin, first_lsn, lsn - 1, durable_lsn);
}

/* What lies in the segment behind `after_lsn`. LSNs only grow in it, but for what is stale. */
static int take_records(const struct reading *reading, const struct file *file,
                        const uint8_t *bytes, size_t size)
{
    uint64_t lsn_min = reading->after_lsn + 1;
    size_t offset = JOURNAL_SEGMENT_HEADER_BYTES;
    struct journal_entry entry;
    int rc = 0;

    if (file->first_lsn > lsn_min)
        lsn_min = file->first_lsn;
    while (rc == 0 && offset < size &&
           journal_format_find_record(bytes, size, reading->image->seed, lsn_min, UINT64_MAX,
                                      &offset, &entry))
        rc = take_run(reading, file->slot, bytes, size, &offset, &lsn_min, &entry);
    return rc;
}

/* The first record of the segment that is missing though a later one knows it as durable; 0 when
 * there is none. */
static uint64_t first_hole(const struct reading *reading, const struct file *file)
{
    uint64_t expected = reading->after_lsn + 1;

    if (file->first_lsn > expected)
        expected = file->first_lsn;
    for (const struct run *run = reading->image->runs; run != NULL; run = run->next) {
        if (run->slot != file->slot)
            continue;
        if (run->first_lsn > expected && run->durable_lsn >= expected)
            return expected;
        expected = run->last_lsn + 1;
    }
    return 0;
}

static void drop_records(const struct reading *reading, const struct file *file)
{
    struct run **place = &reading->image->runs;

    while (*place != NULL) {
        struct run *run = *place;
        if (run->slot != file->slot) {
            place = &run->next;
            continue;
        }
        *place = run->next;
        free(run);
    }
}

static int read_segment_once(const struct reading *reading, const struct file *file, uint8_t *bytes)
{
    struct file now = *file;
    size_t size;
    int rc = read_file(reading, file, bytes, (size_t)file->bytes, &size);

    if (rc == 0 && size > JOURNAL_SEGMENT_HEADER_BYTES)
        rc = judge_header(reading, &now, bytes);
    if (rc == 0 && size > JOURNAL_SEGMENT_HEADER_BYTES && now.first_lsn == file->first_lsn)
        rc = take_records(reading, file, bytes, size);
    return rc;
}

static int read_segment(const struct reading *reading, const struct file *file)
{
    uint8_t *bytes = malloc((size_t)file->bytes + 1);
    uint64_t hole = 0, hole_before = UINT64_MAX;
    int rc = 0;

    if (bytes == NULL)
        return out_of_memory(reading);
    while (rc == 0 && hole != hole_before) {
        drop_records(reading, file);
        hole_before = hole;
        rc = read_segment_once(reading, file, bytes);
        hole = first_hole(reading, file);
    }
    free(bytes);
    return rc;
}

/* --- all of it --- */

static int read_all(struct reading *reading)
{
    int rc = list_files(reading);

    for (size_t i = 0; i < reading->file_count && rc == 0; i++)
        rc = read_segment(reading, &reading->files[i]);
    return rc;
}

static int open_and_read(struct reading *reading)
{
    int rc;

    reading->directory_fd = disk_open(AT_FDCWD, reading->directory, O_RDONLY | O_DIRECTORY);
    if (reading->directory_fd == -ENOENT)
        return 0;
    if (reading->directory_fd < 0)
        return fail_system(reading, "open", reading->directory_fd);
    reading->files = calloc(JOURNAL_SLOTS_MAX, sizeof *reading->files);
    rc = reading->files == NULL ? out_of_memory(reading) : read_all(reading);
    free(reading->files);
    close(reading->directory_fd);
    return rc;
}

int journal_read(struct journal_image **image, const char *directory, const uint8_t store_id[16],
                 uint64_t after_lsn, struct journal_figures *figures, struct store_failure *failure)
{
    struct reading reading = {.directory = directory,
                              .store_id = store_id,
                              .after_lsn = after_lsn,
                              .figures = figures,
                              .failure = failure};
    int rc;

    *figures = (struct journal_figures){0};
    reading.image = calloc(1, sizeof *reading.image);
    if (reading.image == NULL)
        return out_of_memory(&reading);
    reading.image->seed = journal_format_seed(store_id);
    rc = open_and_read(&reading);
    if (rc == 0)
        *image = reading.image;
    else
        journal_image_free(reading.image);
    return rc;
}

void journal_image_free(struct journal_image *image)
{
    while (image->runs != NULL) {
        struct run *run = image->runs;
        image->runs = run->next;
        free(run);
    }
    free(image);
}

/* --- replaying --- */

static int replay_run(const struct journal_image *image, const struct run *run, uint64_t *last_lsn,
                      journal_replay_fn replay, void *data)
{
    struct journal_entry entry;
    size_t offset = 0;
    int rc = 0;

    while (
        rc == 0 && offset < run->size &&
        journal_format_read_record(run->bytes + offset, run->size - offset, image->seed, &entry)) {
        const struct journal_record record = {
            .lsn = entry.lsn, .kind = entry.kind, .size = entry.size, .payload = entry.payload};
        if (entry.lsn == *last_lsn + 1) {
            rc = replay(data, &record);
            *last_lsn += rc == 0;
        }
        offset += entry.total_bytes;
    }
    return rc;
}

int journal_image_replay(const struct journal_image *image, uint64_t settled_lsn,
                         journal_replay_fn replay, void *data, uint64_t *last_lsn,
                         struct store_failure *failure)
{
    *last_lsn = settled_lsn;
    for (const struct run *run = image->runs; run != NULL; run = run->next) {
        int rc;
        if (run->last_lsn <= *last_lsn)
            continue;
        if (run->first_lsn > *last_lsn + 1) {
            /* Behind a hole: of a torn append, unless it knew what is missing as durable. */
            if (run->durable_lsn > *last_lsn)
                return store_fail(failure, STORE_CORRUPT,
                                  "journal record %" PRIu64 " is damaged or missing: segment "
                                  "%04u.seg shows that it had been written",
                                  *last_lsn + 1, run->slot + 1);
            continue;
        }
        rc = replay_run(image, run, last_lsn, replay, data);
        if (rc != 0)
            return failure->status != 0
                       ? rc
                       : store_fail(failure, rc, "journal record %" PRIu64 " was refused",
                                    *last_lsn + 1);
    }
    return 0;
}
