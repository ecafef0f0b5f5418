/*
 * A record is applied as it was the first time: what was looked up then is looked up again, in the
 * snapshot, and what the records before it did is in the state. A record that a settle job which
 * was cut short had brought into the database is found there, as a retry would be.
 *
 * A record that cannot be applied (of an unknown kind, or for a chat that is not there) stops it:
 * the journal and the database do not belong together.
 *
 * Records go in windows of thousands, since looking up one at a time takes longer than all the
 * rest. While this thread reads the next window from the journal and applies the one before, a
 * thread that is ahead looks up what a window needs (store_replay_window.c):
 *
 *     this thread   read 1 │ read 2       │ apply 1, read 3 │ apply 2, read 4 │ … apply the last
 *     ahead                │ look up 1    │ look up 2       │ look up 3       │
 *
 * A window belongs to one thread at a time, the state always to this one. What was looked up is
 * taken as a shortcut: a chat that is in memory by now is taken from there, and for what was not
 * found out, or with some failure, this thread looks as it would without windows, and fails as it
 * would. Without a second snapshot, or a thread to be had, all is done in turn.
 */
#include "store/store_replay.h"

#include "store/store_internal.h"
#include "store/store_replay_window.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static int corrupt(struct store_replay *replay, const struct replay_record *record,
                   const char *what, int status)
{
    return store_fail(&replay->failure, STORE_CORRUPT,
                      "journal record %" PRIu64 " cannot be applied: %s (%s); nothing was changed: "
                      "restore the data directory from a backup",
                      record->lsn, what, store_status_text(status));
}

static bool uuid_is(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, UUID_BYTES) == 0;
}

/*
 * The users lead to the very chat that the command makes: a settle job was cut short behind it. If
 * that was before the job had all rows of its new chats, they are not there yet, and are made again
 * with the numbers that they have in those rows.
 */
static int recover_own(struct store_replay *replay, const struct uuid *id, bool *is_there)
{
    struct database_chat chat;
    int status = database_find_chat(replay->snapshot, id, &chat);

    *is_there = status == 0 && chat.number <= replay->state->chat_number_last;
    return status;
}

static int recover_new(struct store_replay *replay, struct replay_record *record)
{
    struct state *state = replay->state;
    struct state_found found;
    struct state_new_result result;
    struct command_new command;
    int status = 0;

    if (!command_new_read(record->payload, record->size, &command))
        return corrupt(replay, record, "it is no New command", STORE_CORRUPT);
    if (!record->digested)
        status = replay_record_digest(record, &state->digester);
    if (status != 0)
        return status;
    if (record->known == REPLAY_NOT_KNOWN)
        status = replay_record_find_users(record, replay->snapshot);
    if (status != 0)
        return corrupt(replay, record, "its users could not be looked up", status);
    found =
        (struct state_found){.found = record->known == REPLAY_THERE, .chat_id = record->chat_id};
    if (found.found && uuid_is(&found.chat_id, &command.chat_id)) {
        status = recover_own(replay, &command.chat_id, &found.found);
        if (status != 0)
            return corrupt(replay, record, "its chat could not be looked up", status);
    }
    return state_apply_new(state, &command, record->digest, &found, &result);
}

static struct chat *add_chat(struct state *state, const struct database_chat *loaded,
                             uint8_t *users, size_t users_size, int *status)
{
    struct chat *chat = state_add_chat(state, loaded, users, users_size);

    *status = chat == NULL ? STORE_NO_MEMORY : 0;
    if (chat == NULL)
        free(users);
    return chat;
}

static struct chat *add_looked_up(struct state *state, const struct replay_window *window,
                                  const struct database_lookup *lookup, int *status)
{
    const uint8_t *texts = window->texts.bytes;
    uint8_t *users = malloc((size_t)lookup->users_size + 1);
    struct database_chat chat = {.id = lookup->id,
                                 .number = lookup->number,
                                 .head_seq = lookup->head_seq,
                                 .namespace_size = lookup->namespace_size};

    *status = STORE_NO_MEMORY;
    if (users == NULL)
        return NULL;
    memcpy(chat.namespace_name, texts + lookup->namespace_offset, lookup->namespace_size);
    memcpy(users, texts + lookup->users_offset, lookup->users_size);
    return add_chat(state, &chat, users, lookup->users_size, status);
}

/* Adds a chat that is not in memory: as it was looked up ahead, or as it is looked up now. */
static struct chat *recover_loaded(struct store_replay *replay, const struct replay_window *window,
                                   const struct replay_record *record, int *status)
{
    const struct database_lookup *lookup = &window->lookups[record->lookup];
    struct database_chat loaded;
    uint8_t *users = NULL;
    size_t users_size = 0;

    if (window->lookup_count > 0 && record->chat == NULL && lookup->status == 0)
        return add_looked_up(replay->state, window, lookup, status);
    *status = store_chat_read(replay->snapshot, &record->chat_id, &loaded, &users, &users_size);
    return *status == 0 ? add_chat(replay->state, &loaded, users, users_size, status) : NULL;
}

/* The chat that a Send is for, pinned. */
static int recover_chat(struct store_replay *replay, const struct replay_window *window,
                        const struct replay_record *record, struct chat **chat)
{
    int status = 0;

    *chat = record->chat != NULL ? record->chat : state_find_chat(replay->state, &record->chat_id);
    if (*chat == NULL)
        *chat = recover_loaded(replay, window, record, &status);
    if (*chat == NULL)
        return status;
    state_pin(replay->state, *chat);
    return 0;
}

/* Whether the database knows the client id. Which message it has is of no use: nobody waits for the
 * answer any more. Returns 0, or STORE_CORRUPT: a damaged row. */
static int recover_client(struct store_replay *replay, const struct chat *chat,
                          struct replay_record *record, struct state_found *found)
{
    int status = 0;

    *found = (struct state_found){0};
    if (chat->settled_seq == 0)
        return 0;
    if (record->known == REPLAY_NOT_KNOWN || record->number != chat->number) {
        record->number = chat->number;
        status = replay_record_find_client(record, replay->snapshot);
    }
    found->found = record->known == REPLAY_THERE;
    return status;
}

static int recover_send(struct store_replay *replay, const struct replay_window *window,
                        struct replay_record *record)
{
    struct state *state = replay->state;
    struct state_send_result result;
    struct state_found found;
    struct chat *chat;
    int status = 0;

    if (!record->readable)
        return corrupt(replay, record, "it is no Send command", STORE_CORRUPT);
    if (!record->digested)
        status = replay_record_digest(record, &state->digester);
    if (status != 0)
        return status;
    status = recover_chat(replay, window, record, &chat);
    if (status != 0)
        return corrupt(replay, record, "its chat could not be looked up", status);
    status = recover_client(replay, chat, record, &found);
    if (status == 0)
        status = state_apply_send(state, chat, record->digest, record->payload, record->size,
                                  &found, &result);
    else if (status == STORE_CORRUPT)
        /* It may have been acknowledged before the damage came, or be a retry, or have been refused
         * for the damage; each gives the messages behind it other seqs. */
        status = corrupt(replay, record, "its client id could not be looked up", status);
    state_unpin(state, chat);
    return status;
}

static int apply_record(struct store_replay *replay, const struct replay_window *window,
                        struct replay_record *record)
{
    int status;

    switch (record->kind) {
    case COMMAND_NEW:
        status = recover_new(replay, record);
        break;
    case COMMAND_SEND:
        status = recover_send(replay, window, record);
        break;
    default:
        return store_fail(&replay->failure, STORE_FORMAT,
                          "journal record %" PRIu64 " is of kind %u, which this version does not "
                          "know: start the version that wrote it",
                          record->lsn, record->kind);
    }
    if (status != 0 && replay->failure.status == 0)
        store_fail(&replay->failure, status, "journal record %" PRIu64 " cannot be applied: %s",
                   record->lsn, store_status_text(status));
    return status;
}

/* --- windows --- */

static int apply_window(struct store_replay *replay, const struct replay_window *window)
{
    int status = 0;

    for (size_t i = 0; i < window->record_count && status == 0; i++) {
        struct replay_record *record = &window->records[i];

        replay_window_expect(window, replay->state, i);
        status = apply_record(replay, window, record);
        if (record->chat != NULL)
            state_unpin(replay->state, record->chat);
    }
    return status;
}

static struct replay_window *take_window(struct store_replay *replay)
{
    struct replay_window *window = replay->unused;

    replay->unused = NULL;
    if (window == NULL)
        return replay_window_make(replay->window_records > 0 ? replay->window_records
                                                             : REPLAY_WINDOW_RECORDS);
    replay_window_reset(window);
    return window;
}

/* The window that was given, prepared; or NULL. */
static struct replay_window *take_back(struct store_replay *replay)
{
    struct replay_window *window = replay->given;

    if (window != NULL)
        ahead_wait(&replay->ahead);
    replay->given = NULL;
    return window;
}

static int finish_window(struct store_replay *replay, struct replay_window *window)
{
    int status = apply_window(replay, window);

    replay_window_free(replay->unused);
    replay->unused = window;
    return status;
}

static bool prepare_ahead(struct store_replay *replay, struct replay_window *window)
{
    window->snapshot = replay->snapshot_ahead;
    if (window->snapshot == NULL || ahead_give(&replay->ahead, replay_window_prepare, window) != 0)
        return false;
    replay->given = window;
    return true;
}

/* The full window is prepared next, by a thread ahead if there is one; the one before, which is
 * prepared, is applied meanwhile. */
static int hand_over(struct store_replay *replay)
{
    struct replay_window *before = take_back(replay);
    struct replay_window *full = replay->filling;
    int status;

    replay_window_resolve(full, replay->state);
    if (prepare_ahead(replay, full)) {
        replay->filling = NULL;
        return before == NULL ? 0 : finish_window(replay, before);
    }
    status = before == NULL ? 0 : finish_window(replay, before);
    if (status != 0)
        return status;
    replay->filling = NULL;
    full->snapshot = replay->snapshot;
    replay_window_prepare(full);
    return finish_window(replay, full);
}

int store_replay_record(void *data, const struct journal_record *record)
{
    struct store_replay *replay = data;
    int status = 0;

    if (replay->filling != NULL && !replay_window_has_room(replay->filling, record->size))
        status = hand_over(replay);
    if (status != 0)
        return status;
    if (replay->filling == NULL)
        replay->filling = take_window(replay);
    if (replay->filling == NULL || replay_window_add(replay->filling, record) != 0)
        return store_fail(&replay->failure, STORE_NO_MEMORY, "out of memory for the journal");
    return 0;
}

int store_replay_end(void *data)
{
    struct store_replay *replay = data;
    struct replay_window *last;
    int status = replay->filling == NULL ? 0 : hand_over(replay);

    last = take_back(replay);
    return status == 0 && last != NULL ? finish_window(replay, last) : status;
}

void store_replay_free(struct store_replay *replay)
{
    ahead_wait(&replay->ahead);
    replay_window_free(replay->filling);
    replay_window_free(replay->given);
    replay_window_free(replay->unused);
}
