/*
 * Settling: what was applied goes from the tail to the database in large jobs, when there is enough
 * of it, when the oldest has waited long enough, or when the journal or the tail needs
 * the room.
 *
 *   tail ─▶ settle thread: sort, write, commit ─▶ journal segments free ─▶ evicted, some each turn
 *                          slice by slice
 *
 * A job is written in slices (slices.h), and the loop hears of each. Only the last one makes it
 * settled; until then the tail and the journal have all of it.
 *
 * A full disk is no failure: nothing is lost, since the journal has it all. Writes are refused
 * (STORE_FULL) from the moment something met the full disk, or less than the reserve is free, until
 * a tick finds space and what had failed has succeeded. Reads go on. Any other failure ends the
 * process.
 */
#include "store/store_internal.h"

#include "base/log.h"
#include "store/directory.h"

#include <stdlib.h>
#include <string.h>

#define TICK_MS 100
/* Evicting this much takes about a tenth of a millisecond. */
#define EVICT_PER_TURN 1000

static void tick_update(struct store *store);

/* --- full and not full --- */

static void full_update(struct store *store)
{
    bool full = store->space_short || store->settle_failed_full || store->prepare_failed_full;

    if (full == store->full)
        return;
    store->full = full;
    if (full)
        LOG_WARN("store.full", log_text("directory", store->directory),
                 log_u64("free_bytes", directory_free_bytes(store->directory)),
                 log_u64("reserve_bytes", store->options.reserve_bytes));
    else
        LOG_INFO("store.resumed", log_text("directory", store->directory),
                 log_u64("free_bytes", directory_free_bytes(store->directory)));
    tick_update(store);
}

static void space_check(struct store *store)
{
    store->space_short = directory_free_bytes(store->directory) < store->options.reserve_bytes;
    full_update(store);
}

/* --- a free journal segment, ahead of time --- */

static void prepare_run(uv_work_t *request)
{
    struct prepare_work *work = request->data;
    work->status = journal_prepare(work->store->journal, &work->failure);
}

static void prepare_done(uv_work_t *request, int status)
{
    struct prepare_work *work = request->data;
    struct store *store = work->store;

    (void)status; /* Never cancelled. */
    work->busy = false;
    if (work->status != 0 && work->status != STORE_FULL)
        store_die("journal.prepare_failed", &work->failure);
    store->prepare_failed_full = work->status == STORE_FULL;
    full_update(store);
}

static bool journal_may_grow(const struct store *store)
{
    return journal_disk_bytes(store->journal) + store->options.segment_bytes <=
           store->options.segment_bytes * store->options.segments_max;
}

static void prepare_start(struct store *store)
{
    if (store->prepare.busy || !journal_may_grow(store))
        return;
    store->prepare.busy = true;
    store->prepare.store = store;
    store->prepare.request.data = &store->prepare;
    uv_queue_work(store->loop, &store->prepare.request, prepare_run, prepare_done);
}

bool store_settle_room(struct store *store, size_t batch_bytes)
{
    bool journal_full = journal_room_bytes(store->journal, batch_bytes) < batch_bytes;
    size_t unsettled = state_unsettled_bytes(&store->state);
    bool tail_full = unsettled > 0 && unsettled + batch_bytes > store->options.tail_bytes_max;

    /* One segment is kept ready ahead of the one that is being filled. */
    if (journal_room_bytes(store->journal, batch_bytes) < store->options.segment_bytes &&
        !store->prepare_failed_full)
        prepare_start(store);
    if (!journal_full && !tail_full)
        return true;
    store->settle_wanted = true;
    /* Room comes with the settle job or the new segment under way, unless these met a full disk. */
    if (store->settle_failed_full || (store->prepare_failed_full && !tail_full))
        store_write_refuse(store, STORE_FULL);
    else if (store->hurried)
        store_write_refuse(store, STORE_CLOSING);
    return false;
}

/* --- settle jobs --- */

static void chats_collect(const struct state_range *range, struct database_new_chat *chats)
{
    const struct chat *chat = range->fresh_first;

    for (uint64_t i = 0; i < range->chat_count; i++) {
        chats[i].id = chat->id;
        chats[i].number = chat->number;
        chats[i].created_ns = chat->fresh->created_ns;
        chats[i].namespace_name = chat->namespace_name;
        chats[i].users = chat->users;
        chats[i].users_size = chat->users_size;
        memcpy(chats[i].users_digest, chat->fresh->users_digest, DATABASE_USERS_DIGEST_BYTES);
        /* The loop may be linking a new chat behind the last one of the range. */
        if (i + 1 < range->chat_count)
            chat = chat->fresh->next;
    }
}

static void messages_collect(const struct state_range *range, struct database_message *messages)
{
    const struct message *message = range->first;

    for (uint64_t i = 0; i < range->message_count; i++) {
        messages[i].chat_number = message->chat->number;
        messages[i].seq = message->seq;
        messages[i].bytes = message->bytes;
        messages[i].size = message->size;
        memcpy(messages[i].client_digest, message->client_digest, DATABASE_DIGEST_BYTES);
        /* The loop may be linking a new message behind the last one of the range. */
        if (i + 1 < range->message_count)
            message = message->next;
    }
}

static void slices_free(struct slices *slices)
{
    free(slices->chats);
    free(slices->messages);
    *slices = (struct slices){.over = true};
}

static int slices_begin(struct settle_job *job)
{
    const struct state_range *range = &job->range;
    struct database_new_chat *chats = malloc((range->chat_count + 1) * sizeof *chats);
    struct database_message *messages = malloc((range->message_count + 1) * sizeof *messages);

    job->slices = (struct slices){
        .chats = chats,
        .chat_count = range->chat_count,
        .messages = messages,
        .message_count = range->message_count,
        .lsn = range->settled_lsn,
        .bytes_max = job->store->options.slice_bytes,
    };
    if (chats == NULL || messages == NULL) {
        slices_free(&job->slices);
        return store_fail(&job->failure, STORE_NO_MEMORY, "out of memory while settling");
    }
    chats_collect(range, chats);
    messages_collect(range, messages);
    return 0;
}

/* Settle thread: one slice. */
static void settle_run(struct worker_job *base)
{
    struct settle_job *job = (struct settle_job *)base;

    job->status = job->slices.messages == NULL ? slices_begin(job) : 0;
    if (job->status == 0)
        job->status = slices_write(&job->slices, job->store->database, &job->failure);
    /* At once: until the process ends, reads may find the database unusable. */
    if (job->status != 0 && job->status != STORE_FULL)
        store_die("store.settle_failed", &job->failure);
}

/* All of it is in the database. */
static void settle_over(struct settle_job *job)
{
    struct store *store = job->store;

    slices_free(&job->slices);
    job->begun = false;
    store->settling = false;
    store->settle_wanted = false;
    store->settled_lsn = job->range.settled_lsn;
    store->unsettled_bytes -= job->journal_bytes;
    store->unsettled_since_ms = uv_now(store->loop);
    store->statistics.settles++;
    journal_release(store->journal, store->settled_lsn);
    state_settle_done(&store->state, &job->range);
}

/* On a slow disk a job of many slices may take minutes. The journal has what it would settle. */
static bool is_closing_time(const struct store *store)
{
    return store->leaving &&
           uv_now(store->loop) - store->leaving_since_ms >= store->options.close_settle_ms;
}

static void settle_done(struct worker_job *base)
{
    struct settle_job *job = (struct settle_job *)base;
    struct store *store = job->store;

    if (job->status == STORE_FULL) {
        if (!store->settle_failed_full)
            LOG_WARN("store.settle_failed", log_text("detail", job->failure.detail));
        store->settle_failed_full = true;
        store->settling = false;
        full_update(store);
        return;
    }
    store->settle_failed_full = false;
    if (job->slices.over)
        settle_over(job);
    else if (is_closing_time(store))
        store->settling = false;
    else
        worker_submit(&store->settle_worker, &job->job);
    full_update(store);
}

static bool settle_due(const struct store *store)
{
    if (store->settling || store->state.applied_lsn == store->settled_lsn)
        return false;
    /* After a full disk a job is begun again by the tick, when there is space. */
    if (store->settle_failed_full || is_closing_time(store))
        return false;
    return store->settle_wanted || store->leaving ||
           store->unsettled_bytes >= store->options.settle_bytes ||
           state_unsettled_bytes(&store->state) >= store->options.tail_bytes_max / 2 ||
           uv_now(store->loop) - store->unsettled_since_ms >= store->options.settle_ms;
}

static void settle_start(struct store *store)
{
    struct settle_job *job = &store->settle;

    if (!job->begun) {
        job->job.run = settle_run;
        job->job.done = settle_done;
        job->store = store;
        job->journal_bytes = store->unsettled_bytes;
        job->begun = true;
        state_settle_begin(&store->state, &job->range);
    }
    store->settling = true;
    worker_submit(&store->settle_worker, &job->job);
}

void store_settle_note(struct store *store, size_t bytes)
{
    if (store->unsettled_bytes == 0)
        store->unsettled_since_ms = uv_now(store->loop);
    store->unsettled_bytes += bytes;
    tick_update(store);
}

/* --- time --- */

static void on_tick(uv_timer_t *timer)
{
    struct store *store = timer->data;

    space_check(store);
    if (store->space_short) {
        tick_update(store);
        return;
    }
    if (store->prepare_failed_full)
        prepare_start(store);
    if (store->settle_failed_full && !store->settling)
        settle_start(store);
    tick_update(store);
}

/* The tick runs while it has anything to decide: an idle store does not wake up. */
static void tick_update(struct store *store)
{
    bool wanted =
        store->full || store->state.applied_lsn != store->settled_lsn || store->unsettled_bytes > 0;

    if (wanted == store->tick_running || (wanted && store->handles_open == 0))
        return;
    store->tick_running = wanted;
    if (wanted)
        uv_timer_start(&store->tick, on_tick, TICK_MS, TICK_MS);
    else
        uv_timer_stop(&store->tick);
}

void store_settle_start(struct store *store)
{
    space_check(store);
    tick_update(store);
}

bool store_settle_turn(struct store *store)
{
    bool more = state_evict(&store->state, EVICT_PER_TURN);

    if (settle_due(store))
        settle_start(store);
    return more;
}

bool store_settle_idle(const struct store *store)
{
    return !store->settling && !state_evicting(&store->state) && !store->prepare.busy &&
           (store->state.applied_lsn == store->settled_lsn || store->settle_failed_full ||
            is_closing_time(store));
}

void store_settle_free(struct store *store)
{
    slices_free(&store->settle.slices);
}
