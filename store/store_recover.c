/*
 * Recovery: the database holds everything up to its settled LSN; the journal's records behind that
 * are applied again, in order, as they were the first time. What was looked up then is looked up
 * again, in one snapshot: nothing settles meanwhile.
 *
 * A record that cannot be applied (of an unknown kind, or for a chat that is not there) stops it:
 * the journal and the database do not belong together, and nothing has been changed. So does one
 * whose lookup meets damage: it may have been acknowledged before the damage came, or be a retry,
 * or have been refused for the damage; each gives the messages behind it other seqs.
 */
#include "store/store_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct recovery {
    struct store *store;
    struct database_snapshot *snapshot;
    struct database_page original;
    struct store_failure failure;
};

static int corrupt(struct recovery *recovery, const struct journal_record *record, const char *what,
                   int status)
{
    return store_fail(&recovery->failure, STORE_CORRUPT,
                      "journal record %" PRIu64 " cannot be applied: %s (%s); nothing was changed: "
                      "restore the data directory from a backup",
                      record->lsn, what, store_status_text(status));
}

static int recover_new(struct recovery *recovery, const struct journal_record *record)
{
    struct state *state = &recovery->store->state;
    struct state_found found = {0};
    struct state_new_result result;
    struct command_new command;
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES];
    char namespace_name[DATABASE_NAMESPACE_BYTES_MAX + 1];
    int status;

    if (!command_new_read(record->payload, record->size, &command))
        return corrupt(recovery, record, "it is no New command", STORE_CORRUPT);
    status = digest_users(&state->digester, command.users, command.users_size, digest);
    if (status != 0)
        return status;
    snprintf(namespace_name, sizeof namespace_name, "%.*s", (int)command.namespace_size,
             command.namespace_name);
    status = database_find_users(recovery->snapshot, namespace_name, digest, &found.chat_id);
    if (status != 0 && status != STORE_NOT_FOUND)
        return corrupt(recovery, record, "its users could not be looked up", status);
    found.found = status == 0;
    return state_apply_new(state, &command, digest, &found, &result);
}

/* The chat that a Send is for, pinned. */
static int recover_chat(struct recovery *recovery, const struct command_message *message,
                        struct chat **chat)
{
    struct state *state = &recovery->store->state;
    struct database_chat loaded;
    uint8_t *users = NULL;
    size_t users_size = 0;
    struct uuid id;
    int status;

    if (!uuid_parse(message->chat_id.data, message->chat_id.size, &id))
        return STORE_CORRUPT;
    *chat = state_find_chat(state, &id);
    if (*chat == NULL) {
        status = store_chat_read(recovery->snapshot, &id, &loaded, &users, &users_size);
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

/* What the database knows of the client id. Returns 0, or STORE_CORRUPT: a damaged row. */
static int recover_client(struct recovery *recovery, const struct chat *chat, const uint8_t *digest,
                          struct state_found *found)
{
    struct database_page *page = &recovery->original;
    int status;

    *found = (struct state_found){0};
    if (chat->settled_seq == 0)
        return 0;
    status = database_find_client(recovery->snapshot, chat->number, digest, &found->seq);
    if (status == STORE_NOT_FOUND)
        return 0;
    if (status != 0)
        return status;
    found->found = true;
    page->size = 0;
    page->count = 0;
    if (database_read_log(recovery->snapshot, &chat->id, chat->number, found->seq, found->seq + 1,
                          1, SIZE_MAX, false, page) == 0 &&
        page->count == 1) {
        found->message = page->bytes;
        found->message_size = page->size;
    }
    return 0;
}

static int recover_send(struct recovery *recovery, const struct journal_record *record)
{
    struct state *state = &recovery->store->state;
    struct command_message message;
    struct state_send_result result;
    struct state_found found;
    struct chat *chat;
    uint8_t digest[DATABASE_DIGEST_BYTES];
    int status;

    if (!command_message_read(record->payload, record->size, &message))
        return corrupt(recovery, record, "it is no Send command", STORE_CORRUPT);
    status = digest_client(&state->digester, message.user_id.data, message.user_id.size,
                           message.client_id.data, message.client_id.size, digest);
    if (status != 0)
        return status;
    status = recover_chat(recovery, &message, &chat);
    if (status != 0)
        return corrupt(recovery, record, "its chat could not be looked up", status);
    status = recover_client(recovery, chat, digest, &found);
    if (status == 0)
        status =
            state_apply_send(state, chat, digest, record->payload, record->size, &found, &result);
    else if (status == STORE_CORRUPT)
        status = corrupt(recovery, record, "its client id could not be looked up", status);
    state_unpin(state, chat);
    return status;
}

static int on_record(void *data, const struct journal_record *record)
{
    struct recovery *recovery = data;
    int status;

    switch (record->kind) {
    case COMMAND_NEW:
        status = recover_new(recovery, record);
        break;
    case COMMAND_SEND:
        status = recover_send(recovery, record);
        break;
    default:
        return store_fail(&recovery->failure, STORE_FORMAT,
                          "journal record %" PRIu64 " is of kind %u, which this version does not "
                          "know: start the version that wrote it",
                          record->lsn, record->kind);
    }
    if (status != 0 && recovery->failure.status == 0)
        store_fail(&recovery->failure, status, "journal record %" PRIu64 " cannot be applied: %s",
                   record->lsn, store_status_text(status));
    return status;
}

int store_recover(struct store *store, struct store_opened *opened, struct store_failure *failure)
{
    struct recovery recovery = {.store = store};
    struct journal_recovery report;
    struct database_meta meta;
    char directory[4096];
    uint64_t started = uv_hrtime();
    int status;

    database_read_meta(store->database, &meta);
    status = database_snapshot_begin(store->database, &recovery.snapshot);
    if (status != 0)
        return store_fail(failure, status, "the database cannot be read: %s",
                          store_status_text(status));
    snprintf(directory, sizeof directory, "%s/journal", store->directory);
    status =
        journal_open(&store->journal,
                     &(struct journal_options){
                         .directory = directory,
                         .segment_bytes = store->options.segment_bytes,
                         .segments_max = (unsigned)store->options.segments_max,
                     },
                     meta.store_id.bytes, meta.settled_lsn, on_record, &recovery, &report, failure);
    database_snapshot_end(recovery.snapshot);
    database_page_free(&recovery.original);
    if (status != 0) {
        if (recovery.failure.status != 0)
            *failure = recovery.failure;
        return status;
    }
    store->settled_lsn = meta.settled_lsn;
    store->statistics.last_lsn = report.last_lsn;
    store->unsettled_bytes = report.bytes;
    opened->store_id = meta.store_id;
    opened->records = report.records;
    opened->torn_bytes = report.torn_bytes;
    opened->took_us = (uv_hrtime() - started) / 1000;
    return 0;
}
