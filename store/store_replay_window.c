/*
 * Preparing a window, step by step for all of its records:
 *
 *     digests of client ids and users
 *     chats that are not in memory, by id         ─▶ database_find_chats
 *     client ids of chats with settled messages,
 *     by number                                   ─▶ database_find_client
 *     users of New, by digest                     ─▶ database_find_users
 *
 * Looked up in the order of the rows, what is wanted next is mostly where the last was found, in
 * the processor's cache.
 */
#include "store/store_replay_window.h"

#include "store/database_rows.h"
#include "store/prefetch.h"

#include <stdlib.h>
#include <string.h>

/* How far ahead memory is asked for: in this many records a chat's place in the table, in half as
 * many the chat. */
#define EXPECTED 16

struct replay_window *replay_window_make(size_t records_max)
{
    struct replay_window *window = calloc(1, sizeof *window);

    if (window == NULL)
        return NULL;
    window->records_max = records_max;
    window->bytes_capacity = records_max * REPLAY_RECORD_BYTES;
    window->records = malloc(records_max * sizeof *window->records);
    window->lookups = malloc(records_max * sizeof *window->lookups);
    window->order = malloc(records_max * 2 * sizeof *window->order);
    window->bytes = malloc(window->bytes_capacity);
    if (digester_init(&window->digester) == 0 && window->records != NULL &&
        window->lookups != NULL && window->order != NULL && window->bytes != NULL)
        return window;
    replay_window_free(window);
    return NULL;
}

void replay_window_free(struct replay_window *window)
{
    if (window == NULL)
        return;
    digester_free(&window->digester);
    free(window->texts.bytes);
    free(window->bytes);
    free(window->order);
    free(window->lookups);
    free(window->records);
    free(window);
}

void replay_window_reset(struct replay_window *window)
{
    window->record_count = 0;
    window->bytes_used = 0;
    window->lookup_count = 0;
    window->texts.size = 0;
}

/* --- filling --- */

bool replay_window_has_room(const struct replay_window *window, uint32_t size)
{
    return window->record_count == 0 || (window->record_count < window->records_max &&
                                         size <= window->bytes_capacity - window->bytes_used);
}

static int reserve(struct replay_window *window, uint32_t size)
{
    uint8_t *grown;

    if (size <= window->bytes_capacity - window->bytes_used)
        return 0;
    grown = realloc(window->bytes, size); /* it is empty */
    if (grown == NULL)
        return STORE_NO_MEMORY;
    window->bytes = grown;
    window->bytes_capacity = size;
    return 0;
}

static bool read_send(struct replay_record *record)
{
    struct command_message message;

    if (!command_message_read(record->payload, record->size, &message))
        return false;
    record->client_id = message.client_id;
    record->user_id = message.user_id;
    return uuid_parse(message.chat_id.data, message.chat_id.size, &record->chat_id);
}

static bool read_new(const struct replay_record *record)
{
    struct command_new command;

    return command_new_read(record->payload, record->size, &command);
}

int replay_window_add(struct replay_window *window, const struct journal_record *record)
{
    struct replay_record *added = &window->records[window->record_count];
    uint8_t *payload;

    if (reserve(window, record->size) != 0)
        return STORE_NO_MEMORY;
    payload = window->bytes + window->bytes_used;
    if (record->size > 0)
        memcpy(payload, record->payload, record->size);
    window->bytes_used += record->size;
    window->record_count++;
    *added = (struct replay_record){
        .lsn = record->lsn, .kind = record->kind, .size = record->size, .payload = payload};
    if (record->kind == COMMAND_SEND)
        added->readable = read_send(added);
    else if (record->kind == COMMAND_NEW)
        added->readable = read_new(added);
    return 0;
}

static bool is_send(const struct replay_record *record)
{
    return record->kind == COMMAND_SEND && record->readable;
}

static bool is_new(const struct replay_record *record)
{
    return record->kind == COMMAND_NEW && record->readable;
}

static void expect_chats(const struct replay_window *window, const struct state *state, size_t from)
{
    const struct replay_record *records = window->records;
    size_t far = from + EXPECTED;
    size_t near = from + EXPECTED / 2;

    if (far < window->record_count && is_send(&records[far]))
        state_expect_chat(state, &records[far].chat_id);
    if (near < window->record_count && is_send(&records[near]))
        state_expect_found_chat(state, &records[near].chat_id);
}

void replay_window_resolve(struct replay_window *window, struct state *state)
{
    for (size_t i = 0; i < window->record_count; i++) {
        struct replay_record *record = &window->records[i];

        expect_chats(window, state, i);
        record->chat = is_send(record) ? state_find_chat(state, &record->chat_id) : NULL;
        if (record->chat == NULL)
            continue;
        state_pin(state, record->chat);
        record->number = record->chat->settled_seq > 0 ? record->chat->number : 0;
    }
}

/* --- preparing --- */

int replay_record_digest(struct replay_record *record, struct digester *digester)
{
    struct command_new command;
    int status = STORE_CORRUPT;

    if (is_send(record))
        status = digest_client(digester, record->user_id.data, record->user_id.size,
                               record->client_id.data, record->client_id.size, record->digest);
    else if (is_new(record) && command_new_read(record->payload, record->size, &command))
        status = digest_users(digester, command.users, command.users_size, record->digest);
    record->digested = status == 0;
    return status;
}

static void make_digests(struct replay_window *window)
{
    for (size_t i = 0; i < window->record_count; i++)
        (void)replay_record_digest(&window->records[i], &window->digester);
}

static void sort(const struct replay_window *window, size_t count)
{
    radix_sort(window->order, window->order + count, count);
}

/* The records whose chats are not in memory, by half of the id: all of it mostly, and enough to lie
 * together. */
static size_t sort_by_chat(const struct replay_window *window)
{
    size_t count = 0;

    for (size_t i = 0; i < window->record_count; i++) {
        const struct replay_record *record = &window->records[i];
        if (is_send(record) && record->chat == NULL)
            window->order[count++] =
                (struct radix_item){database_load_u64(record->chat_id.bytes), i};
    }
    sort(window, count);
    return count;
}

/* One look-up for the records of a chat. */
static size_t list_lookups(struct replay_window *window, size_t wanted)
{
    size_t count = 0;

    for (size_t i = 0; i < wanted; i++) {
        struct replay_record *record = &window->records[window->order[i].index];
        if (count == 0 || memcmp(&window->lookups[count - 1].id, &record->chat_id, UUID_BYTES) != 0)
            window->lookups[count++] = (struct database_lookup){.id = record->chat_id};
        record->lookup = count - 1;
    }
    return count;
}

static void find_chats(struct replay_window *window)
{
    size_t wanted = sort_by_chat(window);
    size_t count = list_lookups(window, wanted);

    if (count == 0 ||
        database_find_chats(window->snapshot, window->lookups, count, &window->texts) != 0)
        return;
    window->lookup_count = count;
    for (size_t i = 0; i < wanted; i++) {
        struct replay_record *record = &window->records[window->order[i].index];
        const struct database_lookup *lookup = &window->lookups[record->lookup];
        if (lookup->status == 0 && lookup->head_seq > 0)
            record->number = lookup->number;
    }
}

/* What the database was asked for is known unless the answer is damage. */
static int know(struct replay_record *record, int status)
{
    record->known = status == 0                 ? REPLAY_THERE
                    : status == STORE_NOT_FOUND ? REPLAY_NOT_THERE
                                                : REPLAY_NOT_KNOWN;
    return status == STORE_NOT_FOUND ? 0 : status;
}

int replay_record_find_client(struct replay_record *record, struct database_snapshot *snapshot)
{
    uint64_t seq;

    return know(record, database_find_client(snapshot, record->number, record->digest, &seq));
}

static void find_clients(struct replay_window *window)
{
    size_t count = 0;

    for (size_t i = 0; i < window->record_count; i++) {
        const struct replay_record *record = &window->records[i];
        if (is_send(record) && record->digested && record->number > 0)
            window->order[count++] = (struct radix_item){record->number, i};
    }
    sort(window, count);
    for (size_t i = 0; i < count; i++)
        (void)replay_record_find_client(&window->records[window->order[i].index], window->snapshot);
}

int replay_record_find_users(struct replay_record *record, struct database_snapshot *snapshot)
{
    char name[DATABASE_NAMESPACE_BYTES_MAX + 1];
    struct command_new command;

    if (!command_new_read(record->payload, record->size, &command))
        return STORE_CORRUPT;
    memcpy(name, command.namespace_name, command.namespace_size);
    name[command.namespace_size] = '\0';
    return know(record, database_find_users(snapshot, name, record->digest, &record->chat_id));
}

/* Those of one namespace mostly, so that it need not be what they are sorted by. */
static void find_all_users(struct replay_window *window)
{
    size_t count = 0;

    for (size_t i = 0; i < window->record_count; i++) {
        const struct replay_record *record = &window->records[i];
        if (is_new(record) && record->digested)
            window->order[count++] = (struct radix_item){database_load_u64(record->digest), i};
    }
    sort(window, count);
    for (size_t i = 0; i < count; i++)
        (void)replay_record_find_users(&window->records[window->order[i].index], window->snapshot);
}

void replay_window_prepare(void *data)
{
    struct replay_window *window = data;

    make_digests(window);
    find_chats(window);
    find_clients(window);
    find_all_users(window);
}

/* --- prepared --- */

static void expect_places(const struct replay_window *window, const struct state *state,
                          const struct replay_record *record)
{
    if (!is_send(record))
        return;
    if (record->chat != NULL) {
        prefetch(record->chat, sizeof *record->chat);
        return;
    }
    state_expect_chat(state, &record->chat_id);
    if (window->lookup_count > 0)
        state_expect_number(state, window->lookups[record->lookup].number, record->digest);
}

void replay_window_expect(const struct replay_window *window, const struct state *state,
                          size_t from)
{
    const struct replay_record *records = window->records;
    size_t farthest = from + 2 * EXPECTED;
    size_t far = from + EXPECTED;
    size_t near = from + EXPECTED / 2;

    if (farthest < window->record_count && window->lookup_count > 0)
        prefetch(&window->lookups[records[farthest].lookup], sizeof *window->lookups);
    if (far < window->record_count)
        expect_places(window, state, &records[far]);
    if (near < window->record_count && records[near].chat != NULL)
        state_expect_apply(state, records[near].chat, records[near].digest);
}
