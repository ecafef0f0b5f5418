/*
 * The journal is read before the snapshot begins, not after: a record that settles in between is
 * then in both, while the other way round it could be in neither.
 *
 *     journal: records behind the settled LSN as it was      ─┐
 *     snapshot: everything up to the settled LSN as it is now ─┴▶ apply what lies behind that
 *
 * Of a settle job that is under way the snapshot holds a part. If that job began after the journal
 * was read, part of what it settles is in neither, and both are read again.
 */
#include "store/view.h"

#include "store/directory.h"
#include "store/store_replay.h"
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Address space; any database that there is fits. */
#define MAP_BYTES ((uint64_t)1 << 40)
#define PAGE_MESSAGES 1000
#define PAGE_BYTES ((size_t)4 << 20)
/* How often a journal is read again whose segments change under the reader's hands. */
#define ATTEMPTS 10

int view_lock(const char *directory, enum view_access access, int *lock,
              struct store_failure *failure)
{
    char path[PATH_MAX];
    struct stat status;

    *lock = STORE_LOCKED;
    if ((size_t)snprintf(path, sizeof path, "%s/chats.mdb", directory) >= sizeof path)
        return store_fail(failure, STORE_IO, "the name of data directory %s is too long",
                          directory);
    /* Taking the lock would make the directory. */
    if (stat(path, &status) != 0)
        return store_fail(failure, errno == ENOENT ? STORE_NOT_FOUND : STORE_IO,
                          "%s is no data directory: %s: %s", directory, path, strerror(errno));
    *lock = directory_lock(directory, failure);
    if (*lock >= 0 || (*lock == STORE_LOCKED && access == VIEW_ANY))
        return 0;
    return *lock;
}

/* Root may read beside a service that runs as another user: LMDB's lock file must stay that one's,
 * should it be missing and be made now. */
static void leave_lock_file(const char *directory)
{
    char data[PATH_MAX];
    char lock[PATH_MAX + 8];
    struct stat status;

    snprintf(data, sizeof data, "%s/chats.mdb", directory);
    snprintf(lock, sizeof lock, "%s-lock", data);
    if (geteuid() == 0 && stat(data, &status) == 0 &&
        lchown(lock, status.st_uid, status.st_gid) != 0)
        return; /* It is not there. */
}

static int open_database(struct view *view, struct store_failure *failure)
{
    bool alone = view->lock >= 0;
    const struct database_options options = {
        .directory = view->directory,
        .map_bytes = MAP_BYTES,
        .check = alone ? DATABASE_CHECK_FULL : DATABASE_CHECK_NONE,
        .access = alone ? DATABASE_READ_ALONE : DATABASE_READ_BESIDE,
    };
    int rc = database_open_with(&view->database, &options, failure);

    if (!alone)
        leave_lock_file(view->directory);
    return rc;
}

static int fail_snapshot(const struct view *view, int rc, struct store_failure *failure)
{
    return store_fail(failure, rc, "%s: the database cannot be read: %s", view->directory,
                      store_status_text(rc));
}

static int begin_snapshot(struct view *view, struct store_failure *failure)
{
    int rc = database_snapshot_begin(view->database, &view->snapshot);

    if (rc != 0)
        return fail_snapshot(view, rc, failure);
    rc = database_snapshot_meta(view->snapshot, &view->meta);
    if (rc == 0)
        return 0;
    database_snapshot_end(view->snapshot);
    return fail_snapshot(view, rc, failure);
}

/* What has settled by now; the view's own snapshot, if it has one, stays. */
static int read_meta(const struct view *view, struct database_meta *meta,
                     struct store_failure *failure)
{
    struct database_snapshot *snapshot;
    int rc = database_snapshot_begin(view->database, &snapshot);

    if (rc == 0) {
        rc = database_snapshot_meta(snapshot, meta);
        database_snapshot_end(snapshot);
    }
    return rc == 0 ? 0 : fail_snapshot(view, rc, failure);
}

static int read_journal(struct view *view, struct journal_image **image,
                        struct store_failure *failure)
{
    char directory[PATH_MAX];
    struct database_meta meta;
    int rc = read_meta(view, &meta, failure);

    if (rc == 0 && meta.reached_lsn > 0)
        rc = directory_check_journal(view->directory, failure);
    if (rc != 0)
        return rc;
    snprintf(directory, sizeof directory, "%s/journal", view->directory);
    return journal_read(image, directory, meta.store_id.bytes, meta.settled_lsn, &view->journal,
                        failure);
}

static int ignore_record(void *data, const struct journal_record *record)
{
    (void)data;
    (void)record;
    return 0;
}

/* What a settle job that is under way has brought into the database must be in the journal, or some
 * chats would be ahead of all that is known. */
static int check_reach(const struct view *view, const struct database_meta *meta, uint64_t last_lsn,
                       struct store_failure *failure)
{
    if (last_lsn >= meta->reached_lsn)
        return 0;
    return store_fail(failure, STORE_CORRUPT,
                      "%s: the journal ends with record %llu, and the database holds what came up "
                      "to record %llu",
                      view->directory, (unsigned long long)last_lsn,
                      (unsigned long long)meta->reached_lsn);
}

/* Whether the image goes on where the database ends by now. */
static int check_journal(const struct view *view, const struct journal_image *image,
                         struct store_failure *failure)
{
    struct database_meta meta;
    uint64_t last_lsn = 0;
    int rc = read_meta(view, &meta, failure);

    if (rc == 0)
        rc = journal_image_replay(image, meta.settled_lsn, ignore_record, NULL, &last_lsn, failure);
    /* As late as can be: what reads the database next finds little more there. */
    if (rc == 0)
        rc = read_meta(view, &meta, failure);
    return rc == 0 ? check_reach(view, &meta, last_lsn, failure) : rc;
}

int view_read_journal(struct view *view, struct journal_image **image,
                      struct store_failure *failure)
{
    int rc = STORE_CORRUPT;

    for (int attempt = 0; attempt < ATTEMPTS && rc == STORE_CORRUPT; attempt++) {
        rc = read_journal(view, image, failure);
        if (rc != 0)
            continue;
        rc = check_journal(view, *image, failure);
        if (rc != 0)
            journal_image_free(*image);
    }
    return rc;
}

static int apply(struct view *view, const struct journal_image *image,
                 struct store_failure *failure)
{
    struct store_replay replay = {.snapshot = view->snapshot, .state = &view->state};
    int rc = state_init(&view->state, &view->meta, SIZE_MAX);

    if (rc != 0)
        return store_fail(failure, rc, "out of memory");
    *failure = (struct store_failure){0};
    rc = journal_image_replay(image, view->meta.settled_lsn, store_replay_record, &replay,
                              &view->last_lsn, failure);
    if (rc == 0)
        rc = store_replay_end(&replay);
    store_replay_free(&replay);
    if (replay.failure.status != 0)
        *failure = replay.failure;
    if (rc == 0)
        rc = check_reach(view, &view->meta, view->last_lsn, failure);
    if (rc != 0)
        state_free(&view->state);
    return rc;
}

static int look(struct view *view, struct store_failure *failure)
{
    struct journal_image *image;
    int rc = read_journal(view, &image, failure);

    if (rc != 0)
        return rc;
    rc = begin_snapshot(view, failure);
    if (rc == 0) {
        rc = apply(view, image, failure);
        if (rc != 0)
            database_snapshot_end(view->snapshot);
    }
    journal_image_free(image);
    return rc;
}

static struct view *make_view(const char *directory)
{
    struct view *view = calloc(1, sizeof *view);

    if (view == NULL)
        return NULL;
    view->directory = strdup(directory);
    if (view->directory != NULL)
        return view;
    free(view);
    return NULL;
}

int view_open(struct view **out, const char *directory, enum view_access access,
              struct store_failure *failure)
{
    struct view *view = make_view(directory);
    int rc;

    if (view == NULL)
        return store_fail(failure, STORE_NO_MEMORY, "out of memory");
    rc = view_lock(directory, access, &view->lock, failure);
    if (rc != 0)
        goto err_after_make;
    rc = open_database(view, failure);
    if (rc != 0)
        goto err_after_lock;
    for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        rc = look(view, failure);
        if (rc != STORE_CORRUPT || view->lock >= 0)
            break;
    }
    if (rc == 0) {
        *out = view;
        return 0;
    }
    database_close(view->database);
err_after_lock:
    if (view->lock >= 0)
        directory_unlock(view->lock);
err_after_make:
    free(view->directory);
    free(view);
    return rc;
}

void view_close(struct view *view)
{
    state_free(&view->state);
    database_snapshot_end(view->snapshot);
    database_close(view->database);
    if (view->lock >= 0)
        directory_unlock(view->lock);
    free(view->directory);
    free(view);
}

/* --- chats --- */

struct chats {
    struct view *view;
    view_chat_fn each;
    void *data;
    struct store_failure *failure;
    const struct chat **fresh; /* by id */
    size_t fresh_count;
    size_t fresh_next;
    int stopped; /* what `each` returned */
};

static int by_id(const void *left, const void *right)
{
    const struct chat *const *a = left;
    const struct chat *const *b = right;

    return memcmp((*a)->id.bytes, (*b)->id.bytes, UUID_BYTES);
}

static int collect_fresh(struct chats *chats)
{
    const struct chat *chat;
    size_t count = 0;

    for (chat = chats->view->state.fresh_first; chat != NULL; chat = chat->fresh->next)
        count++;
    chats->fresh = malloc((count + 1) * sizeof *chats->fresh);
    if (chats->fresh == NULL)
        return store_fail(chats->failure, STORE_NO_MEMORY, "out of memory");
    for (chat = chats->view->state.fresh_first; chat != NULL; chat = chat->fresh->next)
        chats->fresh[chats->fresh_count++] = chat;
    qsort(chats->fresh, count, sizeof *chats->fresh, by_id);
    return 0;
}

static int give_fresh(struct chats *chats)
{
    const struct chat *fresh = chats->fresh[chats->fresh_next++];
    struct view_chat chat = {.chat = {.id = fresh->id, .created_ns = fresh->fresh->created_ns},
                             .users = fresh->users,
                             .users_size = fresh->users_size,
                             .head_seq = fresh->head_seq,
                             .unsettled = fresh};

    chat.chat.namespace_size = (uint8_t)strlen(fresh->namespace_name);
    memcpy(chat.chat.namespace_name, fresh->namespace_name, chat.chat.namespace_size);
    return chats->stopped = chats->each(chats->data, &chat);
}

static int fail_chat(const struct chats *chats, const struct uuid *id, int rc)
{
    char text[UUID_TEXT_BYTES];

    uuid_format(id, text);
    return store_fail(chats->failure, rc, "chat %.*s cannot be read: %s", UUID_TEXT_BYTES, text,
                      store_status_text(rc));
}

static int give_settled(struct chats *chats, const struct database_chat *settled)
{
    struct view_chat chat = {.chat = *settled, .head_seq = settled->head_seq};
    uint8_t *users;
    int rc = database_read_users(chats->view->snapshot, settled->number, &users, &chat.users_size);

    if (rc != 0)
        return fail_chat(chats, &settled->id, rc);
    chat.users = users;
    chat.unsettled = state_find_chat(&chats->view->state, &settled->id);
    if (chat.unsettled != NULL)
        chat.head_seq = chat.unsettled->head_seq;
    chats->stopped = chats->each(chats->data, &chat);
    free(users);
    return chats->stopped;
}

/* Those of the database and the fresh ones, merged. */
static int give_all(struct chats *chats, struct database_scan *scan)
{
    struct database_chat settled = {0};
    int rc = 0;

    while (rc == 0) {
        int found = database_scan_next(scan, &settled);
        if (found != 0 && found != STORE_NOT_FOUND)
            return fail_chat(chats, &settled.id, found);
        while (rc == 0 && chats->fresh_next < chats->fresh_count &&
               (found != 0 || memcmp(chats->fresh[chats->fresh_next]->id.bytes, settled.id.bytes,
                                     UUID_BYTES) < 0))
            rc = give_fresh(chats);
        if (found != 0)
            break;
        if (rc == 0)
            rc = give_settled(chats, &settled);
    }
    return rc;
}

int view_each_chat(struct view *view, view_chat_fn each, void *data, struct store_failure *failure)
{
    struct chats chats = {.view = view, .each = each, .data = data, .failure = failure};
    struct database_scan *scan;
    int rc = collect_fresh(&chats);

    if (rc != 0)
        return rc;
    rc = database_scan_begin(view->snapshot, &scan);
    if (rc == 0) {
        rc = give_all(&chats, scan);
        database_scan_end(scan);
    } else {
        fail_snapshot(view, rc, failure);
    }
    free(chats.fresh);
    return rc;
}

/* --- messages --- */

static int fail_message(const struct view_chat *chat, uint64_t seq, int rc,
                        struct store_failure *failure)
{
    char text[UUID_TEXT_BYTES];

    uuid_format(&chat->chat.id, text);
    return store_fail(failure, rc, "chat %.*s: messages from seq %llu on cannot be read: %s",
                      UUID_TEXT_BYTES, text, (unsigned long long)seq, store_status_text(rc));
}

static int each_settled(struct view *view, const struct view_chat *chat, view_message_fn each,
                        void *data, struct store_failure *failure)
{
    struct message_page page = {0};
    uint64_t seq = 1;
    int rc = 0;

    while (rc == 0 && seq <= chat->chat.head_seq) {
        struct message_view message = {0};
        message_page_clear(&page);
        rc = database_read_log(view->snapshot, &chat->chat.id, chat->chat.number, seq,
                               chat->chat.head_seq + 1, PAGE_MESSAGES, PAGE_BYTES, false, &page);
        if (rc != 0) {
            rc = fail_message(chat, seq + page.count, rc, failure);
            break;
        }
        for (; rc == 0 && message_page_next(&page, &message); seq++)
            rc = each(data, seq, message.bytes, message.size);
    }
    message_page_free(&page);
    return rc;
}

int view_each_message(struct view *view, const struct view_chat *chat, view_message_fn each,
                      void *data, struct store_failure *failure)
{
    int rc = each_settled(view, chat, each, data, failure);

    if (chat->unsettled == NULL)
        return rc;
    for (uint64_t seq = state_tail_seq(chat->unsettled); rc == 0 && seq <= chat->head_seq; seq++) {
        const struct message *message = state_message(chat->unsettled, seq);
        rc = each(data, seq, message->bytes, message->size);
    }
    return rc;
}
