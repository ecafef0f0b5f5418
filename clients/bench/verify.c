/*
 * Every chat is read from seq 1 on, page by page; several chats at a time, and each of them in
 * order. A chat waits on a stack until its next page can be asked for.
 *
 * A message of this run is known by its client id, which has its number; the acknowledgement with
 * that number says where it must be.
 */
#include "clients/bench/verify.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_MESSAGES 1000
#define OUTSTANDING 32
#define TRIES_MAX 50

struct reading {
    struct verification *verification;
    const struct load *load;
    uint32_t *ready; /* chats, a stack */
    uint64_t ready_count;
    uint64_t *next_seqs; /* by chat */
    uint8_t *tries;      /* by chat: failures since the last page */
    uint8_t *seen;       /* by number: whether it has been found */
    uint32_t chat;       /* of the page that is being read */
    char subject[BENCH_SUBJECT_BYTES];
    uint8_t history[HISTORY_REQUEST_BYTES];
    uint64_t told_ns;
};

/* ---- One message ---- */

static bool text_is_right(const struct load *load, const struct reply_message *message)
{
    const struct send_template *t = &load->send_template;
    const uint8_t *text = t->bytes + t->size - t->text_bytes;
    size_t numbered = t->text == NULL ? 0 : TEMPLATE_NUMBER_BYTES;

    return message->text_bytes == t->text_bytes &&
           memcmp(message->text, message->client_id + TEMPLATE_PREFIX_BYTES, numbered) == 0 &&
           memcmp(message->text + numbered, text + numbered, t->text_bytes - numbered) == 0;
}

/* Whether the message is of this run, and which. */
static bool number_of(const struct load *load, const struct reply_message *message,
                      uint64_t *number)
{
    return message->client_id_bytes == UUID_TEXT_BYTES &&
           memcmp(message->client_id, load->send_template.prefix, TEMPLATE_PREFIX_BYTES) == 0 &&
           template_get_number(message->client_id + TEMPLATE_PREFIX_BYTES, number);
}

static void check_message(struct reading *reading, const struct reply_message *message,
                          uint64_t number)
{
    struct verification *v = reading->verification;
    const struct acks *acks = &reading->load->acks;

    v->altered += !text_is_right(reading->load, message);
    if (number >= acks->capacity || acks->entries[number].seq == 0) {
        v->unacknowledged++;
        return;
    }
    v->repeated += reading->seen[number];
    reading->seen[number] = 1;
    v->misplaced +=
        acks->entries[number].chat != reading->chat || acks->entries[number].seq != message->seq;
}

static bool take_message(void *data, const uint8_t *bytes, size_t size)
{
    struct reading *reading = data;
    struct reply_message message;
    uint64_t number;

    if (!reply_read_message(bytes, size, &message))
        return false;
    reading->verification->read++;
    reading->verification->gaps += message.seq != reading->next_seqs[reading->chat];
    reading->next_seqs[reading->chat] = message.seq + 1;
    if (number_of(reading->load, &message, &number))
        check_message(reading, &message, number);
    return true;
}

/* ---- Pages ---- */

static bool next(void *data, struct engine_request *request, struct engine_message *message)
{
    struct reading *reading = data;

    if (reading->ready_count == 0)
        return false;
    request->chat = reading->ready[--reading->ready_count];
    size_t size = history_request_put(reading->history, reading->load->chats->ids[request->chat],
                                      reading->next_seqs[request->chat], PAGE_MESSAGES);
    *message = (struct engine_message){reading->subject, reading->history, size};
    return true;
}

static int replied(void *data, const struct engine_request *request, uint64_t now_ns,
                   const uint8_t *bytes, size_t size)
{
    struct reading *reading = data;
    struct reply_history page;

    (void)now_ns;
    reading->chat = request->chat;
    if (!reply_read_history(bytes, size, &page, take_message, reading))
        return ENGINE_BAD_REPLY;
    reading->tries[request->chat] = 0;
    if (page.more)
        reading->ready[reading->ready_count++] = request->chat;
    else
        reading->verification->gaps += reading->next_seqs[request->chat] != page.head_seq + 1;
    return 0;
}

static void failed(void *data, const struct engine_request *request, uint64_t now_ns, int code)
{
    struct reading *reading = data;

    (void)now_ns;
    /* A page that does not decode will not get better. */
    if (code == ENGINE_BAD_REPLY || ++reading->tries[request->chat] == TRIES_MAX)
        reading->verification->unread_chats++;
    else
        reading->ready[reading->ready_count++] = request->chat;
}

static void tick(void *data, uint64_t now_ns)
{
    struct reading *reading = data;

    if (!reading->load->settings->progress || now_ns - reading->told_ns < UINT64_C(1000000000))
        return;
    reading->told_ns = now_ns;
    fprintf(stderr, "\r\033[Kverifying: %" PRIu64 " messages read", reading->verification->read);
}

static void read_all(struct reading *reading, struct engine *engine)
{
    const struct engine_source source = {
        .data = reading, .next = next, .replied = replied, .failed = failed, .tick = tick};
    const struct engine_pace pace = {.outstanding = OUTSTANDING,
                                     .timeout_ns = reading->load->settings->timeout_ms * 1000000};
    uint64_t began_ns;

    bench_subject("chat", BENCH_HISTORY, reading->load->settings->namespace_name, reading->subject);
    for (uint64_t i = 0; i < reading->load->chats->count; i++) {
        reading->ready[reading->ready_count++] = (uint32_t)i;
        reading->next_seqs[i] = 1;
    }
    if (!engine_run(engine, &source, &pace, &began_ns))
        reading->verification->unread_chats += reading->ready_count;
    if (reading->load->settings->progress)
        fputs("\r\033[K", stderr);
}

int verify_run(struct verification *verification, const struct load *load, struct engine *engine,
               FILE *err)
{
    uint64_t chats = load->chats->count;
    struct reading reading = {.verification = verification, .load = load};
    int status = -1;

    *verification = (struct verification){.acknowledged = load->acks.count,
                                          .out_of_order = load->acks.out_of_order};
    reading.ready = calloc(chats, sizeof *reading.ready);
    reading.next_seqs = calloc(chats, sizeof *reading.next_seqs);
    reading.tries = calloc(chats, 1);
    reading.seen = calloc(load->acks.capacity + 1, 1);
    if (reading.ready == NULL || reading.next_seqs == NULL || reading.tries == NULL ||
        reading.seen == NULL) {
        fputs(BENCH_PROGRAM ": out of memory\n", err);
    } else {
        read_all(&reading, engine);
        for (uint64_t i = 0; i < load->acks.capacity; i++)
            verification->missing += load->acks.entries[i].seq != 0 && !reading.seen[i];
        status = 0;
    }
    free(reading.ready);
    free(reading.next_seqs);
    free(reading.tries);
    free(reading.seen);
    return status;
}

bool verification_passed(const struct verification *v)
{
    return v->missing == 0 && v->repeated == 0 && v->misplaced == 0 && v->altered == 0 &&
           v->gaps == 0 && v->out_of_order == 0 && v->unread_chats == 0;
}
