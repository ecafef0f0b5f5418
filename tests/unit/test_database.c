/*
 * The database: what is settled is read back, what is damaged is told apart, what does not follow
 * is refused. Damage is done to the file with LMDB's own calls, or to its bytes.
 */
#include "base/log.h"
#include "store/crc32c.h"
#include "store/database.h"
#include "store/database_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants those four first. */
#include <cmocka.h>

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAP_BYTES ((uint64_t)1 << 30)
#define ALL UINT64_MAX
#define BUDGET ((size_t)1 << 30)

/* --- a database in a directory of its own --- */

struct fixture {
    char directory[64];
    char path[96];
    struct database *database;
    struct store_failure failure;
    uint64_t lsn;
};

static void open_again(struct fixture *fixture, uint64_t map_bytes)
{
    int rc = database_open(&fixture->database, fixture->directory, map_bytes, &fixture->failure);

    if (rc != 0)
        fail_msg("%s: %s", store_status_text(rc), fixture->failure.detail);
}

static void close_it(struct fixture *fixture)
{
    database_close(fixture->database);
    fixture->database = NULL;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    strcpy(fixture->directory, "/tmp/test_database.XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    snprintf(fixture->path, sizeof fixture->path, "%s/chats.mdb", fixture->directory);
    open_again(fixture, MAP_BYTES);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char lock[128];

    if (fixture->database != NULL)
        close_it(fixture);
    snprintf(lock, sizeof lock, "%s-lock", fixture->path);
    unlink(lock);
    unlink(fixture->path);
    /* Fails if anything else was left there. */
    assert_int_equal(rmdir(fixture->directory), 0);
    free(fixture);
    return 0;
}

/* --- what goes into it: all of it follows from a chat's number and a seq --- */

static struct uuid id_of(uint64_t chat_number)
{
    struct uuid id;

    for (size_t i = 0; i < UUID_BYTES; i++)
        id.bytes[i] = (uint8_t)((chat_number * 2654435761u >> (i % 4 * 8)) + i * 7);
    id.bytes[15] = (uint8_t)chat_number;
    id.bytes[14] = (uint8_t)(chat_number >> 8);
    return id;
}

static void digest_of(uint64_t chat_number, uint64_t seq, uint8_t digest[DATABASE_DIGEST_BYTES])
{
    uint64_t x = (chat_number << 32 | seq) * 0x9E3779B97F4A7C15u;

    for (size_t i = 0; i < DATABASE_DIGEST_BYTES; i++) {
        x ^= x >> 29;
        x *= 0xBF58476D1CE4E5B9u;
        digest[i] = (uint8_t)(x >> 56);
    }
}

static void users_digest_of(uint64_t chat_number, uint8_t digest[DATABASE_USERS_DIGEST_BYTES])
{
    digest_of(chat_number, UINT32_MAX, digest);
    digest_of(chat_number, UINT32_MAX - 1, digest + DATABASE_DIGEST_BYTES);
}

static uint8_t byte_of(uint64_t chat_number, uint64_t seq, size_t i)
{
    return (uint8_t)(chat_number * 31 + seq * 17 + i);
}

static struct database_message make_message(uint64_t chat_number, uint64_t seq, uint32_t size)
{
    struct database_message message = {.chat_number = chat_number, .seq = seq, .size = size};
    uint8_t *bytes = malloc(size + 1u);

    for (size_t i = 0; i < size; i++)
        bytes[i] = byte_of(chat_number, seq, i);
    message.bytes = bytes;
    digest_of(chat_number, seq, message.client_digest);
    return message;
}

static void free_messages(struct database_message *messages, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free((void *)(uintptr_t)messages[i].bytes);
    free(messages);
}

#define USERS "\004John\004Mary"

static struct database_new_chat make_chat(uint64_t number)
{
    struct database_new_chat chat = {.id = id_of(number),
                                     .number = number,
                                     .created_ns = number * 1000,
                                     .namespace_name = "default",
                                     .users = (const uint8_t *)USERS,
                                     .users_size = sizeof USERS - 1};

    users_digest_of(number, chat.users_digest);
    return chat;
}

static int settle_chats(struct fixture *fixture, uint64_t first, uint64_t last)
{
    size_t count = (size_t)(last - first + 1);
    struct database_new_chat *chats = calloc(count, sizeof *chats);
    struct database_batch batch = {.chats = chats, .chat_count = count};
    int rc;

    for (size_t i = 0; i < count; i++)
        chats[i] = make_chat(first + i);
    batch.settled_lsn = fixture->lsn + 1;
    rc = database_settle(fixture->database, &batch, &fixture->failure);
    if (rc == 0)
        fixture->lsn++;
    free(chats);
    return rc;
}

/* Settles [from_seq, before_seq) of one chat; sizes vary around `size`. */
static int settle_range(struct fixture *fixture, uint64_t chat_number, uint64_t from_seq,
                        uint64_t before_seq, uint32_t size)
{
    size_t count = (size_t)(before_seq - from_seq);
    struct database_message *messages = calloc(count, sizeof *messages);
    struct database_batch batch = {.messages = messages, .message_count = count};
    int rc;

    /* Backwards: the call sorts. */
    for (size_t i = 0; i < count; i++) {
        uint64_t seq = before_seq - 1 - i;
        messages[i] = make_message(chat_number, seq, size + (uint32_t)(seq * 13 % (size / 4 + 1)));
    }
    batch.settled_lsn = fixture->lsn + 1;
    rc = database_settle(fixture->database, &batch, &fixture->failure);
    if (rc == 0)
        fixture->lsn++;
    free_messages(messages, count);
    return rc;
}

/* --- what comes out --- */

static int read_range(struct fixture *fixture, uint64_t chat_number, uint64_t from, uint64_t before,
                      size_t limit, size_t budget, bool backwards, struct message_page *page)
{
    struct database_snapshot *snapshot;
    struct uuid id = id_of(chat_number);
    int rc;

    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    rc =
        database_read_log(snapshot, &id, chat_number, from, before, limit, budget, backwards, page);
    database_snapshot_end(snapshot);
    return rc;
}

/* Each message is the one that was put there, and they are consecutive. `first` is the one that was
 * read first. */
static void check_page(const struct message_page *page, uint64_t chat_number, uint64_t first,
                       bool backwards)
{
    uint64_t expected = backwards ? first + 1 - page->count : first;
    struct message_view message = {0};
    size_t size = 0;

    for (size_t i = 0; i < page->count; i++) {
        assert_true(message_page_next(page, &message));
        assert_int_equal(message.seq, expected + i);
        for (size_t k = 0; k < message.size; k++)
            if (message.bytes[k] != byte_of(chat_number, message.seq, k))
                fail_msg("byte %zu of message %llu is wrong", k, (unsigned long long)message.seq);
        size += message.size;
    }
    assert_false(message_page_next(page, &message));
    assert_int_equal(size, page->size);
}

static void expect_range(struct fixture *fixture, uint64_t chat_number, uint64_t from,
                         uint64_t before, size_t limit, bool backwards, uint64_t first,
                         size_t count)
{
    struct message_page page = {0};

    assert_int_equal(
        read_range(fixture, chat_number, from, before, limit, BUDGET, backwards, &page), 0);
    assert_int_equal(page.count, count);
    check_page(&page, chat_number, first, backwards);
    message_page_free(&page);
}

static int find_chat(struct fixture *fixture, uint64_t chat_number, struct database_chat *chat)
{
    struct database_snapshot *snapshot;
    struct uuid id = id_of(chat_number);
    int rc;

    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    rc = database_find_chat(snapshot, &id, chat);
    database_snapshot_end(snapshot);
    return rc;
}

static int find_client(struct fixture *fixture, uint64_t chat_number, uint64_t digest_seq,
                       uint64_t *seq)
{
    struct database_snapshot *snapshot;
    uint8_t digest[DATABASE_DIGEST_BYTES];
    int rc;

    digest_of(chat_number, digest_seq, digest);
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    rc = database_find_client(snapshot, chat_number, digest, seq);
    database_snapshot_end(snapshot);
    return rc;
}

struct told {
    uint8_t (*digests)[DATABASE_DIGEST_BYTES];
    size_t count;
    size_t capacity;
};

static void note_digest(void *data, const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    struct told *told = data;

    if (told->count == told->capacity) {
        told->capacity = told->capacity * 2 + 64;
        told->digests = realloc(told->digests, told->capacity * sizeof *told->digests);
        assert_non_null(told->digests);
    }
    memcpy(told->digests[told->count++], digest, DATABASE_DIGEST_BYTES);
}

static int each_client_to(struct fixture *fixture, uint64_t chat_number, uint64_t max,
                          struct told *told)
{
    struct database_snapshot *snapshot;
    int rc;

    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    rc = database_each_client(snapshot, chat_number, max, note_digest, told);
    database_snapshot_end(snapshot);
    return rc;
}

static int each_client(struct fixture *fixture, uint64_t chat_number, struct told *told)
{
    return each_client_to(fixture, chat_number, UINT64_MAX, told);
}

static int by_bytes(const void *a, const void *b)
{
    return memcmp(a, b, DATABASE_DIGEST_BYTES);
}

static void expect_each_client(struct fixture *fixture, uint64_t chat_number, uint64_t head)
{
    struct told told = {0};
    struct told expected = {0};

    assert_int_equal(each_client(fixture, chat_number, &told), head > 0 ? 0 : STORE_NOT_FOUND);
    for (uint64_t i = 1; i <= head; i++) {
        uint8_t digest[DATABASE_DIGEST_BYTES];
        digest_of(chat_number, i, digest);
        note_digest(&expected, digest);
    }
    assert_int_equal(told.count, head);
    if (head > 0) {
        assert_int_equal(each_client_to(fixture, chat_number, head - 1, &told), STORE_NOT_FOUND);
        assert_int_equal(told.count, head);
        qsort(told.digests, told.count, sizeof *told.digests, by_bytes);
        qsort(expected.digests, expected.count, sizeof *expected.digests, by_bytes);
        assert_memory_equal(told.digests, expected.digests, head * sizeof *told.digests);
    }
    free(told.digests);
    free(expected.digests);
}

static void expect_clients(struct fixture *fixture, uint64_t chat_number, uint64_t head)
{
    uint64_t seq;

    for (uint64_t i = 1; i <= head; i++) {
        assert_int_equal(find_client(fixture, chat_number, i, &seq), 0);
        assert_int_equal(seq, i);
    }
    for (uint64_t i = head + 1; i <= head + 100; i++)
        assert_int_equal(find_client(fixture, chat_number, i, &seq), STORE_NOT_FOUND);
    expect_each_client(fixture, chat_number, head);
}

/* --- round trips --- */

static void test_empty(void **state)
{
    struct fixture *fixture = *state;
    struct database_statistics statistics;
    struct database_snapshot *snapshot;
    struct database_chat chat;
    struct database_meta meta;
    struct uuid id;
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES] = {0};
    uint8_t *users;
    uint64_t seq;
    size_t size;

    database_read_meta(fixture->database, &meta);
    assert_int_equal(meta.settled_lsn, 0);
    assert_int_equal(meta.chat_number_last, 0);
    assert_int_equal(find_chat(fixture, 1, &chat), STORE_NOT_FOUND);
    assert_int_equal(find_client(fixture, 1, 1, &seq), STORE_NOT_FOUND);
    expect_range(fixture, 1, 1, ALL, 10, false, 0, 0);
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    assert_int_equal(database_find_users(snapshot, "default", digest, &id), STORE_NOT_FOUND);
    assert_int_equal(database_read_users(snapshot, 1, &users, &size), STORE_NOT_FOUND);
    assert_int_equal(database_read_statistics(snapshot, &statistics), 0);
    assert_int_equal(statistics.chats, 0);
    assert_int_equal(statistics.messages, 0);
    assert_true(statistics.file_bytes > 0);
    database_snapshot_end(snapshot);
}

static void test_chat(void **state)
{
    struct fixture *fixture = *state;
    struct database_snapshot *snapshot;
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES];
    struct database_chat chat;
    struct uuid expected = id_of(2);
    struct uuid id;
    uint8_t *users;
    size_t size;

    assert_int_equal(settle_chats(fixture, 1, 3), 0);
    assert_int_equal(settle_range(fixture, 2, 1, 6, 100), 0);
    assert_int_equal(find_chat(fixture, 2, &chat), 0);
    assert_memory_equal(chat.id.bytes, expected.bytes, UUID_BYTES);
    assert_int_equal(chat.number, 2);
    assert_int_equal(chat.head_seq, 5);
    assert_int_equal(chat.created_ns, 2000);
    assert_int_equal(chat.namespace_size, 7);
    assert_string_equal(chat.namespace_name, "default");
    assert_int_equal(find_chat(fixture, 3, &chat), 0);
    assert_int_equal(chat.head_seq, 0);
    users_digest_of(2, digest);
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    assert_int_equal(database_find_users(snapshot, "default", digest, &id), 0);
    assert_memory_equal(id.bytes, expected.bytes, UUID_BYTES);
    assert_int_equal(database_find_users(snapshot, "defaul", digest, &id), STORE_NOT_FOUND);
    assert_int_equal(database_read_users(snapshot, 2, &users, &size), 0);
    assert_int_equal(size, sizeof USERS - 1);
    assert_memory_equal(users, USERS, size);
    free(users);
    database_snapshot_end(snapshot);
}

static void test_ranges(void **state)
{
    struct fixture *fixture = *state;
    struct message_page page = {0};

    assert_int_equal(settle_chats(fixture, 1, 3), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 50, 200), 0);
    assert_int_equal(settle_range(fixture, 3, 1, 50, 200), 0);
    assert_int_equal(settle_range(fixture, 2, 1, 101, 200), 0);
    expect_range(fixture, 2, 0, ALL, 1000, false, 1, 100);
    expect_range(fixture, 2, 1, ALL, 1000, true, 100, 100);
    expect_range(fixture, 2, 1, 101, 7, false, 1, 7);
    expect_range(fixture, 2, 1, 101, 7, true, 100, 7);
    expect_range(fixture, 2, 40, 45, 50, false, 40, 5);
    expect_range(fixture, 2, 40, 45, 50, true, 44, 5);
    expect_range(fixture, 2, 100, 101, 50, false, 100, 1);
    expect_range(fixture, 2, 101, ALL, 50, false, 0, 0);
    expect_range(fixture, 2, ALL, ALL, 50, false, 0, 0);
    expect_range(fixture, 2, 0, 0, 50, false, 0, 0);
    expect_range(fixture, 2, 0, 1, 50, true, 0, 0);
    expect_range(fixture, 2, 60, 50, 50, true, 0, 0);
    expect_range(fixture, 2, 1, ALL, 0, false, 0, 0);
    /* One always fits; then each counts as its size + 8. */
    assert_int_equal(read_range(fixture, 2, 1, ALL, 50, 1, false, &page), 0);
    assert_int_equal(page.count, 1);
    assert_int_equal(read_range(fixture, 2, 2, ALL, 50, 1, false, &page), 0);
    assert_int_equal(page.count, 1);
    assert_int_equal(
        read_range(fixture, 2, 2, ALL, 50, page.size + 8 + 200 + 26 + 8 - 1, false, &page), 0);
    assert_int_equal(page.count, 1);
    assert_int_equal(read_range(fixture, 2, 2, ALL, 50, page.size + 8 + 200 + 26 + 8, false, &page),
                     0);
    assert_int_equal(page.count, 2);
    check_page(&page, 2, 1, false);
    message_page_free(&page);
}

/* Batches and messages of all sizes: chunks that fill exactly, single ones, several pages. */
static void test_sizes(void **state)
{
    static const uint32_t sizes[] = {1, 30, 250, 1000, 2010, 4072, 4073, 9000, 65536};
    struct fixture *fixture = *state;
    uint64_t count = sizeof sizes / sizeof *sizes;

    assert_int_equal(settle_chats(fixture, 1, count), 0);
    for (uint64_t chat = 1; chat <= count; chat++) {
        uint64_t from = 1;
        for (uint64_t step = 1; step <= 12; step++) {
            assert_int_equal(settle_range(fixture, chat, from, from + step, sizes[chat - 1]), 0);
            from += step;
        }
    }
    close_it(fixture);
    open_again(fixture, MAP_BYTES);
    for (uint64_t chat = 1; chat <= count; chat++) {
        expect_range(fixture, chat, 1, ALL, 1000, false, 1, 78);
        expect_range(fixture, chat, 1, ALL, 1000, true, 78, 78);
        for (uint64_t from = 1; from <= 78; from += 5)
            expect_range(fixture, chat, from, ALL, 1, false, from, 1);
        expect_clients(fixture, chat, 78);
    }
}

/* Client ids pass from the recent bucket to the others, in small steps and in large ones. */
static void test_many_clients(void **state)
{
    struct fixture *fixture = *state;
    uint64_t from = 1;

    assert_int_equal(settle_chats(fixture, 1, 3), 0);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(settle_range(fixture, 2, from, from + 17, 40), 0);
        from += 17;
    }
    expect_clients(fixture, 2, from - 1);
    assert_int_equal(settle_range(fixture, 2, from, from + 5000, 40), 0);
    from += 5000;
    assert_int_equal(settle_range(fixture, 2, from, from + 80, 40), 0);
    from += 80;
    assert_int_equal(settle_range(fixture, 2, from, from + 1, 40), 0);
    from += 1;
    assert_int_equal(settle_range(fixture, 1, 1, 82, 40), 0);
    assert_int_equal(settle_range(fixture, 3, 1, 2000, 40), 0);
    close_it(fixture);
    open_again(fixture, MAP_BYTES);
    expect_clients(fixture, 2, from - 1);
    expect_clients(fixture, 1, 81);
    expect_clients(fixture, 3, 1999);
    expect_range(fixture, 2, 1, ALL, 100000, false, 1, (size_t)from - 1);
}

static void test_many_chats(void **state)
{
    enum { CHATS = 3000, ROUNDS = 4 };
    struct fixture *fixture = *state;
    struct database_message *messages = calloc(CHATS, sizeof *messages);
    struct database_batch batch = {.messages = messages, .message_count = CHATS};
    struct database_statistics statistics;
    struct database_snapshot *snapshot;
    struct database_chat chat;

    assert_int_equal(settle_chats(fixture, 1, CHATS / 2), 0);
    assert_int_equal(settle_chats(fixture, CHATS / 2 + 1, CHATS), 0);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        for (uint64_t i = 0; i < CHATS; i++)
            messages[i] = make_message(1 + (i * 7) % CHATS, round, 150);
        batch.settled_lsn = ++fixture->lsn;
        assert_int_equal(database_settle(fixture->database, &batch, &fixture->failure), 0);
        for (uint64_t i = 0; i < CHATS; i++)
            free((void *)(uintptr_t)messages[i].bytes);
    }
    free(messages);
    for (uint64_t number = 1; number <= CHATS; number += 7) {
        assert_int_equal(find_chat(fixture, number, &chat), 0);
        assert_int_equal(chat.number, number);
        assert_int_equal(chat.head_seq, ROUNDS);
        expect_range(fixture, number, 1, ALL, 50, true, ROUNDS, ROUNDS);
        expect_clients(fixture, number, ROUNDS);
    }
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    assert_int_equal(database_read_statistics(snapshot, &statistics), 0);
    database_snapshot_end(snapshot);
    assert_int_equal(statistics.chats, CHATS);
    assert_int_equal(statistics.messages, CHATS * ROUNDS);
}

static void test_big_group(void **state)
{
    enum { USER_COUNT = 1000, USER_BYTES = 128 };
    struct fixture *fixture = *state;
    struct database_new_chat chat = make_chat(1);
    struct database_batch batch = {.chats = &chat, .chat_count = 1, .settled_lsn = 1};
    struct database_snapshot *snapshot;
    size_t size = USER_COUNT * (1 + USER_BYTES);
    uint8_t *users = malloc(size);
    uint8_t *read = NULL;
    size_t read_size = 0;

    for (size_t i = 0; i < size; i++)
        users[i] = i % (1 + USER_BYTES) == 0 ? USER_BYTES : (uint8_t)(i * 11);
    chat.users = users;
    chat.users_size = size;
    assert_int_equal(database_settle(fixture->database, &batch, &fixture->failure), 0);
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    assert_int_equal(database_read_users(snapshot, 1, &read, &read_size), 0);
    database_snapshot_end(snapshot);
    assert_int_equal(read_size, size);
    assert_memory_equal(read, users, size);
    free(read);
    free(users);
}

static void test_reopen(void **state)
{
    struct fixture *fixture = *state;
    struct database_meta before;
    struct database_meta after;

    assert_int_equal(settle_chats(fixture, 1, 2), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 20, 100), 0);
    database_read_meta(fixture->database, &before);
    assert_int_equal(before.settled_lsn, 2);
    assert_int_equal(before.chat_number_last, 2);
    close_it(fixture);
    open_again(fixture, MAP_BYTES);
    database_read_meta(fixture->database, &after);
    assert_memory_equal(before.store_id.bytes, after.store_id.bytes, UUID_BYTES);
    assert_int_equal(after.settled_lsn, 2);
    assert_int_equal(after.chat_number_last, 2);
    assert_int_equal(settle_range(fixture, 1, 20, 40, 100), 0);
    expect_range(fixture, 1, 1, ALL, 100, false, 1, 39);
}

static void test_snapshot_isolation(void **state)
{
    struct fixture *fixture = *state;
    struct database_snapshot *snapshot;
    struct message_page page = {0};
    struct database_chat chat;
    struct uuid first = id_of(1);
    struct uuid second = id_of(2);

    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 11, 100), 0);
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    assert_int_equal(settle_chats(fixture, 2, 2), 0);
    assert_int_equal(settle_range(fixture, 1, 11, 300, 100), 0);
    assert_int_equal(database_find_chat(snapshot, &first, &chat), 0);
    assert_int_equal(chat.head_seq, 10);
    assert_int_equal(database_find_chat(snapshot, &second, &chat), STORE_NOT_FOUND);
    assert_int_equal(database_read_log(snapshot, &second, 2, 1, ALL, 50, BUDGET, false, &page), 0);
    assert_int_equal(page.count, 0);
    assert_int_equal(database_read_log(snapshot, &first, 1, 1, ALL, 50, BUDGET, false, &page), 0);
    assert_int_equal(page.count, 10);
    database_snapshot_end(snapshot);
    message_page_free(&page);
    /* The same one again, from the pool. */
    expect_range(fixture, 1, 1, ALL, 1000, false, 1, 299);
}

/* --- what does not follow --- */

static void expect_refused(struct fixture *fixture, const struct database_batch *batch)
{
    struct database_meta meta;

    assert_int_equal(database_settle(fixture->database, batch, &fixture->failure), STORE_CORRUPT);
    assert_int_equal(fixture->failure.status, STORE_CORRUPT);
    assert_true(strlen(fixture->failure.detail) > 10);
    database_read_meta(fixture->database, &meta);
    assert_int_equal(meta.settled_lsn, fixture->lsn);
}

static void test_wrong_seqs_refused(void **state)
{
    static const uint64_t seqs[][2] = {{12, 13}, {10, 11}, {11, 13}, {1, 2}, {0, 1}, {11, 11}};
    struct fixture *fixture = *state;

    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 11, 100), 0);
    for (size_t i = 0; i < sizeof seqs / sizeof *seqs; i++) {
        struct database_message messages[2] = {{.chat_number = 1}, {.chat_number = 1}};
        struct database_batch batch = {.messages = messages, .message_count = 2, .settled_lsn = 9};
        for (size_t k = 0; k < 2; k++) {
            messages[k].seq = seqs[i][k];
            messages[k].bytes = (const uint8_t *)"x";
            messages[k].size = 1;
            digest_of(1, 1000 + k, messages[k].client_digest);
        }
        expect_refused(fixture, &batch);
    }
    assert_int_equal(settle_range(fixture, 2, 1, 2, 100), STORE_CORRUPT);
    assert_int_equal(settle_range(fixture, 0, 1, 2, 100), STORE_CORRUPT);
    assert_int_equal(settle_range(fixture, 1, 11, 13, 100), 0);
    expect_range(fixture, 1, 1, ALL, 50, false, 1, 12);
}

static void test_used_clients_refused(void **state)
{
    struct fixture *fixture = *state;
    uint64_t head = 300;

    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    /* Of 300 clients, the first hundreds are in `clients`, the last few in `recent`. */
    for (uint64_t seq = 1; seq <= head; seq += 30)
        assert_int_equal(settle_range(fixture, 1, seq, seq + 30, 60), 0);
    for (uint64_t used = 1; used <= head + 1; used += 20) {
        for (size_t count = 2; count <= 82; count += 40) {
            struct database_message *messages = calloc(count, sizeof *messages);
            struct database_batch batch = {
                .messages = messages, .message_count = count, .settled_lsn = 99};
            for (size_t i = 0; i < count; i++)
                messages[i] = make_message(1, head + 1 + i, 60);
            /* used = head + 1 is twice in the batch. */
            digest_of(1, used, messages[1].client_digest);
            expect_refused(fixture, &batch);
            free_messages(messages, count);
        }
    }
    assert_int_equal(settle_range(fixture, 1, head + 1, head + 50, 60), 0);
    expect_clients(fixture, 1, head + 49);
}

static void test_wrong_chats_refused(void **state)
{
    struct fixture *fixture = *state;
    struct database_new_chat chat = make_chat(3);
    struct database_batch batch = {.chats = &chat, .chat_count = 1, .settled_lsn = 9};

    assert_int_equal(settle_chats(fixture, 1, 2), 0);
    chat.number = 4;
    expect_refused(fixture, &batch);
    chat.number = 2;
    expect_refused(fixture, &batch);
    chat = make_chat(3);
    chat.id = id_of(1);
    expect_refused(fixture, &batch);
    chat = make_chat(3);
    users_digest_of(1, chat.users_digest);
    expect_refused(fixture, &batch);
    chat.namespace_name = "";
    expect_refused(fixture, &batch);
    /* The same users in another namespace are another chat. */
    chat.namespace_name = "other";
    assert_int_equal(database_settle(fixture->database, &batch, &fixture->failure), 0);
    fixture->lsn = 9;
    batch.chat_count = 0;
    batch.settled_lsn = 8;
    expect_refused(fixture, &batch);
}

/* --- damage --- */

/* Opens the file with LMDB alone, with one table, for writing. */
struct surgery {
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
};

static void begin_surgery(struct fixture *fixture, const char *table, struct surgery *surgery)
{
    assert_int_equal(mdb_env_create(&surgery->env), 0);
    assert_int_equal(mdb_env_set_maxdbs(surgery->env, 16), 0);
    assert_int_equal(mdb_env_set_mapsize(surgery->env, MAP_BYTES), 0);
    assert_int_equal(mdb_env_open(surgery->env, fixture->path, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(surgery->env, NULL, 0, &surgery->txn), 0);
    assert_int_equal(mdb_dbi_open(surgery->txn, table, 0, &surgery->table), 0);
}

static void end_surgery(struct surgery *surgery)
{
    assert_int_equal(mdb_txn_commit(surgery->txn), 0);
    mdb_env_close(surgery->env);
}

/* Copies the row number `index` of a table; returns how many rows the table has. */
static size_t copy_row(struct surgery *surgery, size_t index, MDB_val *key, MDB_val *value)
{
    MDB_cursor *cursor;
    size_t count = 0;
    MDB_val found_key;
    MDB_val found_value;

    assert_int_equal(mdb_cursor_open(surgery->txn, surgery->table, &cursor), 0);
    while (mdb_cursor_get(cursor, &found_key, &found_value, MDB_NEXT) == 0) {
        if (count++ != index)
            continue;
        key->mv_size = found_key.mv_size;
        key->mv_data = malloc(found_key.mv_size);
        memcpy(key->mv_data, found_key.mv_data, found_key.mv_size);
        value->mv_size = found_value.mv_size;
        value->mv_data = malloc(found_value.mv_size);
        memcpy(value->mv_data, found_value.mv_data, found_value.mv_size);
    }
    mdb_cursor_close(cursor);
    assert_true(index < count);
    return count;
}

/* Replaces a row by one of `size` bytes with `mask` applied to the byte `at`; 0 deletes it. */
static void damage_row(struct fixture *fixture, const char *table, size_t index, size_t at,
                       uint8_t mask, size_t size)
{
    struct surgery surgery;
    MDB_val key;
    MDB_val value;

    close_it(fixture);
    begin_surgery(fixture, table, &surgery);
    copy_row(&surgery, index, &key, &value);
    if (size == 0) {
        assert_int_equal(mdb_del(surgery.txn, surgery.table, &key, NULL), 0);
    } else {
        ((uint8_t *)value.mv_data)[at] ^= mask;
        value.mv_size = size < value.mv_size ? size : value.mv_size;
        assert_int_equal(mdb_put(surgery.txn, surgery.table, &key, &value, 0), 0);
    }
    free(key.mv_data);
    free(value.mv_data);
    end_surgery(&surgery);
}

/* --- many chats at once --- */

#define MANY 300

static int by_lookup_id(const void *left, const void *right)
{
    return memcmp(((const struct database_lookup *)left)->id.bytes,
                  ((const struct database_lookup *)right)->id.bytes, UUID_BYTES);
}

/* Looks for the chats with the numbers 1 to MANY + 2, of which the last two are not there. */
static struct database_lookup *find_many(struct fixture *fixture, struct database_texts *texts)
{
    struct database_lookup *lookups = calloc(MANY + 2, sizeof *lookups);
    struct database_snapshot *snapshot;

    for (size_t i = 0; i < MANY + 2; i++)
        lookups[i] = (struct database_lookup){.id = id_of(i + 1), .status = 1};
    qsort(lookups, MANY + 2, sizeof *lookups, by_lookup_id);
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    assert_int_equal(database_find_chats(snapshot, lookups, MANY + 2, texts), 0);
    database_snapshot_end(snapshot);
    return lookups;
}

/* As each says that is looked for alone. Returns how many are damaged. */
static unsigned compare_many(struct fixture *fixture)
{
    struct database_texts texts = {0};
    struct database_lookup *lookups = find_many(fixture, &texts);
    struct database_snapshot *snapshot;
    unsigned damaged = 0;

    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    for (size_t i = 0; i < MANY + 2; i++) {
        const struct database_lookup *lookup = &lookups[i];
        struct database_chat chat;
        uint8_t *users = NULL;
        size_t size = 0;
        int rc = database_find_chat(snapshot, &lookup->id, &chat);
        if (rc == 0)
            rc = database_read_users(snapshot, chat.number, &users, &size);
        assert_int_equal(lookup->status, rc);
        damaged += rc == STORE_CORRUPT;
        if (rc == 0) {
            assert_int_equal(lookup->number, chat.number);
            assert_int_equal(lookup->head_seq, chat.head_seq);
            assert_int_equal(lookup->namespace_size, chat.namespace_size);
            assert_memory_equal(texts.bytes + lookup->namespace_offset, chat.namespace_name,
                                chat.namespace_size);
            assert_int_equal(lookup->users_size, size);
            assert_memory_equal(texts.bytes + lookup->users_offset, users, size);
        }
        free(users);
    }
    database_snapshot_end(snapshot);
    free(lookups);
    free(texts.bytes);
    return damaged;
}

static void settle_many(struct fixture *fixture)
{
    static const char *const namespaces[] = {"default", "tenant", "default2"};
    struct database_new_chat chats[MANY];
    struct database_batch batch = {.chats = chats, .chat_count = MANY, .settled_lsn = 1};

    for (size_t i = 0; i < MANY; i++) {
        chats[i] = make_chat(i + 1);
        chats[i].namespace_name = namespaces[i % 7 % 3];
    }
    fixture->lsn = 1;
    assert_int_equal(database_settle(fixture->database, &batch, &fixture->failure), 0);
    for (uint64_t number = 1; number <= MANY; number += 3)
        assert_int_equal(settle_range(fixture, number, 1, 2 + number % 5, 100), 0);
}

static void test_find_many(void **state)
{
    static const char *const tables[] = {"chats", "heads", "members", "logs"};
    struct fixture *fixture = *state;
    unsigned damaged = 0;

    settle_many(fixture);
    assert_int_equal(compare_many(fixture), 0);
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
        damage_row(fixture, tables[i], 5 * i, 0, 0x10, 4096);
        open_again(fixture, MAP_BYTES);
        assert_true(compare_many(fixture) >= damaged);
        damaged = compare_many(fixture);
        damage_row(fixture, tables[i], 5 * i + 2, 0, 0, 0);
        open_again(fixture, MAP_BYTES);
        assert_true(compare_many(fixture) >= damaged);
        damaged = compare_many(fixture);
    }
    assert_true(damaged >= 5);
}

/* A job that was cut short has left some of a chat's rows. */
static void test_find_many_unfinished(void **state)
{
    struct fixture *fixture = *state;
    struct database_new_chat chat = make_chat(MANY + 1);
    struct database_batch batch = {.chats = &chat,
                                   .chat_count = 1,
                                   .chat_rows = DATABASE_CHATS_NUMBERED,
                                   .reached_lsn = 10000};
    struct database_texts texts = {0};
    struct database_lookup *lookups;

    settle_many(fixture);
    batch.settled_lsn = fixture->lsn;
    assert_int_equal(database_settle(fixture->database, &batch, &fixture->failure), 0);
    batch.chat_rows = DATABASE_CHATS_IDS;
    assert_int_equal(database_settle(fixture->database, &batch, &fixture->failure), 0);
    lookups = find_many(fixture, &texts);
    for (size_t i = 0; i < MANY + 2; i++) {
        bool is_there = memcmp(&lookups[i].id, &chat.id, UUID_BYTES) != 0 &&
                        id_of(MANY + 2).bytes[15] != lookups[i].id.bytes[15];
        if (is_there)
            assert_int_equal(lookups[i].status, 0);
        else if (memcmp(&lookups[i].id, &chat.id, UUID_BYTES) == 0)
            assert_int_equal(lookups[i].status, STORE_NOT_FOUND);
    }
    free(lookups);
    free(texts.bytes);
}

/* --- damage, row by row --- */

static size_t row_size(struct fixture *fixture, const char *table, size_t index)
{
    struct surgery surgery;
    MDB_val key;
    MDB_val value;
    size_t size;

    close_it(fixture);
    begin_surgery(fixture, table, &surgery);
    copy_row(&surgery, index, &key, &value);
    size = value.mv_size;
    free(key.mv_data);
    free(value.mv_data);
    end_surgery(&surgery);
    open_again(fixture, MAP_BYTES);
    return size;
}

/* A lost row of client ids is damage, and not a chat without any: a retry must not get through. */
static void test_lost_client_ids(void **state)
{
    struct fixture *fixture = *state;
    struct surgery surgery;
    struct told told = {0};
    uint64_t seq;

    assert_int_equal(settle_chats(fixture, 1, 3), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 300, 60), 0);
    assert_int_equal(settle_range(fixture, 2, 1, 20, 60), 0);
    close_it(fixture);
    begin_surgery(fixture, "clients", &surgery);
    assert_int_equal(mdb_drop(surgery.txn, surgery.table, 0), 0);
    end_surgery(&surgery);
    open_again(fixture, MAP_BYTES);
    assert_int_equal(each_client(fixture, 1, &told), STORE_CORRUPT);
    assert_int_equal(each_client(fixture, 2, &told), 0);
    close_it(fixture);
    begin_surgery(fixture, "recent", &surgery);
    assert_int_equal(mdb_drop(surgery.txn, surgery.table, 0), 0);
    end_surgery(&surgery);
    open_again(fixture, MAP_BYTES);
    for (uint64_t number = 1; number <= 2; number++) {
        assert_int_equal(find_client(fixture, number, 5, &seq), STORE_CORRUPT);
        assert_int_equal(find_client(fixture, number, 5000, &seq), STORE_CORRUPT);
        assert_int_equal(each_client(fixture, number, &told), STORE_CORRUPT);
    }
    free(told.digests);
    assert_int_equal(find_client(fixture, 3, 5, &seq), STORE_NOT_FOUND);
    assert_int_equal(settle_range(fixture, 2, 20, 30, 60), STORE_CORRUPT);
    assert_int_equal(settle_range(fixture, 3, 1, 30, 60), 0);
}

/* Reads everything there is of chat 1; the first failure, and nothing wrong on the way. */
static int read_all(struct fixture *fixture)
{
    struct database_snapshot *snapshot;
    struct message_page page = {0};
    struct database_chat chat = {0};
    struct uuid expected = id_of(1);
    struct uuid id;
    uint8_t digest[DATABASE_USERS_DIGEST_BYTES];
    uint8_t *users = NULL;
    size_t size = 0;
    struct told told = {0};
    int rc;
    int clients_rc = 0;

    rc = find_chat(fixture, 1, &chat);
    if (rc == 0)
        assert_int_equal(chat.head_seq, 210);
    if (rc == 0)
        rc = read_range(fixture, 1, 1, ALL, 1000, BUDGET, false, &page);
    check_page(&page, 1, 1, false);
    if (rc == 0)
        assert_int_equal(page.count, 210);
    message_page_free(&page);
    for (uint64_t i = 1; i <= 210 && clients_rc == 0; i++) {
        uint64_t seq = 0;
        clients_rc = find_client(fixture, 1, i, &seq);
        if (clients_rc == 0)
            assert_int_equal(seq, i);
    }
    rc = rc == 0 ? clients_rc : rc;
    clients_rc = each_client(fixture, 1, &told);
    if (clients_rc == 0)
        assert_int_equal(told.count, 210);
    free(told.digests);
    rc = rc == 0 ? clients_rc : rc;
    users_digest_of(1, digest);
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    if (rc == 0)
        rc = database_find_users(snapshot, "default", digest, &id);
    if (rc == 0)
        assert_memory_equal(id.bytes, expected.bytes, UUID_BYTES);
    if (rc == 0)
        rc = database_read_users(snapshot, 1, &users, &size);
    if (rc == 0)
        assert_memory_equal(users, USERS, size);
    free(users);
    database_snapshot_end(snapshot);
    return rc;
}

static void settle_sample(struct fixture *fixture)
{
    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    for (uint64_t seq = 1; seq <= 210; seq += 30)
        assert_int_equal(settle_range(fixture, 1, seq, seq + 30, 60), 0);
    assert_int_equal(read_all(fixture), 0);
}

/* Flips a bit at many places of each row of each table, and cuts each row, and undoes it. */
static void test_damaged_rows(void **state)
{
    static const struct {
        const char *table;
        size_t row;
    } rows[] = {{"chats", 0},   {"heads", 0},   {"members", 0}, {"users", 0},
                {"logs", 0},    {"logs", 1},    {"logs", 2},    {"logs", 3},
                {"clients", 0}, {"clients", 1}, {"recent", 0}};
    struct fixture *fixture = *state;

    settle_sample(fixture);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t size = row_size(fixture, rows[i].table, rows[i].row);
        for (size_t at = 0; at < size; at += size < 100 ? 3 : 97) {
            uint8_t mask = (uint8_t)(1u << at % 8);
            damage_row(fixture, rows[i].table, rows[i].row, at, mask, SIZE_MAX);
            open_again(fixture, MAP_BYTES);
            assert_int_equal(read_all(fixture), STORE_CORRUPT);
            damage_row(fixture, rows[i].table, rows[i].row, at, mask, SIZE_MAX);
            open_again(fixture, MAP_BYTES);
        }
        assert_int_equal(read_all(fixture), 0);
    }
}

static void test_cut_rows(void **state)
{
    static const char *const tables[] = {"chats", "heads",   "members", "users",
                                         "logs",  "clients", "recent"};
    static const size_t cuts[] = {1, 3, 4, 7, 11, 20, 28, 80};

    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
            struct fixture *fixture = *state;
            size_t size;
            settle_sample(fixture);
            size = row_size(fixture, tables[i], 0);
            if (cuts[k] < size) {
                damage_row(fixture, tables[i], 0, 0, 0, size - cuts[k]);
                open_again(fixture, MAP_BYTES);
                assert_int_equal(read_all(fixture), STORE_CORRUPT);
            }
            tear_down(state);
            set_up(state);
        }
    }
}

static void test_holes(void **state)
{
    struct fixture *fixture = *state;
    struct message_page page = {0};
    struct database_chat chat;
    size_t before;

    settle_sample(fixture);
    /* The second of four chunks; then the last; then all. */
    damage_row(fixture, "logs", 1, 0, 0, 0);
    open_again(fixture, MAP_BYTES);
    assert_int_equal(find_chat(fixture, 1, &chat), 0);
    assert_int_equal(read_range(fixture, 1, 1, ALL, 1000, BUDGET, false, &page), STORE_CORRUPT);
    assert_true(page.count > 10 && page.count < 100);
    check_page(&page, 1, 1, false);
    before = page.count;
    message_page_free(&page);
    expect_range(fixture, 1, 1, ALL, before, false, 1, before);
    expect_range(fixture, 1, 1, before + 1, 1000, true, before, before);
    assert_int_equal(read_range(fixture, 1, before + 1, ALL, 1, BUDGET, false, &page),
                     STORE_CORRUPT);
    assert_int_equal(page.count, 0);
    assert_int_equal(read_range(fixture, 1, 1, ALL, 1000, BUDGET, true, &page), STORE_CORRUPT);
    check_page(&page, 1, 210, true);
    assert_true(page.count > 10);
    assert_true(page.first_seq > before + 1);
    message_page_free(&page);
    damage_row(fixture, "logs", 2, 0, 0, 0);
    open_again(fixture, MAP_BYTES);
    assert_int_equal(find_chat(fixture, 1, &chat), STORE_CORRUPT);
    assert_int_equal(settle_range(fixture, 1, 211, 220, 60), STORE_CORRUPT);
    damage_row(fixture, "logs", 1, 0, 0, 0);
    damage_row((open_again(fixture, MAP_BYTES), fixture), "logs", 0, 0, 0, 0);
    open_again(fixture, MAP_BYTES);
    assert_int_equal(find_chat(fixture, 1, &chat), STORE_CORRUPT);
    assert_int_equal(read_range(fixture, 1, 1, ALL, 10, BUDGET, true, &page), STORE_CORRUPT);
    assert_int_equal(page.count, 0);
    message_page_free(&page);
}

/* Where message `index` of the first chunk begins. */
static size_t message_offset(struct fixture *fixture, size_t index)
{
    struct surgery surgery;
    struct database_chunk chunk;
    struct database_row row;
    MDB_val key;
    MDB_val value;
    size_t offset;

    close_it(fixture);
    begin_surgery(fixture, "logs", &surgery);
    copy_row(&surgery, 0, &key, &value);
    row = (struct database_row){key.mv_data, key.mv_size, value.mv_data, value.mv_size};
    assert_true(database_open_chunk(&row, &chunk));
    assert_true(index < chunk.count);
    offset = chunk.offsets[index];
    free(key.mv_data);
    free(value.mv_data);
    end_surgery(&surgery);
    open_again(fixture, MAP_BYTES);
    return offset;
}

/* Whichever message of a chunk is damaged, its bytes or its CRC: it is found, and what was to be
 * read before it has been read. */
static void test_damaged_messages(void **state)
{
    enum { COUNT = 11 };
    struct message_page page = {0};

    for (size_t i = 0; i < COUNT; i++) {
        struct fixture *fixture = *state;
        assert_int_equal(settle_chats(fixture, 1, 1), 0);
        assert_int_equal(settle_range(fixture, 1, 1, COUNT + 1, 60), 0);
        damage_row(fixture, "logs", 0, message_offset(fixture, i) + (i % 2 == 0 ? 20 : 5), 0x10,
                   SIZE_MAX);
        open_again(fixture, MAP_BYTES);
        assert_int_equal(read_range(fixture, 1, 1, ALL, 1000, BUDGET, false, &page), STORE_CORRUPT);
        assert_int_equal(page.count, i);
        check_page(&page, 1, 1, false);
        message_page_clear(&page);
        assert_int_equal(read_range(fixture, 1, 1, ALL, 1000, BUDGET, true, &page), STORE_CORRUPT);
        assert_int_equal(page.count, COUNT - 1 - i);
        check_page(&page, 1, COUNT, true);
        message_page_clear(&page);
        expect_range(fixture, 1, 1, i + 1, 1000, false, 1, i);
        expect_range(fixture, 1, i + 2, ALL, 1000, true, COUNT, COUNT - 1 - i);
        tear_down(state);
        set_up(state);
    }
    message_page_free(&page);
}

/* A range that the caller knows to be settled: all of it is there, or it is damaged. */
static void test_settled_ranges(void **state)
{
    struct fixture *fixture = *state;
    struct database_snapshot *snapshot;
    struct message_page page = {0};
    struct uuid id = id_of(2);

    assert_int_equal(settle_chats(fixture, 1, 3), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 50, 200), 0);
    assert_int_equal(settle_range(fixture, 2, 1, 101, 200), 0);
    assert_int_equal(settle_range(fixture, 3, 1, 50, 200), 0);
    assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
    assert_int_equal(database_read_settled(snapshot, &id, 2, 1, 101, 1000, BUDGET, true, &page), 0);
    assert_int_equal(page.count, 100);
    check_page(&page, 2, 100, true);
    message_page_clear(&page);
    assert_int_equal(database_read_settled(snapshot, &id, 2, 31, 101, 50, BUDGET, false, &page), 0);
    assert_int_equal(page.count, 50);
    check_page(&page, 2, 31, false);
    message_page_clear(&page);
    assert_int_equal(database_read_settled(snapshot, &id, 2, 31, 31, 50, BUDGET, false, &page), 0);
    assert_int_equal(page.count, 0);
    assert_int_equal(database_read_settled(snapshot, &id, 2, 99, 102, 50, BUDGET, false, &page),
                     STORE_CORRUPT);
    assert_int_equal(page.count, 2);
    message_page_clear(&page);
    assert_int_equal(database_read_settled(snapshot, &id, 2, 1, 102, 50, BUDGET, true, &page),
                     STORE_CORRUPT);
    assert_int_equal(page.count, 0);
    database_snapshot_end(snapshot);
    message_page_free(&page);
}

static void test_missing_rows(void **state)
{
    static const char *const tables[] = {"heads", "members"};

    for (size_t i = 0; i < 2; i++) {
        struct fixture *fixture = *state;
        settle_sample(fixture);
        damage_row(fixture, tables[i], 0, 0, 0, 0);
        open_again(fixture, MAP_BYTES);
        assert_int_equal(read_all(fixture), STORE_CORRUPT);
        tear_down(state);
        set_up(state);
    }
}

/* A good row under another key is no good row. */
static void test_row_of_another_key(void **state)
{
    struct fixture *fixture = *state;
    struct surgery surgery;
    struct database_chat chat;
    MDB_val key;
    MDB_val value;
    MDB_val other_key;
    MDB_val other_value;

    assert_int_equal(settle_chats(fixture, 1, 2), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 5, 60), 0);
    assert_int_equal(settle_range(fixture, 2, 1, 5, 60), 0);
    close_it(fixture);
    begin_surgery(fixture, "logs", &surgery);
    copy_row(&surgery, 0, &key, &value);
    copy_row(&surgery, 1, &other_key, &other_value);
    assert_int_equal(mdb_put(surgery.txn, surgery.table, &other_key, &value, 0), 0);
    free(key.mv_data);
    free(value.mv_data);
    free(other_key.mv_data);
    free(other_value.mv_data);
    end_surgery(&surgery);
    open_again(fixture, MAP_BYTES);
    assert_int_equal(find_chat(fixture, 2, &chat), 0);
    expect_range(fixture, 1, 1, ALL, 50, false, 1, 4);
    {
        struct message_page page = {0};
        assert_int_equal(read_range(fixture, 2, 1, ALL, 50, BUDGET, false, &page), STORE_CORRUPT);
        assert_int_equal(page.count, 0);
        message_page_free(&page);
    }
}

/* --- the file --- */

static int try_open(struct fixture *fixture)
{
    return database_open(&fixture->database, fixture->directory, MAP_BYTES, &fixture->failure);
}

static off_t file_bytes(const struct fixture *fixture)
{
    struct stat status;

    assert_int_equal(stat(fixture->path, &status), 0);
    return status.st_size;
}

static void expect_open_fails(struct fixture *fixture, int expected)
{
    off_t size = file_bytes(fixture);

    assert_int_equal(try_open(fixture), expected);
    fixture->database = NULL;
    assert_int_equal(fixture->failure.status, expected);
    assert_non_null(strstr(fixture->failure.detail, "chats.mdb"));
    assert_int_equal(file_bytes(fixture), size);
}

static void test_truncated_file(void **state)
{
    struct fixture *fixture = *state;
    off_t size;

    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 1000, 300), 0);
    close_it(fixture);
    size = file_bytes(fixture);
    for (off_t cut = 1; cut < size; cut = cut * 3 + 100) {
        assert_int_equal(truncate(fixture->path, size - cut), 0);
        expect_open_fails(fixture, STORE_CORRUPT);
    }
    assert_int_equal(truncate(fixture->path, 8192), 0);
    expect_open_fails(fixture, STORE_CORRUPT);
    assert_int_equal(truncate(fixture->path, 100), 0);
    expect_open_fails(fixture, STORE_CORRUPT);
    assert_int_equal(truncate(fixture->path, 0), 0);
    expect_open_fails(fixture, STORE_CORRUPT);
}

/* LMDB takes pages at the end, gives them back, and never writes them. */
static void test_free_pages_missing(void **state)
{
    struct fixture *fixture = *state;
    struct surgery surgery;
    char *large = calloc(1, 400000);
    char name[] = "k";
    MDB_val key = {1, name};
    MDB_val value = {400000, large};
    MDB_envinfo info;
    off_t used;

    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 100, 300), 0);
    close_it(fixture);
    begin_surgery(fixture, "recent", &surgery);
    assert_int_equal(mdb_put(surgery.txn, surgery.table, &key, &value, 0), 0);
    assert_int_equal(mdb_del(surgery.txn, surgery.table, &key, NULL), 0);
    assert_int_equal(mdb_txn_commit(surgery.txn), 0);
    assert_int_equal(mdb_env_info(surgery.env, &info), 0);
    mdb_env_close(surgery.env);
    free(large);
    used = (off_t)(info.me_last_pgno + 1) * 4096;
    assert_true(file_bytes(fixture) < used);
    open_again(fixture, MAP_BYTES);
    assert_int_equal(file_bytes(fixture), used);
    expect_range(fixture, 1, 1, ALL, 1000, false, 1, 99);
    assert_int_equal(settle_range(fixture, 1, 100, 3000, 300), 0);
    expect_range(fixture, 1, 1, ALL, 5000, false, 1, 2999);
}

static void overwrite(const struct fixture *fixture, off_t at, uint8_t byte)
{
    int file = open(fixture->path, O_WRONLY | O_CLOEXEC);

    assert_true(file >= 0);
    assert_int_equal(pwrite(file, &byte, 1, at), 1);
    close(file);
}

static void test_other_formats(void **state)
{
    struct fixture *fixture = *state;
    uint8_t row[DATABASE_META_ROW_BYTES] = {0, 0, 0, DATABASE_FORMAT + 1};
    char name[] = DATABASE_META_KEY;
    MDB_val key = {DATABASE_META_KEY_BYTES, name};
    MDB_val value = {sizeof row, row};
    struct surgery surgery;

    close_it(fixture);
    begin_surgery(fixture, "meta", &surgery);
    database_row_seal((const uint8_t *)DATABASE_META_KEY, DATABASE_META_KEY_BYTES, row,
                      DATABASE_META_ROW_BYTES - DATABASE_CRC_BYTES);
    assert_int_equal(mdb_put(surgery.txn, surgery.table, &key, &value, 0), 0);
    end_surgery(&surgery);
    expect_open_fails(fixture, STORE_FORMAT);
    assert_non_null(strstr(fixture->failure.detail, "format 3"));
    overwrite(fixture, 20, 2);
    expect_open_fails(fixture, STORE_FORMAT);
    overwrite(fixture, 16, 0);
    expect_open_fails(fixture, STORE_CORRUPT);
}

/* The meta row of format 1 is read; the next transaction writes that of today. A whole store of
 * format 1 is tried in tests/integration/formats. */
static void test_format_1(void **state)
{
    struct fixture *fixture = *state;
    uint8_t row[48] = {0, 0, 0, 1};
    char name[] = DATABASE_META_KEY;
    MDB_val key = {DATABASE_META_KEY_BYTES, name};
    MDB_val value = {sizeof row, row};
    struct database_snapshot *snapshot;
    struct database_statistics statistics;
    struct database_meta meta;
    struct surgery surgery;

    assert_int_equal(settle_chats(fixture, 1, 3), 0);
    close_it(fixture);
    begin_surgery(fixture, "meta", &surgery);
    memset(row + 4, 7, UUID_BYTES);
    database_store_u64(row + 20, 41);
    database_store_u64(row + 28, 3);
    database_row_seal((const uint8_t *)DATABASE_META_KEY, DATABASE_META_KEY_BYTES, row, 44);
    assert_int_equal(mdb_put(surgery.txn, surgery.table, &key, &value, 0), 0);
    end_surgery(&surgery);
    open_again(fixture, MAP_BYTES);
    database_read_meta(fixture->database, &meta);
    assert_int_equal(meta.settled_lsn, 41);
    assert_int_equal(meta.reached_lsn, 41);
    assert_int_equal(meta.chat_number_last, 3);
    fixture->lsn = 41;
    for (uint32_t format = 1; format <= DATABASE_FORMAT; format++) {
        assert_int_equal(database_snapshot_begin(fixture->database, &snapshot), 0);
        assert_int_equal(database_read_statistics(snapshot, &statistics), 0);
        database_snapshot_end(snapshot);
        assert_int_equal(statistics.format, format);
        assert_int_equal(settle_chats(fixture, 3 + format, 3 + format), 0);
    }
}

static void test_damaged_meta(void **state)
{
    struct fixture *fixture = *state;

    for (size_t at = 0; at < DATABASE_META_ROW_BYTES; at += 5) {
        damage_row(fixture, "meta", 0, at, 0x10, SIZE_MAX);
        expect_open_fails(fixture, STORE_CORRUPT);
        /* damage_row closes what is open. */
        overwrite(fixture, 16, 0xDE);
        tear_down(state);
        set_up(state);
        fixture = *state;
    }
    damage_row(fixture, "meta", 0, 0, 0, 0);
    expect_open_fails(fixture, STORE_CORRUPT);
}

/* What a crash leaves behind while a database is made is no obstacle. */
static void test_unfinished_making(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    FILE *file;

    close_it(fixture);
    unlink(fixture->path);
    snprintf(path, sizeof path, "%s.new", fixture->path);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("half a page", file);
    fclose(file);
    open_again(fixture, MAP_BYTES);
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(settle_chats(fixture, 1, 1), 0);
}

/* --- want of space --- */

/* Of chat 1 all messages up to `settled` are there, and those up to `last` can be added. */
static void expect_goes_on(struct fixture *fixture, uint64_t settled, uint64_t last)
{
    expect_range(fixture, 1, 1, ALL, 100000, false, 1, (size_t)settled);
    assert_int_equal(settle_range(fixture, 1, settled + 1, last + 1, 300), 0);
    expect_range(fixture, 1, 1, ALL, 100000, false, 1, (size_t)last);
    expect_clients(fixture, 1, last);
}

static void test_map_full(void **state)
{
    struct fixture *fixture = *state;
    uint64_t head = 0;
    int rc = 0;

    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    close_it(fixture);
    open_again(fixture, 1 << 20);
    while (rc == 0 && head < 100000) {
        rc = settle_range(fixture, 1, head + 1, head + 201, 300);
        head += rc == 0 ? 200 : 0;
    }
    assert_int_equal(rc, STORE_FULL);
    assert_true(head >= 200);
    assert_int_equal(settle_range(fixture, 1, head + 1, head + 201, 300), STORE_FULL);
    expect_range(fixture, 1, 1, ALL, 100000, false, 1, (size_t)head);
    close_it(fixture);
    open_again(fixture, MAP_BYTES);
    expect_goes_on(fixture, head, head + 200);
}

static void limit_file_bytes(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* Limits that are no multiple of a page cut a write short, which LMDB takes for EIO. */
static void test_disk_full(void **state)
{
    struct fixture *fixture = *state;
    rlim_t base;

    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 101, 300), 0);
    base = (rlim_t)file_bytes(fixture);
    /* 300,000 bytes of messages never fit. */
    for (rlim_t more = 0; more < 290000; more += 23456) {
        int rc;
        limit_file_bytes(base + more);
        rc = settle_range(fixture, 1, 101, 1101, 300);
        limit_file_bytes(RLIM_INFINITY);
        assert_int_equal(rc, STORE_FULL);
    }
    expect_goes_on(fixture, 100, 1100);
}

/* In front of libc's: LMDB's two pages that say which pages count are written by it, in part. */
#define META_PAGES_BYTES 8192
static bool meta_writes_fail;
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset);
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    if (meta_writes_fail && offset < META_PAGES_BYTES && size < META_PAGES_BYTES / 2) {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_pwrite64, fd, bytes, size, offset);
}

/* That is no full disk, after which one can go on. */
static void test_meta_page_fails(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    assert_int_equal(settle_range(fixture, 1, 1, 101, 300), 0);
    meta_writes_fail = true;
    assert_int_equal(settle_range(fixture, 1, 101, 201, 300), STORE_IO);
    meta_writes_fail = false;
    close_it(fixture);
    open_again(fixture, MAP_BYTES);
    expect_goes_on(fixture, 100, 200);
}

/* LMDB writes to its reader table by way of a mapping: without all of its blocks, a full disk would
 * be a SIGBUS. */
static void test_reader_table_has_its_blocks(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    struct stat status;

    snprintf(path, sizeof path, "%s/chats.mdb-lock", fixture->directory);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stat(path, &status), 0);
        assert_true(status.st_size > 0);
        assert_true(status.st_blocks * 512 >= status.st_size);
        close_it(fixture);
        /* As a backup without it leaves the directory, or one that makes holes of zeros. */
        unlink(path);
        open_again(fixture, MAP_BYTES);
    }
}

/* --- threads --- */

struct reader {
    struct fixture *fixture;
    atomic_bool *stop;
    uint64_t reads;
    bool wrong;
};

/* Reads the newest page again and again: it always ends with the head, and the head never falls. */
static void *read_newest(void *data)
{
    struct reader *reader = data;
    struct message_page page = {0};
    uint64_t last = 0;

    do { /* once at least, however late this thread gets to run */
        struct database_snapshot *snapshot;
        struct database_chat chat;
        struct uuid id = id_of(1);
        uint8_t digest[DATABASE_DIGEST_BYTES];
        uint64_t seq = 0;
        if (database_snapshot_begin(reader->fixture->database, &snapshot) != 0)
            break;
        struct message_view message = {0};
        message_page_clear(&page);
        reader->wrong = database_find_chat(snapshot, &id, &chat) != 0 || chat.head_seq < last ||
                        database_read_log(snapshot, &id, 1, 1, ALL, 40, BUDGET, true, &page) != 0 ||
                        (chat.head_seq > 0 && page.first_seq + page.count - 1 != chat.head_seq);
        digest_of(1, chat.head_seq, digest);
        if (chat.head_seq > 0 &&
            (database_find_client(snapshot, 1, digest, &seq) != 0 || seq != chat.head_seq))
            reader->wrong = true;
        while (message_page_next(&page, &message))
            if (message.bytes[0] != byte_of(1, message.seq, 0))
                reader->wrong = true;
        last = chat.head_seq;
        database_snapshot_end(snapshot);
        reader->reads++;
    } while (!atomic_load(reader->stop) && !reader->wrong);
    message_page_free(&page);
    return NULL;
}

static void test_readers_while_settling(void **state)
{
    enum { READERS = 8 }; /* more than there are processors: they are to be held up */
    struct fixture *fixture = *state;
    struct reader readers[READERS];
    pthread_t threads[READERS];
    atomic_bool stop = false;

    assert_int_equal(settle_chats(fixture, 1, 1), 0);
    for (int i = 0; i < READERS; i++) {
        readers[i] = (struct reader){fixture, &stop, 0, false};
        assert_int_equal(pthread_create(&threads[i], NULL, read_newest, &readers[i]), 0);
    }
    for (uint64_t seq = 1; seq < 3000; seq += 30)
        assert_int_equal(settle_range(fixture, 1, seq, seq + 30, 200), 0);
    atomic_store(&stop, true);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_false(readers[i].wrong);
        assert_true(readers[i].reads > 0);
    }
}

/* --- rows --- */

static void test_chunk_rows(void **state)
{
    uint8_t bytes[64] = {0};
    uint8_t key[DATABASE_LOG_KEY_BYTES];
    struct database_row row = {key, sizeof key, bytes, 0};
    struct database_message message = make_message(7, 9, 10);
    struct database_chunk chunk;
    const uint8_t *found;
    uint32_t size;

    (void)state;
    database_log_key(key, 7, 9);
    assert_true(database_open_chunk(&row, &chunk));
    assert_true(chunk.damaged);
    assert_int_equal(chunk.count, 0);
    assert_int_equal(database_message_bytes(10), 18);
    database_encode_message(bytes, &message);
    row.size = 18;
    assert_true(database_open_chunk(&row, &chunk));
    assert_false(chunk.damaged);
    assert_int_equal(chunk.count, 1);
    assert_true(database_decode_message(&chunk, 0, &found, &size));
    assert_int_equal(size, 10);
    row.size = 17;
    assert_true(database_open_chunk(&row, &chunk));
    assert_true(chunk.damaged);
    assert_int_equal(chunk.count, 0);
    row.size = 25;
    assert_true(database_open_chunk(&row, &chunk));
    assert_true(chunk.damaged);
    assert_int_equal(chunk.count, 1);
    memset(bytes, 0xFF, 4);
    assert_true(database_open_chunk(&row, &chunk));
    assert_int_equal(chunk.count, 0);
    row.key_size = 8;
    assert_false(database_open_chunk(&row, &chunk));
    free((void *)(uintptr_t)message.bytes);
}

/* The format: whoever changes these bytes has a new version of it. */
static void test_row_bytes(void **state)
{
    static const uint8_t head[] = {0, 0, 0, 0, 0, 0, 1, 2};
    static const uint8_t client[] = {0xAA, 1,  2,  3,  4, 5, 6, 7, 8, 9, 10, 11,
                                     12,   13, 14, 15, 0, 0, 0, 0, 0, 0, 0,  9};
    struct database_client one = {{0xAA, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, 9};
    struct database_message message = {
        .chat_number = 0x0102, .seq = 3, .bytes = (const uint8_t *)"hey", .size = 3};
    uint8_t row[DATABASE_ROW_BYTES_MAX];
    uint8_t key[DATABASE_LOG_KEY_BYTES];
    /* Of the key 0x0102, 3, the size 3 and "hey". */
    static const uint8_t covered[] = {0, 0, 0, 0, 0, 0, 1, 2, 0,   0,   0,  0,
                                      0, 0, 0, 3, 0, 0, 0, 3, 'h', 'e', 'y'};
    uint32_t crc = htobe32(crc32c(0, covered, sizeof covered));

    (void)state;
    assert_int_equal(database_encode_head(row, 5, 0x0102), 12);
    assert_memory_equal(row, head, sizeof head);
    assert_int_equal(database_encode_bucket(row, key, 8, &one, 1, 0), 28);
    assert_memory_equal(row, client, sizeof client);
    assert_int_equal(database_encode_bucket(row, key, 8, &one, 1, 85), 2044);
    database_log_key(key, 0x0102, 3);
    assert_memory_equal(key, covered, sizeof key);
    database_encode_message(row, &message);
    assert_memory_equal(row, covered + 16, 4);
    assert_memory_equal(row + 4, &crc, 4);
    assert_memory_equal(row + 8, "hey", 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_empty),
        TEST(test_chat),
        TEST(test_ranges),
        TEST(test_sizes),
        TEST(test_many_clients),
        TEST(test_many_chats),
        TEST(test_find_many),
        TEST(test_find_many_unfinished),
        TEST(test_big_group),
        TEST(test_reopen),
        TEST(test_snapshot_isolation),
        TEST(test_wrong_seqs_refused),
        TEST(test_used_clients_refused),
        TEST(test_lost_client_ids),
        TEST(test_wrong_chats_refused),
        TEST(test_damaged_rows),
        TEST(test_cut_rows),
        TEST(test_holes),
        TEST(test_damaged_messages),
        TEST(test_settled_ranges),
        TEST(test_missing_rows),
        TEST(test_row_of_another_key),
        TEST(test_truncated_file),
        TEST(test_free_pages_missing),
        TEST(test_other_formats),
        TEST(test_format_1),
        TEST(test_damaged_meta),
        TEST(test_unfinished_making),
        TEST(test_map_full),
        TEST(test_disk_full),
        TEST(test_meta_page_fails),
        TEST(test_reader_table_has_its_blocks),
        TEST(test_readers_while_settling),
        cmocka_unit_test(test_chunk_rows),
        cmocka_unit_test(test_row_bytes),
    };
#undef TEST
    /* Damage is logged, as it should be, and here there is much of it. */
    log_set_level((enum log_level)(LOG_LEVEL_ERROR + 1));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
