/*
 * A window: journal records that are replayed together. Filled, then prepared, then applied.
 *
 * Preparing finds out in the database what the records will need, all of it at once and in the
 * order of its rows. It reads nothing but the snapshot and the window, and so may be done by
 * another thread while the window before is applied. What it finds is what looking it up
 * later would find, for nothing is written during replay; what it does not find, or finds damaged,
 * is looked up by whoever applies the record, who also says what is wrong.
 *
 * Used by store_replay.c alone. One thread has a window at a time.
 */
#ifndef STORE_STORE_REPLAY_WINDOW_H
#define STORE_STORE_REPLAY_WINDOW_H

#include "store/digest.h"
#include "store/journal.h"
#include "store/radix.h"
#include "store/state.h"

/* So many records make a window, unless a test wants another number, or fewer whose payloads come
 * to so many bytes each. More of them lie closer together in the database, and take more memory. */
#define REPLAY_WINDOW_RECORDS 32768
#define REPLAY_RECORD_BYTES 256

enum replay_known { REPLAY_NOT_KNOWN, REPLAY_NOT_THERE, REPLAY_THERE };

struct replay_record {
    uint64_t lsn;
    const uint8_t *payload; /* in the window */
    uint32_t size;
    uint8_t kind;
    bool readable;
    bool digested; /* it has its digest */
    uint8_t known; /* enum replay_known: what the database has of client id or users */
    struct command_text client_id; /* of a Send */
    struct command_text user_id;
    struct uuid chat_id; /* of a Send; of a New, if its users are known: their chat's */
    struct chat *chat;   /* of a Send, pinned, if it was in memory when the window was full */
    uint64_t number;     /* of the chat, when it is known to have messages that are settled */
    size_t lookup;       /* of a Send whose chat was not, if there are any */
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES]; /* of the users, or (half of it) the client id */
};

struct replay_window {
    struct replay_record *records;
    size_t record_count;
    size_t records_max;
    uint8_t *bytes;
    size_t bytes_used;
    size_t bytes_capacity;
    struct database_lookup *lookups; /* of chats, by id, each once */
    size_t lookup_count;
    struct database_texts texts;
    struct radix_item *order; /* scratch: twice records_max */
    struct digester digester;
    struct database_snapshot *snapshot; /* while it is prepared */
};

/* NULL when out of memory. */
struct replay_window *replay_window_make(size_t records_max);
void replay_window_free(struct replay_window *window);
void replay_window_reset(struct replay_window *window);

/* Whether a record of this size may go in; an empty window takes any. */
bool replay_window_has_room(const struct replay_window *window, uint32_t size);
/* Copies the record. 0 or STORE_NO_MEMORY. */
int replay_window_add(struct replay_window *window, const struct journal_record *record);
/* Finds the chats that are in memory, and pins them for their records. By the state's thread,
 * before the window is prepared. */
void replay_window_resolve(struct replay_window *window, struct state *state);
/* `data` is the window, with its snapshot set. */
void replay_window_prepare(void *data);
/* The record number `from` is applied next: fetches what those behind it will need into the
 * processor's cache, first where it is, then itself. */
void replay_window_expect(const struct replay_window *window, const struct state *state,
                          size_t from);

/*
 * What preparing does for one record that is readable, for whoever has to make up for it. The first
 * fills in `digest`, which the others need; these fill in `known`, of a client id in the chat
 * `number` and of a New's users with `chat_id`. Return 0 or a store_status.
 */
int replay_record_digest(struct replay_record *record, struct digester *digester);
int replay_record_find_client(struct replay_record *record, struct database_snapshot *snapshot);
int replay_record_find_users(struct replay_record *record, struct database_snapshot *snapshot);

#endif
