/*
 * Many chats at once. Their rows are in the order of ids in one table and in that of numbers in the
 * others; read in those orders, by a cursor that goes on from where it is, each page is touched
 * once for all of its rows that are wanted, and its branch pages not at all.
 *
 *     ids, ascending ─▶ chats ─▶ numbers, sorted ─▶ heads, logs' ends, members
 */
#include "store/database_internal.h"

#include "store/radix.h"
#include <stdlib.h>
#include <string.h>

#define EXPECTED 16 /* how far ahead memory is asked for */

struct finding {
    struct database_snapshot *snapshot;
    struct database_lookup *lookups;
    struct database_texts *texts;
    uint64_t number_last;
    size_t namespace_offset; /* of the last one, which is mostly the next one's too */
    uint8_t namespace_size;
    MDB_cursor *chats;
    MDB_cursor *heads;
    MDB_cursor *members;
};

static int get(MDB_cursor *cursor, const void *key, size_t key_size, struct database_row *row)
{
    MDB_val sought = {key_size, (void *)(uintptr_t)key};
    MDB_val value;
    int rc = mdb_cursor_get(cursor, &sought, &value, MDB_SET_KEY);

    if (rc == 0)
        *row = database_row_of(&sought, &value);
    return database_status(rc);
}

static int keep(struct database_texts *texts, const void *bytes, size_t size, size_t *offset)
{
    if (texts->capacity - texts->size < size) {
        size_t wanted = (texts->size + size) * 2;
        uint8_t *grown = realloc(texts->bytes, wanted);
        if (grown == NULL)
            return STORE_NO_MEMORY;
        texts->bytes = grown;
        texts->capacity = wanted;
    }
    if (size > 0)
        memcpy(texts->bytes + texts->size, bytes, size);
    *offset = texts->size;
    texts->size += size;
    return 0;
}

static int keep_namespace(struct finding *finding, const struct database_chat *chat)
{
    const struct database_texts *texts = finding->texts;
    int rc;

    if (finding->namespace_size > 0 && chat->namespace_size == finding->namespace_size &&
        memcmp(texts->bytes + finding->namespace_offset, chat->namespace_name,
               chat->namespace_size) == 0)
        return 0;
    rc = keep(finding->texts, chat->namespace_name, chat->namespace_size,
              &finding->namespace_offset);
    if (rc == 0)
        finding->namespace_size = chat->namespace_size;
    return rc;
}

static int find_chat(struct finding *finding, struct database_lookup *lookup)
{
    struct database_chat chat;
    struct database_row row;
    int rc = get(finding->chats, lookup->id.bytes, UUID_BYTES, &row);

    if (rc == 0 && !database_decode_chat(&row, &chat))
        rc = STORE_CORRUPT;
    if (rc != 0)
        return rc;
    if (chat.number > finding->number_last)
        return STORE_NOT_FOUND;
    lookup->number = chat.number;
    rc = keep_namespace(finding, &chat);
    lookup->namespace_offset = finding->namespace_offset;
    lookup->namespace_size = finding->namespace_size;
    return rc;
}

/* A row that every chat has, by the chat's number. */
static int get_numbered(MDB_cursor *cursor, const struct database_lookup *lookup,
                        struct database_row *row)
{
    uint8_t key[DATABASE_NUMBER_KEY_BYTES];
    int rc;

    database_number_key(key, lookup->number);
    rc = get(cursor, key, sizeof key, row);
    return rc == STORE_NOT_FOUND ? STORE_CORRUPT : rc;
}

static int find_head(const struct finding *finding, struct database_lookup *lookup)
{
    struct database_row row;
    int rc = get_numbered(finding->heads, lookup, &row);

    if (rc == 0 && !database_decode_head(&row, &lookup->head_seq))
        rc = STORE_CORRUPT;
    return rc == 0 ? database_check_log_end(finding->snapshot, lookup->number, lookup->head_seq)
                   : rc;
}

static int find_users(const struct finding *finding, struct database_lookup *lookup)
{
    struct database_row row;
    int rc = get_numbered(finding->members, lookup, &row);

    if (rc == 0 && !database_row_check(&row))
        rc = STORE_CORRUPT;
    if (rc != 0)
        return rc;
    lookup->users_size = (uint32_t)(row.size - DATABASE_CRC_BYTES);
    return keep(finding->texts, row.bytes, lookup->users_size, &lookup->users_offset);
}

/* The look-ups lie in another order than that of numbers. */
static struct database_lookup *next_of(const struct finding *finding,
                                       const struct radix_item *order, size_t i, size_t count)
{
    if (i + EXPECTED < count)
        __builtin_prefetch(&finding->lookups[order[i + EXPECTED].index]);
    return &finding->lookups[order[i].index];
}

/* `order` has room for twice as many. */
static void find_all(struct finding *finding, struct radix_item *order, size_t count)
{
    struct database_lookup *lookups = finding->lookups;
    size_t found = 0;

    for (size_t i = 0; i < count; i++) {
        lookups[i].status = (int8_t)find_chat(finding, &lookups[i]);
        if (lookups[i].status == 0)
            order[found++] = (struct radix_item){lookups[i].number, i};
    }
    radix_sort(order, order + found, found);
    for (size_t i = 0; i < found; i++) {
        struct database_lookup *lookup = next_of(finding, order, i, found);
        lookup->status = (int8_t)find_head(finding, lookup);
    }
    for (size_t i = 0; i < found; i++) {
        struct database_lookup *lookup = next_of(finding, order, i, found);
        if (lookup->status == 0)
            lookup->status = (int8_t)find_users(finding, lookup);
    }
}

static int open_cursors(struct finding *finding)
{
    MDB_txn *txn = finding->snapshot->txn;
    const MDB_dbi *tables = finding->snapshot->database->tables;
    int rc = mdb_cursor_open(txn, tables[TABLE_CHATS], &finding->chats);

    if (rc == 0)
        rc = mdb_cursor_open(txn, tables[TABLE_HEADS], &finding->heads);
    if (rc == 0)
        rc = mdb_cursor_open(txn, tables[TABLE_MEMBERS], &finding->members);
    return database_status(rc);
}

static void close_cursor(MDB_cursor *cursor)
{
    if (cursor != NULL)
        mdb_cursor_close(cursor);
}

int database_find_chats(struct database_snapshot *snapshot, struct database_lookup *lookups,
                        size_t count, struct database_texts *texts)
{
    struct finding finding = {.snapshot = snapshot, .lookups = lookups, .texts = texts};
    struct radix_item *order = malloc((count + 1) * 2 * sizeof *order);
    struct database_meta meta = {0};
    int rc = order == NULL ? STORE_NO_MEMORY : database_snapshot_meta(snapshot, &meta);

    finding.number_last = meta.chat_number_last;
    if (rc == 0)
        rc = open_cursors(&finding);
    if (rc == 0)
        find_all(&finding, order, count);
    close_cursor(finding.members);
    close_cursor(finding.heads);
    close_cursor(finding.chats);
    free(order);
    return rc;
}
