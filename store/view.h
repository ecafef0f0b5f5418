/*
 * A store as of one moment, for reading: what is settled, through a snapshot of the database, and
 * what is not, applied from the journal in memory. Of a data directory that nobody holds, or beside
 * the service that holds it. Changes nothing.
 *
 * One thread; blocks. While the view is open the database cannot use pages again that the snapshot
 * sees, and grows by what is settled meanwhile.
 */
#ifndef STORE_VIEW_H
#define STORE_VIEW_H

#include "base/uuid.h"
#include "store/database.h"
#include "store/journal_read.h"
#include "store/state.h"
#include "store/status.h"
#include <stdbool.h>
#include <stdint.h>

enum view_access {
    VIEW_ALONE, /* STORE_LOCKED when a process holds the directory; held while the view is open */
    VIEW_ANY,   /* held if nobody else does, and beside that process if one does */
};

/*
 * What is open of a data directory. The members are for reading.
 */
struct view {
    char *directory;
    int lock; /* of the directory; negative beside another process */
    struct database *database;
    struct database_snapshot *snapshot;
    struct database_meta meta; /* as of the snapshot */
    struct state state;        /* the unsettled is applied */
    uint64_t last_lsn;         /* what the view shows */
    struct journal_figures journal;
};

/*
 * Opens the directory, and checks all pages of its database unless another process has done so.
 * Returns 0; STORE_NOT_FOUND when there is no store; STORE_LOCKED, STORE_CORRUPT, STORE_FORMAT,
 * STORE_IO, STORE_NO_MEMORY; with `failure`. What was committed when it was called is in the view.
 */
int view_open(struct view **view, const char *directory, enum view_access access,
              struct store_failure *failure);
void view_close(struct view *view);

/*
 * Reads the journal as of now, apart from the view: a copy of the database that is begun after this
 * returned, and the records of the image behind that copy's settled LSN, are the store as of now or
 * a little later. As journal_read; STORE_CORRUPT when a record that was durable is not there.
 */
int view_read_journal(struct view *view, struct journal_image **image,
                      struct store_failure *failure);

/* A first look: takes the directory's lock as view_open does, *lock is negative beside another
 * process, and says whether there is a store. directory_unlock ends a lock that is not negative. */
int view_lock(const char *directory, enum view_access access, int *lock,
              struct store_failure *failure);

struct view_chat {
    struct database_chat chat; /* its head_seq is the settled one; number 0: it is not settled */
    const uint8_t *users;      /* in stored form; valid during the call */
    size_t users_size;
    uint64_t head_seq;
    const struct chat *unsettled; /* NULL: all of it is settled */
};

/* Calls `each` for all chats in the order of their ids, until it returns other than 0. Returns
 * that, or STORE_CORRUPT, … with `failure`. */
typedef int (*view_chat_fn)(void *data, const struct view_chat *chat);
int view_each_chat(struct view *view, view_chat_fn each, void *data, struct store_failure *failure);

/* The same for a chat's messages, by seq: each is the wire form of Message, valid in the call. */
typedef int (*view_message_fn)(void *data, uint64_t seq, const uint8_t *bytes, size_t size);
int view_each_message(struct view *view, const struct view_chat *chat, view_message_fn each,
                      void *data, struct store_failure *failure);

#endif
