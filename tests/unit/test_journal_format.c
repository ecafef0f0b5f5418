/* The journal's bytes: a sample of every published version, and readers that face any bytes. */
#include "tests/unit/journal_rig.h"

static const uint8_t store_id[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

/* Version 1, made by an independent program after the description in journal_format.c. Keep. */
static const uint8_t header_v1[48] = {
    0x63, 0x68, 0x61, 0x74, 0x6a, 0x72, 0x6e, 0x6c, 0x01, 0x00, 0x00, 0x00, 0x67, 0x00, 0x4a, 0x65,
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
    0x00, 0x00, 0x00, 0x04, 0x00, 0x00, 0x00, 0x00, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01};
static const uint8_t record_v1[40] = {0x77, 0xa2, 0xf5, 0x54, 0x05, 0x00, 0x00, 0x00, 0x88, 0x77,
                                      0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x80, 0x77, 0x66, 0x55,
                                      0x44, 0x33, 0x22, 0x11, 0x09, 0x00, 0x00, 0x00, 0x00, 0x00,
                                      0x00, 0x00, 0x68, 0x65, 0x6c, 0x6c, 0x6f, 0x00, 0x00, 0x00};

static void test_header_of_version_1(void **state)
{
    uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES] = {0}, written[JOURNAL_SEGMENT_HEADER_BYTES];
    struct journal_header header;

    (void)state;
    memcpy(bytes, header_v1, sizeof header_v1);
    assert_int_equal(journal_format_read_header(bytes, &header), JOURNAL_HEADER_VALID);
    assert_int_equal(header.version, 1);
    assert_memory_equal(header.store_id, store_id, 16);
    assert_int_equal(header.segment_bytes, 0x4000000);
    assert_int_equal(header.first_lsn, 0x0102030405060708);
    journal_format_write_header(written, &header);
    assert_memory_equal(written, bytes, sizeof bytes);
}

static void test_record_of_version_1(void **state)
{
    uint8_t written[40];
    struct journal_entry entry;
    uint32_t seed = journal_format_seed(store_id);

    (void)state;
    assert_true(journal_format_read_record(record_v1, sizeof record_v1, seed, &entry));
    assert_int_equal(entry.lsn, 0x1122334455667788);
    assert_int_equal(entry.durable_lsn, 0x1122334455667780);
    assert_int_equal(entry.kind, 9);
    assert_int_equal(entry.size, 5);
    assert_int_equal(entry.total_bytes, 40);
    assert_memory_equal(entry.payload, "hello", 5);
    journal_format_begin_record(written, 9, 5);
    memcpy(written + JOURNAL_RECORD_HEADER_BYTES, "hello", 5);
    assert_int_equal(journal_format_seal_record(written, seed, entry.lsn, entry.durable_lsn), 40);
    assert_memory_equal(written, record_v1, sizeof written);
}

static void test_record_of_another_store(void **state)
{
    uint8_t other[16] = {1};
    struct journal_entry entry;

    (void)state;
    assert_false(journal_format_read_record(record_v1, sizeof record_v1, journal_format_seed(other),
                                            &entry));
}

/* Memory of just the right size, so that the sanitizer sees any step outside. */
static void test_cut_record(void **state)
{
    uint32_t seed = journal_format_seed(store_id);

    (void)state;
    for (size_t size = 0; size < sizeof record_v1; size++) {
        uint8_t *bytes = malloc(size + (size == 0));
        struct journal_entry entry;
        size_t offset = 0;

        assert_non_null(bytes);
        memcpy(bytes, record_v1, size);
        assert_false(journal_format_read_record(bytes, size, seed, &entry));
        assert_false(journal_format_find_record(bytes, size, seed, 1, UINT64_MAX, &offset, &entry));
        assert_int_equal(journal_format_claimed_bytes(bytes, size, 0x1122334455667788), 0);
        free(bytes);
    }
}

static void test_wrong_record(void **state)
{
    uint32_t seed = journal_format_seed(store_id);
    uint8_t bytes[40];
    struct journal_entry entry;

    (void)state;
    for (size_t bit = 0; bit < sizeof bytes * 8; bit++) {
        memcpy(bytes, record_v1, sizeof bytes);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_false(journal_format_read_record(bytes, sizeof bytes, seed, &entry));
    }
    /* The CRC is right, but no record is durable before it is written. */
    memcpy(bytes, record_v1, sizeof bytes);
    journal_format_seal_record(bytes, seed, 7, 7);
    assert_false(journal_format_read_record(bytes, sizeof bytes, seed, &entry));
}

static void test_find_record(void **state)
{
    uint32_t seed = journal_format_seed(store_id);
    uint64_t random = 3, lsn = 0x1122334455667788;
    uint8_t bytes[400];
    struct journal_entry entry;

    (void)state;
    for (size_t at = 0; at + sizeof record_v1 <= sizeof bytes; at += 4) {
        size_t offset = 0;

        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rig_random(&random);
        memcpy(bytes + at, record_v1, sizeof record_v1);
        /* Records stand at multiples of 8 only. */
        assert_int_equal(
            journal_format_find_record(bytes, sizeof bytes, seed, lsn, lsn, &offset, &entry),
            at % 8 == 0);
        if (at % 8 == 0) {
            assert_int_equal(offset, at);
            offset = 0;
            assert_false(journal_format_find_record(bytes, sizeof bytes, seed, lsn + 1, UINT64_MAX,
                                                    &offset, &entry));
            assert_false(
                journal_format_find_record(bytes, sizeof bytes, seed, 1, lsn - 1, &offset, &entry));
            offset = at + 1;
            assert_false(
                journal_format_find_record(bytes, sizeof bytes, seed, lsn, lsn, &offset, &entry));
        }
    }
}

static void test_wrong_header(void **state)
{
    uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES] = {0};
    struct journal_header header;

    (void)state;
    assert_int_equal(journal_format_read_header(bytes, &header), JOURNAL_HEADER_ZERO);
    bytes[sizeof bytes - 1] = 1;
    assert_int_equal(journal_format_read_header(bytes, &header), JOURNAL_HEADER_DAMAGED);
    header = (struct journal_header){.version = 2, .segment_bytes = 1 << 20, .first_lsn = 1};
    journal_format_write_header(bytes, &header);
    assert_int_equal(journal_format_read_header(bytes, &header), JOURNAL_HEADER_OTHER_VERSION);
    assert_int_equal(header.version, 2);
    header = (struct journal_header){.version = 1, .segment_bytes = 4096, .first_lsn = 1};
    journal_format_write_header(bytes, &header);
    assert_int_equal(journal_format_read_header(bytes, &header), JOURNAL_HEADER_DAMAGED);
    header = (struct journal_header){.version = 1, .segment_bytes = 1 << 20, .first_lsn = 0};
    journal_format_write_header(bytes, &header);
    assert_int_equal(journal_format_read_header(bytes, &header), JOURNAL_HEADER_DAMAGED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_header_of_version_1),
        cmocka_unit_test(test_record_of_version_1),
        cmocka_unit_test(test_record_of_another_store),
        cmocka_unit_test(test_cut_record),
        cmocka_unit_test(test_wrong_record),
        cmocka_unit_test(test_find_record),
        cmocka_unit_test(test_wrong_header),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
