/*
 * Requests that are under way: each is published, its reply awaited, and published again after a
 * pause while that can help, until its deadline. For the loop's thread.
 */
#ifndef LIBCHAT_CALLS_H
#define LIBCHAT_CALLS_H

#include "clients/libchat/address.h"
#include "clients/libchat/chat.h"
#include "clients/libchat/connection.h"

struct calls;

/* Of reply subjects, when the caller has no other. */
#define CALLS_DEFAULT_PREFIX "_INBOX"

enum calls_method { CALLS_NEW, CALLS_SEND, CALLS_HISTORY };

struct calls_settings {
    const char *inbox_prefix;    /* copied; NULL: the default */
    uint64_t attempt_timeout_ms; /* 0: the default */
};

/* Returns 0 or CHAT_ENOMEM. */
int calls_create(struct calls **calls, const struct calls_settings *settings);
/* Subscribes to the replies. */
void calls_start(struct calls *calls, uv_loop_t *loop, struct connection *connection);
/* For what was created and not started; what was started is closed. */
void calls_destroy(struct calls *calls);

/* Where the bytes of a request are to be written to; valid until calls_submit or calls_discard. */
struct calls_request {
    struct calls_entry *entry;
    uint8_t *bytes; /* `size` of them */
};

/* Makes room for a request. Returns 0, CHAT_EINVAL for the context, or CHAT_ENOMEM. */
int calls_prepare(struct calls *calls, struct calls_request *request, enum calls_method method,
                  const struct chat_context *context, size_t size);
/*
 * From now on the call is under way, and its callback comes. A patient one does not end when the
 * broker will not have us, but waits for a broker that will.
 */
void calls_submit(struct calls *calls, const struct calls_request *request, struct chat_call *call,
                  chat_call_cb cb, bool patient);

/* What the connection has to tell. */
void calls_up(struct calls *calls);
void calls_down(struct calls *calls, int status, const char *detail);
void calls_denied(struct calls *calls, const char *text);

/* Ends all calls with CHAT_ECANCELED, before it returns; `closed` comes later. No new ones may be
 * made, not even in those callbacks: the client refuses them. */
void calls_close(struct calls *calls, void (*closed)(void *data), void *data);

#endif
