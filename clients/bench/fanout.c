/*
 *   one sender makes the chat ─▶ watchers connect, some at a time, until each is live ─▶ the
 * senders send what is due ─▶ wait until all of it has arrived everywhere ─▶ close
 *
 * The text of a message is the time when it was due, so that whoever gets it knows how long it
 * took; when senders fall behind, that counts (an open loop).
 */
#include "clients/bench/fanout.h"

#include "base/uuid.h"
#include "clients/bench/http_wire.h"
#include "clients/bench/measurement.h"
#include "clients/bench/request_template.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SENDERS 16
#define CONNECTING_AT_ONCE 64
#define TICK_MS 1
#define PATIENCE_NS (UINT64_C(10) * 1000000000)
#define REQUEST_BYTES 2048
#define TIME_DIGITS 16
#define SENDER_USER "bench"

struct watcher {
    struct http_wire wire;
    struct fanout *fanout;
    uint64_t last_seq;
    bool live;
};

struct sender {
    struct http_wire wire;
    struct fanout *fanout;
    bool busy;
};

struct fanout {
    const struct gateway_target *target;
    struct fanout_result *result;
    FILE *err;
    uv_loop_t loop;
    uv_timer_t timer;
    struct watcher *watchers; /* owned */
    struct sender senders[SENDERS];
    uint64_t begun; /* watchers that were told to connect */
    uint64_t live;
    char chat_id[UUID_TEXT_BYTES + 1];
    char namesake[UUID_TEXT_BYTES + 1]; /* a user of this run, so that its chat is a new one */
    uint64_t due_total;
    uint64_t began_ns; /* 0: not yet */
    uint64_t acknowledged;
    uint64_t last_delivery_ns;
    bool failed;
    bool ending;
};

static void end_all(struct fanout *f)
{
    if (f->ending)
        return;
    f->ending = true;
    uv_close((uv_handle_t *)&f->timer, NULL);
    for (uint64_t i = 0; i < f->begun; i++)
        http_wire_close(&f->watchers[i].wire);
    for (int i = 0; i < SENDERS; i++)
        http_wire_close(&f->senders[i].wire);
}

static void give_up(struct fanout *f, const char *what, const char *detail, size_t size)
{
    if (f->ending)
        return;
    f->failed = true;
    fprintf(f->err, BENCH_PROGRAM ": %s: %.*s\n", what, (int)size, detail);
    end_all(f);
}

/* ---- Deliveries ---- */

static const char *after(const char *text, size_t size, const char *name)
{
    const char *found = memmem(text, size, name, strlen(name));

    return found == NULL ? NULL : found + strlen(name);
}

static void connect_more(struct fanout *f);

static void on_live(struct watcher *w)
{
    struct fanout *f = w->fanout;

    if (w->live)
        return;
    w->live = true;
    if (++f->live == f->target->watchers)
        f->began_ns = engine_now_ns();
    else
        connect_more(f);
}

static void on_message(struct http_wire *wire, const char *text, size_t size)
{
    struct watcher *w = wire->data;
    struct fanout *f = w->fanout;
    const char *digits = after(text, size, "\"text\":\"");
    const char *seq_text = after(text, size, "\"seq\":");
    uint64_t now_ns = engine_now_ns();
    uint64_t due_ns;
    uint64_t seq;

    if (after(text, size, "{\"live\"") != NULL) {
        on_live(w);
        return;
    }
    if (digits == NULL || seq_text == NULL || text + size - digits < TIME_DIGITS) {
        give_up(f, "the gateway says", text, size);
        return;
    }
    due_ns = http_wire_number(digits, digits + TIME_DIGITS, 16);
    seq = http_wire_number(seq_text, text + size, 10);
    if (seq != w->last_seq + 1)
        f->result->out_of_order++;
    w->last_seq = seq;
    f->result->deliveries++;
    f->last_delivery_ns = now_ns;
    histogram_record(&f->result->latency, now_ns > due_ns ? now_ns - due_ns : 0);
}

/* ---- Watchers ---- */

static void watcher_closed(struct http_wire *wire, const char *why)
{
    if (why != NULL)
        give_up(((struct watcher *)wire->data)->fanout, "a watcher's connection ended", why,
                strlen(why));
}

static void watcher_opened(struct http_wire *wire)
{
    struct watcher *w = wire->data;
    char request[REQUEST_BYTES];
    size_t size = gateway_put_connect(w->fanout->target, w->fanout->chat_id, SENDER_USER, request,
                                      sizeof request);

    http_wire_write(wire, request, size);
}

static void watcher_answered(struct http_wire *wire, int code, const char *body, size_t size)
{
    char what[64];

    if (code == 101)
        return;
    snprintf(what, sizeof what, "the gateway refuses a watcher with %d", code);
    give_up(((struct watcher *)wire->data)->fanout, what, body, size);
}

static const struct http_wire_handlers watcher_handlers = {.opened = watcher_opened,
                                                           .answered = watcher_answered,
                                                           .message = on_message,
                                                           .closed = watcher_closed};

static void open_wire(struct fanout *f, struct http_wire *wire,
                      const struct http_wire_handlers *wire_handlers)
{
    int status =
        http_wire_open(wire, &f->loop, (const struct sockaddr *)&f->target->address, wire_handlers);

    if (status != 0) {
        fprintf(f->err, BENCH_PROGRAM ": no socket: %s\n", uv_strerror(status));
        exit(EXIT_FAILURE);
    }
}

static void connect_more(struct fanout *f)
{
    while (f->begun < f->target->watchers && f->begun - f->live < CONNECTING_AT_ONCE) {
        struct watcher *w = &f->watchers[f->begun++];
        w->fanout = f;
        w->wire.data = w;
        open_wire(f, &w->wire, &watcher_handlers);
    }
}

/* ---- Senders ---- */

static void post(struct sender *sender, const char *path, const char *body, int body_size)
{
    char request[REQUEST_BYTES];
    size_t size = gateway_put_post(sender->fanout->target, path, body, (size_t)body_size, request,
                                   sizeof request);

    sender->busy = true;
    http_wire_write(&sender->wire, request, size);
}

static void send_due(struct fanout *f, struct sender *sender)
{
    char body[REQUEST_BYTES / 2];
    uint64_t due_ns = f->began_ns + f->result->messages * UINT64_C(1000000000) / f->target->rate;
    int size = snprintf(body, sizeof body,
                        "{\"chat_id\":\"%s\",\"user_id\":\"" SENDER_USER "\",\"text\":\"%016" PRIx64
                        "%.48s\"}",
                        f->chat_id, due_ns, "------------------------------------------------");

    f->result->messages++;
    post(sender, "/chat/Send", body, size);
}

static struct sender *idle_sender(struct fanout *f)
{
    for (int i = 0; i < SENDERS; i++) {
        if (!f->senders[i].busy)
            return &f->senders[i];
    }
    return NULL;
}

static bool all_answered(const struct fanout *f)
{
    for (int i = 0; i < SENDERS; i++) {
        if (f->senders[i].busy)
            return false;
    }
    return true;
}

static void on_tick(uv_timer_t *timer)
{
    struct fanout *f = timer->data;
    uint64_t now_ns = engine_now_ns();
    struct sender *sender;

    if (f->began_ns == 0)
        return;
    while (f->result->messages < f->due_total &&
           f->began_ns + f->result->messages * UINT64_C(1000000000) / f->target->rate <= now_ns &&
           (sender = idle_sender(f)) != NULL)
        send_due(f, sender);
    if (f->result->messages < f->due_total || !all_answered(f))
        return;
    if (f->result->deliveries >= f->acknowledged * f->target->watchers ||
        now_ns > f->began_ns + f->target->duration_ms * 1000000 + PATIENCE_NS)
        end_all(f);
}

static void sender_answered(struct http_wire *wire, int code, const char *body, size_t size)
{
    struct sender *sender = wire->data;
    struct fanout *f = sender->fanout;
    const char *id = code == 200 ? gateway_find_chat_id(body, size) : NULL;

    sender->busy = false;
    if (f->chat_id[0] == '\0') {
        if (id == NULL) {
            give_up(f, "the gateway makes no chat", body, size);
            return;
        }
        memcpy(f->chat_id, id, UUID_TEXT_BYTES);
        connect_more(f);
    } else if (code == 200) {
        f->acknowledged++;
    } else {
        f->result->refused++;
    }
}

static void sender_opened(struct http_wire *wire)
{
    struct sender *sender = wire->data;
    char body[REQUEST_BYTES / 2];

    if (sender != &sender->fanout->senders[0])
        return;
    post(sender, "/chat/New", body,
         snprintf(body, sizeof body, "{\"user_ids\":[\"" SENDER_USER "\",\"%s\"]}",
                  sender->fanout->namesake));
}

static void sender_closed(struct http_wire *wire, const char *why)
{
    if (why != NULL)
        give_up(((struct sender *)wire->data)->fanout, "a connection to the gateway ended", why,
                strlen(why));
}

static const struct http_wire_handlers sender_handlers = {
    .opened = sender_opened, .answered = sender_answered, .closed = sender_closed};

/* ---- The run ---- */

static void run(struct fanout *f)
{
    struct uuid uuid;

    uuid_make(&uuid);
    uuid_format(&uuid, f->namesake);
    f->due_total = f->target->rate * f->target->duration_ms / 1000;
    uv_timer_init(&f->loop, &f->timer);
    f->timer.data = f;
    uv_timer_start(&f->timer, on_tick, TICK_MS, TICK_MS);
    for (int i = 0; i < SENDERS; i++) {
        f->senders[i].fanout = f;
        f->senders[i].wire.data = &f->senders[i];
        open_wire(f, &f->senders[i].wire, &sender_handlers);
    }
    uv_run(&f->loop, UV_RUN_DEFAULT);
}

static void sum_up(struct fanout *f)
{
    struct fanout_result *r = f->result;
    uint64_t expected = f->acknowledged * f->target->watchers;

    r->missing = expected > r->deliveries ? expected - r->deliveries : 0;
    r->seconds =
        f->last_delivery_ns > f->began_ns ? (double)(f->last_delivery_ns - f->began_ns) / 1e9 : 0;
    r->client_cpu_s += measurement_cpu_seconds();
}

int fanout_run(const struct gateway_target *target, struct fanout_result *result, FILE *err)
{
    struct fanout *f = calloc(1, sizeof *f);
    int status = -1;

    if (f == NULL || (f->watchers = calloc(target->watchers, sizeof *f->watchers)) == NULL ||
        uv_loop_init(&f->loop) != 0) {
        fputs(BENCH_PROGRAM ": out of memory\n", err);
    } else {
        f->target = target;
        f->result = result;
        f->err = err;
        result->client_cpu_s = -measurement_cpu_seconds();
        run(f);
        sum_up(f);
        uv_loop_close(&f->loop);
        status = f->failed ? -1 : 0;
    }
    if (f != NULL)
        free(f->watchers);
    free(f);
    return status;
}
