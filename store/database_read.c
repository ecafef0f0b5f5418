/*
 * Reading through a snapshot.
 *
 * A range of a log is read chunk by chunk: the cursor goes to the chunk that holds the first seq
 * wanted, what the page wants of the chunk is chosen by the sizes alone, and those messages whose
 * CRCs are right, up to the first that is wrong, are laid down in the page. Every step from chunk
 * to chunk, and the settled head at the end, must go on with the next seq; where it does not,
 * messages are lost, and reading fails there with STORE_CORRUPT. What had been read before stays in
 * the page.
 */
#include "store/database_internal.h"

#include <stdlib.h>
#include <string.h>

#define WRONG_CRC "the CRC or the size is wrong"
#define CACHE_LINE_BYTES 64

/* --- single rows --- */

int database_check_log_end(struct database_snapshot *snapshot, uint64_t chat_number,
                           uint64_t head_seq)
{
    struct database_chunk chunk;
    int rc;

    if (head_seq > 0)
        return database_seek_last_chunk(snapshot->logs, chat_number, head_seq, &chunk);
    rc = database_seek_chunk(snapshot->logs, chat_number, UINT64_MAX, &chunk);
    if (rc == STORE_NOT_FOUND)
        return 0;
    return rc == 0 ? database_damaged(TABLE_LOGS, "there are messages beyond the head", chat_number)
                   : rc;
}

/* Fills `chat` from its row and its head, and checks that its log ends there. */
static int read_chat(struct database_snapshot *snapshot, const struct database_row *row,
                     const struct uuid *id, struct database_chat *chat)
{
    int rc;

    if (!database_decode_chat(row, chat))
        return database_damaged_id(TABLE_CHATS, WRONG_CRC, id);
    rc = database_read_head(snapshot->txn, snapshot->database, chat->number, &chat->head_seq);
    if (rc == STORE_NOT_FOUND)
        return database_damaged_id(TABLE_CHATS, "the chat's number was not given out", id);
    return rc == 0 ? database_check_log_end(snapshot, chat->number, chat->head_seq) : rc;
}

int database_find_chat(struct database_snapshot *snapshot, const struct uuid *id,
                       struct database_chat *chat)
{
    struct database_row row;
    int rc =
        database_get(snapshot->txn, snapshot->database, TABLE_CHATS, id->bytes, UUID_BYTES, &row);

    return rc == 0 ? read_chat(snapshot, &row, id, chat) : rc;
}

struct database_scan {
    struct database_snapshot *snapshot;
    MDB_cursor *chats;
    struct database_meta meta;
};

int database_scan_begin(struct database_snapshot *snapshot, struct database_scan **scan)
{
    struct database_scan *made = malloc(sizeof *made);
    int rc;

    if (made == NULL)
        return STORE_NO_MEMORY;
    made->snapshot = snapshot;
    rc = database_snapshot_meta(snapshot, &made->meta);
    if (rc != 0) {
        free(made);
        return rc;
    }
    rc = mdb_cursor_open(snapshot->txn, snapshot->database->tables[TABLE_CHATS], &made->chats);
    if (rc != 0) {
        free(made);
        return database_read_status(rc, TABLE_CHATS);
    }
    *scan = made;
    return 0;
}

bool database_is_unfinished(const struct database_meta *meta, uint64_t chat_number)
{
    return chat_number > meta->chat_number_last && meta->reached_lsn > meta->settled_lsn;
}

int database_scan_next(struct database_scan *scan, struct database_chat *chat)
{
    struct database_row row;
    struct uuid id = {{0}};
    MDB_val key;
    MDB_val value;
    int rc;

    do {
        rc = mdb_cursor_get(scan->chats, &key, &value, MDB_NEXT);
        if (rc != 0)
            return database_read_status(rc, TABLE_CHATS);
        row = database_row_of(&key, &value);
    } while (database_decode_chat(&row, chat) && database_is_unfinished(&scan->meta, chat->number));
    memcpy(id.bytes, row.key, row.key_size < UUID_BYTES ? row.key_size : UUID_BYTES);
    return read_chat(scan->snapshot, &row, &id, chat);
}

void database_scan_end(struct database_scan *scan)
{
    mdb_cursor_close(scan->chats);
    free(scan);
}

/* Every chat has users: without the row, there must be no such chat. */
static int check_members_absent(struct database_snapshot *snapshot, uint64_t chat_number)
{
    uint64_t head_seq;
    int rc = database_read_head(snapshot->txn, snapshot->database, chat_number, &head_seq);

    return rc == 0 ? database_damaged(TABLE_MEMBERS, "the row is missing", chat_number) : rc;
}

int database_read_users(struct database_snapshot *snapshot, uint64_t chat_number, uint8_t **users,
                        size_t *size)
{
    uint8_t key[DATABASE_NUMBER_KEY_BYTES];
    struct database_row row;
    uint8_t *copy;
    int rc;

    database_number_key(key, chat_number);
    rc = database_get(snapshot->txn, snapshot->database, TABLE_MEMBERS, key, sizeof key, &row);
    if (rc == STORE_NOT_FOUND)
        return check_members_absent(snapshot, chat_number);
    if (rc != 0)
        return rc;
    if (!database_row_check(&row))
        return database_damaged(TABLE_MEMBERS, WRONG_CRC, chat_number);
    copy = malloc(row.size);
    if (copy == NULL)
        return STORE_NO_MEMORY;
    *size = row.size - DATABASE_CRC_BYTES;
    memcpy(copy, row.bytes, *size);
    *users = copy;
    return 0;
}

int database_find_users(struct database_snapshot *snapshot, const char *namespace_name,
                        const uint8_t digest[DATABASE_USERS_DIGEST_BYTES], struct uuid *chat_id)
{
    uint8_t key[DATABASE_USERS_KEY_BYTES_MAX];
    size_t key_size = database_users_key(key, namespace_name, digest);
    struct database_row row;
    int rc = database_get(snapshot->txn, snapshot->database, TABLE_USERS, key, key_size, &row);

    if (rc != 0)
        return rc;
    if (!database_decode_users(&row, chat_id)) {
        /* The id is as doubtful as the row, but it is what there is to look for. */
        struct uuid id = {{0}};
        if (row.size >= UUID_BYTES)
            memcpy(id.bytes, row.bytes, UUID_BYTES);
        return database_damaged_id(TABLE_USERS, WRONG_CRC, &id);
    }
    return 0;
}

int database_find_client(struct database_snapshot *snapshot, uint64_t chat_number,
                         const uint8_t digest[DATABASE_DIGEST_BYTES], uint64_t *seq)
{
    return database_search_clients(snapshot->txn, snapshot->database, snapshot->clients,
                                   chat_number, digest, seq);
}

int database_each_client(struct database_snapshot *snapshot, uint64_t chat_number, uint64_t max,
                         void (*tell)(void *data, const uint8_t digest[DATABASE_DIGEST_BYTES]),
                         void *data)
{
    return database_tell_clients(snapshot->txn, snapshot->database, snapshot->clients, chat_number,
                                 max, tell, data);
}

/* --- chunks --- */

/* A chunk is read from one end to the other, and nearly always cold: ask for all of it at once
 * rather than for one message after the other. */
static void prefetch(const struct database_row *row)
{
    for (size_t i = 0; i < row->size; i += CACHE_LINE_BYTES)
        __builtin_prefetch(row->bytes + i);
}

int database_seek_chunk(MDB_cursor *logs, uint64_t chat_number, uint64_t seq,
                        struct database_chunk *chunk)
{
    uint8_t key[DATABASE_LOG_KEY_BYTES];
    struct database_row row;
    int rc;

    database_log_key(key, chat_number, seq);
    rc = database_seek(logs, TABLE_LOGS, key, sizeof key, &row);
    if (rc != 0)
        return rc;
    prefetch(&row);
    if (!database_open_chunk(&row, chunk))
        return database_damaged(TABLE_LOGS, "a key has the wrong size", chat_number);
    return chunk->chat_number == chat_number ? 0 : STORE_NOT_FOUND;
}

int database_seek_last_chunk(MDB_cursor *logs, uint64_t chat_number, uint64_t head_seq,
                             struct database_chunk *chunk)
{
    int rc = database_seek_chunk(logs, chat_number, UINT64_MAX, chunk);

    if (rc == STORE_NOT_FOUND)
        return database_damaged(TABLE_LOGS, "the log is missing", chat_number);
    if (rc != 0)
        return rc;
    if (chunk->damaged || chunk->first_seq > head_seq ||
        head_seq - chunk->first_seq != chunk->count - 1)
        return database_damaged(TABLE_LOGS, "the log does not end with the head", chat_number);
    return 0;
}

static bool chunk_holds(const struct database_chunk *chunk, uint64_t seq)
{
    return seq >= chunk->first_seq && seq - chunk->first_seq < chunk->count;
}

/* --- ranges --- */

struct reading {
    MDB_cursor *logs;
    const struct uuid *chat_id;
    uint64_t chat_number;
    size_t limit;
    size_t budget_bytes;
    struct message_page *page;
    struct database_chunk chunk;
    bool done; /* the page is full */
};

static int lost(const struct reading *reading, uint64_t seq)
{
    return database_damaged_message(reading->chat_id, reading->chat_number, seq,
                                    reading->chunk.damaged ? "the size of a message is wrong"
                                                           : "the message is missing");
}

/* What `count` messages from index `at` on in reading order take, in the chunk. */
static size_t bytes_of(const struct database_chunk *chunk, size_t at, size_t count, bool backwards)
{
    size_t low = backwards ? at + 1 - count : at;

    return chunk->offsets[low + count] - chunk->offsets[low];
}

/* How many messages of the chunk, from index `at` on in reading order, go into the page. */
static size_t choose(struct reading *reading, size_t at, size_t last_index, bool backwards)
{
    const struct database_chunk *chunk = &reading->chunk;
    const struct message_page *page = reading->page;
    size_t most = (backwards ? at - last_index : last_index - at) + 1;
    size_t size = page->size;
    size_t count;

    if (most > reading->limit - page->count)
        most = reading->limit - page->count;
    for (count = 0; count < most; count++) {
        size_t index = backwards ? at - count : at + count;
        size_t next = database_chunk_message_size(chunk, index);
        if (!message_page_budget(size, page->count + count, next, reading->budget_bytes))
            break;
        size += next;
    }
    reading->done = count < most || page->count + count == reading->limit;
    return count;
}

/* Of `count` messages from index `at` on in reading order, those before the first with a wrong CRC.
 */
static size_t check(const struct database_chunk *chunk, size_t at, size_t count, bool backwards)
{
    size_t low = backwards ? at + 1 - count : at;
    size_t right = database_check_messages(chunk, low, count);
    const uint8_t *bytes;
    uint32_t size;

    if (right == count || !backwards)
        return right;
    for (right = 0; right < count; right++)
        if (!database_decode_message(chunk, at - right, &bytes, &size))
            break;
    return right;
}

/* Takes what the page wants of the chunk from `seq` on, up to `last` at most. */
static int take(struct reading *reading, uint64_t *seq, uint64_t last, bool backwards)
{
    const struct database_chunk *chunk = &reading->chunk;
    size_t at = (size_t)(*seq - chunk->first_seq);
    size_t end = backwards ? 0 : chunk->count - 1;
    size_t wanted;
    size_t right;

    if (chunk_holds(chunk, last))
        end = (size_t)(last - chunk->first_seq);
    wanted = choose(reading, at, end, backwards);
    right = check(chunk, at, wanted, backwards);
    if (!message_page_reserve(reading->page, right, bytes_of(chunk, at, right, backwards),
                              backwards))
        return STORE_NO_MEMORY;
    for (size_t i = 0; i < right; i++) {
        size_t index = backwards ? at - i : at + i;
        message_page_put(reading->page, chunk->first_seq + index,
                         database_chunk_message(chunk, index),
                         database_chunk_message_size(chunk, index), backwards);
    }
    *seq = backwards ? *seq - right : *seq + right;
    return right == wanted ? 0
                           : database_damaged_message(reading->chat_id, reading->chat_number, *seq,
                                                      "the CRC is wrong");
}

/* Puts reading->chunk on the one that holds `seq`. */
static int seek(struct reading *reading, uint64_t seq)
{
    int rc = database_seek_chunk(reading->logs, reading->chat_number, seq, &reading->chunk);

    if (rc == STORE_NOT_FOUND) {
        reading->chunk.damaged = false;
        return lost(reading, seq);
    }
    if (rc == 0 && !chunk_holds(&reading->chunk, seq))
        return lost(reading, seq);
    return rc;
}

/* Moves to the neighbouring chunk, which has to hold `seq` next to what was read. */
static int step(struct reading *reading, MDB_cursor_op direction, uint64_t seq)
{
    struct database_row row;
    MDB_val key = {0, NULL};
    MDB_val value = {0, NULL};
    int rc;

    if (direction == MDB_NEXT && reading->chunk.damaged)
        return lost(reading, seq);
    rc = mdb_cursor_get(reading->logs, &key, &value, direction);
    if (rc != 0 && rc != MDB_NOTFOUND)
        return database_read_status(rc, TABLE_LOGS);
    row = database_row_of(&key, &value);
    prefetch(&row);
    reading->chunk.damaged = false;
    if (rc == MDB_NOTFOUND || !database_open_chunk(&row, &reading->chunk) ||
        reading->chunk.chat_number != reading->chat_number || !chunk_holds(&reading->chunk, seq))
        return lost(reading, seq);
    return 0;
}

/* Reads from `seq` to `last`, which is not before it in reading order. */
static int read_range(struct reading *reading, uint64_t seq, uint64_t last, bool backwards)
{
    int rc = seek(reading, seq);

    while (rc == 0) {
        uint64_t behind = backwards ? last - 1 : last + 1;
        rc = take(reading, &seq, last, backwards);
        if (rc != 0 || reading->done || seq == behind)
            break;
        rc = step(reading, backwards ? MDB_PREV : MDB_NEXT, seq);
    }
    return rc;
}

int database_read_settled(struct database_snapshot *snapshot, const struct uuid *chat_id,
                          uint64_t chat_number, uint64_t from_seq, uint64_t before_seq,
                          size_t limit, size_t budget_bytes, bool backwards,
                          struct message_page *page)
{
    struct reading reading;
    uint64_t first = from_seq > 0 ? from_seq : 1;
    uint64_t last = before_seq > 0 ? before_seq - 1 : 0;

    if (first > last || page->count >= limit)
        return 0;
    /* Not with an initializer: the chunk is large, and seek fills all of it that is used. */
    reading.logs = snapshot->logs;
    reading.chat_id = chat_id;
    reading.chat_number = chat_number;
    reading.limit = limit;
    reading.budget_bytes = budget_bytes;
    reading.page = page;
    reading.done = false;
    reading.chunk.first_seq = 0;
    reading.chunk.count = 0;
    reading.chunk.damaged = false;
    return backwards ? read_range(&reading, last, first, true)
                     : read_range(&reading, first, last, false);
}

int database_read_log(struct database_snapshot *snapshot, const struct uuid *chat_id,
                      uint64_t chat_number, uint64_t from_seq, uint64_t before_seq, size_t limit,
                      size_t budget_bytes, bool backwards, struct message_page *page)
{
    uint64_t head_seq;
    int rc = database_read_head(snapshot->txn, snapshot->database, chat_number, &head_seq);

    if (rc != 0)
        return rc == STORE_NOT_FOUND ? 0 : rc;
    if (before_seq > head_seq + 1)
        before_seq = head_seq + 1;
    return database_read_settled(snapshot, chat_id, chat_number, from_seq, before_seq, limit,
                                 budget_bytes, backwards, page);
}
