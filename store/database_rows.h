/*
 * Keys and rows of the database as bytes: pure functions, without LMDB, memory or locks.
 *
 * Any thread may call. Decoding trusts nothing: each size is checked before what it speaks of is
 * read, and false means that the row is damaged and that the result holds nothing of it. Pointers
 * in results go into the row they were read from. The layout of every table is in database_rows.c.
 */
#ifndef STORE_DATABASE_ROWS_H
#define STORE_DATABASE_ROWS_H

#include "store/database.h"
#include <endian.h>
#include <string.h>

#define DATABASE_FORMAT 2

#define DATABASE_CRC_BYTES 4
#define DATABASE_NUMBER_KEY_BYTES 8
#define DATABASE_LOG_KEY_BYTES 16
#define DATABASE_CLIENT_KEY_BYTES 24
#define DATABASE_USERS_KEY_BYTES_MAX                                                               \
    (DATABASE_NAMESPACE_BYTES_MAX + 1 + DATABASE_USERS_DIGEST_BYTES)

#define DATABASE_META_KEY "meta"
#define DATABASE_META_KEY_BYTES 4
#define DATABASE_META_ROW_BYTES 56
#define DATABASE_HEAD_ROW_BYTES 12
#define DATABASE_CHAT_ROW_BYTES_MAX (17 + DATABASE_NAMESPACE_BYTES_MAX + DATABASE_CRC_BYTES)
#define DATABASE_USERS_ROW_BYTES 20

/* What fits into one page of LMDB that holds nothing else: 4096 less its header of 16. */
#define DATABASE_ROW_BYTES_MAX 4080

/* A row with its key, borrowed from wherever it lies. */
struct database_row {
    const uint8_t *key;
    size_t key_size;
    const uint8_t *bytes;
    size_t size;
};

/* Big-endian: in the order of keys. */
static inline uint64_t database_load_u64(const uint8_t *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return be64toh(value);
}

void database_store_u64(uint8_t *to, uint64_t value);

void database_number_key(uint8_t key[DATABASE_NUMBER_KEY_BYTES], uint64_t chat_number);
void database_log_key(uint8_t key[DATABASE_LOG_KEY_BYTES], uint64_t chat_number, uint64_t seq);
void database_client_key(uint8_t key[DATABASE_CLIENT_KEY_BYTES], uint64_t chat_number,
                         const uint8_t digest[DATABASE_DIGEST_BYTES]);
/* Returns the key's size. `namespace_name` has at most DATABASE_NAMESPACE_BYTES_MAX bytes. */
size_t database_users_key(uint8_t key[DATABASE_USERS_KEY_BYTES_MAX], const char *namespace_name,
                          const uint8_t digest[DATABASE_USERS_DIGEST_BYTES]);

/* Puts the CRC of the key and of the `size` bytes of the row behind them; returns size + 4. */
size_t database_row_seal(const uint8_t *key, size_t key_size, uint8_t *row, size_t size);
/* Whether the row ends with the right CRC. */
bool database_row_check(const struct database_row *row);

/* Encoders write at `row` and return the row's size with its CRC. */
struct database_totals {
    struct database_meta meta;
    uint64_t messages;
};
size_t database_encode_meta(uint8_t row[DATABASE_META_ROW_BYTES],
                            const struct database_totals *totals);
/* Reads format 1, too, and says in `format` which it was. STORE_CORRUPT, or STORE_FORMAT with the
 * row's own version in `format`. */
int database_decode_meta(const struct database_row *row, struct database_totals *totals,
                         uint32_t *format);

size_t database_encode_head(uint8_t row[DATABASE_HEAD_ROW_BYTES], uint64_t chat_number,
                            uint64_t head_seq);
bool database_decode_head(const struct database_row *row, uint64_t *head_seq);

size_t database_encode_chat(uint8_t row[DATABASE_CHAT_ROW_BYTES_MAX],
                            const struct database_new_chat *chat);
/* Fills all of `chat` but the head. */
bool database_decode_chat(const struct database_row *row, struct database_chat *chat);

size_t database_encode_users(uint8_t row[DATABASE_USERS_ROW_BYTES], const uint8_t *key,
                             size_t key_size, const struct uuid *chat_id);
bool database_decode_users(const struct database_row *row, struct uuid *chat_id);

/* --- chunks: rows of `logs` --- */

#define DATABASE_MESSAGE_HEADER_BYTES 8
#define DATABASE_CHUNK_MESSAGES_MAX (DATABASE_ROW_BYTES_MAX / DATABASE_MESSAGE_HEADER_BYTES)

struct database_chunk {
    uint64_t chat_number;
    uint64_t first_seq;
    const uint8_t *bytes;
    size_t size;
    size_t count; /* of the messages whose place is known */
    bool damaged; /* behind those come bytes that are no message */
    uint32_t offsets[DATABASE_CHUNK_MESSAGES_MAX + 1]; /* and where the last of these ends */
};

/* What a message takes in a chunk. */
size_t database_message_bytes(uint32_t size);
/* Writes database_message_bytes(message->size) bytes. */
void database_encode_message(uint8_t *to, const struct database_message *message);

/* Finds the messages of a chunk; their CRCs are not looked at. False if the key is no chunk's. */
bool database_open_chunk(const struct database_row *row, struct database_chunk *chunk);
/* The message `index` < count. False if its CRC is wrong. */
bool database_decode_message(const struct database_chunk *chunk, size_t index,
                             const uint8_t **bytes, uint32_t *size);
/* How many of the `count` messages from `index` on have the right CRC, up to the first that has
 * not. */
size_t database_check_messages(const struct database_chunk *chunk, size_t index, size_t count);
/* The message `index`, whatever its CRC is. */
static inline const uint8_t *database_chunk_message(const struct database_chunk *chunk,
                                                    size_t index)
{
    return chunk->bytes + chunk->offsets[index] + DATABASE_MESSAGE_HEADER_BYTES;
}

static inline size_t database_chunk_message_size(const struct database_chunk *chunk, size_t index)
{
    return chunk->offsets[index + 1] - chunk->offsets[index] - DATABASE_MESSAGE_HEADER_BYTES;
}

/* --- buckets: rows of `clients` --- */

#define DATABASE_CLIENT_BYTES 24
#define DATABASE_BUCKET_CLIENTS_MAX                                                                \
    ((DATABASE_ROW_BYTES_MAX - DATABASE_CRC_BYTES) / DATABASE_CLIENT_BYTES)

/* Places that a bucket in `clients` has at least, so that LMDB keeps it in a page of its own. */
#define DATABASE_BUCKET_PLACES_MIN 85

/* `seq` is never 0. */
struct database_client {
    uint8_t digest[DATABASE_DIGEST_BYTES];
    uint64_t seq;
};

/* Neither `count` nor `places_min` is more than DATABASE_BUCKET_CLIENTS_MAX. */
size_t database_encode_bucket(uint8_t row[DATABASE_ROW_BYTES_MAX], const uint8_t *key,
                              size_t key_size, const struct database_client *clients, size_t count,
                              size_t places_min);
/* Checks size and CRC. The row then holds `count` clients. */
bool database_open_bucket(const struct database_row *row, size_t *count);
void database_decode_client(const struct database_row *row, size_t index,
                            struct database_client *client);
/* Looks for a digest in a row that database_open_bucket found good. */
bool database_search_bucket(const struct database_row *row, size_t count,
                            const uint8_t digest[DATABASE_DIGEST_BYTES], uint64_t *seq);

#endif
