/* What a hub is made of. Private to hub*.c. */
#ifndef GATEWAY_HUB_INTERNAL_H
#define GATEWAY_HUB_INTERNAL_H

#include "clients/gateway/hub.h"
#include <sys/queue.h>

#define HUB_NAMESPACE_BYTES 65
#define HUB_CHAT_ID_BYTES 37
#define HUB_USER_BYTES 129
#define HUB_ID_BYTES 96
#define HUB_DETAIL_BYTES 512

/* A failure with its words. */
struct hub_failure {
    int code;
    char id[HUB_ID_BYTES];
    char detail[HUB_DETAIL_BYTES];
};

/* One of the messages that are kept for a while. */
struct hub_recent {
    TAILQ_ENTRY(hub_recent) all;
    struct hub_channel *channel;
    struct shared_message *message;
    uint64_t at_ms;
};

LIST_HEAD(hub_waiting, hub_watcher);

/* A chat that is followed. */
struct hub_channel {
    struct hub *hub;
    char key[HUB_NAMESPACE_BYTES + HUB_CHAT_ID_BYTES];
    struct chat_follow *follow;
    uint64_t first_seq; /* the recent messages are those from first_seq up to next_seq */
    uint64_t next_seq;
    struct hub_recent **slots; /* by seq, modulo their number */
    size_t slot_count;         /* a power of 2, or 0 */
    size_t watchers[SHARED_FORMS];
    struct hub_waiting waiting;
    bool live;
    unsigned lives; /* how often it has become live */
    bool listed;    /* in hub->channels: not when it has failed or is closing */
    bool failed;
    struct hub_failure *failure; /* why, or NULL for want of memory */
    uint64_t idle_since_ms;
    TAILQ_ENTRY(hub_channel) idle; /* of hub->idle, when nobody watches it */
};

struct hub_page {
    struct shared_message **messages;
    size_t count;
    size_t next;
};

struct hub_watcher {
    struct hub *hub;
    struct hub_channel *channel; /* from the start on */
    const char *method;
    void *data;
    void (*ready)(void *data);
    enum shared_form form;
    uint64_t next_seq;   /* to be given next; 0: not known yet */
    uint64_t head_seq;   /* at the start */
    uint64_t created_ms; /* a start that takes long after this ends */
    unsigned lives;      /* the channel's when HUB_LIVE was given */
    bool started_given;
    bool wants;   /* had nothing, and has not been told since */
    bool waiting; /* in the channel's list */
    bool queued;  /* for a page */
    bool calling; /* a page is under way */
    bool left;
    bool failed;
    struct hub_failure *failure; /* why, or NULL for want of memory */
    struct hub_page page;
    struct shared_message *taken; /* what has been given last */
    struct chat_call call;
    LIST_ENTRY(hub_watcher) in_waiting;
    TAILQ_ENTRY(hub_watcher) in_queue;
    TAILQ_ENTRY(hub_watcher) in_pages; /* when it has a page */
    char namespace_name[HUB_NAMESPACE_BYTES];
    char chat_id[HUB_CHAT_ID_BYTES];
    char *acting_user; /* or NULL */
};

struct hub {
    uv_loop_t *loop;
    struct chat_client *client;
    struct hub_options options;
    uv_timer_t sweep;
    void *channels;       /* by key; a tree of search.h */
    size_t channel_count; /* until they are freed */
    TAILQ_HEAD(hub_idle, hub_channel) idle;
    TAILQ_HEAD(hub_recents, hub_recent) recent; /* of all channels, the oldest first */
    size_t watcher_count;                       /* until they are freed */
    TAILQ_HEAD(hub_queue, hub_watcher) queue;   /* for pages */
    TAILQ_HEAD(hub_pages, hub_watcher) pages;   /* who has one, the longest untouched first */
    unsigned calls;
    struct jsonpb_buffer scratch;
    struct hub_stats stats;
    bool closing;
    bool timer_closed;
    void (*closed)(void *data);
    void *closed_data;
};

uint64_t hub_now_ms(void);
/* While there is anything that must go after a while. */
void hub_need_sweep(struct hub *hub);
/* A channel's or a watcher's memory is gone. */
void hub_part_gone(struct hub *hub);

/* NULL when out of memory, which failures are made to bear. */
struct hub_failure *hub_failure_make(int code, const char *id, const char *detail);
/* chat.<method>.<reason> */
struct hub_failure *hub_failure_refuse(const char *method, int code, const char *reason,
                                       const char *detail);
/* Of a call or a follow that ended so, for another reason than that the service refused it. */
struct hub_failure *hub_failure_of(int status, const char *detail);

/*
 * The channel of a chat whose last seq is head_seq, followed from now on if it is not yet; the
 * watcher is counted among its own. Returns NULL and a chat_status.
 */
struct hub_channel *hub_channel_join(struct hub *hub, struct hub_watcher *watcher,
                                     uint64_t head_seq, int *status);
void hub_channel_leave(struct hub_channel *channel, struct hub_watcher *watcher);
/* Whether the messages from `seq` on are among the recent ones of a chat that is followed. */
bool hub_channel_has(struct hub *hub, const struct hub_watcher *watcher, uint64_t seq);
/* The recent message with this seq, or NULL. */
struct shared_message *hub_channel_recent(const struct hub_channel *channel, uint64_t seq);
void hub_channel_close(struct hub_channel *channel);
/* Lets go of the oldest of all. */
void hub_recent_drop(struct hub *hub);

void hub_watcher_wake(struct hub_watcher *watcher);

#endif
