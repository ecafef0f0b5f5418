/*
 * Table by table, each in the order of its keys:
 *
 *     chats     row by row: its head, its members, and the row of these users, which leads back
 *     heads, members, users: rows that no chat has
 *     recent, clients: buckets in order, and as many client ids in a chat as it has messages
 *     logs      chunk by chunk: seqs 1 to the head without gap, each message's content, and that
 *               its client id leads to its seq
 *
 * Each message's client id leads to its own seq, so that no two messages share one; when there are
 * as many client ids as messages, there is none without a message. The same goes for users and
 * chats.
 *
 * Rows of new chats that a settle job which was cut short had not finished are passed over: they
 * are written again.
 *
 * A row's place in the file is found from its page: LMDB's map begins with a page, and a page with
 * its own number.
 */
#include "store/database_verify.h"

#include "store/command.h"
#include "store/database_internal.h"
#include <stdlib.h>
#include <string.h>

#define WRONG_CRC "the CRC or the size is wrong"

/* What is known of the chat of a number. */
struct known {
    struct uuid id;
    bool has_id;
    bool has_log; /* its log ended where it should, or its problem was reported */
    bool head_damaged;
    bool clients_damaged;
    uint64_t head_seq;
    uint64_t client_ids;
};

struct verifying {
    struct database_snapshot *snapshot;
    const struct database *database;
    database_problem_fn report;
    void *data;
    struct database_verified *figures;
    struct store_failure *failure;
    struct digester digester;
    struct database_totals totals;
    struct known *chats; /* by number - 1 */
    size_t page_bytes;
    enum database_table table;

    /* Of the log that is being read. */
    uint64_t log_number;
    uint64_t log_seq;
    /* Of the buckets. */
    uint8_t last_digest[DATABASE_DIGEST_BYTES];
    uint64_t last_number;
};

/* --- problems --- */

static uint64_t offset_of(const struct verifying *verifying, const void *place)
{
    uintptr_t within = (uintptr_t)place & (verifying->page_bytes - 1);
    uint64_t page;

    if (place == NULL)
        return 0;
    memcpy(&page, (const uint8_t *)place - within, sizeof page);
    return page * verifying->page_bytes + within;
}

static struct known *known_of(const struct verifying *verifying, uint64_t number)
{
    if (number == 0 || number > verifying->totals.meta.chat_number_last)
        return NULL;
    return &verifying->chats[number - 1];
}

static void report(const struct verifying *verifying, const struct uuid *chat_id, uint64_t number,
                   uint64_t seq, const void *place, const char *what)
{
    const struct known *known = known_of(verifying, number);
    struct database_problem problem = {.table = database_table_name(verifying->table),
                                       .what = what,
                                       .chat_number = number,
                                       .seq = seq,
                                       .offset = offset_of(verifying, place)};

    if (chat_id == NULL && known != NULL && known->has_id)
        chat_id = &known->id;
    if (chat_id != NULL) {
        problem.has_chat_id = true;
        problem.chat_id = *chat_id;
    }
    verifying->figures->problems++;
    verifying->report(verifying->data, &problem);
}

static int fail(const struct verifying *verifying, int rc)
{
    return store_fail(verifying->failure, rc, "table %s cannot be read to its end: %s",
                      database_table_name(verifying->table), store_status_text(rc));
}

/* Calls `each` for the rows of a table in order. */
static int each_row(struct verifying *verifying, enum database_table table,
                    int (*each)(struct verifying *, const struct database_row *))
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int rc = mdb_cursor_open(verifying->snapshot->txn, verifying->database->tables[table], &cursor);

    verifying->table = table;
    if (rc != 0)
        return fail(verifying, database_read_status(rc, table));
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        struct database_row row = database_row_of(&key, &value);
        rc = each(verifying, &row);
        if (rc != 0)
            break;
        verifying->table = table;
    }
    mdb_cursor_close(cursor);
    if (rc == 0 || rc == MDB_NOTFOUND)
        return 0;
    return fail(verifying, rc > 0 || rc < -1000 ? database_read_status(rc, table) : rc);
}

/* The row of `key`; a missing one is reported as the chat's. */
static bool get(struct verifying *verifying, enum database_table table, const void *key,
                size_t key_size, const struct uuid *chat_id, uint64_t number,
                struct database_row *row)
{
    int rc = database_get(verifying->snapshot->txn, verifying->database, table, key, key_size, row);

    verifying->table = table;
    if (rc != 0)
        report(verifying, chat_id, number, 0, NULL,
               rc == STORE_NOT_FOUND ? "the row is missing" : "the row cannot be read");
    return rc == 0;
}

/* --- chats, heads, members, users --- */

/* One user at least, of 1 to 128 bytes each, in ascending order. */
static bool users_are_sound(const uint8_t *users, size_t size)
{
    struct command_text last = {NULL, 0};
    size_t offset = 0;

    while (offset < size) {
        struct command_text user = {(const char *)users + offset + 1, users[offset]};
        size_t shorter = user.size < last.size ? user.size : last.size;
        int order;
        if (user.size == 0 || user.size > COMMAND_USER_BYTES_MAX || user.size > size - offset - 1)
            return false;
        order = last.data == NULL ? 1 : memcmp(user.data, last.data, shorter);
        if (order < 0 || (order == 0 && user.size <= last.size))
            return false;
        last = user;
        offset += 1 + user.size;
    }
    return last.data != NULL;
}

static void check_head(struct verifying *verifying, const struct database_chat *chat)
{
    struct known *known = known_of(verifying, chat->number);
    uint8_t key[DATABASE_NUMBER_KEY_BYTES];
    struct database_row row;

    database_number_key(key, chat->number);
    known->head_damaged = true;
    if (!get(verifying, TABLE_HEADS, key, sizeof key, &chat->id, chat->number, &row))
        return;
    known->head_damaged = !database_decode_head(&row, &known->head_seq);
    if (known->head_damaged)
        report(verifying, &chat->id, chat->number, 0, row.bytes, WRONG_CRC);
}

/* The members, and with their digest the row that leads from these users to the chat. */
static int check_members(struct verifying *verifying, const struct database_chat *chat)
{
    uint8_t key[DATABASE_NUMBER_KEY_BYTES];
    uint8_t users_key[DATABASE_USERS_KEY_BYTES_MAX];
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES];
    struct database_row row;
    struct uuid found;
    size_t size;

    database_number_key(key, chat->number);
    if (!get(verifying, TABLE_MEMBERS, key, sizeof key, &chat->id, chat->number, &row))
        return 0;
    if (!database_row_check(&row) || !users_are_sound(row.bytes, row.size - DATABASE_CRC_BYTES)) {
        report(verifying, &chat->id, chat->number, 0, row.bytes,
               database_row_check(&row) ? "it is no list of users" : WRONG_CRC);
        return 0;
    }
    if (digest_users(&verifying->digester, row.bytes, row.size - DATABASE_CRC_BYTES, digest) != 0)
        return STORE_NO_MEMORY;
    size = database_users_key(users_key, chat->namespace_name, digest);
    if (!get(verifying, TABLE_USERS, users_key, size, &chat->id, chat->number, &row))
        return 0;
    if (!database_decode_users(&row, &found))
        report(verifying, &chat->id, chat->number, 0, row.bytes, WRONG_CRC);
    else if (memcmp(&found, &chat->id, sizeof found) != 0)
        report(verifying, &chat->id, chat->number, 0, row.bytes,
               "the chat's users lead to another chat");
    return 0;
}

static int check_chat(struct verifying *verifying, const struct database_row *row)
{
    struct database_chat chat;
    struct known *known;

    verifying->figures->chats++;
    if (!database_decode_chat(row, &chat)) {
        struct uuid id = {{0}};
        memcpy(&id, row->key, row->key_size < UUID_BYTES ? row->key_size : UUID_BYTES);
        report(verifying, &id, 0, 0, row->bytes, WRONG_CRC);
        return 0;
    }
    if (database_is_unfinished(&verifying->totals.meta, chat.number)) {
        verifying->figures->chats--;
        return 0;
    }
    known = known_of(verifying, chat.number);
    if (known == NULL || known->has_id) {
        report(verifying, &chat.id, chat.number, 0, row->bytes,
               known == NULL ? "the chat's number was not given out"
                             : "another chat has the same number");
        return 0;
    }
    known->id = chat.id;
    known->has_id = true;
    check_head(verifying, &chat);
    return check_members(verifying, &chat);
}

static void check_numbers(struct verifying *verifying)
{
    verifying->table = TABLE_CHATS;
    for (uint64_t number = 1; number <= verifying->totals.meta.chat_number_last; number++)
        if (!verifying->chats[number - 1].has_id)
            report(verifying, NULL, number, 0, NULL, "no chat has this number");
}

/* A row of heads, members or recent: is there such a chat? Their CRCs are checked elsewhere. */
static int check_numbered(struct verifying *verifying, const struct database_row *row)
{
    uint64_t number;
    const struct known *known;

    if (row->key_size != DATABASE_NUMBER_KEY_BYTES) {
        report(verifying, NULL, 0, 0, row->bytes, "a key has the wrong size");
        return 0;
    }
    number = database_load_u64(row->key);
    known = known_of(verifying, number);
    if (database_is_unfinished(&verifying->totals.meta, number))
        return 0;
    if (known == NULL)
        report(verifying, NULL, number, 0, row->bytes, "the chat's number was not given out");
    else if (!known->has_id && !database_row_check(row))
        report(verifying, NULL, number, 0, row->bytes, WRONG_CRC);
    return 0;
}

/* The row leads to a chat; does that one lead back? */
static int check_users(struct verifying *verifying, const struct database_row *row)
{
    uint8_t number_key[DATABASE_NUMBER_KEY_BYTES];
    uint8_t key[DATABASE_USERS_KEY_BYTES_MAX];
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES];
    struct database_chat chat;
    struct database_row found;
    struct uuid id;

    if (!database_decode_users(row, &id)) {
        report(verifying, NULL, 0, 0, row->bytes, WRONG_CRC);
        return 0;
    }
    if (database_get(verifying->snapshot->txn, verifying->database, TABLE_CHATS, id.bytes,
                     UUID_BYTES, &found) != 0) {
        report(verifying, &id, 0, 0, row->bytes, "the users lead to a chat that is not there");
        return 0;
    }
    if (!database_decode_chat(&found, &chat))
        return 0; /* Reported with the chats, as what is missing or damaged below. */
    database_number_key(number_key, chat.number);
    if (database_get(verifying->snapshot->txn, verifying->database, TABLE_MEMBERS, number_key,
                     sizeof number_key, &found) != 0 ||
        !database_row_check(&found))
        return 0;
    if (digest_users(&verifying->digester, found.bytes, found.size - DATABASE_CRC_BYTES, digest) !=
        0)
        return STORE_NO_MEMORY;
    if (database_users_key(key, chat.namespace_name, digest) != row->key_size ||
        memcmp(key, row->key, row->key_size) != 0)
        report(verifying, &id, chat.number, 0, row->bytes, "the chat has other users");
    return 0;
}

/* --- logs --- */

static void end_log(struct verifying *verifying)
{
    struct known *known = known_of(verifying, verifying->log_number);

    verifying->table = TABLE_LOGS;
    if (known == NULL)
        return;
    known->has_log = true;
    if (known->has_id && !known->head_damaged && known->head_seq != verifying->log_seq)
        report(verifying, NULL, verifying->log_number, verifying->log_seq, NULL,
               known->head_seq > verifying->log_seq ? "the log ends here, before the head"
                                                    : "there are messages beyond the head");
}

/* Returns why the message is not what it should be, or NULL; then its client id is in `digest`. */
static const char *check_content(struct verifying *verifying, const struct known *known,
                                 uint64_t seq, const uint8_t *bytes, uint32_t size,
                                 uint8_t digest[DATABASE_DIGEST_BYTES], int *rc)
{
    struct command_message message;
    struct uuid chat_id;

    if (!command_message_read(bytes, size, &message))
        return "it is no message";
    if (message.seq != seq)
        return "the message has another seq";
    if (!uuid_parse(message.chat_id.data, message.chat_id.size, &chat_id) ||
        (known != NULL && known->has_id && memcmp(&chat_id, &known->id, sizeof chat_id) != 0))
        return "the message is another chat's";
    if (message.user_id.size > UINT8_MAX)
        return "the message's user id is too long";
    *rc = digest_client(&verifying->digester, message.user_id.data, message.user_id.size,
                        message.client_id.data, message.client_id.size, digest);
    return NULL;
}

/* The message's client id must lead to its seq. */
static const char *check_client(struct verifying *verifying, uint64_t number, uint64_t seq,
                                const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    uint64_t found;
    int rc = database_find_client(verifying->snapshot, number, digest, &found);

    verifying->table = TABLE_CLIENTS;
    if (rc == 0)
        return found == seq ? NULL : "the message's client id leads to another message";
    return rc == STORE_NOT_FOUND ? "the message's client id is missing"
                                 : "the message's client id cannot be looked up";
}

static int check_message(struct verifying *verifying, const struct database_chunk *chunk,
                         size_t index)
{
    uint64_t seq = chunk->first_seq + index;
    const struct known *known = known_of(verifying, chunk->chat_number);
    const uint8_t *place = chunk->bytes + chunk->offsets[index];
    uint8_t digest[DATABASE_DIGEST_BYTES];
    const uint8_t *bytes;
    uint32_t size;
    const char *what;
    int rc = 0;

    verifying->table = TABLE_LOGS;
    verifying->figures->messages++;
    if (!database_decode_message(chunk, index, &bytes, &size)) {
        report(verifying, NULL, chunk->chat_number, seq, place, "the CRC is wrong");
        return 0;
    }
    verifying->figures->message_bytes += size;
    what = check_content(verifying, known, seq, bytes, size, digest, &rc);
    /* A damaged bucket was reported, and would be again for each message of the chat. */
    if (what == NULL && rc == 0 && (known == NULL || !known->clients_damaged))
        what = check_client(verifying, chunk->chat_number, seq, digest);
    if (what != NULL)
        report(verifying, NULL, chunk->chat_number, seq, place, what);
    return rc;
}

static int check_chunk(struct verifying *verifying, const struct database_row *row)
{
    struct database_chunk chunk;
    int rc = 0;

    if (!database_open_chunk(row, &chunk)) {
        report(verifying, NULL, 0, 0, row->bytes, "a key has the wrong size");
        return 0;
    }
    if (chunk.chat_number != verifying->log_number) {
        end_log(verifying);
        verifying->log_number = chunk.chat_number;
        verifying->log_seq = 0;
        if (known_of(verifying, chunk.chat_number) == NULL)
            report(verifying, NULL, chunk.chat_number, chunk.first_seq, row->bytes,
                   "the chat's number was not given out");
    }
    if (chunk.first_seq != verifying->log_seq + 1)
        report(verifying, NULL, chunk.chat_number, verifying->log_seq + 1, row->bytes,
               chunk.first_seq > verifying->log_seq + 1 ? "messages are missing from this seq on"
                                                        : "there are two messages of a seq");
    for (size_t i = 0; i < chunk.count && rc == 0; i++)
        rc = check_message(verifying, &chunk, i);
    verifying->table = TABLE_LOGS;
    verifying->log_seq = chunk.first_seq + chunk.count - 1;
    if (chunk.damaged)
        report(verifying, NULL, chunk.chat_number, verifying->log_seq + 1,
               row->bytes + (chunk.count > 0 ? chunk.offsets[chunk.count - 1] : 0),
               "the size of a message is wrong");
    return rc;
}

static void check_missing_logs(struct verifying *verifying)
{
    verifying->table = TABLE_LOGS;
    for (uint64_t number = 1; number <= verifying->totals.meta.chat_number_last; number++) {
        const struct known *known = &verifying->chats[number - 1];
        if (known->has_id && !known->has_log && known->head_seq > 0)
            report(verifying, NULL, number, 1, NULL, "the log is missing");
    }
}

static int check_logs(struct verifying *verifying)
{
    uint64_t problems = verifying->figures->problems;
    int rc = each_row(verifying, TABLE_LOGS, check_chunk);

    if (rc != 0)
        return rc;
    end_log(verifying);
    check_missing_logs(verifying);
    verifying->table = TABLE_META;
    if (verifying->figures->problems == problems &&
        verifying->figures->messages != verifying->totals.messages)
        report(verifying, NULL, 0, 0, NULL, "the number of messages is not that of the logs");
    return 0;
}

/* --- clients --- */

/* A bucket's clients are in order, behind those before them, and of messages that there are. */
static void check_bucket(struct verifying *verifying, const struct database_row *row,
                         uint64_t number)
{
    struct known *known = known_of(verifying, number);
    size_t count;

    if (!database_open_bucket(row, &count)) {
        report(verifying, NULL, number, 0, row->bytes, WRONG_CRC);
        if (known != NULL)
            known->clients_damaged = true;
        return;
    }
    if (known == NULL) {
        report(verifying, NULL, number, 0, row->bytes, "the chat's number was not given out");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct database_client client;
        const char *what = NULL;
        database_decode_client(row, i, &client);
        if (memcmp(client.digest, verifying->last_digest, DATABASE_DIGEST_BYTES) <= 0)
            what = "a client id is out of order";
        else if (client.seq == 0 || (client.seq > known->head_seq && !known->head_damaged))
            what = "a client id leads to a message that is not there";
        if (what != NULL && known->has_id)
            report(verifying, NULL, number, client.seq, row->bytes + i * DATABASE_CLIENT_BYTES,
                   what);
        memcpy(verifying->last_digest, client.digest, DATABASE_DIGEST_BYTES);
    }
    known->client_ids += count;
    verifying->figures->client_ids += count;
}

static int check_clients(struct verifying *verifying, const struct database_row *row)
{
    const uint8_t *low = row->key + DATABASE_NUMBER_KEY_BYTES;
    uint64_t number;

    if (row->key_size != DATABASE_CLIENT_KEY_BYTES) {
        report(verifying, NULL, 0, 0, row->bytes, "a key has the wrong size");
        return 0;
    }
    number = database_load_u64(row->key);
    if (number != verifying->last_number)
        memset(verifying->last_digest, 0, DATABASE_DIGEST_BYTES);
    else if (memcmp(low, verifying->last_digest, DATABASE_DIGEST_BYTES) <= 0)
        report(verifying, NULL, number, 0, row->bytes,
               "client ids of the bucket before are beyond where this one begins");
    verifying->last_number = number;
    /* The first one is the key's own, but for the chat's first bucket. */
    if (row->size >= DATABASE_CLIENT_BYTES && memcmp(row->bytes, low, DATABASE_DIGEST_BYTES) < 0)
        report(verifying, NULL, number, 0, row->bytes, "a client id is less than the bucket's key");
    check_bucket(verifying, row, number);
    return 0;
}

static int check_recent(struct verifying *verifying, const struct database_row *row)
{
    if (row->key_size == DATABASE_NUMBER_KEY_BYTES) {
        memset(verifying->last_digest, 0, DATABASE_DIGEST_BYTES);
        check_bucket(verifying, row, database_load_u64(row->key));
    } else {
        report(verifying, NULL, 0, 0, row->bytes, "a key has the wrong size");
    }
    return 0;
}

static void check_client_counts(struct verifying *verifying)
{
    verifying->table = TABLE_CLIENTS;
    for (uint64_t number = 1; number <= verifying->totals.meta.chat_number_last; number++) {
        const struct known *known = &verifying->chats[number - 1];
        if (known->has_id && !known->clients_damaged && !known->head_damaged &&
            known->client_ids != known->head_seq)
            report(verifying, NULL, number, 0, NULL,
                   known->client_ids > known->head_seq
                       ? "there are more client ids than messages"
                       : "there are fewer client ids than messages");
    }
}

/* --- all of it --- */

static int verify_tables(struct verifying *verifying)
{
    int rc = each_row(verifying, TABLE_CHATS, check_chat);

    if (rc == 0) {
        check_numbers(verifying);
        rc = each_row(verifying, TABLE_HEADS, check_numbered);
    }
    if (rc == 0)
        rc = each_row(verifying, TABLE_MEMBERS, check_numbered);
    if (rc == 0)
        rc = each_row(verifying, TABLE_USERS, check_users);
    if (rc == 0)
        rc = each_row(verifying, TABLE_RECENT, check_recent);
    if (rc == 0)
        rc = each_row(verifying, TABLE_CLIENTS, check_clients);
    if (rc == 0)
        check_client_counts(verifying);
    return rc == 0 ? check_logs(verifying) : rc;
}

static int read_meta(struct verifying *verifying)
{
    struct database_row row;
    uint32_t format;
    int rc = database_get(verifying->snapshot->txn, verifying->database, TABLE_META,
                          DATABASE_META_KEY, DATABASE_META_KEY_BYTES, &row);

    verifying->table = TABLE_META;
    if (rc == 0)
        rc = database_decode_meta(&row, &verifying->totals, &format);
    return rc == 0 ? 0 : fail(verifying, rc);
}

int database_verify(struct database_snapshot *snapshot, database_problem_fn reporter, void *data,
                    struct database_verified *figures, struct store_failure *failure)
{
    struct verifying verifying = {.snapshot = snapshot,
                                  .database = snapshot->database,
                                  .report = reporter,
                                  .data = data,
                                  .figures = figures,
                                  .failure = failure};
    MDB_stat stat;
    int rc;

    *figures = (struct database_verified){0};
    rc = read_meta(&verifying);
    if (rc != 0)
        return rc;
    mdb_env_stat(snapshot->database->env, &stat);
    verifying.page_bytes = stat.ms_psize;
    if (digester_init(&verifying.digester) != 0)
        return store_fail(failure, STORE_NO_MEMORY, "out of memory");
    verifying.chats =
        calloc((size_t)verifying.totals.meta.chat_number_last + 1, sizeof *verifying.chats);
    rc = verifying.chats == NULL ? store_fail(failure, STORE_NO_MEMORY, "out of memory")
                                 : verify_tables(&verifying);
    free(verifying.chats);
    digester_free(&verifying.digester);
    return rc;
}
