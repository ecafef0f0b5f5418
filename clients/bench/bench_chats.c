/*
 * Three passes over the chats, each of them repeated for those that failed until all are there:
 *
 *   New for each chat ─▶ History for each head ─▶ Send what is missing, a message for each in turn
 *
 * The last two only if the workload needs to know heads. Chat number n has the users "bench" and
 * "bench-<n>", so that the next run in the same namespace finds the same chats.
 */
#include "clients/bench/bench_chats.h"

#include "clients/bench/request_template.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PASSES_MAX 20
#define OUTSTANDING 1024
#define USER_PREFIX "bench-"

/* One pass: the next chat to ask for, and what became of the others. */
struct pass {
    struct chats *chats;
    const struct bench_settings *settings;
    struct new_template new_template;
    struct send_template *send_template;
    char subject[BENCH_SUBJECT_BYTES];
    uint8_t history[HISTORY_REQUEST_BYTES];
    uint64_t position;
    uint64_t wanted; /* of prefilling: messages still to be sent */
    uint64_t number;
    uint32_t *missing; /* of prefilling: by chat */
    uint64_t failures;
    int last_code;
    const char *what;
    uint64_t told_ns;
};

static void failed(void *data, const struct engine_request *request, uint64_t now_ns, int code)
{
    struct pass *pass = data;

    (void)request;
    (void)now_ns;
    pass->failures++;
    pass->last_code = code;
}

static void tick(void *data, uint64_t now_ns)
{
    struct pass *pass = data;

    if (!pass->settings->progress || now_ns - pass->told_ns < UINT64_C(1000000000))
        return;
    pass->told_ns = now_ns;
    fprintf(stderr, "\r\033[K%s: chat %" PRIu64 " of %" PRIu64, pass->what,
            pass->position < pass->chats->count ? pass->position : pass->chats->count,
            pass->chats->count);
}

/* ---- New ---- */

static bool next_new(void *data, struct engine_request *request, struct engine_message *message)
{
    struct pass *pass = data;
    struct chats *chats = pass->chats;

    while (pass->position < chats->count && chats->ids[pass->position][0] != '\0')
        pass->position++;
    if (pass->position == chats->count)
        return false;
    request->chat = (uint32_t)pass->position++;
    new_template_set(&pass->new_template, request->chat);
    *message =
        (struct engine_message){pass->subject, pass->new_template.bytes, pass->new_template.size};
    return true;
}

static int replied_new(void *data, const struct engine_request *request, uint64_t now_ns,
                       const uint8_t *bytes, size_t size)
{
    struct pass *pass = data;
    bool created;

    (void)now_ns;
    if (!reply_read_new(bytes, size, pass->chats->ids[request->chat], &created))
        return ENGINE_BAD_REPLY;
    return 0;
}

/* ---- Heads ---- */

static bool next_head(void *data, struct engine_request *request, struct engine_message *message)
{
    struct pass *pass = data;
    struct chats *chats = pass->chats;

    while (pass->position < chats->count && chats->heads[pass->position] != UINT32_MAX)
        pass->position++;
    if (pass->position == chats->count)
        return false;
    request->chat = (uint32_t)pass->position++;
    size_t size = history_request_put(pass->history, chats->ids[request->chat], 0, 1);
    *message = (struct engine_message){pass->subject, pass->history, size};
    return true;
}

static int replied_head(void *data, const struct engine_request *request, uint64_t now_ns,
                        const uint8_t *bytes, size_t size)
{
    struct pass *pass = data;
    struct reply_history reply;

    (void)now_ns;
    if (!reply_read_history(bytes, size, &reply, NULL, NULL) || reply.head_seq >= UINT32_MAX)
        return ENGINE_BAD_REPLY;
    pass->chats->heads[request->chat] = (uint32_t)reply.head_seq;
    return 0;
}

/* ---- Sends ---- */

static bool next_send(void *data, struct engine_request *request, struct engine_message *message)
{
    struct pass *pass = data;
    struct chats *chats = pass->chats;

    if (pass->wanted == 0)
        return false;
    while (pass->missing[pass->position % chats->count] == 0)
        pass->position++;
    request->chat = (uint32_t)(pass->position++ % chats->count);
    pass->missing[request->chat]--;
    pass->wanted--;
    send_template_set(pass->send_template, chats->ids[request->chat], pass->number++);
    *message = (struct engine_message){pass->subject, pass->send_template->bytes,
                                       pass->send_template->size};
    return true;
}

static int replied_send(void *data, const struct engine_request *request, uint64_t now_ns,
                        const uint8_t *bytes, size_t size)
{
    struct reply_send reply;

    (void)data;
    (void)request;
    (void)now_ns;
    return reply_read_send(bytes, size, &reply) ? 0 : ENGINE_BAD_REPLY;
}

/* ---- Passes ---- */

static int give_up(const struct pass *pass, FILE *err)
{
    char code[16];

    if (pass->last_code == 0)
        fprintf(err, BENCH_PROGRAM ": %s: interrupted\n", pass->what);
    else
        fprintf(err,
                BENCH_PROGRAM ": %s: %" PRIu64 " requests on %s failed, the last with %s; is the "
                              "service running?\n",
                pass->what, pass->failures, pass->subject, engine_code_text(pass->last_code, code));
    return -1;
}

/* Runs the pass until nothing of it fails any more. */
static int run_pass(struct pass *pass, struct engine *engine, const struct engine_source *source,
                    enum bench_kind kind, FILE *err)
{
    const struct engine_pace pace = {.outstanding = OUTSTANDING,
                                     .timeout_ns = pass->settings->timeout_ms * 1000000};
    uint64_t began_ns;

    bench_subject("chat", kind, pass->settings->namespace_name, pass->subject);
    for (int i = 0; i < PASSES_MAX; i++) {
        pass->position = 0;
        pass->failures = 0;
        pass->last_code = 0;
        if (!engine_run(engine, source, &pace, &began_ns))
            break;
        if (pass->failures == 0)
            return 0;
        /* Nobody there is not going to change; too much at once is. */
        if (pass->last_code == ENGINE_NO_RESPONDERS)
            break;
    }
    return give_up(pass, err);
}

static int make_chats(struct pass *pass, struct engine *engine, FILE *err)
{
    const struct engine_source source = {
        .data = pass, .next = next_new, .replied = replied_new, .failed = failed, .tick = tick};

    new_template_init(&pass->new_template, USER_PREFIX);
    pass->what = "making chats";
    return run_pass(pass, engine, &source, BENCH_NEW, err);
}

static int read_heads(struct pass *pass, struct engine *engine, FILE *err)
{
    const struct engine_source source = {
        .data = pass, .next = next_head, .replied = replied_head, .failed = failed, .tick = tick};

    for (uint64_t i = 0; i < pass->chats->count; i++)
        pass->chats->heads[i] = UINT32_MAX;
    pass->what = "reading heads";
    return run_pass(pass, engine, &source, BENCH_HISTORY, err);
}

static void count_missing(struct pass *pass)
{
    uint64_t prefill = pass->settings->prefill;

    pass->wanted = 0;
    for (uint64_t i = 0; i < pass->chats->count; i++) {
        uint32_t head = pass->chats->heads[i];
        pass->missing[i] = head < prefill ? (uint32_t)(prefill - head) : 0;
        pass->wanted += pass->missing[i];
    }
}

/* What failed is unknown, so the heads decide what is still missing. */
static int fill_chats(struct pass *pass, struct engine *engine, FILE *err)
{
    const struct engine_source source = {
        .data = pass, .next = next_send, .replied = replied_send, .failed = failed, .tick = tick};
    int status = read_heads(pass, engine, err);

    while (status == 0) {
        count_missing(pass);
        if (pass->wanted == 0)
            return 0;
        pass->what = "filling chats";
        status = run_pass(pass, engine, &source, BENCH_SEND, err);
        if (status == 0)
            status = read_heads(pass, engine, err);
    }
    return status;
}

static int fill_with_template(struct pass *pass, struct engine *engine, FILE *err)
{
    int status = -1;

    pass->send_template = malloc(sizeof *pass->send_template);
    pass->missing = calloc(pass->chats->count, sizeof *pass->missing);
    if (pass->send_template == NULL || pass->missing == NULL) {
        fputs(BENCH_PROGRAM ": out of memory\n", err);
    } else {
        send_template_init(pass->send_template, (size_t)pass->settings->text_bytes);
        status = fill_chats(pass, engine, err);
    }
    free(pass->send_template);
    free(pass->missing);
    return status;
}

int chats_prepare(struct chats *chats, struct engine *engine, const struct bench_settings *settings,
                  FILE *err)
{
    struct pass pass = {.chats = chats, .settings = settings, .told_ns = engine_now_ns()};
    int status;

    chats->count = settings->chats;
    chats->ids = calloc(chats->count, sizeof *chats->ids);
    chats->heads = calloc(chats->count, sizeof *chats->heads);
    if (chats->ids == NULL || chats->heads == NULL) {
        fputs(BENCH_PROGRAM ": out of memory\n", err);
        return -1;
    }
    if (settings->shares[BENCH_JETSTREAM] > 0)
        return 0;
    status = make_chats(&pass, engine, err);
    if (status == 0 && (settings->prefill > 0 || settings->deep))
        status = fill_with_template(&pass, engine, err);
    if (settings->progress)
        fputs("\r\033[K", stderr);
    return status;
}

void chats_free(struct chats *chats)
{
    free(chats->ids);
    free(chats->heads);
    *chats = (struct chats){0};
}
