/*
 * Opening a damaged journal. A sound one of two segments is made once; the input damages it: the
 * last byte of each seven goes over the byte that the others point to. It is put back afterwards.
 *
 * Whatever is damaged, what opens shows the beginning of what was appended, unaltered; and opens to
 * the same once more. What does not open says why, and has been left as it is.
 */
#include "store/journal.h"
#include "store/journal_format.h"
#include "store/journal_recovery.h"
#include "tests/fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEGMENT_BYTES JOURNAL_SEGMENT_BYTES_MIN
#define SEGMENTS_MAX 3
#define RECORDS 24
#define RECORD_BYTES ((uint32_t)60000)
#define PATCH_BYTES 7
#define PATCHES_MAX 64
/* Most damage goes where structure is: to the beginning of a segment and of its records. */
#define NEAR_BYTES 4096

static char directory[64];
static uint8_t *sound[SEGMENTS_MAX]; /* each segment's bytes; NULL: there is none */
static uint8_t *damaged;             /* one segment, to compare with */
static const uint8_t store_id[16] = {7};

static void segment_path(unsigned i, char path[128])
{
    char name[JOURNAL_SLOT_NAME_BYTES];

    journal_slot_name(name, i);
    snprintf(path, 128, "%s/%s", directory, name);
}

static void payload_fill(uint64_t lsn, uint8_t *payload)
{
    memset(payload, (int)(lsn * 31), RECORD_BYTES);
}

static int replay(void *data, const struct journal_record *record)
{
    static uint8_t payload[RECORD_BYTES];
    uint64_t *last_lsn = data;

    FUZZ_CHECK(record->lsn == *last_lsn + 1 && record->lsn <= RECORDS);
    FUZZ_CHECK(record->size == RECORD_BYTES && record->kind == 1);
    payload_fill(record->lsn, payload);
    FUZZ_CHECK(memcmp(record->payload, payload, RECORD_BYTES) == 0);
    *last_lsn = record->lsn;
    return 0;
}

static int journal_try(struct journal **journal, uint64_t *last_lsn, struct store_failure *failure)
{
    const struct journal_options options = {
        .directory = directory, .segment_bytes = SEGMENT_BYTES, .segments_max = SEGMENTS_MAX};
    struct journal_recovery recovery;
    int status;

    *last_lsn = 0;
    status = journal_open(journal, &options, store_id, 0, replay, last_lsn, &recovery, failure);
    FUZZ_CHECK(status != 0 || recovery.last_lsn == *last_lsn);
    return status;
}

static uint8_t *file_read(const char *path)
{
    uint8_t *bytes = malloc(SEGMENT_BYTES);
    int fd = open(path, O_RDONLY);

    FUZZ_CHECK(bytes != NULL);
    if (fd < 0) {
        free(bytes);
        return NULL;
    }
    FUZZ_CHECK(pread(fd, bytes, SEGMENT_BYTES, 0) == (ssize_t)SEGMENT_BYTES);
    close(fd);
    return bytes;
}

static void file_write(const char *path, const uint8_t *bytes, size_t size, size_t offset)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0600);

    FUZZ_CHECK(fd >= 0 && pwrite(fd, bytes, size, (off_t)offset) == (ssize_t)size);
    close(fd);
}

static void sound_restore(void)
{
    char path[128];

    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        segment_path(i, path);
        if (sound[i] != NULL)
            file_write(path, sound[i], SEGMENT_BYTES, 0);
        else
            unlink(path);
    }
}

static void directory_remove(void)
{
    char path[128];

    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        segment_path(i, path);
        unlink(path);
        free(sound[i]);
    }
    free(damaged);
    rmdir(directory);
}

static void sound_append(struct journal *journal)
{
    struct journal_batch batch = {0};
    struct store_failure failure;

    for (uint64_t lsn = 1; lsn <= RECORDS; lsn++) {
        uint8_t *payload = journal_batch_add(&batch, 1, RECORD_BYTES);
        FUZZ_CHECK(payload != NULL);
        payload_fill(lsn, payload);
        FUZZ_CHECK(journal_append(journal, &batch, &failure) == 0);
        journal_batch_reset(&batch);
        FUZZ_CHECK(journal_prepare(journal, &failure) == 0);
    }
    journal_batch_free(&batch);
}

static void sound_make(void)
{
    struct store_failure failure;
    struct journal *journal;
    uint64_t last_lsn;
    char path[128];

    snprintf(directory, sizeof directory, "%s/fuzz_recovery.XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    FUZZ_CHECK(mkdtemp(directory) != NULL);
    atexit(directory_remove);
    FUZZ_CHECK(journal_try(&journal, &last_lsn, &failure) == 0);
    sound_append(journal);
    journal_close(journal);
    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        segment_path(i, path);
        sound[i] = file_read(path);
    }
    FUZZ_CHECK(sound[0] != NULL && sound[1] != NULL);
}

/* One byte of one segment. */
static void patch(struct fuzz_input *input, uint8_t *bytes[SEGMENTS_MAX])
{
    uint8_t which = fuzz_u8(input), record = fuzz_u8(input), value;
    uint32_t offset;
    uint8_t *segment = bytes[which % SEGMENTS_MAX];

    fuzz_take(input, &offset, sizeof offset);
    value = fuzz_u8(input);
    if (which & 0x80)
        offset %= SEGMENT_BYTES;
    else if (record % 20 == 0)
        offset %= NEAR_BYTES;
    else
        offset = (uint32_t)(JOURNAL_SEGMENT_HEADER_BYTES +
                            journal_record_bytes(RECORD_BYTES) * (record % 20u - 1) +
                            offset % JOURNAL_RECORD_HEADER_BYTES);
    if (segment != NULL && offset < SEGMENT_BYTES)
        segment[offset] = value;
}

static void segments_write(uint8_t *bytes[SEGMENTS_MAX])
{
    char path[128];

    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        segment_path(i, path);
        if (bytes[i] != NULL)
            file_write(path, bytes[i], SEGMENT_BYTES, 0);
    }
}

static void segments_compare(uint8_t *bytes[SEGMENTS_MAX])
{
    char path[128];

    for (unsigned i = 0; i < SEGMENTS_MAX; i++) {
        segment_path(i, path);
        if (bytes[i] == NULL)
            continue;
        damaged = file_read(path);
        FUZZ_CHECK(damaged != NULL && memcmp(damaged, bytes[i], SEGMENT_BYTES) == 0);
        free(damaged);
        damaged = NULL;
    }
}

static void check_open(uint8_t *bytes[SEGMENTS_MAX])
{
    struct store_failure failure = {0};
    struct journal *journal;
    uint64_t first, second;

    if (journal_try(&journal, &first, &failure) != 0) {
        FUZZ_CHECK(failure.status != 0 && failure.detail[0] != '\0');
        segments_compare(bytes);
        return;
    }
    journal_close(journal);
    FUZZ_CHECK(journal_try(&journal, &second, &failure) == 0);
    journal_close(journal);
    FUZZ_CHECK(second == first);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct fuzz_input input = {bytes, size};
    uint8_t *segments[SEGMENTS_MAX] = {NULL};

    if (directory[0] == '\0')
        sound_make();
    for (unsigned i = 0; i < SEGMENTS_MAX; i++)
        segments[i] = sound[i] == NULL ? NULL : fuzz_copy(sound[i], SEGMENT_BYTES);
    for (unsigned i = 0; i < PATCHES_MAX && input.size >= PATCH_BYTES; i++)
        patch(&input, segments);
    segments_write(segments);
    check_open(segments);
    sound_restore();
    for (unsigned i = 0; i < SEGMENTS_MAX; i++)
        free(segments[i]);
    return 0;
}
