/*
 * A thread that runs jobs one after the other, first in first out, for the loop: the journal
 * thread and the settle thread are one of these each.
 *
 * The loop submits a job and gets it back: `run` is called on the worker's thread, then `done` on
 * the loop's. The lock holds for a few instructions around the two queues and is never held
 * while anything runs.
 */
#ifndef STORE_WORKER_H
#define STORE_WORKER_H

#include <stdbool.h>
#include <uv.h>

struct worker_job {
    struct worker_job *next;
    void (*run)(struct worker_job *job);  /* worker's thread */
    void (*done)(struct worker_job *job); /* loop's thread */
};

struct worker_queue {
    struct worker_job *first;
    struct worker_job *last;
};

struct worker {
    const char *name;
    uv_thread_t thread;
    uv_async_t finished;
    uv_mutex_t lock;
    uv_cond_t wake;
    struct worker_queue todo; /* under the lock */
    struct worker_queue over; /* under the lock */
    bool stopping;            /* under the lock */
    void (*stopped)(void *data);
    void *stopped_data;
};

/* The thread is called `name`, of at most 15 bytes, which must outlive it. Returns 0, or a negative
 * libuv error and nothing is left running. The struct must not move. */
int worker_start(struct worker *worker, uv_loop_t *loop, const char *name);
/* The job is the worker's until `done`. */
void worker_submit(struct worker *worker, struct worker_job *job);
/* Only when no job is out. Joins the thread; `stopped` is called on the loop, later. */
void worker_stop(struct worker *worker, void (*stopped)(void *data), void *data);

#endif
