#include "store/residency.h"

#include <sys/resource.h>

#define LOOK_MS 1000
#define COUNTS_MS 2000

void residency_init(struct residency *residency, uv_loop_t *loop, struct database *database)
{
    *residency = (struct residency){.loop = loop, .database = database};
    residency->work.data = residency;
}

static long major_faults(void)
{
    struct rusage usage;

    /* Fails for a bad address only. */
    getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_majflt;
}

static void on_look(uv_work_t *work)
{
    struct residency *residency = work->data;

    residency->found = database_is_resident(residency->database, RESIDENCY_BYTES_MAX);
}

static void on_looked(uv_work_t *work, int status)
{
    struct residency *residency = work->data;

    (void)status; /* never cancelled */
    residency->looking = false;
    residency->holds = residency->found;
    residency->found_ms = residency->looked_ms;
    residency->faults = major_faults();
}

static void look(struct residency *residency)
{
    residency->looking = true;
    residency->looked = true;
    residency->looked_ms = uv_now(residency->loop);
    /* Fails only without a callback. */
    uv_queue_work(residency->loop, &residency->work, on_look, on_looked);
}

bool residency_holds(struct residency *residency)
{
    uint64_t now_ms = uv_now(residency->loop);

    if (!residency->looking && (!residency->looked || now_ms - residency->looked_ms >= LOOK_MS))
        look(residency);
    if (residency->holds &&
        (now_ms - residency->found_ms > COUNTS_MS || major_faults() != residency->faults))
        residency->holds = false;
    return residency->holds;
}

bool residency_idle(const struct residency *residency)
{
    return !residency->looking;
}
