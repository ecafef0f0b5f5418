#include "store/worker.h"

#include <pthread.h>
#include <stddef.h>

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

    if (job != NULL) {
        queue->first = job->next;
        if (queue->first == NULL)
            queue->last = NULL;
    }
    return job;
}

/* The next job, or NULL when the worker is to stop. */
static struct worker_job *job_wait(struct worker *worker)
{
    struct worker_job *job;

    uv_mutex_lock(&worker->lock);
    while ((job = queue_pop(&worker->todo)) == NULL && !worker->stopping)
        uv_cond_wait(&worker->wake, &worker->lock);
    uv_mutex_unlock(&worker->lock);
    return job;
}

static void thread_main(void *argument)
{
    struct worker *worker = argument;
    struct worker_job *job;

    (void)pthread_setname_np(pthread_self(), worker->name);
    while ((job = job_wait(worker)) != NULL) {
        job->run(job);
        uv_mutex_lock(&worker->lock);
        queue_push(&worker->over, job);
        uv_mutex_unlock(&worker->lock);
        uv_async_send(&worker->finished);
    }
}

static void on_finished(uv_async_t *handle)
{
    struct worker *worker = handle->data;
    struct worker_job *job;

    for (;;) {
        uv_mutex_lock(&worker->lock);
        job = queue_pop(&worker->over);
        uv_mutex_unlock(&worker->lock);
        if (job == NULL)
            return;
        job->done(job);
    }
}

int worker_start(struct worker *worker, uv_loop_t *loop, const char *name)
{
    int status;

    *worker = (struct worker){.name = name};
    if ((status = uv_mutex_init(&worker->lock)) != 0)
        return status;
    if ((status = uv_cond_init(&worker->wake)) != 0)
        goto err_after_lock;
    /* The thread first: an initialised handle could only be undone by running the loop. */
    if ((status = uv_thread_create(&worker->thread, thread_main, worker)) != 0)
        goto err_after_wake;
    if ((status = uv_async_init(loop, &worker->finished, on_finished)) != 0)
        goto err_after_thread;
    worker->finished.data = worker;
    return 0;

err_after_thread:
    uv_mutex_lock(&worker->lock);
    worker->stopping = true;
    uv_cond_signal(&worker->wake);
    uv_mutex_unlock(&worker->lock);
    uv_thread_join(&worker->thread);
err_after_wake:
    uv_cond_destroy(&worker->wake);
err_after_lock:
    uv_mutex_destroy(&worker->lock);
    return status;
}

void worker_submit(struct worker *worker, struct worker_job *job)
{
    uv_mutex_lock(&worker->lock);
    queue_push(&worker->todo, job);
    uv_cond_signal(&worker->wake);
    uv_mutex_unlock(&worker->lock);
}

static void on_closed(uv_handle_t *handle)
{
    struct worker *worker = handle->data;
    worker->stopped(worker->stopped_data);
}

void worker_stop(struct worker *worker, void (*stopped)(void *data), void *data)
{
    uv_mutex_lock(&worker->lock);
    worker->stopping = true;
    uv_cond_signal(&worker->wake);
    uv_mutex_unlock(&worker->lock);
    uv_thread_join(&worker->thread);
    uv_cond_destroy(&worker->wake);
    uv_mutex_destroy(&worker->lock);
    worker->stopped = stopped;
    worker->stopped_data = data;
    uv_close((uv_handle_t *)&worker->finished, on_closed);
}
