/*
 * The newer meta page leads to two trees: LMDB's list of free pages and its table of tables, whose
 * rows lead to a tree for each table. All are walked from their roots; each page is claimed in a
 * bitmap when something leads to it, and the free pages are claimed last:
 *
 *     meta ─┬─▶ free ──────────────▶ rows: transaction id → page numbers
 *           └─▶ main ─▶ branch ─▶ leaf: table's name → root, depth, counts
 *                                              └─▶ branch ─▶ leaf ─▶ overflow pages
 *
 * Pages of LMDB 0.9 on 64-bit machines, in the machine's byte order:
 *
 *     offset  size  what
 *          0     8  the page's own number
 *         10     2  flags: 1 branch, 2 leaf, 4 overflow, 8 meta
 *         12     2  end of the array of node offsets      12  4  of an overflow page: how many
 *         14     2  beginning of the nodes                       pages there are
 *         16        offsets of the nodes, u16 each,
 *                   in the order of their keys
 *
 *     node
 *          0     4  leaf: size of the value; branch: the page's number, which goes on in the flags
 *          4     2  leaf: flags: 1 the value is in overflow pages, and the page's number stands in
 *                   its place; 2 the value is a table
 *          6     2  size of the key
 *          8        the key, then the value
 *
 *     table: 48 bytes, in meta pages at 40 (free) and 88 (main)
 *          4     2  flags
 *          6     2  depth: how many pages from root to leaf
 *          8     8  branch pages, then leaf pages, overflow pages, rows (u64 each)
 *         40     8  root; all ones when the tree is empty
 *
 * The first key of a branch page has no meaning; all keys below node i are at least its key, and
 * less than that of node i + 1. Keys compare as bytes, in the list of free pages as integers.
 *
 * A value of the list of free pages: u64 count, then so many page numbers, descending.
 *
 * Problems are gathered rather than ending the walk, so that an operator sees the extent of the
 * damage. Nothing is followed that was not checked: the depth of the walk is bounded by the
 * tree's, that by LMDB's own limit, and no page is visited twice.
 */
#include "store/database_pages.h"

#include "store/database_file.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_HEADER_BYTES 16
#define NODE_HEADER_BYTES 8
#define TABLE_BYTES 48
#define META_FREE_OFFSET 40
#define META_MAIN_OFFSET 88
#define META_TRANSACTION_OFFSET 144
#define META_BYTES 152
#define META_PAGES 2
#define ROOT_NONE UINT64_MAX
#define DEPTH_MAX 32      /* of LMDB's cursors */
#define KEY_BYTES_MAX 511 /* of LMDB's buffers */
#define TABLES_MAX 64
#define TABLE_NAME_MAX 64
/* Reading ahead pays when all of the file will be read, and fits into memory. */
#define READ_AHEAD_BYTES_MAX ((uint64_t)2 << 30)

enum { PAGE_BRANCH = 1, PAGE_LEAF = 2, PAGE_OVERFLOW = 4 };
enum { NODE_OVERFLOW = 1, NODE_TABLE = 2 };
enum { TABLE_INTEGER_KEY = 8 };

/* A tree, as the row or the meta page that leads to it says. */
struct tree {
    char name[TABLE_NAME_MAX];
    uint16_t flags;
    uint16_t depth;
    uint64_t branch_pages;
    uint64_t leaf_pages;
    uint64_t overflow_pages;
    uint64_t rows;
    uint64_t root;
};

struct bytes {
    const uint8_t *data; /* NULL: no bound */
    size_t size;
};

struct node {
    struct bytes key;
    uint16_t flags;
    uint64_t child;     /* of a branch node; of a leaf's the first overflow page */
    const uint8_t *row; /* of a leaf node whose value is in it */
    uint32_t row_size;
    size_t offset;
};

struct walk {
    int file;
    const char *path;
    enum database_pages_depth depth;
    database_pages_report_fn report;
    void *data;
    struct database_pages *figures;
    struct store_failure *failure;
    size_t page_bytes;
    uint64_t page_last;
    uint64_t transaction;
    uint8_t *claimed; /* a bit for each page */
    uint8_t *buffers; /* a page for each level */
    const struct tree *tree;
    struct tree found; /* what the walk counts of the tree */
    uint64_t problems_before;
    bool is_free_list;
    bool is_main;
    struct tree *tables;
    size_t table_count;
    int status; /* what ends the walk: STORE_IO, STORE_NO_MEMORY */
};

static uint16_t load_u16(const uint8_t *from)
{
    uint16_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

static uint32_t load_u32(const uint8_t *from)
{
    uint32_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

static uint64_t load_u64(const uint8_t *from)
{
    uint64_t value;

    memcpy(&value, from, sizeof value);
    return value;
}

/* --- problems --- */

__attribute__((format(printf, 4, 5))) static void problem(struct walk *walk, uint64_t page,
                                                          size_t offset, const char *format, ...)
{
    char what[192];
    struct database_pages_problem found = {.table = walk->tree == NULL ? NULL : walk->tree->name,
                                           .page = page,
                                           .offset = page * walk->page_bytes + offset,
                                           .what = what};
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    if (walk->figures->problems++ == 0)
        store_fail(walk->failure, STORE_CORRUPT,
                   "%s is damaged: page %llu (byte %llu of the file), table %s: %s; restore it "
                   "from a backup",
                   walk->path, (unsigned long long)page, (unsigned long long)found.offset,
                   found.table == NULL ? "none" : found.table, what);
    if (walk->report != NULL)
        walk->report(walk->data, &found);
}

static bool fail_read(struct walk *walk, uint64_t page, const char *why)
{
    walk->status = store_fail(walk->failure, STORE_IO, "%s: read page %llu: %s", walk->path,
                              (unsigned long long)page, why);
    return false;
}

/* --- pages --- */

static bool read_at(struct walk *walk, uint64_t page, uint8_t *to, size_t size)
{
    uint64_t offset = page * walk->page_bytes;
    size_t done = 0;

    while (done < size) {
        ssize_t got = pread(walk->file, to + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return fail_read(walk, page, got < 0 ? strerror(errno) : "the file got shorter");
        done += (size_t)got;
    }
    walk->figures->pages_read++;
    return true;
}

/* Takes pages that something at `from` leads to. False, and a problem, when that cannot be. */
static bool claim(struct walk *walk, uint64_t from, size_t offset, uint64_t first, uint64_t count)
{
    if (first < META_PAGES || first > walk->page_last || count > walk->page_last - first + 1) {
        problem(walk, from, offset, "it leads to page %llu, and the last one is %llu",
                (unsigned long long)first, (unsigned long long)walk->page_last);
        return false;
    }
    if (first + count > walk->figures->pages_present) {
        problem(walk, from, offset,
                "it leads to page %llu, and the file has %llu whole ones: it was cut short",
                (unsigned long long)first, (unsigned long long)walk->figures->pages_present);
        return false;
    }
    for (uint64_t page = first; page < first + count; page++) {
        uint8_t bit = (uint8_t)(1u << page % 8);
        if ((walk->claimed[page / 8] & bit) != 0) {
            problem(walk, from, offset, "it leads to page %llu, which is in use elsewhere",
                    (unsigned long long)page);
            return false;
        }
        walk->claimed[page / 8] |= bit;
    }
    return true;
}

/* --- keys --- */

static int compare(const struct walk *walk, struct bytes left, struct bytes right)
{
    size_t shorter = left.size < right.size ? left.size : right.size;
    int order;

    if (walk->is_free_list) {
        uint64_t a = load_u64(left.data);
        uint64_t b = load_u64(right.data);
        return (a > b) - (a < b);
    }
    order = memcmp(left.data, right.data, shorter);
    return order != 0 ? order : (left.size > right.size) - (left.size < right.size);
}

static bool check_key(struct walk *walk, uint64_t page, const struct node *node,
                      struct bytes previous, struct bytes low, struct bytes high)
{
    const char *what = NULL;

    if (node->key.size > KEY_BYTES_MAX)
        what = "a key is longer than keys can be";
    else if (walk->is_free_list && node->key.size != sizeof(uint64_t))
        what = "a key is no transaction id";
    else if (previous.data != NULL && compare(walk, node->key, previous) <= 0)
        what = "the keys are out of order";
    else if ((low.data != NULL && compare(walk, node->key, low) < 0) ||
             (high.data != NULL && compare(walk, node->key, high) >= 0))
        what = "a key is beyond what the page above allows";
    if (what != NULL)
        problem(walk, page, node->offset, "%s", what);
    return what == NULL;
}

/* --- nodes --- */

static size_t node_count(const uint8_t *bytes)
{
    return (size_t)(load_u16(bytes + 12) - PAGE_HEADER_BYTES) / 2;
}

/* What a page says of itself, before its nodes are looked at. */
static bool check_page(struct walk *walk, uint64_t page, const uint8_t *bytes, bool is_leaf)
{
    size_t lower = load_u16(bytes + 12);
    size_t upper = load_u16(bytes + 14);
    size_t least = is_leaf ? 1 : 2;

    if (load_u64(bytes) != page) {
        problem(walk, page, 0, "it says that it is page %llu", (unsigned long long)load_u64(bytes));
        return false;
    }
    if (load_u16(bytes + 10) != (is_leaf ? PAGE_LEAF : PAGE_BRANCH)) {
        problem(walk, page, 10, "its flags are 0x%x where a %s page is due", load_u16(bytes + 10),
                is_leaf ? "leaf" : "branch");
        return false;
    }
    if (lower < PAGE_HEADER_BYTES + 2 * least || lower % 2 != 0 || upper < lower ||
        upper > walk->page_bytes) {
        problem(walk, page, 12, "its array of nodes ends at %zu and they begin at %zu", lower,
                upper);
        return false;
    }
    return true;
}

/* Reads node `index`. False, and a problem, when it does not lie within the page. */
static bool read_node(struct walk *walk, uint64_t page, const uint8_t *bytes, size_t index,
                      bool is_leaf, struct node *node)
{
    size_t offset = load_u16(bytes + PAGE_HEADER_BYTES + 2 * index);
    size_t left = walk->page_bytes;
    size_t inline_bytes = 0;

    node->offset = offset;
    if (offset < load_u16(bytes + 14) || offset + NODE_HEADER_BYTES > left)
        goto outside;
    left -= offset + NODE_HEADER_BYTES;
    node->flags = load_u16(bytes + offset + 4);
    node->key = (struct bytes){bytes + offset + NODE_HEADER_BYTES, load_u16(bytes + offset + 6)};
    node->child = load_u32(bytes + offset) | (uint64_t)node->flags << 32;
    node->row_size = load_u32(bytes + offset);
    if (is_leaf)
        inline_bytes = node->flags & NODE_OVERFLOW ? sizeof(uint64_t) : node->row_size;
    if (node->key.size > left || inline_bytes > left - node->key.size)
        goto outside;
    node->row = node->key.data + node->key.size;
    if (is_leaf && (node->flags & NODE_OVERFLOW) != 0)
        node->child = load_u64(node->row);
    return true;

outside:
    problem(walk, page, PAGE_HEADER_BYTES + 2 * index, "node %zu does not lie within the page",
            index);
    return false;
}

/* --- leaves --- */

/* The value's overflow pages, read whole if `content` is wanted. */
static bool take_overflow(struct walk *walk, uint64_t page, const struct node *node,
                          uint8_t **content)
{
    uint8_t header[PAGE_HEADER_BYTES];
    uint64_t needed = (PAGE_HEADER_BYTES - 1 + (uint64_t)node->row_size) / walk->page_bytes + 1;
    uint64_t pages;

    if (!claim(walk, page, node->offset, node->child, 1) ||
        !read_at(walk, node->child, header, sizeof header))
        return false;
    pages = load_u32(header + 12);
    if (load_u64(header) != node->child || load_u16(header + 10) != PAGE_OVERFLOW ||
        pages < needed) {
        problem(walk, node->child, 0, "it is not the first of %llu overflow pages",
                (unsigned long long)needed);
        return false;
    }
    if (pages > 1 && !claim(walk, page, node->offset, node->child + 1, pages - 1))
        return false;
    walk->found.overflow_pages += pages;
    if (content == NULL)
        return true;
    *content = malloc(PAGE_HEADER_BYTES + (size_t)node->row_size);
    if (*content == NULL) {
        walk->status = store_fail(walk->failure, STORE_NO_MEMORY, "out of memory");
        return false;
    }
    return read_at(walk, node->child, *content, PAGE_HEADER_BYTES + (size_t)node->row_size);
}

static void claim_free(struct walk *walk, uint64_t page, size_t offset, const uint8_t *row,
                       size_t size)
{
    uint64_t count = size < sizeof(uint64_t) ? UINT64_MAX : load_u64(row);
    uint64_t previous = UINT64_MAX;

    if (count > size / sizeof(uint64_t) - 1) {
        problem(walk, page, offset, "a list of free pages is longer than its row");
        return;
    }
    for (uint64_t i = 1; i <= count; i++) {
        uint64_t free_page = load_u64(row + i * sizeof(uint64_t));
        uint8_t bit = (uint8_t)(1u << free_page % 8);
        const char *what = NULL;
        if (free_page >= previous)
            what = "free, out of order";
        else if (free_page < META_PAGES || free_page > walk->page_last)
            what = "free, and does not exist";
        else if ((walk->claimed[free_page / 8] & bit) != 0)
            what = "free, and in use or free elsewhere too";
        if (what != NULL) {
            problem(walk, page, offset, "it says that page %llu is %s",
                    (unsigned long long)free_page, what);
            return;
        }
        walk->claimed[free_page / 8] |= bit;
        walk->figures->free_pages++;
        previous = free_page;
    }
}

/* The free pages themselves are claimed in a second walk, when all trees have theirs. */
static void take_free_row(struct walk *walk, uint64_t page, const struct node *node)
{
    uint8_t *content = NULL;

    if (load_u64(node->key.data) > walk->transaction)
        problem(walk, page, node->offset, "pages were given back by a transaction yet to come");
    if ((node->flags & NODE_OVERFLOW) == 0)
        claim_free(walk, page, node->offset, node->row, node->row_size);
    else if (take_overflow(walk, page, node, &content))
        claim_free(walk, page, node->offset, content + PAGE_HEADER_BYTES, node->row_size);
    free(content);
}

static void read_tree(const uint8_t *from, const char *name, size_t name_size, struct tree *tree)
{
    size_t size = name_size < TABLE_NAME_MAX ? name_size : TABLE_NAME_MAX - 1;

    memcpy(tree->name, name, size);
    tree->name[size] = '\0';
    tree->flags = load_u16(from + 4);
    tree->depth = load_u16(from + 6);
    tree->branch_pages = load_u64(from + 8);
    tree->leaf_pages = load_u64(from + 16);
    tree->overflow_pages = load_u64(from + 24);
    tree->rows = load_u64(from + 32);
    tree->root = load_u64(from + 40);
}

static void take_table(struct walk *walk, uint64_t page, const struct node *node)
{
    if (node->flags != NODE_TABLE || node->row_size != TABLE_BYTES) {
        problem(walk, page, node->offset, "the row is not a table's");
        return;
    }
    if (walk->table_count == TABLES_MAX) {
        problem(walk, page, node->offset, "there are too many tables");
        return;
    }
    read_tree(node->row, (const char *)node->key.data, node->key.size,
              &walk->tables[walk->table_count++]);
}

static void take_row(struct walk *walk, uint64_t page, const struct node *node)
{
    walk->found.rows++;
    if (walk->is_main)
        take_table(walk, page, node);
    else if ((node->flags & ~NODE_OVERFLOW) != 0)
        problem(walk, page, node->offset, "a row has the flags 0x%x", node->flags);
    else if (walk->is_free_list)
        take_free_row(walk, page, node);
    else if ((node->flags & NODE_OVERFLOW) != 0)
        take_overflow(walk, page, node, NULL);
}

/* --- trees --- */

static void visit(struct walk *walk, uint64_t page, unsigned level, struct bytes low,
                  struct bytes high);

/* Visits what is below node `index`, whose key is the lower bound; the next one's is the upper. */
static void descend(struct walk *walk, uint64_t page, const uint8_t *bytes, size_t index,
                    unsigned level, struct bytes low, struct bytes high)
{
    struct node node;
    struct node next;

    if (!read_node(walk, page, bytes, index, false, &node))
        return;
    if (index + 1 < node_count(bytes)) {
        if (!read_node(walk, page, bytes, index + 1, false, &next))
            return;
        high = next.key;
    }
    if (index > 0)
        low = node.key;
    if (claim(walk, page, node.offset, node.child, 1))
        visit(walk, node.child, level + 1, low, high);
}

/* All nodes and keys first: bounds must be good before they bound anything. */
static bool check_nodes(struct walk *walk, uint64_t page, const uint8_t *bytes, bool is_leaf,
                        struct bytes low, struct bytes high)
{
    const struct bytes none = {NULL, 0};
    struct bytes previous = none;
    struct node node = {.key = none};
    size_t taken = 0;

    for (size_t i = 0; i < node_count(bytes); i++) {
        if (!read_node(walk, page, bytes, i, is_leaf, &node))
            return false;
        taken += (size_t)(node.row - (bytes + node.offset));
        if (is_leaf)
            taken += node.flags & NODE_OVERFLOW ? sizeof(uint64_t) : node.row_size;
        if (!is_leaf && i == 0)
            continue;
        if (!check_key(walk, page, &node, previous, previous.data == NULL ? low : none, none))
            return false;
        previous = node.key;
    }
    /* They ascend: the last one is the highest. */
    if (previous.data != NULL && !check_key(walk, page, &node, none, none, high))
        return false;
    if (taken <= walk->page_bytes - load_u16(bytes + 14))
        return true;
    problem(walk, page, 0, "its nodes overlap");
    return false;
}

/* Whether leaves are read: those of LMDB's own trees always are. */
static bool leaves_wanted(const struct walk *walk)
{
    return walk->depth == DATABASE_PAGES_FULL || walk->is_main || walk->is_free_list;
}

static void visit(struct walk *walk, uint64_t page, unsigned level, struct bytes low,
                  struct bytes high)
{
    bool is_leaf = level + 1 == walk->tree->depth;
    uint8_t *bytes = walk->buffers + level * walk->page_bytes;

    if (is_leaf)
        walk->found.leaf_pages++;
    else
        walk->found.branch_pages++;
    if (walk->status != 0 || (is_leaf && !leaves_wanted(walk)) ||
        !read_at(walk, page, bytes, walk->page_bytes) || !check_page(walk, page, bytes, is_leaf) ||
        !check_nodes(walk, page, bytes, is_leaf, low, high))
        return;
    for (size_t i = 0; i < node_count(bytes) && walk->status == 0; i++) {
        struct node node;
        if (!is_leaf)
            descend(walk, page, bytes, i, level, low, high);
        else if (read_node(walk, page, bytes, i, true, &node))
            take_row(walk, page, &node);
    }
}

static void check_count(struct walk *walk, const char *what, uint64_t said, uint64_t found)
{
    if (said != found)
        problem(walk, walk->tree->root, 0, "it should have %llu %s, and has %llu",
                (unsigned long long)said, what, (unsigned long long)found);
}

static void check_counts(struct walk *walk)
{
    const struct tree *tree = walk->tree;

    check_count(walk, "branch pages", tree->branch_pages, walk->found.branch_pages);
    check_count(walk, "leaf pages", tree->leaf_pages, walk->found.leaf_pages);
    if (!leaves_wanted(walk))
        return;
    check_count(walk, "overflow pages", tree->overflow_pages, walk->found.overflow_pages);
    check_count(walk, "rows", tree->rows, walk->found.rows);
}

/* The flags of the list of free pages are mixed with those that LMDB was opened with. */
static bool is_sane(const struct walk *walk, const struct tree *tree)
{
    if (tree->depth == 0 || tree->depth > DEPTH_MAX)
        return false;
    return walk->is_free_list ? (tree->flags & TABLE_INTEGER_KEY) != 0 : tree->flags == 0;
}

static void walk_tree(struct walk *walk, const struct tree *tree, uint64_t from, size_t offset)
{
    const struct bytes unbounded = {NULL, 0};

    walk->tree = tree;
    memset(&walk->found, 0, sizeof walk->found);
    walk->problems_before = walk->figures->problems;
    if (tree->root == ROOT_NONE) {
        if (tree->depth != 0 || tree->rows != 0)
            problem(walk, from, offset, "the table has rows and no root");
        return;
    }
    if (!is_sane(walk, tree)) {
        problem(walk, from, offset, "the table has the depth %u and the flags 0x%x", tree->depth,
                tree->flags);
        return;
    }
    if (!claim(walk, from, offset, tree->root, 1))
        return;
    visit(walk, tree->root, 0, unbounded, unbounded);
    if (walk->status == 0 && walk->figures->problems == walk->problems_before)
        check_counts(walk);
    walk->figures->branch_pages += walk->found.branch_pages;
    walk->figures->leaf_pages += walk->found.leaf_pages;
    walk->figures->overflow_pages += walk->found.overflow_pages;
}

/* --- the file --- */

static void walk_all(struct walk *walk, const uint8_t *meta, uint64_t meta_page)
{
    struct tree free_list;
    struct tree main_tree;

    read_tree(meta + META_FREE_OFFSET, "free", 4, &free_list);
    read_tree(meta + META_MAIN_OFFSET, "main", 4, &main_tree);
    walk->transaction = load_u64(meta + META_TRANSACTION_OFFSET);
    walk->is_main = true;
    walk_tree(walk, &main_tree, meta_page, META_MAIN_OFFSET);
    walk->is_main = false;
    for (size_t i = 0; i < walk->table_count && walk->status == 0; i++)
        walk_tree(walk, &walk->tables[i], main_tree.root, 0);
    walk->is_free_list = true;
    if (walk->status == 0)
        walk_tree(walk, &free_list, meta_page, META_FREE_OFFSET);
    walk->tree = NULL;
}

/* In a quick walk overflow pages cannot be told from lost ones. */
static void count_lost(struct walk *walk)
{
    if (walk->depth != DATABASE_PAGES_FULL)
        return;
    for (uint64_t page = META_PAGES; page <= walk->page_last; page++)
        walk->figures->lost_pages += (walk->claimed[page / 8] >> page % 8 & 1) == 0;
}

static bool read_newer_meta(struct walk *walk, uint8_t meta[META_BYTES], uint64_t *page)
{
    uint8_t other[META_BYTES];

    *page = 0;
    if (!read_at(walk, 0, meta, META_BYTES) || !read_at(walk, 1, other, META_BYTES))
        return false;
    if (load_u64(other + META_TRANSACTION_OFFSET) > load_u64(meta + META_TRANSACTION_OFFSET)) {
        memcpy(meta, other, META_BYTES);
        *page = 1;
    }
    return true;
}

static int check_open_file(struct walk *walk, const struct database_file *file)
{
    uint8_t meta[META_BYTES];
    uint64_t meta_page;

    if (file->pages_used > file->pages_present &&
        file->pages_used - file->pages_present > DATABASE_MISSING_BYTES_MAX / file->page_bytes) {
        problem(walk, 0, 0, "the file has %llu whole pages, and %llu are in use: it was cut short",
                (unsigned long long)file->pages_present, (unsigned long long)file->pages_used);
        return STORE_CORRUPT;
    }
    walk->claimed = calloc(walk->page_last / 8 + 1, 1);
    walk->buffers = malloc(DEPTH_MAX * walk->page_bytes);
    walk->tables = calloc(TABLES_MAX, sizeof *walk->tables);
    if (walk->claimed == NULL || walk->buffers == NULL || walk->tables == NULL)
        return store_fail(walk->failure, STORE_NO_MEMORY, "out of memory");
    if (walk->depth == DATABASE_PAGES_FULL && file->bytes <= READ_AHEAD_BYTES_MAX)
        posix_fadvise(walk->file, 0, 0, POSIX_FADV_WILLNEED);
    else
        posix_fadvise(walk->file, 0, 0, POSIX_FADV_RANDOM);
    if (read_newer_meta(walk, meta, &meta_page))
        walk_all(walk, meta, meta_page);
    if (walk->status != 0)
        return walk->status;
    count_lost(walk);
    return walk->figures->problems > 0 ? STORE_CORRUPT : 0;
}

int database_pages_check(const char *path, enum database_pages_depth depth,
                         database_pages_report_fn report, void *data,
                         struct database_pages *figures, struct store_failure *failure)
{
    struct database_file file;
    struct walk walk = {.path = path,
                        .depth = depth,
                        .report = report,
                        .data = data,
                        .figures = figures,
                        .failure = failure};
    int rc = database_file_check(path, &file, failure);

    if (rc != 0)
        return rc;
    *figures = (struct database_pages){.page_bytes = file.page_bytes};
    figures->pages_used = file.pages_used;
    figures->pages_present = file.pages_present;
    walk.page_bytes = (size_t)file.page_bytes;
    walk.page_last = file.pages_used - 1;
    walk.file = open(path, O_RDONLY | O_CLOEXEC);
    if (walk.file < 0)
        return store_fail(failure, STORE_IO, "%s: open: %s", path, strerror(errno));
    rc = check_open_file(&walk, &file);
    free(walk.tables);
    free(walk.buffers);
    free(walk.claimed);
    close(walk.file);
    return rc;
}
