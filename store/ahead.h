/*
 * A thread that does one job at a time for the thread that made it, while that one goes on with
 * something else.
 *
 * Made, used and stopped by one thread. What a job is given is the helper's from ahead_give until
 * ahead_wait returns; nothing else is shared, so that no locks are needed.
 */
#ifndef STORE_AHEAD_H
#define STORE_AHEAD_H

#include <stdbool.h>
#include <uv.h>

struct ahead {
    uv_thread_t thread;
    uv_sem_t given;
    uv_sem_t done;
    void (*run)(void *data); /* NULL: the thread ends */
    void *data;
    bool busy; /* a job was given and not waited for */
};

/* Returns 0, or a negative libuv error and nothing is left running. The struct must not move. */
int ahead_start(struct ahead *ahead);
/* The one before must have been waited for. */
void ahead_give(struct ahead *ahead, void (*run)(void *data), void *data);
/* Returns when the job is done; at once if there is none. */
void ahead_wait(struct ahead *ahead);
/* Waits for the job and ends the thread. */
void ahead_stop(struct ahead *ahead);

#endif
