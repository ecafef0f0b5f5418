/*
 * libchat: the chat service from C, on the caller's libuv loop.
 *
 * A client is a connection to the NATS broker that comes back by itself, for as long as the client
 * lives. Over it go calls (new, send, history), each retried until it is answered or its time is
 * up, questions to the service's instances (discover), and any number of follows, each of which
 * hands on the messages of a chat once each and in order, over lost connections and restarts of
 * broker and service.
 *
 * Threads. All functions are for the thread that runs the loop, and all callbacks come on it.
 * Nothing blocks it, and libuv's pool is not waited for. An attempt to connect has a thread of its
 * own, for some seconds when an address does not answer, and longer where a host name takes longer
 * to resolve; chat_close does not wait for it.
 *
 * Ownership. What a function is given is borrowed for the call only, unless it says otherwise;
 * options and strings may go when it returns. What a callback is given is valid until the callback
 * returns. A struct chat_call or chat_discovery is the caller's, and must stay where it is until
 * its last callback. Clients and follows belong to the library until their close callback.
 *
 * Failure. Functions return 0 or a negative enum chat_status. When a function that takes a callback
 * returns an error, the callback never comes; otherwise it comes exactly once, and never before
 * the function has returned. chat_strerror says each status in words.
 *
 * In callbacks everything may be called: further calls, chat_follow_close, chat_close.
 */
#ifndef CHAT_H
#define CHAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define CHAT_API __attribute__((visibility("default")))
#define CHAT_CHECKED CHAT_API __attribute__((warn_unused_result))
#else
#define CHAT_API
#define CHAT_CHECKED
#endif

#define CHAT_STATUSES(X)                                                                           \
    X(OK, 0, "done")                                                                               \
    X(EINVAL, -1, "an argument is not usable")                                                     \
    X(ENOMEM, -2, "out of memory")                                                                 \
    X(EREFUSED, -3, "the service refused it")                                                      \
    X(ETIMEDOUT, -4, "no answer in time")                                                          \
    X(ECANCELED, -5, "cancelled, or the client was closed")                                        \
    X(EDENIED, -6, "the broker does not permit it")                                                \
    X(ETOOLARGE, -7, "larger than the broker's maximum payload")                                   \
    X(EPROTO, -8, "the service's answer does not decode")                                          \
    X(ELOST, -9, "the service no longer has messages that it had shown")                           \
    X(ECONNECT, -10, "the broker cannot be reached")                                               \
    X(ESYSTEM, -11, "the operating system or the NATS library failed")

enum chat_status {
#define X(name, number, text) CHAT_##name = number,
    CHAT_STATUSES(X)
#undef X
};

/* A sentence without a full stop, valid for ever. */
CHAT_API const char *chat_strerror(int status);
/* "0.1.0"; of the library that is linked. */
CHAT_API const char *chat_version(void);

/* ---- The client ---- */

#define CHAT_DEFAULT_URL "nats://127.0.0.1:4222"

struct chat_client;

/*
 * How to reach the broker. Zero-initialise it; what is NULL, empty or 0 is not used. Files are read
 * at each attempt to connect.
 */
struct chat_options {
    /* nats://host:port or tls://host:port, maybe with user:password@ or token@; tried in random
     * order. None: CHAT_DEFAULT_URL. Give all brokers of a cluster. */
    const char *const *urls;
    size_t url_count;
    const char *name; /* what the broker's monitoring shows; NULL: "libchat" */
    const char *user;
    const char *password;
    const char *token;
    const char *nkey_seed_file;   /* an nkey user's seed, "SU…" */
    const char *credentials_file; /* a JWT and its seed */
    /* Each of the next three makes the connection TLS, as tls:// does: the broker's certificate
     * must then be for the host of its address. Without tls_ca_file the system's authorities are
     * trusted. */
    const char *tls_ca_file;
    const char *tls_cert_file;
    const char *tls_key_file;
    const char *inbox_prefix;    /* of reply subjects, for brokers that separate their users by
                                    it; NULL: "_INBOX" */
    uint64_t attempt_timeout_ms; /* how long a call waits for a reply before the next attempt;
                                    0: 3 seconds */
    uint64_t follow_check_interval_ms; /* how long a follow trusts in silence before it asks whether
                                          there is anything new; 0: 10 seconds */
    void *data;                        /* for `connection` */
    /*
     * News about the connection, or NULL. `status` is CHAT_OK when there is one, CHAT_ECONNECT when
     * it is lost or an attempt failed, CHAT_EDENIED when the broker does not let us in; attempts
     * go on in each case. `detail` says more, without secrets; for CHAT_OK it is the address.
     */
    void (*connection)(void *data, int status, const char *detail);
};

/*
 * Starts a client, which connects on its own and for ever; requests can be made at once and wait
 * for the connection. Copies the options. Returns 0, CHAT_EINVAL for an address, a prefix or a
 * combination that cannot be right or a file that cannot be loaded, CHAT_ENOMEM or CHAT_ESYSTEM.
 */
CHAT_CHECKED int chat_connect(struct chat_client **client, uv_loop_t *loop,
                              const struct chat_options *options);

/*
 * Ends all calls and discoveries with CHAT_ECANCELED, closes all follows, closes the connection,
 * and calls `closed` (unless NULL) with `data` when nothing is left of it; the callbacks of calls
 * come before. It waits for an attempt to connect that is under way.
 */
CHAT_API void chat_close(struct chat_client *client, void (*closed)(void *data), void *data);

/* 1 to 64 of A-Z, a-z, 0-9, _ and -: what may name a namespace. */
CHAT_API bool chat_namespace_is_valid(const char *name);
/* Whether it has the form of a broker's address; if it can be reached is seen later. */
CHAT_API bool chat_url_is_valid(const char *url);

/* ---- Messages ---- */

/* Strings are never NULL, and valid UTF-8. Valid until the callback that it was given to returns.
 */
struct chat_message {
    uint64_t seq; /* position in the chat: 1, 2, 3, … without gaps */
    const char *id;
    const char *client_id;
    const char *chat_id;
    const char *user_id;
    const char *subject;
    const char *text;
    int64_t sent_at_seconds; /* since 1970, UTC */
    int32_t sent_at_nanos;
    const uint8_t *bytes; /* the stored form: a chat.Message in protobuf's wire format */
    size_t bytes_size;
};

/* ---- Calls ---- */

struct chat_call;
typedef void (*chat_call_cb)(struct chat_call *call);

/* One request. Nothing in it needs to be set before, except `data`. */
struct chat_call {
    void *data; /* yours */
    chat_call_cb cb;

    /* All that follows is for the callback to read, and valid until it returns. */
    int status;
    /*
     * An attempt got no answer and may have been carried out all the same. When the status is not
     * CHAT_OK and this is set, the outcome of a send is unknown: repeating it with the same
     * client_id finds out, and never makes a second message.
     */
    bool maybe_done;
    int code;           /* of CHAT_EREFUSED: 400, 404, …; otherwise 0 */
    const char *error;  /* of CHAT_EREFUSED: "chat.Send.InvalidChatID"; otherwise "" */
    const char *detail; /* what went wrong, in words; "" for CHAT_OK */
    union {
        struct {
            const char *chat_id;
            bool created;
        } created; /* of chat_new */
        struct {
            const struct chat_message *message; /* as it is stored */
            bool duplicate;                     /* it had been accepted before */
        } sent;                                 /* of chat_send */
        struct {
            const struct chat_message *messages; /* in ascending seq */
            size_t count;
            uint64_t head_seq; /* the chat's last seq */
            bool more;         /* the range holds messages beyond this page */
        } page;                /* of chat_history */
    } result;                  /* of CHAT_OK */
    const uint8_t *reply;      /* of CHAT_OK: the response in protobuf's wire format */
    size_t reply_size;

    void *internal; /* the library's */
};

/* Where a call belongs. Zero-initialised: the default namespace, a trusted caller, 10 seconds. */
struct chat_context {
    const char *namespace_name; /* NULL or empty: "default" */
    const char *acting_user;    /* carried out on behalf of this user, and checked by the service;
                                   NULL or empty: the caller decides for itself */
    uint64_t timeout_ms;        /* for all attempts together; 0: 10 seconds; UINT64_MAX: for ever */
    const char *traceparent;    /* of W3C Trace Context: the service logs it when the call is slow
                                   or fails, and a send's event has it; NULL or empty: none */
    bool refusals_are_final;    /* the service's 503 and 507 end the call at once, for callers whose
                                   own callers will try again */
};

struct chat_new_options {
    struct chat_context context;
    const char *const *user_ids;
    size_t user_count;
};

struct chat_send_options {
    struct chat_context context;
    const char *client_id; /* names the message; NULL or empty: a new UUID, in the result */
    const char *chat_id;
    const char *user_id;
    const char *subject; /* or NULL */
    const char *text;
};

struct chat_history_options {
    struct chat_context context;
    const char *chat_id;
    uint64_t from_seq;   /* 0: unset */
    uint64_t before_seq; /* 0: unset */
    uint32_t limit;      /* 0: 50; more than 1000: 1000 */
};

/*
 * The three calls. Retried until the deadline, with pauses from 250 ms to 2 s that are spread by
 * chance: no connection, a lost connection, no service there, no reply in time, and the service's
 * 503 and 507. All attempts carry the same bytes, and sends the same client_id. What is wrong with
 * ids, texts or ranges is the service's to say, as CHAT_EREFUSED; CHAT_EINVAL is returned
 * for a namespace that is none, an acting user with control characters, and a traceparent that does
 * not have that standard's shape.
 *
 * Several sends that are under way at once can be stored in any order: who needs an order waits
 * for each before the next.
 */
CHAT_CHECKED int chat_new(struct chat_client *client, struct chat_call *call,
                          const struct chat_new_options *options, chat_call_cb cb);
CHAT_CHECKED int chat_send(struct chat_client *client, struct chat_call *call,
                           const struct chat_send_options *options, chat_call_cb cb);
CHAT_CHECKED int chat_history(struct chat_client *client, struct chat_call *call,
                              const struct chat_history_options *options, chat_call_cb cb);

/*
 * Stops trying: the callback comes soon, with CHAT_ECANCELED unless the answer is faster. Harmless
 * when the callback has been called. What was sent may still be carried out (see maybe_done).
 */
CHAT_API void chat_cancel(struct chat_call *call);

/* ---- Discovery ---- */

/* What to ask the instances of the service for, in the terms of the NATS service API. */
enum chat_discover_kind {
    CHAT_DISCOVER_PING,  /* who is there: name, id, version, metadata */
    CHAT_DISCOVER_INFO,  /* with description and endpoints */
    CHAT_DISCOVER_STATS, /* with the figures of the endpoints and of the inside */
};

/* Zero-initialised: a PING to all, for a second. */
struct chat_discover_options {
    enum chat_discover_kind kind;
    const char *instance_id; /* ask this one only; NULL or empty: all of them */
    uint64_t wait_ms;        /* for the connection and the replies together; 0: 1 second */
    size_t enough; /* end as soon as so many have answered; 0: not before the time is up */
};

struct chat_discovery;

/* One question to all instances. The caller's, to stay where it is until `done`. */
struct chat_discovery {
    void *data; /* yours, and all there is to set before */

    /* All that follows is for the callbacks to read. */
    void (*reply)(struct chat_discovery *discovery, const char *json, size_t size);
    void (*done)(struct chat_discovery *discovery);
    int status;
    size_t replies;     /* so far */
    const char *detail; /* what went wrong, in words; "" for CHAT_OK */

    void *internal; /* the library's */
};

/*
 * Asks the instances of the service on this broker, in all namespaces, and calls `reply` for each
 * that answers, with its JSON as it came: `size` bytes without a NUL, not checked to be JSON. Then,
 * once, `done`; its status is CHAT_OK when the broker was asked and the time is up, enough have
 * answered, or the broker says that nobody is there: `replies` is the count, and may be 0.
 * Otherwise CHAT_ECONNECT (no connection in time, or lost while waiting), CHAT_EDENIED (the broker
 * does not permit it) or CHAT_ECANCELED; what had been handed on by then stands. It is asked once:
 * who wants to know again asks again.
 *
 * Returns 0, CHAT_EINVAL for an instance_id that is not 1 to 64 of A-Z, a-z, 0-9, _ and -, or no
 * callback, or CHAT_ENOMEM.
 */
CHAT_CHECKED int chat_discover(struct chat_client *client, struct chat_discovery *discovery,
                               const struct chat_discover_options *options,
                               void (*reply)(struct chat_discovery *discovery, const char *json,
                                             size_t size),
                               void (*done)(struct chat_discovery *discovery));

/* `done` comes soon, with CHAT_ECANCELED, and no `reply` before it. Harmless after it. */
CHAT_API void chat_discover_cancel(struct chat_discovery *discovery);

/* ---- Following ---- */

struct chat_follow;

enum chat_follow_state {
    CHAT_FOLLOW_CATCHING_UP, /* reading history, or waiting for connection or service */
    CHAT_FOLLOW_LIVE,   /* everything up to the head has been handed on; events go on from it */
    CHAT_FOLLOW_FAILED, /* it cannot go on; chat_follow_error says why. Close it. */
};

struct chat_follow_options {
    struct chat_context context; /* its timeout is not used: a follow never gives up */
    const char *chat_id;
    uint64_t from_seq; /* the first message to hand on; 1: the beginning; 0: whatever comes now.
                          Who has read up to n resumes from n + 1. */
    void *data;        /* yours, for the callbacks */
    /* Every message from from_seq on, once each, in order. */
    void (*message)(struct chat_follow *follow, void *data, const struct chat_message *message);
    /* Each change of the state; or NULL. It begins as CHAT_FOLLOW_CATCHING_UP, without a call. */
    void (*state)(struct chat_follow *follow, void *data, enum chat_follow_state state);
};

/*
 * Starts to follow. Returns 0, CHAT_EINVAL for a chat_id that is no UUID, a namespace that is none
 * or no message callback, or CHAT_ENOMEM.
 *
 * It fails, later, when the service refuses to show the chat (no such chat, not a member, …:
 * CHAT_EREFUSED), the broker does not permit to hear its events or to ask for its history
 * (CHAT_EDENIED), or the service's last seq is below from_seq - 1 (CHAT_ELOST).
 */
CHAT_CHECKED int chat_follow_start(struct chat_client *client, struct chat_follow **follow,
                                   const struct chat_follow_options *options);

/*
 * For callers who cannot take more for now: no message comes between pause and resume. Meanwhile
 * the follow keeps up to about 2 MiB and lets go of the rest, which it reads from history later.
 */
CHAT_API void chat_follow_pause(struct chat_follow *follow);
CHAT_API void chat_follow_resume(struct chat_follow *follow);

/* The seq of the message that is to be handed on next: where to resume; 0 while that is not known,
 * shortly after a start from now. */
CHAT_API uint64_t chat_follow_next_seq(const struct chat_follow *follow);

/* Why it failed, valid until closed; CHAT_OK and "" while it has not. */
CHAT_API int chat_follow_error(const struct chat_follow *follow, const char **detail);

/* No message and no state comes from now on; `closed` (unless NULL) comes, with `data`, when the
 * follow is gone. At most once for each follow, and not after chat_close of its client. */
CHAT_API void chat_follow_close(struct chat_follow *follow, void (*closed)(void *data), void *data);

#ifdef __cplusplus
}
#endif

#endif
