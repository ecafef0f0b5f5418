/*
 * Many watchers of few chats: one follow, and with it one subscription at the broker, for each chat
 * that is watched, however many watch it.
 *
 * A watcher pulls. It has a place of its own in the chat, and takes one thing after the other from
 * there, whenever its client can be written to; when there is nothing, it is told once there is. A
 * watcher that takes nothing therefore costs nothing: there is no queue that could grow.
 *
 * Threads. All functions are for the loop's thread, and all callbacks come on it.
 *
 * Ownership. Watchers belong to the hub from hub_watch until hub_leave. What hub_take gives is
 * valid until the next call for the same watcher. Options are borrowed for the call.
 *
 * Failure. A watcher that cannot go on is given HUB_FAILED with the reason, at the beginning or
 * later, and nothing else from then on.
 */
#ifndef GATEWAY_HUB_H
#define GATEWAY_HUB_H

#include "clients/gateway/shared_message.h"
#include "clients/libchat/chat.h"

struct hub;
struct hub_watcher;

/* The client library, or what stands in for it in tests; as in chat.h. */
struct hub_source {
    int (*history)(struct chat_client *client, struct chat_call *call,
                   const struct chat_history_options *options, chat_call_cb cb);
    void (*cancel)(struct chat_call *call);
    int (*follow)(struct chat_client *client, struct chat_follow **follow,
                  const struct chat_follow_options *options);
    int (*follow_error)(const struct chat_follow *follow, const char **detail);
    void (*unfollow)(struct chat_follow *follow, void (*closed)(void *data), void *data);
};

/* Zero-initialised; 0 is the default of each. */
struct hub_options {
    const struct hub_source *source; /* NULL: the client library; must stay */
    uint64_t linger_ms;              /* how long a chat is followed after its last watcher has left;
                                        5 seconds */
    uint64_t recent_ms;              /* how long messages are kept for watchers that are a little
                                        behind, or come back; 10 seconds */
    size_t recent_bytes;             /* how much of them, of all chats together; 32 MiB */
    uint32_t page_messages;          /* what is read of history at once for a watcher; 200 */
    size_t page_bytes;               /* of all watchers together, before the page that has not been
                                        touched for longest is let go, to be read again; 32 MiB */
    unsigned page_requests;          /* under way at once; 32 */
    uint64_t start_timeout_ms;       /* to look at the chat when a watcher begins; 10 seconds */
};

/* Returns 0, CHAT_ENOMEM or CHAT_ESYSTEM. The client must stay until the hub is closed. */
CHAT_CHECKED int hub_create(struct hub **hub, uv_loop_t *loop, struct chat_client *client,
                            const struct hub_options *options);
/*
 * For when all watchers have left. Ends all follows, and calls `closed` with `data` when nothing
 * is left of it.
 */
void hub_close(struct hub *hub, void (*closed)(void *data), void *data);

struct hub_watch_options {
    const char *method;         /* "Connect": of ids of errors; must stay */
    const char *namespace_name; /* NULL or empty: "default" */
    const char *chat_id;
    const char *acting_user; /* who must be in the chat; NULL or empty: not checked */
    uint64_t from_seq;       /* the first message to be given; 0: what comes next */
    enum shared_form form;   /* what will be wanted */
    void *data;
    /* There may be something to take: comes once after hub_take had nothing, and not before. It may
     * come from within a call for another watcher. Anything may be called. */
    void (*ready)(void *data);
};

/* Nothing happens until the first hub_take. Whatever is wrong with names and ids is told by
 * HUB_FAILED. Returns 0 or CHAT_ENOMEM. */
CHAT_CHECKED int hub_watch(struct hub *hub, struct hub_watcher **watcher,
                           const struct hub_watch_options *options);
/* `ready` is not called any more. */
void hub_leave(struct hub_watcher *watcher);

enum hub_kind {
    HUB_NOTHING, /* for now: `ready` will be called */
    HUB_STARTED, /* the first: the chat is there, and the watcher may see it */
    HUB_MESSAGE, /* the next one of the chat */
    HUB_LIVE,    /* all messages up to head_seq have been given; again after each interruption */
    HUB_FAILED,  /* the last */
};

/* As an Error has it: 404, "chat.Connect.InvalidChatID", and a sentence without a full stop. */
struct hub_error {
    int code;
    const char *id;
    const char *detail;
};

struct hub_item {
    uint64_t head_seq;          /* of HUB_STARTED and HUB_LIVE: the chat's last seq */
    uint64_t seq;               /* of HUB_MESSAGE */
    struct shared_bytes *bytes; /* of HUB_MESSAGE, in the watcher's form; borrowed */
    struct hub_error error;
};

enum hub_kind hub_take(struct hub_watcher *watcher, struct hub_item *item);

struct hub_stats {
    size_t watchers;
    size_t chats;        /* that are followed */
    size_t recent_bytes; /* kept of them */
    size_t page_bytes;   /* held of pages of history */
    uint64_t messages;   /* that came from follows */
    uint64_t given;      /* to watchers */
    uint64_t pages;      /* of history that were read for watchers */
};

void hub_stats(const struct hub *hub, struct hub_stats *stats);

#endif
