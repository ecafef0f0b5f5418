/*
 * Client ids: looking one up, and adding those of a chat's recent messages.
 *
 * A chat has one bucket in `recent`, which takes what is added, and others in `clients` that divide
 * the range of digests among them. When the recent one would overflow, its clients move to the
 * others, all at once and in their order, and those that did not fit begin a new one:
 *
 *     before                       recent [ c f k q ]    clients 0:[ a d e ]  g:[ h m ]
 *     with b and p to be added     recent [ b p ]        clients 0:[ a c d e f ]  g:[ h k m q ]
 *
 * So a chat with many messages has each of its buckets rewritten once in dozens of messages, not
 * with every one. A look-up reads the recent bucket and one other.
 */
#include "store/database_internal.h"

#include <stdlib.h>
#include <string.h>

/* Buckets that are split are left a quarter empty. */
#define BUCKET_CLIENTS_FILL (DATABASE_BUCKET_CLIENTS_MAX * 3 / 4)

/* Few enough that several chats' buckets share a page: as they grow and shrink, pages with one or
 * two of them would be left half empty. */
#define RECENT_CLIENTS_MAX DATABASE_FEW_CLIENTS

/* A bucket as it was found, borrowed until the transaction's next change. */
struct bucket {
    struct database_row row;
    size_t count;
};

static int open_bucket(enum database_table table, const struct database_row *row,
                       uint64_t chat_number, struct bucket *bucket)
{
    bucket->row = *row;
    if (database_open_bucket(row, &bucket->count))
        return 0;
    return database_damaged(table, "the CRC or the size is wrong", chat_number);
}

static bool is_of(const struct database_row *row, uint64_t chat_number)
{
    return row->key_size == DATABASE_CLIENT_KEY_BYTES && database_load_u64(row->key) == chat_number;
}

/* The bucket in `clients` for `digest`. STORE_NOT_FOUND when the chat has none there. */
static int find_settled(MDB_cursor *cursor, uint64_t chat_number,
                        const uint8_t digest[DATABASE_DIGEST_BYTES], struct bucket *bucket)
{
    uint8_t key[DATABASE_CLIENT_KEY_BYTES];
    struct database_row row;
    int rc;

    database_client_key(key, chat_number, digest);
    rc = database_seek(cursor, TABLE_CLIENTS, key, sizeof key, &row);
    if (rc != 0)
        return rc;
    return is_of(&row, chat_number) ? open_bucket(TABLE_CLIENTS, &row, chat_number, bucket)
                                    : STORE_NOT_FOUND;
}

/* Every chat with messages has a recent bucket. Taking a lost one for empty would make a second
 * message of a retry. */
static int explain_no_recent(MDB_txn *txn, const struct database *database, uint64_t chat_number)
{
    uint64_t head_seq = 0;
    int rc = database_read_head(txn, database, chat_number, &head_seq);

    if (rc == 0 && head_seq > 0)
        return database_damaged(TABLE_RECENT, "the row is missing", chat_number);
    return rc == 0 ? STORE_NOT_FOUND : rc;
}

/* STORE_NOT_FOUND when the chat has no messages. */
static int read_recent(MDB_txn *txn, const struct database *database, uint64_t chat_number,
                       struct bucket *bucket)
{
    uint8_t key[DATABASE_NUMBER_KEY_BYTES];
    struct database_row row;
    int rc;

    database_number_key(key, chat_number);
    rc = database_get(txn, database, TABLE_RECENT, key, sizeof key, &row);
    if (rc == STORE_NOT_FOUND)
        return explain_no_recent(txn, database, chat_number);
    return rc == 0 ? open_bucket(TABLE_RECENT, &row, chat_number, bucket) : rc;
}

int database_search_clients(MDB_txn *txn, const struct database *database, MDB_cursor *clients,
                            uint64_t chat_number, const uint8_t digest[DATABASE_DIGEST_BYTES],
                            uint64_t *seq)
{
    struct bucket bucket;
    int rc = read_recent(txn, database, chat_number, &bucket);

    if (rc != 0)
        return rc;
    if (database_search_bucket(&bucket.row, bucket.count, digest, seq))
        return 0;
    rc = find_settled(clients, chat_number, digest, &bucket);
    if (rc != 0)
        return rc;
    return database_search_bucket(&bucket.row, bucket.count, digest, seq) ? 0 : STORE_NOT_FOUND;
}

/* --- telling --- */

struct telling {
    void (*tell)(void *data, const uint8_t digest[DATABASE_DIGEST_BYTES]);
    void *data;
    uint64_t told;
};

static void tell_bucket(struct telling *telling, const struct bucket *bucket)
{
    struct database_client client;

    for (size_t i = 0; i < bucket->count; i++) {
        database_decode_client(&bucket->row, i, &client);
        telling->tell(telling->data, client.digest);
    }
    telling->told += bucket->count;
}

static int tell_settled(struct telling *telling, MDB_cursor *clients, uint64_t chat_number)
{
    static const uint8_t lowest[DATABASE_DIGEST_BYTES];
    uint8_t key_bytes[DATABASE_CLIENT_KEY_BYTES];
    MDB_val key = {sizeof key_bytes, key_bytes};
    MDB_cursor_op next = MDB_SET_RANGE;
    MDB_val value;
    int rc;

    database_client_key(key_bytes, chat_number, lowest);
    while ((rc = mdb_cursor_get(clients, &key, &value, next)) == 0) {
        struct database_row row = database_row_of(&key, &value);
        struct bucket bucket;
        if (!is_of(&row, chat_number))
            return 0;
        rc = open_bucket(TABLE_CLIENTS, &row, chat_number, &bucket);
        if (rc != 0)
            return rc;
        tell_bucket(telling, &bucket);
        next = MDB_NEXT;
    }
    return rc == MDB_NOTFOUND ? 0 : database_read_status(rc, TABLE_CLIENTS);
}

int database_tell_clients(MDB_txn *txn, const struct database *database, MDB_cursor *clients,
                          uint64_t chat_number, uint64_t max,
                          void (*tell)(void *data, const uint8_t digest[DATABASE_DIGEST_BYTES]),
                          void *data)
{
    struct telling telling = {.tell = tell, .data = data};
    struct bucket recent;
    uint64_t head_seq = 0;
    int rc = database_read_head(txn, database, chat_number, &head_seq);

    if (rc == 0 && head_seq > max)
        return STORE_NOT_FOUND;
    if (rc == 0)
        rc = read_recent(txn, database, chat_number, &recent);
    if (rc == 0)
        tell_bucket(&telling, &recent);
    if (rc == 0 && telling.told != head_seq)
        rc = tell_settled(&telling, clients, chat_number);
    if (rc == 0 && telling.told != head_seq)
        rc = database_damaged(TABLE_CLIENTS, "not as many client ids as messages", chat_number);
    return rc;
}

/* --- adding --- */

struct adding {
    struct database *database;
    MDB_cursor *recent;
    MDB_cursor *clients;
    uint64_t chat_number;
    uint64_t first_seq; /* of those to be added */
    struct store_failure *failure;
};

static int fail_lmdb(const struct adding *adding, int rc)
{
    return store_fail(adding->failure, database_status(rc), "write client ids: %s",
                      mdb_strerror(rc));
}

static int fail_read(const struct adding *adding, int rc)
{
    return store_fail(adding->failure, rc, "the client ids of chat number %llu cannot be read",
                      (unsigned long long)adding->chat_number);
}

static int refuse(const struct adding *adding, uint64_t seq)
{
    return store_fail(adding->failure, STORE_CORRUPT,
                      "message %llu of chat number %llu has a client id that is in the database",
                      (unsigned long long)seq, (unsigned long long)adding->chat_number);
}

/* Makes room for `count` clients in the scratch array. */
static int reserve(const struct adding *adding, size_t count)
{
    struct database *database = adding->database;
    struct database_client *grown;

    if (count <= database->clients_capacity)
        return 0;
    grown = realloc(database->clients, count * 2 * sizeof *grown);
    if (grown == NULL)
        return store_fail(adding->failure, STORE_NO_MEMORY, "out of memory");
    database->clients = grown;
    database->clients_capacity = count * 2;
    return 0;
}

static int put_bucket(const struct adding *adding, MDB_cursor *cursor, const uint8_t *key_bytes,
                      size_t key_size, const struct database_client *clients, size_t count)
{
    uint8_t row[DATABASE_ROW_BYTES_MAX];
    size_t places_min = cursor == adding->clients ? DATABASE_BUCKET_PLACES_MIN : 0;
    MDB_val key = {key_size, (void *)(uintptr_t)key_bytes};
    MDB_val value = {database_encode_bucket(row, key_bytes, key_size, clients, count, places_min),
                     row};
    int rc = mdb_cursor_put(cursor, &key, &value, 0);

    return rc == 0 ? 0 : fail_lmdb(adding, rc);
}

static struct database_client client_of(const struct database_message *message)
{
    struct database_client client;

    memcpy(client.digest, message->client_digest, sizeof client.digest);
    client.seq = message->seq;
    return client;
}

/*
 * Merges a bucket with `count` sorted clients from the end, so that `to` may begin with the latter.
 * Returns STORE_CORRUPT if one is in both.
 */
static int merge_bucket(const struct adding *adding, struct database_client *to, size_t count,
                        const struct bucket *bucket)
{
    size_t left = bucket->count;

    while (left > 0) {
        struct database_client client;
        int order = 1;
        database_decode_client(&bucket->row, left - 1, &client);
        if (count > 0)
            order = memcmp(client.digest, to[count - 1].digest, DATABASE_DIGEST_BYTES);
        if (order == 0)
            return refuse(adding, to[count - 1].seq);
        if (order > 0) {
            to[count + left - 1] = client;
            left--;
        } else {
            to[count + left - 1] = to[count - 1];
            count--;
        }
    }
    return 0;
}

/* How many of the sorted clients belong to the bucket that the cursor is on. */
static int count_in_reach(const struct adding *adding, const struct database_client *clients,
                          size_t count, size_t *reach)
{
    MDB_val key;
    MDB_val value;
    struct database_row next;
    int rc = mdb_cursor_get(adding->clients, &key, &value, MDB_NEXT);

    *reach = count;
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc != 0)
        return fail_lmdb(adding, rc);
    next = database_row_of(&key, &value);
    if (!is_of(&next, adding->chat_number))
        return 0;
    for (*reach = 1; *reach < count; (*reach)++)
        if (memcmp(clients[*reach].digest, next.key + DATABASE_NUMBER_KEY_BYTES,
                   DATABASE_DIGEST_BYTES) >= 0)
            break;
    return 0;
}

/* None of them is in `clients`. Each bucket there is opened once for all that fall into its part.
 */
static int check_new(const struct adding *adding, const struct database_client *clients,
                     size_t count)
{
    size_t done = 0;

    while (done < count) {
        struct bucket bucket;
        size_t reach;
        uint64_t seq;
        int rc = find_settled(adding->clients, adding->chat_number, clients[done].digest, &bucket);
        if (rc == STORE_NOT_FOUND)
            return 0;
        if (rc != 0)
            return fail_read(adding, rc);
        rc = count_in_reach(adding, clients + done, count - done, &reach);
        if (rc != 0)
            return rc;
        for (size_t end = done + reach; done < end; done++)
            if (database_search_bucket(&bucket.row, bucket.count, clients[done].digest, &seq))
                return refuse(adding, clients[done].seq);
    }
    return 0;
}

/* Writes clients that go into the place of one bucket, as that one and new ones behind it. */
static int put_split(const struct adding *adding, const uint8_t *low_key,
                     const struct database_client *clients, size_t count)
{
    size_t parts = count <= DATABASE_BUCKET_CLIENTS_MAX
                       ? 1
                       : (count + BUCKET_CLIENTS_FILL - 1) / BUCKET_CLIENTS_FILL;
    size_t from = 0;

    for (size_t i = 1; i <= parts; i++) {
        uint8_t key[DATABASE_CLIENT_KEY_BYTES];
        size_t end = count * i / parts;
        int rc;
        if (from == 0)
            memcpy(key, low_key, sizeof key);
        else
            database_client_key(key, adding->chat_number, clients[from].digest);
        rc = put_bucket(adding, adding->clients, key, sizeof key, clients + from, end - from);
        if (rc != 0)
            return rc;
        from = end;
    }
    return 0;
}

/* Moves the first of the sorted clients into their bucket; says how many those were. */
static int move_some(const struct adding *adding, const struct database_client *clients,
                     size_t count, struct database_client *merged, size_t *moved)
{
    static const uint8_t lowest[DATABASE_DIGEST_BYTES];
    uint8_t low_key[DATABASE_CLIENT_KEY_BYTES];
    struct bucket bucket = {0};
    int rc = find_settled(adding->clients, adding->chat_number, clients[0].digest, &bucket);

    *moved = count;
    database_client_key(low_key, adding->chat_number, lowest);
    if (rc == STORE_NOT_FOUND)
        return put_split(adding, low_key, clients, count);
    if (rc != 0)
        return fail_read(adding, rc);
    memcpy(low_key, bucket.row.key, sizeof low_key);
    rc = count_in_reach(adding, clients, count, moved);
    if (rc != 0)
        return rc;
    memcpy(merged, clients, *moved * sizeof *clients);
    rc = merge_bucket(adding, merged, *moved, &bucket);
    return rc == 0 ? put_split(adding, low_key, merged, *moved + bucket.count) : rc;
}

/* Moves the `count` clients at the beginning of the scratch array into `clients`. */
static int move_to_clients(const struct adding *adding, size_t count)
{
    size_t done = 0;
    int rc = reserve(adding, 2 * count + DATABASE_BUCKET_CLIENTS_MAX);

    while (rc == 0 && done < count) {
        struct database_client *clients = adding->database->clients;
        size_t moved = 0;
        rc = move_some(adding, clients + done, count - done, clients + count, &moved);
        done += moved;
    }
    return rc;
}

static int find_recent(const struct adding *adding, struct bucket *bucket)
{
    uint8_t number[DATABASE_NUMBER_KEY_BYTES];
    MDB_val key = {sizeof number, number};
    struct database_row row;
    MDB_val value;
    int rc;

    database_number_key(number, adding->chat_number);
    rc = mdb_cursor_get(adding->recent, &key, &value, MDB_SET_KEY);
    if (rc != 0)
        return database_read_status(rc, TABLE_RECENT);
    row = database_row_of(&key, &value);
    return open_bucket(TABLE_RECENT, &row, adding->chat_number, bucket);
}

static int check_distinct(const struct adding *adding, const struct database_message *messages,
                          size_t count)
{
    for (size_t i = 1; i < count; i++)
        if (memcmp(messages[i - 1].client_digest, messages[i].client_digest,
                   DATABASE_DIGEST_BYTES) == 0)
            return refuse(adding, messages[i].seq);
    return 0;
}

/* Puts the messages' clients at the beginning of the scratch array, with room for `more`. */
static int gather(const struct adding *adding, const struct database_message *messages,
                  size_t count, size_t more)
{
    int rc = check_distinct(adding, messages, count);

    if (rc == 0)
        rc = reserve(adding, count + more);
    for (size_t i = 0; i < count && rc == 0; i++)
        adding->database->clients[i] = client_of(&messages[i]);
    return rc;
}

/* The recent bucket has room: old and new ones share it. */
static int join_recent(const struct adding *adding, const struct database_message *messages,
                       size_t count, const struct bucket *recent)
{
    uint8_t number[DATABASE_NUMBER_KEY_BYTES];
    int rc = gather(adding, messages, count, recent->count);

    /* If all earlier messages have theirs in the recent bucket, none is in `clients`. */
    if (rc == 0 && recent->count != adding->first_seq - 1)
        rc = check_new(adding, adding->database->clients, count);
    if (rc == 0)
        rc = merge_bucket(adding, adding->database->clients, count, recent);
    database_number_key(number, adding->chat_number);
    return rc == 0 ? put_bucket(adding, adding->recent, number, sizeof number,
                                adding->database->clients, count + recent->count)
                   : rc;
}

/* It has not, and what is in it moves to `clients`. Then the new ones have it for themselves. */
static int replace_recent(const struct adding *adding, const struct database_message *messages,
                          size_t count, const struct bucket *recent)
{
    struct bucket none = {0};
    int rc = reserve(adding, recent->count);

    if (rc != 0)
        return rc;
    for (size_t i = 0; i < recent->count; i++)
        database_decode_client(&recent->row, i, &adding->database->clients[i]);
    rc = move_to_clients(adding, recent->count);
    return rc == 0 ? join_recent(adding, messages, count, &none) : rc;
}

/* There are more new ones than a recent bucket takes: all go to `clients`. The recent bucket stays,
 * or is made, without any: a chat with messages has one. */
static int bypass_recent(const struct adding *adding, const struct database_message *messages,
                         size_t count, const struct bucket *recent)
{
    uint8_t number[DATABASE_NUMBER_KEY_BYTES];
    int rc = gather(adding, messages, count, recent->count);

    if (rc == 0)
        rc = merge_bucket(adding, adding->database->clients, count, recent);
    if (rc == 0)
        rc = move_to_clients(adding, count + recent->count);
    if (rc != 0 || (recent->count == 0 && recent->row.bytes != NULL))
        return rc;
    database_number_key(number, adding->chat_number);
    return put_bucket(adding, adding->recent, number, sizeof number, NULL, 0);
}

static uint64_t first_seq(const struct database_message *messages, size_t count)
{
    uint64_t first = messages[0].seq;

    for (size_t i = 1; i < count; i++)
        if (messages[i].seq < first)
            first = messages[i].seq;
    return first;
}

int database_add_clients(struct database *database, MDB_cursor *recent, MDB_cursor *clients,
                         const struct database_message *messages, size_t count,
                         struct store_failure *failure)
{
    struct adding adding = {.database = database,
                            .recent = recent,
                            .clients = clients,
                            .chat_number = messages[0].chat_number,
                            .first_seq = first_seq(messages, count),
                            .failure = failure};
    struct bucket found = {0};
    int rc = find_recent(&adding, &found);

    if (rc == STORE_NOT_FOUND && adding.first_seq != 1)
        rc = database_damaged(TABLE_RECENT, "the row is missing", adding.chat_number);
    if (rc != 0 && rc != STORE_NOT_FOUND)
        return fail_read(&adding, rc);
    if (count > RECENT_CLIENTS_MAX)
        return bypass_recent(&adding, messages, count, &found);
    if (count + found.count > RECENT_CLIENTS_MAX)
        return replace_recent(&adding, messages, count, &found);
    return join_recent(&adding, messages, count, &found);
}
