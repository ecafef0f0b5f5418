/*
 * The store is opened and closed as the service does it, so that its journal is applied and all is
 * settled; then chats go into the database directly, in transactions of whole chats:
 *
 *     lines ─▶ one chat, complete ─▶ checked against the database ─▶ pending ─▶ settle, at 16 MiB
 *
 * The journal knows nothing of it: the settled LSN stays, and numbering goes on behind it.
 *
 * What is pending cannot be looked up in the database. So before a chat is checked that has an id
 * or users that are pending, the pending ones are written.
 */
#include "store/import.h"

#include "store/digest.h"
#include "store/directory.h"
#include "store/import_line.h"
#include "store/journal_read.h"
#include "store/store.h"
#include "store/table.h"
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define PENDING_BYTES ((size_t)16 << 20)
#define PAGE_MESSAGES 1000
#define PAGE_BYTES ((size_t)4 << 20)

struct item {
    struct database_message message; /* its bytes are malloc'd */
    uint64_t line;
};

/* A chat that is being read, or pending. */
struct incoming {
    struct incoming *next;
    struct uuid id;
    uint64_t line;
    uint64_t head_seq; /* as its line says */
    uint64_t created_ns;
    char namespace_name[DATABASE_NAMESPACE_BYTES_MAX + 1];
    uint8_t *users;
    size_t users_size;
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES];
    struct item *items; /* by seq, without gaps */
    size_t count;
    size_t capacity;
    size_t bytes;
    uint64_t number;
    size_t skip; /* so many of the items are there already */
    bool is_new;
};

struct importing {
    struct database *database;
    struct import_figures *figures;
    struct store_failure *failure;
    struct digester digester;
    struct incoming *chat; /* being read */
    struct incoming *pending_first;
    struct incoming *pending_last;
    struct table pending_ids;
    struct table pending_users;
    size_t pending_bytes;
    uint64_t chat_number_last; /* with the pending ones */
    uint64_t chats;            /* read since the first line */
    uint64_t messages;
    bool begun;
    bool ended;
};

__attribute__((format(printf, 4, 5))) static int
fail_line(const struct importing *importing, int status, uint64_t line, const char *format, ...)
{
    char what[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return store_fail(importing->failure, status, "line %" PRIu64 ": %s", line, what);
}

static int out_of_memory(const struct importing *importing)
{
    return store_fail(importing->failure, STORE_NO_MEMORY, "out of memory");
}

static void free_incoming(struct incoming *chat)
{
    if (chat == NULL)
        return;
    for (size_t i = 0; i < chat->count; i++)
        free((void *)(uintptr_t)chat->items[i].message.bytes);
    free(chat->items);
    free(chat->users);
    free(chat);
}

/* --- pending chats --- */

static uint64_t hash_of(const void *random)
{
    uint64_t hash;

    memcpy(&hash, random, sizeof hash);
    return hash * 0x9e3779b97f4a7c15u;
}

static bool match_id(const void *item, const void *key)
{
    return memcmp(&((const struct incoming *)item)->id, key, UUID_BYTES) == 0;
}

static bool match_users(const void *item, const void *key)
{
    const struct incoming *left = item;
    const struct incoming *right = key;

    return strcmp(left->namespace_name, right->namespace_name) == 0 &&
           memcmp(left->digest, right->digest, sizeof left->digest) == 0;
}

static bool is_pending(const struct importing *importing, const struct incoming *chat)
{
    return table_find(&importing->pending_ids, hash_of(&chat->id), match_id, &chat->id) != NULL ||
           table_find(&importing->pending_users, hash_of(chat->digest), match_users, chat) != NULL;
}

static void drop_pending(struct importing *importing)
{
    while (importing->pending_first != NULL) {
        struct incoming *chat = importing->pending_first;
        importing->pending_first = chat->next;
        free_incoming(chat);
    }
    importing->pending_last = NULL;
    importing->pending_bytes = 0;
    table_free(&importing->pending_ids);
    table_free(&importing->pending_users);
    importing->pending_ids = (struct table){0};
    importing->pending_users = (struct table){0};
}

static int add_pending(struct importing *importing, struct incoming *chat)
{
    if (table_add(&importing->pending_ids, hash_of(&chat->id), chat) != 0 ||
        table_add(&importing->pending_users, hash_of(chat->digest), chat) != 0)
        return out_of_memory(importing);
    if (importing->pending_last != NULL)
        importing->pending_last->next = chat;
    else
        importing->pending_first = chat;
    importing->pending_last = chat;
    importing->pending_bytes += chat->bytes + sizeof *chat;
    importing->chat = NULL;
    return 0;
}

static void fill_chat(const struct incoming *chat, struct database_new_chat *to)
{
    *to = (struct database_new_chat){.id = chat->id,
                                     .number = chat->number,
                                     .created_ns = chat->created_ns,
                                     .namespace_name = chat->namespace_name,
                                     .users = chat->users,
                                     .users_size = chat->users_size};
    memcpy(to->users_digest, chat->digest, sizeof to->users_digest);
}

/* Fills the arrays if there are any, and counts. */
static void collect(const struct importing *importing, struct database_new_chat *chats,
                    struct database_message *messages, struct database_batch *batch)
{
    batch->chat_count = 0;
    batch->message_count = 0;
    for (const struct incoming *chat = importing->pending_first; chat != NULL; chat = chat->next) {
        if (chats != NULL && chat->is_new)
            fill_chat(chat, &chats[batch->chat_count]);
        batch->chat_count += chat->is_new;
        for (size_t i = chat->skip; i < chat->count; i++) {
            if (messages != NULL) {
                messages[batch->message_count] = chat->items[i].message;
                messages[batch->message_count].chat_number = chat->number;
            }
            batch->message_count++;
        }
    }
}

static void count_written(struct importing *importing, const struct database_batch *batch)
{
    importing->figures->chats += batch->chat_count;
    importing->figures->messages += batch->message_count;
    for (const struct incoming *chat = importing->pending_first; chat != NULL; chat = chat->next) {
        importing->figures->present_chats += !chat->is_new;
        importing->figures->present_messages += chat->skip;
    }
}

static int settle(struct importing *importing, struct database_batch *batch)
{
    struct database_new_chat *chats = calloc(batch->chat_count + 1, sizeof *chats);
    struct database_message *messages = calloc(batch->message_count + 1, sizeof *messages);
    int rc;

    if (chats == NULL || messages == NULL) {
        rc = out_of_memory(importing);
    } else {
        collect(importing, chats, messages, batch);
        batch->chats = chats;
        batch->messages = messages;
        rc = database_settle(importing->database, batch, importing->failure);
    }
    free(chats);
    free(messages);
    return rc;
}

static int flush(struct importing *importing)
{
    struct database_batch batch = {0};
    struct database_meta meta;
    int rc = 0;

    database_read_meta(importing->database, &meta);
    batch.settled_lsn = meta.settled_lsn;
    collect(importing, NULL, NULL, &batch);
    if (batch.chat_count > 0 || batch.message_count > 0)
        rc = settle(importing, &batch);
    if (rc == 0)
        count_written(importing, &batch);
    drop_pending(importing);
    return rc;
}

/* --- a complete chat, against what is stored --- */

static int fail_read(const struct importing *importing, const struct incoming *chat, int rc)
{
    return fail_line(importing, rc, chat->line, "the chat cannot be compared with the store: %s",
                     store_status_text(rc));
}

static int check_users(const struct importing *importing, struct database_snapshot *snapshot,
                       const struct incoming *chat)
{
    struct uuid id;
    char text[UUID_TEXT_BYTES];
    int rc = database_find_users(snapshot, chat->namespace_name, chat->digest, &id);

    if (rc == STORE_NOT_FOUND)
        return 0;
    if (rc != 0)
        return fail_read(importing, chat, rc);
    uuid_format(&id, text);
    return fail_line(importing, STORE_CORRUPT, chat->line,
                     "these users have another chat in this namespace, %.*s", UUID_TEXT_BYTES,
                     text);
}

static int compare_users(const struct importing *importing, struct database_snapshot *snapshot,
                         const struct incoming *chat, const struct database_chat *stored)
{
    uint8_t *users;
    size_t size;
    bool same;
    int rc = database_read_users(snapshot, stored->number, &users, &size);

    if (rc != 0)
        return fail_read(importing, chat, rc);
    same = size == chat->users_size && memcmp(users, chat->users, size) == 0;
    free(users);
    if (same && strcmp(stored->namespace_name, chat->namespace_name) == 0 &&
        stored->created_ns == chat->created_ns)
        return 0;
    return fail_line(importing, STORE_CORRUPT, chat->line,
                     "the store has this chat with another namespace, time or users");
}

/* Compares a page of stored messages with the items from `index` on, of which there are enough. */
static int compare_page(const struct importing *importing, const struct message_page *page,
                        const struct item *items)
{
    struct message_view message = {0};

    for (const struct item *item = items; message_page_next(page, &message); item++)
        if (message.size != item->message.size ||
            memcmp(message.bytes, item->message.bytes, message.size) != 0)
            return fail_line(importing, STORE_CORRUPT, item->line,
                             "the store has another message as seq %" PRIu64 " of this chat",
                             message.seq);
    return 0;
}

static int compare_messages(const struct importing *importing, struct database_snapshot *snapshot,
                            const struct incoming *chat)
{
    struct message_page page = {0};
    size_t done = 0;
    int rc = 0;

    while (rc == 0 && done < chat->skip) {
        message_page_clear(&page);
        rc = database_read_log(snapshot, &chat->id, chat->number, chat->items[done].message.seq,
                               chat->items[chat->skip - 1].message.seq + 1, PAGE_MESSAGES,
                               PAGE_BYTES, false, &page);
        rc = rc != 0 ? fail_read(importing, chat, rc)
                     : compare_page(importing, &page, chat->items + done);
        done += page.count;
    }
    message_page_free(&page);
    return rc;
}

static int check_new_clients(const struct importing *importing, struct database_snapshot *snapshot,
                             const struct incoming *chat)
{
    for (size_t i = chat->skip; i < chat->count; i++) {
        uint64_t seq;
        int rc = database_find_client(snapshot, chat->number, chat->items[i].message.client_digest,
                                      &seq);
        if (rc == 0)
            return fail_line(importing, STORE_CORRUPT, chat->items[i].line,
                             "the store has this client_id of this user as seq %" PRIu64, seq);
        if (rc != STORE_NOT_FOUND)
            return fail_read(importing, chat, rc);
    }
    return 0;
}

static int check_present(const struct importing *importing, struct database_snapshot *snapshot,
                         struct incoming *chat, const struct database_chat *stored)
{
    uint64_t first_seq = chat->count > 0 ? chat->items[0].message.seq : stored->head_seq + 1;
    int rc = compare_users(importing, snapshot, chat, stored);

    if (rc != 0)
        return rc;
    if (first_seq > stored->head_seq + 1)
        return fail_line(importing, STORE_CORRUPT, chat->items[0].line,
                         "messages are missing: the store has this chat up to seq %" PRIu64,
                         stored->head_seq);
    chat->number = stored->number;
    chat->skip = stored->head_seq + 1 - first_seq;
    if (chat->skip > chat->count)
        chat->skip = chat->count;
    rc = compare_messages(importing, snapshot, chat);
    return rc == 0 ? check_new_clients(importing, snapshot, chat) : rc;
}

static int check_absent(struct importing *importing, struct database_snapshot *snapshot,
                        struct incoming *chat)
{
    int rc = check_users(importing, snapshot, chat);

    if (rc != 0)
        return rc;
    if (chat->count > 0 && chat->items[0].message.seq != 1)
        return fail_line(importing, STORE_CORRUPT, chat->items[0].line,
                         "messages are missing: the store does not have this chat, and seq 1 is "
                         "due");
    chat->is_new = true;
    chat->number = ++importing->chat_number_last;
    return 0;
}

static int check_against_store(struct importing *importing, struct incoming *chat)
{
    struct database_snapshot *snapshot;
    struct database_chat stored;
    int rc = database_snapshot_begin(importing->database, &snapshot);

    if (rc != 0)
        return fail_read(importing, chat, rc);
    rc = database_find_chat(snapshot, &chat->id, &stored);
    if (rc == 0)
        rc = check_present(importing, snapshot, chat, &stored);
    else if (rc == STORE_NOT_FOUND)
        rc = check_absent(importing, snapshot, chat);
    else
        rc = fail_read(importing, chat, rc);
    database_snapshot_end(snapshot);
    return rc;
}

/* --- a complete chat, by itself --- */

static int by_digest(const void *left, const void *right)
{
    const struct item *const *a = left;
    const struct item *const *b = right;
    int order =
        memcmp((*a)->message.client_digest, (*b)->message.client_digest, DATABASE_DIGEST_BYTES);

    return order != 0 ? order : ((*a)->line > (*b)->line) - ((*a)->line < (*b)->line);
}

/* No user has used a client id twice in the chat. */
static int check_distinct(const struct importing *importing, const struct incoming *chat)
{
    const struct item **items = malloc((chat->count + 1) * sizeof *items);
    int rc = 0;

    if (items == NULL)
        return out_of_memory(importing);
    for (size_t i = 0; i < chat->count; i++)
        items[i] = &chat->items[i];
    qsort(items, chat->count, sizeof *items, by_digest);
    for (size_t i = 1; i < chat->count && rc == 0; i++)
        if (memcmp(items[i - 1]->message.client_digest, items[i]->message.client_digest,
                   DATABASE_DIGEST_BYTES) == 0)
            rc = fail_line(importing, STORE_FORMAT, items[i]->line,
                           "line %" PRIu64 " has the same client_id of the same user",
                           items[i - 1]->line);
    free(items);
    return rc;
}

/* Takes the chat that was being read, if there is one: its last line has come. */
static int finish_chat(struct importing *importing)
{
    struct incoming *chat = importing->chat;
    int rc;

    if (chat == NULL)
        return 0;
    if (chat->count > 0 && chat->items[chat->count - 1].message.seq != chat->head_seq)
        return fail_line(importing, STORE_FORMAT, importing->figures->lines,
                         "the chat of line %" PRIu64 " ends at seq %" PRIu64 ", and its head is "
                         "%" PRIu64,
                         chat->line, chat->items[chat->count - 1].message.seq, chat->head_seq);
    if (chat->count == 0 && chat->head_seq > 0)
        return fail_line(importing, STORE_FORMAT, importing->figures->lines,
                         "the chat of line %" PRIu64 " has no messages, and its head is %" PRIu64,
                         chat->line, chat->head_seq);
    rc = check_distinct(importing, chat);
    if (rc == 0 && is_pending(importing, chat))
        rc = flush(importing);
    if (rc == 0)
        rc = check_against_store(importing, chat);
    if (rc == 0)
        rc = add_pending(importing, chat);
    if (rc == 0 && importing->pending_bytes >= PENDING_BYTES)
        rc = flush(importing);
    return rc;
}

/* --- lines --- */

static int take_chat(struct importing *importing, struct import_line *line)
{
    struct incoming *chat;
    int rc = finish_chat(importing);

    if (rc != 0)
        return rc;
    chat = calloc(1, sizeof *chat);
    if (chat == NULL)
        return out_of_memory(importing);
    chat->id = line->chat_id;
    chat->line = importing->figures->lines;
    chat->head_seq = line->head_seq;
    chat->created_ns = line->created_ns;
    strcpy(chat->namespace_name, line->namespace_name);
    chat->users = line->users;
    chat->users_size = line->users_size;
    line->users = NULL;
    importing->chat = chat;
    importing->chats++;
    if (digest_users(&importing->digester, chat->users, chat->users_size, chat->digest) != 0)
        return out_of_memory(importing);
    return 0;
}

static int make_item(struct importing *importing, const struct import_line *line, struct item *item)
{
    const struct command_send *message = &line->message;
    size_t size = command_send_size(message);
    uint8_t *bytes = malloc(size + COMMAND_SEQ_BYTES_MAX);

    if (bytes == NULL)
        return out_of_memory(importing);
    command_send_write(message, bytes);
    size += command_seq_write(line->seq, bytes + size);
    *item = (struct item){.message = {.seq = line->seq, .bytes = bytes, .size = (uint32_t)size},
                          .line = importing->figures->lines};
    if (digest_client(&importing->digester, message->user_id.data, message->user_id.size,
                      message->client_id.data, message->client_id.size,
                      item->message.client_digest) == 0)
        return 0;
    free(bytes);
    return out_of_memory(importing);
}

static bool reserve_item(struct incoming *chat)
{
    size_t capacity = chat->capacity == 0 ? 16 : chat->capacity * 2;
    struct item *items;

    if (chat->count < chat->capacity)
        return true;
    items = realloc(chat->items, capacity * sizeof *items);
    if (items == NULL)
        return false;
    chat->items = items;
    chat->capacity = capacity;
    return true;
}

static int take_message(struct importing *importing, const struct import_line *line)
{
    struct incoming *chat = importing->chat;
    uint64_t number = importing->figures->lines;
    uint64_t last_seq;
    int rc;

    if (chat == NULL || memcmp(&chat->id, &line->chat_id, sizeof chat->id) != 0)
        return fail_line(importing, STORE_FORMAT, number,
                         "the message does not stand behind its chat");
    last_seq = chat->count > 0 ? chat->items[chat->count - 1].message.seq : line->seq - 1;
    if (line->seq != last_seq + 1)
        return fail_line(importing, STORE_FORMAT, number,
                         "seq %" PRIu64 " comes where %" PRIu64 " is due", line->seq, last_seq + 1);
    if (!reserve_item(chat))
        return out_of_memory(importing);
    rc = make_item(importing, line, &chat->items[chat->count]);
    if (rc != 0)
        return rc;
    chat->bytes += chat->items[chat->count].message.size + sizeof *chat->items;
    chat->count++;
    importing->messages++;
    return 0;
}

static int take_end(struct importing *importing, const struct import_line *line)
{
    int rc = finish_chat(importing);

    if (rc != 0)
        return rc;
    if (line->chats != importing->chats || line->messages != importing->messages)
        return fail_line(importing, STORE_FORMAT, importing->figures->lines,
                         "there were %" PRIu64 " chats with %" PRIu64 " messages, and should be "
                         "%" PRIu64 " with %" PRIu64,
                         importing->chats, importing->messages, line->chats, line->messages);
    importing->begun = false;
    importing->ended = true;
    return 0;
}

static int take_begin(struct importing *importing)
{
    if (importing->begun)
        return fail_line(importing, STORE_FORMAT, importing->figures->lines,
                         "an export begins before the one above has ended");
    importing->begun = true;
    importing->ended = false;
    importing->chats = 0;
    importing->messages = 0;
    return 0;
}

static int take_line(struct importing *importing, struct import_line *line)
{
    if (line->kind == IMPORT_LINE_EXPORT)
        return take_begin(importing);
    if (!importing->begun)
        return fail_line(importing, STORE_FORMAT, importing->figures->lines,
                         "an export begins with {\"type\":\"export\",\"format\":1}");
    if (line->kind == IMPORT_LINE_CHAT)
        return take_chat(importing, line);
    return line->kind == IMPORT_LINE_MESSAGE ? take_message(importing, line)
                                             : take_end(importing, line);
}

static int parse_and_take(struct importing *importing, const struct import_text *text)
{
    struct store_failure why = {0};
    struct import_line line;
    int rc = import_line_parse(&line, text->bytes, text->size, &why);

    if (rc == 0)
        rc = take_line(importing, &line);
    else
        fail_line(importing, rc, importing->figures->lines, "%s", why.detail);
    import_line_free(&line);
    return rc;
}

/* STORE_NOT_FOUND behind the last line. */
static int read_and_take(struct importing *importing, struct import_text *text, FILE *in)
{
    struct store_failure why = {0};
    int rc = import_line_read(text, in, &why);

    if (rc == STORE_NOT_FOUND)
        return rc;
    importing->figures->lines++;
    return rc == 0 ? parse_and_take(importing, text)
                   : fail_line(importing, rc, importing->figures->lines, "%s", why.detail);
}

static int read_lines(struct importing *importing, FILE *in)
{
    struct import_text text = {0};
    int rc = 0;

    while (rc == 0)
        rc = read_and_take(importing, &text, in);
    free(text.bytes);
    if (!feof(in) || rc != STORE_NOT_FOUND)
        return rc;
    if (!importing->ended)
        return fail_line(importing, STORE_FORMAT, importing->figures->lines + 1,
                         "the export's last line is missing: it was cut short");
    return flush(importing);
}

/* --- the store --- */

static void on_closed(void *data)
{
    (void)data;
}

/* Makes the store, or recovers it and settles what is in its journal. */
static int settle_store(const char *directory, struct store_failure *failure)
{
    struct store_options options;
    struct store_opened opened;
    struct store *store;
    uv_loop_t loop;
    int rc;

    store_options_init(&options);
    options.directory = directory;
    options.close_settle_ms = UINT64_MAX;
    if (uv_loop_init(&loop) != 0)
        return store_fail(failure, STORE_NO_MEMORY, "cannot make a loop");
    rc = store_open(&store, &loop, &options, &opened, failure);
    if (rc == 0) {
        store_close(store, on_closed, NULL);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    uv_loop_close(&loop);
    return rc;
}

static int find_record(void *data, const struct journal_record *record)
{
    (void)data;
    (void)record;
    return STORE_FULL;
}

/* A message in the journal has its seq, though the database does not know it yet. */
static int check_settled(const struct importing *importing, const char *directory)
{
    char journal[PATH_MAX + 16];
    struct journal_figures figures;
    struct journal_image *image;
    struct database_meta meta;
    uint64_t last_lsn;
    int rc;

    database_read_meta(importing->database, &meta);
    snprintf(journal, sizeof journal, "%s/journal", directory);
    rc = journal_read(&image, journal, meta.store_id.bytes, meta.settled_lsn, &figures,
                      importing->failure);
    if (rc != 0)
        return rc;
    rc = journal_image_replay(image, meta.settled_lsn, find_record, NULL, &last_lsn,
                              importing->failure);
    journal_image_free(image);
    return rc == STORE_FULL ? store_fail(importing->failure, rc,
                                         "what is in the journal of %s could not be written to "
                                         "the database: is the disk full?",
                                         directory)
                            : rc;
}

static int import_all(struct importing *importing, const char *directory, FILE *in)
{
    struct database_meta meta;
    int rc;

    if (digester_init(&importing->digester) != 0)
        return out_of_memory(importing);
    rc = check_settled(importing, directory);
    database_read_meta(importing->database, &meta);
    importing->chat_number_last = meta.chat_number_last;
    if (rc == 0)
        rc = read_lines(importing, in);
    drop_pending(importing);
    free_incoming(importing->chat);
    digester_free(&importing->digester);
    return rc;
}

int import_read(const char *directory, FILE *in, struct import_figures *figures,
                struct store_failure *failure)
{
    struct importing importing = {.figures = figures, .failure = failure};
    struct store_options options;
    int lock;
    int rc;

    *figures = (struct import_figures){0};
    *failure = (struct store_failure){0};
    rc = settle_store(directory, failure);
    if (rc != 0)
        return rc;
    lock = directory_lock(directory, failure);
    if (lock < 0)
        return lock;
    store_options_init(&options);
    rc = database_open(&importing.database, directory, options.map_bytes, failure);
    if (rc == 0) {
        rc = import_all(&importing, directory, in);
        database_close(importing.database);
    }
    directory_unlock(lock);
    return rc;
}
