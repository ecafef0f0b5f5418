/*
 * The disk in memory: what journal.h, database.h and directory.h promise, in the simplest way that
 * keeps the promises. It survives a crash of the store.
 *
 * The journal's segments hold so many bytes, are taken in turn, given back and made anew, so that
 * it fills up as the real one does. The database is one array of chats, each with an array of
 * messages. What the store hands in is checked as the real database does: chats in the order of
 * their numbers, messages without gaps.
 */
#include "tests/simulation/world.h"

#include "store/database.h"
#include "store/directory.h"
#include "store/journal.h"

#include <stdlib.h>
#include <string.h>

#define SEGMENTS_MAX 16
#define FREE_SEGMENTS_KEPT 2

struct disk_record {
    uint64_t lsn;
    uint8_t kind;
    uint32_t size;
    uint8_t *payload;
};

struct segment {
    bool used;
    size_t bytes;
    uint64_t last_lsn;
};

struct disk_message {
    uint8_t *bytes;
    uint32_t size;
    uint8_t digest[DATABASE_DIGEST_BYTES];
};

struct disk_chat {
    struct database_chat row; /* the head is message_count */
    uint8_t *users;
    size_t users_size;
    uint8_t users_digest[DATABASE_USERS_DIGEST_BYTES];
    bool has_id; /* and the others below: which of its rows there are */
    bool has_users;
    struct disk_message *messages; /* seq 1 first */
    size_t message_count;
    size_t capacity;
};

/* There is only the one of each. */
struct journal {
    size_t segment_bytes;
    unsigned segments_max;
    struct segment segments[SEGMENTS_MAX];
    unsigned segment_count;
    unsigned current; /* segment_count: none */
    struct disk_record *records;
    size_t record_count;
    size_t capacity;
    uint64_t last_lsn;
    bool torn;
    uint32_t tear;
};

struct database {
    struct database_meta meta;
    struct disk_chat *chats; /* number 1 first */
    size_t chat_count;
};

static struct journal journal;
static struct database database;
struct disk_options disk_options;

static void *copy(const void *bytes, size_t size)
{
    void *copied = keep_realloc(NULL, size + 1);

    memcpy(copied, bytes, size);
    return copied;
}

static void records_drop(size_t count)
{
    for (size_t i = 0; i < count; i++)
        keep_free(journal.records[i].payload);
    journal.record_count -= count;
    if (journal.record_count > 0)
        memmove(journal.records, journal.records + count,
                journal.record_count * sizeof *journal.records);
}

void disk_reset(void)
{
    records_drop(journal.record_count);
    keep_free(journal.records);
    journal = (struct journal){0};
    for (size_t i = 0; i < database.chat_count; i++) {
        struct disk_chat *chat = &database.chats[i];
        for (size_t j = 0; j < chat->message_count; j++)
            keep_free(chat->messages[j].bytes);
        keep_free(chat->messages);
        keep_free(chat->users);
    }
    keep_free(database.chats);
    database = (struct database){0};
    uuid_make(&database.meta.store_id);
    disk_options = (struct disk_options){.full = false};
}

void disk_tear(uint32_t records)
{
    journal.torn = true;
    journal.tear = records;
}

/* Something that could find the disk full does. */
static bool disk_full(void)
{
    return disk_options.full || world_chance(disk_options.full_percent);
}

/* --- the directory --- */

int directory_lock(const char *path, struct store_failure *failure)
{
    (void)path;
    (void)failure;
    return 1;
}

void directory_unlock(int descriptor)
{
    (void)descriptor;
}

int directory_check_database(const char *path, struct store_failure *failure)
{
    (void)path;
    (void)failure;
    return 0;
}

int directory_check_journal(const char *path, struct store_failure *failure)
{
    (void)path;
    (void)failure;
    return 0;
}

uint64_t directory_free_bytes(const char *path)
{
    (void)path;
    return disk_options.full ? 0 : UINT64_MAX;
}

/* --- the journal --- */

/* A record in a batch: its size and kind at the beginning of the header, then the payload. */
size_t journal_record_bytes(uint32_t size)
{
    return (JOURNAL_RECORD_HEADER_BYTES + (size_t)size + 7) / 8 * 8;
}

uint8_t *journal_batch_add(struct journal_batch *batch, uint8_t kind, uint32_t size)
{
    size_t total = journal_record_bytes(size);
    uint8_t *record;

    /* Moves each time, so that no pointer into it can be held over a call unseen. */
    batch->capacity = batch->size + total;
    record = malloc(batch->capacity);
    if (record == NULL)
        return NULL;
    if (batch->size > 0)
        memcpy(record, batch->bytes, batch->size);
    free(batch->bytes);
    batch->bytes = record;
    record += batch->size;
    memset(record, 0, total);
    memcpy(record, &size, sizeof size);
    record[sizeof size] = kind;
    batch->size += total;
    batch->count++;
    return record + JOURNAL_RECORD_HEADER_BYTES;
}

void journal_batch_reset(struct journal_batch *batch)
{
    batch->size = 0;
    batch->count = 0;
}

void journal_batch_free(struct journal_batch *batch)
{
    free(batch->bytes);
    *batch = (struct journal_batch){0};
}

size_t journal_batch_bytes_max(const struct journal *open)
{
    return open->segment_bytes;
}

static bool segment_free(unsigned i)
{
    return i != journal.current && !journal.segments[i].used;
}

static unsigned free_count(void)
{
    unsigned count = 0;

    for (unsigned i = 0; i < journal.segment_count; i++)
        count += segment_free(i);
    return count;
}

/* Takes the next free segment; false when there is none. */
static bool segment_next(void)
{
    for (unsigned i = 0; i < journal.segment_count; i++) {
        if (!segment_free(i))
            continue;
        journal.current = i;
        journal.segments[i] = (struct segment){.used = true, .last_lsn = journal.last_lsn};
        return true;
    }
    return false;
}

static void record_append(const uint8_t *bytes)
{
    struct disk_record *record;

    if (journal.record_count == journal.capacity) {
        journal.capacity = journal.capacity * 2 + 64;
        journal.records = keep_realloc(journal.records, journal.capacity * sizeof *journal.records);
    }
    record = &journal.records[journal.record_count++];
    memcpy(&record->size, bytes, sizeof record->size);
    record->kind = bytes[sizeof record->size];
    record->lsn = ++journal.last_lsn;
    record->payload = copy(bytes + JOURNAL_RECORD_HEADER_BYTES, record->size);
}

int journal_append(struct journal *open, struct journal_batch *batch, struct store_failure *failure)
{
    const uint8_t *bytes = batch->bytes;
    uint32_t count = open->torn ? open->tear : batch->count;

    if (batch->size > open->segment_bytes)
        return store_fail(failure, STORE_IO, "a batch of %zu bytes", batch->size);
    if (!open->torn && world_chance(disk_options.full_percent))
        return store_fail(failure, STORE_FULL, "no free segment");
    if ((open->current == open->segment_count ||
         open->segments[open->current].bytes + batch->size > open->segment_bytes) &&
        !segment_next())
        return store_fail(failure, STORE_FULL, "no free segment");
    for (uint32_t i = 0; i < count; i++) {
        uint32_t size;
        memcpy(&size, bytes, sizeof size);
        record_append(bytes);
        bytes += journal_record_bytes(size);
    }
    open->segments[open->current].bytes += (size_t)(bytes - batch->bytes);
    open->segments[open->current].last_lsn = open->last_lsn;
    return 0;
}

uint64_t journal_room_bytes(struct journal *open, size_t batch_bytes_max)
{
    uint64_t waste_max = batch_bytes_max > 8 ? batch_bytes_max - 8 : 0;
    uint64_t room = 0;
    uint64_t waste = 0;

    if (open->current != open->segment_count) {
        room = open->segment_bytes - open->segments[open->current].bytes;
        waste = room < waste_max ? room : waste_max;
    }
    for (unsigned i = free_count(); i > 0; i--) {
        room += open->segment_bytes - waste;
        waste = waste_max;
    }
    return room;
}

uint64_t journal_disk_bytes(struct journal *open)
{
    return (uint64_t)open->segment_count * open->segment_bytes;
}

void journal_release(struct journal *open, uint64_t settled_lsn)
{
    size_t count = 0;

    while (count < open->record_count && open->records[count].lsn <= settled_lsn)
        count++;
    records_drop(count);
    for (unsigned i = 0; i < open->segment_count; i++) {
        if (i != open->current && open->segments[i].last_lsn <= settled_lsn)
            open->segments[i] = (struct segment){0};
    }
    while (free_count() > FREE_SEGMENTS_KEPT && segment_free(open->segment_count - 1))
        open->segment_count--;
}

int journal_prepare(struct journal *open, struct store_failure *failure)
{
    if (free_count() > 0 || open->segment_count == open->segments_max)
        return STORE_OK;
    if (disk_full())
        return store_fail(failure, STORE_FULL, "cannot make a segment");
    if (open->current == open->segment_count)
        open->current++;
    open->segments[open->segment_count++] = (struct segment){0};
    return STORE_OK;
}

int journal_open(struct journal **out, const struct journal_options *options,
                 const uint8_t store_id[16], uint64_t settled_lsn, journal_replay_fn replay,
                 void *data, struct journal_recovery *recovery, struct store_failure *failure)
{
    (void)store_id;
    journal.segment_bytes = options->segment_bytes;
    journal.segments_max = options->segments_max;
    journal.torn = false;
    if (journal.last_lsn < settled_lsn)
        world_fail("the database has settled what the journal never had");
    if (journal.last_lsn < options->reached_lsn || options->reached_lsn < settled_lsn)
        world_fail("the database reaches to record %llu, the journal ends with %llu",
                   (unsigned long long)options->reached_lsn, (unsigned long long)journal.last_lsn);
    if (journal.last_lsn > settled_lsn &&
        (journal.record_count == 0 || journal.records[0].lsn > settled_lsn + 1))
        world_fail("the journal lacks record %llu, which is not settled",
                   (unsigned long long)settled_lsn + 1);
    *recovery = (struct journal_recovery){.last_lsn = journal.last_lsn};
    for (size_t i = 0; i < journal.record_count; i++) {
        const struct disk_record *record = &journal.records[i];
        struct journal_record shown = {record->lsn, record->kind, record->size, record->payload};
        int status;
        if (record->lsn <= settled_lsn)
            continue;
        status = replay(data, &shown);
        if (status != 0)
            return store_fail(failure, status, "record %llu cannot be replayed",
                              (unsigned long long)record->lsn);
        recovery->records++;
        recovery->bytes += journal_record_bytes(record->size);
    }
    if (options->replayed != NULL && options->replayed(data) != 0)
        return store_fail(failure, STORE_CORRUPT, "the records cannot be replayed");
    *out = &journal;
    journal_release(&journal, settled_lsn);
    (void)journal_prepare(&journal, failure);
    return 0;
}

void journal_close(struct journal *open)
{
    (void)open;
}

/* --- the database --- */

int database_open_with(struct database **out, const struct database_options *options,
                       struct store_failure *failure)
{
    (void)options;
    (void)failure;
    *out = &database;
    return 0;
}

void database_close(struct database *open)
{
    (void)open;
}

void database_read_meta(const struct database *open, struct database_meta *meta)
{
    *meta = open->meta;
}

/* Whatever is read is read at once: a snapshot is the database as it is. */
int database_snapshot_begin(struct database *open, struct database_snapshot **snapshot)
{
    *snapshot = (struct database_snapshot *)open;
    return 0;
}

void database_snapshot_end(struct database_snapshot *snapshot)
{
    (void)snapshot;
}

int database_find_chat(struct database_snapshot *snapshot, const struct uuid *id,
                       struct database_chat *chat)
{
    (void)snapshot;
    for (size_t i = 0; i < database.chat_count; i++) {
        if (memcmp(&database.chats[i].row.id, id, sizeof *id) != 0 || !database.chats[i].has_id)
            continue;
        *chat = database.chats[i].row;
        chat->head_seq = database.chats[i].message_count;
        return 0;
    }
    return STORE_NOT_FOUND;
}

static struct disk_chat *chat_of(uint64_t number)
{
    return number >= 1 && number <= database.chat_count ? &database.chats[number - 1] : NULL;
}

int database_read_users(struct database_snapshot *snapshot, uint64_t chat_number, uint8_t **users,
                        size_t *size)
{
    const struct disk_chat *chat = chat_of(chat_number);

    (void)snapshot;
    if (chat == NULL)
        return STORE_NOT_FOUND;
    *users = malloc(chat->users_size);
    if (*users == NULL)
        return STORE_NO_MEMORY;
    memcpy(*users, chat->users, chat->users_size);
    *size = chat->users_size;
    return 0;
}

/* One behind the other, the namespace's name and the users. */
static int keep_texts(const struct disk_chat *chat, struct database_lookup *lookup,
                      struct database_texts *texts)
{
    size_t namespace_size = chat->row.namespace_size;
    size_t size = texts->size + namespace_size + chat->users_size;
    uint8_t *bytes = realloc(texts->bytes, size);

    if (bytes == NULL)
        return STORE_NO_MEMORY;
    lookup->namespace_size = (uint8_t)namespace_size;
    lookup->namespace_offset = texts->size;
    lookup->users_size = (uint32_t)chat->users_size;
    lookup->users_offset = texts->size + namespace_size;
    memcpy(bytes + lookup->namespace_offset, chat->row.namespace_name, namespace_size);
    memcpy(bytes + lookup->users_offset, chat->users, chat->users_size);
    texts->bytes = bytes;
    texts->size = size;
    texts->capacity = size;
    return 0;
}

int database_find_chats(struct database_snapshot *snapshot, struct database_lookup *lookups,
                        size_t count, struct database_texts *texts)
{
    for (size_t i = 0; i < count; i++) {
        struct database_lookup *lookup = &lookups[i];
        struct database_chat chat;
        int status = database_find_chat(snapshot, &lookup->id, &chat);
        if (i > 0 && memcmp(&lookups[i - 1].id, &lookup->id, UUID_BYTES) >= 0)
            world_fail("chats are looked for out of order");
        if (status == 0 && chat.number > database.meta.chat_number_last)
            status = STORE_NOT_FOUND;
        if (status == 0) {
            lookup->number = chat.number;
            lookup->head_seq = chat.head_seq;
            status = keep_texts(chat_of(chat.number), lookup, texts);
        }
        lookup->status = (int8_t)status;
    }
    return 0;
}

int database_find_users(struct database_snapshot *snapshot, const char *namespace_name,
                        const uint8_t digest[DATABASE_USERS_DIGEST_BYTES], struct uuid *chat_id)
{
    (void)snapshot;
    for (size_t i = 0; i < database.chat_count; i++) {
        const struct disk_chat *chat = &database.chats[i];
        if (!chat->has_users || strcmp(chat->row.namespace_name, namespace_name) != 0 ||
            memcmp(chat->users_digest, digest, DATABASE_USERS_DIGEST_BYTES) != 0)
            continue;
        *chat_id = chat->row.id;
        return 0;
    }
    return STORE_NOT_FOUND;
}

int database_find_client(struct database_snapshot *snapshot, uint64_t chat_number,
                         const uint8_t digest[DATABASE_DIGEST_BYTES], uint64_t *seq)
{
    const struct disk_chat *chat = chat_of(chat_number);

    (void)snapshot;
    for (size_t i = 0; chat != NULL && i < chat->message_count; i++) {
        if (memcmp(chat->messages[i].digest, digest, DATABASE_DIGEST_BYTES) != 0)
            continue;
        *seq = i + 1;
        return 0;
    }
    return STORE_NOT_FOUND;
}

int database_each_client(struct database_snapshot *snapshot, uint64_t chat_number, uint64_t max,
                         void (*tell)(void *data, const uint8_t digest[DATABASE_DIGEST_BYTES]),
                         void *data)
{
    const struct disk_chat *chat = chat_of(chat_number);

    /* Half of the time it ends early: then the store has to ask again, or to go without. */
    size_t limit =
        chat != NULL && world_chance(50) ? world_random(chat->message_count + 1) : SIZE_MAX;

    (void)snapshot;
    if (chat == NULL || chat->message_count > max)
        return STORE_NOT_FOUND;
    for (size_t i = 0; i < chat->message_count && i < limit; i++)
        tell(data, chat->messages[i].digest);
    return limit == SIZE_MAX ? 0 : STORE_NO_MEMORY;
}

int database_read_log(struct database_snapshot *snapshot, const struct uuid *chat_id,
                      uint64_t chat_number, uint64_t from_seq, uint64_t before_seq, size_t limit,
                      size_t budget_bytes, bool backwards, struct message_page *page)
{
    const struct disk_chat *chat = chat_of(chat_number);

    (void)snapshot;
    if (chat == NULL || memcmp(&chat->row.id, chat_id, sizeof *chat_id) != 0)
        return STORE_CORRUPT;
    if (before_seq > chat->message_count + 1)
        before_seq = chat->message_count + 1;
    while (from_seq < before_seq && page->count < limit) {
        uint64_t seq = backwards ? --before_seq : from_seq++;
        const struct disk_message *message = &chat->messages[seq - 1];
        if (!message_page_fits(page, message->size, budget_bytes))
            break;
        if (!message_page_add(page, seq, message->bytes, message->size, backwards))
            return STORE_NO_MEMORY;
    }
    return 0;
}

int database_read_settled(struct database_snapshot *snapshot, const struct uuid *chat_id,
                          uint64_t chat_number, uint64_t from_seq, uint64_t before_seq,
                          size_t limit, size_t budget_bytes, bool backwards,
                          struct message_page *page)
{
    const struct disk_chat *chat = chat_of(chat_number);

    if (chat == NULL || before_seq > chat->message_count + 1)
        return STORE_CORRUPT; /* It is not settled. */
    return database_read_log(snapshot, chat_id, chat_number, from_seq, before_seq, limit,
                             budget_bytes, backwards, page);
}

/* --- settling --- */

int database_read_leaves(struct database *open, struct database_leaves *leaves)
{
    (void)open;
    *leaves = (struct database_leaves){0};
    return 0;
}

/* A row that a job which was cut short has left is written again, the same. */
static bool is_there(const struct database_new_chat *from)
{
    const struct disk_chat *chat = chat_of(from->number);

    return chat != NULL && from->number > database.meta.chat_number_last &&
           database.meta.reached_lsn > database.meta.settled_lsn &&
           memcmp(&chat->row.id, &from->id, sizeof from->id) == 0 &&
           chat->row.created_ns == from->created_ns;
}

static int settle_number(const struct database_new_chat *from)
{
    struct disk_chat *chat;

    if (is_there(from))
        return 0;
    if (from->number != database.chat_count + 1)
        return STORE_CORRUPT;
    database.chats =
        keep_realloc(database.chats, (database.chat_count + 1) * sizeof *database.chats);
    chat = &database.chats[database.chat_count++];
    *chat = (struct disk_chat){.users_size = from->users_size};
    chat->users = copy(from->users, from->users_size);
    memcpy(chat->users_digest, from->users_digest, sizeof chat->users_digest);
    chat->row.id = from->id;
    chat->row.number = from->number;
    chat->row.created_ns = from->created_ns;
    chat->row.namespace_size = (uint8_t)strlen(from->namespace_name);
    strcpy(chat->row.namespace_name, from->namespace_name);
    return 0;
}

/* As the real one: each kind of rows needs those before it. */
static int settle_chat(const struct database_new_chat *from, enum database_chat_rows rows)
{
    struct disk_chat *chat;
    int status = 0;

    if (rows == DATABASE_CHATS_WHOLE || rows == DATABASE_CHATS_NUMBERED)
        status = settle_number(from);
    chat = chat_of(from->number);
    if (status != 0 || chat == NULL || memcmp(&chat->row.id, &from->id, sizeof from->id) != 0)
        return STORE_CORRUPT;
    if (rows == DATABASE_CHATS_WHOLE || rows == DATABASE_CHATS_IDS)
        chat->has_id = true;
    if (rows == DATABASE_CHATS_USERS && !chat->has_id)
        return STORE_CORRUPT;
    if (rows == DATABASE_CHATS_WHOLE || rows == DATABASE_CHATS_USERS)
        chat->has_users = true;
    return 0;
}

/* Those that are there now must have all of their rows. */
static int complete_chats(const struct database_batch *batch)
{
    size_t count =
        batch->chat_rows == DATABASE_CHATS_WHOLE ? batch->chat_count : batch->chats_complete;

    database.meta.chat_number_last += count;
    if (count > 0 && database.meta.chat_number_last != database.chat_count)
        return STORE_CORRUPT;
    for (size_t i = 0; i < database.meta.chat_number_last; i++)
        if (!database.chats[i].has_id || !database.chats[i].has_users)
            return STORE_CORRUPT;
    return 0;
}

static int settle_message(const struct database_message *from)
{
    struct disk_chat *chat = chat_of(from->chat_number);
    struct disk_message *message;

    if (chat == NULL || from->chat_number > database.meta.chat_number_last ||
        from->seq != chat->message_count + 1)
        return STORE_CORRUPT;
    if (chat->message_count == chat->capacity) {
        chat->capacity = chat->capacity * 2 + 16;
        chat->messages = keep_realloc(chat->messages, chat->capacity * sizeof *chat->messages);
    }
    message = &chat->messages[chat->message_count++];
    message->size = from->size;
    message->bytes = copy(from->bytes, from->size);
    memcpy(message->digest, from->client_digest, sizeof message->digest);
    return 0;
}

int database_settle(struct database *open, const struct database_batch *batch,
                    struct store_failure *failure)
{
    uint64_t reached_lsn =
        batch->reached_lsn > batch->settled_lsn ? batch->reached_lsn : batch->settled_lsn;
    int status = 0;

    if (disk_full())
        return store_fail(failure, STORE_FULL, "the disk is full");
    if (batch->settled_lsn < open->meta.settled_lsn || reached_lsn < open->meta.reached_lsn ||
        reached_lsn > journal.last_lsn)
        status = STORE_CORRUPT;
    for (size_t i = 0; i < batch->chat_count && status == 0; i++)
        status = settle_chat(&batch->chats[i], batch->chat_rows);
    if (status == 0)
        status = complete_chats(batch);
    for (size_t i = 0; i < batch->message_count && status == 0; i++)
        status = settle_message(&batch->messages[i]);
    open->meta.settled_lsn = batch->settled_lsn;
    open->meta.reached_lsn = reached_lsn;
    if (status != 0)
        return store_fail(failure, status, "the batch does not follow what is stored");
    return 0;
}
