/*
 * Reads of the database, on libuv's thread pool, so that waiting for the disk never stops the loop.
 * While all of the database is in memory (residency.h), the loop reads by itself what is not large,
 * a few hundred microseconds' worth at a time.
 *
 * Items are gathered and go to the pool together: a snapshot and a wake-up are shared by many
 * small reads. There are two queues. Urgent items (what commands need before they are applied) go
 * first; bulk items (pages of history) fill what is left. Neither kind takes the last thread from
 * the other. How much is read at once is bounded by weight, and so is the memory that results take.
 *
 * Used on the loop's thread; `run` of an item is called there or on a thread of the pool.
 */
#ifndef STORE_READER_H
#define STORE_READER_H

#include "store/database.h"
#include "store/residency.h"
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct reader_item {
    struct reader_item *next;
    bool large; /* bulk items: too much for the loop to read by itself */
    /* Of bulk items: loop's thread, when its turn has come. What it takes here is held by as many
     * items as are in the pool at once, and not by all that wait. */
    void (*start)(struct reader_item *item);
    /* Pool thread, or the loop's. The snapshot shows all that has been evicted from the tail (not
     * all that has been settled: it may be older than the item). It is NULL when none could be had,
     * and `status` says why. */
    void (*run)(struct reader_item *item, struct database_snapshot *snapshot, int status);
    void (*done)(struct reader_item *item); /* loop's thread */
};

struct reader_queue {
    struct reader_item *first;
    struct reader_item *last;
};

#define READER_WORKS_MAX 4 /* libuv's default number of threads */

struct reader_work {
    uv_work_t request;
    struct reader *reader;
    struct reader_item *items;
    bool bulk;
    bool busy;
};

struct reader {
    uv_loop_t *loop;
    struct database *database;
    struct reader_queue urgent;
    struct reader_queue bulk;
    struct reader_work works[READER_WORKS_MAX];
    unsigned works_busy;
    unsigned works_bulk;
    struct residency residency;
};

void reader_init(struct reader *reader, uv_loop_t *loop, struct database *database);
void reader_add_urgent(struct reader *reader, struct reader_item *item);
void reader_add_bulk(struct reader *reader, struct reader_item *item);
/* Reads what has been gathered, or sends it to the pool. Cheap when there is nothing. True: some
 * are done. */
bool reader_flush(struct reader *reader);
/* Nothing gathered and nothing in the pool. */
bool reader_idle(const struct reader *reader);

#endif
