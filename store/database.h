/*
 * The database: per-chat append logs in LMDB, and what it takes to find them.
 *
 * Written by one thread in large transactions (database_settle), read through snapshots by any
 * thread. No pointer into LMDB's map leaves a call: all results are copied. Every row carries a
 * CRC-32C that is checked when it is read; a wrong one is STORE_CORRUPT and a log line naming the
 * chat and seq or the key, and the row is not served. Tables and rows, byte by byte, are in
 * database_rows.c.
 */
#ifndef STORE_DATABASE_H
#define STORE_DATABASE_H

#include "base/uuid.h"
#include "store/message_page.h"
#include "store/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DATABASE_FEW_CLIENTS 32  /* client ids of a chat, that one row has as a rule */
#define DATABASE_DIGEST_BYTES 16 /* of a client id; see digest.h */
#define DATABASE_USERS_DIGEST_BYTES 32
#define DATABASE_NAMESPACE_BYTES_MAX 64

struct database;

struct database_meta {
    struct uuid store_id;
    uint64_t settled_lsn;      /* everything up to this LSN is in the database */
    uint64_t reached_lsn;      /* nothing behind this LSN is; see database_settle */
    uint64_t chat_number_last; /* chats are numbered 1, 2, 3, … in the order of their making */
};

/* How much of the file's pages is looked at before LMDB opens it: see database_pages.h. */
enum database_check {
    DATABASE_CHECK_AUTO, /* FULL up to DATABASE_CHECK_FULL_BYTES_MAX, then QUICK */
    DATABASE_CHECK_QUICK,
    DATABASE_CHECK_FULL,
    DATABASE_CHECK_NONE, /* for a file that another process has open, and has checked */
};

/* Checked in a quarter of a second when it is in memory, in two seconds when a disk has to bring it
 * at 256 MiB a second. A quick check takes 16 ms for 600,000 pages in memory, one read of 4 KiB for
 * each hundred of them otherwise. */
#define DATABASE_CHECK_FULL_BYTES_MAX ((uint64_t)512 << 20)

enum database_access {
    DATABASE_WRITE,       /* and read; one process at a time */
    DATABASE_READ_ALONE,  /* nobody writes meanwhile, as the caller has seen to; changes nothing */
    DATABASE_READ_BESIDE, /* beside the process that writes; takes a place among LMDB's readers */
};

struct database_options {
    const char *directory;
    uint64_t map_bytes;
    enum database_check check;
    enum database_access access;
};

/* As database_open below. Reading only, a file that is missing is STORE_NOT_FOUND. */
int database_open_with(struct database **database, const struct database_options *options,
                       struct store_failure *failure);

/*
 * Opens `directory`/chats.mdb or makes it with a new store id. A file that is shorter than its own
 * meta page says, or of another format version, is refused and left as it is. `map_bytes` bounds
 * how large the file may grow; it may be another one at every opening. Returns STORE_FORMAT,
 * STORE_CORRUPT, STORE_FULL, STORE_IO or STORE_NO_MEMORY with `failure`.
 */
int database_open(struct database **database, const char *directory, uint64_t map_bytes,
                  struct store_failure *failure);
void database_close(struct database *database);
/* As of the last database_settle or the opening. By the thread that settles, or before it starts.
 */
void database_read_meta(const struct database *database, struct database_meta *meta);

/* --- reading: any thread; a snapshot belongs to one thread at a time, and is short --- */

struct database_snapshot;

/* Sees all that had been settled when it began, and no less than any snapshot before it.
 * STORE_NO_MEMORY, STORE_IO or STORE_OVERLOADED (no
 * reader slot). */
int database_snapshot_begin(struct database *database, struct database_snapshot **snapshot);
void database_snapshot_end(struct database_snapshot *snapshot);

/* As of the snapshot. STORE_CORRUPT or STORE_IO. */
int database_snapshot_meta(struct database_snapshot *snapshot, struct database_meta *meta);

struct database_chat {
    struct uuid id;
    uint64_t number;
    uint64_t head_seq;   /* settled */
    uint64_t created_ns; /* since 1970 */
    uint8_t namespace_size;
    char namespace_name[DATABASE_NAMESPACE_BYTES_MAX + 1]; /* NUL-terminated */
};

/* STORE_NOT_FOUND, STORE_CORRUPT (also when the log does not end where the head says) or STORE_IO.
 */
int database_find_chat(struct database_snapshot *snapshot, const struct uuid *id,
                       struct database_chat *chat);

/* What a look-up found, its texts in struct database_texts. */
struct database_lookup {
    struct uuid id; /* that is looked for */
    uint64_t number;
    uint64_t head_seq; /* settled */
    size_t namespace_offset;
    size_t users_offset;
    uint32_t users_size;
    uint8_t namespace_size;
    int8_t status; /* when it is not 0, nothing but the id means anything */
};

/* Zero-initialise; set `size` to 0 to use it again; free(bytes). */
struct database_texts {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
};

/*
 * Looks for many chats and their users, in ascending order of their ids, at a fraction of what it
 * costs to look for them one by one. Each has a status: 0; STORE_NOT_FOUND, also when its number is
 * beyond the snapshot's last, so that only some of its rows may be there; or that something is
 * wrong with it, which is not always logged: whoever needs the chat looks for it alone and learns
 * more. Returns 0, or STORE_NO_MEMORY, STORE_CORRUPT or STORE_IO when none was looked for.
 */
int database_find_chats(struct database_snapshot *snapshot, struct database_lookup *lookups,
                        size_t count, struct database_texts *texts);

/*
 * The chats of a snapshot in the order of their ids. next returns 0, STORE_NOT_FOUND behind the
 * last one, or as database_find_chat. The scan ends before its snapshot does.
 */
struct database_scan;
int database_scan_begin(struct database_snapshot *snapshot, struct database_scan **scan);
int database_scan_next(struct database_scan *scan, struct database_chat *chat);
void database_scan_end(struct database_scan *scan);

/* The chat's users, as they were settled: see `users` of database_new_chat. A malloc'd copy for the
 * caller to free. */
int database_read_users(struct database_snapshot *snapshot, uint64_t chat_number, uint8_t **users,
                        size_t *size);

/* The chat of a set of users. STORE_NOT_FOUND when there is none. */
int database_find_users(struct database_snapshot *snapshot, const char *namespace_name,
                        const uint8_t digest[DATABASE_USERS_DIGEST_BYTES], struct uuid *chat_id);

/*
 * Tells the digests of all client ids of a chat, in no order. STORE_NOT_FOUND, and none is told,
 * when it has no messages or more than `max`; STORE_CORRUPT when a row is damaged or there are not
 * as many as it has messages, after some may have been told.
 */
int database_each_client(struct database_snapshot *snapshot, uint64_t chat_number, uint64_t max,
                         void (*tell)(void *data, const uint8_t digest[DATABASE_DIGEST_BYTES]),
                         void *data);

/* The seq of an earlier message with this client id. STORE_NOT_FOUND when there is none. */
int database_find_client(struct database_snapshot *snapshot, uint64_t chat_number,
                         const uint8_t digest[DATABASE_DIGEST_BYTES], uint64_t *seq);

/*
 * Adds messages of [from_seq, before_seq) to `page`, in which those next to them may be already:
 * the first ones, or with `backwards` the last ones, until the page holds `limit` messages or the
 * next would take it beyond `budget_bytes` (message_page_fits). Every seq of the range up to the
 * settled head must be there: a hole is STORE_CORRUPT. Returns 0, STORE_CORRUPT, STORE_IO,
 * STORE_NO_MEMORY; on failure the page holds what had been read before.
 */
int database_read_log(struct database_snapshot *snapshot, const struct uuid *chat_id,
                      uint64_t chat_number, uint64_t from_seq, uint64_t before_seq, size_t limit,
                      size_t budget_bytes, bool backwards, struct message_page *page);
/* The same for a range of which the caller knows that all of it is settled: the settled head is not
 * looked up, and every seq of the range must be there. */
int database_read_settled(struct database_snapshot *snapshot, const struct uuid *chat_id,
                          uint64_t chat_number, uint64_t from_seq, uint64_t before_seq,
                          size_t limit, size_t budget_bytes, bool backwards,
                          struct message_page *page);

/* --- settling: one thread --- */

struct database_new_chat {
    struct uuid id;
    uint64_t number;
    uint64_t created_ns;
    const char *namespace_name; /* NUL-terminated, 1 to 64 bytes */
    const uint8_t *users; /* for each user in byte order: u8 size (1 to 128), then the bytes */
    size_t users_size;
    uint8_t users_digest[DATABASE_USERS_DIGEST_BYTES];
};

struct database_message {
    uint64_t chat_number;
    uint64_t seq;
    const uint8_t *bytes; /* wire form of Message */
    uint32_t size;
    uint8_t client_digest[DATABASE_DIGEST_BYTES];
};

/* Which rows of new chats a batch has. */
enum database_chat_rows {
    DATABASE_CHATS_WHOLE,    /* all */
    DATABASE_CHATS_NUMBERED, /* heads and members: in the order of their numbers … */
    DATABASE_CHATS_IDS,      /* … then, with all of those, by id … */
    DATABASE_CHATS_USERS,    /* … and with all of those, by namespace and users */
};

struct database_batch {
    const struct database_new_chat *chats; /* ascending number, or in the order of their rows */
    size_t chat_count;
    enum database_chat_rows chat_rows;
    size_t chats_complete; /* how many have all of their rows with this batch; WHOLE: all */
    /* In any order as they come; sorted in place by the call. For one chat the seqs are without
     * gaps and follow its settled head. */
    struct database_message *messages;
    size_t message_count;
    uint64_t settled_lsn; /* after this batch */
    uint64_t reached_lsn; /* the batch may hold what came up to here; never less than settled_lsn */
};

/*
 * Writes the batch and its LSNs in one durable transaction. A job may be written as several batches
 * (slices.h): between them some chats have what came up to the reached LSN, all of them what came
 * up to the settled LSN, and each of them its messages without a gap. New chats whose rows come in
 * several batches are not there before the last of these; until then those rows may be written
 * again, as they are. Readers of whole tables pass over them. Returns 0; STORE_FULL (disk or
 * map full: nothing was written, try again later); STORE_CORRUPT (the batch does not follow what is
 * stored, or that is damaged: nothing was written), STORE_NO_MEMORY (nothing was written) or
 * STORE_IO, after which the process must end. `failure` is filled for all of them.
 *
 * A limit on the size of files (EFBIG) counts as a full disk, which takes a process that ignores
 * SIGXFSZ.
 */
int database_settle(struct database *database, const struct database_batch *batch,
                    struct store_failure *failure);

/* How many leaf pages tables have, as of the last database_settle. By the thread that settles. */
struct database_leaves {
    uint64_t chats;
    uint64_t users;
    uint64_t heads;
    uint64_t logs;
    uint64_t recent;
};
/* 0, STORE_NO_MEMORY or STORE_IO. */
int database_read_leaves(struct database *database, struct database_leaves *leaves);

struct database_statistics {
    uint32_t format; /* of the last transaction */
    uint64_t chats;
    uint64_t messages;
    uint64_t file_bytes;
};
int database_read_statistics(struct database_snapshot *snapshot,
                             struct database_statistics *statistics);
/* Whether all of the file is in the page cache; false if it has more bytes than that, or if that
 * cannot be found out. Takes a few milliseconds for a gigabyte. Any thread's. */
bool database_is_resident(const struct database *database, uint64_t bytes_max);

/*
 * Writes what is settled into a new file at `path`, without the free pages, and syncs it; while
 * the database is written to, too. The oldest pages stay in use meanwhile, so that the file
 * grows by what is settled. STORE_FULL, STORE_IO or STORE_CORRUPT with `failure`.
 */
int database_copy(struct database *database, const char *path, struct store_failure *failure);

#endif
