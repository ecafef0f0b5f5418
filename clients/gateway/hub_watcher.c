/*
 *     hub_watch ─▶ look at the chat ─▶ STARTED ─▶ messages from the page, the recent ones, or
 *                  (a page of history)            another page ─▶ … ─▶ the follow's place: LIVE
 *
 * There is one question about what to give next, in hub_take(). A page comes from history; the
 * watcher asks for it when the message at its place is neither in the page that it has nor among
 * the recent ones of its channel. The first page is always asked for: it shows that the chat is
 * there, and that the acting user may see it.
 *
 * Pages of all watchers together are bounded: a few requests are under way at once, in the order in
 * which they were wanted, and of the pages that are held those that nobody has touched for longest
 * go first. That is never a loss, for the watcher asks again from its place.
 */
#include "clients/gateway/hub_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Telling ---- */

static void stop_waiting(struct hub_watcher *watcher)
{
    if (watcher->waiting)
        LIST_REMOVE(watcher, in_waiting);
    watcher->waiting = false;
}

void hub_watcher_wake(struct hub_watcher *watcher)
{
    stop_waiting(watcher);
    if (!watcher->wants)
        return;
    watcher->wants = false;
    watcher->ready(watcher->data);
}

static enum hub_kind nothing(struct hub_watcher *watcher)
{
    watcher->wants = true;
    if (watcher->channel != NULL && !watcher->calling && !watcher->queued && !watcher->waiting) {
        LIST_INSERT_HEAD(&watcher->channel->waiting, watcher, in_waiting);
        watcher->waiting = true;
    }
    return HUB_NOTHING;
}

static void fail(struct hub_watcher *watcher, struct hub_failure *failure)
{
    watcher->failed = true;
    watcher->failure = failure;
}

/* ---- Pages that are held ---- */

static void drop_page(struct hub_watcher *watcher)
{
    struct hub_page *page = &watcher->page;
    struct hub *hub = watcher->hub;

    if (page->messages == NULL)
        return;
    for (; page->next < page->count; page->next++) {
        hub->stats.page_bytes -= shared_message_bytes(page->messages[page->next]);
        shared_message_release(page->messages[page->next]);
    }
    free(page->messages);
    *page = (struct hub_page){0};
    TAILQ_REMOVE(&hub->pages, watcher, in_pages);
}

static void hold_page(struct hub_watcher *watcher, struct hub_page *page)
{
    struct hub *hub = watcher->hub;

    watcher->page = *page;
    for (size_t i = 0; i < page->count; i++)
        hub->stats.page_bytes += shared_message_bytes(page->messages[i]);
    TAILQ_INSERT_TAIL(&hub->pages, watcher, in_pages);
}

/* The watcher's from now on; NULL when there is none. */
static struct shared_message *take_from_page(struct hub_watcher *watcher)
{
    struct hub_page *page = &watcher->page;
    struct hub *hub = watcher->hub;
    struct shared_message *message;

    if (page->messages == NULL)
        return NULL;
    message = page->messages[page->next++];
    hub->stats.page_bytes -= shared_message_bytes(message);
    if (page->next == page->count) {
        drop_page(watcher);
    } else {
        TAILQ_REMOVE(&hub->pages, watcher, in_pages);
        TAILQ_INSERT_TAIL(&hub->pages, watcher, in_pages);
    }
    return message;
}

/* Encodes those from the watcher's place on. Where memory is short there are fewer of them. */
static int read_page(struct hub_watcher *watcher, const struct chat_call *call)
{
    const struct chat_message *messages = call->result.page.messages;
    size_t count = call->result.page.count;
    size_t first = 0;
    struct hub_page page = {0};

    while (first < count && messages[first].seq < watcher->next_seq)
        first++;
    if (first == count)
        return 0;
    page.messages = calloc(count - first, sizeof(struct shared_message *));
    if (page.messages == NULL)
        return -1;
    for (size_t i = first; i < count; i++) {
        if (messages[i].seq != watcher->next_seq + page.count)
            break;
        page.messages[page.count] =
            shared_message_create(&messages[i], watcher->form, &watcher->hub->scratch);
        if (page.messages[page.count] == NULL)
            break;
        page.count++;
    }
    if (page.count == 0) {
        free(page.messages);
        return -1;
    }
    hold_page(watcher, &page);
    return 0;
}

/* ---- Reading history ---- */

static void start_requests(struct hub *hub);

static int start(struct hub_watcher *watcher, uint64_t head_seq)
{
    char detail[200];
    int status;

    if (watcher->next_seq == 0)
        watcher->next_seq = head_seq + 1;
    if (watcher->next_seq - 1 > head_seq) {
        snprintf(detail, sizeof detail,
                 "from_seq is %" PRIu64 ", but the chat's last message is %" PRIu64
                 "; go on from %" PRIu64 " at most",
                 watcher->next_seq, head_seq, head_seq + 1);
        fail(watcher, hub_failure_refuse(watcher->method, 400, "InvalidRange", detail));
        return -1;
    }
    watcher->head_seq = head_seq;
    watcher->channel = hub_channel_join(watcher->hub, watcher, head_seq, &status);
    if (watcher->channel != NULL)
        return 0;
    fail(watcher, hub_failure_of(status, chat_strerror(status)));
    return -1;
}

static void take_page(struct hub_watcher *watcher, const struct chat_call *call)
{
    uint64_t head_seq = call->result.page.head_seq;

    watcher->hub->stats.pages++;
    if (watcher->channel == NULL && start(watcher, head_seq) != 0)
        return;
    if (head_seq + 1 < watcher->next_seq)
        fail(watcher,
             hub_failure_of(CHAT_ELOST, "the chat ends before messages that had been shown; was a "
                                        "backup restored?"));
    else if (read_page(watcher, call) != 0)
        fail(watcher, hub_failure_of(CHAT_EPROTO, "a page of history cannot be read"));
    else if (watcher->page.count == 0 && head_seq >= watcher->next_seq)
        fail(watcher,
             hub_failure_of(CHAT_EPROTO, "a page of history does not begin with the message "
                                         "that was asked for"));
}

static void free_watcher(struct hub_watcher *watcher)
{
    struct hub *hub = watcher->hub;

    free(watcher->failure);
    free(watcher->acting_user);
    free(watcher);
    hub->watcher_count--;
    hub_part_gone(hub);
}

static struct hub_failure *failure_of(const struct hub_watcher *watcher,
                                      const struct chat_call *call)
{
    const char *dot = strrchr(call->error, '.');

    if (call->status != CHAT_EREFUSED || dot == NULL)
        return hub_failure_of(call->status, call->detail);
    return hub_failure_refuse(watcher->method, call->code, dot + 1, call->detail);
}

static void on_page(struct chat_call *call)
{
    struct hub_watcher *watcher = call->data;
    struct hub *hub = watcher->hub;

    watcher->calling = false;
    hub->calls--;
    if (!watcher->left) {
        if (call->status == CHAT_OK)
            take_page(watcher, call);
        else
            fail(watcher, failure_of(watcher, call));
        hub_watcher_wake(watcher);
        start_requests(hub);
    } else {
        start_requests(hub);
        free_watcher(watcher);
    }
}

/* One that begins has so long left; one that has begun waits for as long as it takes. */
static uint64_t time_left_ms(const struct hub_watcher *watcher)
{
    uint64_t limit_ms = watcher->hub->options.start_timeout_ms;
    uint64_t spent_ms = hub_now_ms() - watcher->created_ms;

    if (watcher->channel != NULL)
        return UINT64_MAX;
    return spent_ms < limit_ms ? limit_ms - spent_ms : 0;
}

/* Only a look when the rest is here already, or not wanted. */
static uint32_t page_limit(struct hub_watcher *watcher)
{
    bool look =
        watcher->channel == NULL &&
        (watcher->next_seq == 0 || hub_channel_has(watcher->hub, watcher, watcher->next_seq));

    return look ? 1 : watcher->hub->options.page_messages;
}

static void request(struct hub_watcher *watcher)
{
    struct hub *hub = watcher->hub;
    const struct chat_history_options options = {
        .context = {.namespace_name = watcher->namespace_name,
                    .acting_user = watcher->acting_user,
                    .timeout_ms = time_left_ms(watcher)},
        .chat_id = watcher->chat_id,
        .from_seq = watcher->next_seq,
        .limit = page_limit(watcher),
    };
    int status = CHAT_ETIMEDOUT;

    watcher->call.data = watcher;
    if (options.context.timeout_ms > 0)
        status = hub->options.source->history(hub->client, &watcher->call, &options, on_page);
    watcher->calling = status == CHAT_OK;
    if (watcher->calling) {
        hub->calls++;
        return;
    }
    fail(watcher,
         hub_failure_of(status, status == CHAT_ETIMEDOUT ? "the service has not answered in time"
                                                         : chat_strerror(status)));
    hub_watcher_wake(watcher);
}

static void start_requests(struct hub *hub)
{
    struct hub_watcher *watcher;

    /* Not the newest: nobody would get on. */
    while (hub->stats.page_bytes > hub->options.page_bytes &&
           TAILQ_FIRST(&hub->pages) != TAILQ_LAST(&hub->pages, hub_pages))
        drop_page(TAILQ_FIRST(&hub->pages));
    while (hub->calls < hub->options.page_requests &&
           (watcher = TAILQ_FIRST(&hub->queue)) != NULL) {
        TAILQ_REMOVE(&hub->queue, watcher, in_queue);
        watcher->queued = false;
        request(watcher);
    }
}

static void ask(struct hub_watcher *watcher)
{
    if (watcher->queued || watcher->calling)
        return;
    TAILQ_INSERT_TAIL(&watcher->hub->queue, watcher, in_queue);
    watcher->queued = true;
    start_requests(watcher->hub);
}

/* ---- Taking ---- */

static enum hub_kind give_failure(const struct hub_failure *failure, struct hub_item *item)
{
    item->error = (struct hub_error){500, "gateway.Internal", "out of memory"};
    if (failure != NULL)
        item->error = (struct hub_error){failure->code, failure->id, failure->detail};
    return HUB_FAILED;
}

static enum hub_kind give_message(struct hub_watcher *watcher, struct shared_message *message,
                                  struct hub_item *item)
{
    watcher->taken = message;
    item->bytes = shared_message_form(message, watcher->form);
    if (item->bytes == NULL) {
        fail(watcher, NULL);
        return give_failure(NULL, item);
    }
    item->seq = watcher->next_seq++;
    watcher->hub->stats.given++;
    return HUB_MESSAGE;
}

static struct shared_message *next_message(struct hub_watcher *watcher)
{
    struct shared_message *message = take_from_page(watcher);

    if (message != NULL)
        return message;
    message = hub_channel_recent(watcher->channel, watcher->next_seq);
    if (message != NULL)
        shared_message_hold(message);
    return message;
}

/* No message is at hand. */
static enum hub_kind next_else(struct hub_watcher *watcher, struct hub_item *item)
{
    const struct hub_channel *channel = watcher->channel;

    if (channel->failed)
        return give_failure(channel->failure, item);
    if (watcher->next_seq < channel->first_seq) {
        ask(watcher);
        return watcher->failed ? give_failure(watcher->failure, item) : nothing(watcher);
    }
    if (channel->live && watcher->lives != channel->lives &&
        watcher->next_seq == channel->next_seq) {
        watcher->lives = channel->lives;
        item->head_seq = watcher->next_seq - 1;
        return HUB_LIVE;
    }
    return nothing(watcher);
}

enum hub_kind hub_take(struct hub_watcher *watcher, struct hub_item *item)
{
    struct shared_message *message;

    shared_message_release(watcher->taken);
    watcher->taken = NULL;
    watcher->wants = false;
    if (!watcher->failed && watcher->channel == NULL)
        ask(watcher);
    if (watcher->failed)
        return give_failure(watcher->failure, item);
    if (watcher->channel == NULL)
        return nothing(watcher);
    if (!watcher->started_given) {
        watcher->started_given = true;
        item->head_seq = watcher->head_seq;
        return HUB_STARTED;
    }
    message = next_message(watcher);
    return message != NULL ? give_message(watcher, message, item) : next_else(watcher, item);
}

/* ---- Coming and going ---- */

int hub_watch(struct hub *hub, struct hub_watcher **result, const struct hub_watch_options *options)
{
    struct hub_watcher *watcher = calloc(1, sizeof *watcher);
    const char *name = options->namespace_name == NULL ? "" : options->namespace_name;
    const char *user = options->acting_user;

    if (watcher == NULL)
        return CHAT_ENOMEM;
    if (user != NULL && user[0] != '\0' && (watcher->acting_user = strdup(user)) == NULL) {
        free(watcher);
        return CHAT_ENOMEM;
    }
    watcher->hub = hub;
    watcher->method = options->method;
    watcher->data = options->data;
    watcher->ready = options->ready;
    watcher->form = options->form;
    watcher->next_seq = options->from_seq;
    watcher->created_ms = hub_now_ms();
    hub->watcher_count++;
    if (strlen(name) >= sizeof watcher->namespace_name ||
        strlen(options->chat_id) >= sizeof watcher->chat_id)
        fail(watcher, hub_failure_refuse(watcher->method, 404, "InvalidChatID",
                                         "there is no such chat in this namespace: a chat_id is a "
                                         "UUID"));
    snprintf(watcher->namespace_name, sizeof watcher->namespace_name, "%s", name);
    snprintf(watcher->chat_id, sizeof watcher->chat_id, "%s", options->chat_id);
    *result = watcher;
    return CHAT_OK;
}

void hub_leave(struct hub_watcher *watcher)
{
    struct hub *hub = watcher->hub;

    watcher->wants = false;
    watcher->left = true;
    stop_waiting(watcher);
    drop_page(watcher);
    shared_message_release(watcher->taken);
    watcher->taken = NULL;
    if (watcher->queued)
        TAILQ_REMOVE(&hub->queue, watcher, in_queue);
    watcher->queued = false;
    if (watcher->channel != NULL)
        hub_channel_leave(watcher->channel, watcher);
    watcher->channel = NULL;
    if (watcher->calling)
        hub->options.source->cancel(&watcher->call);
    else
        free_watcher(watcher);
}
