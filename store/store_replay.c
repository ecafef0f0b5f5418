/*
 * A record is applied as it was the first time: what was looked up then is looked up again, in the
 * snapshot, and what the records before it did is in the state. A record that a settle job which
 * was cut short had brought into the database is found there, as a retry would be.
 *
 * A record that cannot be applied (of an unknown kind, or for a chat that is not there) stops it:
 * the journal and the database do not belong together.
 */
#include "store/store_replay.h"

#include "store/store_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int corrupt(struct store_replay *replay, const struct journal_record *record,
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

static int recover_new(struct store_replay *replay, const struct journal_record *record)
{
    struct state *state = replay->state;
    struct state_found found = {0};
    struct state_new_result result;
    struct command_new command;
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES];
    char namespace_name[DATABASE_NAMESPACE_BYTES_MAX + 1];
    int status;

    if (!command_new_read(record->payload, record->size, &command))
        return corrupt(replay, record, "it is no New command", STORE_CORRUPT);
    status = digest_users(&state->digester, command.users, command.users_size, digest);
    if (status != 0)
        return status;
    snprintf(namespace_name, sizeof namespace_name, "%.*s", (int)command.namespace_size,
             command.namespace_name);
    status = database_find_users(replay->snapshot, namespace_name, digest, &found.chat_id);
    if (status != 0 && status != STORE_NOT_FOUND)
        return corrupt(replay, record, "its users could not be looked up", status);
    found.found = status == 0;
    if (found.found && uuid_is(&found.chat_id, &command.chat_id)) {
        status = recover_own(replay, &command.chat_id, &found.found);
        if (status != 0)
            return corrupt(replay, record, "its chat could not be looked up", status);
    }
    return state_apply_new(state, &command, digest, &found, &result);
}

/* The chat that a Send is for, pinned. */
static int recover_chat(struct store_replay *replay, const struct command_message *message,
                        struct chat **chat)
{
    struct state *state = replay->state;
    struct database_chat loaded;
    uint8_t *users = NULL;
    size_t users_size = 0;
    struct uuid id;
    int status;

    if (!uuid_parse(message->chat_id.data, message->chat_id.size, &id))
        return STORE_CORRUPT;
    *chat = state_find_chat(state, &id);
    if (*chat == NULL) {
        status = store_chat_read(replay->snapshot, &id, &loaded, &users, &users_size);
        if (status != 0)
            return status;
        *chat = state_add_chat(state, &loaded, users, users_size);
        if (*chat == NULL) {
            free(users);
            return STORE_NO_MEMORY;
        }
    }
    state_pin(state, *chat);
    return 0;
}

/* Whether the database knows the client id. Which message it has is of no use: nobody waits for the
 * answer any more. Returns 0, or STORE_CORRUPT: a damaged row. */
static int recover_client(struct store_replay *replay, const struct chat *chat,
                          const uint8_t *digest, struct state_found *found)
{
    int status;

    *found = (struct state_found){0};
    if (chat->settled_seq == 0)
        return 0;
    status = database_find_client(replay->snapshot, chat->number, digest, &found->seq);
    found->found = status == 0;
    return status == STORE_NOT_FOUND ? 0 : status;
}

static int recover_send(struct store_replay *replay, const struct journal_record *record)
{
    struct state *state = replay->state;
    struct command_message message;
    struct state_send_result result;
    struct state_found found;
    struct chat *chat;
    uint8_t digest[DATABASE_DIGEST_BYTES];
    int status;

    if (!command_message_read(record->payload, record->size, &message))
        return corrupt(replay, record, "it is no Send command", STORE_CORRUPT);
    status = digest_client(&state->digester, message.user_id.data, message.user_id.size,
                           message.client_id.data, message.client_id.size, digest);
    if (status != 0)
        return status;
    status = recover_chat(replay, &message, &chat);
    if (status != 0)
        return corrupt(replay, record, "its chat could not be looked up", status);
    status = recover_client(replay, chat, digest, &found);
    if (status == 0)
        status =
            state_apply_send(state, chat, digest, record->payload, record->size, &found, &result);
    else if (status == STORE_CORRUPT)
        /* It may have been acknowledged before the damage came, or be a retry, or have been refused
         * for the damage; each gives the messages behind it other seqs. */
        status = corrupt(replay, record, "its client id could not be looked up", status);
    state_unpin(state, chat);
    return status;
}

int store_replay_record(void *data, const struct journal_record *record)
{
    struct store_replay *replay = data;
    int status;

    switch (record->kind) {
    case COMMAND_NEW:
        status = recover_new(replay, record);
        break;
    case COMMAND_SEND:
        status = recover_send(replay, record);
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
