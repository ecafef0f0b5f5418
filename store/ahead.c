#include "store/ahead.h"

#include <stddef.h>

static void thread_main(void *argument)
{
    struct ahead *ahead = argument;

    for (;;) {
        uv_sem_wait(&ahead->given);
        if (ahead->run == NULL)
            return;
        ahead->run(ahead->data);
        uv_sem_post(&ahead->done);
    }
}

int ahead_start(struct ahead *ahead)
{
    int status = uv_sem_init(&ahead->given, 0);

    ahead->busy = false;
    if (status != 0)
        return status;
    status = uv_sem_init(&ahead->done, 0);
    if (status != 0)
        goto err_after_given;
    status = uv_thread_create(&ahead->thread, thread_main, ahead);
    if (status != 0)
        goto err_after_done;
    return 0;

err_after_done:
    uv_sem_destroy(&ahead->done);
err_after_given:
    uv_sem_destroy(&ahead->given);
    return status;
}

void ahead_give(struct ahead *ahead, void (*run)(void *data), void *data)
{
    ahead->run = run;
    ahead->data = data;
    ahead->busy = true;
    uv_sem_post(&ahead->given);
}

void ahead_wait(struct ahead *ahead)
{
    if (!ahead->busy)
        return;
    uv_sem_wait(&ahead->done);
    ahead->busy = false;
}

void ahead_stop(struct ahead *ahead)
{
    ahead_wait(ahead);
    ahead->run = NULL;
    uv_sem_post(&ahead->given);
    uv_thread_join(&ahead->thread);
    uv_sem_destroy(&ahead->done);
    uv_sem_destroy(&ahead->given);
}
