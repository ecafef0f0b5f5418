/*
 * Each step makes the next one safe, or its result meaningful:
 *
 *     lock ─▶ pages, by pread ─▶ rows, through LMDB ─▶ the journal's records, applied in memory
 *
 * The journal is read as recovery reads it, so that what this calls sound is what the service
 * starts with.
 */
#include "store/verify.h"

#include "store/directory.h"
#include "store/journal_recovery.h"
#include "store/store_replay.h"
#include "store/view.h"
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

#define MAP_BYTES ((uint64_t)1 << 40)

struct check {
    const char *directory;
    FILE *out;
    struct verify_figures *figures;
    struct store_failure *failure;
};

static void on_page(void *data, const struct database_pages_problem *problem)
{
    struct check *check = data;

    check->figures->problems++;
    fprintf(check->out, "chats.mdb: byte %" PRIu64 ", page %" PRIu64, problem->offset,
            problem->page);
    if (problem->table != NULL)
        fprintf(check->out, ", table %s", problem->table);
    fprintf(check->out, ": %s\n", problem->what);
}

static void on_row(void *data, const struct database_problem *problem)
{
    struct check *check = data;
    char id[UUID_TEXT_BYTES];

    check->figures->problems++;
    fputs("chats.mdb:", check->out);
    if (problem->offset != 0)
        fprintf(check->out, " byte %" PRIu64 ",", problem->offset);
    fprintf(check->out, " table %s", problem->table);
    uuid_format(&problem->chat_id, id);
    if (problem->has_chat_id)
        fprintf(check->out, ", chat %.*s", UUID_TEXT_BYTES, id);
    if (problem->chat_number != 0)
        fprintf(check->out, ", number %" PRIu64, problem->chat_number);
    if (problem->seq != 0)
        fprintf(check->out, ", seq %" PRIu64, problem->seq);
    fprintf(check->out, ": %s\n", problem->what);
}

/* A failure that says what is damaged is a finding; any other ends the check. */
static int finding(struct check *check, int rc)
{
    if (rc != STORE_CORRUPT)
        return rc;
    check->figures->problems++;
    fprintf(check->out, "%s\n", check->failure->detail);
    return 0;
}

/* --- the journal --- */

static int recover(struct check *check, const struct journal_source *source)
{
    struct journal_recovered recovered;
    struct journal_recovery report;
    int rc = journal_recover(&recovered, source, &report, check->failure);

    if (rc == 0) {
        check->figures->journal_records = report.records;
        check->figures->last_lsn = report.last_lsn;
    }
    journal_recovered_free(&recovered);
    return rc;
}

static int replay(struct check *check, struct database_snapshot *snapshot, int directory_fd,
                  const char *directory)
{
    struct database_meta meta = {0};
    struct state state;
    struct store_replay replay = {.snapshot = snapshot, .state = &state};
    struct journal_source source = {.directory = directory,
                                    .directory_fd = directory_fd,
                                    .segments_max = 1,
                                    .store_id = meta.store_id.bytes,
                                    .replay = store_replay_record,
                                    .data = &replay};
    int rc = database_snapshot_meta(snapshot, &meta);

    if (rc != 0)
        return store_fail(check->failure, rc, "the meta row cannot be read");
    source.settled_lsn = meta.settled_lsn;
    source.reached_lsn = meta.reached_lsn;
    check->figures->settled_lsn = meta.settled_lsn;
    if (state_init(&state, &meta, SIZE_MAX) != 0)
        return store_fail(check->failure, STORE_NO_MEMORY, "out of memory");
    rc = recover(check, &source);
    if (rc == 0)
        rc = store_replay_end(&replay);
    store_replay_free(&replay);
    if (replay.failure.status != 0)
        *check->failure = replay.failure;
    state_free(&state);
    return rc;
}

static int check_journal(struct check *check, struct database_snapshot *snapshot)
{
    char directory[PATH_MAX];
    int fd, rc;

    snprintf(directory, sizeof directory, "%s/journal", check->directory);
    fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return store_fail(check->failure, STORE_CORRUPT,
                          "%s cannot be opened: what was acknowledged last may be missing",
                          directory);
    rc = replay(check, snapshot, fd, directory);
    close(fd);
    return rc;
}

/* --- the database --- */

static int check_rows(struct check *check)
{
    const struct database_options options = {.directory = check->directory,
                                             .map_bytes = MAP_BYTES,
                                             .check = DATABASE_CHECK_NONE,
                                             .access = DATABASE_READ_ALONE};
    struct database_snapshot *snapshot;
    struct database *database;
    int rc = database_open_with(&database, &options, check->failure);

    if (rc != 0)
        return finding(check, rc);
    rc = database_snapshot_begin(database, &snapshot);
    if (rc != 0) {
        database_close(database);
        return store_fail(check->failure, rc, "the database cannot be read");
    }
    rc = finding(check,
                 database_verify(snapshot, on_row, check, &check->figures->rows, check->failure));
    if (rc == 0)
        rc = finding(check, check_journal(check, snapshot));
    database_snapshot_end(snapshot);
    database_close(database);
    return rc;
}

static int check_all(struct check *check)
{
    char path[PATH_MAX];
    int rc;

    snprintf(path, sizeof path, "%s/chats.mdb", check->directory);
    rc = database_pages_check(path, DATABASE_PAGES_FULL, on_page, check, &check->figures->pages,
                              check->failure);
    /* Without a line of its own it is the file as a whole. */
    if (rc == STORE_CORRUPT && check->figures->problems == 0)
        return finding(check, rc);
    if (rc == STORE_CORRUPT) {
        fputs("chats.mdb: its rows and the journal were not looked at\n", check->out);
        return 0;
    }
    return rc == 0 ? check_rows(check) : rc;
}

int verify_directory(const char *directory, FILE *out, struct verify_figures *figures,
                     struct store_failure *failure)
{
    struct check check = {directory, out, figures, failure};
    int lock;
    int rc;

    *figures = (struct verify_figures){0};
    *failure = (struct store_failure){0};
    rc = view_lock(directory, VIEW_ALONE, &lock, failure);
    if (rc != 0)
        return rc;
    rc = check_all(&check);
    directory_unlock(lock);
    return rc;
}
