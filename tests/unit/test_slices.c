/*
 * Settle jobs in slices, on a real database: all that a job holds is there in the end, whatever the
 * size of slices; between two of them each chat has a beginning of its messages and no chat is
 * there without all of its rows; and a job that was cut short is completed by the next one.
 */
#include "tests/unit/sample_store.h"

#include "store/slices.h"
#include <signal.h>
#include <sys/resource.h>

#define CHATS 300
#define OLD_CHATS 100
#define LSN 50

struct world {
    struct sample sample;
    struct database *database;
    struct store_failure failure;
    struct database_new_chat chats[CHATS];
    char users[CHATS][32];
    struct database_message messages[4 * CHATS];
    size_t message_count;
};

static void open_it(struct world *world)
{
    int rc =
        database_open(&world->database, world->sample.directory, SAMPLE_MAP_BYTES, &world->failure);

    if (rc != 0)
        fail_msg("%s", world->failure.detail);
}

static void make_chats(struct world *world)
{
    for (uint64_t i = 0; i < CHATS; i++) {
        char *users = world->users[i];
        int size = snprintf(users + 1, sizeof world->users[i] - 1, "user%d", (int)i);
        users[0] = (char)size;
        world->chats[i] = (struct database_new_chat){.id = sample_id(i + 1),
                                                     .number = i + 1,
                                                     .created_ns = i,
                                                     .namespace_name = sample_namespace(i + 1),
                                                     .users = (uint8_t *)users,
                                                     .users_size = (size_t)size + 1};
        /* The ids of the sample differ in more than their last byte, as real ones do. */
        world->chats[i].id.bytes[14] = (uint8_t)(i >> 4);
        assert_int_equal(digest_users(&world->sample.digester, world->chats[i].users,
                                      world->chats[i].users_size, world->chats[i].users_digest),
                         0);
    }
}

static void make_messages(struct world *world)
{
    for (uint64_t number = 1; number <= CHATS; number++)
        for (uint64_t seq = 1; seq <= number % 5; seq++) {
            struct database_message *message = &world->messages[world->message_count++];
            *message = sample_message(&world->sample, number, seq);
        }
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct database_batch batch = {
        .chats = world->chats, .chat_count = OLD_CHATS, .settled_lsn = 1};

    strcpy(world->sample.directory, "/tmp/test_slices.XXXXXX");
    assert_non_null(mkdtemp(world->sample.directory));
    assert_int_equal(digester_init(&world->sample.digester), 0);
    make_chats(world);
    make_messages(world);
    open_it(world);
    assert_int_equal(database_settle(world->database, &batch, &world->failure), 0);
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;
    char path[128];

    database_close(world->database);
    snprintf(path, sizeof path, "%s/chats.mdb", world->sample.directory);
    unlink(path);
    snprintf(path, sizeof path, "%s/chats.mdb-lock", world->sample.directory);
    unlink(path);
    rmdir(world->sample.directory);
    for (size_t i = 0; i < world->message_count; i++)
        free((void *)(uintptr_t)world->messages[i].bytes);
    digester_free(&world->sample.digester);
    free(world);
    return 0;
}

/* --- what the database has --- */

struct counts {
    uint64_t chats;
    uint64_t messages;
    uint64_t complete; /* chats with all of their messages */
};

/* All messages of the chat, to the head, and the client id of each. */
static void check_chat(struct world *world, struct database_snapshot *snapshot,
                       const struct database_chat *chat, struct counts *counts)
{
    struct message_page page = {0};
    uint8_t *users;
    size_t users_size;

    assert_in_range(chat->number, 1, CHATS);
    assert_true(chat->head_seq <= chat->number % 5);
    assert_int_equal(database_read_users(snapshot, chat->number, &users, &users_size), 0);
    free(users);
    assert_int_equal(database_read_log(snapshot, &chat->id, chat->number, 1, UINT64_MAX, 1000,
                                       SIZE_MAX, false, &page),
                     0);
    assert_int_equal(page.count, chat->head_seq);
    message_page_free(&page);
    for (size_t i = 0; i < world->message_count; i++) {
        const struct database_message *message = &world->messages[i];
        uint64_t seq = 0;
        if (message->chat_number != chat->number)
            continue;
        assert_int_equal(database_find_client(snapshot, chat->number, message->client_digest, &seq),
                         message->seq <= chat->head_seq ? 0 : STORE_NOT_FOUND);
        assert_int_equal(seq, message->seq <= chat->head_seq ? message->seq : 0);
    }
    counts->chats++;
    counts->messages += chat->head_seq;
    counts->complete += chat->head_seq == chat->number % 5;
}

static struct counts look(struct world *world)
{
    struct database_snapshot *snapshot;
    struct database_statistics statistics;
    struct database_scan *scan;
    struct database_chat chat;
    struct counts counts = {0};

    assert_int_equal(database_snapshot_begin(world->database, &snapshot), 0);
    assert_int_equal(database_scan_begin(snapshot, &scan), 0);
    while (database_scan_next(scan, &chat) == 0)
        check_chat(world, snapshot, &chat, &counts);
    database_scan_end(scan);
    assert_int_equal(database_read_statistics(snapshot, &statistics), 0);
    assert_int_equal(statistics.chats, counts.chats);
    assert_int_equal(statistics.messages, counts.messages);
    database_snapshot_end(snapshot);
    return counts;
}

/* The users lead to a chat in the end, and the chat's id to its number. */
static void check_whole(struct world *world)
{
    struct counts counts = look(world);
    struct database_snapshot *snapshot;
    struct database_meta meta;

    assert_int_equal(counts.chats, CHATS);
    assert_int_equal(counts.complete, CHATS);
    assert_int_equal(counts.messages, world->message_count);
    assert_int_equal(database_snapshot_begin(world->database, &snapshot), 0);
    for (uint64_t i = 0; i < CHATS; i++) {
        struct uuid id;
        assert_int_equal(database_find_users(snapshot, world->chats[i].namespace_name,
                                             world->chats[i].users_digest, &id),
                         0);
        assert_memory_equal(&id, &world->chats[i].id, sizeof id);
    }
    database_snapshot_end(snapshot);
    database_read_meta(world->database, &meta);
    assert_int_equal(meta.settled_lsn, LSN);
    assert_int_equal(meta.reached_lsn, LSN);
    assert_int_equal(meta.chat_number_last, CHATS);
}

/* --- jobs --- */

static struct slices job_of(struct world *world, size_t bytes_max)
{
    return (struct slices){.chats = world->chats + OLD_CHATS,
                           .chat_count = CHATS - OLD_CHATS,
                           .messages = world->messages,
                           .message_count = world->message_count,
                           .lsn = LSN,
                           .bytes_max = bytes_max};
}

static void write_slice(struct world *world, struct slices *job)
{
    if (slices_write(job, world->database, &world->failure) != 0)
        fail_msg("%s", world->failure.detail);
}

static void test_one_slice(void **state)
{
    struct world *world = *state;
    struct slices job = job_of(world, SIZE_MAX);

    write_slice(world, &job);
    assert_true(job.over);
    check_whole(world);
}

static void test_many_slices(void **state)
{
    struct world *world = *state;
    struct slices job = job_of(world, 20000);
    uint64_t messages = 0;
    unsigned count = 0;

    while (!job.over) {
        struct database_meta meta;
        struct counts counts = look(world);
        assert_true(counts.chats == OLD_CHATS || counts.chats == CHATS);
        assert_true(counts.messages >= messages);
        messages = counts.messages;
        database_read_meta(world->database, &meta);
        assert_int_equal(meta.settled_lsn, 1);
        assert_int_equal(meta.reached_lsn, count == 0 ? 1 : LSN);
        write_slice(world, &job);
        count++;
    }
    assert_true(count > 8);
    check_whole(world);
}

/* The job as recovery makes it anew: what is there already is not in it. */
static struct slices job_again(struct world *world)
{
    struct slices job = job_of(world, 20000);
    struct database_meta meta;
    struct database_snapshot *snapshot;
    size_t kept = 0;

    make_chats(world);
    database_read_meta(world->database, &meta);
    assert_int_equal(meta.settled_lsn, 1);
    if (meta.chat_number_last == CHATS)
        job.chat_count = 0;
    assert_int_equal(database_snapshot_begin(world->database, &snapshot), 0);
    job.messages = calloc(world->message_count, sizeof *job.messages);
    for (size_t i = 0; i < world->message_count; i++) {
        const struct database_message *message = &world->messages[i];
        uint64_t seq;
        if (message->chat_number > meta.chat_number_last ||
            database_find_client(snapshot, message->chat_number, message->client_digest, &seq) != 0)
            job.messages[kept++] = *message;
    }
    database_snapshot_end(snapshot);
    job.message_count = kept;
    return job;
}

/* After each number of slices. */
static void test_cut_short(void **state)
{
    bool over = false;

    for (unsigned cut = 1; !over; cut++) {
        struct world *world = *state;
        struct slices job = job_of(world, 20000);
        for (unsigned i = 0; i < cut && !job.over; i++)
            write_slice(world, &job);
        over = job.over;
        database_close(world->database);
        open_it(world);
        if (!over) {
            struct slices again = job_again(world);
            while (!again.over)
                write_slice(world, &again);
            free(again.messages);
        }
        check_whole(world);
        tear_down(state);
        set_up(state);
    }
}

/* The slice after a full disk may be a smaller one, and end between two messages of a chat: they
 * are in their order again. (A limit on the size of files is as good as a full disk.) */
static void test_full_disk(void **state)
{
    struct world *world = *state;
    struct slices job = job_of(world, SIZE_MAX);
    struct rlimit limit;
    struct rlimit small;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = (struct rlimit){.rlim_cur = 4096, .rlim_max = limit.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(slices_write(&job, world->database, &world->failure), STORE_FULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_false(job.over);
    job.bytes_max = 1;
    while (!job.over)
        write_slice(world, &job);
    check_whole(world);
}

/* Rows that differ from what a job has left are not written over. */
static void test_other_chat(void **state)
{
    struct world *world = *state;
    struct slices job = job_of(world, 20000);
    struct slices other;

    write_slice(world, &job);
    assert_int_equal(job.chat_rows, DATABASE_CHATS_NUMBERED);
    world->users[OLD_CHATS][1]++;
    other = job_of(world, SIZE_MAX);
    assert_int_equal(slices_write(&other, world->database, &world->failure), STORE_CORRUPT);
    assert_non_null(strstr(world->failure.detail, "members"));
}

/* An LSN never goes back. */
static void test_lsns(void **state)
{
    struct world *world = *state;
    struct database_batch batch = {.settled_lsn = 1, .reached_lsn = 9};

    assert_int_equal(database_settle(world->database, &batch, &world->failure), 0);
    batch.reached_lsn = 8;
    assert_int_equal(database_settle(world->database, &batch, &world->failure), STORE_CORRUPT);
    batch = (struct database_batch){.settled_lsn = 8};
    assert_int_equal(database_settle(world->database, &batch, &world->failure), STORE_CORRUPT);
    batch.settled_lsn = 9;
    assert_int_equal(database_settle(world->database, &batch, &world->failure), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_one_slice), TEST(test_many_slices), TEST(test_cut_short),
        TEST(test_full_disk), TEST(test_other_chat),  TEST(test_lsns),
    };

    return cmocka_run_group_tests_name("slices", tests, NULL, NULL);
}
