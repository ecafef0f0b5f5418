/* The journal on a disk that works: what goes in comes out, and damage is told from torn tails. */
#include "tests/unit/journal_rig.h"

static int setup(void **state)
{
    struct rig *rig = malloc(sizeof *rig);

    assert_non_null(rig);
    rig_init(rig);
    *state = rig;
    assert_int_equal(rig_open(rig), STORE_OK);
    return 0;
}

static int teardown(void **state)
{
    rig_free(*state);
    free(*state);
    return 0;
}

static void prepare(struct rig *rig)
{
    assert_int_equal(journal_prepare(rig->journal, &rig->failure), STORE_OK);
}

/* Opens the damaged directory: refused with `status`, and nothing is changed. */
static void assert_refused(struct rig *rig, const struct copy *damaged, int status)
{
    copy_restore(damaged, rig->directory);
    assert_int_equal(rig_open(rig), status);
    assert_non_null(strstr(rig->failure.detail, rig->directory));
    assert_true(copy_equals(damaged, rig->directory));
}

static void test_round_trip(void **state)
{
    struct rig *rig = *state;
    uint64_t random = 1;

    rig->options.segments_max = 12;
    rig_reopen(rig);
    for (unsigned i = 0; i < 160; i++) {
        unsigned count = 1 + (unsigned)(rig_random(&random) % 20);

        prepare(rig);
        while (count-- > 0)
            rig_add(rig, (uint32_t)(rig_random(&random) % 8000));
        assert_int_equal(rig_commit(rig), STORE_OK);
    }
    assert_true(journal_disk_bytes(rig->journal) >= 7 * MIB);
    for (unsigned i = 0; i < 2; i++) {
        rig_reopen(rig);
        assert_int_equal(rig->recovery.records, rig->acked_lsn);
        assert_int_equal(rig->recovery.torn_bytes, 0);
    }
    rig->settled_lsn = rig->acked_lsn / 2;
    rig_reopen(rig);
    assert_int_equal(rig->recovery.records, rig->acked_lsn - rig->settled_lsn);
}

static void test_empty_payload_and_empty_batch(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_append(rig, 3, 0), STORE_OK);
    assert_int_equal(journal_append(rig->journal, &rig->batch, &rig->failure), STORE_OK);
    rig_reopen(rig);
    assert_int_equal(rig->recovery.records, 3);
    assert_int_equal(rig->recovery.bytes, 3 * JOURNAL_RECORD_HEADER_BYTES);
}

static void test_segments_are_used_again(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 200; i++) {
        prepare(rig);
        assert_int_equal(rig_append(rig, 3, 30000), STORE_OK);
        if (i % 5 == 0)
            rig_settle(rig, rig->acked_lsn - 2);
        assert_true(journal_disk_bytes(rig->journal) <= 4 * MIB);
        if (i % 37 == 0)
            rig_reopen(rig);
    }
    rig_reopen(rig);
    assert_int_equal(rig->recovery.last_lsn, 600);
}

static void test_largest_batch(void **state)
{
    struct rig *rig = *state;
    size_t max = journal_batch_bytes_max(rig->journal);

    assert_int_equal(rig_append(rig, 1, (uint32_t)(max - JOURNAL_RECORD_HEADER_BYTES)), STORE_OK);
    prepare(rig);
    assert_int_equal(rig_append(rig, 1, 1), STORE_OK);
    rig_reopen(rig);
    assert_int_equal(rig->recovery.records, 2);
    assert_int_equal(rig_append(rig, 1, (uint32_t)(max - JOURNAL_RECORD_HEADER_BYTES + 1)),
                     STORE_IO);
}

static void test_full(void **state)
{
    struct rig *rig = *state;
    uint64_t acked;

    rig->options.segments_max = 2;
    rig_reopen(rig);
    do {
        prepare(rig);
    } while (rig_append(rig, 1, 300000) == STORE_OK);
    assert_int_equal(rig->failure.status, STORE_FULL);
    assert_int_equal(rig->acked_lsn, 6);
    assert_true(journal_room_bytes(rig->journal, 300032) < 300032);
    /* Settling less than a segment frees none; settling one frees it; the same batch goes on. */
    rig_settle(rig, 2);
    assert_int_equal(rig_commit(rig), STORE_FULL);
    rig_settle(rig, 3);
    assert_int_equal(rig_commit(rig), STORE_OK);
    acked = rig->acked_lsn;
    rig_reopen(rig);
    assert_int_equal(rig->recovery.last_lsn, acked);
    assert_int_equal(rig->recovery.records, acked - 3);
}

/* Whatever the sizes of the batches, what journal_room_bytes promised can be appended. */
static void test_room_is_a_lower_bound(void **state)
{
    struct rig *rig = *state;
    uint64_t random = 7;

    rig->options.segments_max = 3;
    rig_reopen(rig);
    for (unsigned round = 0; round < 30; round++) {
        uint32_t max = (uint32_t)(64 + rig_random(&random) % 500000);
        uint64_t room = journal_room_bytes(rig->journal, journal_record_bytes(max)), used = 0;

        for (;;) {
            uint32_t size = (uint32_t)(max / 2 + rig_random(&random) % (max / 2 + 1));

            used += journal_record_bytes(size);
            if (used > room)
                break;
            assert_int_equal(rig_append(rig, 1, size), STORE_OK);
        }
        rig_settle(rig, rig->acked_lsn);
        prepare(rig);
        if (round % 4 == 0) {
            rig_append(rig, 1, max);
            journal_batch_reset(&rig->batch);
        }
    }
    assert_true(rig->acked_lsn > 100);
}

/* --- torn tails --- */

static void append_before_and_after(struct rig *rig, struct copy *before, struct copy *after)
{
    assert_int_equal(rig_append(rig, 2, 100), STORE_OK);
    assert_int_equal(rig_append(rig, 1, 5), STORE_OK);
    copy_take(before, rig->directory);
    assert_int_equal(rig_append(rig, 3, 41), STORE_OK);
    copy_take(after, rig->directory);
    rig_close(rig);
}

/* Recovers from what is in the directory, when records 4 to 6 were not acknowledged: the first
 * `whole` of them must be there. Appends a batch like the torn one, twice, to see that nothing of
 * it comes back. */
static void assert_recovers(struct rig *rig, unsigned whole, bool again)
{
    struct rig_record torn[3];

    memcpy(torn, rig->records + 4, sizeof torn);
    rig->acked_lsn = 3;
    rig->pending_lsn = 6;
    rig_reopen(rig);
    assert_int_equal(rig->recovery.last_lsn, 3 + whole);
    if (again) {
        for (unsigned i = 0; i < 2; i++) {
            assert_int_equal(rig_append(rig, 1, 41), STORE_OK);
            rig_reopen(rig);
            assert_int_equal(rig->recovery.last_lsn, 4 + whole + i);
            assert_int_equal(rig->recovery.torn_bytes, 0);
        }
    }
    rig_close(rig);
    memcpy(rig->records + 4, torn, sizeof torn);
}

static void test_last_batch_cut_at_each_byte(void **state)
{
    struct rig *rig = *state;
    struct copy before, after;
    size_t total, start;
    unsigned last;

    append_before_and_after(rig, &before, &after);
    last = copy_last(&after);
    start = copy_find(&after, last, rig, 4, &total);
    for (size_t cut = 0; cut < 3 * total; cut++) {
        uint8_t *bytes = before.files[last].bytes + start;
        unsigned whole = (unsigned)(cut / total);

        /* The padding is zero whether it was written or not. */
        if (cut % total >= total - 7)
            whole++;
        memcpy(bytes, after.files[last].bytes + start, cut);
        copy_restore(&before, rig->directory);
        assert_recovers(rig, whole, cut % 8 == 4);
    }
    copy_free(&before);
    copy_free(&after);
}

static void test_last_batch_flipped_at_each_byte(void **state)
{
    struct rig *rig = *state;
    struct copy before, after;
    size_t total, start;
    unsigned last;

    append_before_and_after(rig, &before, &after);
    last = copy_last(&after);
    start = copy_find(&after, last, rig, 4, &total);
    for (size_t at = 0; at < 3 * total; at++) {
        uint8_t *byte = after.files[last].bytes + start + at;

        *byte ^= 0x10;
        copy_restore(&after, rig->directory);
        assert_recovers(rig, (unsigned)(at / total), at % 8 == 0);
        *byte ^= 0x10;
    }
    copy_free(&before);
    copy_free(&after);
}

static void test_stale_records_stay_away(void **state)
{
    struct rig *rig = *state;
    struct copy before, after;
    size_t total, start;
    unsigned last;

    append_before_and_after(rig, &before, &after);
    last = copy_last(&after);
    start = copy_find(&after, last, rig, 4, &total);
    /* The first record of the batch is not there, the others are whole. */
    memset(after.files[last].bytes + start, 0, total);
    copy_restore(&after, rig->directory);
    rig->acked_lsn = 3;
    rig_reopen(rig);
    assert_int_equal(rig->recovery.last_lsn, 3);
    assert_int_equal(rig->recovery.torn_bytes, 3 * total);
    assert_int_equal(rig_append(rig, 1, 41), STORE_OK);
    rig_reopen(rig);
    assert_int_equal(rig->recovery.last_lsn, 4);
    copy_free(&before);
    copy_free(&after);
}

/* --- damage --- */

static void test_damaged_record_is_refused(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    size_t total, start;
    unsigned last;

    assert_int_equal(rig_append(rig, 2, 50), STORE_OK);
    assert_int_equal(rig_append(rig, 1, 51), STORE_OK);
    assert_int_equal(rig_append(rig, 2, 52), STORE_OK);
    rig_close(rig);
    copy_take(&copy, rig->directory);
    last = copy_last(&copy);
    for (uint64_t lsn = 1; lsn <= 3; lsn++) {
        start = copy_find(&copy, last, rig, lsn, &total);
        for (size_t at = 0; at < total; at++) {
            char where[32];

            copy.files[last].bytes[start + at] ^= 0x01;
            assert_refused(rig, &copy, STORE_CORRUPT);
            snprintf(where, sizeof where, "byte %zu, record %u", start, (unsigned)lsn);
            assert_non_null(strstr(rig->failure.detail, where));
            copy.files[last].bytes[start + at] ^= 0x01;
        }
    }
    copy_free(&copy);
}

/* Records 1 to 9 in three segments, three in each. */
static void fill_three_segments(struct rig *rig, struct copy *copy)
{
    for (unsigned i = 0; i < 9; i++) {
        prepare(rig);
        assert_int_equal(rig_append(rig, 1, 300000), STORE_OK);
    }
    rig_close(rig);
    copy_take(copy, rig->directory);
    assert_int_equal(copy_last(copy), 2);
}

static void test_damage_in_an_earlier_segment(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    size_t total, start;

    fill_three_segments(rig, &copy);
    start = copy_find(&copy, 1, rig, 6, &total);
    copy.files[1].bytes[start + 100] ^= 1;
    assert_refused(rig, &copy, STORE_CORRUPT);
    rig->settled_lsn = 5;
    assert_refused(rig, &copy, STORE_CORRUPT);
    /* Settled: the segment is not even needed. */
    rig->settled_lsn = 6;
    rig_reopen(rig);
    assert_int_equal(rig->recovery.records, 3);
    copy_free(&copy);
}

/* Nothing in the journal says that its end is missing; the database does. */
static void test_end_that_was_reached(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    size_t total, start;

    fill_three_segments(rig, &copy);
    start = copy_find(&copy, 2, rig, 9, &total);
    memset(copy.files[2].bytes + start, 0, total);
    rig->settled_lsn = 2;
    rig->options.reached_lsn = 9;
    assert_refused(rig, &copy, STORE_CORRUPT);
    assert_non_null(strstr(rig->failure.detail, "ends with record 8"));
    copy_restore(&copy, rig->directory);
    rig->acked_lsn = 8;
    rig->options.reached_lsn = 8;
    rig_reopen(rig);
    assert_int_equal(rig->recovery.last_lsn, 8);
    copy_free(&copy);
}

static void test_no_journal_where_one_was_reached(void **state)
{
    struct rig *rig = *state;

    rig_close(rig);
    rig->settled_lsn = rig->acked_lsn = rig->pending_lsn = 5;
    rig->options.reached_lsn = 6;
    assert_int_equal(rig_open(rig), STORE_CORRUPT);
    rig->options.reached_lsn = 5;
    rig_reopen(rig);
}

static void test_damage_in_settled_records(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    size_t total, start;

    fill_three_segments(rig, &copy);
    for (unsigned file = 1; file <= 2; file++) {
        uint64_t lsn = 3 * file + 1;

        /* Even its length is lost, and the next one has to be looked for. */
        start = copy_find(&copy, file, rig, lsn, &total);
        memset(copy.files[file].bytes + start, 0xff, 64);
        rig->settled_lsn = lsn - 1;
        rig->acked_lsn = rig->pending_lsn = 9;
        assert_refused(rig, &copy, STORE_CORRUPT);
        for (rig->settled_lsn = lsn; rig->settled_lsn < lsn + 2; rig->settled_lsn++) {
            copy_restore(&copy, rig->directory);
            rig_reopen(rig);
            assert_int_equal(rig->recovery.records, 9 - rig->settled_lsn);
            rig_close(rig);
        }
    }
    copy_free(&copy);
}

/* Records 4 to 6 are one batch. Behind damage to settled records it is not taken for torn. */
static void test_damage_from_settled_records_on(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    size_t total, start;
    unsigned last;

    assert_int_equal(rig_append(rig, 3, 100), STORE_OK);
    assert_int_equal(rig_append(rig, 3, 100), STORE_OK);
    rig_close(rig);
    copy_take(&copy, rig->directory);
    last = copy_last(&copy);
    start = copy_find(&copy, last, rig, 4, &total);
    memset(copy.files[last].bytes + start, 0xee, 2 * total);
    rig->settled_lsn = 4;
    assert_refused(rig, &copy, STORE_CORRUPT);
    copy_free(&copy);
}

static void test_missing_segment(void **state)
{
    struct rig *rig = *state;
    struct copy copy, damaged;

    fill_three_segments(rig, &copy);
    /* The first, then the second one. */
    for (unsigned file = 0; file < 2; file++) {
        char path[160];

        copy_restore(&copy, rig->directory);
        snprintf(path, sizeof path, "%s/%s", rig->directory, copy.files[file].name);
        unlink(path);
        copy_take(&damaged, rig->directory);
        assert_refused(rig, &damaged, STORE_CORRUPT);
        copy_free(&damaged);
    }
    copy_free(&copy);
}

static void test_cut_file(void **state)
{
    static const size_t sizes[] = {0, 100, 4096, 5000, 512 * 1024, MIB - 4096, MIB - 1};
    struct rig *rig = *state;
    struct copy copy;

    fill_three_segments(rig, &copy);
    for (unsigned file = 0; file < 3; file++) {
        size_t whole = copy.files[file].size;

        for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            copy.files[file].size = sizes[i];
            assert_refused(rig, &copy, STORE_CORRUPT);
        }
        copy.files[file].size = whole;
    }
    copy_free(&copy);
}

static void test_grown_file(void **state)
{
    struct rig *rig = *state;
    struct copy copy;

    fill_three_segments(rig, &copy);
    copy.files[2].size = MIB + 4096;
    copy.files[2].bytes = realloc(copy.files[2].bytes, copy.files[2].size);
    assert_non_null(copy.files[2].bytes);
    memset(copy.files[2].bytes + MIB, 0, 4096);
    assert_refused(rig, &copy, STORE_CORRUPT);
    copy_free(&copy);
}

static void test_damaged_header(void **state)
{
    struct rig *rig = *state;
    struct copy copy;

    fill_three_segments(rig, &copy);
    for (unsigned file = 0; file < 3; file++) {
        uint8_t kept[JOURNAL_SEGMENT_HEADER_BYTES];

        for (size_t at = 0; at < sizeof kept; at += at < 56 ? 1 : 449) {
            copy.files[file].bytes[at] ^= 0x80;
            assert_refused(rig, &copy, STORE_CORRUPT);
            copy.files[file].bytes[at] ^= 0x80;
        }
        memcpy(kept, copy.files[file].bytes, sizeof kept);
        memset(copy.files[file].bytes, 0, sizeof kept);
        assert_refused(rig, &copy, STORE_CORRUPT);
        memcpy(copy.files[file].bytes, kept, sizeof kept);
    }
    copy.files[0].bytes[50] ^= 1;
    rig->settled_lsn = 3;
    copy_restore(&copy, rig->directory);
    rig_reopen(rig);
    assert_int_equal(rig->recovery.records, 6);
    copy_free(&copy);
}

/* A header whose writing was cut short, and a segment that was begun and holds nothing yet. */
static void test_segment_begun(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    struct journal_header header = {
        .version = JOURNAL_FORMAT_VERSION, .segment_bytes = MIB, .first_lsn = 4};
    uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES];

    assert_int_equal(rig_append(rig, 3, 100), STORE_OK);
    prepare(rig);
    rig_close(rig);
    copy_take(&copy, rig->directory);
    assert_int_equal(copy.count, 2);
    memcpy(header.store_id, rig->store_id, sizeof header.store_id);
    journal_format_write_header(bytes, &header);
    for (size_t cut = 0; cut <= 64; cut += 4) {
        memcpy(copy.files[1].bytes, bytes, cut);
        copy_restore(&copy, rig->directory);
        rig->acked_lsn = rig->pending_lsn = 3;
        for (unsigned i = 0; i < 3; i++) {
            rig_reopen(rig);
            assert_int_equal(rig->recovery.last_lsn, 3 + i);
            assert_int_equal(rig_append(rig, 1, 500000), STORE_OK);
            prepare(rig);
        }
        rig_close(rig);
    }
    copy_free(&copy);
}

/* A segment that was begun and holds nothing must not stand beside the one that begins with the
 * same record after it, be it because another one is taken first or because it is too small. */
static void test_segment_begun_is_given_back(void **state)
{
    static const uint64_t sizes[] = {MIB, 2 * MIB};
    struct rig *rig = *state;
    struct copy copy;
    struct journal_header header = {
        .version = JOURNAL_FORMAT_VERSION, .segment_bytes = MIB, .first_lsn = 4};

    assert_int_equal(rig_append(rig, 3, 100), STORE_OK);
    prepare(rig);
    rig_close(rig);
    copy_take(&copy, rig->directory);
    copy_file(&copy, rig->directory, "0002.seg");
    snprintf(copy.files[2].name, sizeof copy.files[2].name, "0003.seg");
    memcpy(header.store_id, rig->store_id, sizeof header.store_id);
    journal_format_write_header(copy.files[2].bytes, &header);
    for (unsigned i = 0; i < 2; i++) {
        rig->options.segment_bytes = sizes[i];
        rig->acked_lsn = rig->pending_lsn = 3;
        copy_restore(&copy, rig->directory);
        rig_reopen(rig);
        assert_int_equal(rig_append(rig, 1, (uint32_t)sizes[i] - 8192), STORE_OK);
        rig_reopen(rig);
        assert_int_equal(rig->recovery.records, 4);
        rig_close(rig);
    }
    copy_free(&copy);
}

static void test_duplicate_segment(void **state)
{
    struct rig *rig = *state;
    struct copy copy;

    fill_three_segments(rig, &copy);
    memcpy(copy.files[3].bytes, copy.files[2].bytes, MIB);
    assert_refused(rig, &copy, STORE_CORRUPT);
    copy_free(&copy);
}

static void test_other_store_and_other_version(void **state)
{
    struct rig *rig = *state;
    struct copy copy;
    struct journal_header header;

    assert_int_equal(rig_append(rig, 3, 100), STORE_OK);
    rig_close(rig);
    copy_take(&copy, rig->directory);
    rig->store_id[3] ^= 1;
    assert_refused(rig, &copy, STORE_FORMAT);
    rig->store_id[3] ^= 1;
    assert_int_equal(journal_format_read_header(copy.files[0].bytes, &header),
                     JOURNAL_HEADER_VALID);
    header.version++;
    journal_format_write_header(copy.files[0].bytes, &header);
    assert_refused(rig, &copy, STORE_FORMAT);
    copy_free(&copy);
}

/* --- a database that is ahead of the journal --- */

static void test_journal_ends_before_settled(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_append(rig, 5, 100), STORE_OK);
    rig->settled_lsn = rig->acked_lsn = rig->pending_lsn = 40;
    for (unsigned i = 0; i < 3; i++) {
        rig_reopen(rig);
        assert_int_equal(rig->recovery.last_lsn, 40 + i);
        assert_int_equal(rig_append(rig, 1, 100), STORE_OK);
    }
    rig->settled_lsn = 41;
    rig_reopen(rig);
    assert_int_equal(rig->recovery.records, 2);
}

static void test_empty_journal_of_a_used_store(void **state)
{
    struct rig *rig = *state;

    rig->settled_lsn = rig->acked_lsn = rig->pending_lsn = 1000;
    rig_reopen(rig);
    assert_int_equal(rig_append(rig, 2, 100), STORE_OK);
    rig_reopen(rig);
    assert_int_equal(rig->recovery.last_lsn, 1002);
    /* And one that is behind it. */
    rig_close(rig);
    rig->settled_lsn = 999;
    assert_int_equal(rig_open(rig), STORE_CORRUPT);
}

static void test_database_behind_by_segments_that_are_still_there(void **state)
{
    struct rig *rig = *state;
    struct copy copy;

    fill_three_segments(rig, &copy);
    rig->settled_lsn = 8;
    rig_reopen(rig);
    rig_close(rig);
    rig->settled_lsn = 0;
    rig_reopen(rig);
    assert_int_equal(rig->recovery.records, 9);
    copy_free(&copy);
}

/* --- options --- */

static void test_changed_segment_size(void **state)
{
    static const uint64_t sizes[] = {2 * MIB, MIB, 3 * MIB, MIB + 4096};
    struct rig *rig = *state;

    rig->options.segments_max = 8;
    for (unsigned i = 0; i < 4; i++) {
        rig->options.segment_bytes = sizes[i];
        rig_reopen(rig);
        assert_int_equal(rig->recovery.records, rig->acked_lsn - rig->settled_lsn);
        for (unsigned k = 0; k < 9; k++) {
            prepare(rig);
            assert_int_equal(rig_append(rig, 1, 300000), STORE_OK);
            if (k == 4)
                rig_settle(rig, rig->acked_lsn - 3);
        }
        prepare(rig);
        assert_int_equal(rig_append(rig, 1,
                                    (uint32_t)(journal_batch_bytes_max(rig->journal) -
                                               JOURNAL_RECORD_HEADER_BYTES)),
                         STORE_OK);
    }
}

static void test_free_segments_are_trimmed(void **state)
{
    struct rig *rig = *state;

    rig->options.segments_max = 8;
    rig_reopen(rig);
    for (unsigned i = 0; i < 20; i++) {
        prepare(rig);
        assert_int_equal(rig_append(rig, 1, 300000), STORE_OK);
    }
    assert_int_equal(journal_disk_bytes(rig->journal), 8 * MIB);
    rig->settled_lsn = 20;
    rig_reopen(rig);
    assert_int_equal(journal_disk_bytes(rig->journal), 3 * MIB);
    /* Fewer than there are: those in use stay, no more are made. */
    rig->settled_lsn = 20;
    rig->options.segments_max = 2;
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(rig_append(rig, 1, 300000), STORE_OK);
    rig_reopen(rig);
    prepare(rig);
    assert_int_equal(journal_disk_bytes(rig->journal), 3 * MIB);
    assert_int_equal(rig->recovery.records, 6);
}

static void test_wrong_options(void **state)
{
    static const uint64_t sizes[] = {0, 4096, MIB + 1, MIB - 4096, 2048 * MIB};
    struct rig *rig = *state;

    rig_close(rig);
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rig->options.segment_bytes = sizes[i];
        assert_int_equal(rig_open(rig), STORE_FORMAT);
    }
    rig->options.segment_bytes = MIB;
    rig->options.segments_max = 1;
    assert_int_equal(rig_open(rig), STORE_FORMAT);
}

static int stop_at_three(void *data, const struct journal_record *record)
{
    (void)data;
    return record->lsn == 3 ? STORE_FULL : 0;
}

static void test_replay_that_stops(void **state)
{
    struct rig *rig = *state;
    struct copy copy;

    assert_int_equal(rig_append(rig, 5, 100), STORE_OK);
    rig_close(rig);
    copy_take(&copy, rig->directory);
    assert_int_equal(journal_open(&rig->journal, &rig->options, rig->store_id, 0, stop_at_three,
                                  NULL, &rig->recovery, &rig->failure),
                     STORE_FULL);
    rig->journal = NULL;
    assert_true(copy_equals(&copy, rig->directory));
    copy_free(&copy);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_empty_payload_and_empty_batch),
        TEST(test_segments_are_used_again),
        TEST(test_largest_batch),
        TEST(test_full),
        TEST(test_room_is_a_lower_bound),
        TEST(test_last_batch_cut_at_each_byte),
        TEST(test_last_batch_flipped_at_each_byte),
        TEST(test_stale_records_stay_away),
        TEST(test_damaged_record_is_refused),
        TEST(test_damage_in_an_earlier_segment),
        TEST(test_end_that_was_reached),
        TEST(test_no_journal_where_one_was_reached),
        TEST(test_damage_in_settled_records),
        TEST(test_damage_from_settled_records_on),
        TEST(test_missing_segment),
        TEST(test_cut_file),
        TEST(test_grown_file),
        TEST(test_damaged_header),
        TEST(test_segment_begun),
        TEST(test_segment_begun_is_given_back),
        TEST(test_duplicate_segment),
        TEST(test_other_store_and_other_version),
        TEST(test_journal_ends_before_settled),
        TEST(test_empty_journal_of_a_used_store),
        TEST(test_database_behind_by_segments_that_are_still_there),
        TEST(test_changed_segment_size),
        TEST(test_free_segments_are_trimmed),
        TEST(test_wrong_options),
        TEST(test_replay_that_stops),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
