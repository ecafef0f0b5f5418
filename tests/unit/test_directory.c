/*
 * The data directory: held by one at a time, its name on disk before anything is in it, and half a
 * store is not taken for a whole one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/directory.h"
#include "store/disk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static char directory[80];

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/test_directory.XXXXXX");
    assert_non_null(mkdtemp(root));
    snprintf(directory, sizeof directory, "%s/data", root);
    return 0;
}

static int tear_down(void **state)
{
    char command[128];

    (void)state;
    disk_set_hook(NULL, NULL);
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

static void make_file(const char *name)
{
    char path[128];
    int file;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    close(file);
}

static void make_journal(void)
{
    char path[128];

    snprintf(path, sizeof path, "%s/journal", directory);
    assert_int_equal(mkdir(path, 0700), 0);
}

static void test_lock(void **state)
{
    struct store_failure failure;
    char holder[32];
    int first, second;

    (void)state;
    first = directory_lock(directory, &failure);
    assert_true(first >= 0);
    assert_int_equal(directory_lock(directory, &failure), STORE_LOCKED);
    snprintf(holder, sizeof holder, "pid %ld", (long)getpid());
    assert_non_null(strstr(failure.detail, holder));
    directory_unlock(first);
    second = directory_lock(directory, &failure);
    assert_true(second >= 0);
    directory_unlock(second);
    snprintf(directory, sizeof directory, "%s/not/there", root);
    assert_int_equal(directory_lock(directory, &failure), STORE_IO);
}

struct syncs {
    unsigned of_root;
    int error;
};

static int count_sync(void *data, struct disk_event *event)
{
    struct syncs *syncs = data;
    struct stat synced, wanted;

    if (event->call != DISK_SYNC)
        return 0;
    assert_int_equal(fstat(event->fd, &synced) | stat(root, &wanted), 0);
    syncs->of_root += synced.st_ino == wanted.st_ino && synced.st_dev == wanted.st_dev;
    return syncs->error;
}

static void test_name_is_synced(void **state)
{
    struct store_failure failure;
    struct syncs syncs = {0};
    int lock = directory_lock(directory, &failure);

    (void)state;
    disk_set_hook(count_sync, &syncs);
    assert_int_equal(directory_check_database(directory, &failure), 0);
    assert_int_equal(syncs.of_root, 1);
    /* It may have been made by a process that did not come to sync it. */
    assert_int_equal(directory_check_database(directory, &failure), 0);
    assert_int_equal(syncs.of_root, 2);
    syncs.error = EIO;
    assert_int_equal(directory_check_database(directory, &failure), STORE_IO);
    make_file("chats.mdb");
    assert_int_equal(directory_check_database(directory, &failure), 0);
    assert_int_equal(syncs.of_root, 3);
    directory_unlock(lock);
}

static void test_half_a_store(void **state)
{
    struct store_failure failure;
    int lock = directory_lock(directory, &failure);

    (void)state;
    assert_int_equal(directory_check_journal(directory, &failure), STORE_CORRUPT);
    make_journal();
    assert_int_equal(directory_check_journal(directory, &failure), 0);
    assert_int_equal(directory_check_database(directory, &failure), 0);
    make_file("journal/0001.seg");
    assert_int_equal(directory_check_database(directory, &failure), STORE_CORRUPT);
    assert_non_null(strstr(failure.detail, directory));
    make_file("chats.mdb");
    assert_int_equal(directory_check_database(directory, &failure), 0);
    directory_unlock(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_lock, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_name_is_synced, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_a_store, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
