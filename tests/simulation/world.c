/*
 * Chance, memory, and the loop. The store's handles, works and jobs are remembered where the calls
 * of libuv and of worker.h leave them, and world_happen() takes them from there.
 *
 * Calls that would reach the system are caught by the linker (--wrap): malloc and its kin, so that
 * a crash can take all of the store's memory away and an orderly end can be checked for leaks;
 * getrandom, so that ids come from the seed.
 */
#include "tests/simulation/world.h"

#include "store/ahead.h"

#include "store/store_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* --- chance --- */

static uint64_t random_state;
static uint64_t trace_digest;

/* SplitMix64, by Guy Steele, Doug Lea and Christine Flood (2014). */
static uint64_t random_next(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

uint64_t world_random(uint64_t below)
{
    return random_next() % below;
}

bool world_chance(unsigned percent)
{
    return world_random(100) < percent;
}

void world_seed(uint64_t seed)
{
    random_state = seed;
    trace_digest = 0xcbf29ce484222325u;
}

/* FNV-1a. */
void world_trace(const void *bytes, size_t size)
{
    const uint8_t *byte = bytes;

    for (size_t i = 0; i < size; i++)
        trace_digest = (trace_digest ^ byte[i]) * 0x100000001b3u;
}

uint64_t world_trace_digest(void)
{
    return trace_digest;
}

void world_fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("simulation: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags);

ssize_t __wrap_getrandom(void *bytes, size_t size, unsigned flags)
{
    uint8_t *out = bytes;

    (void)flags;
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)random_next();
    return (ssize_t)size;
}

/* --- memory --- */

void *__real_malloc(size_t size);
void *__real_realloc(void *block, size_t size);
void __real_free(void *block);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
char *__wrap_strdup(const char *text);
void __wrap_free(void *block);

/* In front of each of the store's blocks. */
struct block {
    struct block *next;
    struct block *previous;
};

static struct block blocks = {&blocks, &blocks};

static void *block_link(struct block *block)
{
    if (block == NULL)
        world_fail("out of memory");
    block->next = blocks.next;
    block->previous = &blocks;
    block->next->previous = block;
    blocks.next = block;
    return block + 1;
}

static struct block *block_unlink(void *bytes)
{
    struct block *block = (struct block *)bytes - 1;

    block->next->previous = block->previous;
    block->previous->next = block->next;
    return block;
}

void *__wrap_malloc(size_t size)
{
    return block_link(__real_malloc(sizeof(struct block) + size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *bytes = __wrap_malloc(count * size);

    memset(bytes, 0, count * size);
    return bytes;
}

void *__wrap_realloc(void *bytes, size_t size)
{
    struct block *block = bytes == NULL ? NULL : block_unlink(bytes);

    return block_link(__real_realloc(block, sizeof *block + size));
}

char *__wrap_strdup(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(__wrap_malloc(size), text, size);
}

void __wrap_free(void *bytes)
{
    if (bytes != NULL)
        __real_free(block_unlink(bytes));
}

void *keep_realloc(void *block, size_t size)
{
    block = __real_realloc(block, size);
    if (block == NULL)
        world_fail("out of memory");
    return block;
}

void keep_free(void *block)
{
    __real_free(block);
}

size_t world_blocks(void)
{
    size_t count = 0;

    for (const struct block *block = blocks.next; block != &blocks; block = block->next)
        count++;
    return count;
}

/* --- the loop's handles and the pool --- */

#define WORKS_MAX 8
#define POOL_THREADS 4
#define HANDLES_MAX 8

struct pool_work {
    uv_work_t *request;
    uv_work_cb run;
    uv_after_work_cb done;
    bool ran;
};

static struct {
    uint64_t now_ms;
    uv_prepare_t *turn;
    uv_prepare_cb turn_cb;
    uv_timer_t *timer;
    uv_timer_cb timer_cb;
    uint64_t timer_due_ms;
    uint64_t timer_repeat_ms;
    struct pool_work works[WORKS_MAX]; /* in the order in which they were queued */
    unsigned work_count;
    struct worker *workers[2]; /* the journal's, the settle thread's */
    unsigned worker_count;
    struct {
        uv_handle_t *handle;
        uv_close_cb closed;
    } closing[HANDLES_MAX];
    unsigned closing_count;
    struct worker *stopped[2];
    unsigned stopped_count;
} loop;

void world_loop_reset(void)
{
    loop.turn = NULL;
    loop.timer = NULL;
    loop.work_count = 0;
    loop.worker_count = 0;
    loop.closing_count = 0;
    loop.stopped_count = 0;
}

int uv_prepare_init(uv_loop_t *uv, uv_prepare_t *handle)
{
    (void)uv;
    (void)handle;
    return 0;
}

int uv_prepare_start(uv_prepare_t *handle, uv_prepare_cb cb)
{
    loop.turn = handle;
    loop.turn_cb = cb;
    return 0;
}

int uv_idle_init(uv_loop_t *uv, uv_idle_t *handle)
{
    (void)uv;
    (void)handle;
    return 0;
}

/* Turns come anyway. */
int uv_idle_start(uv_idle_t *handle, uv_idle_cb cb)
{
    (void)handle;
    (void)cb;
    return 0;
}

int uv_idle_stop(uv_idle_t *handle)
{
    (void)handle;
    return 0;
}

int uv_timer_init(uv_loop_t *uv, uv_timer_t *handle)
{
    (void)uv;
    (void)handle;
    return 0;
}

int uv_timer_start(uv_timer_t *handle, uv_timer_cb cb, uint64_t timeout, uint64_t repeat)
{
    loop.timer = handle;
    loop.timer_cb = cb;
    loop.timer_due_ms = loop.now_ms + timeout;
    loop.timer_repeat_ms = repeat;
    return 0;
}

int uv_timer_stop(uv_timer_t *handle)
{
    (void)handle;
    loop.timer = NULL;
    return 0;
}

uint64_t uv_now(const uv_loop_t *uv)
{
    (void)uv;
    return loop.now_ms;
}

void uv_update_time(uv_loop_t *uv)
{
    (void)uv;
}

uint64_t uv_hrtime(void)
{
    return loop.now_ms * 1000000;
}

const char *uv_strerror(int error)
{
    (void)error;
    return "no error";
}

int uv_queue_work(uv_loop_t *uv, uv_work_t *request, uv_work_cb run, uv_after_work_cb done)
{
    (void)uv;
    if (loop.work_count == WORKS_MAX)
        world_fail("more works in the pool than the store should ever have");
    loop.works[loop.work_count++] = (struct pool_work){request, run, done, false};
    return 0;
}

void residency_init(struct residency *residency, uv_loop_t *uv, struct database *database)
{
    (void)residency;
    (void)uv;
    (void)database;
}

/* Pages are read on the loop, or by the pool, which takes its time. */
bool residency_holds(struct residency *residency)
{
    (void)residency;
    return world_chance(30);
}

bool residency_idle(const struct residency *residency)
{
    (void)residency;
    return true;
}

void uv_close(uv_handle_t *handle, uv_close_cb cb)
{
    if ((void *)handle == (void *)loop.turn)
        loop.turn = NULL;
    if ((void *)handle == (void *)loop.timer)
        loop.timer = NULL;
    loop.closing[loop.closing_count].handle = handle;
    loop.closing[loop.closing_count++].closed = cb;
}

int uv_is_closing(const uv_handle_t *handle)
{
    for (unsigned i = 0; i < loop.closing_count; i++) {
        if (loop.closing[i].handle == handle)
            return 1;
    }
    return 0;
}

/* --- the workers --- */

/* What a thread does ahead is done when it gets it, or when it is waited for. There is one job at
 * a time in all. */
static struct {
    void (*run)(void *data); /* NULL: done */
    void *data;
} job_ahead;

static void run_ahead(void)
{
    void (*run)(void *data) = job_ahead.run;

    job_ahead.run = NULL;
    if (run != NULL)
        run(job_ahead.data);
}

int ahead_give(struct ahead *ahead, void (*run)(void *data), void *data)
{
    if (ahead->busy)
        world_fail("the thread ahead has a job and is given another");
    job_ahead.run = run;
    job_ahead.data = data;
    ahead->busy = true;
    if (world_chance(50))
        run_ahead();
    return 0;
}

void ahead_wait(struct ahead *ahead)
{
    if (ahead->busy)
        run_ahead();
    ahead->busy = false;
}

int worker_start(struct worker *worker, uv_loop_t *uv, const char *name)
{
    (void)uv;
    (void)name;
    worker->todo = (struct worker_queue){NULL, NULL};
    worker->over = (struct worker_queue){NULL, NULL};
    loop.workers[loop.worker_count++] = worker;
    return 0;
}

static void queue_push(struct worker_queue *queue, struct worker_job *job)
{
    job->next = NULL;
    if (queue->last != NULL)
        queue->last->next = job;
    else
        queue->first = job;
    queue->last = job;
}

static struct worker_job *queue_pop(struct worker_queue *queue)
{
    struct worker_job *job = queue->first;

    if (job != NULL)
        queue->first = job->next;
    if (queue->first == NULL)
        queue->last = NULL;
    return job;
}

void worker_submit(struct worker *worker, struct worker_job *job)
{
    queue_push(&worker->todo, job);
}

void worker_stop(struct worker *worker, void (*stopped)(void *data), void *data)
{
    if (worker->todo.first != NULL || worker->over.first != NULL)
        world_fail("a worker is stopped while it has a job");
    worker->stopped = stopped;
    worker->stopped_data = data;
    loop.stopped[loop.stopped_count++] = worker;
}

/* --- events --- */

static bool worker_run(unsigned which)
{
    struct worker *worker = which < loop.worker_count ? loop.workers[which] : NULL;
    struct worker_job *job = worker == NULL ? NULL : queue_pop(&worker->todo);

    if (job == NULL)
        return false;
    job->run(job);
    queue_push(&worker->over, job);
    return true;
}

static bool worker_done(unsigned which)
{
    struct worker *worker = which < loop.worker_count ? loop.workers[which] : NULL;
    struct worker_job *job = worker == NULL ? NULL : queue_pop(&worker->over);

    if (job == NULL)
        return false;
    job->done(job);
    return true;
}

/* One of the works that have run or not, as wanted; the pool's threads hold the first ones. */
static struct pool_work *work_pick(bool ran)
{
    struct pool_work *found[WORKS_MAX];
    unsigned count = 0;

    for (unsigned i = 0; i < loop.work_count && (ran || i < POOL_THREADS); i++) {
        if (loop.works[i].ran == ran)
            found[count++] = &loop.works[i];
    }
    return count == 0 ? NULL : found[world_random(count)];
}

static bool pool_run(void)
{
    struct pool_work *work = work_pick(false);

    if (work == NULL)
        return false;
    work->ran = true;
    work->run(work->request);
    return true;
}

static bool pool_done(void)
{
    struct pool_work *work = work_pick(true);
    struct pool_work finished;

    if (work == NULL)
        return false;
    finished = *work;
    loop.work_count--;
    memmove(work, work + 1, (size_t)(loop.works + loop.work_count - work) * sizeof *work);
    finished.done(finished.request, 0);
    return true;
}

static bool turn(void)
{
    if (loop.turn == NULL)
        return false;
    loop.turn_cb(loop.turn);
    return true;
}

static bool time_passes(void)
{
    loop.now_ms += 1 + world_random(150);
    while (loop.timer != NULL && loop.timer_due_ms <= loop.now_ms) {
        loop.timer_due_ms = loop.now_ms + loop.timer_repeat_ms;
        loop.timer_cb(loop.timer);
    }
    return true;
}

static bool handle_closed(void)
{
    if (loop.stopped_count > 0) {
        struct worker *worker = loop.stopped[--loop.stopped_count];
        worker->stopped(worker->stopped_data);
        return true;
    }
    if (loop.closing_count == 0)
        return false;
    loop.closing_count--;
    loop.closing[loop.closing_count].closed(loop.closing[loop.closing_count].handle);
    return true;
}

bool world_happen(enum world_event event)
{
    switch (event) {
    case WORLD_TURN:
        return turn();
    case WORLD_TIME:
        return time_passes();
    case WORLD_JOURNAL_RUN:
        return worker_run(0);
    case WORLD_JOURNAL_DONE:
        return worker_done(0);
    case WORLD_SETTLE_RUN:
        return worker_run(1);
    case WORLD_SETTLE_DONE:
        return worker_done(1);
    case WORLD_POOL_RUN:
        return pool_run();
    case WORLD_POOL_DONE:
        return pool_done();
    case WORLD_CLOSED:
        return handle_closed();
    case WORLD_EVENTS:
        break;
    }
    return false;
}

size_t world_evict_max = SIZE_MAX;
bool __real_state_evict(struct state *state, size_t limit);
bool __wrap_state_evict(struct state *state, size_t limit);

bool __wrap_state_evict(struct state *state, size_t limit)
{
    return __real_state_evict(state, limit < world_evict_max ? limit : world_evict_max);
}

/* --- crashes --- */

static void write_under_way(struct worker *worker)
{
    struct worker_job *job = queue_pop(&worker->todo);
    struct batch *batch = (struct batch *)job;

    if (job == NULL)
        return;
    if (worker == loop.workers[0])
        disk_tear((uint32_t)world_random(batch->journal.count + 1));
    job->run(job);
}

void world_crash(struct store *store)
{
    if (world_chance(60))
        write_under_way(loop.workers[0]);
    if (world_chance(50))
        write_under_way(loop.workers[1]);
    digester_free(&store->state.digester);
    while (blocks.next != &blocks)
        __wrap_free(blocks.next + 1);
    world_loop_reset();
}
