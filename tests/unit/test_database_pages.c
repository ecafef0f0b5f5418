/*
 * The walk over the database's pages: it finds what is wrong, has nothing against what is sound,
 * and what it lets pass LMDB can read without harm.
 */
#include "sample_store.h"

#include "store/database_pages.h"
#include <fcntl.h>
#include <lmdb.h>
#include <sys/wait.h>

#define PAGE 4096u

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

static uint8_t *copy_bytes(void)
{
    uint8_t *bytes = malloc(sample.size);

    memcpy(bytes, sample.bytes, sample.size);
    return bytes;
}

static uint16_t get_u16(const uint8_t *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

static uint64_t get_u64(const uint8_t *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

static void put_u16(uint8_t *to, unsigned value)
{
    uint16_t narrow = (uint16_t)value;

    memcpy(to, &narrow, sizeof narrow);
}

static const uint8_t *newer_meta(const uint8_t *bytes)
{
    return get_u64(bytes + PAGE + 144) > get_u64(bytes + 144) ? bytes + PAGE : bytes;
}

static int check(enum database_pages_depth depth, struct database_pages *figures,
                 struct store_failure *failure)
{
    return database_pages_check(sample.path, depth, NULL, NULL, figures, failure);
}

static void test_sound(void **state)
{
    struct database_pages figures;
    struct store_failure failure;

    (void)state;
    sample_write_file(&sample, sample.bytes, sample.size);
    assert_int_equal(check(DATABASE_PAGES_FULL, &figures, &failure), 0);
    assert_int_equal(figures.problems, 0);
    assert_true(figures.branch_pages > 2 && figures.leaf_pages > 50);
    assert_true(figures.overflow_pages > 100 && figures.free_pages > 0);
    assert_int_equal(2 + figures.branch_pages + figures.leaf_pages + figures.overflow_pages +
                         figures.free_pages + figures.lost_pages,
                     figures.pages_used);
    assert_int_equal(figures.lost_pages, 0);
    assert_int_equal(check(DATABASE_PAGES_QUICK, &figures, &failure), 0);
    assert_true(figures.pages_read < 60);
}

/* A leaf of a table with short keys, found by its looks: a leaf with overflow rows is no good. */
static uint8_t *find_leaf(uint8_t *bytes, unsigned nodes_min)
{
    const uint8_t *meta = newer_meta(bytes);
    uint64_t page = get_u64(meta + 88 + 40);
    uint8_t *at = bytes + page * PAGE;

    /* Down from the table of tables: the row of "chats". */
    for (unsigned i = 0; i < (get_u16(at + 12) - 16u) / 2; i++) {
        uint8_t *node = at + get_u16(at + 16 + 2 * i);
        if (get_u16(node + 6) == 5 && memcmp(node + 8, "heads", 5) == 0) {
            at = bytes + get_u64(node + 8 + 5 + 40) * PAGE;
            break;
        }
    }
    assert_int_equal(get_u16(at + 10), 2);
    assert_true((get_u16(at + 12) - 16u) / 2 >= nodes_min);
    return at;
}

static uint8_t *find_branch(uint8_t *bytes)
{
    const uint8_t *meta = newer_meta(bytes);
    uint8_t *at = bytes + get_u64(meta + 88 + 40) * PAGE;

    for (unsigned i = 0; i < (get_u16(at + 12) - 16u) / 2; i++) {
        uint8_t *node = at + get_u16(at + 16 + 2 * i);
        if (get_u16(node + 6) == 4 && memcmp(node + 8, "logs", 4) == 0)
            return bytes + get_u64(node + 8 + 4 + 40) * PAGE;
    }
    fail_msg("no such table");
    return NULL;
}

static void expect(const uint8_t *bytes, size_t size, enum database_pages_depth depth,
                   const char *what)
{
    struct database_pages figures;
    struct store_failure failure = {0};

    sample_write_file(&sample, bytes, size);
    assert_int_equal(check(depth, &figures, &failure), STORE_CORRUPT);
    if (strstr(failure.detail, what) == NULL)
        fail_msg("\"%s\" is not in \"%s\"", what, failure.detail);
}

static void test_damaged_leaf(void **state)
{
    static const struct {
        size_t at;
        unsigned value;
        const char *what;
    } changes[] = {
        {0, 1, "it says that it is page"},    {10, 1, "where a leaf page is due"},
        {10, 2 | 0x20, "a leaf page is due"}, {12, 15, "its array of nodes"},
        {12, 4098, "its array of nodes"},     {14, 4097, "its array of nodes"},
        {16, 4095, "does not lie within"},    {16, 3, "does not lie within"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        uint8_t *bytes = copy_bytes();
        put_u16(find_leaf(bytes, 2) + changes[i].at, changes[i].value);
        expect(bytes, sample.size, DATABASE_PAGES_FULL, changes[i].what);
        free(bytes);
    }
}

static void test_damaged_nodes(void **state)
{
    uint8_t *bytes = copy_bytes();
    uint8_t *leaf = find_leaf(bytes, 3);
    uint8_t *node = leaf + get_u16(leaf + 16);

    (void)state;
    put_u16(leaf + 16, get_u16(leaf + 18));
    expect(bytes, sample.size, DATABASE_PAGES_FULL, "out of order");
    memcpy(bytes, sample.bytes, sample.size);
    put_u16(node + 6, 9000);
    expect(bytes, sample.size, DATABASE_PAGES_FULL, "does not lie within");
    memcpy(bytes, sample.bytes, sample.size);
    put_u16(node + 4, 4);
    expect(bytes, sample.size, DATABASE_PAGES_FULL, "flags 0x4");
    memcpy(bytes, sample.bytes, sample.size);
    put_u16(node + 4, 1);
    expect(bytes, sample.size, DATABASE_PAGES_FULL, "it leads to page");
    free(bytes);
}

static void test_damaged_branch(void **state)
{
    uint8_t *bytes = copy_bytes();
    uint8_t *branch = find_branch(bytes);
    uint8_t *first = branch + get_u16(branch + 16);
    uint8_t *second = branch + get_u16(branch + 18);

    (void)state;
    assert_int_equal(get_u16(branch + 10), 1);
    memcpy(second, first, 4);
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "in use elsewhere");
    memcpy(bytes, sample.bytes, sample.size);
    memset(second, 0xff, 4);
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "and the last one is");
    memcpy(bytes, sample.bytes, sample.size);
    memset(second + 8, 0xff, get_u16(second + 6));
    expect(bytes, sample.size, DATABASE_PAGES_FULL,
           get_u16(branch + 12) > 20 ? "out of order" : "beyond what the page above allows");
    memcpy(bytes, sample.bytes, sample.size);
    /* Keys of the pages below are then not in their bounds. */
    second[8 + get_u16(second + 6) - 1]++;
    expect(bytes, sample.size, DATABASE_PAGES_FULL, "beyond what the page above allows");
    free(bytes);
}

static void test_damaged_free_list(void **state)
{
    uint8_t *bytes = copy_bytes();
    const uint8_t *meta = newer_meta(bytes);
    uint8_t *leaf = bytes + get_u64(meta + 40 + 40) * PAGE;
    uint8_t *row = NULL;
    uint64_t used = get_u64(meta + 88 + 40);

    (void)state;
    assert_int_equal(get_u16(leaf + 10), 2);
    for (unsigned i = 0; i < (get_u16(leaf + 12) - 16u) / 2; i++) {
        uint8_t *node = leaf + get_u16(leaf + 16 + 2 * i);
        if (get_u16(node + 4) == 0 && get_u64(node + 16) > 0)
            row = node + 16;
    }
    assert_non_null(row);
    memcpy(row + 8, &used, sizeof used);
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "in use or free elsewhere");
    memcpy(bytes, sample.bytes, sample.size);
    memset(row, 0xff, 8);
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "longer than its row");
    memcpy(bytes, sample.bytes, sample.size);
    memset(row + 8, 0xff, 8);
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "free, ");
    free(bytes);
}

static void test_cut(void **state)
{
    (void)state;
    expect(sample.bytes, 0, DATABASE_PAGES_QUICK, "cut short");
    expect(sample.bytes, PAGE, DATABASE_PAGES_QUICK, "cut short");
    expect(sample.bytes, 3 * PAGE, DATABASE_PAGES_QUICK, "cut short");
    expect(sample.bytes, sample.size / 2, DATABASE_PAGES_QUICK, "cut short");
}

/* A meta page that counts rows or roots wrongly. */
static void test_damaged_meta(void **state)
{
    uint8_t *bytes = copy_bytes();
    uint8_t *meta = bytes + (newer_meta(bytes) - bytes);

    (void)state;
    meta[88 + 6]++;
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "where a branch page is due");
    memcpy(bytes, sample.bytes, sample.size);
    meta[88 + 6] = 200;
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "depth 200");
    memcpy(bytes, sample.bytes, sample.size);
    meta[88 + 32]++;
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "rows, and has");
    memcpy(bytes, sample.bytes, sample.size);
    memset(meta + 88 + 40, 0xff, 8);
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "rows and no root");
    memcpy(bytes, sample.bytes, sample.size);
    memset(meta + 136, 0x7f, 6);
    expect(bytes, sample.size, DATABASE_PAGES_QUICK, "cut short");
    free(bytes);
}

/* --- what passes can be read --- */

/* Reads every byte of every row, as a process of its own. LMDB's errors are no harm. */
static void read_everything(void)
{
    static const char *const names[] = {"meta",  "chats", "heads",   "members",
                                        "users", "logs",  "clients", "recent"};
    volatile uint8_t sum = 0;
    MDB_cursor *cursor;
    MDB_val key, value;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;

    if (mdb_env_create(&env) != 0 || mdb_env_set_maxdbs(env, 8) != 0 ||
        mdb_env_set_mapsize(env, SAMPLE_MAP_BYTES) != 0 ||
        mdb_env_open(env, sample.path, MDB_NOSUBDIR | MDB_RDONLY | MDB_NOLOCK, 0600) != 0 ||
        mdb_txn_begin(env, NULL, MDB_RDONLY, &txn) != 0)
        _exit(0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (mdb_dbi_open(txn, names[i], 0, &table) != 0 ||
            mdb_cursor_open(txn, table, &cursor) != 0)
            continue;
        while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
            for (size_t at = 0; at < key.mv_size; at++)
                sum = (uint8_t)(sum + ((const uint8_t *)key.mv_data)[at]);
            for (size_t at = 0; at < value.mv_size; at++)
                sum = (uint8_t)(sum + ((const uint8_t *)value.mv_data)[at]);
        }
        mdb_cursor_close(cursor);
    }
    _exit(0);
}

static void expect_readable(unsigned seed)
{
    pid_t child = fork();
    int status;

    if (child == 0)
        read_everything();
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("seed %u: LMDB was killed by what had passed (status 0x%x)", seed,
                 (unsigned)status);
}

/* Changes a few bits where LMDB looks first, the beginnings of pages, and anywhere; or with the
 * same seed changes them back. */
static void scribble(int file, unsigned seed)
{
    uint64_t random = seed * 0x9e3779b97f4a7c15u + 1;

    for (unsigned i = 0; i < 1 + seed % 4; i++) {
        uint8_t byte;
        size_t page, at;
        random = random * 6364136223846793005u + 1442695040888963407u;
        page = (size_t)(random >> 33) % (sample.size / PAGE);
        random = random * 6364136223846793005u + 1442695040888963407u;
        at = random >> 60 < 8 ? (size_t)(random >> 33) % 40 : (size_t)(random >> 33) % PAGE;
        at += page * PAGE;
        assert_int_equal(pread(file, &byte, 1, (off_t)at), 1);
        byte ^= (uint8_t)(1u << (random >> 20) % 8);
        assert_int_equal(pwrite(file, &byte, 1, (off_t)at), 1);
    }
}

static void test_scribbled(void **state)
{
    unsigned passed = 0, found = 0;
    int file;

    (void)state;
    sample_write_file(&sample, sample.bytes, sample.size);
    file = open(sample.path, O_RDWR | O_CLOEXEC);
    assert_true(file >= 0);
    for (unsigned seed = 1; seed <= 1500; seed++) {
        struct database_pages figures;
        struct store_failure failure;
        int rc;
        scribble(file, seed);
        rc = check(DATABASE_PAGES_FULL, &figures, &failure);
        passed += rc == 0;
        found += rc == STORE_CORRUPT;
        if (rc == 0 && passed % 4 == 0)
            expect_readable(seed);
        scribble(file, seed);
    }
    close(file);
    assert_true(passed > 100);
    assert_true(found > 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),
        cmocka_unit_test(test_damaged_leaf),
        cmocka_unit_test(test_damaged_nodes),
        cmocka_unit_test(test_damaged_branch),
        cmocka_unit_test(test_damaged_free_list),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_damaged_meta),
        cmocka_unit_test(test_scribbled),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
