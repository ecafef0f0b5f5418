/*
 * Verification finds each kind of damaged row, and says where. Rows are changed with LMDB's own
 * calls, and sealed again where a wrong CRC is not what is to be found.
 */
#include "sample_store.h"

#include "store/database_rows.h"
#include "store/verify.h"
#include <lmdb.h>

static struct sample sample;

static int set_up(void **state)
{
    (void)state;
    sample_make(&sample);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    sample_remove(&sample);
    return 0;
}

/* The lines that verifying writes; to be freed. */
static char *verify(struct verify_figures *figures)
{
    struct store_failure failure = {0};
    size_t size;
    char *text;
    FILE *out = open_memstream(&text, &size);
    int rc = verify_directory(sample.directory, out, figures, &failure);

    fclose(out);
    if (rc != 0)
        fail_msg("%s", failure.detail);
    return text;
}

static void expect_lines(unsigned problems, const char *const *wanted, size_t count)
{
    struct verify_figures figures;
    char *text = verify(&figures);

    for (size_t i = 0; i < count; i++)
        if (strstr(text, wanted[i]) == NULL)
            fail_msg("\"%s\" is not in:\n%s", wanted[i], text);
    if (figures.problems != problems)
        fail_msg("%llu problems, not %u:\n%s", (unsigned long long)figures.problems, problems,
                 text);
    free(text);
}

static void test_clean(void **state)
{
    struct verify_figures figures;
    char *text;

    (void)state;
    sample_write_file(&sample, sample.bytes, sample.size);
    text = verify(&figures);
    assert_string_equal(text, "");
    free(text);
    assert_int_equal(figures.problems, 0);
    assert_int_equal(figures.rows.chats, SAMPLE_CHATS);
    assert_int_equal(figures.rows.messages,
                     (SAMPLE_CHATS - 2 + 10) * SAMPLE_ROUNDS * SAMPLE_MESSAGES);
    assert_int_equal(figures.rows.client_ids, figures.rows.messages);
    assert_int_equal(figures.settled_lsn, SAMPLE_ROUNDS + 1);
}

/* --- changing rows --- */

enum change { DELETE, FLIP, SEALED };

struct surgery {
    const char *table;
    size_t index; /* of the row in the order of its keys */
    enum change change;
    size_t at; /* FLIP, SEALED: the byte to change */
    unsigned problems;
    const char *what;
};

static void change_row(MDB_txn *txn, MDB_dbi table, const struct surgery *surgery)
{
    uint8_t *row;
    MDB_cursor *cursor;
    MDB_val key, value;

    assert_int_equal(mdb_cursor_open(txn, table, &cursor), 0);
    for (size_t i = 0; i <= surgery->index; i++)
        assert_int_equal(mdb_cursor_get(cursor, &key, &value, MDB_NEXT), 0);
    if (surgery->change == DELETE) {
        assert_int_equal(mdb_cursor_del(cursor, 0), 0);
    } else {
        row = malloc(value.mv_size);
        memcpy(row, value.mv_data, value.mv_size);
        assert_true(surgery->at < value.mv_size);
        row[surgery->at] ^= 1;
        if (surgery->change == SEALED)
            database_row_seal(key.mv_data, key.mv_size, row, value.mv_size - DATABASE_CRC_BYTES);
        value.mv_data = row;
        assert_int_equal(mdb_cursor_put(cursor, &key, &value, MDB_CURRENT), 0);
        free(row);
    }
    mdb_cursor_close(cursor);
}

static void operate(const struct surgery *surgery)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;

    sample_write_file(&sample, sample.bytes, sample.size);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 8), 0);
    assert_int_equal(mdb_env_set_mapsize(env, SAMPLE_MAP_BYTES), 0);
    assert_int_equal(mdb_env_open(env, sample.path, MDB_NOSUBDIR, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, surgery->table, 0, &table), 0);
    change_row(txn, table, surgery);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

/* Row 0 of the numbered tables is that of chat number 1, whose log has the most chunks. */
static void test_damaged_rows(void **state)
{
    static const struct surgery cases[] = {
        {"chats", 3, FLIP, 9, 2, "table chats, chat "},
        {"chats", 3, DELETE, 0, 2, "no chat has this number"},
        {"chats", 3, DELETE, 0, 2, "the users lead to a chat that is not there"},
        {"heads", 0, FLIP, 3, 1, "table heads, chat "},
        {"heads", 0, FLIP, 3, 1, "number 1: the CRC or the size is wrong"},
        {"heads", 2, DELETE, 0, 1, "table heads, chat "},
        {"heads", 2, DELETE, 0, 1, "number 3: the row is missing"},
        {"heads", SAMPLE_CHATS - 1, SEALED, 7, 2, "the log is missing"},
        {"members", 4, FLIP, 2, 1, "number 5: the CRC or the size is wrong"},
        {"members", 4, DELETE, 0, 1, "number 5: the row is missing"},
        {"members", 4, SEALED, 0, 1, "number 5: it is no list of users"},
        {"members", 4, SEALED, 3, 2, "table users, chat "},
        {"users", 5, FLIP, 1, 2, "table users"},
        {"users", 5, DELETE, 0, 1, "the row is missing"},
        {"users", 5, SEALED, 1, 2, "the users lead to a chat that is not there"},
        {"users", 5, SEALED, 1, 2, "the chat's users lead to another chat"},
        {"logs", 1, FLIP, 100, 1, "number 1, seq "},
        {"logs", 1, FLIP, 100, 1, "the CRC is wrong"},
        {"logs", 0, DELETE, 0, 1, "number 1, seq 1: messages are missing from this seq on"},
        {"logs", 0, FLIP, 0, 2, "number 1, seq 1: the size of a message is wrong"},
        {"recent", 1, FLIP, 20, 1, "table recent, chat "},
        {"recent", 1, DELETE, 0, SAMPLE_MESSAGES + 1, "fewer client ids than messages"},
        {"clients", 0, FLIP, 20, 1, "table clients, chat "},
        {"clients", 0, SEALED, 23, 1, "client id leads to another message"},
        {"clients", 0, SEALED, 0, 2, "client id"},
        {"meta", 0, SEALED, 43, 1, "the number of messages is not that of the logs"},
        {"meta", 0, FLIP, 43, 1, "the meta row is missing or damaged"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct verify_figures figures;
        char *text;
        operate(&cases[i]);
        text = verify(&figures);
        if (figures.problems == 0 || strstr(text, cases[i].what) == NULL)
            fail_msg("case %zu: \"%s\" is not in:\n%s", i, cases[i].what, text);
        free(text);
    }
}

/* One line for one damaged place, not one for all that follows from it. */
static void test_one_line_each(void **state)
{
    static const struct surgery cases[] = {
        {"heads", 0, FLIP, 3, 1, "heads"},      {"members", 4, FLIP, 2, 1, "members"},
        {"recent", 1, FLIP, 20, 1, "recent"},   {"clients", 0, FLIP, 20, 1, "clients"},
        {"logs", 1, FLIP, 100, 1, "logs"},      {"users", 5, DELETE, 0, 1, "users"},
        {"meta", 0, SEALED, 43, 1, "messages"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        operate(&cases[i]);
        expect_lines(cases[i].problems, &cases[i].what, 1);
    }
}

static void test_another_chats_message(void **state)
{
    struct store_failure failure;
    struct database *database;
    struct database_message messages[2];
    void *foreign;
    struct database_batch batch = {.messages = messages, .message_count = 2, .settled_lsn = 100};
    static const char *const wanted[] = {"number 60, seq 1: the message is another chat's",
                                         "number 60, seq 2: it is no message"};

    (void)state;
    sample_write_file(&sample, sample.bytes, sample.size);
    assert_int_equal(database_open(&database, sample.directory, SAMPLE_MAP_BYTES, &failure), 0);
    messages[0] = sample_message(&sample, 7, 1);
    foreign = (void *)(uintptr_t)messages[0].bytes;
    messages[0].chat_number = SAMPLE_CHATS;
    messages[1] = (struct database_message){.chat_number = SAMPLE_CHATS,
                                            .seq = 2,
                                            .bytes = (const uint8_t *)"\xff",
                                            .size = 1,
                                            .client_digest = {1}};
    assert_int_equal(database_settle(database, &batch, &failure), 0);
    free(foreign);
    database_close(database);
    expect_lines(2, wanted, 2);
}

static void test_not_there(void **state)
{
    struct verify_figures figures;
    struct store_failure failure;

    (void)state;
    assert_int_equal(verify_directory("/no/such/directory", stdout, &figures, &failure),
                     STORE_NOT_FOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),         cmocka_unit_test(test_damaged_rows),
        cmocka_unit_test(test_one_line_each), cmocka_unit_test(test_another_chats_message),
        cmocka_unit_test(test_not_there),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
