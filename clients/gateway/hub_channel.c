/*
 *     follow ─▶ message ─▶ encoded once ─▶ recent messages ◀── watchers, each from its place
 *
 * A channel is a chat that is followed. It keeps the messages of the last seconds, so that whoever
 * is a little behind, or comes back after a lost connection, finds them without asking the service.
 * Recent messages of all channels are in one list, the oldest first: when they are too old or too
 * many, they go from its front. What a watcher then misses, it reads from history.
 *
 * A follow that fails takes its channel out of the hub; its watchers are told, and who comes later
 * gets a new one.
 */
#include "clients/gateway/hub_internal.h"

#include "base/uuid.h"
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_AT_FIRST 16

/* ---- Recent messages ---- */

static struct hub_recent **slot_of(const struct hub_channel *channel, uint64_t seq)
{
    return &channel->slots[seq & (channel->slot_count - 1)];
}

struct shared_message *hub_channel_recent(const struct hub_channel *channel, uint64_t seq)
{
    if (seq < channel->first_seq || seq >= channel->next_seq)
        return NULL;
    return (*slot_of(channel, seq))->message;
}

static size_t recent_bytes(const struct hub_recent *recent)
{
    return sizeof *recent + shared_message_bytes(recent->message);
}

static void drop_oldest(struct hub_channel *channel)
{
    struct hub *hub = channel->hub;
    struct hub_recent *recent = *slot_of(channel, channel->first_seq);

    TAILQ_REMOVE(&hub->recent, recent, all);
    hub->stats.recent_bytes -= recent_bytes(recent);
    shared_message_release(recent->message);
    free(recent);
    channel->first_seq++;
    if (channel->first_seq < channel->next_seq)
        return;
    /* Most chats are quiet most of the time. */
    free(channel->slots);
    channel->slots = NULL;
    channel->slot_count = 0;
}

static void drop_all(struct hub_channel *channel)
{
    while (channel->first_seq < channel->next_seq)
        drop_oldest(channel);
}

/* The oldest of all is also the oldest of its channel. */
void hub_recent_drop(struct hub *hub)
{
    drop_oldest(TAILQ_FIRST(&hub->recent)->channel);
}

static bool make_slots(struct hub_channel *channel)
{
    size_t held = (size_t)(channel->next_seq - channel->first_seq);
    size_t old_count = channel->slot_count;
    struct hub_recent **old = channel->slots;

    if (held < old_count)
        return true;
    channel->slot_count = old_count == 0 ? SLOTS_AT_FIRST : old_count * 2;
    channel->slots = calloc(channel->slot_count, sizeof(struct hub_recent *));
    if (channel->slots == NULL) {
        channel->slots = old;
        channel->slot_count = old_count;
        return false;
    }
    for (uint64_t seq = channel->first_seq; seq < channel->next_seq; seq++)
        *slot_of(channel, seq) = old[seq & (old_count - 1)];
    free(old);
    return true;
}

static bool keep(struct hub_channel *channel, struct shared_message *message)
{
    struct hub *hub = channel->hub;
    struct hub_recent *recent = calloc(1, sizeof *recent);

    if (recent == NULL || !make_slots(channel)) {
        free(recent);
        return false;
    }
    recent->channel = channel;
    recent->message = message;
    recent->at_ms = hub_now_ms();
    *slot_of(channel, channel->next_seq) = recent;
    channel->next_seq++;
    TAILQ_INSERT_TAIL(&hub->recent, recent, all);
    hub->stats.recent_bytes += recent_bytes(recent);
    while (hub->stats.recent_bytes > hub->options.recent_bytes)
        hub_recent_drop(hub);
    hub_need_sweep(hub);
    return true;
}

/* ---- The list of channels, a tree by key ---- */

static int compare(const void *left, const void *right)
{
    const struct hub_channel *one = left;
    const struct hub_channel *other = right;

    return strcmp(one->key, other->key);
}

static void unlist(struct hub_channel *channel)
{
    if (channel->listed)
        tdelete(channel, &channel->hub->channels, compare);
    channel->listed = false;
}

/* The service reads ids in either case. */
static void make_key(const struct hub_watcher *watcher, struct hub_channel *channel)
{
    const char *name = watcher->namespace_name;
    char id[UUID_TEXT_BYTES + 1] = "";
    struct uuid uuid;

    if (uuid_parse(watcher->chat_id, strlen(watcher->chat_id), &uuid))
        uuid_format(&uuid, id);
    snprintf(channel->key, sizeof channel->key, "%s/%s", name[0] == '\0' ? "default" : name, id);
}

static struct hub_channel *find(struct hub *hub, const struct hub_watcher *watcher)
{
    struct hub_channel wanted = {0};
    struct hub_channel *const *found;

    make_key(watcher, &wanted);
    found = tfind(&wanted, &hub->channels, compare);
    return found == NULL ? NULL : *found;
}

/* ---- What the follow brings ---- */

/* All that wait now, each once: who waits again meanwhile is in the channel's list, not in ours. */
static void wake_all(struct hub_channel *channel)
{
    struct hub_waiting due = LIST_HEAD_INITIALIZER(due);
    struct hub_watcher *watcher = LIST_FIRST(&channel->waiting);

    if (watcher == NULL)
        return;
    LIST_INIT(&channel->waiting);
    due.lh_first = watcher;
    watcher->in_waiting.le_prev = &due.lh_first;
    while ((watcher = LIST_FIRST(&due)) != NULL)
        hub_watcher_wake(watcher);
}

/* Where memory is short, watchers read it from history. */
static void on_message(struct chat_follow *follow, void *data, const struct chat_message *message)
{
    struct hub_channel *channel = data;
    struct hub *hub = channel->hub;
    enum shared_form form = channel->watchers[SHARED_FRAME] > 0 ? SHARED_FRAME : SHARED_EVENT;
    struct shared_message *shared = shared_message_create(message, form, &hub->scratch);

    (void)follow;
    hub->stats.messages++;
    if (shared == NULL || !keep(channel, shared)) {
        shared_message_release(shared);
        drop_all(channel);
        channel->first_seq = channel->next_seq = message->seq + 1;
    }
    wake_all(channel);
}

static void on_state(struct chat_follow *follow, void *data, enum chat_follow_state state)
{
    struct hub_channel *channel = data;
    const char *detail;
    int status;

    channel->live = state == CHAT_FOLLOW_LIVE;
    if (channel->live)
        channel->lives++;
    if (state == CHAT_FOLLOW_FAILED) {
        status = channel->hub->options.source->follow_error(follow, &detail);
        channel->failed = true;
        channel->failure = hub_failure_of(status, detail);
        unlist(channel);
    }
    if (state != CHAT_FOLLOW_CATCHING_UP)
        wake_all(channel);
}

/* ---- Beginning and end ---- */

bool hub_channel_has(struct hub *hub, const struct hub_watcher *watcher, uint64_t seq)
{
    const struct hub_channel *channel = find(hub, watcher);

    return channel != NULL && seq >= channel->first_seq && seq <= channel->next_seq;
}

static struct hub_channel *start(struct hub *hub, const struct hub_watcher *watcher,
                                 uint64_t head_seq, int *status)
{
    struct hub_channel *channel = calloc(1, sizeof *channel);
    const struct chat_follow_options options = {
        .context = {.namespace_name = watcher->namespace_name},
        .chat_id = watcher->chat_id,
        .from_seq = head_seq + 1,
        .data = channel,
        .message = on_message,
        .state = on_state,
    };

    *status = CHAT_ENOMEM;
    if (channel == NULL)
        return NULL;
    channel->hub = hub;
    channel->first_seq = channel->next_seq = head_seq + 1;
    LIST_INIT(&channel->waiting);
    make_key(watcher, channel);
    if (tsearch(channel, &hub->channels, compare) == NULL)
        goto err_after_channel;
    channel->listed = true;
    *status = hub->options.source->follow(hub->client, &channel->follow, &options);
    if (*status != CHAT_OK)
        goto err_after_list;
    hub->channel_count++;
    return channel;

err_after_list:
    unlist(channel);
err_after_channel:
    free(channel);
    return NULL;
}

static size_t watchers_of(const struct hub_channel *channel)
{
    size_t count = 0;

    for (int i = 0; i < SHARED_FORMS; i++)
        count += channel->watchers[i];
    return count;
}

struct hub_channel *hub_channel_join(struct hub *hub, struct hub_watcher *watcher,
                                     uint64_t head_seq, int *status)
{
    struct hub_channel *channel = find(hub, watcher);

    if (channel == NULL)
        channel = start(hub, watcher, head_seq, status);
    else if (watchers_of(channel) == 0)
        TAILQ_REMOVE(&hub->idle, channel, idle);
    if (channel != NULL)
        channel->watchers[watcher->form]++;
    return channel;
}

static void on_closed(void *data)
{
    struct hub_channel *channel = data;
    struct hub *hub = channel->hub;

    free(channel->failure);
    free(channel);
    hub->channel_count--;
    hub_part_gone(hub);
}

/* Nobody watches it. */
void hub_channel_close(struct hub_channel *channel)
{
    drop_all(channel);
    unlist(channel);
    TAILQ_REMOVE(&channel->hub->idle, channel, idle);
    channel->hub->options.source->unfollow(channel->follow, on_closed, channel);
}

void hub_channel_leave(struct hub_channel *channel, struct hub_watcher *watcher)
{
    struct hub *hub = channel->hub;

    channel->watchers[watcher->form]--;
    if (watchers_of(channel) > 0)
        return;
    channel->idle_since_ms = hub_now_ms();
    TAILQ_INSERT_TAIL(&hub->idle, channel, idle);
    if (channel->failed)
        hub_channel_close(channel);
    else
        hub_need_sweep(hub);
}
