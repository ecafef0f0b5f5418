/*
 *   all connections open ─▶ each makes chats until there are enough ─▶ each sends, and sends again
 *   when it is answered ─▶ the time is up: close
 *
 * A request is made once and patched: the message's number, which makes its client id a fresh one,
 * and the chat. An answer is good when it is a 200 that is no duplicate.
 */
#include "clients/bench/gateway_load.h"

#include "base/uuid.h"
#include "clients/bench/chooser.h"
#include "clients/bench/http_wire.h"
#include "clients/bench/request_template.h"
#include <stdlib.h>
#include <string.h>

#define REQUEST_BYTES ((size_t)80 * 1024)
#define SMALL_BYTES 1024

struct connection_slot {
    struct http_wire wire;
    struct gateway_load *load;
    uint64_t sent_ns;
    uint64_t chat; /* that it makes */
};

struct gateway_load {
    const struct gateway_target *target;
    struct measurement *measurement;
    FILE *err;
    uv_loop_t loop;
    struct connection_slot *slots;     /* owned */
    char (*chat_ids)[UUID_TEXT_BYTES]; /* owned */
    uint64_t opened;
    uint64_t asked; /* chats */
    uint64_t made;
    uint64_t number; /* of the next message */
    bool failed;
    bool ending;
    struct chooser chooser;
    char *request; /* owned */
    size_t request_size;
    char *client_number; /* within the request */
    char *chat_id;
};

static void end_all(struct gateway_load *load)
{
    load->ending = true;
    for (uint64_t i = 0; i < load->target->connections; i++)
        http_wire_close(&load->slots[i].wire);
}

static void give_up(struct gateway_load *load, const char *what, const char *detail,
                    size_t detail_size)
{
    if (load->failed || load->ending)
        return;
    load->failed = true;
    fprintf(load->err, BENCH_PROGRAM ": %s: %.*s\n", what, (int)detail_size, detail);
    end_all(load);
}

/* ---- The load ---- */

static void send_next(struct connection_slot *slot)
{
    struct gateway_load *load = slot->load;

    template_put_number(load->client_number, load->number++);
    memcpy(load->chat_id, load->chat_ids[chooser_next(&load->chooser)], UUID_TEXT_BYTES);
    slot->sent_ns = engine_now_ns();
    http_wire_write(&slot->wire, load->request, load->request_size);
}

static void on_sent(struct connection_slot *slot, int code, const char *body, size_t size)
{
    static const char fresh[] = "\"duplicate\":false";
    struct gateway_load *load = slot->load;
    struct measurement *m = load->measurement;
    uint64_t now_ns = engine_now_ns();

    if (code != 200)
        measurement_fail(m, slot->sent_ns, code);
    else if (memmem(body, size, fresh, sizeof fresh - 1) == NULL)
        measurement_fail(m, slot->sent_ns, ENGINE_BAD_REPLY);
    else
        measurement_record(m, BENCH_SEND, slot->sent_ns, now_ns, size, 0);
    if (now_ns >= m->end_ns)
        end_all(load);
    else
        send_next(slot);
}

static void begin_load(struct gateway_load *load)
{
    struct measurement *m = load->measurement;

    m->begin_ns = engine_now_ns() + load->target->warmup_ms * 1000000;
    m->end_ns = m->begin_ns + load->target->duration_ms * 1000000;
    for (uint64_t i = 0; i < load->target->connections; i++)
        send_next(&load->slots[i]);
}

/* ---- Chats ---- */

static void make_next_chat(struct connection_slot *slot)
{
    struct gateway_load *load = slot->load;
    char body[SMALL_BYTES];
    char request[2 * SMALL_BYTES];
    int body_size;
    size_t size;

    if (load->asked == load->target->chats)
        return;
    slot->chat = load->asked++;
    body_size =
        snprintf(body, sizeof body, "{\"user_ids\":[\"" TEMPLATE_USER "\",\"gateway%llu\"]}",
                 (unsigned long long)slot->chat);
    size = gateway_put_post(load->target, "/chat/New", body, (size_t)body_size, request,
                            sizeof request);
    http_wire_write(&slot->wire, request, size);
}

static void on_made(struct connection_slot *slot, int code, const char *body, size_t size)
{
    struct gateway_load *load = slot->load;
    const char *id = code == 200 ? gateway_find_chat_id(body, size) : NULL;

    if (id == NULL) {
        give_up(load, "the gateway makes no chat", body, size);
        return;
    }
    memcpy(load->chat_ids[slot->chat], id, UUID_TEXT_BYTES);
    if (++load->made == load->target->chats)
        begin_load(load);
    else
        make_next_chat(slot);
}

/* ---- Connections ---- */

static void on_opened(struct http_wire *wire)
{
    struct gateway_load *load = ((struct connection_slot *)wire->data)->load;

    if (++load->opened < load->target->connections)
        return;
    for (uint64_t i = 0; i < load->target->connections; i++)
        make_next_chat(&load->slots[i]);
}

static void on_answered(struct http_wire *wire, int code, const char *body, size_t size)
{
    struct connection_slot *slot = wire->data;

    if (slot->load->made < slot->load->target->chats)
        on_made(slot, code, body, size);
    else
        on_sent(slot, code, body, size);
}

static void on_closed(struct http_wire *wire, const char *why)
{
    struct connection_slot *slot = wire->data;

    if (why != NULL)
        give_up(slot->load, "a connection to the gateway ended", why, strlen(why));
}

static const struct http_wire_handlers handlers = {
    .opened = on_opened, .answered = on_answered, .closed = on_closed};

/* ---- The request ---- */

static int make_request(struct gateway_load *load)
{
    const struct gateway_target *t = load->target;
    size_t text = (size_t)t->text_bytes;
    char *body = malloc(text + SMALL_BYTES);
    char id[UUID_TEXT_BYTES + 1] = {0};
    struct uuid uuid;
    int head;

    load->request = malloc(REQUEST_BYTES);
    if (body == NULL || load->request == NULL) {
        free(body);
        return -1;
    }
    uuid_make(&uuid);
    uuid_format(&uuid, id);
    head = snprintf(body, SMALL_BYTES,
                    "{\"client_id\":\"%s\",\"chat_id\":\"%.*s\",\"user_id\":\"" TEMPLATE_USER
                    "\",\"text\":\"",
                    id, UUID_TEXT_BYTES, "00000000-0000-0000-0000-000000000000");
    memset(body + head, 'x', text);
    memcpy(body + head + text, "\"}", 2);
    load->request_size = gateway_put_post(t, "/chat/Send", body, (size_t)head + text + 2,
                                          load->request, REQUEST_BYTES);
    free(body);
    if (load->request_size == 0)
        return -1;
    load->client_number = (char *)memmem(load->request, load->request_size, id, UUID_TEXT_BYTES) +
                          TEMPLATE_PREFIX_BYTES;
    load->chat_id = (char *)memmem(load->request, load->request_size, "\"chat_id\":\"", 11) + 11;
    return 0;
}

/* ---- The run ---- */

static int prepare(struct gateway_load *load)
{
    const struct gateway_target *t = load->target;

    load->slots = calloc(t->connections, sizeof *load->slots);
    load->chat_ids = calloc(t->chats, sizeof *load->chat_ids);
    if (load->slots == NULL || load->chat_ids == NULL || make_request(load) != 0) {
        fputs(BENCH_PROGRAM ": out of memory\n", load->err);
        return -1;
    }
    chooser_init(&load->chooser, t->chats, 0, t->seed);
    /* Nothing counts before the load begins. */
    load->measurement->begin_ns = UINT64_MAX;
    return 0;
}

static void run(struct gateway_load *load)
{
    for (uint64_t i = 0; i < load->target->connections; i++) {
        struct connection_slot *slot = &load->slots[i];
        int status;

        slot->load = load;
        slot->wire.data = slot;
        status = http_wire_open(&slot->wire, &load->loop,
                                (const struct sockaddr *)&load->target->address, &handlers);
        if (status != 0) {
            fprintf(load->err, BENCH_PROGRAM ": no socket: %s\n", uv_strerror(status));
            exit(EXIT_FAILURE);
        }
    }
    uv_run(&load->loop, UV_RUN_DEFAULT);
}

int gateway_load_run(const struct gateway_target *target, struct measurement *measurement,
                     FILE *err)
{
    struct gateway_load load = {.target = target, .measurement = measurement, .err = err};

    if (uv_loop_init(&load.loop) != 0) {
        fputs(BENCH_PROGRAM ": no event loop\n", err);
        return -1;
    }
    load.failed = prepare(&load) != 0;
    measurement->client_cpu_s = -measurement_cpu_seconds();
    if (!load.failed)
        run(&load);
    measurement->client_cpu_s += measurement_cpu_seconds();
    uv_loop_close(&load.loop);
    free(load.slots);
    free(load.chat_ids);
    free(load.request);
    return load.failed ? -1 : 0;
}
