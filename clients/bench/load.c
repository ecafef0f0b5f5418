/*
 * For each request: choose a kind, choose a chat, patch the template. For each reply: is it one,
 * and what did it take. Only with --verify is a Send's reply read further, for the seq.
 */
#include "clients/bench/load.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define SECOND_NS UINT64_C(1000000000)
#define JETSTREAM_PREFIX "chatbench."

/* ---- Acknowledgements ---- */

static void acks_put(struct acks *acks, const struct engine_request *request, uint32_t seq)
{
    if (request->number >= acks->capacity) {
        uint64_t capacity = 2 * request->number + 65536;
        struct ack *entries = realloc(acks->entries, capacity * sizeof *entries);
        if (entries == NULL) {
            fputs(BENCH_PROGRAM ": out of memory\n", stderr);
            exit(EXIT_FAILURE);
        }
        memset(entries + acks->capacity, 0, (capacity - acks->capacity) * sizeof *entries);
        acks->entries = entries;
        acks->capacity = capacity;
    }
    acks->entries[request->number] = (struct ack){request->chat, seq};
    acks->count++;
    /* What was acknowledged before this one was sent came before it. */
    acks->out_of_order += seq <= request->floor;
    if (seq > acks->highest_seqs[request->chat])
        acks->highest_seqs[request->chat] = seq;
}

/* ---- Requests ---- */

static enum bench_kind choose_kind(struct load *load)
{
    const double *shares = load->settings->shares;
    double point;

    for (int kind = 0; kind < BENCH_KINDS; kind++)
        if (shares[kind] >= 1)
            return (enum bench_kind)kind;
    point = random_fraction(&load->random);
    for (int kind = 0; kind < BENCH_KINDS; kind++) {
        if (point < shares[kind])
            return (enum bench_kind)kind;
        point -= shares[kind];
    }
    return BENCH_SEND;
}

static uint64_t choose_page(struct load *load, uint32_t chat)
{
    uint64_t head = load->chats->heads[chat];
    uint64_t limit = load->settings->limit;

    if (!load->settings->deep)
        return 0;
    return 1 + (head > limit ? random_below(&load->random, head - limit + 1) : 0);
}

static void put_request(struct load *load, struct engine_request *request,
                        struct engine_message *message)
{
    const char *id = load->chats->ids[request->chat];

    switch ((enum bench_kind)request->kind) {
    case BENCH_NEW:
        new_template_set(&load->new_template, request->number);
        message->bytes = load->new_template.bytes;
        message->size = load->new_template.size;
        break;
    case BENCH_HISTORY:
        message->bytes = load->history;
        message->size = history_request_put(load->history, id, choose_page(load, request->chat),
                                            load->settings->limit);
        break;
    case BENCH_JETSTREAM:
        template_put_number(load->jetstream_number, request->chat);
        /* fall through */
    default:
        send_template_set(&load->send_template, id, request->number);
        message->bytes = load->send_template.bytes;
        message->size = load->send_template.size;
    }
}

/* The engine has just said when it began. */
static void begin_window(struct load *load)
{
    const struct bench_settings *s = load->settings;
    struct measurement *m = load->measurement;

    m->begin_ns = load->began_ns + s->warmup_ms * 1000000;
    m->end_ns = s->count > 0 ? UINT64_MAX : m->begin_ns + s->duration_ms * 1000000;
}

static bool next(void *data, struct engine_request *request, struct engine_message *message)
{
    struct load *load = data;

    if (load->measurement->begin_ns == UINT64_MAX)
        begin_window(load);
    if (request->due_ns >= load->measurement->begin_ns) {
        if (load->settings->count > 0 && load->measured == load->settings->count)
            return false;
        load->measured++;
    }
    request->kind = (int)choose_kind(load);
    request->chat = (uint32_t)chooser_next(&load->chooser);
    request->number = load->next_number++;
    if (load->acks.highest_seqs != NULL)
        request->floor = load->acks.highest_seqs[request->chat];
    message->subject = load->subjects[request->kind];
    put_request(load, request, message);
    return true;
}

/* ---- Replies ---- */

static int check_send(struct load *load, const struct engine_request *request, const uint8_t *bytes,
                      size_t size)
{
    struct reply_message stored;
    struct reply_send reply;

    if (!reply_read_send(bytes, size, &reply))
        return ENGINE_BAD_REPLY;
    if (reply.duplicate)
        return ENGINE_DUPLICATE;
    if (load->acks.highest_seqs == NULL || !load->is_service)
        return 0;
    if (!reply_read_message(reply.message, reply.message_bytes, &stored) || stored.seq > UINT32_MAX)
        return ENGINE_BAD_REPLY;
    acks_put(&load->acks, request, (uint32_t)stored.seq);
    return 0;
}

/* JetStream says {"stream":"…","seq":7}, or {"error":…}. */
static int check_jetstream(const uint8_t *bytes, size_t size)
{
    return memmem(bytes, size, "\"seq\":", 6) != NULL ? 0 : ENGINE_BAD_REPLY;
}

static int check(struct load *load, const struct engine_request *request, const uint8_t *bytes,
                 size_t size, uint64_t *messages)
{
    struct reply_history page;
    struct reply_send reply;

    switch ((enum bench_kind)request->kind) {
    case BENCH_SEND:
        return check_send(load, request, bytes, size);
    case BENCH_HISTORY:
        if (!reply_read_history(bytes, size, &page, NULL, NULL))
            return ENGINE_BAD_REPLY;
        *messages = page.messages;
        return 0;
    case BENCH_NEW: /* field 1 is the chat's id, as it is the message of a Send's reply */
        return reply_read_send(bytes, size, &reply) ? 0 : ENGINE_BAD_REPLY;
    default:
        return check_jetstream(bytes, size);
    }
}

static int replied(void *data, const struct engine_request *request, uint64_t now_ns,
                   const uint8_t *bytes, size_t size)
{
    struct load *load = data;
    uint64_t messages = 0;
    int code = check(load, request, bytes, size, &messages);

    load->last_reply_ns = now_ns;
    if (code == 0)
        measurement_record(load->measurement, (enum bench_kind)request->kind, request->due_ns,
                           now_ns, size, messages);
    return code;
}

static void failed(void *data, const struct engine_request *request, uint64_t now_ns, int code)
{
    struct load *load = data;

    (void)now_ns;
    measurement_fail(load->measurement, request->due_ns, code);
}

/* ---- Progress ---- */

static void tick(void *data, uint64_t now_ns)
{
    struct load *load = data;
    const struct measurement *m = load->measurement;
    double passed_s = (double)(now_ns - load->told_ns) / (double)SECOND_NS;

    if (!load->settings->progress || passed_s < 1)
        return;
    if (m->completed == 0)
        fprintf(stderr, "\r\033[K%s: warming up", m->target);
    else
        fprintf(stderr,
                "\r\033[K%s: %.0f s, %.0f/s now, %" PRIu64 " in all, p99 %.3f ms, %" PRIu64
                " errors",
                m->target, (double)(now_ns - m->begin_ns) / (double)SECOND_NS,
                (double)(m->completed - load->told_completed) / passed_s, m->completed,
                (double)histogram_percentile(&m->latency, 0.99) / 1e6, m->errors);
    load->told_ns = now_ns;
    load->told_completed = m->completed;
}

/* ---- Runs ---- */

static void set_subjects(struct load *load, const char *prefix)
{
    for (int kind = 0; kind < BENCH_JETSTREAM; kind++)
        bench_subject(prefix, (enum bench_kind)kind, load->settings->namespace_name,
                      load->subjects[kind]);
    snprintf(load->subjects[BENCH_JETSTREAM], BENCH_SUBJECT_BYTES, "%s%012d", JETSTREAM_PREFIX, 0);
    load->jetstream_number = load->subjects[BENCH_JETSTREAM] + strlen(JETSTREAM_PREFIX);
}

/* When it was cut short, the window ends with the last reply. */
static void end_window(struct load *load, bool whole)
{
    struct measurement *m = load->measurement;
    const struct bench_settings *s = load->settings;

    if (!whole || s->count > 0)
        m->end_ns = load->last_reply_ns > m->begin_ns ? load->last_reply_ns : m->begin_ns;
}

bool load_run(struct load *load, struct engine *engine, const char *prefix,
              struct measurement *measurement)
{
    const struct bench_settings *s = load->settings;
    const struct engine_source source = {
        .data = load, .next = next, .replied = replied, .failed = failed, .tick = tick};
    const struct engine_pace pace = {
        .outstanding = (size_t)s->outstanding,
        .rate = (double)s->rate,
        .duration_ns = s->count > 0 ? 0 : (s->warmup_ms + s->duration_ms) * 1000000,
        .timeout_ns = s->timeout_ms * 1000000};
    bool whole;

    set_subjects(load, prefix);
    load->measurement = measurement;
    load->is_service = strcmp(prefix, "chat") == 0;
    load->measured = 0;
    load->last_reply_ns = 0;
    load->told_completed = 0;
    load->told_ns = engine_now_ns();
    measurement->begin_ns = UINT64_MAX;
    measurement->client_cpu_s = -measurement_cpu_seconds();
    whole = engine_run(engine, &source, &pace, &load->began_ns);
    measurement->client_cpu_s += measurement_cpu_seconds();
    end_window(load, whole);
    if (s->progress)
        fputs("\r\033[K", stderr);
    return whole;
}

struct load *load_new(const struct bench_settings *settings, const struct chats *chats)
{
    struct load *load = calloc(1, sizeof *load);
    char user_prefix[TEMPLATE_PREFIX_BYTES + 1];

    if (load == NULL)
        return NULL;
    load->settings = settings;
    load->chats = chats;
    chooser_init(&load->chooser, chats->count, settings->zipf, settings->seed);
    random_seed(&load->random, settings->seed + 1);
    send_template_init(&load->send_template, (size_t)settings->text_bytes);
    /* Users that nobody has asked for yet, so that each New makes a chat. */
    memcpy(user_prefix, load->send_template.prefix, TEMPLATE_PREFIX_BYTES);
    user_prefix[TEMPLATE_PREFIX_BYTES] = '\0';
    new_template_init(&load->new_template, user_prefix);
    if (settings->verify) {
        load->acks.highest_seqs = calloc(chats->count, sizeof *load->acks.highest_seqs);
        if (load->acks.highest_seqs == NULL) {
            free(load);
            return NULL;
        }
    }
    return load;
}

void load_free(struct load *load)
{
    if (load == NULL)
        return;
    free(load->acks.entries);
    free(load->acks.highest_seqs);
    free(load);
}
