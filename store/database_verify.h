/*
 * Whether all rows of the database are undamaged, and say the same: every CRC is checked, and every
 * index both ways.
 *
 * One thread. The database's pages must have been checked (DATABASE_CHECK_FULL): this reads through
 * LMDB. Takes 60 bytes of memory for each chat. Changes nothing.
 */
#ifndef STORE_DATABASE_VERIFY_H
#define STORE_DATABASE_VERIFY_H

#include "store/database.h"
#include "store/digest.h"
#include <stdbool.h>
#include <stdint.h>

struct database_problem {
    const char *table;
    const char *what;
    bool has_chat_id;
    struct uuid chat_id;
    uint64_t chat_number; /* 0: not known */
    uint64_t seq;         /* 0: none */
    uint64_t offset;      /* in the file, of the row or the message; 0: not known */
};

typedef void (*database_problem_fn)(void *data, const struct database_problem *problem);

struct database_verified {
    uint64_t chats;
    uint64_t messages;
    uint64_t message_bytes;
    uint64_t client_ids;
    uint64_t problems;
};

/* Calls `report` for each problem. Returns 0, whether there were problems or not; STORE_NO_MEMORY,
 * or STORE_IO or STORE_CORRUPT when it could not be done to the end; with `failure`. */
int database_verify(struct database_snapshot *snapshot, database_problem_fn report, void *data,
                    struct database_verified *figures, struct store_failure *failure);

#endif
