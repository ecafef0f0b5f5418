/* A job beside the loop: done on the loop, or left, each once and whatever comes first. */
#include "base/side_thread.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct job {
    uv_sem_t begun;
    uv_sem_t go_on;
    uv_sem_t over;
    uv_thread_t worker;
    unsigned done;
    unsigned left;
};

static void work(void *data)
{
    struct job *job = data;

    job->worker = uv_thread_self();
    uv_sem_post(&job->begun);
    uv_sem_wait(&job->go_on);
}

static void done(void *data)
{
    ((struct job *)data)->done++;
}

static void left(void *data)
{
    struct job *job = data;

    job->left++;
    uv_sem_post(&job->over);
}

static struct side_thread *start(uv_loop_t *loop, struct job *job)
{
    const struct side_job side = {.data = job, .work = work, .done = done, .left = left};

    *job = (struct job){.done = 0};
    uv_sem_init(&job->begun, 0);
    uv_sem_init(&job->go_on, 0);
    uv_sem_init(&job->over, 0);
    assert_int_equal(uv_loop_init(loop), 0);
    return side_thread_start(loop, &side);
}

static void end(uv_loop_t *loop, struct job *job)
{
    assert_int_equal(uv_loop_close(loop), 0);
    uv_sem_destroy(&job->begun);
    uv_sem_destroy(&job->go_on);
    uv_sem_destroy(&job->over);
}

static void test_done_on_the_loop(void **state)
{
    uv_thread_t self = uv_thread_self();
    struct job job;
    uv_loop_t loop;

    (void)state;
    assert_non_null(start(&loop, &job));
    uv_sem_wait(&job.begun);
    uv_run(&loop, UV_RUN_NOWAIT);
    assert_int_equal(job.done, 0);
    uv_sem_post(&job.go_on);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(job.done, 1);
    assert_int_equal(job.left, 0);
    assert_false(uv_thread_equal(&self, &job.worker));
    end(&loop, &job);
}

static void test_left_while_it_works(void **state)
{
    struct job job;
    uv_loop_t loop;

    (void)state;
    side_thread_leave(start(&loop, &job));
    uv_run(&loop, UV_RUN_DEFAULT); /* ends, though the job has not */
    uv_sem_wait(&job.begun);
    assert_int_equal(job.left, 0);
    uv_sem_post(&job.go_on);
    uv_sem_wait(&job.over);
    assert_int_equal(job.left, 1);
    assert_int_equal(job.done, 0);
    end(&loop, &job);
}

/* The thread may have ended when it is left; whichever it is, the job is over once. */
static void test_left_at_its_end(void **state)
{
    (void)state;
    for (int i = 0; i < 200; i++) {
        struct side_thread *side;
        struct job job;
        uv_loop_t loop;

        side = start(&loop, &job);
        uv_sem_post(&job.go_on);
        if (i % 2 == 0)
            uv_sem_wait(&job.begun);
        if (i % 4 == 0)
            uv_sleep(1);
        side_thread_leave(side);
        uv_run(&loop, UV_RUN_DEFAULT);
        uv_sem_wait(&job.over);
        assert_int_equal(job.left, 1);
        assert_int_equal(job.done, 0);
        end(&loop, &job);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_done_on_the_loop),
        cmocka_unit_test(test_left_while_it_works),
        cmocka_unit_test(test_left_at_its_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
