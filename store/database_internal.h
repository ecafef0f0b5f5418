/*
 * What the sources of the database share; nobody else includes this.
 *
 * Functions here return 0 or a store status. Those that find a damaged row log it themselves.
 */
#ifndef STORE_DATABASE_INTERNAL_H
#define STORE_DATABASE_INTERNAL_H

#include "store/database.h"
#include "store/database_rows.h"
#include <lmdb.h>
#include <pthread.h>
#include <stdatomic.h>

/* meta is the first: its row says whether the others are of a format that can be read. */
#define DATABASE_TABLES(X)                                                                         \
    X(META, "meta")                                                                                \
    X(CHATS, "chats")                                                                              \
    X(HEADS, "heads")                                                                              \
    X(MEMBERS, "members")                                                                          \
    X(USERS, "users")                                                                              \
    X(LOGS, "logs")                                                                                \
    X(CLIENTS, "clients")                                                                          \
    X(RECENT, "recent")

enum database_table {
#define X(name, text) TABLE_##name,
    DATABASE_TABLES(X)
#undef X
        TABLE_COUNT
};

struct database {
    MDB_env *env;
    MDB_dbi tables[TABLE_COUNT];     /* fixed once open */
    bool beside;                     /* another process writes */
    struct database_totals totals;   /* the settling thread's */
    struct database_client *clients; /* scratch of the settling thread */
    size_t clients_capacity;
    atomic_uint_fast64_t commits; /* begun; see database_snapshot_begin */
    /* Guards `idle`, and nothing is called while it is held. */
    pthread_mutex_t lock;
    struct database_snapshot *idle;
};

/* A read transaction with its cursors; between uses it is reset and waits in the pool. */
struct database_snapshot {
    struct database *database;
    MDB_txn *txn;
    MDB_cursor *logs;
    MDB_cursor *clients;
    struct database_snapshot *next;
};

const char *database_table_name(enum database_table table);

/* LMDB's result, or an errno, as a store status. */
int database_status(int rc);
/* The same for a read; what is neither 0 nor NOT_FOUND is logged with the table's name. */
int database_read_status(int rc, enum database_table table);

/* Logs that a row is damaged and returns STORE_CORRUPT. */
int database_damaged(enum database_table table, const char *what, uint64_t chat_number);
int database_damaged_id(enum database_table table, const char *what, const struct uuid *chat_id);
int database_damaged_message(const struct uuid *chat_id, uint64_t chat_number, uint64_t seq,
                             const char *what);

struct database_row database_row_of(const MDB_val *key, const MDB_val *value);
/* Reads the row of `key`. 0, STORE_NOT_FOUND or another status; borrowed until the transaction's
 * next change. */
int database_get(MDB_txn *txn, const struct database *database, enum database_table table,
                 const void *key, size_t key_size, struct database_row *row);
/* Puts the cursor on the last row whose key is not beyond `key`. */
int database_seek(MDB_cursor *cursor, enum database_table table, const void *key, size_t key_size,
                  struct database_row *row);

/* Whether a job may have left rows of a chat of this number that is not there yet. */
bool database_is_unfinished(const struct database_meta *meta, uint64_t chat_number);
/* STORE_NOT_FOUND when the chat is newer than the transaction. */
int database_read_head(MDB_txn *txn, const struct database *database, uint64_t chat_number,
                       uint64_t *head_seq);
/* The chunk that holds `seq`, or the last one before it. STORE_NOT_FOUND when there is none. */
int database_seek_chunk(MDB_cursor *logs, uint64_t chat_number, uint64_t seq,
                        struct database_chunk *chunk);
/* The last chunk of a log whose head is not 0; damaged unless it ends with the head. */
int database_seek_last_chunk(MDB_cursor *logs, uint64_t chat_number, uint64_t head_seq,
                             struct database_chunk *chunk);
/* 0 when the chat's log ends with its head; otherwise it is damaged. */
int database_check_log_end(struct database_snapshot *snapshot, uint64_t chat_number,
                           uint64_t head_seq);
/* STORE_NOT_FOUND when no bucket has it. */
int database_search_clients(MDB_txn *txn, const struct database *database, MDB_cursor *clients,
                            uint64_t chat_number, const uint8_t digest[DATABASE_DIGEST_BYTES],
                            uint64_t *seq);

/* As database_each_client. */
int database_tell_clients(MDB_txn *txn, const struct database *database, MDB_cursor *clients,
                          uint64_t chat_number, uint64_t max,
                          void (*tell)(void *data, const uint8_t digest[DATABASE_DIGEST_BYTES]),
                          void *data);

/*
 * Adds the clients of one chat's messages, which are sorted by digest. Returns 0; STORE_CORRUPT
 * with `failure` when one of them is there already; or what LMDB failed with.
 */
int database_add_clients(struct database *database, MDB_cursor *recent, MDB_cursor *clients,
                         const struct database_message *messages, size_t count,
                         struct store_failure *failure);

#endif
