/*
 * The journal's bytes: segment headers and records, written and read.
 *
 * Pure functions on memory: they read nothing outside the bytes they are given, whatever these
 * hold, and have no state. Any thread may call. The layout, byte by byte, is in journal_format.c.
 */
#ifndef STORE_JOURNAL_FORMAT_H
#define STORE_JOURNAL_FORMAT_H

#include "store/journal.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define JOURNAL_FORMAT_VERSION 1
#define JOURNAL_SEGMENT_BYTES_MIN ((uint64_t)1 << 20)
#define JOURNAL_SEGMENT_BYTES_MAX ((uint64_t)1 << 30)

struct journal_header {
    uint32_t version;
    uint8_t store_id[16];
    uint64_t segment_bytes;
    uint64_t first_lsn;
};

enum journal_header_kind {
    JOURNAL_HEADER_VALID,
    JOURNAL_HEADER_ZERO,          /* the segment was never used, or was given back */
    JOURNAL_HEADER_DAMAGED,       /* or half written */
    JOURNAL_HEADER_OTHER_VERSION, /* whole, but only `version` is filled in */
};

void journal_format_write_header(uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES],
                                 const struct journal_header *header);
enum journal_header_kind
journal_format_read_header(const uint8_t bytes[JOURNAL_SEGMENT_HEADER_BYTES],
                           struct journal_header *header);

struct journal_entry {
    uint64_t lsn;
    uint64_t durable_lsn;
    uint8_t kind;
    uint32_t size;          /* of the payload */
    const uint8_t *payload; /* in the bytes that were read */
    size_t total_bytes;     /* with header and padding */
};

/* What the CRCs of a store's records begin with. */
uint32_t journal_format_seed(const uint8_t store_id[16]);

/* Writes size and kind, and zeroes the rest of the header and the padding. */
void journal_format_begin_record(uint8_t *bytes, uint8_t kind, uint32_t size);
/* Fills in the rest once the payload is there. Returns the record's bytes in all. */
size_t journal_format_seal_record(uint8_t *bytes, uint32_t seed, uint64_t lsn,
                                  uint64_t durable_lsn);
/* Whether a record begins at bytes[0] and is whole and undamaged. */
bool journal_format_read_record(const uint8_t *bytes, size_t size, uint32_t seed,
                                struct journal_entry *entry);
/*
 * Looks for the first whole record at a multiple of 8 at or behind *offset with an LSN from
 * `lsn_min` to `lsn_max`, and moves *offset there.
 */
bool journal_format_find_record(const uint8_t *bytes, size_t size, uint32_t seed, uint64_t lsn_min,
                                uint64_t lsn_max, size_t *offset, struct journal_entry *entry);
/*
 * How many of the bytes would belong to a record `lsn` that begins at bytes[0], if what stands
 * there is its header, be the rest as it may; 0 when it is not.
 */
size_t journal_format_claimed_bytes(const uint8_t *bytes, size_t size, uint64_t lsn);

#endif
