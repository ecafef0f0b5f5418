/* A thread for each job: jobs are few and take long beside what a thread costs. */
#include "store/ahead.h"

int ahead_give(struct ahead *ahead, void (*run)(void *data), void *data)
{
    int status = uv_thread_create(&ahead->thread, run, data);

    ahead->busy = status == 0;
    return status;
}

void ahead_wait(struct ahead *ahead)
{
    if (ahead->busy)
        uv_thread_join(&ahead->thread);
    ahead->busy = false;
}
