/*
 * Settling: one transaction, which takes the database from one settled LSN to the next, or, as one
 * of several slices of a job, some chats of it.
 *
 * First the new chats, then all messages sorted by chat and seq into logs and heads, then each
 * chat's sorted by digest into recent and clients, then the meta row. Each table is written in the
 * order of its keys through one cursor, so that neighbouring rows are put into a page while it is
 * at hand.
 *
 * Everything is checked against what is stored on the way: a chat's number, id and users are new,
 * its messages go on where its log ends, and their client ids were not used. If any of that fails,
 * or LMDB does, the transaction is aborted and has left nothing behind: LMDB never writes over a
 * page that the last commit can see. That is also why a full disk does no harm.
 */
#include "store/database_internal.h"
#include "store/database_order.h"
#include "store/prefetch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED_BYTES 512 /* the processor finds out about the rest by itself */

struct settling {
    struct database *database;
    const struct database_batch *batch;
    struct store_failure *failure;
    MDB_txn *txn;
    MDB_cursor *heads;
    MDB_cursor *logs;
    MDB_cursor *recent;
    MDB_cursor *clients;
};

static int fail_lmdb(const struct settling *settling, int rc, const char *what)
{
    return store_fail(settling->failure, database_status(rc), "%s: %s", what, mdb_strerror(rc));
}

static int refuse_chat(const struct settling *settling, uint64_t chat_number, const char *what)
{
    return store_fail(settling->failure, STORE_CORRUPT, "chat number %llu: %s",
                      (unsigned long long)chat_number, what);
}

static MDB_val value_of(const void *bytes, size_t size)
{
    return (MDB_val){size, (void *)(uintptr_t)bytes};
}

/* --- chats --- */

/* What a job that was cut short has left of new chats is written again. */
static bool is_there(const struct settling *settling, enum database_table table, const MDB_val *key,
                     const MDB_val *value)
{
    const struct database_meta *meta = &settling->database->totals.meta;
    struct database_row row;

    return meta->reached_lsn > meta->settled_lsn &&
           database_get(settling->txn, settling->database, table, key->mv_data, key->mv_size,
                        &row) == 0 &&
           row.size == value->mv_size && memcmp(row.bytes, value->mv_data, row.size) == 0;
}

static int put_new(const struct settling *settling, enum database_table table, const MDB_val *key,
                   const MDB_val *value, unsigned flags, uint64_t chat_number)
{
    MDB_val put_key = *key;
    MDB_val put_value = *value;
    int rc = mdb_put(settling->txn, settling->database->tables[table], &put_key, &put_value, flags);

    if (rc == MDB_KEYEXIST && is_there(settling, table, key, value))
        return 0;
    if (rc == MDB_KEYEXIST)
        return store_fail(settling->failure, STORE_CORRUPT,
                          "chat number %llu: there is such a row in %s",
                          (unsigned long long)chat_number, database_table_name(table));
    return rc == 0 ? 0 : fail_lmdb(settling, rc, "write a new chat");
}

/* heads and members grow at their end only, and MDB_APPEND fills their pages to the brim. */
static int put_numbered(const struct settling *settling, const struct database_new_chat *chat)
{
    uint8_t number[DATABASE_NUMBER_KEY_BYTES];
    uint8_t head[DATABASE_HEAD_ROW_BYTES];
    MDB_val key = value_of(number, sizeof number);
    MDB_val value = value_of(head, database_encode_head(head, chat->number, 0));
    uint8_t *users;
    int rc;

    database_number_key(number, chat->number);
    rc = put_new(settling, TABLE_HEADS, &key, &value, MDB_APPEND, chat->number);
    if (rc != 0)
        return rc;
    users = malloc(chat->users_size + DATABASE_CRC_BYTES);
    if (users == NULL)
        return store_fail(settling->failure, STORE_NO_MEMORY, "out of memory");
    if (chat->users_size > 0)
        memcpy(users, chat->users, chat->users_size);
    value = value_of(users, database_row_seal(number, sizeof number, users, chat->users_size));
    rc = put_new(settling, TABLE_MEMBERS, &key, &value, MDB_APPEND, chat->number);
    free(users);
    return rc;
}

static int put_chat(const struct settling *settling, const struct database_new_chat *chat)
{
    uint8_t row[DATABASE_CHAT_ROW_BYTES_MAX];
    MDB_val key = value_of(chat->id.bytes, UUID_BYTES);
    MDB_val value = value_of(row, database_encode_chat(row, chat));

    return put_new(settling, TABLE_CHATS, &key, &value, MDB_NOOVERWRITE, chat->number);
}

static int put_users(const struct settling *settling, const struct database_new_chat *chat)
{
    uint8_t key_bytes[DATABASE_USERS_KEY_BYTES_MAX];
    uint8_t row[DATABASE_USERS_ROW_BYTES];
    size_t key_size = database_users_key(key_bytes, chat->namespace_name, chat->users_digest);
    MDB_val key = value_of(key_bytes, key_size);
    MDB_val value = value_of(row, database_encode_users(row, key_bytes, key_size, &chat->id));

    return put_new(settling, TABLE_USERS, &key, &value, MDB_NOOVERWRITE, chat->number);
}

static int by_id(const void *left, const void *right)
{
    const struct database_new_chat *const *a = left;
    const struct database_new_chat *const *b = right;

    return database_by_id(*a, *b);
}

static int by_users(const void *left, const void *right)
{
    const struct database_new_chat *const *a = left;
    const struct database_new_chat *const *b = right;

    return database_by_users(*a, *b);
}

static int put_sorted(const struct settling *settling, const struct database_new_chat **chats,
                      int (*order)(const void *, const void *),
                      int (*put)(const struct settling *, const struct database_new_chat *))
{
    int rc = 0;

    /* Those of a slice are in order already. */
    database_sort(chats, settling->batch->chat_count, sizeof *chats, order);
    for (size_t i = 0; i < settling->batch->chat_count && rc == 0; i++)
        rc = put(settling, chats[i]);
    return rc;
}

static int check_chat(const struct settling *settling, const struct database_new_chat *chat)
{
    uint64_t last = settling->database->totals.meta.chat_number_last;
    size_t size = strnlen(chat->namespace_name, DATABASE_NAMESPACE_BYTES_MAX + 1);

    if (chat->number <= last)
        return refuse_chat(settling, chat->number, "there is a chat of this number");
    if (size == 0 || size > DATABASE_NAMESPACE_BYTES_MAX)
        return refuse_chat(settling, chat->number, "the namespace has no fitting size");
    return 0;
}

/* The numbers that were given out are those of all heads. */
static int check_numbers(const struct settling *settling, uint64_t number_last)
{
    struct database_row row = {0};
    MDB_val key;
    MDB_val value;
    int rc = mdb_cursor_get(settling->heads, &key, &value, MDB_LAST);

    if (rc != 0)
        return fail_lmdb(settling, rc, "find the last chat");
    row = database_row_of(&key, &value);
    if (row.key_size == DATABASE_NUMBER_KEY_BYTES && database_load_u64(row.key) == number_last)
        return 0;
    return refuse_chat(settling, number_last, "the number does not follow the last one");
}

static int put_rows(const struct settling *settling, const struct database_new_chat **chats,
                    enum database_chat_rows rows)
{
    int rc = 0;

    for (size_t i = 0; i < settling->batch->chat_count && rc == 0; i++) {
        rc = check_chat(settling, chats[i]);
        if (rc == 0 && (rows == DATABASE_CHATS_WHOLE || rows == DATABASE_CHATS_NUMBERED))
            rc = put_numbered(settling, chats[i]);
    }
    if (rc == 0 && (rows == DATABASE_CHATS_WHOLE || rows == DATABASE_CHATS_IDS))
        rc = put_sorted(settling, chats, by_id, put_chat);
    if (rc == 0 && (rows == DATABASE_CHATS_WHOLE || rows == DATABASE_CHATS_USERS))
        rc = put_sorted(settling, chats, by_users, put_users);
    return rc;
}

static size_t chats_complete(const struct database_batch *batch)
{
    return batch->chat_rows == DATABASE_CHATS_WHOLE ? batch->chat_count : batch->chats_complete;
}

static int put_chats(const struct settling *settling)
{
    const struct database_batch *batch = settling->batch;
    const struct database_new_chat **chats;
    int rc;

    if (batch->chat_count == 0)
        return 0;
    chats = malloc(batch->chat_count * sizeof *chats);
    if (chats == NULL)
        return store_fail(settling->failure, STORE_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < batch->chat_count; i++)
        chats[i] = &batch->chats[i];
    rc = put_rows(settling, chats, batch->chat_rows);
    free(chats);
    if (rc == 0 && chats_complete(batch) > 0)
        rc = check_numbers(settling, settling->database->totals.meta.chat_number_last +
                                         chats_complete(batch));
    return rc;
}

/* --- logs --- */

/* A chunk in the making: what is kept of the one before, and the messages that join it. */
struct filling {
    uint64_t first_seq;
    uint8_t kept[DATABASE_ROW_BYTES_MAX];
    size_t kept_size;
};

/* Messages of one chat lie anywhere in memory. The one after the next is fetched into the cache. */
static void expect_message(const struct database_batch *batch,
                           const struct database_message *message)
{
    if (batch->messages + batch->message_count - message <= 2)
        return;
    message += 2;
    prefetch(message->bytes, message->size < EXPECTED_BYTES ? message->size : EXPECTED_BYTES);
}

static int put_chunk(const struct settling *settling, const struct filling *filling,
                     const struct database_message *messages, size_t count, size_t size)
{
    uint8_t key_bytes[DATABASE_LOG_KEY_BYTES];
    MDB_val key = value_of(key_bytes, sizeof key_bytes);
    MDB_val value = value_of(NULL, size);
    unsigned flags = filling->kept_size > 0 ? MDB_RESERVE : MDB_RESERVE | MDB_NOOVERWRITE;
    uint8_t *to;
    int rc;

    database_log_key(key_bytes, messages[0].chat_number, filling->first_seq);
    rc = mdb_cursor_put(settling->logs, &key, &value, flags);
    if (rc == MDB_KEYEXIST)
        return refuse_chat(settling, messages[0].chat_number, "there are messages beyond the head");
    if (rc != 0)
        return fail_lmdb(settling, rc, "write messages");
    to = value.mv_data;
    memcpy(to, filling->kept, filling->kept_size);
    to += filling->kept_size;
    for (size_t i = 0; i < count; i++) {
        expect_message(settling->batch, &messages[i]);
        database_encode_message(to, &messages[i]);
        to += database_message_bytes(messages[i].size);
    }
    return 0;
}

/* How many messages go into the chunk, and its size with them. A chunk takes one, however large. */
static size_t count_fitting(const struct filling *filling, const struct database_message *messages,
                            size_t count, size_t *size)
{
    size_t fitting = 0;

    *size = filling->kept_size;
    while (fitting < count) {
        size_t more = database_message_bytes(messages[fitting].size);
        if (*size > 0 && *size + more > DATABASE_ROW_BYTES_MAX)
            break;
        *size += more;
        fitting++;
    }
    return fitting;
}

/* Loads the chat's last chunk, if it has room; it is borrowed from LMDB no longer than this. */
static int load_last_chunk(const struct settling *settling, uint64_t chat_number, uint64_t head_seq,
                           struct filling *filling)
{
    struct database_chunk chunk;
    int rc;

    filling->first_seq = head_seq + 1;
    filling->kept_size = 0;
    if (head_seq == 0)
        return 0;
    rc = database_seek_last_chunk(settling->logs, chat_number, head_seq, &chunk);
    if (rc != 0)
        return store_fail(settling->failure, rc, "chat number %llu: its log is damaged",
                          (unsigned long long)chat_number);
    if (chunk.size >= DATABASE_ROW_BYTES_MAX)
        return 0;
    filling->first_seq = chunk.first_seq;
    filling->kept_size = chunk.size;
    memcpy(filling->kept, chunk.bytes, chunk.size);
    return 0;
}

static int append_messages(const struct settling *settling, uint64_t head_seq,
                           const struct database_message *messages, size_t count)
{
    struct filling filling;
    size_t done = 0;
    int rc = load_last_chunk(settling, messages[0].chat_number, head_seq, &filling);

    while (rc == 0 && done < count) {
        size_t size;
        size_t fitting = count_fitting(&filling, messages + done, count - done, &size);
        if (fitting > 0)
            rc = put_chunk(settling, &filling, messages + done, fitting, size);
        done += fitting;
        filling.first_seq = head_seq + done + 1;
        filling.kept_size = 0;
    }
    return rc;
}

/* Puts the cursor on the chat's head. What is wrong when there is none, the other way of reading
 * finds out. */
static int find_head(const struct settling *settling, uint64_t chat_number, uint64_t *head_seq)
{
    uint8_t number[DATABASE_NUMBER_KEY_BYTES];
    MDB_val key = value_of(number, sizeof number);
    struct database_row row;
    MDB_val value;

    database_number_key(number, chat_number);
    if (mdb_cursor_get(settling->heads, &key, &value, MDB_SET_KEY) == 0) {
        row = database_row_of(&key, &value);
        if (database_decode_head(&row, head_seq))
            return 0;
    }
    return database_read_head(settling->txn, settling->database, chat_number, head_seq);
}

/* In the place of the one that find_head has found. */
static int put_head(const struct settling *settling, uint64_t chat_number, uint64_t head_seq)
{
    uint8_t number[DATABASE_NUMBER_KEY_BYTES];
    uint8_t row[DATABASE_HEAD_ROW_BYTES];
    MDB_val key = value_of(number, sizeof number);
    MDB_val value = value_of(row, database_encode_head(row, chat_number, head_seq));
    int rc;

    database_number_key(number, chat_number);
    rc = mdb_cursor_put(settling->heads, &key, &value, MDB_CURRENT);
    return rc == 0 ? 0 : fail_lmdb(settling, rc, "write a head");
}

static int put_log(const struct settling *settling, const struct database_message *messages,
                   size_t count)
{
    uint64_t number = messages[0].chat_number;
    uint64_t head_seq;
    int rc = find_head(settling, number, &head_seq);

    if (rc == STORE_NOT_FOUND)
        return refuse_chat(settling, number, "there are messages, but no such chat");
    if (rc != 0)
        return store_fail(settling->failure, rc, "chat number %llu: its head cannot be read",
                          (unsigned long long)number);
    for (size_t i = 0; i < count; i++)
        if (messages[i].seq - head_seq != 1 + i || messages[i].seq == 0)
            return store_fail(settling->failure, STORE_CORRUPT,
                              "chat number %llu: message %llu comes where %llu is due",
                              (unsigned long long)number, (unsigned long long)messages[i].seq,
                              (unsigned long long)head_seq + 1 + i);
    rc = append_messages(settling, head_seq, messages, count);
    return rc == 0 ? put_head(settling, number, head_seq + count) : rc;
}

/* --- messages of all chats --- */

static int by_digest(const void *left, const void *right)
{
    const struct database_message *a = left;
    const struct database_message *b = right;

    if (a->chat_number != b->chat_number)
        return a->chat_number < b->chat_number ? -1 : 1;
    return memcmp(a->client_digest, b->client_digest, DATABASE_DIGEST_BYTES);
}

static int put_clients(const struct settling *settling, const struct database_message *messages,
                       size_t count)
{
    return database_add_clients(settling->database, settling->recent, settling->clients, messages,
                                count, settling->failure);
}

/* The messages lie chat by chat. Those of each are put in `order` before they go to `put`. */
static int for_each_chat(const struct settling *settling, int (*order)(const void *, const void *),
                         int (*put)(const struct settling *, const struct database_message *,
                                    size_t))
{
    struct database_message *messages = settling->batch->messages;
    size_t count = settling->batch->message_count;
    size_t from = 0;
    int rc = 0;

    while (rc == 0 && from < count) {
        size_t end = from + 1;
        while (end < count && messages[end].chat_number == messages[from].chat_number)
            end++;
        database_sort(messages + from, end - from, sizeof *messages, order);
        rc = put(settling, messages + from, end - from);
        from = end;
    }
    return rc;
}

/* --- the transaction --- */

static int put_meta(const struct settling *settling, const struct database_totals *totals)
{
    uint8_t row[DATABASE_META_ROW_BYTES];
    MDB_val key = value_of(DATABASE_META_KEY, DATABASE_META_KEY_BYTES);
    MDB_val value = value_of(row, database_encode_meta(row, totals));
    int rc = mdb_put(settling->txn, settling->database->tables[TABLE_META], &key, &value, 0);

    return rc == 0 ? 0 : fail_lmdb(settling, rc, "write the meta row");
}

static int open_cursors(struct settling *settling)
{
    const MDB_dbi *tables = settling->database->tables;
    int rc = mdb_cursor_open(settling->txn, tables[TABLE_HEADS], &settling->heads);

    if (rc == 0)
        rc = mdb_cursor_open(settling->txn, tables[TABLE_LOGS], &settling->logs);
    if (rc == 0)
        rc = mdb_cursor_open(settling->txn, tables[TABLE_RECENT], &settling->recent);
    if (rc == 0)
        rc = mdb_cursor_open(settling->txn, tables[TABLE_CLIENTS], &settling->clients);
    return rc == 0 ? 0 : fail_lmdb(settling, rc, "open cursors");
}

static int put_all(struct settling *settling, const struct database_totals *totals)
{
    int rc = open_cursors(settling);

    if (rc == 0)
        rc = put_chats(settling);
    database_sort(settling->batch->messages, settling->batch->message_count,
                  sizeof *settling->batch->messages, database_by_seq);
    if (rc == 0)
        rc = for_each_chat(settling, database_by_seq, put_log);
    if (rc == 0)
        rc = for_each_chat(settling, by_digest, put_clients);
    return rc == 0 ? put_meta(settling, totals) : rc;
}

/* A write of the page that says which pages count has failed. LMDB then takes nothing more, not
 * even reads, until the database is opened again. */
static bool has_panicked(MDB_env *env)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);

    if (rc == 0)
        mdb_txn_abort(txn);
    return rc == MDB_PANIC;
}

/*
 * LMDB answers a write that the disk took only in part with EIO, as if the disk had failed. It sets
 * errno only when a call has failed, though: EIO without it is a disk that got full underway.
 */
static int commit(struct settling *settling)
{
    int rc;

    atomic_fetch_add(&settling->database->commits, 1);
    errno = 0;
    rc = mdb_txn_commit(settling->txn);
    if (rc == EIO && errno != EIO)
        rc = ENOSPC;
    if (rc != 0 && has_panicked(settling->database->env))
        return store_fail(settling->failure, STORE_IO,
                          "commit: %s, for LMDB's own page: it takes nothing more until the "
                          "database is opened again",
                          mdb_strerror(rc));
    return rc == 0 ? 0 : fail_lmdb(settling, rc, "commit");
}

static uint64_t reached_lsn(const struct database_batch *batch)
{
    return batch->reached_lsn > batch->settled_lsn ? batch->reached_lsn : batch->settled_lsn;
}

static int check_lsns(const struct settling *settling, const struct database_meta *meta)
{
    uint64_t settled = settling->batch->settled_lsn;
    uint64_t reached = reached_lsn(settling->batch);

    if (settled >= meta->settled_lsn && reached >= meta->reached_lsn)
        return 0;
    return store_fail(settling->failure, STORE_CORRUPT,
                      "the settled LSN would go from %llu to %llu, the reached LSN from %llu to "
                      "%llu",
                      (unsigned long long)meta->settled_lsn, (unsigned long long)settled,
                      (unsigned long long)meta->reached_lsn, (unsigned long long)reached);
}

int database_settle(struct database *database, const struct database_batch *batch,
                    struct store_failure *failure)
{
    struct settling settling = {.database = database, .batch = batch, .failure = failure};
    struct database_totals totals = database->totals;
    int rc;
    int dead;

    rc = check_lsns(&settling, &totals.meta);
    if (rc != 0)
        return rc;
    totals.meta.settled_lsn = batch->settled_lsn;
    totals.meta.reached_lsn = reached_lsn(batch);
    totals.meta.chat_number_last += chats_complete(batch);
    totals.messages += batch->message_count;
    /* Another process that was killed while it read would keep pages from being used again. */
    rc = mdb_reader_check(database->env, &dead);
    if (rc == 0)
        rc = mdb_txn_begin(database->env, NULL, 0, &settling.txn);
    if (rc != 0)
        return fail_lmdb(&settling, rc, "begin");
    rc = put_all(&settling, &totals);
    if (rc != 0) {
        /* This closes the cursors too, as a commit does: they belong to a write transaction. */
        mdb_txn_abort(settling.txn);
        return rc;
    }
    rc = commit(&settling);
    if (rc == 0)
        database->totals = totals;
    return rc;
}
