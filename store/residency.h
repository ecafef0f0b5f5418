/*
 * Whether all of the database is in memory, so that the loop may read it by itself.
 *
 * To read what is in memory takes less time than a hop to the pool and back. For what is not, the
 * loop would wait for the disk, and everybody with it. So a thread of the pool looks at all of the
 * file's pages (mincore), once a second while reads are asked for. What it found counts for two
 * seconds, and no longer than until this thread had to wait for a page all the same (a major
 * fault). A file of more than RESIDENCY_BYTES_MAX is taken for one that is not in memory: to look
 * at it would take too long.
 *
 * Used on the loop's thread, which is to be the one that reads.
 */
#ifndef STORE_RESIDENCY_H
#define STORE_RESIDENCY_H

#include "store/database.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#define RESIDENCY_BYTES_MAX ((uint64_t)1024 * 1024 * 1024)

struct residency {
    uv_work_t work;
    uv_loop_t *loop;
    struct database *database;
    bool looking; /* the pool is at it */
    bool found;   /* by the pool */
    bool holds;
    bool looked;        /* ever */
    uint64_t looked_ms; /* when the last look began */
    uint64_t found_ms;  /* when the last one that is over began */
    long faults;        /* major ones of this thread, as far as they are known */
};

void residency_init(struct residency *residency, uv_loop_t *loop, struct database *database);
/* Whether it may read now. Has the pool look when it is time. */
bool residency_holds(struct residency *residency);
/* The pool is not at it. */
bool residency_idle(const struct residency *residency);

#endif
