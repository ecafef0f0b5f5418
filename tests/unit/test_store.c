/*
 * The store through its door, with real files, threads and loop, and no NATS: the three calls, what
 * survives closing and dying, many requests at once, and a full disk.
 */
#include "store/store.h"

#include "chat.pb-c.h"

#include <dirent.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PAGE_BYTES ((size_t)1024 * 1024)

struct fixture {
    uv_loop_t loop;
    struct store *store;
    struct store_options options;
    struct store_opened opened;
    char directory[64];
};

static void remove_tree(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;
    char name[512];

    while (directory != NULL && (entry = readdir(directory)) != NULL) {
        struct stat status;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (lstat(name, &status) == 0 && S_ISDIR(status.st_mode))
            remove_tree(name);
        else
            unlink(name);
    }
    if (directory != NULL)
        closedir(directory);
    rmdir(path);
}

static void open_store(struct fixture *f)
{
    struct store_failure failure = {0};
    int status;

    assert_int_equal(uv_loop_init(&f->loop), 0);
    status = store_open(&f->store, &f->loop, &f->options, &f->opened, &failure);
    if (status != 0)
        fail_msg("cannot open: %s", failure.detail);
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static void close_store(struct fixture *f)
{
    bool closed = false;

    store_close(f->store, on_closed, &closed);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&f->loop), 0);
    f->store = NULL;
}

static void reopen(struct fixture *f)
{
    close_store(f);
    open_store(f);
}

static int setup(void **fixture)
{
    struct fixture *f = calloc(1, sizeof *f);

    strcpy(f->directory, "/tmp/test_store.XXXXXX");
    assert_non_null(mkdtemp(f->directory));
    store_options_init(&f->options);
    f->options.directory = f->directory;
    f->options.segment_bytes = 1024 * 1024;
    f->options.map_bytes = (uint64_t)1 << 30;
    f->options.reserve_bytes = 0;
    *fixture = f;
    return 0;
}

static int teardown(void **fixture)
{
    struct fixture *f = *fixture;

    if (f->store != NULL)
        close_store(f);
    remove_tree(f->directory);
    free(f);
    return 0;
}

/* --- the calls, one at a time --- */

static void run_until(struct fixture *f, const bool *done)
{
    while (!*done)
        uv_run(&f->loop, UV_RUN_ONCE);
}

static void new_done(struct store_new *request)
{
    *(bool *)request->data = true;
}

static struct store_new new_in(struct fixture *f, const char *namespace_name, char *const *users,
                               size_t count)
{
    bool done = false;
    struct store_new request = {.data = &done, .done = new_done};

    assert_int_equal(store_new(f->store, &request, namespace_name, users, count), 0);
    run_until(f, &done);
    return request;
}

static struct uuid new_chat(struct fixture *f, const char *user)
{
    char *users[] = {(char *)(uintptr_t)user};
    struct store_new request = new_in(f, "default", users, 1);

    assert_int_equal(request.status, STORE_OK);
    return request.chat_id;
}

struct sent {
    bool done;
    int status;
    uint64_t seq;
    bool duplicate;
    uint8_t message[1024];
    size_t size;
};

static void send_done(struct store_send *request)
{
    struct sent *sent = request->data;

    sent->status = request->status;
    sent->seq = request->seq;
    sent->duplicate = request->duplicate;
    sent->size = request->message_size;
    if (request->message_size > 0 && request->message_size <= sizeof sent->message)
        memcpy(sent->message, request->message, request->message_size);
    sent->done = true;
}

static struct sent send_as(struct fixture *f, const struct uuid *chat, const char *user,
                           const char *client, const char *text, const char *acting_user)
{
    struct sent sent = {0};
    struct store_send request = {.data = &sent, .done = send_done};
    struct store_send_input input = {.namespace_name = "default",
                                     .chat_id = *chat,
                                     .user_id = user,
                                     .client_id = client,
                                     .subject = "",
                                     .text = text,
                                     .acting_user = acting_user};

    assert_int_equal(store_send(f->store, &request, &input), 0);
    run_until(f, &sent.done);
    return sent;
}

static struct sent send_text(struct fixture *f, const struct uuid *chat, const char *client,
                             const char *text)
{
    return send_as(f, chat, "ann", client, text, NULL);
}

struct page {
    bool done;
    int status;
    size_t count;
    uint64_t first;
    uint64_t last;
    uint64_t head;
    bool more;
    bool keep_newest;
    size_t bytes;
    uint8_t first_message[1024];
    size_t first_size;
};

static uint64_t seq_of(const struct message_view *view)
{
    Chat__Message *message = chat__message__unpack(NULL, view->size, view->bytes);
    uint64_t seq;

    assert_non_null(message);
    seq = message->seq;
    chat__message__free_unpacked(message, NULL);
    return seq;
}

static void history_done(struct store_history *request)
{
    struct page *page = request->data;
    struct message_view message = {0};

    *page = (struct page){.done = true,
                          .status = request->status,
                          .head = request->head_seq,
                          .more = request->more,
                          .keep_newest = request->keep_newest};
    if (request->status != STORE_OK)
        return;
    page->count = request->page->count;
    for (size_t i = 0; i < page->count; i++) {
        assert_true(message_page_next(request->page, &message));
        assert_int_equal(seq_of(&message), message.seq);
        if (i == 0)
            page->first = message.seq;
        else
            assert_int_equal(message.seq, page->last + 1);
        if (i == 0 && message.size <= sizeof page->first_message) {
            page->first_size = message.size;
            memcpy(page->first_message, message.bytes, message.size);
        }
        page->last = message.seq;
        page->bytes += message.size;
    }
    assert_false(message_page_next(request->page, &message));
}

static struct page history(struct fixture *f, const struct uuid *chat, uint64_t from,
                           uint64_t before, uint32_t limit, size_t budget)
{
    struct page page = {0};
    struct store_history request = {.data = &page, .done = history_done};
    struct store_history_input input = {.namespace_name = "default",
                                        .chat_id = *chat,
                                        .from_seq = from,
                                        .before_seq = before,
                                        .limit = limit,
                                        .budget_bytes = budget};

    assert_int_equal(store_history(f->store, &request, &input), 0);
    run_until(f, &page.done);
    return page;
}

static void send_many(struct fixture *f, const struct uuid *chat, uint64_t from, uint64_t to)
{
    char client[32];

    for (uint64_t i = from; i <= to; i++) {
        snprintf(client, sizeof client, "%" PRIu64, i);
        assert_int_equal(send_text(f, chat, client, client).seq, i);
    }
}

/* Settles all that has been applied, by waiting for it. */
static void settle(struct fixture *f)
{
    struct store_statistics figures;

    do {
        uv_run(&f->loop, UV_RUN_ONCE);
        store_read_statistics(f->store, &figures);
    } while (figures.settled_lsn != figures.last_lsn || figures.tail_messages > 0);
}

/* --- tests --- */

static void test_new(void **fixture)
{
    struct fixture *f = *fixture;
    char *pair[] = {(char[]){"a"}, (char[]){"b_c"}};
    char *other[] = {(char[]){"a_b"}, (char[]){"c"}};
    struct store_new first;
    struct store_new again;

    open_store(f);
    first = new_in(f, "default", pair, 2);
    assert_true(first.created);
    again = new_in(f, "default", pair, 2);
    assert_false(again.created);
    assert_memory_equal(&first.chat_id, &again.chat_id, UUID_BYTES);
    assert_true(new_in(f, "default", other, 2).created);
    assert_true(new_in(f, "tenant", pair, 2).created);
    reopen(f);
    again = new_in(f, "default", pair, 2);
    assert_false(again.created);
    assert_memory_equal(&first.chat_id, &again.chat_id, UUID_BYTES);
}

static void test_send_and_history(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;
    struct sent sent;
    struct page page;

    open_store(f);
    chat = new_chat(f, "JohnBarry");
    page = history(f, &chat, 0, 0, 50, PAGE_BYTES);
    assert_int_equal(page.count, 0);
    assert_int_equal(page.head, 0);
    assert_false(page.more);
    sent = send_text(f, &chat, "c", "Hey Barry");
    assert_int_equal(sent.status, STORE_OK);
    assert_int_equal(sent.seq, 1);
    page = history(f, &chat, 0, 0, 50, PAGE_BYTES);
    assert_int_equal(page.count, 1);
    assert_int_equal(page.first_size, sent.size);
    assert_memory_equal(page.first_message, sent.message, sent.size);
}

/* The same bytes again: from the tail, from the database, from the replayed journal. */
static void test_retry_gets_the_original(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;
    struct sent first;
    struct sent again;

    f->options.settle_ms = 1;
    open_store(f);
    chat = new_chat(f, "ann");
    first = send_text(f, &chat, "c", "hello");
    for (int round = 0; round < 3; round++) {
        again = send_text(f, &chat, "c", "hello");
        assert_int_equal(again.status, STORE_OK);
        assert_true(again.duplicate);
        assert_int_equal(again.size, first.size);
        assert_memory_equal(again.message, first.message, first.size);
        assert_int_equal(send_text(f, &chat, "c", "other").status, STORE_CLIENT_ID_REUSED);
        assert_int_equal(send_text(f, &chat, "c", "other").seq, 1);
        if (round == 0)
            settle(f);
        else
            reopen(f);
    }
    assert_int_equal(history(f, &chat, 0, 0, 50, PAGE_BYTES).head, 1);
    assert_int_equal(send_as(f, &chat, "bob", "c", "hello", NULL).seq, 2);
}

static uint64_t client_lookups(const struct fixture *f)
{
    struct store_statistics figures;

    store_read_statistics(f->store, &figures);
    return figures.client_lookups;
}

/* After a start, the first Send to a chat asks for its client id, the second for all of them. The
 * ones behind it need not ask, unless they are retries; and those find what there was. */
static void test_client_ids_are_read_once(void **fixture)
{
    enum { OLD = 100, NEW = 50 };
    struct fixture *f = *fixture;
    struct uuid chat;

    open_store(f);
    chat = new_chat(f, "ann");
    send_many(f, &chat, 1, OLD);
    assert_int_equal(client_lookups(f), 0);
    reopen(f);
    send_many(f, &chat, OLD + 1, OLD + NEW);
    assert_int_equal(client_lookups(f), 2);
    for (uint64_t i = 1; i <= OLD + NEW; i++) {
        char client[32];
        struct sent again;
        snprintf(client, sizeof client, "%" PRIu64, i);
        again = send_text(f, &chat, client, client);
        assert_true(again.duplicate);
        assert_int_equal(again.seq, i);
    }
    assert_int_equal(client_lookups(f), 2 + OLD);
}

/* A chat with messages 1 to `old` from before a start, and those up to `last` from after it. */
static struct uuid chat_from_before(struct fixture *f, uint64_t old, uint64_t last)
{
    struct uuid chat;

    open_store(f);
    chat = new_chat(f, "ann");
    send_many(f, &chat, 1, old);
    reopen(f);
    send_many(f, &chat, old + 1, last);
    return chat;
}

/* The few of a small chat are there when it is. */
static void test_few_client_ids_come_with_the_chat(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat = chat_from_before(f, 20, 60);

    assert_int_equal(client_lookups(f), 0);
    assert_true(send_text(f, &chat, "20", "20").duplicate);
    assert_int_equal(client_lookups(f), 1);
}

/* A chat with more of them than are worth reading: each Send asks for its own. */
static void test_client_ids_too_many_to_read(void **fixture)
{
    enum { OLD = 520, NEW = 20 };
    struct fixture *f = *fixture;
    struct uuid chat = chat_from_before(f, OLD, OLD + NEW);

    assert_int_equal(client_lookups(f), NEW);
    assert_true(send_text(f, &chat, "1", "1").duplicate);
}

static void test_refusals(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;
    struct uuid unknown;
    struct page page = {0};
    struct store_history request = {.data = &page, .done = history_done};

    open_store(f);
    chat = new_chat(f, "ann");
    uuid_make(&unknown);
    assert_int_equal(send_text(f, &unknown, "c", "t").status, STORE_NO_CHAT);
    assert_int_equal(history(f, &unknown, 0, 0, 1, 1).status, STORE_NO_CHAT);
    assert_int_equal(send_as(f, &chat, "bob", "c", "t", "bob").status, STORE_NOT_A_MEMBER);
    assert_int_equal(send_as(f, &chat, "ann", "c", "t", "ann").status, STORE_OK);
    assert_int_equal(store_history(f->store, &request,
                                   &(struct store_history_input){.namespace_name = "tenant",
                                                                 .chat_id = chat,
                                                                 .limit = 1,
                                                                 .budget_bytes = 1}),
                     0);
    run_until(f, &page.done);
    assert_int_equal(page.status, STORE_NO_CHAT);
    /* The same, when the chat has to be loaded. */
    reopen(f);
    assert_int_equal(send_as(f, &chat, "bob", "d", "t", "bob").status, STORE_NOT_A_MEMBER);
    reopen(f);
    assert_int_equal(send_as(f, &chat, "ann", "d", "t", "ann").seq, 2);
}

/* Pages against what the contract says, with the boundary between database and tail anywhere. */
static void check_pages(struct fixture *f, const struct uuid *chat, uint64_t head)
{
    for (uint64_t from = 0; from <= head + 2; from++) {
        for (uint64_t before = 0; before <= head + 3; before += before < 3 ? 1 : 3) {
            for (uint32_t limit = 1; limit <= head + 1; limit += 4) {
                uint64_t low = from > 0 ? from : 1;
                uint64_t high = before > 0 && before < head + 1 ? before : head + 1;
                uint64_t in_range = high > low ? high - low : 0;
                uint64_t count = in_range < limit ? in_range : limit;
                struct page page;

                if (before > 0 && from > before)
                    continue;
                page = history(f, chat, from, before, limit, PAGE_BYTES);
                assert_int_equal(page.status, STORE_OK);
                assert_int_equal(page.head, head);
                assert_int_equal(page.count, count);
                assert_int_equal(page.more, in_range > count);
                assert_int_equal(page.keep_newest, from == 0);
                if (count > 0)
                    assert_int_equal(page.first, from == 0 ? high - count : low);
            }
        }
    }
}

static void test_pages(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;

    f->options.settle_ms = 1;
    open_store(f);
    chat = new_chat(f, "ann");
    send_many(f, &chat, 1, 9);
    settle(f);
    check_pages(f, &chat, 9); /* all in the database */
    close_store(f);
    f->options.settle_ms = 3600000;
    open_store(f);
    send_many(f, &chat, 10, 17);
    check_pages(f, &chat, 17); /* half and half */
    chat = new_chat(f, "bob");
    send_many(f, &chat, 1, 10);
    check_pages(f, &chat, 10); /* all in the tail */
}

static void test_page_budget(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;
    char text[601];
    struct page page;

    f->options.settle_ms = 1;
    open_store(f);
    chat = new_chat(f, "ann");
    memset(text, 'x', 600);
    text[600] = '\0';
    for (int i = 0; i < 10; i++) {
        char client[8];
        snprintf(client, sizeof client, "%d", i);
        /* Small ones between large ones: a page must not skip one that does not fit. */
        assert_int_equal(send_text(f, &chat, client, i % 2 ? "t" : text).status, STORE_OK);
        if (i == 4)
            settle(f);
    }
    for (size_t budget = 1; budget < 6000; budget += 50) {
        page = history(f, &chat, 1, 0, 50, budget);
        assert_true(page.count >= 1);
        assert_int_equal(page.first, 1);
        assert_true(page.count == 1 || page.bytes + 8 * page.count <= budget);
        assert_int_equal(page.more, page.count < 10);
        page = history(f, &chat, 0, 0, 50, budget);
        assert_true(page.count >= 1);
        assert_int_equal(page.last, 10);
        assert_true(page.count == 1 || page.bytes + 8 * page.count <= budget);
        assert_int_equal(page.more, page.count < 10);
    }
}

/* --- many at once --- */

#define FLOOD 5000

struct flood {
    struct fixture *f;
    struct store_send requests[FLOOD];
    char clients[FLOOD][16];
    uint64_t seqs[FLOOD];
    int status[FLOOD];
    size_t done;
    size_t duplicates;
};

static void flood_done(struct store_send *request)
{
    struct flood *flood = request->data;
    size_t index = (size_t)(request - flood->requests);

    flood->seqs[index] = request->seq;
    flood->status[index] = request->status;
    flood->duplicates += request->duplicate;
    flood->done++;
}

static void flood_send(struct flood *flood, const struct uuid *chat, size_t copies)
{
    for (size_t i = 0; i < FLOOD; i++) {
        struct store_send_input input = {.namespace_name = "default",
                                         .chat_id = *chat,
                                         .user_id = "ann",
                                         .client_id = flood->clients[i],
                                         .subject = "",
                                         .text = "t"};
        snprintf(flood->clients[i], sizeof flood->clients[i], "%zu", i / copies);
        flood->requests[i] = (struct store_send){.data = flood, .done = flood_done};
        assert_int_equal(store_send(flood->f->store, &flood->requests[i], &input), 0);
        if (i % 97 == 0)
            uv_run(&flood->f->loop, UV_RUN_NOWAIT);
    }
    while (flood->done < FLOOD)
        uv_run(&flood->f->loop, UV_RUN_ONCE);
}

static struct flood *flood_make(struct fixture *f)
{
    struct flood *flood = calloc(1, sizeof *flood);
    flood->f = f;
    return flood;
}

/* Small limits, so that segments are changed and reused and the tail is full time and again. */
static void squeeze(struct fixture *f)
{
    f->options.settle_bytes = 64 * 1024;
    f->options.slice_bytes = 16 * 1024;
    f->options.tail_bytes_max = 128 * 1024;
    f->options.segments_max = 2;
    f->options.chat_cache_bytes_max = 0;
}

static void test_flood(void **fixture)
{
    struct fixture *f = *fixture;
    struct flood *flood = flood_make(f);
    bool *seen = calloc(FLOOD + 1, sizeof *seen);
    struct uuid chat;

    squeeze(f);
    open_store(f);
    chat = new_chat(f, "ann");
    flood_send(flood, &chat, 1);
    for (size_t i = 0; i < FLOOD; i++) {
        assert_int_equal(flood->status[i], STORE_OK);
        assert_in_range(flood->seqs[i], 1, FLOOD);
        assert_false(seen[flood->seqs[i]]);
        seen[flood->seqs[i]] = true;
    }
    assert_int_equal(flood->duplicates, 0);
    reopen(f);
    assert_int_equal(history(f, &chat, 1, 0, 1000, 16 * PAGE_BYTES).count, 1000);
    assert_int_equal(history(f, &chat, 0, 0, 1, PAGE_BYTES).head, FLOOD);
    /* All of it once more, now that only the database knows. */
    flood->done = 0;
    flood_send(flood, &chat, 1);
    assert_int_equal(flood->duplicates, FLOOD);
    assert_int_equal(history(f, &chat, 0, 0, 1, PAGE_BYTES).head, FLOOD);
    free(seen);
    free(flood);
}

/* Every message five times, all in flight together, while settling moves them to the database. */
static void test_flood_of_retries(void **fixture)
{
    struct fixture *f = *fixture;
    struct flood *flood = flood_make(f);
    struct uuid chat;

    squeeze(f);
    open_store(f);
    chat = new_chat(f, "ann");
    flood_send(flood, &chat, 5);
    assert_int_equal(flood->duplicates, FLOOD - FLOOD / 5);
    for (size_t i = 0; i < FLOOD; i++) {
        assert_int_equal(flood->status[i], STORE_OK);
        assert_int_equal(flood->seqs[i], flood->seqs[i / 5 * 5]);
    }
    assert_int_equal(history(f, &chat, 0, 0, 1, PAGE_BYTES).head, FLOOD / 5);
    free(flood);
}

struct crowd {
    struct store_new requests[100];
    size_t done;
    size_t created;
};

static void crowd_done(struct store_new *request)
{
    struct crowd *crowd = request->data;

    crowd->done++;
    crowd->created += request->created;
}

static void test_crowd_of_news(void **fixture)
{
    struct fixture *f = *fixture;
    struct crowd crowd = {0};
    char *users[] = {(char[]){"ann"}, (char[]){"bob"}};

    open_store(f);
    for (size_t i = 0; i < 100; i++) {
        crowd.requests[i] = (struct store_new){.data = &crowd, .done = crowd_done};
        assert_int_equal(store_new(f->store, &crowd.requests[i], "default", users, 2), 0);
    }
    while (crowd.done < 100)
        uv_run(&f->loop, UV_RUN_ONCE);
    assert_int_equal(crowd.created, 1);
    for (size_t i = 1; i < 100; i++)
        assert_memory_equal(&crowd.requests[i].chat_id, &crowd.requests[0].chat_id, UUID_BYTES);
}

static void test_overload(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;
    struct sent sent[3] = {0};
    struct store_send requests[3];
    int status[3];

    f->options.requests_max = 2;
    open_store(f);
    chat = new_chat(f, "ann");
    for (int i = 0; i < 3; i++) {
        requests[i] = (struct store_send){.data = &sent[i], .done = send_done};
        status[i] = store_send(f->store, &requests[i],
                               &(struct store_send_input){.namespace_name = "default",
                                                          .chat_id = chat,
                                                          .user_id = "ann",
                                                          .client_id = (char[]){(char)('a' + i), 0},
                                                          .subject = "",
                                                          .text = "t"});
    }
    assert_int_equal(status[0], 0);
    assert_int_equal(status[1], 0);
    assert_int_equal(status[2], STORE_OVERLOADED);
    run_until(f, &sent[1].done);
    assert_int_equal(send_text(f, &chat, "again", "t").seq, 3);
}

static int ask(struct fixture *f, struct page *page, struct store_history *request)
{
    struct store_history_input input = {
        .namespace_name = "default", .limit = 1, .budget_bytes = PAGE_BYTES};

    *request = (struct store_history){.data = page, .done = history_done};
    return store_history(f->store, request, &input);
}

/* Neither kind keeps the other out: pages of a chat that has to be looked for, and Sends. */
static void test_overload_is_by_kind(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;
    struct page pages[3] = {0};
    struct store_history reads[3];
    struct sent sent[3] = {0};
    struct store_send sends[3];

    f->options.requests_max = 2;
    open_store(f);
    chat = new_chat(f, "ann");
    for (int i = 0; i < 3; i++) {
        struct store_send_input input = {.namespace_name = "default",
                                         .chat_id = chat,
                                         .user_id = "ann",
                                         .client_id = (char[]){(char)('a' + i), 0},
                                         .subject = "",
                                         .text = "t"};
        int expected = i < 2 ? 0 : STORE_OVERLOADED;
        sends[i] = (struct store_send){.data = &sent[i], .done = send_done};
        assert_int_equal(store_send(f->store, &sends[i], &input), expected);
        assert_int_equal(ask(f, &pages[i], &reads[i]), expected);
    }
    for (int i = 0; i < 2; i++) {
        run_until(f, &sent[i].done);
        run_until(f, &pages[i].done);
        assert_int_equal(pages[i].status, STORE_NO_CHAT);
    }
    assert_int_equal(ask(f, &pages[2], &reads[2]), 0);
    run_until(f, &pages[2].done);
}

/* A large batch is answered in several turns of the loop, and pages come in between. */
static void test_turns_are_short(void **fixture)
{
    struct fixture *f = *fixture;
    struct flood *flood = flood_make(f);
    struct uuid chat;
    size_t most = 0;
    size_t between = 0;

    open_store(f);
    chat = new_chat(f, "ann");
    for (size_t i = 0; i < FLOOD; i++) {
        struct store_send_input input = {.namespace_name = "default",
                                         .chat_id = chat,
                                         .user_id = "ann",
                                         .client_id = flood->clients[i],
                                         .subject = "",
                                         .text = "t"};
        snprintf(flood->clients[i], sizeof flood->clients[i], "%zu", i);
        flood->requests[i] = (struct store_send){.data = flood, .done = flood_done};
        assert_int_equal(store_send(f->store, &flood->requests[i], &input), 0);
    }
    while (flood->done < FLOOD) {
        size_t before = flood->done;
        uv_run(&f->loop, UV_RUN_ONCE);
        if (flood->done - before > most)
            most = flood->done - before;
        if (flood->done > 0 && flood->done < FLOOD) {
            assert_int_equal(history(f, &chat, 0, 0, 1, PAGE_BYTES).count, 1);
            between++;
        }
    }
    assert_in_range(most, 1, 1000);
    assert_true(between >= 4);
    for (size_t i = 0; i < FLOOD; i++)
        assert_int_equal(flood->seqs[i], i + 1);
    free(flood);
}

/* --- closing, dying, coming back --- */

/* Closing answers what was taken. */
static void test_close_answers(void **fixture)
{
    struct fixture *f = *fixture;
    struct flood *flood = flood_make(f);
    struct uuid chat;
    struct sent late = {0};
    struct store_send request = {.data = &late, .done = send_done};
    struct store_send_input input = {.namespace_name = "default",
                                     .user_id = "ann",
                                     .client_id = "late",
                                     .subject = "",
                                     .text = "t"};
    bool closed = false;

    f->options.close_settle_ms = UINT64_MAX;
    open_store(f);
    chat = new_chat(f, "ann");
    input.chat_id = chat;
    for (size_t i = 0; i < 100; i++) {
        snprintf(flood->clients[i], sizeof flood->clients[i], "%zu", i);
        input.client_id = flood->clients[i];
        flood->requests[i] = (struct store_send){.data = flood, .done = flood_done};
        assert_int_equal(store_send(f->store, &flood->requests[i], &input), 0);
    }
    store_close(f->store, on_closed, &closed);
    assert_int_equal(store_send(f->store, &request, &input), STORE_CLOSING);
    uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(flood->done, 100);
    uv_loop_close(&f->loop);
    open_store(f);
    assert_int_equal(f->opened.records, 0); /* it was all settled */
    assert_int_equal(history(f, &chat, 0, 0, 1, PAGE_BYTES).head, 100);
    free(flood);
}

/* However much there is: closing does not wait for a settle job of many slices. */
static void test_close_leaves_to_journal(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;

    f->options.settle_ms = 3600000;
    f->options.slice_bytes = 4096;
    f->options.close_settle_ms = 0;
    open_store(f);
    chat = new_chat(f, "ann");
    send_many(f, &chat, 1, 100);
    reopen(f);
    assert_int_equal(f->opened.records, 101);
    check_pages(f, &chat, 100);
    f->options.close_settle_ms = UINT64_MAX;
    reopen(f);
    assert_int_equal(f->opened.records, 101);
    check_pages(f, &chat, 100);
    reopen(f);
    assert_int_equal(f->opened.records, 0);
    check_pages(f, &chat, 100);
}

static void squeeze_more(struct fixture *f)
{
    squeeze(f);
    f->options.settle_ms = 3;
}

/*
 * The child: sends, tells each acknowledged seq through a pipe (its standard output), and dies
 * without a word of warning. It is this program anew, since a sanitizer cannot follow threads
 * through a fork.
 */
static int child_main(const char *directory)
{
    struct fixture f = {.directory = ""};
    struct uuid chat;

    store_options_init(&f.options);
    f.options.directory = directory;
    f.options.segment_bytes = 1024 * 1024;
    f.options.map_bytes = (uint64_t)1 << 30;
    squeeze_more(&f);
    open_store(&f);
    chat = new_chat(&f, "ann");
    for (;;) {
        char client[32];
        uint64_t seq;
        snprintf(client, sizeof client, "%" PRIu64, history(&f, &chat, 0, 0, 1, PAGE_BYTES).head);
        seq = send_text(&f, &chat, client, client).seq;
        if (write(STDOUT_FILENO, &seq, sizeof seq) != sizeof seq)
            return 1;
    }
}

static pid_t child_start(const struct fixture *f, const int ends[2])
{
    pid_t child = fork();

    if (child != 0)
        return child;
    dup2(ends[1], STDOUT_FILENO);
    close(ends[0]);
    close(ends[1]);
    execl("/proc/self/exe", "test_store", "child", f->directory, (char *)NULL);
    _exit(127);
}

static uint64_t run_and_kill(struct fixture *f, unsigned acknowledged)
{
    int ends[2];
    uint64_t seq = 0;
    uint64_t last = 0;
    pid_t child;

    assert_int_equal(pipe(ends), 0);
    child = child_start(f, ends);
    close(ends[1]);
    while (acknowledged-- > 0 && read(ends[0], &seq, sizeof seq) == sizeof seq)
        last = seq;
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    while (read(ends[0], &seq, sizeof seq) == sizeof seq)
        last = seq;
    close(ends[0]);
    return last;
}

static void test_killed(void **fixture)
{
    struct fixture *f = *fixture;

    squeeze_more(f);
    for (unsigned round = 1; round <= 8; round++) {
        uint64_t last = run_and_kill(f, round * 40);
        struct uuid chat;
        struct page page;

        assert_true(last > 0);
        open_store(f);
        chat = new_chat(f, "ann");
        page = history(f, &chat, 0, 0, 1, PAGE_BYTES);
        assert_in_range(page.head, last, last + 1);
        /* history_done has checked that they follow each other without a gap. */
        page = history(f, &chat, 1, 0, 10000, 64 * PAGE_BYTES);
        assert_int_equal(page.count, page.head);
        close_store(f);
    }
}

/* --- recovery in windows --- */

#define WINDOW_CHATS 12
#define WINDOW_ROUNDS 9

static void user_of(unsigned chat, char user[16])
{
    snprintf(user, 16, "user%u", chat);
}

/* Whether the chat has messages in the database; those of the others are in the journal alone, but
 * for every third, which is made there, too. */
static bool is_settled_before(unsigned chat)
{
    return chat % 3 == 0;
}

static bool is_new_in_journal(unsigned chat)
{
    return chat % 3 == 2;
}

static struct uuid chat_of(struct fixture *f, unsigned chat)
{
    char user[16];

    user_of(chat, user);
    return new_chat(f, user);
}

static void send_round(struct fixture *f, unsigned chat, unsigned round)
{
    struct uuid id = chat_of(f, chat);
    char client[16];

    snprintf(client, sizeof client, "c%u", round);
    assert_int_equal(send_text(f, &id, client, client).status, STORE_OK);
}

/* The child of the test below: every chat in turn, so that windows of any size cut through them,
 * and after each new message a retry of the one before and of the very first. */
static int child_fill(const char *directory)
{
    struct fixture f = {.directory = ""};

    store_options_init(&f.options);
    f.options.directory = directory;
    f.options.segment_bytes = 1024 * 1024;
    f.options.map_bytes = (uint64_t)1 << 30;
    f.options.settle_ms = 3600000;
    f.options.chat_cache_bytes_max = 0;
    open_store(&f);
    for (unsigned round = 2; round < WINDOW_ROUNDS; round++)
        for (unsigned chat = 0; chat < WINDOW_CHATS; chat++) {
            send_round(&f, chat, round);
            send_round(&f, chat, round - 1);
            send_round(&f, chat, 1);
        }
    _exit(0);
}

static void fill_and_die(struct fixture *f)
{
    int status = -1;
    pid_t child;

    open_store(f);
    for (unsigned chat = 0; chat < WINDOW_CHATS; chat++) {
        if (!is_new_in_journal(chat))
            chat_of(f, chat);
        if (is_settled_before(chat))
            send_round(f, chat, 1);
    }
    close_store(f);
    child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_store", "fill", f->directory, (char *)NULL);
        _exit(127);
    }
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
}

/* Client ids in the order in which they were first used. */
static void check_chat(struct fixture *f, unsigned chat)
{
    struct uuid id = chat_of(f, chat);

    assert_int_equal(history(f, &id, 1, 0, 1000, PAGE_BYTES).count, WINDOW_ROUNDS - 1);
    for (unsigned round = 1; round < WINDOW_ROUNDS; round++) {
        char client[16];
        struct sent sent;
        snprintf(client, sizeof client, "c%u", round);
        sent = send_text(f, &id, client, client);
        assert_true(sent.duplicate);
        /* The first message is that of round 2 where nothing was settled before. */
        if (round > 2 || is_settled_before(chat))
            assert_int_equal(sent.seq, round);
    }
}

static void test_recovery_windows(void **fixture)
{
    static const uint64_t sizes[] = {1, 2, 3, 5, 36, 1000, 0};
    struct fixture *f = *fixture;
    uint64_t records = 0;

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        fill_and_die(f);
        f->options.recovery_window = sizes[i];
        f->options.chat_cache_bytes_max = 0;
        open_store(f);
        assert_true(f->opened.records > (WINDOW_ROUNDS - 2) * WINDOW_CHATS);
        assert_true(records == 0 || f->opened.records == records);
        records = f->opened.records;
        for (unsigned chat = 0; chat < WINDOW_CHATS; chat++)
            check_chat(f, chat);
        close_store(f);
        remove_tree(f->directory);
    }
}

static void test_locked(void **fixture)
{
    struct fixture *f = *fixture;
    struct store *second;
    struct store_opened opened;
    struct store_failure failure;
    char pid[16];

    open_store(f);
    assert_int_equal(store_open(&second, &f->loop, &f->options, &opened, &failure), STORE_LOCKED);
    snprintf(pid, sizeof pid, "pid %d", getpid());
    assert_non_null(strstr(failure.detail, pid));
    assert_int_equal(new_in(f, "default", (char *[]){(char[]){"ann"}}, 1).status, STORE_OK);
}

/* A clock that runs backwards changes no order. */
static uint64_t backwards_ns(void)
{
    static uint64_t now = 1700000000000000000u;
    return now -= 1000000000u;
}

static void test_clock_decides_nothing(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;

    f->options.now_ns = backwards_ns;
    open_store(f);
    chat = new_chat(f, "ann");
    send_many(f, &chat, 1, 20);
    reopen(f);
    assert_int_equal(history(f, &chat, 1, 0, 50, PAGE_BYTES).count, 20);
    assert_true(send_text(f, &chat, "3", "3").duplicate);
}

/* Less than the reserve is free: writes are refused, reads and retries of the recent go on. */
static void test_reserve(void **fixture)
{
    struct fixture *f = *fixture;
    struct uuid chat;
    struct sent sent;

    open_store(f);
    chat = new_chat(f, "ann");
    send_many(f, &chat, 1, 3);
    close_store(f);
    f->options.reserve_bytes = UINT64_MAX - 1;
    open_store(f);
    sent = send_text(f, &chat, "new", "t");
    assert_int_equal(sent.status, STORE_FULL);
    assert_int_equal(new_in(f, "default", (char *[]){(char[]){"bob"}}, 1).status, STORE_FULL);
    assert_false(new_in(f, "default", (char *[]){(char[]){"ann"}}, 1).created);
    assert_int_equal(history(f, &chat, 0, 0, 50, PAGE_BYTES).count, 3);
    close_store(f);
    f->options.reserve_bytes = 0;
    open_store(f);
    assert_int_equal(send_text(f, &chat, "new", "t").seq, 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "child") == 0)
        return child_main(argv[2]);
    if (argc == 3 && strcmp(argv[1], "fill") == 0)
        return child_fill(argv[2]);

    const struct CMUnitTest tests[] = {
        TEST(test_new),
        TEST(test_send_and_history),
        TEST(test_retry_gets_the_original),
        TEST(test_client_ids_are_read_once),
        TEST(test_client_ids_too_many_to_read),
        TEST(test_few_client_ids_come_with_the_chat),
        TEST(test_refusals),
        TEST(test_pages),
        TEST(test_page_budget),
        TEST(test_flood),
        TEST(test_flood_of_retries),
        TEST(test_crowd_of_news),
        TEST(test_overload),
        TEST(test_overload_is_by_kind),
        TEST(test_turns_are_short),
        TEST(test_close_answers),
        TEST(test_close_leaves_to_journal),
        TEST(test_killed),
        TEST(test_recovery_windows),
        TEST(test_locked),
        TEST(test_clock_decides_nothing),
        TEST(test_reserve),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
