/*
 * What the files store*.c share: the struct behind the door. Nothing else includes this.
 *
 *   store.c          life: opening, closing, the turn of the loop, figures
 *   store_recover.c  opening: journal records behind the settled LSN are applied
 *   store_replay.c   applying a record
 *   store_chat.c     a chat from memory, or from the database
 *   store_write.c    New and Send: batches to the journal, lookups, applying
 *   store_history.c  pages from the database and the tail
 *   store_settle.c   settling, evicting, and what to do when the disk is full
 */
#ifndef STORE_STORE_INTERNAL_H
#define STORE_STORE_INTERNAL_H

#include "store/journal.h"
#include "store/reader.h"
#include "store/slices.h"
#include "store/state.h"
#include "store/store.h"
#include "store/worker.h"

#include <stddef.h>

/* What comes when a batch is this large goes into the next one: the sync would take noticeably
 * longer. */
#define STORE_BATCH_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* A sync that takes longer counts as this. It is also what the disk is taken for at first. */
#define STORE_SYNC_US_COUNTED 10000

/* Pages' memory that is kept for the next ones: as many as are read at once, by and large, and
 * pages of the usual size. */
#define STORE_PAGES_KEPT 32
#define STORE_PAGE_KEPT_BYTES_MAX ((size_t)32 * 1024)

/* --- waiting for a chat --- */

struct chat_waiter {
    struct chat_waiter *next;
    /* With a chat, pinned for the waiter; or with NULL and a status: STORE_NO_CHAT, CORRUPT, … */
    void (*ready)(struct chat_waiter *waiter, struct chat *chat, int status);
};

/* --- commands on their way --- */

struct batch;

struct store_command {
    struct reader_item lookup; /* first: the database is asked through it */
    struct chat_waiter waiter;
    struct store *store;
    struct store_command *next; /* in its batch, or among the unused */
    enum command_kind kind;
    union {
        struct store_new *new_chat;
        struct store_send *send;
    } request;
    struct batch *batch;
    size_t payload_offset; /* in the batch's buffer */
    uint32_t payload_size;
    size_t charged_bytes; /* against the limit of bytes in flight */
    uint8_t *held;        /* the payload while it is not in a batch; malloc'd */
    char *acting_user;    /* while the chat is looked up; malloc'd */
    char held_namespace[DATABASE_NAMESPACE_BYTES_MAX + 1];
    struct chat *chat;                           /* of a Send; pinned */
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES]; /* of the client id (first half) or the users */
    unsigned epoch;
    int lookup_status; /* STORE_OK, NOT_FOUND, CORRUPT or what went wrong */
    struct state_found found;
    struct message_page original; /* behind found.message */
    bool clients_asked;           /* the chat's client ids are wanted, too: */
    struct client_filter clients; /* complete: it has them */
};

struct batch {
    struct worker_job job; /* first: to the journal's thread and back */
    struct store *store;
    struct batch *next; /* behind it in order */
    struct journal_batch journal;
    struct store_command *first;
    struct store_command *last;
    unsigned lookups; /* not yet done */
    bool sent;        /* to the journal's thread */
    bool written;     /* and back */
    bool counted;     /* what there is to count once has been */
    int status;       /* of the append */
    uint64_t took_us;
    struct store_failure failure;
};

/* --- the store --- */

struct settle_job {
    struct worker_job job; /* first */
    struct store *store;
    struct state_range range;
    struct slices slices; /* of the range; its arrays are there from the first slice to the last */
    bool begun;           /* and not over: after a full disk it goes on where it was */
    int status;
    uint64_t journal_bytes; /* of the commands in it */
    struct store_failure failure;
};

struct prepare_work {
    uv_work_t request;
    struct store *store;
    int status;
    bool busy;
    struct store_failure failure;
};

struct store {
    uv_loop_t *loop;
    struct store_options options;
    char *directory;
    int lock;
    struct database *database;
    struct journal *journal;
    struct state state;
    struct worker journal_worker;
    struct worker settle_worker;
    struct reader reader;
    uv_prepare_t turn; /* once in each turn of the loop, before it waits */
    uv_idle_t busy;    /* while there is something to go on with: the loop does not wait */
    uv_timer_t tick;   /* while there is something that time decides */

    /* Batches in order: applied from the front, sent one at a time, filled at the back. */
    struct batch *batch_first;
    struct batch *batch_last;
    struct batch *batch_unused;
    size_t batch_bytes_max;
    bool appending;            /* the journal's thread has one */
    unsigned applied;          /* commands, in this turn of the loop */
    uint64_t usual_sync_us_16; /* how long a batch takes lately, sixteen times */
    struct store_command *command_unused;
    struct table loads; /* chats being looked up */
    uint64_t secret;    /* spreads the hashes of `loads` */

    struct settle_job settle;
    bool settling;
    bool settle_failed_full; /* the last attempt met a full disk */
    bool settle_wanted;      /* for space, whatever the age */
    uint64_t settled_lsn;
    uint64_t unsettled_bytes; /* of journal records applied and not settled */
    uint64_t unsettled_since_ms;
    struct prepare_work prepare;
    bool prepare_failed_full;
    bool space_short; /* less than the reserve is free */
    bool full;        /* any of these: writes are refused */
    bool tick_running;

    struct message_page pages[STORE_PAGES_KEPT]; /* not in use: their memory is */
    unsigned pages_kept;

    uint64_t requests;      /* in flight */
    uint64_t reads;         /* of these: pages */
    uint64_t request_bytes; /* of commands not yet durable */
    struct store_statistics statistics;

    bool hurried; /* nothing waits for room */
    bool closing;
    bool leaving; /* closing, and all requests are finished */
    uint64_t leaving_since_ms;
    unsigned handles_open;
    void (*closed)(void *data);
    void *closed_data;
};

/* Logs why and ends the process: nobody knows what is on disk, or memory no longer follows it. */
void store_die(const char *what, const struct store_failure *failure) __attribute__((noreturn));
/* Counts a New or Send in, or a page to be read; or returns why it cannot be taken: STORE_CLOSING
 * or STORE_OVERLOADED. Each kind has a limit of its own, so that commands never keep readers out.
 */
int store_command_begin(struct store *store);
void store_command_end(struct store *store);
int store_read_begin(struct store *store);
void store_read_end(struct store *store);

/* store_recover.c: opens journal and state behind an open database. */
int store_recover(struct store *store, struct store_opened *opened, struct store_failure *failure);

/*
 * store_chat.c: returns the chat, pinned, if it is in memory. Otherwise NULL with status 0, and
 * `waiter->ready` will be called later; or NULL with STORE_NO_MEMORY.
 */
struct chat *store_chat_get(struct store *store, const struct uuid *id, struct chat_waiter *waiter,
                            int *status);
/* Reads chat and users through a snapshot: STORE_OK with `users` malloc'd, or a status. Any thread.
 */
int store_chat_read(struct database_snapshot *snapshot, const struct uuid *id,
                    struct database_chat *chat, uint8_t **users, size_t *users_size);
/* Any thread. Makes the set of the chat's client ids; it is not complete if they cannot be read:
 * whoever needs one of them will hear of it. */
void store_chat_read_clients(struct database_snapshot *snapshot, uint64_t chat_number,
                             struct client_filter *clients);
/* STORE_OK when the chat is in this namespace and has the acting user (NULL: anyone). */
int store_chat_check(const struct chat *chat, const char *namespace_name, const char *acting_user);

/* store_write.c */
/* True: the next turn has something to apply already, and the loop must not wait for it. */
bool store_write_turn(struct store *store);
bool store_write_idle(const struct store *store);
/* Answers all commands that are not yet on their way to the disk. */
void store_write_refuse(struct store *store, int status);
void store_write_free(struct store *store);

/* store_history.c */
void store_history_free(struct store *store);

/* store_settle.c */
void store_settle_start(struct store *store);
/* True: the next turn has something to evict. */
bool store_settle_turn(struct store *store);
/* Bytes of journal records were applied. */
void store_settle_note(struct store *store, size_t bytes);
/* Whether a batch of this size may go to the journal now; starts what makes room if not. */
bool store_settle_room(struct store *store, size_t batch_bytes);
bool store_settle_idle(const struct store *store);
void store_settle_free(struct store *store);

#endif
