/*
 * Many watchers of few chats, against a client library that does what the test says: pages are
 * answered and events delivered when the test wants it, in any order that could happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "clients/gateway/hub.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHAT "00000000-0000-4000-8000-00000000000a"
#define UPPER_CHAT "00000000-0000-4000-8000-00000000000A"
#define PAGE_MAX 1000
#define CALLS_MAX 64
#define WATCHERS_MAX 12

/* ---- The service ---- */

struct chat_follow {
    struct chat_follow_options options;
    uint64_t next_seq;
};

struct pending_call {
    struct chat_call *call;
    uint64_t from_seq;
    uint32_t limit;
    uint64_t timeout_ms;
    char user[32];
};

struct world {
    uv_loop_t loop;
    struct hub *hub;
    uint64_t head_seq; /* of every chat */
    struct pending_call calls[CALLS_MAX];
    size_t call_count;
    struct chat_follow *follow; /* the one that there is */
    unsigned follows_started;
    unsigned follows_ended;
    int follow_status; /* of follows that are started, and of the one that fails */
    bool closed;
};

static struct world *world; /* functions of a hub_source have no argument for it */

static void finish(struct pending_call *pending, int status, int code, const char *error)
{
    struct chat_call *call = pending->call;

    call->status = status;
    call->code = code;
    call->error = error;
    call->detail = status == CHAT_OK ? "" : "as the test wants it";
    *pending = world->calls[--world->call_count];
    call->cb(call);
}

static int fake_history(struct chat_client *client, struct chat_call *call,
                        const struct chat_history_options *options, chat_call_cb cb)
{
    struct pending_call *pending = &world->calls[world->call_count++];

    (void)client;
    assert_true(world->call_count < CALLS_MAX);
    if (strcmp(options->context.namespace_name, "bad one") == 0) {
        world->call_count--;
        return CHAT_EINVAL;
    }
    *pending = (struct pending_call){.call = call,
                                     .from_seq = options->from_seq,
                                     .limit = options->limit,
                                     .timeout_ms = options->context.timeout_ms};
    snprintf(pending->user, sizeof pending->user, "%s",
             options->context.acting_user == NULL ? "" : options->context.acting_user);
    call->cb = cb;
    return CHAT_OK;
}

/* As in the library: the callback comes soon, and not from within. */
static void fake_cancel(struct chat_call *call)
{
    for (size_t i = 0; i < world->call_count; i++) {
        if (world->calls[i].call == call)
            return;
    }
    fail_msg("%s", "a call was cancelled that is not under way");
}

static int fake_follow(struct chat_client *client, struct chat_follow **follow,
                       const struct chat_follow_options *options)
{
    (void)client;
    if (world->follow_status != CHAT_OK)
        return world->follow_status;
    assert_null(world->follow);
    *follow = calloc(1, sizeof **follow);
    assert_non_null(*follow);
    (*follow)->options = *options;
    (*follow)->next_seq = options->from_seq;
    assert_true(options->from_seq > 0);
    world->follow = *follow;
    world->follows_started++;
    return CHAT_OK;
}

static int fake_follow_error(const struct chat_follow *follow, const char **detail)
{
    (void)follow;
    *detail = "the follow failed";
    return world->follow_status;
}

static void fake_unfollow(struct chat_follow *follow, void (*closed)(void *data), void *data)
{
    if (world->follow == follow)
        world->follow = NULL;
    world->follows_ended++;
    free(follow);
    closed(data);
}

static const struct hub_source fake = {
    .history = fake_history,
    .cancel = fake_cancel,
    .follow = fake_follow,
    .follow_error = fake_follow_error,
    .unfollow = fake_unfollow,
};

static struct chat_message message_at(uint64_t seq)
{
    return (struct chat_message){.seq = seq,
                                 .id = "m",
                                 .client_id = "c",
                                 .chat_id = CHAT,
                                 .user_id = "John",
                                 .subject = "",
                                 .text = "Hey \"Barry\"\n",
                                 .sent_at_seconds = 1};
}

/* Answers the i-th call that is under way as the service would. */
static void answer(size_t i)
{
    struct pending_call *pending = &world->calls[i];
    struct chat_message messages[PAGE_MAX];
    uint64_t first = pending->from_seq;
    size_t count = 0;

    assert_true(i < world->call_count);
    if (first == 0)
        first = world->head_seq > pending->limit ? world->head_seq - pending->limit + 1 : 1;
    for (uint64_t seq = first; seq <= world->head_seq && count < pending->limit; seq++)
        messages[count++] = message_at(seq);
    pending->call->result.page.messages = messages;
    pending->call->result.page.count = count;
    pending->call->result.page.head_seq = world->head_seq;
    finish(pending, CHAT_OK, 0, "");
}

static void deliver(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct chat_message message = message_at(world->follow->next_seq);
        assert_true(message.seq <= world->head_seq);
        world->follow->options.message(world->follow, world->follow->options.data, &message);
        world->follow->next_seq++;
    }
}

static void set_state(enum chat_follow_state state)
{
    world->follow->options.state(world->follow, world->follow->options.data, state);
}

/* ---- Watchers ---- */

struct reader {
    struct hub_watcher *watcher;
    uint64_t next_seq; /* 0: will be told */
    bool started;
    bool live;
    bool idle; /* had nothing, and is to be told */
    int code;  /* of its failure */
    char id[64];
    char detail[256];
};

static void on_ready(void *data)
{
    struct reader *reader = data;

    assert_true(reader->idle);
    reader->idle = false;
}

static void watch_as(struct reader *reader, uint64_t from_seq, const char *chat_id,
                     const char *user)
{
    const struct hub_watch_options options = {.method = "Connect",
                                              .chat_id = chat_id,
                                              .acting_user = user,
                                              .from_seq = from_seq,
                                              .data = reader,
                                              .ready = on_ready};

    *reader = (struct reader){.next_seq = from_seq};
    assert_int_equal(hub_watch(world->hub, &reader->watcher, &options), CHAT_OK);
}

static void watch(struct reader *reader, uint64_t from_seq)
{
    watch_as(reader, from_seq, CHAT, NULL);
}

/* Takes one thing and checks that it is what must come. */
static enum hub_kind take(struct reader *reader)
{
    struct hub_item item;
    enum hub_kind kind = hub_take(reader->watcher, &item);
    char id[64];

    switch (kind) {
    case HUB_STARTED:
        assert_false(reader->started);
        reader->started = true;
        if (reader->next_seq == 0)
            reader->next_seq = item.head_seq + 1;
        break;
    case HUB_MESSAGE:
        assert_true(reader->started);
        assert_int_equal(item.seq, reader->next_seq);
        reader->next_seq++;
        snprintf(id, sizeof id, "\"seq\":%" PRIu64 "}", item.seq);
        assert_non_null(memmem(item.bytes->data, item.bytes->size, id, strlen(id)));
        break;
    case HUB_LIVE:
        assert_int_equal(item.head_seq, reader->next_seq - 1);
        reader->live = true;
        break;
    case HUB_FAILED:
        reader->code = item.error.code;
        snprintf(reader->id, sizeof reader->id, "%s", item.error.id);
        snprintf(reader->detail, sizeof reader->detail, "%s", item.error.detail);
        break;
    default:
        reader->idle = true;
    }
    return kind;
}

static void take_all(struct reader *reader)
{
    enum hub_kind kind;

    do {
        kind = take(reader);
    } while (kind != HUB_NOTHING && kind != HUB_FAILED);
}

static void leave(struct reader *reader)
{
    hub_leave(reader->watcher);
    reader->watcher = NULL;
    reader->idle = false;
}

/* ---- The world ---- */

static void begin(struct world *new_world, const struct hub_options *wanted)
{
    struct hub_options options = {0};

    if (wanted != NULL)
        options = *wanted;
    *new_world = (struct world){0};
    world = new_world;
    options.source = &fake;
    assert_int_equal(uv_loop_init(&world->loop), 0);
    assert_int_equal(hub_create(&world->hub, &world->loop, NULL, &options), CHAT_OK);
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static void end(void)
{
    hub_close(world->hub, on_closed, &world->closed);
    while (world->call_count > 0) {
        assert_false(world->closed);
        finish(&world->calls[0], CHAT_ECANCELED, 0, "");
    }
    uv_run(&world->loop, UV_RUN_DEFAULT);
    assert_true(world->closed);
    assert_null(world->follow);
    assert_int_equal(world->follows_started, world->follows_ended);
    assert_int_equal(uv_loop_close(&world->loop), 0);
}

static struct hub_stats stats(void)
{
    struct hub_stats found;

    hub_stats(world->hub, &found);
    return found;
}

static void turn_until_unfollowed(void)
{
    while (world->follow != NULL)
        uv_run(&world->loop, UV_RUN_ONCE);
}

/* ---- Tests ---- */

static void test_history_then_live(void **state)
{
    struct world here;
    struct reader reader;

    (void)state;
    begin(&here, &(struct hub_options){.page_messages = 10});
    here.head_seq = 25;
    watch(&reader, 1);
    take_all(&reader);
    assert_false(reader.started);
    assert_null(here.follow);
    answer(0);
    assert_false(reader.idle);
    take_all(&reader);
    assert_true(reader.started);
    assert_int_equal(reader.next_seq, 11);
    assert_int_equal(here.follows_started, 1);
    here.head_seq = 28;
    deliver(3);
    set_state(CHAT_FOLLOW_LIVE);
    assert_true(reader.idle); /* its page is what it waits for */
    answer(0);
    take_all(&reader);
    assert_int_equal(reader.next_seq, 21);
    assert_false(reader.live);
    answer(0);
    take_all(&reader);
    assert_int_equal(reader.next_seq, 29);
    assert_true(reader.live);
    here.head_seq = 29;
    deliver(1);
    assert_false(reader.idle);
    take_all(&reader);
    assert_int_equal(reader.next_seq, 30);
    leave(&reader);
    end();
}

static void test_from_now(void **state)
{
    struct world here;
    struct reader first, second;

    (void)state;
    begin(&here, NULL);
    here.head_seq = 5;
    watch(&first, 0);
    take_all(&first);
    assert_int_equal(here.calls[0].limit, 1);
    answer(0);
    take_all(&first);
    assert_int_equal(first.next_seq, 6);
    set_state(CHAT_FOLLOW_LIVE);
    take_all(&first);
    assert_true(first.live);
    /* Two messages are committed; the event of the last has not come yet. Whoever comes now is not
     * given either. */
    here.head_seq = 7;
    deliver(1);
    watch(&second, 0);
    take_all(&second);
    answer(0);
    take_all(&second);
    assert_int_equal(second.next_seq, 8);
    assert_false(second.live);
    deliver(1);
    take_all(&second);
    assert_int_equal(second.next_seq, 8);
    assert_true(second.live);
    here.head_seq = 8;
    deliver(1);
    take_all(&first);
    take_all(&second);
    assert_int_equal(first.next_seq, 9);
    assert_int_equal(second.next_seq, 9);
    leave(&first);
    leave(&second);
    end();
}

static void test_one_follow_for_many(void **state)
{
    struct world here;
    struct reader readers[WATCHERS_MAX];
    struct hub_item one, other;

    (void)state;
    begin(&here, &(struct hub_options){.linger_ms = 50});
    for (int i = 0; i < WATCHERS_MAX; i++) {
        watch_as(&readers[i], 0, i % 2 == 0 ? CHAT : UPPER_CHAT, NULL);
        take_all(&readers[i]);
        answer(0);
        take_all(&readers[i]);
    }
    assert_int_equal(here.follows_started, 1);
    assert_int_equal(stats().chats, 1);
    here.head_seq = 1;
    deliver(1);
    assert_int_equal(hub_take(readers[0].watcher, &one), HUB_MESSAGE);
    assert_int_equal(hub_take(readers[1].watcher, &other), HUB_MESSAGE);
    assert_ptr_equal(one.bytes, other.bytes);
    for (int i = 0; i < WATCHERS_MAX; i++)
        leave(&readers[i]);
    /* Somebody comes back before it is too late. */
    assert_non_null(here.follow);
    watch(&readers[0], 1);
    take_all(&readers[0]);
    answer(0);
    take_all(&readers[0]);
    assert_int_equal(readers[0].next_seq, 2);
    assert_int_equal(here.follows_started, 1);
    leave(&readers[0]);
    turn_until_unfollowed();
    assert_int_equal(stats().chats, 0);
    watch(&readers[0], 2);
    take_all(&readers[0]);
    answer(0);
    assert_int_equal(here.follows_started, 2);
    leave(&readers[0]);
    end();
}

/* The same chat_id in two namespaces is two chats. */
static void test_namespaces_are_apart(void **state)
{
    struct world here;
    struct reader readers[2] = {0};
    const char *const names[] = {"a", "A"};

    (void)state;
    begin(&here, NULL);
    for (int i = 0; i < 2; i++) {
        const struct hub_watch_options options = {.method = "Connect",
                                                  .namespace_name = names[i],
                                                  .chat_id = CHAT,
                                                  .data = &readers[i],
                                                  .ready = on_ready};
        assert_int_equal(hub_watch(here.hub, &readers[i].watcher, &options), CHAT_OK);
        take_all(&readers[i]);
        here.follow = NULL; /* the hub knows its own */
        answer(0);
        assert_int_equal(here.follows_started, i + 1);
    }
    here.follow = NULL;
    leave(&readers[0]);
    leave(&readers[1]);
    end();
}

static void test_recent_instead_of_pages(void **state)
{
    struct world here;
    struct reader reader, late;

    (void)state;
    begin(&here, &(struct hub_options){.page_messages = 10});
    watch(&reader, 0);
    take_all(&reader);
    answer(0);
    here.head_seq = 100;
    deliver(100);
    watch(&late, 3);
    take_all(&late);
    assert_int_equal(here.calls[0].limit, 1);
    answer(0);
    take_all(&late);
    assert_int_equal(late.next_seq, 101);
    assert_int_equal(here.call_count, 0);
    leave(&reader);
    leave(&late);
    end();
}

static void test_behind_the_recent(void **state)
{
    struct world here;
    struct reader slow, fast;

    (void)state;
    begin(&here, &(struct hub_options){.page_messages = 7, .recent_bytes = 4096});
    watch(&slow, 0);
    take_all(&slow);
    answer(0);
    watch(&fast, 0);
    take_all(&fast);
    answer(0);
    for (here.head_seq = 1; here.head_seq <= 200; here.head_seq++) {
        deliver(1);
        take_all(&fast);
        assert_true(stats().recent_bytes <= 4096);
    }
    here.head_seq = 200;
    assert_int_equal(fast.next_seq, 201);
    take_all(&slow);
    assert_int_equal(here.calls[0].from_seq, 1);
    assert_int_equal(here.calls[0].timeout_ms, UINT64_MAX);
    while (here.call_count > 0) {
        answer(0);
        take_all(&slow);
    }
    assert_int_equal(slow.next_seq, 201);
    leave(&slow);
    leave(&fast);
    end();
}

static void test_recent_go_with_time(void **state)
{
    struct world here;
    struct reader reader;

    (void)state;
    begin(&here, &(struct hub_options){.recent_ms = 30});
    watch(&reader, 0);
    take_all(&reader);
    answer(0);
    here.head_seq = 40;
    deliver(40);
    assert_true(stats().recent_bytes > 0);
    while (stats().recent_bytes > 0)
        uv_run(&here.loop, UV_RUN_ONCE);
    take_all(&reader);
    answer(0);
    take_all(&reader);
    assert_int_equal(reader.next_seq, 41);
    leave(&reader);
    end();
}

static void refused(struct reader *reader, int code, const char *id)
{
    take_all(reader);
    assert_int_equal(reader->code, code);
    assert_string_equal(reader->id, id);
    assert_true(reader->detail[0] != '\0');
    assert_false(reader->started);
    leave(reader);
}

static void test_refusals(void **state)
{
    struct world here;
    struct reader reader;

    (void)state;
    begin(&here, NULL);
    here.head_seq = 5;
    watch_as(&reader, 1, CHAT, "Mallory");
    take_all(&reader);
    assert_string_equal(here.calls[0].user, "Mallory");
    finish(&here.calls[0], CHAT_EREFUSED, 403, "chat.History.NotAMember");
    refused(&reader, 403, "chat.Connect.NotAMember");

    watch(&reader, 7);
    take_all(&reader);
    answer(0);
    refused(&reader, 400, "chat.Connect.InvalidRange");

    watch(&reader, UINT64_MAX);
    take_all(&reader);
    answer(0);
    refused(&reader, 400, "chat.Connect.InvalidRange");

    watch(&reader, 6);
    take_all(&reader);
    finish(&here.calls[0], CHAT_ETIMEDOUT, 0, "");
    refused(&reader, 504, "gateway.Timeout");

    watch_as(&reader, 1, "a chat_id that is longer than any UUID could be", NULL);
    refused(&reader, 404, "chat.Connect.InvalidChatID");
    assert_int_equal(here.follows_started, 0);

    here.follow_status = CHAT_ENOMEM;
    watch(&reader, 6);
    take_all(&reader);
    answer(0);
    refused(&reader, 500, "gateway.Internal");
    assert_int_equal(stats().chats, 0);
    end();
}

static void test_refused_by_the_library(void **state)
{
    struct world here;
    struct reader reader = {0};
    const struct hub_watch_options options = {.method = "Connect",
                                              .namespace_name = "bad one",
                                              .chat_id = CHAT,
                                              .data = &reader,
                                              .ready = on_ready};

    (void)state;
    begin(&here, NULL);
    assert_int_equal(hub_watch(here.hub, &reader.watcher, &options), CHAT_OK);
    refused(&reader, 500, "gateway.Internal");
    end();
}

static void test_failing_follow(void **state)
{
    struct world here;
    struct reader waiting, behind, later;

    (void)state;
    begin(&here, NULL);
    here.head_seq = 3;
    watch(&waiting, 0);
    take_all(&waiting);
    answer(0);
    take_all(&waiting);
    watch(&behind, 1);
    take_all(&behind);
    answer(0);
    here.follow_status = CHAT_ELOST;
    set_state(CHAT_FOLLOW_FAILED);
    assert_false(waiting.idle);
    take_all(&waiting);
    assert_int_equal(waiting.code, 410);
    assert_string_equal(waiting.detail, "the follow failed");
    here.follow = NULL; /* the failed one is still the hub's */
    here.follow_status = CHAT_OK;
    watch(&later, 4);
    take_all(&later);
    answer(0);
    assert_int_equal(here.follows_started, 2);
    set_state(CHAT_FOLLOW_LIVE);
    take_all(&later);
    assert_true(later.live);
    /* What is there is given before the failure is. */
    take_all(&behind);
    assert_int_equal(behind.next_seq, 4);
    assert_int_equal(behind.code, 410);
    leave(&waiting);
    assert_int_equal(here.follows_ended, 0);
    leave(&behind);
    assert_int_equal(here.follows_ended, 1);
    leave(&later);
    end();
}

static void test_interruption(void **state)
{
    struct world here;
    struct reader reader;

    (void)state;
    begin(&here, NULL);
    watch(&reader, 0);
    take_all(&reader);
    answer(0);
    set_state(CHAT_FOLLOW_LIVE);
    take_all(&reader);
    assert_true(reader.live);
    reader.live = false;
    set_state(CHAT_FOLLOW_CATCHING_UP);
    assert_true(reader.idle);
    here.head_seq = 2;
    deliver(2);
    take_all(&reader);
    assert_false(reader.live);
    set_state(CHAT_FOLLOW_LIVE);
    take_all(&reader);
    assert_true(reader.live);
    leave(&reader);
    end();
}

static void test_history_that_went_back(void **state)
{
    struct world here;
    struct reader reader;

    (void)state;
    begin(&here, &(struct hub_options){.page_messages = 5});
    here.head_seq = 20;
    watch(&reader, 1);
    take_all(&reader);
    answer(0);
    take_all(&reader);
    here.head_seq = 3;
    answer(0);
    take_all(&reader);
    assert_int_equal(reader.code, 410);
    leave(&reader);
    end();
}

static void test_requests_are_few_and_in_order(void **state)
{
    struct world here;
    struct reader readers[WATCHERS_MAX];

    (void)state;
    begin(&here, &(struct hub_options){.page_requests = 3});
    here.head_seq = WATCHERS_MAX;
    for (unsigned i = 0; i < WATCHERS_MAX; i++) {
        watch(&readers[i], i + 1);
        take_all(&readers[i]);
    }
    assert_int_equal(here.call_count, 3);
    leave(&readers[5]); /* waiting for its turn */
    leave(&readers[1]); /* under way */
    for (unsigned done = 0; here.call_count > 0; done++) {
        uint64_t lowest = UINT64_MAX;
        size_t which = 0;
        for (size_t i = 0; i < here.call_count; i++) {
            if (here.calls[i].from_seq < lowest) {
                lowest = here.calls[i].from_seq;
                which = i;
            }
        }
        if (lowest == 2)
            finish(&here.calls[which], CHAT_ECANCELED, 0, "");
        else
            answer(which);
        assert_true(here.call_count <= 3);
        assert_int_equal(lowest, done < 5 ? done + 1 : done + 2);
    }
    for (unsigned i = 0; i < WATCHERS_MAX; i++) {
        if (readers[i].watcher == NULL)
            continue;
        take_all(&readers[i]);
        assert_int_equal(readers[i].next_seq, WATCHERS_MAX + 1);
        leave(&readers[i]);
    }
    end();
}

static void test_pages_are_bounded(void **state)
{
    struct world here;
    struct reader readers[WATCHERS_MAX];
    size_t one_page;

    (void)state;
    begin(&here, &(struct hub_options){.page_messages = 50, .page_bytes = 20000});
    here.head_seq = 50;
    for (unsigned i = 0; i < WATCHERS_MAX; i++) {
        watch(&readers[i], 1);
        take_all(&readers[i]);
    }
    answer(0);
    one_page = stats().page_bytes;
    assert_true(one_page > 20000);
    while (here.call_count > 0) {
        answer(here.call_count - 1);
        assert_true(stats().page_bytes <= one_page);
    }
    /* Nobody has read: most of the pages are gone, and are read again. */
    for (unsigned i = 0; i < WATCHERS_MAX; i++) {
        take_all(&readers[i]);
        while (here.call_count > 0) {
            answer(0);
            take_all(&readers[i]);
        }
        assert_int_equal(readers[i].next_seq, 51);
    }
    assert_int_equal(stats().page_bytes, 0);
    for (unsigned i = 0; i < WATCHERS_MAX; i++)
        leave(&readers[i]);
    end();
}

static void test_forms(void **state)
{
    static const char json[] =
        "{\"id\":\"m\",\"client_id\":\"c\",\"chat_id\":\"" CHAT "\",\"user_id\":"
        "\"John\",\"sent_at\":\"1970-01-01T00:00:01Z\",\"subject\":\"\","
        "\"text\":\"Hey \\\"Barry\\\"\\n\",\"seq\":7}";
    struct chat_message message = message_at(7);
    struct jsonpb_buffer scratch = {0};
    char frame[512], event[512];
    struct shared_bytes *bytes;

    (void)state;
    snprintf(frame, sizeof frame, "{\"message\":%s}", json);
    snprintf(event, sizeof event, "id: 7\ndata: %s\n\n", json);
    for (int first = 0; first < SHARED_FORMS; first++) {
        struct shared_message *shared =
            shared_message_create(&message, (enum shared_form)first, &scratch);
        assert_non_null(shared);
        bytes = shared_message_form(shared, SHARED_EVENT);
        assert_int_equal(bytes->size, strlen(event));
        assert_memory_equal(bytes->data, event, bytes->size);
        bytes = shared_message_form(shared, SHARED_FRAME);
        assert_int_equal(bytes->data[0], 0x81);
        assert_int_equal(bytes->size, strlen(frame) + 4);
        assert_memory_equal(bytes->data + 4, frame, strlen(frame));
        assert_ptr_equal(shared_message_form(shared, SHARED_FRAME), bytes);
        shared_message_hold(shared);
        shared_message_release(shared);
        assert_memory_equal(bytes->data + 4, frame, strlen(frame));
        shared_message_release(shared);
    }
    jsonpb_buffer_free(&scratch);
}

/* ---- Any order of events ---- */

static unsigned roll(unsigned *seed, unsigned sides)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % sides;
}

static void step(struct reader *readers, unsigned *seed)
{
    struct reader *reader = &readers[roll(seed, WATCHERS_MAX)];

    switch (roll(seed, 8)) {
    case 0:
        if (reader->watcher == NULL)
            watch(reader, roll(seed, 2) * (1 + roll(seed, (unsigned)world->head_seq + 1)));
        break;
    case 1:
        if (reader->watcher != NULL && roll(seed, 4) == 0)
            leave(reader);
        break;
    case 2:
        world->head_seq += roll(seed, 10);
        break;
    case 3:
        if (world->follow != NULL && world->follow->next_seq <= world->head_seq)
            deliver(1 + roll(seed, (unsigned)(world->head_seq + 1 - world->follow->next_seq)));
        break;
    case 4:
        if (world->call_count > 0)
            answer(roll(seed, (unsigned)world->call_count));
        break;
    case 5:
        if (world->follow != NULL)
            set_state(roll(seed, 2) == 0 ? CHAT_FOLLOW_CATCHING_UP : CHAT_FOLLOW_LIVE);
        break;
    default:
        for (unsigned n = roll(seed, 20); n > 0 && reader->watcher != NULL && !reader->idle; n--)
            take(reader);
    }
}

/* What is there arrives at everybody who is told that there is something, and at nobody else. */
static void settle(struct reader *readers)
{
    bool moved = true;

    if (world->follow != NULL) {
        deliver((unsigned)(world->head_seq + 1 - world->follow->next_seq));
        set_state(CHAT_FOLLOW_CATCHING_UP);
        set_state(CHAT_FOLLOW_LIVE);
    }
    while (moved) {
        moved = world->call_count > 0;
        if (moved)
            answer(0);
        for (int i = 0; i < WATCHERS_MAX; i++) {
            if (readers[i].watcher == NULL || readers[i].idle)
                continue;
            take_all(&readers[i]);
            moved = true;
        }
        if (world->follow != NULL && world->follow->next_seq <= world->head_seq)
            deliver((unsigned)(world->head_seq + 1 - world->follow->next_seq));
    }
}

static void test_any_order(void **state)
{
    const struct hub_options options = {.page_messages = 6,
                                        .page_requests = 2,
                                        .recent_bytes = 6000,
                                        .page_bytes = 6000,
                                        .linger_ms = 1};

    (void)state;
    for (unsigned round = 1; round <= 300; round++) {
        struct reader readers[WATCHERS_MAX] = {0};
        unsigned seed = round;
        struct world here;

        begin(&here, &options);
        for (int i = 0; i < 400; i++) {
            step(readers, &seed);
            if (roll(&seed, 50) == 0)
                uv_run(&here.loop, UV_RUN_NOWAIT);
        }
        settle(readers);
        for (int i = 0; i < WATCHERS_MAX; i++) {
            if (readers[i].watcher == NULL)
                continue;
            assert_int_equal(readers[i].code, 0);
            assert_true(readers[i].live);
            assert_int_equal(readers[i].next_seq, here.head_seq + 1);
            leave(&readers[i]);
        }
        end();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_history_then_live),
        cmocka_unit_test(test_from_now),
        cmocka_unit_test(test_one_follow_for_many),
        cmocka_unit_test(test_namespaces_are_apart),
        cmocka_unit_test(test_recent_instead_of_pages),
        cmocka_unit_test(test_behind_the_recent),
        cmocka_unit_test(test_recent_go_with_time),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_refused_by_the_library),
        cmocka_unit_test(test_failing_follow),
        cmocka_unit_test(test_interruption),
        cmocka_unit_test(test_history_that_went_back),
        cmocka_unit_test(test_requests_are_few_and_in_order),
        cmocka_unit_test(test_pages_are_bounded),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_any_order),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
