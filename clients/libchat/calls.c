/*
 *     WAITING ──(connection, pause over)──▶ SENT ──(reply)──▶ ended: the callback
 *        ▲                                   │
 *        └──(no reply in time, connection ───┤
 *            lost, nobody there, 503, 507)   └──(refused, not permitted)──▶ ended
 *
 * and from both to the end, when the deadline has come or the caller cancels.
 *
 * Replies come in on one subscription, <prefix>.<client>.*; the last token names the slot of the
 * call and how often the slot has been used, so that a late reply finds its own call or none. All
 * attempts of a call share it: the reply to the first one is as good as that to the second.
 *
 * One timer for all, which runs while there are calls and looks at each of them, 50 times a
 * second: deadlines and pauses need no more precision, and an answered call costs no timer.
 */
#include "clients/libchat/calls.h"

#include "base/trace.h"
#include "base/uuid.h"
#include "clients/libchat/backoff.h"
#include "clients/libchat/wire_form.h"
#include "proto/utf8.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_MS 20
#define DEFAULT_TIMEOUT_MS 10000
/* Long enough for a slow disk, and short enough that the default deadline allows a few. */
#define DEFAULT_ATTEMPT_MS 3000
/* With less time left than this, another attempt could only make a clear failure unclear. */
#define WORTHWHILE_MS 100
#define PREFIX_BYTES 256
#define REPLY_BYTES (PREFIX_BYTES + 64)
#define ID_BYTES 128
#define DETAIL_BYTES 512
#define NO_SLOT UINT32_MAX

enum entry_state { ENTRY_WAITING, ENTRY_SENT };

/* Texts that every call would have if it ended now, and nearly none needs: put into words then. */
enum entry_text { TEXT_DETAIL, TEXT_NO_CONNECTION, TEXT_NO_REPLY };

struct calls_entry {
    struct calls *calls;
    struct chat_call *call;
    enum calls_method method;
    enum entry_state state;
    bool patient;
    bool refusals_are_final;
    bool maybe_done;
    bool cancelled;
    bool is_unheard; /* to be tried later, in the walk that is going on */
    unsigned failures;
    uint64_t deadline_ms; /* UINT64_MAX: none */
    uint64_t due_ms;      /* waiting: not before; sent: no reply after this */
    uint32_t slot;
    struct calls_entry *next;
    struct calls_entry *previous;
    int failure; /* the status, were this the end */
    enum entry_text text;
    int code;
    char error[ID_BYTES];
    char detail[DETAIL_BYTES];
    char subject[ADDRESS_SUBJECT_BYTES];
    char acting_user[ID_BYTES + 1];
    char traceparent[TRACE_PARENT_BYTES];
    size_t size;
    uint8_t bytes[];
};

struct slot {
    struct calls_entry *entry;
    uint32_t uses;
    uint32_t next_free;
};

struct calls {
    struct connection *connection;
    uv_timer_t tick;
    uint64_t attempt_timeout_ms;
    struct calls_entry *first;
    struct calls_entry *last;
    struct calls_entry *next; /* of the walk that is going on */
    struct slot *slots;
    uint32_t slot_count;
    uint32_t free_slot;
    char prefix[PREFIX_BYTES]; /* with the client's own token and the last dot */
    size_t prefix_size;
    char replies[PREFIX_BYTES + 1];
    struct connection_subscription subscription;
    bool ticking;
    bool unclear;   /* on this connection a request was given up whose answer may still come */
    size_t sent;    /* entries in that state */
    size_t unheard; /* requests of those that nobody was there for, as the broker said */
    void (*closed)(void *data);
    void *closed_data;
};

/* Not the loop's idea of now, which is old before the loop runs and in a long callback. */
static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- Slots ---- */

static int grow_slots(struct calls *calls)
{
    uint32_t count = calls->slot_count == 0 ? 64 : calls->slot_count * 2;
    struct slot *slots = realloc(calls->slots, count * sizeof *slots);

    if (slots == NULL)
        return -1;
    for (uint32_t i = calls->slot_count; i < count; i++)
        slots[i] = (struct slot){.next_free = i + 1 < count ? i + 1 : NO_SLOT};
    calls->free_slot = calls->slot_count;
    calls->slots = slots;
    calls->slot_count = count;
    return 0;
}

static int take_slot(struct calls *calls, struct calls_entry *entry)
{
    if (calls->free_slot == NO_SLOT && grow_slots(calls) != 0)
        return -1;
    entry->slot = calls->free_slot;
    calls->free_slot = calls->slots[entry->slot].next_free;
    calls->slots[entry->slot].entry = entry;
    calls->slots[entry->slot].uses++;
    return 0;
}

static void give_slot(struct calls *calls, uint32_t slot)
{
    calls->slots[slot].entry = NULL;
    calls->slots[slot].next_free = calls->free_slot;
    calls->free_slot = slot;
}

/* In hexadecimal, with what follows behind it. */
static char *put_number(char *out, uint32_t number, char behind)
{
    int shift = 28;

    while (shift > 0 && number >> shift == 0)
        shift -= 4;
    for (; shift >= 0; shift -= 4)
        *out++ = "0123456789abcdef"[number >> shift & 0xf];
    *out = behind;
    return out + 1;
}

/* Behind the number and `behind`; NULL when there is none as put_number writes it. */
static const char *take_number(const char *text, uint32_t *number, char behind)
{
    const char *first = text;

    *number = 0;
    for (; text - first < 8; text++) {
        if (*text >= '0' && *text <= '9')
            *number = *number << 4 | (uint32_t)(*text - '0');
        else if (*text >= 'a' && *text <= 'f')
            *number = *number << 4 | (uint32_t)(*text - 'a' + 10);
        else
            break;
    }
    return text > first && *text == behind ? text + 1 : NULL;
}

static void reply_subject(const struct calls_entry *entry, char subject[REPLY_BYTES])
{
    const struct calls *calls = entry->calls;
    char *out = subject + calls->prefix_size;

    memcpy(subject, calls->prefix, calls->prefix_size);
    put_number(put_number(out, entry->slot, '-'), calls->slots[entry->slot].uses, '\0');
}

static struct calls_entry *find_entry(const struct calls *calls, const char *subject)
{
    const char *token = subject + calls->prefix_size;
    uint32_t slot;
    uint32_t uses;

    if (strncmp(subject, calls->prefix, calls->prefix_size) != 0 ||
        (token = take_number(token, &slot, '-')) == NULL ||
        take_number(token, &uses, '\0') == NULL || slot >= calls->slot_count ||
        calls->slots[slot].uses != uses)
        return NULL;
    return calls->slots[slot].entry;
}

static void set_state(struct calls_entry *entry, enum entry_state state)
{
    struct calls *calls = entry->calls;

    calls->sent += (size_t)(state == ENTRY_SENT) - (size_t)(entry->state == ENTRY_SENT);
    entry->state = state;
    if (calls->sent == 0)
        calls->unheard = 0;
}

/* ---- The end of a call ---- */

static void unlink_entry(struct calls *calls, struct calls_entry *entry)
{
    if (calls->next == entry)
        calls->next = entry->next;
    if (entry->previous != NULL)
        entry->previous->next = entry->next;
    else
        calls->first = entry->next;
    if (entry->next != NULL)
        entry->next->previous = entry->previous;
    else
        calls->last = entry->previous;
    give_slot(calls, entry->slot);
}

static const char *detail_of(struct calls_entry *entry)
{
    if (entry->text == TEXT_NO_CONNECTION)
        snprintf(entry->detail, sizeof entry->detail, "there is no connection to the broker at %s",
                 connection_urls(entry->calls->connection));
    else if (entry->text == TEXT_NO_REPLY)
        snprintf(entry->detail, sizeof entry->detail, "no reply on %s from the service",
                 entry->subject);
    return entry->detail;
}

/* The status, code, error and detail are the entry's; the result is in the call. */
static void finish(struct calls_entry *entry, int status)
{
    struct chat_call *call = entry->call;

    entry->calls->unclear |= entry->state == ENTRY_SENT;
    set_state(entry, ENTRY_WAITING);
    unlink_entry(entry->calls, entry);
    call->status = status;
    call->maybe_done = entry->maybe_done;
    call->code = status == CHAT_EREFUSED ? entry->code : 0;
    call->error = status == CHAT_EREFUSED ? entry->error : "";
    call->detail = status == CHAT_OK ? "" : detail_of(entry);
    call->internal = NULL;
    call->cb(call);
    free(entry);
}

/* Notes what would be said if this were the end. */
__attribute__((format(printf, 3, 4))) static void note_failure(struct calls_entry *entry,
                                                               int status, const char *format, ...)
{
    va_list arguments;

    entry->failure = status;
    entry->text = TEXT_DETAIL;
    va_start(arguments, format);
    vsnprintf(entry->detail, sizeof entry->detail, format, arguments);
    va_end(arguments);
}

/* Another attempt after a pause, unless the time is nearly up. */
static void try_later(struct calls_entry *entry)
{
    uint64_t now = now_ms();
    uint64_t left = entry->deadline_ms > now ? entry->deadline_ms - now : 0;
    uint64_t pause_ms = backoff_ms(++entry->failures, backoff_random());

    if (left < WORTHWHILE_MS) {
        finish(entry, entry->failure == CHAT_EREFUSED ? CHAT_EREFUSED : CHAT_ETIMEDOUT);
        return;
    }
    set_state(entry, ENTRY_WAITING);
    entry->due_ms = now + (pause_ms < left / 2 ? pause_ms : left / 2);
}

/* ---- Attempts ---- */

static natsStatus publish(struct calls_entry *entry)
{
    struct calls *calls = entry->calls;
    const char *user = entry->acting_user[0] == '\0' ? NULL : entry->acting_user;
    const char *trace = entry->traceparent[0] == '\0' ? NULL : entry->traceparent;
    char reply[REPLY_BYTES];
    natsStatus status;

    reply_subject(entry, reply);
    status = connection_publish(calls->connection, entry->subject, reply, user, trace, entry->bytes,
                                entry->size);
    if (status != NATS_OK)
        return status;
    set_state(entry, ENTRY_SENT);
    entry->due_ms = now_ms() + calls->attempt_timeout_ms;
    entry->failure = CHAT_ETIMEDOUT;
    entry->text = TEXT_NO_REPLY;
    return NATS_OK;
}

static void attempt(struct calls_entry *entry)
{
    natsStatus status = publish(entry);

    if (status == NATS_OK)
        return;
    if (status == NATS_MAX_PAYLOAD) {
        note_failure(entry, CHAT_ETOOLARGE,
                     "the request of %zu bytes is larger than the broker's maximum payload",
                     entry->size);
        finish(entry, CHAT_ETOOLARGE);
        return;
    }
    note_failure(entry, CHAT_ECONNECT, "the connection to the broker at %s was lost",
                 connection_urls(entry->calls->connection));
    entry->due_ms = 0; /* as soon as there is a connection again */
}

static void no_reply(struct calls_entry *entry)
{
    entry->calls->unclear = true;
    entry->maybe_done = true;
    try_later(entry);
}

static void look_at(struct calls_entry *entry, uint64_t now)
{
    if (entry->cancelled) {
        note_failure(entry, CHAT_ECANCELED, "the call was cancelled");
        finish(entry, CHAT_ECANCELED);
    } else if (now >= entry->deadline_ms) {
        entry->maybe_done = entry->maybe_done || entry->state == ENTRY_SENT;
        finish(entry, entry->failure == CHAT_EREFUSED ? CHAT_EREFUSED : CHAT_ETIMEDOUT);
    } else if (now >= entry->due_ms) {
        if (entry->state == ENTRY_SENT)
            no_reply(entry);
        else if (connection_is_up(entry->calls->connection))
            attempt(entry);
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct calls *calls = timer->data;
    uint64_t now = now_ms();

    for (struct calls_entry *entry = calls->first; entry != NULL; entry = calls->next) {
        calls->next = entry->next;
        look_at(entry, now);
    }
    calls->next = NULL;
    if (calls->first != NULL || calls->closed != NULL)
        return;
    uv_timer_stop(&calls->tick);
    calls->ticking = false;
}

/* ---- Replies ---- */

/* The library's parser gives an empty header the next line for its value: what begins with a
 * digit is a code. */
static int code_of(natsMsg *message)
{
    const char *code = NULL;

    if (natsMsgHeader_Get(message, "Nats-Service-Error-Code", &code) != NATS_OK || code == NULL)
        return 0;
    return atoi(code) > 0 ? atoi(code) : 500;
}

/* What an error says is in its body; should that not decode, its header says the same. */
static void take_error(struct calls_entry *entry, natsMsg *message)
{
    const char *header = NULL;
    size_t length;

    entry->failure = CHAT_EREFUSED;
    entry->text = TEXT_DETAIL;
    wire_form_read_error((const uint8_t *)natsMsg_GetData(message),
                         (size_t)natsMsg_GetDataLength(message), entry->error, sizeof entry->error,
                         entry->detail, sizeof entry->detail);
    if (entry->detail[0] != '\0' ||
        natsMsgHeader_Get(message, "Nats-Service-Error", &header) != NATS_OK || header == NULL)
        return;
    length = utf8_printable_length(header, strlen(header));
    snprintf(entry->detail, sizeof entry->detail, "%.*s", (int)(length < 500 ? length : 500),
             header);
}

static void take_result(struct calls_entry *entry, const uint8_t *bytes, size_t size)
{
    static int (*const read[])(const uint8_t *, size_t, struct chat_call *, void **) = {
        [CALLS_NEW] = wire_form_read_new,
        [CALLS_SEND] = wire_form_read_send,
        [CALLS_HISTORY] = wire_form_read_history,
    };
    struct chat_call *call = entry->call;
    void *memory = NULL;
    int status = read[entry->method](bytes, size, call, &memory);

    call->reply = bytes;
    call->reply_size = size;
    if (status != CHAT_OK) {
        entry->maybe_done = true;
        note_failure(entry, status, "the service's reply of %zu bytes on %s: %s", size,
                     entry->subject, chat_strerror(status));
    }
    finish(entry, status);
    free(memory);
}

static void take_reply(struct calls_entry *entry, natsMsg *message)
{
    set_state(entry, ENTRY_WAITING); /* for nothing, unless it has to be tried again */
    entry->code = code_of(message);
    if (entry->code == 0) {
        take_result(entry, (const uint8_t *)natsMsg_GetData(message),
                    (size_t)natsMsg_GetDataLength(message));
        return;
    }
    take_error(entry, message);
    if ((entry->code == 503 || entry->code == 507) && !entry->refusals_are_final)
        try_later(entry);
    else
        finish(entry, CHAT_EREFUSED);
}

/* Marks those that are under way, and only then tries them later: that may call back, and whoever
 * is called may begin another call. */
static void try_unheard_later(struct calls *calls)
{
    for (struct calls_entry *entry = calls->first; entry != NULL; entry = entry->next) {
        if (entry->state != ENTRY_SENT)
            continue;
        entry->is_unheard = true;
        set_state(entry, ENTRY_WAITING);
        note_failure(
            entry, CHAT_ETIMEDOUT,
            "no service answers on %s; is chatd running, and connected to the broker at %s?",
            entry->subject, connection_urls(calls->connection));
    }
    for (struct calls_entry *entry = calls->first; entry != NULL; entry = calls->next) {
        calls->next = entry->next;
        if (!entry->is_unheard)
            continue;
        entry->is_unheard = false;
        try_later(entry);
    }
    calls->next = NULL;
}

/*
 * Nobody was there for a request, and the library does not say for which: it takes the message to
 * pieces before it returns. But the broker says so once for each such request. When as many are
 * under way as it has said that of, it was those, and they need not wait for replies that cannot
 * come. (Not when one was given up that it could have been about.)
 */
static void look_for_unheard(struct calls *calls)
{
    if (calls->unheard > 0 && calls->unheard == calls->sent && !calls->unclear)
        try_unheard_later(calls);
}

static void on_reply(void *data, natsMsg *message)
{
    struct calls *calls = data;
    struct calls_entry *entry = find_entry(calls, natsMsg_GetSubject(message));

    if (entry != NULL)
        take_reply(entry, message);
    look_for_unheard(calls);
}

static void on_no_responders(void *data)
{
    struct calls *calls = data;

    calls->unheard++;
    look_for_unheard(calls);
}

/* ---- Beginning ---- */

static bool user_is_valid(const char *user)
{
    size_t size = strlen(user);

    return size <= ID_BYTES && utf8_printable_length(user, size) == size;
}

int calls_prepare(struct calls *calls, struct calls_request *request, enum calls_method method,
                  const struct chat_context *context, size_t size)
{
    static const char *const names[] = {
        [CALLS_NEW] = "New", [CALLS_SEND] = "Send", [CALLS_HISTORY] = "History"};
    const char *user = context->acting_user == NULL ? "" : context->acting_user;
    const char *trace = context->traceparent == NULL ? "" : context->traceparent;
    uint64_t timeout_ms = context->timeout_ms == 0 ? DEFAULT_TIMEOUT_MS : context->timeout_ms;
    char subject[ADDRESS_SUBJECT_BYTES];
    struct calls_entry *entry;

    if (size > INT32_MAX || !user_is_valid(user) ||
        (trace[0] != '\0' && !trace_parent_is_valid(trace)) ||
        address_of_method(names[method], context->namespace_name, subject) != 0)
        return CHAT_EINVAL;
    entry = calloc(1, sizeof *entry + size + 1);
    if (entry == NULL)
        return CHAT_ENOMEM;
    entry->calls = calls;
    entry->method = method;
    entry->size = size;
    entry->refusals_are_final = context->refusals_are_final;
    entry->deadline_ms = timeout_ms == UINT64_MAX ? UINT64_MAX : now_ms() + timeout_ms;
    memcpy(entry->subject, subject, sizeof subject);
    if (user[0] != '\0')
        snprintf(entry->acting_user, sizeof entry->acting_user, "%s", user);
    if (trace[0] != '\0')
        snprintf(entry->traceparent, sizeof entry->traceparent, "%s", trace);
    entry->failure = CHAT_ETIMEDOUT;
    entry->text = TEXT_NO_CONNECTION;
    if (take_slot(calls, entry) != 0) {
        free(entry);
        return CHAT_ENOMEM;
    }
    request->entry = entry;
    request->bytes = entry->bytes;
    return CHAT_OK;
}

void calls_submit(struct calls *calls, const struct calls_request *request, struct chat_call *call,
                  chat_call_cb cb, bool patient)
{
    struct calls_entry *entry = request->entry;

    entry->call = call;
    entry->patient = patient;
    call->cb = cb;
    call->internal = entry;
    entry->previous = calls->last;
    if (calls->last != NULL)
        calls->last->next = entry;
    else
        calls->first = entry;
    calls->last = entry;
    if (!calls->ticking) {
        uv_timer_start(&calls->tick, on_tick, TICK_MS, TICK_MS);
        calls->ticking = true;
    }
    /* What fails here fails again at the next tick: the callback must not come before this has
     * returned. */
    if (connection_is_up(calls->connection))
        (void)publish(entry);
}

void chat_cancel(struct chat_call *call)
{
    struct calls_entry *entry = call->internal;

    if (entry == NULL)
        return;
    entry->cancelled = true;
    entry->maybe_done = entry->maybe_done || entry->state == ENTRY_SENT;
}

/* ---- The connection ---- */

void calls_up(struct calls *calls)
{
    uint64_t now = now_ms();

    calls->unclear = false;
    calls->unheard = 0;
    for (struct calls_entry *entry = calls->first; entry != NULL; entry = calls->next) {
        calls->next = entry->next;
        if (!entry->cancelled && entry->state == ENTRY_WAITING && now >= entry->due_ms)
            attempt(entry);
    }
    calls->next = NULL;
}

/* Those that were sent may have been carried out, and are sent again over the next connection. */
void calls_down(struct calls *calls, int status, const char *detail)
{
    for (struct calls_entry *entry = calls->first; entry != NULL; entry = calls->next) {
        calls->next = entry->next;
        if (entry->state == ENTRY_SENT)
            entry->maybe_done = true;
        set_state(entry, ENTRY_WAITING);
        entry->due_ms = 0;
        note_failure(entry, status, "%s", detail);
        if (status == CHAT_EDENIED && !entry->patient)
            finish(entry, status);
    }
    calls->next = NULL;
}

/* Without the permission to publish, a request went nowhere; without the one to subscribe to the
 * replies it was delivered, and only its reply is lost. */
void calls_denied(struct calls *calls, const char *text)
{
    bool replies = strstr(text, calls->replies) != NULL;
    char quoted[ADDRESS_SUBJECT_BYTES + 2];

    for (struct calls_entry *entry = calls->first; entry != NULL; entry = calls->next) {
        calls->next = entry->next;
        snprintf(quoted, sizeof quoted, "\"%s\"", entry->subject);
        if (!replies && (strstr(text, quoted) == NULL || entry->state != ENTRY_SENT))
            continue;
        entry->maybe_done = entry->maybe_done || (replies && entry->state == ENTRY_SENT);
        note_failure(entry, CHAT_EDENIED,
                     "the broker does not permit it: %s; the user needs to publish on %s and to "
                     "subscribe to %s",
                     text, entry->subject, calls->replies);
        finish(entry, CHAT_EDENIED);
    }
    calls->next = NULL;
}

/* ---- Start and close ---- */

int calls_create(struct calls **result, const struct calls_settings *settings)
{
    struct calls *calls = calloc(1, sizeof *calls);
    const char *prefix = settings->inbox_prefix;
    char id[UUID_TEXT_BYTES + 1] = "";
    struct uuid uuid;

    if (calls == NULL)
        return CHAT_ENOMEM;
    calls->free_slot = NO_SLOT;
    calls->attempt_timeout_ms =
        settings->attempt_timeout_ms == 0 ? DEFAULT_ATTEMPT_MS : settings->attempt_timeout_ms;
    uuid_make(&uuid);
    uuid_format(&uuid, id);
    snprintf(calls->prefix, sizeof calls->prefix, "%.200s.%s.",
             prefix == NULL || prefix[0] == '\0' ? CALLS_DEFAULT_PREFIX : prefix, id);
    calls->prefix_size = strlen(calls->prefix);
    snprintf(calls->replies, sizeof calls->replies, "%s*", calls->prefix);
    *result = calls;
    return CHAT_OK;
}

void calls_start(struct calls *calls, uv_loop_t *loop, struct connection *connection)
{
    calls->connection = connection;
    uv_timer_init(loop, &calls->tick);
    calls->tick.data = calls;
    calls->subscription = (struct connection_subscription){.subject = calls->replies,
                                                           .data = calls,
                                                           .receive = on_reply,
                                                           .no_responders = on_no_responders};
    connection_subscribe(connection, &calls->subscription);
}

void calls_destroy(struct calls *calls)
{
    free(calls->slots);
    free(calls);
}

static void on_tick_closed(uv_handle_t *handle)
{
    struct calls *calls = handle->data;
    void (*closed)(void *data) = calls->closed;
    void *data = calls->closed_data;

    calls_destroy(calls);
    closed(data);
}

void calls_close(struct calls *calls, void (*closed)(void *data), void *data)
{
    calls->closed = closed;
    calls->closed_data = data;
    connection_unsubscribe(calls->connection, &calls->subscription);
    for (struct calls_entry *entry = calls->first; entry != NULL; entry = calls->next) {
        calls->next = entry->next;
        entry->maybe_done = entry->maybe_done || entry->state == ENTRY_SENT;
        note_failure(entry, CHAT_ECANCELED, "the client was closed");
        finish(entry, CHAT_ECANCELED);
    }
    calls->next = NULL;
    uv_close((uv_handle_t *)&calls->tick, on_tick_closed);
}
