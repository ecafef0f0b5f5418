/*
 * Random histories of the whole store against the model: simulation --seed N --steps N.
 *
 * A world is a disk and a few hundred to a few thousand steps: a request, or an event of
 * world.h, or a crash, or an orderly end. Which one comes is chance, with weights that
 * change as a world goes on, so that now the database lags, now the journal, now the loop. Limits
 * are different in each world, many of them tiny. At the end of a world all that was promised is
 * read back. Then comes the next world, until the steps are used up.
 *
 * The same seed gives the same run, and the digest of all that happened is printed. When a promise
 * is broken, or the process dies in any other way, seed and step are printed: the same command line
 * shows the same thing again.
 */
#include "base/log.h"
#include "store/store.h"
#include "tests/simulation/model.h"
#include "tests/simulation/world.h"

#include "base/uuid.h"
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define REQUESTS_MAX 96
#define STRANGER "eve"

enum request_kind { REQUEST_NEW, REQUEST_SEND, REQUEST_HISTORY };

struct request {
    bool active;
    enum request_kind kind;
    unsigned chat;
    int refusal; /* STORE_NO_CHAT or STORE_NOT_A_MEMBER when it must be that */
    uint64_t attempt;
    uint64_t top;
    struct store_history_input input;
    union {
        struct store_new new_chat;
        struct store_send send;
        struct store_history history;
    } call;
};

/* What the parent prints when the child is no more. */
struct progress {
    uint64_t world;
    uint64_t step;
    uint64_t counts[8];
};

static struct progress *progress;
static struct model model;
static struct store *store;
static uv_loop_t uv;
static struct store_options options;
static struct request requests[REQUESTS_MAX];
static struct model_attempt next_attempt;
static struct request *next_request;
static unsigned weights[WORLD_EVENTS];
static unsigned request_weight;
static unsigned crash_weight;
static unsigned chats_busy;
static bool closed;

enum counted { SENDS, RETRIES, REFUSALS, PAGES, CHATS, CRASHES, ENDS, FULLS };

static void count(enum counted what)
{
    progress->counts[what]++;
}

static uint64_t clock_ns(void)
{
    next_request->attempt = model_attempt(&model, &next_attempt);
    return MODEL_FIRST_NS + next_request->attempt;
}

/* One of the numbers given. */
#define pick(...)                                                                                  \
    pick_from((const uint64_t[]){__VA_ARGS__},                                                     \
              sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))

static uint64_t pick_from(const uint64_t *numbers, size_t size)
{
    return numbers[world_random(size)];
}

/* --- requests --- */

static struct request *request_make(enum request_kind kind)
{
    for (unsigned i = 0; i < REQUESTS_MAX; i++) {
        if (requests[i].active)
            continue;
        requests[i] = (struct request){.active = true, .kind = kind};
        next_request = &requests[i];
        return &requests[i];
    }
    return NULL;
}

static void request_over(struct request *request, int status)
{
    if (!request->active)
        world_fail("a request was answered twice");
    request->active = false;
    world_trace(&request->kind, sizeof request->kind);
    world_trace(&status, sizeof status);
    if (status == STORE_FULL)
        count(FULLS);
}

/* True if that was all there is to say of the answer. */
static bool refusal_checked(const struct request *request, int status)
{
    if (request->refusal == 0)
        return false;
    if (status != request->refusal)
        world_fail("a request of kind %d got \"%s\" instead of \"%s\"", request->kind,
                   store_status_text(status), store_status_text(request->refusal));
    count(REFUSALS);
    return true;
}

/* A call that was not taken has changed nothing and is never answered. */
static void request_refused(struct request *request, int status)
{
    if (!request->active)
        world_fail("a call returned an error and was answered, too");
    if (status != STORE_OVERLOADED && status != STORE_FULL && status != STORE_CLOSING)
        world_fail("a call returned \"%s\"", store_status_text(status));
    request_over(request, status);
    count(REFUSALS);
}

static void new_done(struct store_new *call)
{
    struct request *request = call->data;

    request_over(request, call->status);
    world_trace(&call->chat_id, sizeof call->chat_id);
    model_new_answered(&model, request->chat, call);
    count(CHATS);
}

static void request_new(void)
{
    struct request *request = request_make(REQUEST_NEW);
    char *user_ids[MODEL_USERS];
    size_t user_count;
    int status;

    if (request == NULL)
        return;
    request->chat = (unsigned)world_random(MODEL_CHATS);
    user_count = model_members(request->chat, user_ids);
    next_attempt = (struct model_attempt){.answer = MODEL_NOTHING};
    request->call.new_chat = (struct store_new){.data = request, .done = new_done};
    status = store_new(store, &request->call.new_chat, model_namespace(request->chat), user_ids,
                       user_count);
    if (status != 0)
        request_refused(request, status);
}

/* A chat that is known; false if there is none yet. */
static bool chat_pick(unsigned *chat)
{
    *chat = (unsigned)world_random(chats_busy);
    for (unsigned i = 0; i < MODEL_CHATS; i++) {
        if (model.chats[*chat].known)
            return true;
        *chat = (*chat + 1) % MODEL_CHATS;
    }
    return false;
}

/* Some requests are for no chat at all, for another namespace's, or by someone who is not in it. */
static void chat_address(struct request *request, const char **namespace_name, struct uuid *id,
                         const char **acting_user)
{
    unsigned acting = (unsigned)world_random(12);

    *namespace_name = model_namespace(request->chat);
    *id = model.chats[request->chat].id;
    if (acting < MODEL_USERS) {
        *acting_user = model_user(acting);
        if (!model_member(request->chat, acting))
            request->refusal = STORE_NOT_A_MEMBER;
    } else if (acting == MODEL_USERS) {
        *acting_user = STRANGER;
        request->refusal = STORE_NOT_A_MEMBER;
    }
    if (world_chance(2)) {
        *namespace_name = model_namespace((request->chat + MODEL_SETS) % MODEL_CHATS);
        request->refusal = STORE_NO_CHAT;
    } else if (world_chance(2)) {
        uuid_make(id);
        request->refusal = STORE_NO_CHAT;
    }
}

static void send_done(struct store_send *call)
{
    struct request *request = call->data;

    request_over(request, call->status);
    world_trace(&call->seq, sizeof call->seq);
    world_trace(&call->duplicate, sizeof call->duplicate);
    world_trace(call->message, call->status == STORE_OK ? call->message_size : 0);
    if (refusal_checked(request, call->status)) {
        model.attempts[request->attempt].answer = MODEL_NOTHING;
        return;
    }
    count(call->duplicate || call->status == STORE_CLIENT_ID_REUSED ? RETRIES : SENDS);
    model_send_answered(&model, request->attempt, call);
}

/* Often one that was used before, and then often one of the last ones. */
static unsigned key_pick(unsigned chat)
{
    const struct model_attempt *attempt;
    uint64_t back;

    if (model.attempt_count > 0 && world_chance(40)) {
        back =
            world_random(world_chance(70) && model.attempt_count > 40 ? 40 : model.attempt_count);
        attempt = &model.attempts[model.attempt_count - 1 - back];
        if (attempt->chat == chat)
            return attempt->key;
    }
    return (unsigned)world_random(MODEL_KEYS);
}

static void request_send(void)
{
    struct request *request = request_make(REQUEST_SEND);
    struct store_send_input input = {0};
    int status;

    if (request == NULL)
        return;
    if (!chat_pick(&request->chat)) {
        request->active = false;
        return;
    }
    next_attempt = (struct model_attempt){
        .chat = request->chat,
        .key = key_pick(request->chat),
        .content = world_chance(80) ? 0 : (unsigned)world_random(MODEL_CONTENTS),
        .top = model.chats[request->chat].top,
    };
    chat_address(request, &input.namespace_name, &input.chat_id, &input.acting_user);
    input.user_id = model_user(next_attempt.key % MODEL_USERS);
    input.client_id = model_client(next_attempt.key);
    input.subject = model_subject(next_attempt.content);
    input.text = model_text(next_attempt.key, next_attempt.content);
    request->call.send = (struct store_send){.data = request, .done = send_done};
    request->attempt = UINT64_MAX;
    status = store_send(store, &request->call.send, &input);
    if (status == 0)
        return;
    request_refused(request, status);
    if (request->attempt != UINT64_MAX)
        model.attempts[request->attempt].answer = MODEL_NOTHING;
}

static void history_done(struct store_history *call)
{
    struct request *request = call->data;

    request_over(request, call->status);
    world_trace(&call->head_seq, sizeof call->head_seq);
    if (call->status == STORE_OK)
        world_trace(&call->page->count, sizeof call->page->count);
    if (refusal_checked(request, call->status))
        return;
    count(PAGES);
    model_history_answered(&model, request->chat, request->top, &request->input, call);
}

/* A cursor anywhere: at the ends, beyond them, and where numbers end. */
static uint64_t cursor(uint64_t top)
{
    if (world_chance(3))
        return pick(UINT32_MAX, (uint64_t)UINT32_MAX + 1, UINT64_MAX - 1, UINT64_MAX);
    return world_chance(40) ? 1 + world_random(top + 3)
                            : (top > 8 ? top - 8 : 0) + 1 + world_random(12);
}

static void history_range(struct store_history_input *input, uint64_t top)
{
    input->from_seq = world_chance(50) ? cursor(top) : 0;
    input->before_seq = world_chance(50) ? cursor(top) : 0;
    if (input->before_seq > 0 && input->before_seq < input->from_seq)
        input->before_seq = input->from_seq;
    input->limit = (uint32_t)pick(1, 2, 3, 7, 50, 1000);
    input->budget_bytes = pick(1, 200, 500, 2000, 100000);
}

static void request_history_of(unsigned chat, const struct store_history_input *range, bool plain)
{
    struct request *request = request_make(REQUEST_HISTORY);
    int status;

    if (request == NULL)
        return;
    request->chat = chat;
    request->top = model.chats[chat].top;
    request->input = *range;
    request->input.namespace_name = model_namespace(chat);
    request->input.chat_id = model.chats[chat].id;
    if (!plain)
        chat_address(request, &request->input.namespace_name, &request->input.chat_id,
                     &request->input.acting_user);
    request->call.history = (struct store_history){.data = request, .done = history_done};
    status = store_history(store, &request->call.history, &request->input);
    if (status != 0)
        request_refused(request, status);
}

static void request_history(void)
{
    struct store_history_input range = {0};
    unsigned chat;

    if (!chat_pick(&chat))
        return;
    history_range(&range, model.chats[chat].top);
    request_history_of(chat, &range, false);
}

static void request_any(void)
{
    unsigned kind = (unsigned)world_random(20);

    if (kind == 0)
        request_new();
    else if (kind < 14)
        request_send();
    else
        request_history();
}

static unsigned requests_open(void)
{
    unsigned open = 0;

    for (unsigned i = 0; i < REQUESTS_MAX; i++)
        open += requests[i].active;
    return open;
}

/* --- lives of a store --- */

static void open_store(void)
{
    struct store_opened opened;
    struct store_failure failure = {0};

    closed = false;
    model.hurried = false;
    world_loop_reset();
    if (store_open(&store, &uv, &options, &opened, &failure) != 0)
        world_fail("cannot open: %s", failure.detail);
    world_trace(&opened.records, sizeof opened.records);
}

static void requests_lose(void)
{
    for (unsigned i = 0; i < REQUESTS_MAX; i++) {
        struct request *request = &requests[i];
        if (!request->active)
            continue;
        request->active = false;
        if (request->kind == REQUEST_NEW)
            model.chats[request->chat].maybe = true;
        if (request->kind == REQUEST_SEND)
            model.attempts[request->attempt].answer =
                request->refusal == 0 ? MODEL_LOST : MODEL_NOTHING;
    }
}

static void crash(void)
{
    world_crash(store);
    requests_lose();
    open_store();
    count(CRASHES);
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

/* Everything happens until the condition holds; if it never does, something waits for ever. */
static void settle_down(bool (*over)(void))
{
    for (unsigned i = 0; !over(); i++) {
        if (i > 200000)
            world_fail("%u requests wait for ever", requests_open());
        world_happen((enum world_event)world_random(WORLD_EVENTS));
    }
}

static bool no_requests(void)
{
    return requests_open() == 0;
}

static bool is_closed(void)
{
    return closed;
}

/* At times in a hurry: what would wait for room is refused. */
static void orderly_end(void)
{
    if (world_chance(50)) {
        store_hurry(store);
        model.hurried = true;
        for (uint64_t i = world_random(100); i > 0; i--)
            world_happen((enum world_event)world_random(WORLD_EVENTS));
    }
    store_close(store, on_closed, &closed);
    settle_down(is_closed);
    if (requests_open() != 0)
        world_fail("the store closed without answering");
    if (world_blocks() != 0)
        world_fail("the store closed and left %zu blocks of memory", world_blocks());
    count(ENDS);
    open_store();
}

/* --- worlds --- */

static void options_draw(void)
{
    store_options_init(&options);
    options.directory = "/simulated";
    options.now_ns = clock_ns;
    options.chat_cache_bytes_max = pick(0, 300, 1200, 1000000);
    options.tail_bytes_max = pick(2000, 8000, 1000000);
    options.requests_max = pick(3, 20, 1000, 1000);
    options.request_bytes_max = pick(400, 4000, 1000000, 1000000);
    options.settle_bytes = pick(1, 600, 6000, 1000000);
    options.slice_bytes = pick(1, 300, 1500, 100000);
    options.settle_ms = pick(0, 100, 2000, 100000);
    options.close_settle_ms = pick(0, 100, 5000);
    options.segment_bytes = pick(2048, 4096, 16384);
    options.segments_max = pick(2, 3, 8);
    options.recovery_window = pick(1, 2, 7, 100);
    world_evict_max = pick(1, 2, 5, 1000);
}

static void weights_draw(void)
{
    for (unsigned i = 0; i < WORLD_EVENTS; i++)
        weights[i] = (unsigned)pick(1, 5, 20);
    request_weight = (unsigned)pick(2, 5, 10, 40);
    crash_weight = world_chance(30) ? 1 : 0;
    if (world_chance(10))
        disk_options.full = !disk_options.full;
    else if (world_chance(30))
        disk_options.full = false;
}

static unsigned weight_sum(void)
{
    unsigned sum = request_weight;

    for (unsigned i = 0; i < WORLD_EVENTS; i++)
        sum += weights[i];
    return sum;
}

static void step(void)
{
    unsigned chance = (unsigned)world_random(weight_sum());
    unsigned event = 0;

    if (world_random(1000) < crash_weight) {
        crash();
    } else if (world_random(2000) == 0) {
        orderly_end();
    } else if (chance < request_weight) {
        request_any();
    } else {
        chance -= request_weight;
        while (chance >= weights[event])
            chance -= weights[event++];
        /* If it cannot be, the next one that can. */
        while (!world_happen((enum world_event)event))
            event = (event + 1) % WORLD_EVENTS;
        world_trace(&event, sizeof event);
    }
}

static void read_whole(unsigned chat)
{
    struct store_history_input range = {.from_seq = 1, .limit = 1000, .budget_bytes = 3000};
    uint64_t before;

    do {
        const struct model_message *messages;
        before = range.from_seq;
        request_history_of(chat, &range, true);
        settle_down(no_requests);
        messages = model.chats[chat].messages;
        while (range.from_seq < model.chats[chat].capacity &&
               messages[range.from_seq].bytes != NULL)
            range.from_seq++;
    } while (range.from_seq > before);
}

static void world_check(void)
{
    disk_options = (struct disk_options){.full = false};
    settle_down(no_requests);
    if (world_chance(50))
        crash();
    else
        orderly_end();
    for (unsigned chat = 0; chat < MODEL_CHATS; chat++) {
        if (model.chats[chat].known)
            read_whole(chat);
    }
    model_check_whole(&model);
    orderly_end();
}

static uint64_t world_run(uint64_t steps_left)
{
    uint64_t steps = pick(100, 500, 2000, 5000);

    if (steps > steps_left)
        steps = steps_left;
    model_reset(&model);
    disk_reset();
    disk_options.full_percent = (unsigned)pick(0, 0, 1, 20);
    chats_busy = (unsigned)pick(1, 2, MODEL_CHATS);
    options_draw();
    open_store();
    for (uint64_t i = 0; i < steps; i++) {
        if (i % 100 == 0)
            weights_draw();
        step();
        progress->step++;
    }
    world_check();
    world_crash(store);
    return steps;
}

static void run(uint64_t seed, uint64_t steps)
{
    log_set_level(LOG_LEVEL_ERROR);
    world_seed(seed);
    while (steps > 0) {
        steps -= world_run(steps);
        progress->world++;
    }
    model_reset(&model);
    disk_reset();
    printf("seed %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " worlds, %" PRIu64 " sends, %" PRIu64
           " retries, %" PRIu64 " refusals, %" PRIu64 " full, %" PRIu64 " pages, %" PRIu64
           " chats, %" PRIu64 " crashes, %" PRIu64 " ends; digest %016" PRIx64 "\n",
           seed, progress->step, progress->world, progress->counts[SENDS],
           progress->counts[RETRIES], progress->counts[REFUSALS], progress->counts[FULLS],
           progress->counts[PAGES], progress->counts[CHATS], progress->counts[CRASHES],
           progress->counts[ENDS], world_trace_digest());
}

/* In a process of its own, so that whatever kills it is told with the seed. */
static int run_child(uint64_t seed, uint64_t steps)
{
    pid_t child;
    int status;

    progress =
        mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (progress == MAP_FAILED || (child = fork()) < 0) {
        perror("simulation");
        return 1;
    }
    if (child == 0) {
        run(seed, steps);
        exit(0);
    }
    if (waitpid(child, &status, 0) < 0)
        return 1;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    fprintf(stderr,
            "simulation: FAILED in world %" PRIu64 " at step %" PRIu64 "; to see it again: "
            "simulation --seed %" PRIu64 " --steps %" PRIu64 "\n",
            progress->world, progress->step, seed, steps);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    static const struct option names[] = {
        {"seed", required_argument, NULL, 'n'}, {"steps", required_argument, NULL, 's'}, {0}};
    uint64_t seed = 1;
    uint64_t steps = 1000000;
    int option;

    while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
        if (option == 'n')
            seed = strtoull(optarg, NULL, 10);
        else if (option == 's')
            steps = strtoull(optarg, NULL, 10);
        else
            return 2;
    }
    return run_child(seed, steps);
}
