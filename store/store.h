/*
 * The store's one door: chats and their messages, durable, exactly once, in one order.
 *
 * All calls are made on the thread of the libuv loop that the store was opened with, and nothing
 * blocks that loop but store_open. A request is a struct that the caller embeds; it is the
 * store's from the call until its callback. If a call returns an error, the callback never fires;
 * if it returns 0, it fires exactly once, on the loop, maybe before the call returns. Inputs are
 * borrowed for the call only; results are valid during the callback only.
 *
 * A Send or New whose status is STORE_OK is on disk. Requests are carried out in the order in
 * which they take effect for everybody: the journal's.
 *
 * If a sync or a write of the journal or the database fails (but for a full disk), the process
 * ends with a log line and exit status 70 (EX_SOFTWARE): what is on disk is then unknown, and the
 * next start finds out.
 */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/uuid.h"
#include "store/database.h"
#include "store/message_page.h"
#include "store/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct store;

struct store_options {
    const char *directory;         /* made if missing; one process at a time */
    uint64_t segment_bytes;        /* journal segment */
    uint64_t segments_max;         /* journal segments */
    uint64_t tail_bytes_max;       /* messages in memory that are not settled */
    uint64_t chat_cache_bytes_max; /* what is kept in memory of chats that are idle */
    uint64_t requests_max;         /* in flight, commands and reads each; past it OVERLOADED */
    uint64_t request_bytes_max;    /* of commands in flight */
    uint64_t map_bytes;            /* of the database: address space, not disk */
    enum database_check check;     /* of the database's pages, before it is opened */
    uint64_t settle_bytes;         /* settle when the tail holds this much … */
    uint64_t settle_ms;            /* … or its oldest message is this old */
    uint64_t slice_bytes;          /* of the database's pages that settling holds in memory */
    uint64_t close_settle_ms; /* closing goes on settling for so long; UINT64_MAX: to the end */
    uint64_t reserve_bytes;   /* free disk space below which writes are refused */
    uint64_t recovery_window; /* records that are replayed together; 0: the usual number */
    uint64_t (*now_ns)(void); /* nanoseconds since 1970; NULL: the system's clock */
};

/* The defaults; `directory` is NULL. */
void store_options_init(struct store_options *options);

struct store_opened {
    struct uuid store_id;
    uint64_t records; /* replayed from the journal */
    uint64_t took_us; /* recovery */
    uint64_t torn_bytes;
    unsigned journal_format; /* the versions that this program writes */
    unsigned database_format;
};

/*
 * Opens or makes the store in `options->directory` and recovers it. Blocks. Returns 0, or a status
 * with `failure` saying what is wrong and what would help.
 */
int store_open(struct store **store, uv_loop_t *loop, const struct store_options *options,
               struct store_opened *opened, struct store_failure *failure);

/*
 * Takes no further requests (STORE_CLOSING), finishes those it has, settles, then calls `closed`,
 * after which the store is gone. What could not be settled in `close_settle_ms`, or because the
 * disk is full, stays in the journal, and the next opening recovers it.
 */
void store_close(struct store *store, void (*closed)(void *data), void *data);

/*
 * From now on a New or Send that would wait for settling to make room in the journal or in memory
 * is refused instead (STORE_CLOSING), and so are those that wait: on a slow disk that may take
 * minutes. For who wants to close soon.
 */
void store_hurry(struct store *store);

/* --- New --- */

struct store_new {
    void *data;
    void (*done)(struct store_new *request);
    int status; /* STORE_OK, FULL, CLOSING, CORRUPT, NO_MEMORY */
    struct uuid chat_id;
    bool created;
    struct store_command *command; /* the store's own */
};

/* `user_ids` are distinct and sorted by their bytes, 1 to 128 bytes each. Returns 0,
 * STORE_OVERLOADED, STORE_FULL, STORE_CLOSING or STORE_NO_MEMORY. */
int store_new(struct store *store, struct store_new *request, const char *namespace_name,
              char *const *user_ids, size_t user_count);

/* --- Send --- */

struct store_send_input {
    const char *namespace_name;
    struct uuid chat_id;
    const char *user_id;
    const char *client_id; /* not empty */
    const char *subject;   /* may be empty */
    const char *text;
    const char *acting_user; /* must be among the chat's users; NULL: not checked */
};

struct store_send {
    void *data;
    void (*done)(struct store_send *request);
    /* STORE_OK, NO_CHAT, NOT_A_MEMBER, CLIENT_ID_REUSED, FULL, CLOSING, CORRUPT, NO_MEMORY */
    int status;
    const uint8_t *message; /* wire form of Message, as stored */
    size_t message_size;
    uint64_t seq; /* for CLIENT_ID_REUSED too: of the earlier message */
    bool duplicate;
    struct store_command *command; /* the store's own */
};

/* Returns 0, STORE_OVERLOADED, STORE_FULL, STORE_CLOSING or STORE_NO_MEMORY. */
int store_send(struct store *store, struct store_send *request,
               const struct store_send_input *input);
/* A hint that Sends to these chats follow at once, up to STORE_EXPECTED of them: fetches what they
 * need into the processor's cache, all at the same time. Changes nothing. */
#define STORE_EXPECTED 16
void store_expect_sends(const struct store *store, const struct uuid *chat_ids, size_t count);
/* The size of the Message that `input` would be stored as, at most, in bytes. */
size_t store_send_message_bytes_max(const struct store_send_input *input);

/* --- History --- */

struct store_history_input {
    const char *namespace_name;
    struct uuid chat_id;
    uint64_t from_seq;   /* 0: unset */
    uint64_t before_seq; /* 0: unset; else >= from_seq */
    uint32_t limit;      /* 1 to 1000 */
    size_t budget_bytes; /* of the page: message_page_fits */
    const char *acting_user;
};

struct store_history {
    void *data;
    void (*done)(struct store_history *request);
    int status;                /* STORE_OK, NO_CHAT, NOT_A_MEMBER, CORRUPT, NO_MEMORY, OVERLOADED */
    struct message_page *page; /* what can be written to is the caller's to write to */
    uint64_t head_seq;
    bool more;
    bool keep_newest; /* the page is the end of its range: cut it from the front, if at all */
    struct store_read *read; /* the store's own */
};

/* Returns 0, STORE_OVERLOADED, STORE_CLOSING or STORE_NO_MEMORY. Works while the disk is full. */
int store_history(struct store *store, struct store_history *request,
                  const struct store_history_input *input);

/* --- figures --- */

/* The last class has all that are larger than the one before it. */
#define STORE_BATCH_CLASSES 16

struct store_statistics {
    uint64_t requests_in_flight;
    uint64_t batches;                          /* journal batches synced */
    uint64_t commands;                         /* in them */
    uint64_t batch_sizes[STORE_BATCH_CLASSES]; /* batches of up to 1, 2, 4, 8, … commands */
    uint64_t sync_us_total;                    /* write and sync */
    uint64_t sync_us_max;
    uint64_t tail_bytes;
    uint64_t tail_messages;
    uint64_t journal_bytes; /* on disk */
    uint64_t settles;
    uint64_t settled_lsn;
    uint64_t last_lsn; /* durable */
    uint64_t chats_cached;
    uint64_t client_lookups; /* Sends for which the database was asked about their client id */
    uint64_t refused_overloaded;
    uint64_t refused_full;
    bool full; /* writes are refused for want of disk space */
};
void store_read_statistics(const struct store *store, struct store_statistics *statistics);

#endif
