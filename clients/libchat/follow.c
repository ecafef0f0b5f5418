/*
 *     up ─▶ subscribe to the events ─▶ read history from next_seq ─▶ … ─▶ head reached: LIVE
 *              │                              ▲                             │
 *              └── events: the next one is    └── a seq is missing, or ─────┘
 *                  handed on, later ones are      silence for a while
 *                  kept, earlier ones dropped
 *
 * The subscription goes to the broker before the request for history, over the same connection,
 * so that what is committed after the page was read is heard: between the two nothing falls. What
 * falls anyway (the broker drops events for slow readers, the service while it has no broker) is a
 * hole in the seqs when the next event comes, or is found by the check when none comes. Every way
 * out is the same: ask history for next_seq.
 *
 * There is one question about what to do next, in pump(): hand on what can be, then read on if
 * anything is known to be missing, else be live.
 *
 * The service's head below what it had shown means that it has lost messages, to a restored backup
 * for one. Going on would skip those that get the same seqs; the follow fails instead.
 */
#include "clients/libchat/address.h"
#include "clients/libchat/backoff.h"
#include "clients/libchat/client.h"
#include "clients/libchat/join.h"
#include "clients/libchat/wire_form.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE_LIMIT 1000
#define CHECK_LIMIT 10
#define DEFAULT_CHECK_INTERVAL_MS 10000
#define NAME_BYTES 129
#define CHAT_ID_BYTES 37

struct chat_follow {
    struct chat_client *client;
    void *data;
    void (*message)(struct chat_follow *follow, void *data, const struct chat_message *message);
    void (*state_cb)(struct chat_follow *follow, void *data, enum chat_follow_state state);
    enum chat_follow_state state;
    struct join join;
    struct connection_subscription events;
    struct chat_call call;
    uv_timer_t check;
    uint64_t heard_ms;   /* when it was last known that nothing is missing */
    uint64_t asked_from; /* next_seq when the page under way was asked for */
    bool subscribed;     /* on this connection */
    bool joined;         /* a page was asked for after that, and has been read */
    bool fetching;       /* `call` is under way */
    bool asked_here;     /* on this connection, after `subscribed` */
    bool check_due;
    bool delivering; /* within the message callback */
    bool paused;
    bool closing;
    bool timer_closed;
    int error;
    char *text; /* room for the strings of a message */
    size_t text_size;
    struct chat_follow *next;
    struct chat_follow *previous;
    void (*closed)(void *data);
    void *closed_data;
    char subject[ADDRESS_EVENT_BYTES];
    char chat_id[CHAT_ID_BYTES];
    char namespace_name[ADDRESS_NAMESPACE_BYTES_MAX + 1];
    char acting_user[NAME_BYTES];
    char detail[CONNECTION_TEXT_BYTES];
};

static void pump(struct chat_follow *follow);

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

static bool is_over(const struct chat_follow *follow)
{
    return follow->closing || follow->state == CHAT_FOLLOW_FAILED;
}

/* ---- States ---- */

static void set_state(struct chat_follow *follow, enum chat_follow_state state)
{
    if (follow->state == state || is_over(follow))
        return;
    follow->state = state;
    if (follow->state_cb != NULL)
        follow->state_cb(follow, follow->data, state);
}

static void fail(struct chat_follow *follow, int error, const char *detail)
{
    if (is_over(follow))
        return;
    follow->error = error;
    snprintf(follow->detail, sizeof follow->detail, "%s", detail);
    connection_unsubscribe(follow->client->connection, &follow->events);
    uv_timer_stop(&follow->check);
    set_state(follow, CHAT_FOLLOW_FAILED);
}

/* ---- Handing on ---- */

static bool make_text_room(struct chat_follow *follow, size_t size)
{
    char *text;

    if (size <= follow->text_size)
        return true;
    text = realloc(follow->text, size * 2);
    if (text == NULL)
        return false;
    follow->text = text;
    follow->text_size = size * 2;
    return true;
}

static void hand_on(struct chat_follow *follow, const struct chat_message *message)
{
    follow->delivering = true;
    follow->message(follow, follow->data, message);
    follow->delivering = false;
    join_advance(&follow->join);
    follow->heard_ms = now_ms();
}

static bool may_hand_on(const struct chat_follow *follow)
{
    return !follow->paused && !follow->delivering && !is_over(follow);
}

/* Kept messages have been read before; one that cannot be now is for want of memory, and is read
 * from history again. */
static void hand_on_kept(struct chat_follow *follow)
{
    const struct join_message *kept;
    struct chat_message message;

    while (may_hand_on(follow) && (kept = join_front(&follow->join)) != NULL) {
        if (!make_text_room(follow, kept->size + 1) ||
            wire_form_read_message(kept->bytes, kept->size, follow->text, &message) != 0)
            return;
        hand_on(follow, &message);
    }
}

/* Of a page: its strings are there already. */
static void take_message(struct chat_follow *follow, const struct chat_message *message)
{
    join_saw(&follow->join, message->seq);
    if (may_hand_on(follow) && join_is_next(&follow->join, message->seq))
        hand_on(follow, message);
    else
        join_hold(&follow->join, message->seq, message->bytes, message->bytes_size);
}

/* What does not decode is not a message of the service: should it have been one, it is missing. */
static void on_event(void *data, natsMsg *nats_message)
{
    struct chat_follow *follow = data;
    const uint8_t *bytes = (const uint8_t *)natsMsg_GetData(nats_message);
    size_t size = (size_t)natsMsg_GetDataLength(nats_message);
    struct chat_message message;

    if (is_over(follow) || !make_text_room(follow, size + 1) ||
        wire_form_read_message(bytes, size, follow->text, &message) != 0)
        return;
    take_message(follow, &message);
    pump(follow);
}

/* ---- Reading history ---- */

static void on_page(struct chat_call *call);

static void fetch(struct chat_follow *follow, uint32_t limit)
{
    const struct chat_history_options options = {
        .context = {.namespace_name = follow->namespace_name,
                    .acting_user = follow->acting_user,
                    .timeout_ms = UINT64_MAX},
        .chat_id = follow->chat_id,
        .from_seq = follow->join.next_seq,
        .limit = follow->join.next_seq == 0 ? 1 : limit,
    };
    int status;

    follow->asked_from = follow->join.next_seq;
    follow->asked_here = true;
    follow->call.data = follow;
    status = client_history(follow->client, &follow->call, &options, on_page, true);
    follow->fetching = status == CHAT_OK;
    if (status != CHAT_OK)
        fail(follow, status, chat_strerror(status));
}

/* From now: what is there is not wanted, except what has been heard since the start. */
static void begin_now(struct chat_follow *follow, uint64_t head_seq)
{
    uint64_t heard = join_first_held(&follow->join);

    join_begin_at(&follow->join, heard > 0 && heard <= head_seq ? heard : head_seq + 1);
    join_saw(&follow->join, head_seq);
    follow->joined = follow->asked_here;
}

/* Returns whether all is as it should be. */
static bool check_page(struct chat_follow *follow, const struct chat_call *call)
{
    uint64_t head_seq = call->result.page.head_seq;
    char text[160];

    if (head_seq + 1 < follow->asked_from) {
        snprintf(text, sizeof text,
                 "the chat's last message is %llu, but messages up to %llu had been read; "
                 "was a backup restored?",
                 (unsigned long long)head_seq, (unsigned long long)(follow->asked_from - 1));
        fail(follow, CHAT_ELOST, text);
        return false;
    }
    if (head_seq < follow->asked_from ||
        (call->result.page.count > 0 && call->result.page.messages[0].seq == follow->asked_from))
        return true;
    fail(follow, CHAT_EPROTO, "the service's page does not begin with the message asked for");
    return false;
}

static void take_page(struct chat_follow *follow, const struct chat_call *call)
{
    if (follow->asked_from == 0) {
        begin_now(follow, call->result.page.head_seq);
        return;
    }
    if (!check_page(follow, call))
        return;
    join_saw(&follow->join, call->result.page.head_seq);
    follow->joined = follow->asked_here;
    for (size_t i = 0; i < call->result.page.count; i++)
        take_message(follow, &call->result.page.messages[i]);
    follow->heard_ms = now_ms();
}

static void finish_close(struct chat_follow *follow);

static void on_page(struct chat_call *call)
{
    struct chat_follow *follow = call->data;

    follow->fetching = false;
    if (follow->closing) {
        finish_close(follow);
        return;
    }
    if (call->status == CHAT_OK)
        take_page(follow, call);
    else if (call->status != CHAT_ECANCELED)
        fail(follow, call->status, call->detail);
    pump(follow);
}

/* ---- What next ---- */

static void pump(struct chat_follow *follow)
{
    bool behind;

    hand_on_kept(follow);
    if (is_over(follow) || follow->paused || follow->delivering || !follow->subscribed)
        return;
    behind = !follow->joined || join_is_behind(&follow->join);
    set_state(follow, behind ? CHAT_FOLLOW_CATCHING_UP : CHAT_FOLLOW_LIVE);
    if (is_over(follow) || follow->fetching || !follow->subscribed)
        return;
    if (behind || follow->check_due) {
        follow->check_due = false;
        fetch(follow, behind ? PAGE_LIMIT : CHECK_LIMIT);
    }
}

/* ---- The check ---- */

static uint64_t check_interval_ms(const struct chat_follow *follow)
{
    uint64_t interval_ms = follow->client->follow_check_interval_ms;

    return interval_ms == 0 ? DEFAULT_CHECK_INTERVAL_MS : interval_ms;
}

static void on_check(uv_timer_t *timer);

/* Spread over half an interval, so that many follows do not all ask at once. */
static void check_after(struct chat_follow *follow, uint64_t delay_ms)
{
    uint64_t spread_ms = check_interval_ms(follow) / 2 + 1;

    uv_timer_start(&follow->check, on_check, delay_ms + backoff_random() % spread_ms, 0);
}

static void on_check(uv_timer_t *timer)
{
    struct chat_follow *follow = timer->data;
    uint64_t interval_ms = check_interval_ms(follow);
    uint64_t silence_ms = now_ms() - follow->heard_ms;

    if (silence_ms < interval_ms) {
        check_after(follow, interval_ms - silence_ms);
    } else {
        check_after(follow, interval_ms);
        follow->check_due = true;
    }
    pump(follow);
}

/* On the next turn of the loop: callbacks do not come from within the caller's call. */
static void pump_soon(struct chat_follow *follow)
{
    uv_timer_start(&follow->check, on_check, 0, 0);
}

/* ---- The connection ---- */

void follow_up(struct chat_follow *follow)
{
    if (is_over(follow))
        return;
    follow->subscribed = true;
    follow->joined = false;
    pump(follow);
}

/* A page that is under way may still come, over the next connection, with a head from before the
 * new subscription: one more is asked for then. */
void follow_down(struct chat_follow *follow)
{
    follow->subscribed = false;
    follow->joined = false;
    follow->asked_here = false;
    set_state(follow, CHAT_FOLLOW_CATCHING_UP);
}

void follow_denied(struct chat_follow *follow, const char *text)
{
    char quoted[ADDRESS_EVENT_BYTES + 2];
    char detail[CONNECTION_TEXT_BYTES];

    snprintf(quoted, sizeof quoted, "\"%s\"", follow->subject);
    if (strstr(text, quoted) == NULL)
        return;
    snprintf(detail, sizeof detail, "the broker does not permit to hear the chat's events: %s",
             text);
    fail(follow, CHAT_EDENIED, detail);
}

struct chat_follow *follow_next(const struct chat_follow *follow)
{
    return follow->next;
}

/* ---- Beginning ---- */

static void link_follow(struct chat_client *client, struct chat_follow *follow)
{
    follow->next = client->follows;
    if (follow->next != NULL)
        follow->next->previous = follow;
    client->follows = follow;
    client->follow_count++;
}

static int copy_options(struct chat_follow *follow, const struct chat_follow_options *options)
{
    const char *name = options->context.namespace_name;
    const char *user = options->context.acting_user;

    if (options->message == NULL || options->chat_id == NULL ||
        address_of_events(name, options->chat_id, follow->subject) != 0 ||
        (user != NULL && strlen(user) >= sizeof follow->acting_user))
        return CHAT_EINVAL;
    follow->data = options->data;
    follow->message = options->message;
    follow->state_cb = options->state;
    snprintf(follow->chat_id, sizeof follow->chat_id, "%s", options->chat_id);
    snprintf(follow->namespace_name, sizeof follow->namespace_name, "%s", name == NULL ? "" : name);
    snprintf(follow->acting_user, sizeof follow->acting_user, "%s", user == NULL ? "" : user);
    join_init(&follow->join, options->from_seq);
    return CHAT_OK;
}

int chat_follow_start(struct chat_client *client, struct chat_follow **result,
                      const struct chat_follow_options *options)
{
    struct chat_follow *follow;
    int status;

    if (client->closing)
        return CHAT_EINVAL;
    follow = calloc(1, sizeof *follow);
    if (follow == NULL)
        return CHAT_ENOMEM;
    follow->client = client;
    status = copy_options(follow, options);
    if (status != CHAT_OK) {
        free(follow);
        return status;
    }
    uv_timer_init(client->loop, &follow->check);
    follow->check.data = follow;
    follow->heard_ms = now_ms();
    follow->events = (struct connection_subscription){
        .subject = follow->subject, .data = follow, .receive = on_event};
    connection_subscribe(client->connection, &follow->events);
    link_follow(client, follow);
    follow->subscribed = connection_is_up(client->connection);
    pump_soon(follow);
    *result = follow;
    return CHAT_OK;
}

/* ---- For the caller ---- */

void chat_follow_pause(struct chat_follow *follow)
{
    follow->paused = true;
}

void chat_follow_resume(struct chat_follow *follow)
{
    follow->paused = false;
    if (!is_over(follow))
        pump_soon(follow);
}

uint64_t chat_follow_next_seq(const struct chat_follow *follow)
{
    return follow->join.next_seq + (follow->delivering ? 1 : 0);
}

int chat_follow_error(const struct chat_follow *follow, const char **detail)
{
    if (detail != NULL)
        *detail = follow->detail;
    return follow->error;
}

/* ---- Closing ---- */

/* Both the timer and a call that is under way are in its memory. */
static void finish_close(struct chat_follow *follow)
{
    struct chat_client *client = follow->client;
    void (*closed)(void *data) = follow->closed;
    void *data = follow->closed_data;

    if (!follow->timer_closed || follow->fetching)
        return;
    join_free(&follow->join);
    free(follow->text);
    free(follow);
    if (closed != NULL)
        closed(data);
    client_follow_gone(client);
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct chat_follow *follow = handle->data;

    follow->timer_closed = true;
    finish_close(follow);
}

void chat_follow_close(struct chat_follow *follow, void (*closed)(void *data), void *data)
{
    struct chat_client *client = follow->client;

    follow->closing = true;
    follow->closed = closed;
    follow->closed_data = data;
    connection_unsubscribe(client->connection, &follow->events);
    if (client->next_follow == follow)
        client->next_follow = follow->next;
    if (follow->previous != NULL)
        follow->previous->next = follow->next;
    else
        client->follows = follow->next;
    if (follow->next != NULL)
        follow->next->previous = follow->previous;
    if (follow->fetching)
        chat_cancel(&follow->call);
    uv_close((uv_handle_t *)&follow->check, on_timer_closed);
}
