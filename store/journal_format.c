/*
 * Version 1. All integers are little-endian.
 *
 * A segment is a file of `segment_bytes`: a header of 4096 bytes, then records without gaps, then
 * whatever was there before (zeros at first, records of an earlier use later).
 *
 *   segment header
 *   offset  size  what
 *        0     8  magic "chatjrnl"
 *        8     4  format version
 *       12     4  CRC-32C of bytes 0 to 11 and 16 to 4095
 *       16    16  store id
 *       32     8  segment bytes: the file's size
 *       40     8  LSN of the first record
 *       48  4048  zero
 *
 * A header of nothing but zeros is that of a segment that holds nothing.
 *
 *   record, at a multiple of 8
 *   offset  size  what
 *        0     4  CRC-32C of the store id and bytes 4 to 31 + payload size
 *        4     4  payload size
 *        8     8  LSN
 *       16     8  durable LSN: everything up to it was on disk when this record was written;
 *                 less than LSN
 *       24     1  kind, of no meaning here
 *       25     7  zero
 *       32        payload
 *                 zeros up to a multiple of 8
 *
 * The store id is in the CRC so that no payload can hold bytes that pass for a record of this
 * store, and no other store's record passes for one.
 *
 * For the next version: keep bytes 0 to 15 of the header and what the CRC covers as they are, so
 * that every version can tell a newer header from a damaged one; count JOURNAL_FORMAT_VERSION up;
 * keep reading what this version wrote, with a fixture of it among the tests; and write new
 * segments only in the new version. A journal may then hold segments of both.
 */
#include "store/journal_format.h"

#include "store/crc32c.h"
#include <endian.h>
#include <string.h>

static const uint8_t magic[8] = {'c', 'h', 'a', 't', 'j', 'r', 'n', 'l'};

static void write_u32(uint8_t *bytes, uint32_t value)
{
    value = htole32(value);
    memcpy(bytes, &value, sizeof value);
}

static void write_u64(uint8_t *bytes, uint64_t value)
{
    value = htole64(value);
    memcpy(bytes, &value, sizeof value);
}

static uint32_t read_u32(const uint8_t *bytes)
{
    uint32_t value;

    memcpy(&value, bytes, sizeof value);
    return le32toh(value);
}

static uint64_t read_u64(const uint8_t *bytes)
{
    uint64_t value;

    memcpy(&value, bytes, sizeof value);
    return le64toh(value);
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static uint32_t header_crc(const uint8_t *bytes)
{
    return crc32c(crc32c(0, bytes, 12), bytes + 16, JOURNAL_SEGMENT_HEADER_BYTES - 16);
}

void journal_format_write_header(uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES],
                                 const struct journal_header *header)
{
    memset(bytes, 0, JOURNAL_SEGMENT_HEADER_BYTES);
    memcpy(bytes, magic, sizeof magic);
    write_u32(bytes + 8, header->version);
    memcpy(bytes + 16, header->store_id, sizeof header->store_id);
    write_u64(bytes + 32, header->segment_bytes);
    write_u64(bytes + 40, header->first_lsn);
    write_u32(bytes + 12, header_crc(bytes));
}

/* A CRC that fits says who wrote it; these would be our own mistakes, and must not be followed. */
static bool header_is_sane(const struct journal_header *header)
{
    return header->first_lsn > 0 && header->segment_bytes >= JOURNAL_SEGMENT_BYTES_MIN &&
           header->segment_bytes <= JOURNAL_SEGMENT_BYTES_MAX &&
           header->segment_bytes % JOURNAL_SEGMENT_HEADER_BYTES == 0;
}

enum journal_header_kind
journal_format_read_header(const uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES],
                           struct journal_header *header)
{
    memset(header, 0, sizeof *header);
    if (all_zero(bytes, JOURNAL_SEGMENT_HEADER_BYTES))
        return JOURNAL_HEADER_ZERO;
    if (memcmp(bytes, magic, sizeof magic) != 0 || read_u32(bytes + 12) != header_crc(bytes))
        return JOURNAL_HEADER_DAMAGED;
    header->version = read_u32(bytes + 8);
    if (header->version != JOURNAL_FORMAT_VERSION)
        return JOURNAL_HEADER_OTHER_VERSION;
    memcpy(header->store_id, bytes + 16, sizeof header->store_id);
    header->segment_bytes = read_u64(bytes + 32);
    header->first_lsn = read_u64(bytes + 40);
    return header_is_sane(header) ? JOURNAL_HEADER_VALID : JOURNAL_HEADER_DAMAGED;
}

size_t journal_record_bytes(uint32_t size)
{
    return ((size_t)JOURNAL_RECORD_HEADER_BYTES + size + 7) & ~(size_t)7;
}

uint32_t journal_format_seed(const uint8_t store_id[16])
{
    return crc32c(0, store_id, 16);
}

static uint32_t record_crc(const uint8_t *bytes, uint32_t seed, uint32_t size)
{
    return crc32c(seed, bytes + 4, JOURNAL_RECORD_HEADER_BYTES - 4 + (size_t)size);
}

void journal_format_begin_record(uint8_t *bytes, uint8_t kind, uint32_t size)
{
    size_t end = JOURNAL_RECORD_HEADER_BYTES + (size_t)size;

    memset(bytes, 0, JOURNAL_RECORD_HEADER_BYTES);
    write_u32(bytes + 4, size);
    bytes[24] = kind;
    memset(bytes + end, 0, journal_record_bytes(size) - end);
}

size_t journal_format_seal_record(uint8_t *bytes, uint32_t seed, uint64_t lsn, uint64_t durable_lsn)
{
    uint32_t size = read_u32(bytes + 4);

    write_u64(bytes + 8, lsn);
    write_u64(bytes + 16, durable_lsn);
    write_u32(bytes, record_crc(bytes, seed, size));
    return journal_record_bytes(size);
}

/* All but the CRC and the padding: cheap, and almost nothing that is no record passes. */
static bool read_record_header(const uint8_t *bytes, size_t size, struct journal_entry *entry)
{
    if (size < JOURNAL_RECORD_HEADER_BYTES)
        return false;
    entry->size = read_u32(bytes + 4);
    entry->lsn = read_u64(bytes + 8);
    entry->durable_lsn = read_u64(bytes + 16);
    entry->kind = bytes[24];
    entry->payload = bytes + JOURNAL_RECORD_HEADER_BYTES;
    entry->total_bytes = journal_record_bytes(entry->size);
    return entry->durable_lsn < entry->lsn && all_zero(bytes + 25, 7) && entry->total_bytes <= size;
}

bool journal_format_read_record(const uint8_t *bytes, size_t size, uint32_t seed,
                                struct journal_entry *entry)
{
    size_t end;

    if (!read_record_header(bytes, size, entry))
        return false;
    end = JOURNAL_RECORD_HEADER_BYTES + (size_t)entry->size;
    return read_u32(bytes) == record_crc(bytes, seed, entry->size) &&
           all_zero(bytes + end, entry->total_bytes - end);
}

bool journal_format_find_record(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t lsn_min,
                                uint64_t lsn_max, size_t *offset, struct journal_entry *entry)
{
    size_t at = (*offset + 7) & ~(size_t)7;

    for (; at + JOURNAL_RECORD_HEADER_BYTES <= size; at += 8) {
        uint64_t lsn = read_u64(bytes + at + 8);

        if (lsn >= lsn_min && lsn <= lsn_max &&
            journal_format_read_record(bytes + at, size - at, seed, entry)) {
            *offset = at;
            return true;
        }
    }
    return false;
}

size_t journal_format_claimed_bytes(const uint8_t *bytes, size_t size, uint64_t lsn)
{
    struct journal_entry entry;

    return read_record_header(bytes, size, &entry) && entry.lsn == lsn ? entry.total_bytes : 0;
}
