/*
 * The state machine: what the commands of the journal amount to, as far as it is in memory.
 *
 * Applying is deterministic and does no input or output: the same commands on the same settled
 * state give the same result, live, on recovery and in a simulation. What a command may need from
 * the database is looked up before and handed in. The state holds the chats in use, the tail, and
 * the indexes by which the unsettled is found: messages by client id, new chats by their
 * users. The rest is in the database; whoever asks looks here first.
 *
 * Eviction. A settle job writes what was applied to the database. Its messages stay in the tail
 * until no request is under way that looked into the database before the job was committed:
 * state_enter and state_leave count requests in epochs for that. So, at every moment, a message is
 * found in the tail or in any snapshot that a request under way can hold, or in both.
 *
 * One thread: the loop's. The settle thread reads a handed-over range of messages and their chats'
 * numbers, which do not change.
 */
#ifndef STORE_STATE_H
#define STORE_STATE_H

#include "base/uuid.h"
#include "store/client_filter.h"
#include "store/command.h"
#include "store/database.h"
#include "store/digest.h"
#include "store/table.h"
#include "store/tail.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a chat has besides while it is in the list of those not settled. */
struct fresh {
    struct chat *next;
    uint64_t created_ns;
    uint8_t users_digest[DATABASE_USERS_DIGEST_BYTES];
};

struct chat {
    struct uuid id;
    uint64_t number;
    const char *namespace_name; /* shared; lives as long as the chat is in memory */
    uint64_t head_seq;          /* applied */
    uint64_t settled_seq;       /* evicted from the tail: only the database has it */
    struct message **tail;      /* ring of the messages behind settled_seq, by seq */
    struct message *tail_one;   /* a ring of one */
    uint32_t tail_capacity;     /* 0 or a power of two */
    uint32_t pins;              /* requests that hold on to it */
    uint8_t *users;             /* in stored form */
    size_t users_size;
    struct client_filter settled_clients; /* of the messages up to settled_seq */
    struct chat *idle_newer;              /* in the list of those that may be dropped */
    struct chat *idle_older;
    struct fresh *fresh; /* until it is evicted from the index of new chats */
    bool idle;
    uint8_t client_lookups; /* of client ids in the database; of more than one, the second counts */
};

struct state {
    struct table chats;      /* by id */
    struct table clients;    /* messages of the tail, by chat and client digest */
    struct table users;      /* fresh chats, by namespace and users digest */
    struct table namespaces; /* names, shared by their chats */
    struct tail tail;
    struct chat *fresh_first; /* in the order of their numbers */
    struct chat *fresh_last;
    struct chat *idle_oldest;
    struct chat *idle_newest;
    size_t idle_bytes;     /* of the idle chats */
    size_t idle_bytes_max; /* more are dropped */
    uint64_t chat_number_last;
    uint64_t applied_lsn;
    struct digester digester;

    /* Settling: what no finished job covers. */
    struct message *unsettled;
    struct chat *fresh_unsettled;
    uint64_t unsettled_count; /* messages */
    /* Memory: of messages, of the chats that came into it with them, of fresh chats. */
    size_t unsettled_bytes;
    size_t unsettled_fresh_bytes;

    /* Eviction of what a finished job covers, up to these; then of the jobs that finished
     * meanwhile. */
    struct message *evict_last;
    struct chat *evict_fresh_last;
    struct message *evict_next_last;
    struct chat *evict_next_fresh_last;
    bool evicting;
    bool evict_next;
    uint64_t epoch_requests[2];
    unsigned epoch;
};

/* Returns 0 or STORE_NO_MEMORY. `meta` is what the database holds. */
int state_init(struct state *state, const struct database_meta *meta, size_t idle_bytes_max);
void state_free(struct state *state);

/* --- looking things up --- */

struct chat *state_find_chat(const struct state *state, const struct uuid *id);
/*
 * Adds a chat that the database has, and takes its users, which must have come from malloc. NULL,
 * and nothing taken, when out of memory. The chat is idle until pinned.
 */
struct chat *state_add_chat(struct state *state, const struct database_chat *loaded, uint8_t *users,
                            size_t users_size);
/* A pinned chat stays. */
void state_pin(struct state *state, struct chat *chat);
void state_unpin(struct state *state, struct chat *chat);

/* The message in the tail with this client id, or NULL. */
struct message *state_find_client(const struct state *state, const struct chat *chat,
                                  const uint8_t digest[DATABASE_DIGEST_BYTES]);
/* Whether a message that only the database has may have this client id: if not, there is no need
 * to look it up. */
bool state_client_may_be_settled(const struct chat *chat,
                                 const uint8_t digest[DATABASE_DIGEST_BYTES]);
/*
 * To be called when the database is asked about a client id of the chat: whether it is to be asked
 * for all of them as well. It is the second time, if they are not too many: a chat that is met once
 * before it leaves memory again is not worth it.
 */
#define STATE_CLIENTS_ASKED_MAX 512
bool state_ask_clients(struct chat *chat);
/*
 * What it said, if `clients` is complete: from now on it is the chat's, which is pinned. They are
 * to be those of a snapshot since which nothing of the chat that it may not show was evicted (it
 * was taken in an epoch that has not ended, or by who loaded the chat); what is evicted later is
 * added then.
 */
void state_know_clients(struct chat *chat, struct client_filter *clients);
/* The fresh chat of these users, or NULL. */
struct chat *state_find_users(const struct state *state, const char *namespace_name,
                              size_t namespace_size,
                              const uint8_t digest[DATABASE_USERS_DIGEST_BYTES]);
/* The lowest seq that the tail has of the chat; head_seq + 1 when it has none. */
uint64_t state_tail_seq(const struct chat *chat);
/* The message of a seq from state_tail_seq to head_seq. */
const struct message *state_message(const struct chat *chat, uint64_t seq);

/*
 * Hints. What is wanted next is seldom in the processor's cache, for there are many chats and
 * messages and each is met at random; these fetch it while other work is done. They change nothing.
 * A chat is met in two steps, for the first says where to look in the second.
 */
void state_expect_chat(const struct state *state, const struct uuid *id);
void state_expect_found_chat(const struct state *state, const struct uuid *id);
/* A Send is about to be looked for by its client id, or to be applied. */
void state_expect_client(const struct state *state, const struct chat *chat,
                         const uint8_t digest[DATABASE_DIGEST_BYTES]);
/* The same of a chat that is not in memory. */
void state_expect_number(const struct state *state, uint64_t chat_number,
                         const uint8_t digest[DATABASE_DIGEST_BYTES]);
void state_expect_apply(const struct state *state, const struct chat *chat,
                        const uint8_t digest[DATABASE_DIGEST_BYTES]);

/* --- applying; each call is one LSN --- */

/* What the database was found to have, in a snapshot that shows all that had been evicted when the
 * request entered. */
struct state_found {
    bool found;
    const uint8_t *message; /* for Send; NULL when it could not be read */
    size_t message_size;
    uint64_t seq;
    struct uuid chat_id; /* for New */
};

struct state_new_result {
    struct uuid chat_id;
    bool created;
};

struct state_send_result {
    int status; /* STORE_OK, STORE_CLIENT_ID_REUSED, or STORE_CORRUPT when found->message is NULL */
    const uint8_t *message; /* in the tail, or found->message */
    size_t message_size;
    uint64_t seq;
    bool duplicate;
};

/*
 * `found` is what the database says of the same users, or NULL when they were not looked for.
 * Returns 0, or STORE_NO_MEMORY, after which memory no longer follows the journal.
 */
int state_apply_new(struct state *state, const struct command_new *command,
                    const uint8_t digest[DATABASE_USERS_DIGEST_BYTES],
                    const struct state_found *found, struct state_new_result *result);
/* `payload` is a Send command's; `found` as above, for the same client id. */
int state_apply_send(struct state *state, struct chat *chat,
                     const uint8_t digest[DATABASE_DIGEST_BYTES], const uint8_t *payload,
                     size_t size, const struct state_found *found,
                     struct state_send_result *result);
/* A command that could not be decided (a damaged row): takes its LSN and changes nothing. */
void state_apply_nothing(struct state *state);
/* What a Send of this content gets when `original` is the message with its client id. */
void state_compare(const struct command_text *subject, const struct command_text *text,
                   const uint8_t *original, size_t original_size, uint64_t seq,
                   struct state_send_result *result);

/* --- epochs --- */

/* A request that looks into the database, or may, enters before and leaves when it is done. */
unsigned state_enter(struct state *state);
void state_leave(struct state *state, unsigned epoch);

/* --- settling --- */

struct state_range {
    struct message *first; /* NULL: no messages */
    struct message *last;
    uint64_t message_count;
    size_t message_bytes;     /* memory, as of state.unsettled_bytes */
    struct chat *fresh_first; /* NULL: no new chats */
    struct chat *fresh_last;
    uint64_t chat_count;
    size_t fresh_bytes;
    uint64_t settled_lsn;
};

/* The memory that everything applied and not settled takes, indexes and all, about. */
size_t state_unsettled_bytes(const struct state *state);
/* Everything applied and not settled. Changes nothing: a job that failed is begun again later. */
void state_settle_begin(struct state *state, struct state_range *range);
/*
 * It is in the database: evict it as soon as the epochs allow. Another job may begin at once, and
 * must be able to: the requests that eviction waits for may be waiting for the room it makes.
 */
void state_settle_done(struct state *state, const struct state_range *range);
/*
 * Evicts up to `limit` messages and chats if the epochs allow it. False when there is no more to
 * evict for now.
 */
bool state_evict(struct state *state, size_t limit);
/* Whether anything settled waits to be evicted. */
bool state_evicting(const struct state *state);

#endif
