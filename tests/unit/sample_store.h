/*
 * A small store in a directory of its own, as the service would have left it: chats of two
 * namespaces, short and long messages, client ids in recent and in other buckets, free pages.
 */
#ifndef TESTS_UNIT_SAMPLE_STORE_H
#define TESTS_UNIT_SAMPLE_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store/command.h"
#include "store/database.h"
#include "store/digest.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAMPLE_CHATS 60
#define SAMPLE_ROUNDS 6
#define SAMPLE_MESSAGES 20 /* of each chat and round; of the first chat ten times as many */
#define SAMPLE_MAP_BYTES ((uint64_t)1 << 30)

struct sample {
    char directory[64];
    char path[96];
    uint8_t *bytes; /* of the database's file */
    size_t size;
    struct digester digester;
};

static inline struct uuid sample_id(uint64_t number)
{
    struct uuid id = {{0}};

    for (size_t i = 0; i < UUID_BYTES; i++)
        id.bytes[i] = (uint8_t)((number * 2654435761u >> i % 4 * 8) + i * 7);
    id.bytes[15] = (uint8_t)number;
    return id;
}

static inline const char *sample_namespace(uint64_t number)
{
    return number % 3 == 0 ? "acme" : "default";
}

static inline void sample_add_chats(struct sample *sample, struct database *database)
{
    static struct database_new_chat chats[SAMPLE_CHATS];
    static char users[SAMPLE_CHATS][32];
    struct database_batch batch = {.chats = chats, .chat_count = SAMPLE_CHATS, .settled_lsn = 1};
    struct store_failure failure;

    for (uint64_t i = 0; i < SAMPLE_CHATS; i++) {
        int size = snprintf(users[i] + 1, sizeof users[i] - 1, "user%02d", (int)i);
        users[i][0] = (char)size;
        chats[i] = (struct database_new_chat){.id = sample_id(i + 1),
                                              .number = i + 1,
                                              .created_ns = i,
                                              .namespace_name = sample_namespace(i + 1),
                                              .users = (uint8_t *)users[i],
                                              .users_size = (size_t)size + 1};
        assert_int_equal(digest_users(&sample->digester, chats[i].users, chats[i].users_size,
                                      chats[i].users_digest),
                         0);
    }
    assert_int_equal(database_settle(database, &batch, &failure), 0);
}

static inline struct database_message sample_message(struct sample *sample, uint64_t number,
                                                     uint64_t seq)
{
    static char text[9000];
    char client_id[32];
    struct database_message message = {.chat_number = number, .seq = seq};
    struct command_send send = {.id = sample_id(number * 1000003 + seq),
                                .chat_id = sample_id(number),
                                .sent_ns = seq * 1000001,
                                .user_id = {"user", 4},
                                .text = {text, seq % 37 == 0 ? 9000 : 20 + seq % 150}};
    size_t size;
    uint8_t *bytes;

    memset(text, 'a' + (int)(seq % 26), sizeof text);
    send.client_id = (struct command_text){
        client_id, (size_t)snprintf(client_id, sizeof client_id, "c%d-%d", (int)number, (int)seq)};
    size = command_send_size(&send);
    bytes = malloc(size + COMMAND_SEQ_BYTES_MAX);
    command_send_write(&send, bytes);
    message.size = (uint32_t)(size + command_seq_write(seq, bytes + size));
    message.bytes = bytes;
    assert_int_equal(digest_client(&sample->digester, "user", 4, send.client_id.data,
                                   send.client_id.size, message.client_digest),
                     0);
    return message;
}

static inline void sample_add_messages(struct sample *sample, struct database *database,
                                       uint64_t round)
{
    struct database_message *messages =
        calloc((SAMPLE_CHATS + 9) * SAMPLE_MESSAGES, sizeof *messages);
    struct database_batch batch = {.messages = messages, .settled_lsn = round + 2};
    struct store_failure failure;

    /* The last chat has none. */
    for (uint64_t number = 1; number < SAMPLE_CHATS; number++) {
        uint64_t count = number == 1 ? 10 * SAMPLE_MESSAGES : SAMPLE_MESSAGES;
        for (uint64_t seq = round * count + 1; seq <= (round + 1) * count; seq++)
            messages[batch.message_count++] = sample_message(sample, number, seq);
    }
    assert_int_equal(database_settle(database, &batch, &failure), 0);
    for (size_t i = 0; i < batch.message_count; i++)
        free((void *)(uintptr_t)messages[i].bytes);
    free(messages);
}

static inline void sample_read_file(struct sample *sample)
{
    FILE *file = fopen(sample->path, "rb");
    struct stat status;

    assert_non_null(file);
    assert_int_equal(fstat(fileno(file), &status), 0);
    sample->size = (size_t)status.st_size;
    sample->bytes = malloc(sample->size);
    assert_int_equal(fread(sample->bytes, 1, sample->size, file), sample->size);
    fclose(file);
}

/* Writes the file anew, with `bytes` in place of the sample's. */
static inline void sample_write_file(const struct sample *sample, const uint8_t *bytes, size_t size)
{
    FILE *file = fopen(sample->path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void sample_make(struct sample *sample)
{
    struct store_failure failure;
    struct database *database;
    char journal[128];

    memset(sample, 0, sizeof *sample);
    strcpy(sample->directory, "/tmp/test_sample.XXXXXX");
    assert_non_null(mkdtemp(sample->directory));
    snprintf(sample->path, sizeof sample->path, "%s/chats.mdb", sample->directory);
    snprintf(journal, sizeof journal, "%s/journal", sample->directory);
    assert_int_equal(mkdir(journal, 0700), 0);
    assert_int_equal(digester_init(&sample->digester), 0);
    assert_int_equal(database_open(&database, sample->directory, SAMPLE_MAP_BYTES, &failure), 0);
    sample_add_chats(sample, database);
    for (uint64_t round = 0; round < SAMPLE_ROUNDS; round++)
        sample_add_messages(sample, database, round);
    database_close(database);
    sample_read_file(sample);
}

static inline void sample_remove(struct sample *sample)
{
    static const char *const names[] = {"chats.mdb", "chats.mdb-lock", "lock"};
    char path[128];

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", sample->directory, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/journal", sample->directory);
    rmdir(path);
    assert_int_equal(rmdir(sample->directory), 0);
    digester_free(&sample->digester);
    free(sample->bytes);
}

#endif
