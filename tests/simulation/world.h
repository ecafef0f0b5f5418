/*
 * The world that the simulation puts around the store: random numbers from a seed, a loop without
 * libuv, threads without threads, a clock that is told to go on, a journal and a database in
 * memory, and a disk that forgets what was not synced.
 *
 * It takes the place of libuv, store/worker.c, store/ahead.c, store/journal*.c, store/database*.c
 * and store/directory.c when the program is linked; the rest of the store is the real one. All is
 * on one thread: whatever another thread would do at some time is an event here, and which event
 * comes next is the seed's choice. What a thread of the pool or a worker does is one event,
 * and that the loop hears of it another one, so that anything can happen in between. A read
 * of the database needs no more than that: what it sees is decided when its snapshot begins.
 */
#ifndef TESTS_SIMULATION_WORLD_H
#define TESTS_SIMULATION_WORLD_H

#include "store/store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* --- chance --- */

void world_seed(uint64_t seed);
/* Evenly from 0 to below - 1. */
uint64_t world_random(uint64_t below);
bool world_chance(unsigned percent);
/* The same seed gives the same digest: everything that happens is put into it. */
void world_trace(const void *bytes, size_t size);
uint64_t world_trace_digest(void);
/* Prints what is wrong and ends the process. */
void world_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* --- memory: what the store allocates is gone after a crash; what is kept is not --- */

void *keep_realloc(void *block, size_t size);
void keep_free(void *block);
/* Blocks that the store has not freed. */
size_t world_blocks(void);

/* --- events --- */

enum world_event {
    WORLD_TURN, /* the loop is about to wait: its prepare callback */
    WORLD_TIME, /* goes on, and timers fire */
    WORLD_JOURNAL_RUN,
    WORLD_JOURNAL_DONE,
    WORLD_SETTLE_RUN,
    WORLD_SETTLE_DONE,
    WORLD_POOL_RUN,
    WORLD_POOL_DONE,
    WORLD_CLOSED, /* of a handle */
    WORLD_EVENTS
};

/* Carries the event out; false when there is nothing that it could be. */
bool world_happen(enum world_event event);

/* Takes away the loop, the threads and all memory of the store. What was about to be written may
 * be written, in part or whole, or not at all. */
void world_crash(struct store *store);
/* For the next store: as it is after a crash, but for the memory. */
void world_loop_reset(void);

/* --- the disk --- */

struct disk_options {
    bool full;             /* nothing grows any more */
    unsigned full_percent; /* of the writes that could find it full and do, all the same */
};

extern struct disk_options disk_options;
/* How many of a settled range are evicted at once, at most. */
extern size_t world_evict_max;

/* Empties the disk, with another store id. */
void disk_reset(void);
/* The next append writes so many records at most and then fails. */
void disk_tear(uint32_t records);

#endif
