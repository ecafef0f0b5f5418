/*
 * Life of a store. Opening takes the lock, checks and opens the database, replays the journal, and
 * starts the two threads. From then on everything happens in turns of the loop: requests and
 * completions come in while it runs its callbacks; before it waits again, store_turn sends off what
 * they left to do. Closing lets the requests in flight finish, settles for a while, and undoes
 * opening in reverse.
 */
#include "store/store_internal.h"

#include "base/log.h"
#include "store/directory.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB ((uint64_t)1024)
#define MIB (1024 * KIB)
#define TIB (1024 * 1024 * MIB)

void store_options_init(struct store_options *options)
{
    *options = (struct store_options){
        .segment_bytes = 8 * MIB,
        .segments_max = 32,
        .tail_bytes_max = 64 * MIB,
        .chat_cache_bytes_max = 32 * MIB,
        .requests_max = 16384,
        .request_bytes_max = 64 * MIB,
        .map_bytes = TIB,
        .settle_bytes = 32 * MIB,
        .settle_ms = 2000,
        .slice_bytes = 4 * MIB,
        .close_settle_ms = 5000,
        .reserve_bytes = 4 * MIB,
    };
}

void store_die(const char *what, const struct store_failure *failure)
{
    LOG_ERROR(
        what, log_text("detail", failure->detail),
        log_text("status", store_status_text(failure->status)),
        log_text("advice", "the process ends: what is on disk is found out at the next start"));
    _exit(STORE_EXIT_STATUS);
}

static int request_begin(struct store *store, bool room)
{
    if (store->closing)
        return STORE_CLOSING;
    if (!room) {
        store->statistics.refused_overloaded++;
        return STORE_OVERLOADED;
    }
    store->requests++;
    return 0;
}

int store_command_begin(struct store *store)
{
    return request_begin(store, store->requests - store->reads < store->options.requests_max &&
                                    store->request_bytes < store->options.request_bytes_max);
}

void store_command_end(struct store *store)
{
    store->requests--;
}

int store_read_begin(struct store *store)
{
    int status = request_begin(store, store->reads < store->options.requests_max);

    if (status == 0)
        store->reads++;
    return status;
}

void store_read_end(struct store *store)
{
    store->reads--;
    store->requests--;
}

/* --- closing --- */

static void free_all(struct store *store)
{
    store_write_free(store);
    store_settle_free(store);
    store_history_free(store);
    state_free(&store->state);
    table_free(&store->loads);
    journal_close(store->journal);
    database_close(store->database);
    directory_unlock(store->lock);
    free(store->directory);
    free(store);
}

static void handle_closed(struct store *store)
{
    void (*closed)(void *data) = store->closed;
    void *data = store->closed_data;

    if (--store->handles_open > 0)
        return;
    free_all(store);
    closed(data);
}

static void on_handle_closed(uv_handle_t *handle)
{
    handle_closed(handle->data);
}

static void on_worker_stopped(void *data)
{
    handle_closed(data);
}

/* Everything is done and settled, or is left to the journal. */
static void close_now(struct store *store)
{
    uint64_t unsettled = store->state.applied_lsn - store->settled_lsn;

    if (unsettled > 0)
        LOG_INFO("store.left_in_journal", log_u64("records", unsettled),
                 log_text("advice", "the next start recovers them; nothing is lost"));
    worker_stop(&store->journal_worker, on_worker_stopped, store);
    worker_stop(&store->settle_worker, on_worker_stopped, store);
    uv_close((uv_handle_t *)&store->turn, on_handle_closed);
    uv_close((uv_handle_t *)&store->busy, on_handle_closed);
    uv_close((uv_handle_t *)&store->tick, on_handle_closed);
}

static bool finished(const struct store *store)
{
    return store->requests == 0 && store_write_idle(store) && reader_idle(&store->reader) &&
           store_settle_idle(store);
}

/* Its being active is all that is wanted: the loop polls without waiting. */
static void on_busy(uv_idle_t *idle)
{
    (void)idle;
}

/* Who was called back by a read may have waited for that: the loop is to go round once more. */
static void store_turn(uv_prepare_t *handle)
{
    struct store *store = handle->data;
    bool more = store_write_turn(store);

    if (store->closing && store->requests == 0 && !store->leaving) {
        store->leaving = true;
        store->leaving_since_ms = uv_now(store->loop);
    }
    more |= reader_flush(&store->reader);
    more |= store_settle_turn(store);
    if (more)
        uv_idle_start(&store->busy, on_busy);
    else
        uv_idle_stop(&store->busy);
    if (store->closing && !uv_is_closing((uv_handle_t *)handle) && finished(store))
        close_now(store);
}

void store_hurry(struct store *store)
{
    store->hurried = true;
}

void store_close(struct store *store, void (*closed)(void *data), void *data)
{
    store->closing = true;
    store->closed = closed;
    store->closed_data = data;
}

/* --- opening --- */

/* Initialising these handles cannot fail. */
static void handles_open(struct store *store, uv_loop_t *loop)
{
    uv_prepare_init(loop, &store->turn);
    uv_idle_init(loop, &store->busy);
    uv_timer_init(loop, &store->tick);
    store->turn.data = store;
    store->busy.data = store;
    store->tick.data = store;
    uv_prepare_start(&store->turn, store_turn);
    store->handles_open = 5; /* these three and the workers' two */
}

static int workers_start(struct store *store, uv_loop_t *loop, struct store_failure *failure)
{
    int status = worker_start(&store->journal_worker, loop, "chat-journal");

    if (status == 0)
        status = worker_start(&store->settle_worker, loop, "chat-settle");
    if (status == 0)
        return 0;
    return store_fail(failure, STORE_NO_MEMORY, "cannot start a thread: %s", uv_strerror(status));
}

static int open_files(struct store *store, struct store_opened *opened,
                      struct store_failure *failure)
{
    const struct database_options database = {.directory = store->directory,
                                              .map_bytes = store->options.map_bytes,
                                              .check = store->options.check};
    struct database_meta meta;
    int status = directory_check_database(store->directory, failure);

    if (status == 0)
        status = database_open_with(&store->database, &database, failure);
    if (status != 0)
        return status;
    database_read_meta(store->database, &meta);
    if (meta.reached_lsn > 0)
        status = directory_check_journal(store->directory, failure);
    if (status != 0)
        goto err_after_database;
    status = state_init(&store->state, &meta, store->options.chat_cache_bytes_max);
    if (status != 0) {
        store_fail(failure, status, "out of memory while opening %s", store->directory);
        goto err_after_database;
    }
    status = store_recover(store, opened, failure);
    if (status != 0)
        goto err_after_state;
    store->batch_bytes_max = journal_batch_bytes_max(store->journal);
    if (store->batch_bytes_max > STORE_BATCH_BYTES_MAX)
        store->batch_bytes_max = STORE_BATCH_BYTES_MAX;
    return 0;

err_after_state:
    state_free(&store->state);
err_after_database:
    database_close(store->database);
    return status;
}

static struct store *store_make(uv_loop_t *loop, const struct store_options *options)
{
    struct store *store = calloc(1, sizeof *store);
    struct uuid random;

    if (store == NULL)
        return NULL;
    store->loop = loop;
    store->options = *options;
    store->directory = strdup(options->directory);
    if (store->directory == NULL) {
        free(store);
        return NULL;
    }
    store->options.directory = store->directory;
    store->usual_sync_us_16 = (uint64_t)16 * STORE_SYNC_US_COUNTED;
    uuid_make(&random);
    memcpy(&store->secret, random.bytes, sizeof store->secret);
    return store;
}

int store_open(struct store **out, uv_loop_t *loop, const struct store_options *options,
               struct store_opened *opened, struct store_failure *failure)
{
    struct store *store = store_make(loop, options);
    int status;

    if (store == NULL)
        return store_fail(failure, STORE_NO_MEMORY, "out of memory");
    store->lock = directory_lock(store->directory, failure);
    if (store->lock < 0) {
        status = store->lock;
        goto err_after_make;
    }
    status = open_files(store, opened, failure);
    if (status != 0)
        goto err_after_lock;
    /* If there is no thread to be had, a handle may be left in the loop with the store behind it:
     * the store stays allocated then, and the lock stays held. */
    status = workers_start(store, loop, failure);
    if (status != 0)
        return status;
    reader_init(&store->reader, loop, store->database);
    handles_open(store, loop);
    uv_update_time(loop);
    store->unsettled_since_ms = uv_now(loop);
    store_settle_start(store);
    *out = store;
    return 0;

err_after_lock:
    directory_unlock(store->lock);
err_after_make:
    free(store->directory);
    free(store);
    return status;
}

/* --- figures --- */

void store_read_statistics(const struct store *store, struct store_statistics *statistics)
{
    *statistics = store->statistics;
    statistics->requests_in_flight = store->requests;
    statistics->tail_bytes = store->state.tail.bytes;
    statistics->tail_messages = store->state.tail.count;
    statistics->journal_bytes = journal_disk_bytes(store->journal);
    statistics->settled_lsn = store->settled_lsn;
    statistics->chats_cached = store->state.chats.count;
    statistics->full = store->full;
}
