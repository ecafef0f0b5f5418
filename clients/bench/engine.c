/*
 * Each request has a slot for as long as it is under way. The slot's number and its generation are
 * the last token of the reply's subject, so that a reply finds its slot without a search, and one
 * that comes after its time-out finds that the slot has gone on.
 *
 *            next()                  replied(), or failed()
 *     IDLE ─────────▶ WAITING ──────────────────────────────▶ IDLE
 *                        │ failed()                             ▲
 *                        └─────────▶ RESTING ───────────────────┘ at the next tick
 *
 * A slot that failed rests for a moment: when nobody answers, everything fails at once, and the
 * generator would only heat the room.
 *
 * In the open loop request n is due at began + n / rate, and its latency counts from there: when
 * the service stalls, those that should have been sent meanwhile are late too, and are counted so
 * ("coordinated omission" is the name of the mistake that this avoids). A timer of the kernel's
 * wakes the loop when something is due, but not more often than each 100 µs; the timers of libuv
 * know only milliseconds.
 */
#include "clients/bench/engine.h"

#include "clients/bench/bench_link.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#define SECOND_NS UINT64_C(1000000000)
#define TICK_MS 10
#define TICKS_PER_SCAN 10
#define WAKE_MIN_NS 100000
/* Four digits of six bits for the slot, four for the generation. */
#define TOKEN_DIGITS 4
#define TOKEN_BYTES (2 * TOKEN_DIGITS)
#define TOKEN_MASK ((UINT32_C(1) << (6 * TOKEN_DIGITS)) - 1)

enum slot_state { SLOT_IDLE, SLOT_WAITING, SLOT_RESTING };

struct slot {
    struct engine_request request;
    enum slot_state state;
    uint32_t generation;
    struct connection *connection;
    char *token; /* within `reply` */
    char reply[LINK_INBOX_BYTES + TOKEN_BYTES];
};

struct engine {
    uv_loop_t loop;
    struct links links;
    struct slot *slots;
    uint32_t slot_count;
    uint32_t *idle; /* a stack of slots */
    uint32_t idle_count;
    uint32_t waiting;
    uint32_t resting;

    const struct engine_source *source; /* NULL between runs */
    struct engine_pace pace;
    uint64_t began_ns;
    uint64_t end_ns; /* UINT64_MAX: none */
    uint64_t due_count;
    bool dry; /* the source had no more when it was asked last */
    bool interrupted;
    unsigned ticks;
    uint64_t nobody; /* requests that nobody listened to, since the last tick */

    uv_timer_t timer;
    uv_signal_t interrupt;
    uv_signal_t terminate;
    uv_poll_t wake;
    int wake_file;
};

static const char *const failure_texts[] = {
    [ENGINE_TIMEOUT] = "timeout",     [ENGINE_NO_RESPONDERS] = "no-responders",
    [ENGINE_NOT_SENT] = "not-sent",   [ENGINE_BAD_REPLY] = "bad-reply",
    [ENGINE_DUPLICATE] = "duplicate",
};

const char *engine_code_text(int code, char text[16])
{
    if (code > 0 && code < (int)(sizeof failure_texts / sizeof *failure_texts))
        return failure_texts[code];
    snprintf(text, 16, "%d", code);
    return text;
}

uint64_t engine_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* ---- Tokens ---- */

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_";

static void put_digits(char *text, uint32_t value)
{
    for (int i = 0; i < TOKEN_DIGITS; i++)
        text[i] = digits[(value >> (6 * i)) & 63];
}

static uint32_t digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return (uint32_t)(c - '0');
    if (c >= 'A' && c <= 'Z')
        return (uint32_t)(c - 'A') + 10;
    if (c >= 'a' && c <= 'z')
        return (uint32_t)(c - 'a') + 36;
    return c == '-' ? 62 : 63;
}

static uint32_t get_digits(const char *text)
{
    uint32_t value = 0;

    for (int i = 0; i < TOKEN_DIGITS; i++)
        value |= digit_value(text[i]) << (6 * i);
    return value;
}

/* The slot that waits for the reply with this subject; NULL when none does any more. */
static struct slot *find_slot(struct engine *engine, const char *subject)
{
    size_t size = strlen(subject);

    if (size < TOKEN_BYTES)
        return NULL;
    uint32_t index = get_digits(subject + size - TOKEN_BYTES);
    uint32_t generation = get_digits(subject + size - TOKEN_DIGITS);
    if (index >= engine->slot_count)
        return NULL;
    struct slot *slot = &engine->slots[index];
    return slot->state == SLOT_WAITING && slot->generation == generation ? slot : NULL;
}

/* ---- Requests ---- */

static void rest(struct engine *engine, struct slot *slot)
{
    slot->state = SLOT_RESTING;
    engine->resting++;
}

static void fail(struct engine *engine, struct slot *slot, uint64_t now_ns, int code)
{
    engine->waiting--;
    rest(engine, slot);
    engine->source->failed(engine->source->data, &slot->request, now_ns, code);
}

static void send_request(struct engine *engine, struct slot *slot,
                         const struct engine_message *message, uint64_t now_ns)
{
    slot->generation = (slot->generation + 1) & TOKEN_MASK;
    put_digits(slot->token + TOKEN_DIGITS, slot->generation);
    slot->state = SLOT_WAITING;
    engine->waiting++;
    if (connection_publish(slot->connection, message->subject, slot->reply, NULL, NULL,
                           message->bytes, message->size) != NATS_OK)
        fail(engine, slot, now_ns, ENGINE_NOT_SENT);
}

/* When the next request is due; past the end when there is to be none. */
static uint64_t next_due_ns(const struct engine *engine, uint64_t now_ns)
{
    if (engine->pace.rate <= 0)
        return now_ns;
    return engine->began_ns +
           (uint64_t)((double)engine->due_count * (double)SECOND_NS / engine->pace.rate);
}

/* Sends all that may be sent now. */
static void fill(struct engine *engine, uint64_t now_ns)
{
    while (engine->idle_count > 0) {
        uint64_t due_ns = next_due_ns(engine, now_ns);
        struct slot *slot = &engine->slots[engine->idle[engine->idle_count - 1]];
        struct engine_message message;
        if (due_ns > now_ns || due_ns >= engine->end_ns)
            return;
        slot->request.due_ns = due_ns;
        engine->dry = !engine->source->next(engine->source->data, &slot->request, &message);
        if (engine->dry)
            return;
        engine->idle_count--;
        engine->due_count++;
        send_request(engine, slot, &message, now_ns);
    }
}

static bool is_finished(const struct engine *engine, uint64_t now_ns)
{
    if (engine->waiting > 0)
        return false;
    if (engine->interrupted || next_due_ns(engine, now_ns) >= engine->end_ns)
        return true;
    return engine->dry && engine->resting == 0;
}

static void go_on(struct engine *engine, uint64_t now_ns)
{
    fill(engine, now_ns);
    if (is_finished(engine, now_ns))
        uv_stop(&engine->loop);
}

/* ---- Replies ---- */

/* 0, or what the reply's headers say is wrong. Only errors have any. */
static int refusal_of(natsMsg *message)
{
    const char *code = NULL;

    if (natsMsgHeader_Get(message, "Nats-Service-Error-Code", &code) != NATS_OK)
        return 0;
    int number = atoi(code);
    return number >= 100 && number < ENGINE_CODES ? number : ENGINE_BAD_REPLY;
}

static void receive(void *data, natsMsg *message)
{
    struct engine *engine = data;
    struct slot *slot = find_slot(engine, natsMsg_GetSubject(message));
    uint64_t now_ns;
    int code;

    if (slot == NULL || engine->source == NULL)
        return;
    now_ns = engine_now_ns();
    code = refusal_of(message);
    if (code == 0)
        code = engine->source->replied(engine->source->data, &slot->request, now_ns,
                                       (const uint8_t *)natsMsg_GetData(message),
                                       (size_t)natsMsg_GetDataLength(message));
    if (code != 0) {
        fail(engine, slot, now_ns, code);
    } else {
        engine->waiting--;
        slot->state = SLOT_IDLE;
        engine->idle[engine->idle_count++] = (uint32_t)(slot - engine->slots);
        fill(engine, now_ns);
    }
    if (engine->waiting == 0)
        go_on(engine, now_ns);
}

static void on_no_responders(void *data)
{
    struct engine *engine = data;

    engine->nobody++;
}

/* ---- Time ---- */

static void wake_sleepers(struct engine *engine)
{
    for (uint32_t i = 0; engine->resting > 0 && i < engine->pace.outstanding; i++) {
        if (engine->slots[i].state != SLOT_RESTING)
            continue;
        engine->slots[i].state = SLOT_IDLE;
        engine->idle[engine->idle_count++] = i;
        engine->resting--;
    }
}

static void time_out(struct engine *engine, uint64_t now_ns)
{
    for (uint32_t i = 0; engine->waiting > 0 && i < engine->pace.outstanding; i++) {
        struct slot *slot = &engine->slots[i];
        if (slot->state == SLOT_WAITING && now_ns > slot->request.due_ns + engine->pace.timeout_ns)
            fail(engine, slot, now_ns, ENGINE_TIMEOUT);
    }
}

/*
 * Nobody listened to so many requests, and it is not known to which. They are most likely
 * the ones under way, since the others are answered; should it meet one that is answered after all,
 * the other will time out in its place.
 */
static void miss_responders(struct engine *engine, uint64_t now_ns)
{
    for (uint32_t i = 0; engine->nobody > 0 && i < engine->pace.outstanding; i++) {
        if (engine->slots[i].state != SLOT_WAITING)
            continue;
        fail(engine, &engine->slots[i], now_ns, ENGINE_NO_RESPONDERS);
        engine->nobody--;
    }
    engine->nobody = 0;
}

static void on_tick(uv_timer_t *timer)
{
    struct engine *engine = timer->data;
    uint64_t now_ns = engine_now_ns();

    if (engine->source == NULL)
        return;
    wake_sleepers(engine);
    miss_responders(engine, now_ns);
    if (++engine->ticks % TICKS_PER_SCAN == 0) {
        time_out(engine, now_ns);
        if (engine->source->tick != NULL)
            engine->source->tick(engine->source->data, now_ns);
    }
    go_on(engine, now_ns);
}

static void on_wake(uv_poll_t *poll, int status, int events)
{
    struct engine *engine = poll->data;
    uint64_t expirations;

    (void)status;
    (void)events;
    if (read(engine->wake_file, &expirations, sizeof expirations) < 0)
        return;
    if (engine->source != NULL)
        go_on(engine, engine_now_ns());
}

static void set_wake(struct engine *engine, double rate)
{
    struct itimerspec timer = {0};
    double interval_ns = rate <= 0 ? 0 : (double)SECOND_NS / rate;

    if (rate > 0) {
        if (interval_ns < WAKE_MIN_NS)
            interval_ns = WAKE_MIN_NS;
        if (interval_ns > 100e6)
            interval_ns = 100e6;
        timer.it_interval.tv_nsec = (long)interval_ns;
        timer.it_value = timer.it_interval;
    }
    timerfd_settime(engine->wake_file, 0, &timer, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct engine *engine = handle->data;

    if (engine->interrupted)
        _exit(128 + number);
    engine->interrupted = true;
    engine->end_ns = 0;
    if (engine->source == NULL || engine->waiting == 0)
        uv_stop(&engine->loop);
}

/* ---- Runs ---- */

static void make_idle(struct engine *engine, size_t outstanding)
{
    engine->idle_count = 0;
    engine->resting = 0;
    for (size_t i = outstanding; i-- > 0;) {
        engine->slots[i].state = SLOT_IDLE;
        engine->idle[engine->idle_count++] = (uint32_t)i;
    }
}

bool engine_run(struct engine *engine, const struct engine_source *source,
                const struct engine_pace *pace, uint64_t *began_ns)
{
    engine->pace = *pace;
    if (engine->pace.outstanding > engine->slot_count)
        engine->pace.outstanding = engine->slot_count;
    make_idle(engine, engine->pace.outstanding);
    engine->source = source;
    engine->due_count = 0;
    engine->dry = false;
    engine->began_ns = engine_now_ns();
    engine->end_ns = engine->interrupted      ? 0
                     : pace->duration_ns == 0 ? UINT64_MAX
                                              : engine->began_ns + pace->duration_ns;
    *began_ns = engine->began_ns;
    set_wake(engine, pace->rate);
    fill(engine, engine->began_ns);
    while (!is_finished(engine, engine_now_ns()))
        uv_run(&engine->loop, UV_RUN_DEFAULT);
    set_wake(engine, 0);
    engine->source = NULL;
    return !engine->interrupted;
}

static void on_pause_over(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

bool engine_pause(struct engine *engine, uint64_t pause_ms)
{
    uv_timer_t timer;

    uv_update_time(&engine->loop);
    uv_timer_init(&engine->loop, &timer);
    uv_timer_start(&timer, on_pause_over, pause_ms, 0);
    if (!engine->interrupted)
        uv_run(&engine->loop, UV_RUN_DEFAULT);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&engine->loop, UV_RUN_NOWAIT); /* the handle is on this stack */
    return !engine->interrupted;
}

/* ---- Opening and closing ---- */

static int make_slots(struct engine *engine, size_t count)
{
    engine->slots = calloc(count, sizeof *engine->slots);
    engine->idle = calloc(count, sizeof *engine->idle);
    if (engine->slots == NULL || engine->idle == NULL)
        return -1;
    engine->slot_count = (uint32_t)count;
    for (uint32_t i = 0; i < engine->slot_count; i++) {
        struct slot *slot = &engine->slots[i];
        const struct link *link = &engine->links.links[i % engine->links.count];
        slot->connection = link->connection;
        snprintf(slot->reply, sizeof slot->reply, "%s", link->inbox);
        slot->token = slot->reply + strlen(slot->reply);
        put_digits(slot->token, i);
        slot->token[TOKEN_BYTES] = '\0';
    }
    return 0;
}

static void watch_signal(struct engine *engine, uv_signal_t *handle, int number)
{
    uv_signal_init(&engine->loop, handle);
    handle->data = engine;
    uv_signal_start(handle, on_signal, number);
    uv_unref((uv_handle_t *)handle);
}

static void start_handles(struct engine *engine)
{
    uv_timer_init(&engine->loop, &engine->timer);
    engine->timer.data = engine;
    uv_timer_start(&engine->timer, on_tick, TICK_MS, TICK_MS);
    uv_poll_init(&engine->loop, &engine->wake, engine->wake_file);
    engine->wake.data = engine;
    uv_poll_start(&engine->wake, UV_READABLE, on_wake);
    watch_signal(engine, &engine->interrupt, SIGINT);
    watch_signal(engine, &engine->terminate, SIGTERM);
}

static void free_engine(struct engine *engine)
{
    close(engine->wake_file);
    uv_loop_close(&engine->loop);
    free(engine->slots);
    free(engine->idle);
    free(engine);
}

int engine_open(struct engine **result, const struct broker_access *access, size_t connections,
                size_t outstanding_max, FILE *err)
{
    struct engine *engine = calloc(1, sizeof *engine);
    const struct link_subject inbox = {
        .data = engine, .receive = receive, .no_responders = on_no_responders};

    if (engine == NULL || uv_loop_init(&engine->loop) != 0) {
        fputs("chat-bench: out of memory\n", err);
        free(engine);
        return -1;
    }
    engine->wake_file = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (links_open(&engine->links, &engine->loop, access, connections, &inbox, err) != 0) {
        free_engine(engine);
        return -1;
    }
    if (engine->wake_file < 0 || make_slots(engine, outstanding_max) != 0) {
        fprintf(err, "chat-bench: no resources for %zu requests at once\n", outstanding_max);
        links_close(&engine->links);
        free_engine(engine);
        return -1;
    }
    start_handles(engine);
    *result = engine;
    return 0;
}

void engine_close(struct engine *engine)
{
    uv_close((uv_handle_t *)&engine->timer, NULL);
    uv_close((uv_handle_t *)&engine->wake, NULL);
    uv_close((uv_handle_t *)&engine->interrupt, NULL);
    uv_close((uv_handle_t *)&engine->terminate, NULL);
    links_close(&engine->links);
    free_engine(engine);
}
