/*
 * One job at a time, done by a thread while the one that gave it goes on with something else.
 *
 * Given and waited for by one thread. What a job is given is the other thread's from ahead_give
 * until ahead_wait returns; nothing else is shared, so that no locks are needed. Zero-initialise.
 */
#ifndef STORE_AHEAD_H
#define STORE_AHEAD_H

#include <stdbool.h>
#include <uv.h>

struct ahead {
    uv_thread_t thread; /* of the job */
    bool busy;          /* a job was given and not waited for */
};

/* Returns 0, or a negative libuv error when there is no thread to be had: nothing is run then. The
 * job before must have been waited for. */
int ahead_give(struct ahead *ahead, void (*run)(void *data), void *data);
/* Returns when the job is done; at once if there is none. */
void ahead_wait(struct ahead *ahead);

#endif
