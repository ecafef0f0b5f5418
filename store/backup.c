/*
 * The order is what makes it consistent while the service goes on:
 *
 *     1. a view: its last LSN is at least that of all that was acknowledged before
 *     2. the journal is read: whole records, up to where it has come by now
 *     3. the database is copied: settled up to some LSN, S, and some chats up to another one, R
 *     4. a new journal is written: the records of 2. from S + 1 on, up to R at least
 *
 * What settled after 2. is in 3.; what did not is in 2. So there is no hole between the two, and
 * the segments that are used again meanwhile are not missed. The journal is not copied as it is: a
 * segment copied while it is written to could show a later record and lack an earlier one, which is
 * what damage looks like. The new one holds whole records and nothing else.
 */
#include "store/backup.h"

#include "store/view.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAP_BYTES ((uint64_t)1 << 40)
#define SEGMENT_BYTES ((uint64_t)8 << 20)
#define SEGMENTS_MAX 9999
#define BATCH_BYTES ((size_t)1 << 20)
#define ATTEMPTS 3

struct backup {
    const char *target;
    char unfinished[PATH_MAX];
    char journal[PATH_MAX + 16];
    struct view *view;
    struct store_failure *failure;
};

static int fail_system(const struct backup *backup, const char *path, const char *what)
{
    int status = errno == ENOSPC || errno == EDQUOT ? STORE_FULL : STORE_IO;

    return store_fail(backup->failure, status, "%s: %s: %s", path, what, strerror(errno));
}

/* --- the place --- */

static int check_target(const struct backup *backup)
{
    DIR *directory = opendir(backup->target);
    const struct dirent *entry;
    bool empty = true;

    if (directory == NULL)
        return errno == ENOENT ? 0 : fail_system(backup, backup->target, "open");
    while (empty && (entry = readdir(directory)) != NULL)
        empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
    closedir(directory);
    if (empty)
        return 0;
    return store_fail(backup->failure, STORE_IO,
                      "%s is not empty: give a directory that does not exist yet", backup->target);
}

static int name_paths(struct backup *backup, const char *target)
{
    size_t size = strlen(target);
    int needed;

    while (size > 1 && target[size - 1] == '/')
        size--;
    needed = snprintf(backup->unfinished, sizeof backup->unfinished, "%.*s.unfinished", (int)size,
                      target);
    if (size >= PATH_MAX || needed < 0 || (size_t)needed >= sizeof backup->unfinished - 32)
        return store_fail(backup->failure, STORE_IO, "the name of %s is too long", target);
    snprintf(backup->journal, sizeof backup->journal, "%s/journal", backup->unfinished);
    return 0;
}

static int make_directory(const struct backup *backup)
{
    int rc = check_target(backup);

    if (rc != 0)
        return rc;
    if (mkdir(backup->unfinished, 0700) == 0)
        return 0;
    if (errno != EEXIST)
        return fail_system(backup, backup->unfinished, "make");
    return store_fail(backup->failure, STORE_IO,
                      "%s is there: another backup is being made, or one was interrupted; remove "
                      "it if so",
                      backup->unfinished);
}

static void remove_files(const char *path)
{
    DIR *directory = opendir(path);
    const struct dirent *entry;

    if (directory == NULL)
        return;
    while ((entry = readdir(directory)) != NULL)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
}

static void remove_unfinished(const struct backup *backup)
{
    remove_files(backup->journal);
    rmdir(backup->journal);
    remove_files(backup->unfinished);
    rmdir(backup->unfinished);
}

static int sync_directory(const struct backup *backup, const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = fd < 0 || fsync(fd) != 0 ? fail_system(backup, path, "sync") : 0;

    if (fd >= 0)
        close(fd);
    return rc;
}

static int sync_parent(const struct backup *backup)
{
    char parent[PATH_MAX];
    char *slash;

    snprintf(parent, sizeof parent, "%s", backup->unfinished);
    slash = strrchr(parent, '/');
    if (slash == NULL)
        return sync_directory(backup, ".");
    slash[slash == parent] = '\0';
    return sync_directory(backup, parent);
}

static int finish(const struct backup *backup)
{
    int rc = sync_directory(backup, backup->unfinished);

    if (rc != 0)
        return rc;
    if (rename(backup->unfinished, backup->target) != 0)
        return errno == EBUSY || errno == EXDEV
                   ? store_fail(backup->failure, STORE_IO,
                                "%s cannot be replaced (a mount point?): give a directory in it",
                                backup->target)
                   : fail_system(backup, backup->target, "rename the finished backup");
    return sync_parent(backup);
}

/* --- the journal --- */

struct writing {
    struct backup *backup;
    struct journal *journal;
    struct journal_batch batch;
};

static int append(struct writing *writing)
{
    struct store_failure *failure = writing->backup->failure;
    int rc = journal_append(writing->journal, &writing->batch, failure);

    if (rc == STORE_FULL) {
        rc = journal_prepare(writing->journal, failure);
        if (rc == 0)
            rc = journal_append(writing->journal, &writing->batch, failure);
    }
    journal_batch_reset(&writing->batch);
    return rc;
}

/* A journal_replay_fn. */
static int copy_record(void *data, const struct journal_record *record)
{
    struct writing *writing = data;
    uint8_t *payload;

    if (writing->batch.size > 0 &&
        writing->batch.size + journal_record_bytes(record->size) > BATCH_BYTES) {
        int rc = append(writing);
        if (rc != 0)
            return rc;
    }
    payload = journal_batch_add(&writing->batch, record->kind, record->size);
    if (payload == NULL)
        return store_fail(writing->backup->failure, STORE_NO_MEMORY, "out of memory");
    memcpy(payload, record->payload, record->size);
    return 0;
}

/* The copy may hold a part of a settle job that began after the journal was read: then that is to
 * be done again. */
static int check_reach(const struct backup *backup, const struct database_meta *meta,
                       uint64_t last_lsn)
{
    if (last_lsn < meta->reached_lsn)
        return store_fail(backup->failure, STORE_CORRUPT,
                          "the journal was read up to record %" PRIu64
                          ", and the copy of the database holds what came up to record %" PRIu64,
                          last_lsn, meta->reached_lsn);
    if (last_lsn >= backup->view->last_lsn)
        return 0;
    return store_fail(backup->failure, STORE_CORRUPT,
                      "the journal ended at record %" PRIu64 ", and now ends at %" PRIu64
                      ": it is damaged",
                      backup->view->last_lsn, last_lsn);
}

static int write_journal(struct backup *backup, const struct journal_image *image,
                         const struct database_meta *meta)
{
    const struct journal_options options = {
        .directory = backup->journal, .segment_bytes = SEGMENT_BYTES, .segments_max = SEGMENTS_MAX};
    struct writing writing = {.backup = backup};
    struct journal_recovery recovery;
    uint64_t last_lsn;
    int rc = journal_open(&writing.journal, &options, meta->store_id.bytes, meta->settled_lsn,
                          copy_record, NULL, &recovery, backup->failure);

    if (rc != 0)
        return rc;
    *backup->failure = (struct store_failure){0};
    rc = journal_image_replay(image, meta->settled_lsn, copy_record, &writing, &last_lsn,
                              backup->failure);
    if (rc == 0)
        rc = append(&writing);
    if (rc == 0)
        rc = check_reach(backup, meta, last_lsn);
    journal_batch_free(&writing.batch);
    journal_close(writing.journal);
    return rc;
}

/* --- the database --- */

/* What the copy holds, and whether LMDB and we can read it. */
static int read_copy(const struct backup *backup, struct database_meta *meta)
{
    const struct database_options options = {.directory = backup->unfinished,
                                             .map_bytes = MAP_BYTES,
                                             .check = DATABASE_CHECK_FULL,
                                             .access = DATABASE_READ_ALONE};
    struct database *database;
    int rc = database_open_with(&database, &options, backup->failure);

    if (rc != 0)
        return rc;
    database_read_meta(database, meta);
    database_close(database);
    return 0;
}

static int copy_database(const struct backup *backup, struct database_meta *meta)
{
    char path[PATH_MAX + 16];
    int rc;

    snprintf(path, sizeof path, "%s/chats.mdb", backup->unfinished);
    rc = database_copy(backup->view->database, path, backup->failure);
    return rc == 0 ? read_copy(backup, meta) : rc;
}

static int copy_store(struct backup *backup)
{
    struct journal_image *image;
    struct database_meta meta;
    int rc = view_read_journal(backup->view, &image, backup->failure);

    if (rc != 0)
        return rc;
    rc = copy_database(backup, &meta);
    if (rc == 0)
        rc = write_journal(backup, image, &meta);
    journal_image_free(image);
    return rc;
}

/* --- all of it --- */

static int verify(const struct backup *backup, struct verify_figures *figures)
{
    char lock[PATH_MAX + 16];
    int rc = verify_directory(backup->unfinished, stderr, figures, backup->failure);

    /* It has the number of this process, and is made anew by whoever holds the directory. */
    snprintf(lock, sizeof lock, "%s/lock", backup->unfinished);
    unlink(lock);
    if (rc == 0 && figures->problems > 0)
        return store_fail(backup->failure, STORE_CORRUPT,
                          "the copy has %" PRIu64 " problems, and so has the store: verify it "
                          "when the service is stopped",
                          figures->problems);
    return rc;
}

static int make_in_place(struct backup *backup, struct verify_figures *figures)
{
    int rc = copy_store(backup);

    if (rc == 0)
        rc = verify(backup, figures);
    if (rc == 0)
        rc = finish(backup);
    if (rc != 0)
        remove_unfinished(backup);
    return rc;
}

/*
 * A settle job may begin between 2. and 3., so that R is behind what was read. And LMDB may begin
 * to copy while the service's second commit from then begins, and take a meta page that is half
 * written: see begin_between_commits in database.c. It would have to be held up for as long as a
 * whole commit takes, and verifying finds it. Both are rare: another copy is made then.
 */
static int make_once(struct backup *backup, struct verify_figures *figures)
{
    int rc = make_directory(backup);

    return rc == 0 ? make_in_place(backup, figures) : rc;
}

int backup_make(const char *directory, const char *target, struct verify_figures *figures,
                struct store_failure *failure)
{
    struct backup backup = {.target = target, .failure = failure};
    int rc = name_paths(&backup, target);

    *figures = (struct verify_figures){0};
    if (rc == 0)
        rc = check_target(&backup);
    if (rc == 0)
        rc = view_open(&backup.view, directory, VIEW_ANY, failure);
    if (rc != 0)
        return rc;
    rc = make_once(&backup, figures);
    for (int again = 1; again < ATTEMPTS && rc == STORE_CORRUPT && backup.view->lock < 0; again++)
        rc = make_once(&backup, figures);
    view_close(backup.view);
    return rc;
}
