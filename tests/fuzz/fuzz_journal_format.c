/* The journal's records and segment headers, from any bytes and written and read back. */
#include "store/journal_format.h"
#include "tests/fuzz/fuzz.h"

static void check_raw(const uint8_t *bytes, size_t size, uint32_t seed)
{
    struct journal_entry entry;
    size_t offset = 0;

    if (journal_format_read_record(bytes, size, seed, &entry))
        FUZZ_CHECK(entry.total_bytes <= size && entry.size <= entry.total_bytes);
    if (journal_format_find_record(bytes, size, seed, 1, UINT64_MAX, &offset, &entry))
        FUZZ_CHECK(offset % 8 == 0 && offset + entry.total_bytes <= size);
    (void)journal_format_claimed_bytes(bytes, size, 7);
}

/* A record of `payload` reads back; with any one byte changed it does not. */
static void check_record(struct fuzz_input input, uint32_t seed)
{
    uint64_t lsn = fuzz_u64(&input), durable_lsn = fuzz_u64(&input);
    uint8_t kind = fuzz_u8(&input), flip = fuzz_u8(&input);
    uint64_t where = fuzz_u64(&input);
    size_t total = journal_record_bytes((uint32_t)input.size);
    uint8_t *record = malloc(total);
    struct journal_entry entry;

    FUZZ_CHECK(record != NULL);
    journal_format_begin_record(record, kind, (uint32_t)input.size);
    if (input.size > 0)
        memcpy(record + JOURNAL_RECORD_HEADER_BYTES, input.bytes, input.size);
    FUZZ_CHECK(journal_format_seal_record(record, seed, lsn, durable_lsn) == total);
    if (journal_format_read_record(record, total, seed, &entry)) {
        FUZZ_CHECK(entry.lsn == lsn && entry.durable_lsn == durable_lsn && entry.kind == kind);
        FUZZ_CHECK(entry.size == input.size && entry.total_bytes == total);
        FUZZ_CHECK(input.size == 0 || memcmp(entry.payload, input.bytes, input.size) == 0);
        FUZZ_CHECK(!journal_format_read_record(record, total - 1, seed, &entry));
        if (flip != 0 && where % total < JOURNAL_RECORD_HEADER_BYTES + input.size) {
            record[where % total] ^= flip;
            FUZZ_CHECK(!journal_format_read_record(record, total, seed, &entry));
        }
    } else {
        /* Numbers that no journal gives. */
        FUZZ_CHECK(lsn == 0 || durable_lsn >= lsn);
    }
    free(record);
}

static void check_header(struct fuzz_input input)
{
    static uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES];
    struct journal_header header = {.version = JOURNAL_FORMAT_VERSION}, back;

    fuzz_take(&input, bytes, sizeof bytes);
    (void)journal_format_read_header(bytes, &back);
    memcpy(header.store_id, bytes, sizeof header.store_id);
    header.segment_bytes = JOURNAL_SEGMENT_BYTES_MIN * (1 + bytes[16]);
    memcpy(&header.first_lsn, bytes + 17, sizeof header.first_lsn);
    journal_format_write_header(bytes, &header);
    if (header.first_lsn != 0 && header.segment_bytes <= JOURNAL_SEGMENT_BYTES_MAX) {
        FUZZ_CHECK(journal_format_read_header(bytes, &back) == JOURNAL_HEADER_VALID);
        FUZZ_CHECK(back.first_lsn == header.first_lsn);
        FUZZ_CHECK(back.segment_bytes == header.segment_bytes);
        FUZZ_CHECK(memcmp(back.store_id, header.store_id, sizeof back.store_id) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const uint8_t store_id[16] = {1, 2, 3};
    uint32_t seed = journal_format_seed(store_id);
    uint8_t *copied = fuzz_copy(bytes, size);

    check_raw(copied, size, seed);
    check_record((struct fuzz_input){bytes, size}, seed);
    check_header((struct fuzz_input){bytes, size});
    free(copied);
    return 0;
}
