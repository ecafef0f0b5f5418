/*
 * Measures settling: rounds of messages spread evenly over some chats, with random client ids.
 *
 *     settle_bench DIRECTORY CHATS ROUNDS MESSAGES SIZE
 *
 * DIRECTORY exists and is empty. Each line is one round: time and bytes written for a message, the
 * file's bytes for a byte of Message so far, and how long it takes to find a client id that is not
 * there and to read the newest 50 messages of a chat. The bytes written are the kernel's count
 * (/proc/self/io), which takes in whole folios of the page cache and so can be several times what
 * goes to the disk; the pages that a transaction gave back, listed at the end, are those it wrote
 * anew.
 */
#include "store/database.h"

#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAP_BYTES ((uint64_t)64 << 30)
#define READS 2000
#define USERS "\004John\004Mary"

static uint64_t next_random(void)
{
    static uint64_t state = 88172645463325252u;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static uint64_t written_bytes(void)
{
    FILE *file = fopen("/proc/self/io", "r");
    char line[128];
    unsigned long long bytes = 0;

    if (file == NULL)
        return 0;
    while (fgets(line, sizeof line, file) != NULL)
        if (sscanf(line, "write_bytes: %llu", &bytes) == 1)
            break;
    fclose(file);
    return bytes;
}

static void check(int rc, const struct store_failure *failure)
{
    if (rc == 0)
        return;
    fprintf(stderr, "%s: %s\n", store_status_text(rc), failure == NULL ? "" : failure->detail);
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *made = calloc(count, size);

    if (made == NULL) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return made;
}

static void fill_random(void *to, size_t size)
{
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t value = next_random();
        memcpy((char *)to + i, &value, size - i < sizeof value ? size - i : sizeof value);
    }
}

static void make_chats(struct database *database, uint64_t count)
{
    struct database_new_chat *chats = allocate(count, sizeof *chats);
    struct database_batch batch = {.chats = chats, .chat_count = count};
    struct store_failure failure;
    double began = now_us();

    for (uint64_t i = 0; i < count; i++) {
        fill_random(chats[i].id.bytes, UUID_BYTES);
        fill_random(chats[i].users_digest, DATABASE_USERS_DIGEST_BYTES);
        chats[i].number = i + 1;
        chats[i].namespace_name = "default";
        chats[i].users = (const uint8_t *)USERS;
        chats[i].users_size = sizeof USERS - 1;
    }
    check(database_settle(database, &batch, &failure), &failure);
    printf("chats: %.2f us each\n", (now_us() - began) / (double)count);
    free(chats);
}

static double measure_clients(struct database *database, uint64_t chats)
{
    struct database_snapshot *snapshot;
    double began = now_us();

    for (int i = 0; i < READS; i++) {
        uint8_t digest[DATABASE_DIGEST_BYTES];
        uint64_t seq;
        fill_random(digest, sizeof digest);
        check(database_snapshot_begin(database, &snapshot), NULL);
        if (database_find_client(snapshot, 1 + next_random() % chats, digest, &seq) !=
            STORE_NOT_FOUND)
            check(STORE_CORRUPT, NULL);
        database_snapshot_end(snapshot);
    }
    return (now_us() - began) / READS;
}

static double measure_pages(struct database *database, uint64_t chats)
{
    struct database_snapshot *snapshot;
    struct database_page page = {0};
    struct uuid id = {{0}};
    double began = now_us();

    for (int i = 0; i < READS; i++) {
        page.count = 0;
        page.size = 0;
        check(database_snapshot_begin(database, &snapshot), NULL);
        check(database_read_log(snapshot, &id, 1 + next_random() % chats, 1, UINT64_MAX, 50,
                                1u << 20, true, &page),
              NULL);
        database_snapshot_end(snapshot);
    }
    database_page_free(&page);
    return (now_us() - began) / READS;
}

/* LMDB's table 0 lists free pages: transaction id → count, page numbers. */
static void print_free_pages(MDB_txn *txn)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;

    if (mdb_cursor_open(txn, 0, &cursor) != 0)
        exit(1);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        size_t transaction;
        memcpy(&transaction, key.mv_data, sizeof transaction);
        printf("transaction %4zu gave back %7zu pages\n", transaction,
               value.mv_size / sizeof(size_t) - 1);
    }
    mdb_cursor_close(cursor);
}

static void print_tables(const char *directory)
{
    static const char *const names[] = {"chats", "heads",   "members", "users",
                                        "logs",  "clients", "recent"};
    char path[4096];
    MDB_env *env;
    MDB_txn *txn;

    snprintf(path, sizeof path, "%s/chats.mdb", directory);
    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 16) != 0 ||
        mdb_env_open(env, path, MDB_NOSUBDIR | MDB_RDONLY, 0) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        exit(1);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        MDB_dbi table;
        MDB_stat stat;
        if (mdb_dbi_open(txn, names[i], 0, &table) != 0 || mdb_stat(txn, table, &stat) != 0)
            exit(1);
        printf("%-8s %9zu rows, pages: %6zu branch %7zu leaf %7zu overflow\n", names[i],
               stat.ms_entries, stat.ms_branch_pages, stat.ms_leaf_pages, stat.ms_overflow_pages);
    }
    print_free_pages(txn);
    mdb_txn_abort(txn);
    mdb_env_close(env);
}

struct bench {
    struct database *database;
    uint64_t chats;
    size_t messages;
    uint32_t size;
    uint64_t *heads;
    struct database_message *batch;
    uint8_t *bytes;
};

static void run_round(const struct bench *bench, uint64_t round)
{
    struct database_batch batch = {
        .messages = bench->batch, .message_count = bench->messages, .settled_lsn = round};
    struct database_statistics statistics;
    struct database_snapshot *snapshot;
    struct store_failure failure;
    uint64_t written;
    double took_us;

    for (size_t i = 0; i < bench->messages; i++) {
        struct database_message *message = &bench->batch[i];
        message->chat_number = 1 + next_random() % bench->chats;
        message->seq = ++bench->heads[message->chat_number];
        message->bytes = bench->bytes;
        message->size = bench->size;
        fill_random(message->client_digest, DATABASE_DIGEST_BYTES);
    }
    written = written_bytes();
    took_us = now_us();
    check(database_settle(bench->database, &batch, &failure), &failure);
    took_us = now_us() - took_us;
    written = written_bytes() - written;
    check(database_snapshot_begin(bench->database, &snapshot), NULL);
    check(database_read_statistics(snapshot, &statistics), NULL);
    database_snapshot_end(snapshot);
    printf("round %3llu: %5.2f us, %5.0f bytes written for a message; %.2f bytes of file for a "
           "byte; client %.1f us, page %.1f us\n",
           (unsigned long long)round, took_us / (double)bench->messages,
           (double)written / (double)bench->messages,
           (double)statistics.file_bytes / ((double)statistics.messages * bench->size),
           measure_clients(bench->database, bench->chats),
           measure_pages(bench->database, bench->chats));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct store_failure failure;
    struct bench bench;
    uint64_t rounds;

    if (argc != 6) {
        fprintf(stderr, "usage: settle_bench DIRECTORY CHATS ROUNDS MESSAGES SIZE\n");
        return 2;
    }
    bench.chats = strtoull(argv[2], NULL, 10);
    rounds = strtoull(argv[3], NULL, 10);
    bench.messages = strtoull(argv[4], NULL, 10);
    bench.size = (uint32_t)strtoul(argv[5], NULL, 10);
    bench.heads = allocate(bench.chats + 1, sizeof *bench.heads);
    bench.batch = allocate(bench.messages, sizeof *bench.batch);
    bench.bytes = allocate(1, bench.size);
    check(database_open(&bench.database, argv[1], MAP_BYTES, &failure), &failure);
    make_chats(bench.database, bench.chats);
    for (uint64_t round = 1; round <= rounds; round++)
        run_round(&bench, round);
    database_close(bench.database);
    print_tables(argv[1]);
    free(bench.heads);
    free(bench.batch);
    free(bench.bytes);
    return 0;
}
