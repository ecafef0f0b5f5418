/*
 *     start ─▶ thread: work ─▶ loop: join, close the handle ─▶ done
 *                 │ left meanwhile
 *                 └──▶ thread: left
 *
 * Two have a part in the memory, the thread and the handle, and whoever ends last frees it. The
 * handle is not woken after side_thread_leave, which closes it: the lock is held over both.
 */
#include "base/side_thread.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct side_thread {
    struct side_job job;
    uv_thread_t thread;
    uv_async_t wake;
    uv_mutex_t lock; /* over what follows; a leaf */
    bool finished;
    bool is_left;
    unsigned parts;
};

static void give_up_part(struct side_thread *side)
{
    bool last;

    uv_mutex_lock(&side->lock);
    last = --side->parts == 0;
    uv_mutex_unlock(&side->lock);
    if (!last)
        return;
    uv_mutex_destroy(&side->lock);
    free(side);
}

static void run(void *data)
{
    struct side_thread *side = data;
    struct side_job job = side->job;
    bool left;

    job.work(job.data);
    uv_mutex_lock(&side->lock);
    side->finished = true;
    left = side->is_left;
    if (!left)
        uv_async_send(&side->wake);
    uv_mutex_unlock(&side->lock);
    if (left)
        job.left(job.data);
    give_up_part(side);
}

static void on_finished_closed(uv_handle_t *handle)
{
    struct side_thread *side = handle->data;
    struct side_job job = side->job;
    bool left = side->is_left;

    give_up_part(side);
    if (left)
        job.left(job.data);
    else
        job.done(job.data);
}

static void on_wake(uv_async_t *wake)
{
    struct side_thread *side = wake->data;

    uv_thread_join(&side->thread);
    uv_close((uv_handle_t *)wake, on_finished_closed);
}

static void on_handle_closed(uv_handle_t *handle)
{
    give_up_part(handle->data);
}

struct side_thread *side_thread_start(uv_loop_t *loop, const struct side_job *job)
{
    struct side_thread *side = calloc(1, sizeof *side);

    if (side == NULL)
        return NULL;
    *side = (struct side_thread){.job = *job, .parts = 2};
    if (uv_mutex_init(&side->lock) != 0)
        goto err_after_side;
    if (uv_async_init(loop, &side->wake, on_wake) != 0)
        goto err_after_lock;
    side->wake.data = side;
    if (uv_thread_create(&side->thread, run, side) == 0)
        return side;
    side->parts = 1;
    uv_close((uv_handle_t *)&side->wake, on_handle_closed);
    return NULL;

err_after_lock:
    uv_mutex_destroy(&side->lock);
err_after_side:
    free(side);
    return NULL;
}

void side_thread_leave(struct side_thread *side)
{
    bool finished;

    uv_mutex_lock(&side->lock);
    side->is_left = true;
    finished = side->finished;
    uv_mutex_unlock(&side->lock);
    if (finished)
        return; /* it is on its way to the loop */
    pthread_detach(side->thread);
    uv_close((uv_handle_t *)&side->wake, on_handle_closed);
}
