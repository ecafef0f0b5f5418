/*
 * Opening, and what all other parts of the database need: statuses, snapshots, seeking.
 *
 * A new database is made under another name, with all its tables and its meta row in one
 * transaction, and gets its own name by rename(2). So chats.mdb is whole from the first moment that
 * it exists; a file of that name that is empty, cut or without a meta row is damaged, and is
 * refused instead of being taken for new.
 *
 * Opening looks at the file before LMDB maps it: its length, and its pages as far as the options
 * say (database_pages.c). One that is shorter than the last page in use is refused, but for one
 * case: LMDB does not write pages that a transaction took at the end of the file and gave back. If
 * all of the missing pages are free ones, nothing is missing, and the file is made as long as it
 * says.
 *
 * Snapshots wait in a pool when they are not in use: renewing a read transaction is a store into
 * its slot of the reader table, while a new one takes a lock, memory and a slot.
 *
 * LMDB is opened without MDB_NOSYNC and MDB_NOMETASYNC, so that a commit is durable, and without
 * MDB_WRITEMAP, which on a full disk would end the process with SIGBUS. MDB_NOTLS ties a read
 * transaction to its snapshot instead of its thread. MDB_NORDAHEAD: reads are of single pages
 * scattered over a file that may be larger than memory.
 *
 * LMDB's own pages (its trees and its list of free pages) have no checksums: what damage there the
 * check of the pages cannot see shows as rows that are missing, which heads and the consecutive
 * seqs bring to light.
 */
#include "store/database_internal.h"

#include "base/log.h"
#include "store/database_file.h"
#include "store/database_pages.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ENVIRONMENT_FLAGS (MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD)
#define FILE_MODE 0600
#define RESIDENT_PAGES 4096 /* asked for at a time */
#define READERS_MAX 512
/* What LMDB wants for that many, a cache line each and two for itself, in whole pages. */
#define READER_TABLE_BYTES (9 * 4096)
#define MAP_BYTES_MULTIPLE 65536 /* the largest page size there is */
#define LMDB_FREE_TABLE 0 /* LMDB's list of free pages: transaction id → count, page numbers */

const char *database_table_name(enum database_table table)
{
    static const char *const names[] = {
#define X(name, text) text,
        DATABASE_TABLES(X)
#undef X
    };

    return names[table];
}

/* --- failures --- */

int database_status(int rc)
{
    switch (rc) {
    case 0:
        return 0;
    case MDB_NOTFOUND:
        return STORE_NOT_FOUND;
    case MDB_MAP_FULL:
    case ENOSPC:
    case EDQUOT:
    case EFBIG: /* a limit on the size of files, which someone can raise as they can make space */
        return STORE_FULL;
    case ENOMEM:
        return STORE_NO_MEMORY;
    case MDB_READERS_FULL:
        return STORE_OVERLOADED;
    case MDB_CORRUPTED:
    case MDB_PAGE_NOTFOUND:
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
        return STORE_CORRUPT;
    case MDB_VERSION_MISMATCH:
        return STORE_FORMAT;
    default:
        return STORE_IO;
    }
}

int database_read_status(int rc, enum database_table table)
{
    if (rc != 0 && rc != MDB_NOTFOUND)
        LOG_ERROR("database.read_failed", log_text("table", database_table_name(table)),
                  log_text("reason", mdb_strerror(rc)));
    return database_status(rc);
}

int database_damaged(enum database_table table, const char *what, uint64_t chat_number)
{
    LOG_ERROR("database.damaged", log_text("table", database_table_name(table)),
              log_text("reason", what), log_u64("chat_number", chat_number));
    return STORE_CORRUPT;
}

int database_damaged_id(enum database_table table, const char *what, const struct uuid *chat_id)
{
    char text[UUID_TEXT_BYTES];

    uuid_format(chat_id, text);
    LOG_ERROR("database.damaged", log_text("table", database_table_name(table)),
              log_text("reason", what), log_bytes("chat_id", text, sizeof text));
    return STORE_CORRUPT;
}

int database_damaged_message(const struct uuid *chat_id, uint64_t chat_number, uint64_t seq,
                             const char *what)
{
    char text[UUID_TEXT_BYTES];

    uuid_format(chat_id, text);
    LOG_ERROR("database.damaged", log_text("table", database_table_name(TABLE_LOGS)),
              log_text("reason", what), log_bytes("chat_id", text, sizeof text),
              log_u64("chat_number", chat_number), log_u64("seq", seq));
    return STORE_CORRUPT;
}

/* --- seeking --- */

struct database_row database_row_of(const MDB_val *key, const MDB_val *value)
{
    return (struct database_row){key->mv_data, key->mv_size, value->mv_data, value->mv_size};
}

/* LMDB takes keys by a pointer that is not const, and only reads them. */
static MDB_val key_of(const void *key, size_t size)
{
    return (MDB_val){size, (void *)(uintptr_t)key};
}

int database_get(MDB_txn *txn, const struct database *database, enum database_table table,
                 const void *key, size_t key_size, struct database_row *row)
{
    MDB_val sought = key_of(key, key_size);
    MDB_val value;
    int rc = mdb_get(txn, database->tables[table], &sought, &value);

    if (rc == 0)
        *row = (struct database_row){key, key_size, value.mv_data, value.mv_size};
    return database_read_status(rc, table);
}

int database_seek(MDB_cursor *cursor, enum database_table table, const void *key, size_t key_size,
                  struct database_row *row)
{
    MDB_val found = key_of(key, key_size);
    MDB_val value;
    int rc = mdb_cursor_get(cursor, &found, &value, MDB_SET_RANGE);

    if (rc == MDB_NOTFOUND)
        rc = mdb_cursor_get(cursor, &found, &value, MDB_LAST);
    else if (rc == 0 && (found.mv_size != key_size || memcmp(found.mv_data, key, key_size) != 0))
        rc = mdb_cursor_get(cursor, &found, &value, MDB_PREV);
    if (rc == 0)
        *row = database_row_of(&found, &value);
    return database_read_status(rc, table);
}

/* --- the meta row --- */

static int read_totals(MDB_txn *txn, const struct database *database,
                       struct database_totals *totals, uint32_t *format)
{
    struct database_row row;
    int rc =
        database_get(txn, database, TABLE_META, DATABASE_META_KEY, DATABASE_META_KEY_BYTES, &row);

    *format = 0;
    return rc == 0 ? database_decode_meta(&row, totals, format) : rc;
}

int database_read_head(MDB_txn *txn, const struct database *database, uint64_t chat_number,
                       uint64_t *head_seq)
{
    uint8_t key[DATABASE_NUMBER_KEY_BYTES];
    struct database_totals totals;
    struct database_row row;
    uint32_t format;
    int rc;

    database_number_key(key, chat_number);
    rc = database_get(txn, database, TABLE_HEADS, key, sizeof key, &row);
    if (rc == 0 && !database_decode_head(&row, head_seq))
        return database_damaged(TABLE_HEADS, "the CRC or the size is wrong", chat_number);
    if (rc != STORE_NOT_FOUND)
        return rc;
    /* Every chat has a head from its making on. Without one it is newer than the transaction, or
     * the row is lost. */
    rc = read_totals(txn, database, &totals, &format);
    if (rc == 0 && chat_number > totals.meta.chat_number_last)
        return STORE_NOT_FOUND;
    return rc == 0 ? database_damaged(TABLE_HEADS, "the row is missing", chat_number) : rc;
}

void database_read_meta(const struct database *database, struct database_meta *meta)
{
    *meta = database->totals.meta;
}

int database_snapshot_meta(struct database_snapshot *snapshot, struct database_meta *meta)
{
    struct database_totals totals = {0};
    uint32_t format;
    int rc = read_totals(snapshot->txn, snapshot->database, &totals, &format);

    *meta = totals.meta;
    return rc == STORE_NOT_FOUND ? STORE_CORRUPT : rc;
}

int database_read_statistics(struct database_snapshot *snapshot,
                             struct database_statistics *statistics)
{
    struct database_totals totals;
    struct stat status;
    uint32_t format;
    int file;
    int rc = read_totals(snapshot->txn, snapshot->database, &totals, &format);

    if (rc != 0)
        return rc == STORE_CORRUPT ? database_damaged(TABLE_META, "the CRC is wrong", 0) : rc;
    if (mdb_env_get_fd(snapshot->database->env, &file) != 0 || fstat(file, &status) != 0)
        return STORE_IO;
    statistics->format = format;
    statistics->chats = totals.meta.chat_number_last;
    statistics->messages = totals.messages;
    statistics->file_bytes = (uint64_t)status.st_size;
    return 0;
}

/* Asks a part at a time. */
static bool is_resident(const uint8_t *bytes, size_t size)
{
    size_t page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char pages[RESIDENT_PAGES];

    while (size > 0) {
        size_t part = size < sizeof pages * page_bytes ? size : sizeof pages * page_bytes;
        size_t count = (part + page_bytes - 1) / page_bytes;
        if (mincore((void *)(uintptr_t)bytes, part, pages) != 0)
            return false;
        for (size_t i = 0; i < count; i++) {
            if ((pages[i] & 1) == 0)
                return false;
        }
        bytes += part;
        size -= part;
    }
    return true;
}

/* LMDB does not tell where its map is: one of our own, of which nothing is touched, serves as well.
 */
bool database_is_resident(const struct database *database, uint64_t bytes_max)
{
    struct stat status;
    size_t size;
    void *map;
    int file;
    bool resident;

    if (mdb_env_get_fd(database->env, &file) != 0 || fstat(file, &status) != 0 ||
        status.st_size <= 0 || (uint64_t)status.st_size > bytes_max)
        return false;
    size = (size_t)status.st_size;
    map = mmap(NULL, size, PROT_READ, MAP_SHARED, file, 0);
    if (map == MAP_FAILED)
        return false;
    resident = is_resident(map, size);
    munmap(map, size);
    return resident;
}

static int read_leaves(MDB_txn *txn, const struct database *database, enum database_table table,
                       uint64_t *leaves)
{
    MDB_stat stat;
    int rc = mdb_stat(txn, database->tables[table], &stat);

    *leaves = rc == 0 ? stat.ms_leaf_pages : 0;
    return database_read_status(rc, table);
}

int database_read_leaves(struct database *database, struct database_leaves *leaves)
{
    struct database_snapshot *snapshot;
    int rc = database_snapshot_begin(database, &snapshot);

    if (rc != 0)
        return rc;
    rc = read_leaves(snapshot->txn, database, TABLE_CHATS, &leaves->chats);
    if (rc == 0)
        rc = read_leaves(snapshot->txn, database, TABLE_USERS, &leaves->users);
    if (rc == 0)
        rc = read_leaves(snapshot->txn, database, TABLE_HEADS, &leaves->heads);
    if (rc == 0)
        rc = read_leaves(snapshot->txn, database, TABLE_LOGS, &leaves->logs);
    if (rc == 0)
        rc = read_leaves(snapshot->txn, database, TABLE_RECENT, &leaves->recent);
    database_snapshot_end(snapshot);
    return rc;
}

/* --- opening --- */

struct opening {
    char path[PATH_MAX];      /* chats.mdb */
    char path_lock[PATH_MAX]; /* LMDB's reader table beside it */
    char path_new[PATH_MAX];
    char path_new_lock[PATH_MAX];
    const char *directory;
    uint64_t map_bytes;
    enum database_check check;
    enum database_access access;
    struct store_failure *failure;
};

static int fail_lmdb(const struct opening *opening, int rc, const char *what)
{
    return store_fail(opening->failure, database_status(rc), "%s: %s: %s", opening->path, what,
                      mdb_strerror(rc));
}

static int fail_system(const struct opening *opening, const char *what)
{
    return store_fail(opening->failure, database_status(errno), "%s: %s: %s", opening->path, what,
                      strerror(errno));
}

static bool join_path(char path[PATH_MAX], const char *directory, const char *name)
{
    int size = snprintf(path, PATH_MAX, "%s/%s", directory, name);

    return size > 0 && size < PATH_MAX;
}

static int begin_opening(struct opening *opening, const struct database_options *options,
                         struct store_failure *failure)
{
    const char *directory = options->directory;

    opening->directory = directory;
    opening->failure = failure;
    opening->check = options->check;
    opening->access = options->access;
    opening->map_bytes =
        (options->map_bytes + MAP_BYTES_MULTIPLE - 1) / MAP_BYTES_MULTIPLE * MAP_BYTES_MULTIPLE;
    if (!join_path(opening->path, directory, "chats.mdb") ||
        !join_path(opening->path_lock, directory, "chats.mdb-lock") ||
        !join_path(opening->path_new, directory, "chats.mdb.new") ||
        !join_path(opening->path_new_lock, directory, "chats.mdb.new-lock"))
        return store_fail(failure, STORE_IO, "the name of the data directory is too long");
    return 0;
}

static unsigned environment_flags(const struct opening *opening)
{
    switch (opening->access) {
    case DATABASE_READ_ALONE:
        /* Without LMDB's lock file, which need not be there and may not be writable. */
        return ENVIRONMENT_FLAGS | MDB_RDONLY | MDB_NOLOCK;
    case DATABASE_READ_BESIDE:
        return ENVIRONMENT_FLAGS | MDB_RDONLY;
    case DATABASE_WRITE:
        break;
    }
    return ENVIRONMENT_FLAGS;
}

/* LMDB asks what cannot be on a whole page, and would abort. There is no way back into it. */
static void on_assertion(MDB_env *env, const char *what)
{
    const char *path = "";

    (void)mdb_env_get_path(env, &path);
    LOG_ERROR("database.damaged", log_text("path", path), log_text("reason", what),
              log_text("advice", "the process ends: restore the database from a backup"));
    _exit(STORE_EXIT_STATUS);
}

/*
 * LMDB makes its reader table as a hole and writes to it by way of a mapping, where a full disk is
 * no error but a SIGBUS. So it gets its blocks before; LMDB takes it as it finds it. This must
 * not be done while the environment is open: closing any descriptor of the file gives up the locks
 * that LMDB has on it.
 */
static int reserve_reader_table(const struct opening *opening, const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, FILE_MODE);
    int rc = file < 0 ? errno : posix_fallocate(file, 0, READER_TABLE_BYTES);

    if (file >= 0)
        close(file);
    errno = rc;
    return rc == 0 ? 0 : fail_system(opening, "reserve the reader table");
}

static int open_environment(const struct opening *opening, const char *path, MDB_env **env)
{
    const char *lock = path == opening->path ? opening->path_lock : opening->path_new_lock;
    int rc = opening->access == DATABASE_WRITE ? reserve_reader_table(opening, lock) : 0;

    if (rc != 0)
        return rc;
    rc = mdb_env_create(env);
    if (rc != 0)
        return fail_lmdb(opening, rc, "create environment");
    rc = mdb_env_set_maxdbs(*env, TABLE_COUNT);
    if (rc == 0)
        rc = mdb_env_set_assert(*env, on_assertion);
    if (rc == 0)
        rc = mdb_env_set_maxreaders(*env, READERS_MAX);
    if (rc == 0)
        rc = mdb_env_set_mapsize(*env, opening->map_bytes);
    if (rc == 0)
        rc = mdb_env_open(*env, path, environment_flags(opening), FILE_MODE);
    if (rc == 0)
        return 0;
    mdb_env_close(*env);
    return fail_lmdb(opening, rc, "open");
}

static int put_new_meta(MDB_txn *txn, MDB_dbi table)
{
    struct database_totals totals = {0};
    uint8_t row[DATABASE_META_ROW_BYTES];
    MDB_val key = key_of(DATABASE_META_KEY, DATABASE_META_KEY_BYTES);
    MDB_val value = {sizeof row, row};

    uuid_make(&totals.meta.store_id);
    value.mv_size = database_encode_meta(row, &totals);
    return mdb_put(txn, table, &key, &value, MDB_NOOVERWRITE);
}

static int make_tables(MDB_env *env)
{
    MDB_dbi tables[TABLE_COUNT];
    MDB_txn *txn;
    int rc = mdb_txn_begin(env, NULL, 0, &txn);

    if (rc != 0)
        return rc;
    for (int i = 0; i < TABLE_COUNT && rc == 0; i++)
        rc = mdb_dbi_open(txn, database_table_name((enum database_table)i), MDB_CREATE, &tables[i]);
    if (rc == 0)
        rc = put_new_meta(txn, tables[TABLE_META]);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

static int sync_directory(const char *path)
{
    int directory = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = directory < 0 ? errno : 0;

    if (rc == 0 && fsync(directory) != 0)
        rc = errno;
    if (directory >= 0)
        close(directory);
    errno = rc;
    return rc == 0 ? 0 : -1;
}

static void remove_unfinished(const struct opening *opening)
{
    unlink(opening->path_new);
    unlink(opening->path_new_lock);
}

static int make_file(const struct opening *opening)
{
    MDB_env *env;
    int rc;

    remove_unfinished(opening);
    rc = open_environment(opening, opening->path_new, &env);
    if (rc == 0) {
        rc = make_tables(env);
        mdb_env_close(env);
        if (rc != 0)
            rc = fail_lmdb(opening, rc, "make tables");
    }
    if (rc == 0 &&
        (rename(opening->path_new, opening->path) != 0 || sync_directory(opening->directory) != 0))
        rc = fail_system(opening, "rename and sync the new file");
    remove_unfinished(opening);
    return rc;
}

static int open_tables(const struct opening *opening, struct database *database, MDB_txn *txn)
{
    uint32_t format;
    int rc;

    for (int i = 0; i < TABLE_COUNT; i++) {
        const char *name = database_table_name((enum database_table)i);
        rc = mdb_dbi_open(txn, name, 0, &database->tables[i]);
        if (rc != 0)
            return store_fail(opening->failure,
                              rc == MDB_NOTFOUND ? STORE_CORRUPT : database_status(rc),
                              "%s: open table %s: %s", opening->path, name, mdb_strerror(rc));
        if (i != TABLE_META)
            continue;
        rc = read_totals(txn, database, &database->totals, &format);
        if (rc == STORE_FORMAT)
            return store_fail(opening->failure, rc,
                              "%s is in format %u, and this program reads formats 1 to %d",
                              opening->path, format, DATABASE_FORMAT);
        if (rc != 0)
            return store_fail(opening->failure, rc == STORE_NOT_FOUND ? STORE_CORRUPT : rc,
                              "%s: the meta row is missing or damaged; restore from a backup",
                              opening->path);
    }
    return 0;
}

/* Whether all pages from `first` up to `end` are in LMDB's list of free pages. */
static int pages_are_free(MDB_txn *txn, uint64_t first, uint64_t end, bool *are_free)
{
    uint64_t found = 0;
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int rc = mdb_cursor_open(txn, LMDB_FREE_TABLE, &cursor);

    if (rc != 0)
        return rc;
    while ((rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0) {
        for (size_t i = 1; i < value.mv_size / sizeof(size_t); i++) {
            size_t page;
            memcpy(&page, (const uint8_t *)value.mv_data + i * sizeof page, sizeof page);
            found += page >= first && page < end;
        }
    }
    mdb_cursor_close(cursor);
    *are_free = found == end - first;
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int check_missing_pages(const struct opening *opening, MDB_txn *txn,
                               const struct database_file *file)
{
    bool are_free = false;
    int rc;

    if (file->pages_present >= file->pages_used)
        return 0;
    rc = pages_are_free(txn, file->pages_present, file->pages_used, &are_free);
    if (rc == 0 && are_free)
        return 0;
    return store_fail(opening->failure, STORE_CORRUPT,
                      "%s has %llu whole pages, and %llu are in use: it was cut short; restore it "
                      "from a backup",
                      opening->path, (unsigned long long)file->pages_present,
                      (unsigned long long)file->pages_used);
}

static int open_database(const struct opening *opening, struct database *database,
                         const struct database_file *file)
{
    MDB_txn *txn;
    int dead;
    int rc = open_environment(opening, opening->path, &database->env);

    if (rc != 0)
        return rc;
    if (opening->access != DATABASE_READ_ALONE)
        rc = mdb_reader_check(database->env, &dead);
    if (rc == 0)
        rc = mdb_txn_begin(database->env, NULL, MDB_RDONLY, &txn);
    if (rc != 0) {
        rc = fail_lmdb(opening, rc, "begin reading");
        goto err_close;
    }
    rc = check_missing_pages(opening, txn, file);
    if (rc == 0)
        rc = open_tables(opening, database, txn);
    if (rc == 0) {
        /* Only a commit keeps the tables' handles. */
        rc = mdb_txn_commit(txn);
        if (rc == 0)
            return 0;
        rc = fail_lmdb(opening, rc, "end reading");
    } else {
        mdb_txn_abort(txn);
    }
err_close:
    mdb_env_close(database->env);
    return rc;
}

/*
 * A short file gets its length before it is mapped, as a hole. If it turns out that pages in use
 * were missing, the length is taken back, so that a refused file is the one that was found.
 */
static int open_short_file(const struct opening *opening, struct database *database,
                           const struct database_file *file)
{
    int rc;

    if (file->pages_used - file->pages_present > DATABASE_MISSING_BYTES_MAX / file->page_bytes)
        return store_fail(opening->failure, STORE_CORRUPT,
                          "%s has %llu whole pages, and %llu are in use: it was cut short or is "
                          "damaged; restore it from a backup",
                          opening->path, (unsigned long long)file->pages_present,
                          (unsigned long long)file->pages_used);
    if (truncate(opening->path, (off_t)(file->pages_used * file->page_bytes)) != 0)
        return fail_system(opening, "set the length");
    rc = open_database(opening, database, file);
    if (rc != 0 && truncate(opening->path, (off_t)file->bytes) != 0)
        LOG_ERROR("database.length_not_restored", log_text("path", opening->path),
                  log_u64("length_bytes", file->bytes));
    return rc;
}

/* Looks at the pages before LMDB does; see database_pages.h. */
static int check_pages(const struct opening *opening, const struct database_file *file)
{
    enum database_pages_depth depth = DATABASE_PAGES_FULL;
    struct database_pages figures;

    if (opening->check == DATABASE_CHECK_NONE)
        return 0;
    if (opening->check == DATABASE_CHECK_QUICK ||
        (opening->check == DATABASE_CHECK_AUTO && file->bytes > DATABASE_CHECK_FULL_BYTES_MAX))
        depth = DATABASE_PAGES_QUICK;
    return database_pages_check(opening->path, depth, NULL, NULL, &figures, opening->failure);
}

static int open_file(const struct opening *opening, struct database *database)
{
    struct database_file file;
    int rc = database_file_check(opening->path, &file, opening->failure);

    if (rc == STORE_NOT_FOUND && opening->access == DATABASE_WRITE) {
        rc = make_file(opening);
        if (rc == 0)
            rc = database_file_check(opening->path, &file, opening->failure);
    }
    if (rc == 0)
        rc = check_pages(opening, &file);
    if (rc != 0)
        return rc;
    if (file.pages_present < file.pages_used && opening->access == DATABASE_WRITE)
        return open_short_file(opening, database, &file);
    return open_database(opening, database, &file);
}

int database_open_with(struct database **database, const struct database_options *options,
                       struct store_failure *failure)
{
    struct opening opening;
    struct database *made;
    int rc = begin_opening(&opening, options, failure);

    if (rc != 0)
        return rc;
    made = calloc(1, sizeof *made);
    if (made == NULL)
        return store_fail(failure, STORE_NO_MEMORY, "out of memory");
    rc = open_file(&opening, made);
    if (rc != 0) {
        free(made);
        return rc;
    }
    pthread_mutex_init(&made->lock, NULL);
    made->beside = options->access == DATABASE_READ_BESIDE;
    *database = made;
    return 0;
}

int database_open(struct database **database, const char *directory, uint64_t map_bytes,
                  struct store_failure *failure)
{
    const struct database_options options = {.directory = directory, .map_bytes = map_bytes};

    return database_open_with(database, &options, failure);
}

/* --- snapshots --- */

static void free_snapshot(struct database_snapshot *snapshot)
{
    /* Cursors of a read transaction are not closed by its end. */
    if (snapshot->clients != NULL)
        mdb_cursor_close(snapshot->clients);
    if (snapshot->logs != NULL)
        mdb_cursor_close(snapshot->logs);
    if (snapshot->txn != NULL)
        mdb_txn_abort(snapshot->txn);
    free(snapshot);
}

void database_close(struct database *database)
{
    while (database->idle != NULL) {
        struct database_snapshot *snapshot = database->idle;
        database->idle = snapshot->next;
        free_snapshot(snapshot);
    }
    mdb_env_close(database->env);
    pthread_mutex_destroy(&database->lock);
    free(database->clients);
    free(database);
}

static int fill_snapshot(struct database_snapshot *snapshot)
{
    struct database *database = snapshot->database;
    int rc = mdb_txn_begin(database->env, NULL, MDB_RDONLY, &snapshot->txn);

    if (rc == 0)
        rc = mdb_cursor_open(snapshot->txn, database->tables[TABLE_LOGS], &snapshot->logs);
    if (rc == 0)
        rc = mdb_cursor_open(snapshot->txn, database->tables[TABLE_CLIENTS], &snapshot->clients);
    return rc;
}

static int renew_snapshot(struct database_snapshot *snapshot)
{
    int rc = mdb_txn_renew(snapshot->txn);

    if (rc == 0)
        rc = mdb_cursor_renew(snapshot->txn, snapshot->logs);
    if (rc == 0)
        rc = mdb_cursor_renew(snapshot->txn, snapshot->clients);
    return rc;
}

static struct database_snapshot *take_idle(struct database *database)
{
    struct database_snapshot *snapshot;

    pthread_mutex_lock(&database->lock);
    snapshot = database->idle;
    if (snapshot != NULL)
        database->idle = snapshot->next;
    pthread_mutex_unlock(&database->lock);
    return snapshot;
}

static int begin_reading(struct database_snapshot *snapshot)
{
    return snapshot->txn == NULL ? fill_snapshot(snapshot) : renew_snapshot(snapshot);
}

/*
 * LMDB begins to read by taking the number of the last transaction, and then that one's meta page,
 * of which there are two. A thread that is held up between the two steps, while one commit ends and
 * the next begins, gets the page of the latter: before it is durable, later than what the next
 * snapshot will see, and perhaps half written. So if a commit began meanwhile, this one begins
 * anew. The second look is an addition because nothing before that can be put off until after it.
 */
static int begin_between_commits(struct database_snapshot *snapshot)
{
    atomic_uint_fast64_t *commits = &snapshot->database->commits;

    for (;;) {
        uint_fast64_t before = atomic_load(commits);
        int rc = begin_reading(snapshot);
        if (rc != 0 || atomic_fetch_add(commits, 0) == before)
            return rc;
        mdb_txn_reset(snapshot->txn);
    }
}

/*
 * The same beside the process that writes, whose commits are not counted here. When the newest meta
 * page is that of the transaction we read, the one behind it has not ended, and the one after that,
 * which will write over our page, has not begun.
 */
static int begin_beside(struct database_snapshot *snapshot)
{
    for (;;) {
        MDB_envinfo info;
        int rc = begin_reading(snapshot);
        if (rc != 0)
            return rc;
        mdb_env_info(snapshot->database->env, &info);
        if (info.me_last_txnid == mdb_txn_id(snapshot->txn))
            return 0;
        mdb_txn_reset(snapshot->txn);
    }
}

int database_snapshot_begin(struct database *database, struct database_snapshot **snapshot)
{
    struct database_snapshot *taken = take_idle(database);
    int rc;

    if (taken == NULL)
        taken = calloc(1, sizeof *taken);
    if (taken == NULL)
        return STORE_NO_MEMORY;
    taken->database = database;
    rc = database->beside ? begin_beside(taken) : begin_between_commits(taken);
    if (rc == 0) {
        *snapshot = taken;
        return 0;
    }
    free_snapshot(taken);
    LOG_ERROR("database.snapshot_failed", log_text("reason", mdb_strerror(rc)));
    return database_status(rc);
}

void database_snapshot_end(struct database_snapshot *snapshot)
{
    struct database *database = snapshot->database;

    mdb_txn_reset(snapshot->txn);
    pthread_mutex_lock(&database->lock);
    snapshot->next = database->idle;
    database->idle = snapshot;
    pthread_mutex_unlock(&database->lock);
}
