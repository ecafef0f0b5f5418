/*
 * The tables of chats.mdb, format 2. All integers are big-endian, in keys so that they sort, in
 * rows so that there is one rule. `crc` is a CRC-32C over the key and all of the row before it:
 * a row that turns up under another key is found out too.
 *
 *     table    key                                row
 *     meta     "meta"                             u32 format
 *                                                 u8[16] store id
 *                                                 u64 settled LSN
 *                                                 u64 number of the last chat made
 *                                                 u64 messages in `logs`
 *                                                 u64 reached LSN
 *                                                 u32 crc
 *     chats    u8[16] chat id                     u64 number
 *                                                 u64 made at, ns since 1970
 *                                                 u8 size of the namespace, then its bytes
 *                                                 u32 crc
 *     heads    u64 number                         u64 seq of the last message, 0 for none
 *                                                 u32 crc
 *     members  u64 number                         the users: for each u8 size, then its bytes
 *                                                 u32 crc
 *     users    namespace, 0x00, u8[32] digest     u8[16] chat id
 *                                                 u32 crc
 *     logs     u64 number, u64 first seq          a chunk, see below
 *     clients  u64 number, u8[16] low digest      a bucket, see below
 *     recent   u64 number                         a bucket
 *
 * All that the journal says up to the settled LSN is in the tables, and nothing behind the reached
 * LSN. Where these two differ, a settle job was cut short between two of its transactions: some
 * chats have their messages up to the reached LSN, others do not, and the journal must have all
 * records from the one to the other.
 *
 * heads is apart from chats because it is rewritten with every settled message: chats are keyed by
 * random ids, and changing one costs a page for each, while heads lie close together by number.
 * members is apart because it can be large and is seldom read.
 *
 * A chunk is a run of a chat's messages with consecutive seqs:
 *
 *     for each message:  u32 size
 *                        u32 CRC-32C over number, seq (as in a key), size and bytes
 *                        the bytes of Message
 *
 * A chunk takes messages until the next would bring it beyond 4080 bytes, which is what a page of
 * LMDB's holds; a larger message is a chunk of its own. Only a chat's last chunk is ever rewritten.
 * With a row for each message instead, the tree would split its pages in the middle of their order
 * and leave each half empty: that took 1.95 bytes on disk for a byte of message, and chunks 1.16.
 *
 * A bucket is a sorted array that says which message a client id belongs to:
 *
 *     for each client:  u8[16] digest, ascending
 *                       u64 seq
 *     at the end:       u32 crc
 *
 * with at most 169 clients in `clients`, again a page, and at least 85 places, those without a
 * client all zero: a row shorter than half a page would share a page with the keys of other
 * buckets until it grows, and leave a tree of pages behind that hold a few keys each. The digest in
 * its key is the lowest it may hold; it goes up to the next bucket's, and the first bucket of a
 * chat begins at sixteen 0x00. What was added last is in `recent`, a few dozen clients of a chat at
 * most: as digests are random, each new one would otherwise rewrite a page of its own in a chat
 * with many messages. When that bucket is full, its clients move to `clients`. A client is in one
 * bucket only. Every chat with messages has a recent bucket, maybe an empty one.
 *
 * Format 1 had no reached LSN, and its meta row ended with the CRC where that stands now: what it
 * settled, it settled in one transaction, so that its reached LSN is its settled LSN. Such a
 * database is read as it is, and has the row of format 2 from the next transaction on.
 *
 * To change any of this: raise DATABASE_FORMAT, describe what changed here, and add a fixture of
 * the format left behind to the tests. The meta row begins with the format and ends with its CRC in
 * all formats, so that each program can tell another format from damage.
 */
#include "store/database_rows.h"

#include "store/crc32c.h"
#include <endian.h>
#include <string.h>

#define META_REACHED_OFFSET 44
#define META_ROW_BYTES_1 48 /* in format 1 */

static uint32_t load_u32(const uint8_t *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return be32toh(value);
}

static void store_u32(uint8_t *to, uint32_t value)
{
    value = htobe32(value);
    memcpy(to, &value, sizeof value);
}

void database_store_u64(uint8_t *to, uint64_t value)
{
    value = htobe64(value);
    memcpy(to, &value, sizeof value);
}

void database_number_key(uint8_t key[DATABASE_NUMBER_KEY_BYTES], uint64_t chat_number)
{
    database_store_u64(key, chat_number);
}

void database_log_key(uint8_t key[DATABASE_LOG_KEY_BYTES], uint64_t chat_number, uint64_t seq)
{
    database_store_u64(key, chat_number);
    database_store_u64(key + 8, seq);
}

void database_client_key(uint8_t key[DATABASE_CLIENT_KEY_BYTES], uint64_t chat_number,
                         const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    database_store_u64(key, chat_number);
    memcpy(key + 8, digest, DATABASE_DIGEST_BYTES);
}

size_t database_users_key(uint8_t key[DATABASE_USERS_KEY_BYTES_MAX], const char *namespace_name,
                          const uint8_t digest[DATABASE_USERS_DIGEST_BYTES])
{
    size_t size = strnlen(namespace_name, DATABASE_NAMESPACE_BYTES_MAX);

    memcpy(key, namespace_name, size);
    key[size] = 0;
    memcpy(key + size + 1, digest, DATABASE_USERS_DIGEST_BYTES);
    return size + 1 + DATABASE_USERS_DIGEST_BYTES;
}

size_t database_row_seal(const uint8_t *key, size_t key_size, uint8_t *row, size_t size)
{
    store_u32(row + size, crc32c(crc32c(0, key, key_size), row, size));
    return size + DATABASE_CRC_BYTES;
}

bool database_row_check(const struct database_row *row)
{
    size_t size;

    if (row->size < DATABASE_CRC_BYTES)
        return false;
    size = row->size - DATABASE_CRC_BYTES;
    return load_u32(row->bytes + size) ==
           crc32c(crc32c(0, row->key, row->key_size), row->bytes, size);
}

size_t database_encode_meta(uint8_t row[DATABASE_META_ROW_BYTES],
                            const struct database_totals *totals)
{
    store_u32(row, DATABASE_FORMAT);
    memcpy(row + 4, totals->meta.store_id.bytes, UUID_BYTES);
    database_store_u64(row + 20, totals->meta.settled_lsn);
    database_store_u64(row + 28, totals->meta.chat_number_last);
    database_store_u64(row + 36, totals->messages);
    database_store_u64(row + META_REACHED_OFFSET, totals->meta.reached_lsn);
    return database_row_seal((const uint8_t *)DATABASE_META_KEY, DATABASE_META_KEY_BYTES, row,
                             DATABASE_META_ROW_BYTES - DATABASE_CRC_BYTES);
}

int database_decode_meta(const struct database_row *row, struct database_totals *totals,
                         uint32_t *format)
{
    if (!database_row_check(row) || row->size < 4 + DATABASE_CRC_BYTES)
        return STORE_CORRUPT;
    *format = load_u32(row->bytes);
    if (*format != DATABASE_FORMAT && *format != 1)
        return STORE_FORMAT;
    if (row->size != (*format == 1 ? META_ROW_BYTES_1 : DATABASE_META_ROW_BYTES))
        return STORE_CORRUPT;
    memcpy(totals->meta.store_id.bytes, row->bytes + 4, UUID_BYTES);
    totals->meta.settled_lsn = database_load_u64(row->bytes + 20);
    totals->meta.chat_number_last = database_load_u64(row->bytes + 28);
    totals->messages = database_load_u64(row->bytes + 36);
    totals->meta.reached_lsn = *format == 1 ? totals->meta.settled_lsn
                                            : database_load_u64(row->bytes + META_REACHED_OFFSET);
    return totals->meta.reached_lsn < totals->meta.settled_lsn ? STORE_CORRUPT : 0;
}

size_t database_encode_head(uint8_t row[DATABASE_HEAD_ROW_BYTES], uint64_t chat_number,
                            uint64_t head_seq)
{
    uint8_t key[DATABASE_NUMBER_KEY_BYTES];

    database_number_key(key, chat_number);
    database_store_u64(row, head_seq);
    return database_row_seal(key, sizeof key, row, 8);
}

bool database_decode_head(const struct database_row *row, uint64_t *head_seq)
{
    if (row->size != DATABASE_HEAD_ROW_BYTES || !database_row_check(row))
        return false;
    *head_seq = database_load_u64(row->bytes);
    return true;
}

size_t database_encode_chat(uint8_t row[DATABASE_CHAT_ROW_BYTES_MAX],
                            const struct database_new_chat *chat)
{
    size_t size = strnlen(chat->namespace_name, DATABASE_NAMESPACE_BYTES_MAX);

    database_store_u64(row, chat->number);
    database_store_u64(row + 8, chat->created_ns);
    row[16] = (uint8_t)size;
    memcpy(row + 17, chat->namespace_name, size);
    return database_row_seal(chat->id.bytes, UUID_BYTES, row, 17 + size);
}

bool database_decode_chat(const struct database_row *row, struct database_chat *chat)
{
    uint8_t size;

    if (row->key_size != UUID_BYTES || row->size < 17 + DATABASE_CRC_BYTES)
        return false;
    size = row->bytes[16];
    if (size > DATABASE_NAMESPACE_BYTES_MAX || row->size != 17u + size + DATABASE_CRC_BYTES ||
        !database_row_check(row))
        return false;
    memcpy(chat->id.bytes, row->key, UUID_BYTES);
    chat->number = database_load_u64(row->bytes);
    chat->created_ns = database_load_u64(row->bytes + 8);
    chat->namespace_size = size;
    memcpy(chat->namespace_name, row->bytes + 17, size);
    chat->namespace_name[size] = '\0';
    return true;
}

size_t database_encode_users(uint8_t row[DATABASE_USERS_ROW_BYTES], const uint8_t *key,
                             size_t key_size, const struct uuid *chat_id)
{
    memcpy(row, chat_id->bytes, UUID_BYTES);
    return database_row_seal(key, key_size, row, UUID_BYTES);
}

bool database_decode_users(const struct database_row *row, struct uuid *chat_id)
{
    if (row->size != DATABASE_USERS_ROW_BYTES || !database_row_check(row))
        return false;
    memcpy(chat_id->bytes, row->bytes, UUID_BYTES);
    return true;
}

size_t database_message_bytes(uint32_t size)
{
    return DATABASE_MESSAGE_HEADER_BYTES + (size_t)size;
}

/* What a message's CRC covers before its bytes. */
#define MESSAGE_HEAD_BYTES (DATABASE_LOG_KEY_BYTES + 4)

static void put_message_head(uint8_t head[MESSAGE_HEAD_BYTES], uint64_t chat_number, uint64_t seq,
                             uint32_t size)
{
    database_log_key(head, chat_number, seq);
    store_u32(head + DATABASE_LOG_KEY_BYTES, size);
}

static uint32_t message_crc(uint64_t chat_number, uint64_t seq, const uint8_t *bytes, uint32_t size)
{
    uint8_t head[MESSAGE_HEAD_BYTES];

    put_message_head(head, chat_number, seq, size);
    return crc32c(crc32c(0, head, sizeof head), bytes, size);
}

void database_encode_message(uint8_t *to, const struct database_message *message)
{
    store_u32(to, message->size);
    store_u32(to + 4,
              message_crc(message->chat_number, message->seq, message->bytes, message->size));
    if (message->size > 0)
        memcpy(to + DATABASE_MESSAGE_HEADER_BYTES, message->bytes, message->size);
}

bool database_open_chunk(const struct database_row *row, struct database_chunk *chunk)
{
    size_t offset = 0;

    if (row->key_size != DATABASE_LOG_KEY_BYTES)
        return false;
    chunk->chat_number = database_load_u64(row->key);
    chunk->first_seq = database_load_u64(row->key + 8);
    chunk->bytes = row->bytes;
    chunk->size = row->size;
    chunk->count = 0;
    while (chunk->count < DATABASE_CHUNK_MESSAGES_MAX &&
           row->size - offset >= DATABASE_MESSAGE_HEADER_BYTES) {
        uint32_t size = load_u32(row->bytes + offset);
        if (size > row->size - offset - DATABASE_MESSAGE_HEADER_BYTES)
            break;
        chunk->offsets[chunk->count++] = (uint32_t)offset;
        offset += database_message_bytes(size);
    }
    chunk->offsets[chunk->count] = (uint32_t)offset;
    chunk->damaged = offset != row->size || chunk->count == 0;
    return true;
}

bool database_decode_message(const struct database_chunk *chunk, size_t index,
                             const uint8_t **bytes, uint32_t *size)
{
    const uint8_t *row = chunk->bytes + chunk->offsets[index];
    uint32_t row_size = load_u32(row);

    if (message_crc(chunk->chat_number, chunk->first_seq + index,
                    row + DATABASE_MESSAGE_HEADER_BYTES, row_size) != load_u32(row + 4))
        return false;
    *bytes = row + DATABASE_MESSAGE_HEADER_BYTES;
    *size = row_size;
    return true;
}

/* CRC32C_TOGETHER messages from `index` on. */
static bool check_together(const struct database_chunk *chunk, size_t index)
{
    uint8_t heads[CRC32C_TOGETHER][MESSAGE_HEAD_BYTES];
    const uint8_t *data[CRC32C_TOGETHER];
    size_t sizes[CRC32C_TOGETHER];
    uint32_t crcs[CRC32C_TOGETHER] = {0};
    bool right = true;

    for (size_t i = 0; i < CRC32C_TOGETHER; i++) {
        put_message_head(heads[i], chunk->chat_number, chunk->first_seq + index + i,
                         (uint32_t)database_chunk_message_size(chunk, index + i));
        data[i] = heads[i];
        sizes[i] = MESSAGE_HEAD_BYTES;
    }
    crc32c_together(crcs, data, sizes);
    for (size_t i = 0; i < CRC32C_TOGETHER; i++) {
        data[i] = database_chunk_message(chunk, index + i);
        sizes[i] = database_chunk_message_size(chunk, index + i);
    }
    crc32c_together(crcs, data, sizes);
    for (size_t i = 0; i < CRC32C_TOGETHER; i++)
        right = right && crcs[i] == load_u32(chunk->bytes + chunk->offsets[index + i] + 4);
    return right;
}

size_t database_check_messages(const struct database_chunk *chunk, size_t index, size_t count)
{
    const uint8_t *bytes;
    uint32_t size;
    size_t checked = 0;

    while (count - checked >= CRC32C_TOGETHER && check_together(chunk, index + checked))
        checked += CRC32C_TOGETHER;
    while (checked < count && database_decode_message(chunk, index + checked, &bytes, &size))
        checked++;
    return checked;
}

size_t database_encode_bucket(uint8_t row[DATABASE_ROW_BYTES_MAX], const uint8_t *key,
                              size_t key_size, const struct database_client *clients, size_t count,
                              size_t places_min)
{
    size_t places = count < places_min ? places_min : count;
    uint8_t *to = row;

    for (size_t i = 0; i < count; i++) {
        memcpy(to, clients[i].digest, DATABASE_DIGEST_BYTES);
        database_store_u64(to + DATABASE_DIGEST_BYTES, clients[i].seq);
        to += DATABASE_CLIENT_BYTES;
    }
    memset(to, 0, (places - count) * DATABASE_CLIENT_BYTES);
    return database_row_seal(key, key_size, row, places * DATABASE_CLIENT_BYTES);
}

bool database_open_bucket(const struct database_row *row, size_t *count)
{
    size_t places;

    if (row->size < DATABASE_CRC_BYTES || row->size > DATABASE_ROW_BYTES_MAX ||
        (row->size - DATABASE_CRC_BYTES) % DATABASE_CLIENT_BYTES != 0 || !database_row_check(row))
        return false;
    places = (row->size - DATABASE_CRC_BYTES) / DATABASE_CLIENT_BYTES;
    while (places > 0 &&
           database_load_u64(row->bytes + places * DATABASE_CLIENT_BYTES - sizeof(uint64_t)) == 0)
        places--;
    *count = places;
    return true;
}

void database_decode_client(const struct database_row *row, size_t index,
                            struct database_client *client)
{
    const uint8_t *from = row->bytes + index * DATABASE_CLIENT_BYTES;

    memcpy(client->digest, from, DATABASE_DIGEST_BYTES);
    client->seq = database_load_u64(from + DATABASE_DIGEST_BYTES);
}

bool database_search_bucket(const struct database_row *row, size_t count,
                            const uint8_t digest[DATABASE_DIGEST_BYTES], uint64_t *seq)
{
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const uint8_t *from = row->bytes + middle * DATABASE_CLIENT_BYTES;
        int order = memcmp(digest, from, DATABASE_DIGEST_BYTES);
        if (order == 0) {
            *seq = database_load_u64(from + DATABASE_DIGEST_BYTES);
            return true;
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return false;
}
