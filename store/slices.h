/*
 * A settle job, written to the database in slices: what came up to one LSN, as several transactions
 * of bounded size, each with some of the chats. Only the last one makes that LSN the settled one.
 *
 * Why not one transaction: LMDB keeps a copy of each page that a transaction touches in memory
 * until it ends, and what it frees cannot be used again before the one after the next. With many
 * chats a message touches two pages of its own, so that a job of a hundred thousand messages would
 * take hundreds of MiB, and twice as much of the file. Why not smaller jobs: what the messages of
 * many chats share, such as the pages of heads, is written once for each job.
 *
 * One thread at a time: the settling one. The arrays are the caller's and stay until the job is
 * over.
 */
#ifndef STORE_SLICES_H
#define STORE_SLICES_H

#include "store/database.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Set the first five and zero the rest. */
struct slices {
    struct database_new_chat *chats; /* ascending number; they are put into other orders */
    size_t chat_count;
    struct database_message *messages; /* in any order; for one chat as database_batch says */
    size_t message_count;
    uint64_t lsn;     /* what came up to here, behind what is settled */
    size_t bytes_max; /* of a slice's pages, by estimate; it has one chat or message at least */
    /* How far it is. */
    enum database_chat_rows chat_rows;
    size_t chats_done; /* of these rows */
    bool chats_over;
    size_t messages_done;
    bool sorted;
    bool over; /* all is in the database, and the LSN */
};

/*
 * Writes the next slice, until `over`. Returns 0, or as database_settle, after which the same slice
 * comes next: after STORE_FULL it may be tried again.
 */
int slices_write(struct slices *slices, struct database *database, struct store_failure *failure);

#endif
