/*
 * A thread for one job that may block for seconds, such as connecting to somebody who does not
 * answer. libuv's pool has few threads, and what waits for one of them must not wait for that.
 *
 * The functions are for the loop's thread.
 */
#ifndef BASE_SIDE_THREAD_H
#define BASE_SIDE_THREAD_H

#include <uv.h>

struct side_thread;

struct side_job {
    void *data;
    /* On the thread. */
    void (*work)(void *data);
    /* Then, on the loop; the side_thread is gone. */
    void (*done)(void *data);
    /* Instead of that, when it has been left: the last to use `data`, on the loop or the thread. */
    void (*left)(void *data);
};

/* Copies the job. The loop stays alive until it is done or left. NULL: there is no thread to be
 * had, and nothing is called. */
struct side_thread *side_thread_start(uv_loop_t *loop, const struct side_job *job);

/* Nobody waits for it any more: the loop may end, and even the process. Until `done`. */
void side_thread_leave(struct side_thread *side);

#endif
