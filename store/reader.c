#include "store/reader.h"

#include <pthread.h>
#include <stdlib.h>

/* Items of one work: many small ones, few pages (each may be as large as the broker's payload). */
#define URGENT_ITEMS_MAX 128
#define BULK_ITEMS_MAX 8
#define BULK_WORKS_MAX (READER_WORKS_MAX - 1)

/* The loop reads by itself for so long at a time; what is left goes to the pool. */
#define HERE_NS_MAX ((uint64_t)300 * 1000)

void reader_init(struct reader *reader, uv_loop_t *loop, struct database *database)
{
    *reader = (struct reader){.loop = loop, .database = database};
    residency_init(&reader->residency, loop, database);
}

static void queue_push(struct reader_queue *queue, struct reader_item *item)
{
    item->next = NULL;
    if (queue->last != NULL)
        queue->last->next = item;
    else
        queue->first = item;
    queue->last = item;
}

/* Takes up to `limit` items off the front, as a list. */
static struct reader_item *queue_take(struct reader_queue *queue, unsigned limit)
{
    struct reader_item *first = queue->first;
    struct reader_item *last = first;

    for (unsigned i = 1; i < limit && last->next != NULL; i++)
        last = last->next;
    queue->first = last->next;
    if (queue->first == NULL)
        queue->last = NULL;
    last->next = NULL;
    return first;
}

void reader_add_urgent(struct reader *reader, struct reader_item *item)
{
    queue_push(&reader->urgent, item);
}

void reader_add_bulk(struct reader *reader, struct reader_item *item)
{
    queue_push(&reader->bulk, item);
}

/* The pool's threads are libuv's, which gives them none. */
static void name_thread(void)
{
    static _Thread_local bool named;

    if (!named)
        (void)pthread_setname_np(pthread_self(), "chat-read");
    named = true;
}

static void on_work(uv_work_t *request)
{
    struct reader_work *work = request->data;
    struct database_snapshot *snapshot = NULL;
    int status = database_snapshot_begin(work->reader->database, &snapshot);

    name_thread();
    for (struct reader_item *item = work->items; item != NULL; item = item->next)
        item->run(item, status == 0 ? snapshot : NULL, status);
    if (status == 0)
        database_snapshot_end(snapshot);
}

static void on_work_done(uv_work_t *request, int status)
{
    struct reader_work *work = request->data;
    struct reader *reader = work->reader;
    struct reader_item *item = work->items;

    (void)status; /* Works are never cancelled. */
    work->busy = false;
    reader->works_busy--;
    if (work->bulk)
        reader->works_bulk--;
    while (item != NULL) {
        struct reader_item *next = item->next;
        item->done(item);
        item = next;
    }
    (void)reader_flush(reader);
}

static struct reader_work *work_free(struct reader *reader)
{
    struct reader_work *work = reader->works;
    while (work->busy)
        work++;
    return work;
}

static void work_start(struct reader *reader, struct reader_queue *queue, bool bulk)
{
    struct reader_work *work = work_free(reader);

    work->reader = reader;
    work->request.data = work;
    work->items = queue_take(queue, bulk ? BULK_ITEMS_MAX : URGENT_ITEMS_MAX);
    work->bulk = bulk;
    work->busy = true;
    reader->works_busy++;
    if (bulk)
        reader->works_bulk++;
    for (struct reader_item *item = work->items; bulk && item != NULL; item = item->next)
        item->start(item);
    /* Fails only without a callback. */
    uv_queue_work(reader->loop, &work->request, on_work, on_work_done);
}

/* Urgent items do not take the last thread from bulk items that have none. */
static unsigned urgent_works_max(const struct reader *reader)
{
    return reader->bulk.first != NULL && reader->works_bulk == 0 ? READER_WORKS_MAX - 1
                                                                 : READER_WORKS_MAX;
}

/* Whether the next item is one that the loop may read. */
static bool is_for_here(const struct reader *reader)
{
    return reader->urgent.first != NULL ||
           (reader->bulk.first != NULL && !reader->bulk.first->large);
}

static struct reader_item *take_one(struct reader *reader)
{
    struct reader_item *item;

    if (reader->urgent.first != NULL)
        return queue_take(&reader->urgent, 1);
    item = queue_take(&reader->bulk, 1);
    item->start(item);
    return item;
}

/*
 * What is done may bring more to be read, which then sees a snapshot that is older than itself. But
 * nothing was evicted since that was taken, so that it shows all that is not in the tail.
 */
static void read_here(struct reader *reader)
{
    struct database_snapshot *snapshot = NULL;
    uint64_t end_ns = uv_hrtime() + HERE_NS_MAX;
    int status = database_snapshot_begin(reader->database, &snapshot);

    do {
        struct reader_item *item = take_one(reader);
        item->run(item, status == 0 ? snapshot : NULL, status);
        item->done(item);
    } while (is_for_here(reader) && uv_hrtime() < end_ns);
    if (status == 0)
        database_snapshot_end(snapshot);
}

bool reader_flush(struct reader *reader)
{
    bool here = is_for_here(reader) && residency_holds(&reader->residency);

    if (here)
        read_here(reader);
    while (reader->urgent.first != NULL && reader->works_busy < urgent_works_max(reader))
        work_start(reader, &reader->urgent, false);
    while (reader->bulk.first != NULL && reader->works_busy < READER_WORKS_MAX &&
           reader->works_bulk < BULK_WORKS_MAX)
        work_start(reader, &reader->bulk, true);
    return here;
}

bool reader_idle(const struct reader *reader)
{
    return reader->works_busy == 0 && reader->urgent.first == NULL && reader->bulk.first == NULL &&
           residency_idle(&reader->residency);
}
