/*
 * The journal appended to by one thread while another one releases what has settled and prepares
 * segments. A program of its own, so that the thread sanitizer need not go through the histories
 * of test_journal_faults, in which it could find nothing.
 */
#include "tests/unit/journal_rig.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

struct settler {
    struct rig *rig;
    _Atomic uint64_t durable_lsn;
    _Atomic bool done;
    int status;
};

static void *settle(void *data)
{
    struct settler *settler = data;
    struct store_failure failure;

    while (!settler->done && settler->status == STORE_OK) {
        uint64_t room = journal_room_bytes(settler->rig->journal, 4096);

        journal_release(settler->rig->journal, settler->durable_lsn);
        if (room < journal_disk_bytes(settler->rig->journal))
            settler->status = journal_prepare(settler->rig->journal, &failure);
    }
    return NULL;
}

static void test_append_while_another_thread_settles(void **state)
{
    struct rig rig;
    struct settler settler = {.rig = &rig};
    pthread_t thread;

    (void)state;
    rig_init(&rig);
    rig_reopen(&rig);
    assert_int_equal(pthread_create(&thread, NULL, settle, &settler), 0);
    for (unsigned i = 0; i < 300; i++) {
        int status = rig_append(&rig, 3, 20000);

        while (status == STORE_FULL) {
            sched_yield();
            status = rig_commit(&rig);
        }
        if (status != STORE_OK)
            break;
        settler.durable_lsn = rig.acked_lsn;
    }
    settler.done = true;
    pthread_join(thread, NULL);
    assert_int_equal(settler.status, STORE_OK);
    assert_int_equal(rig.acked_lsn, 900);
    rig.settled_lsn = 890;
    rig_reopen(&rig);
    assert_int_equal(rig.recovery.records, 10);
    rig_free(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_while_another_thread_settles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
