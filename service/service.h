/*
 * The running service: what requests, methods and replies share, and its life from opening the
 * store to the last reply. All on the loop's thread.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include "proto/arena.h"
#include "proto/error.h"
#include "service/lanes.h"
#include "service/method_index.h"
#include "service/monitor.h"
#include "service/pace.h"
#include "service/peers.h"
#include "service/settings.h"
#include "store/store.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct request;

/* Monotone counts since the start. */
struct service_counts {
    uint64_t requests;
    uint64_t errors;          /* answered with one, or would have been */
    uint64_t refused_replies; /* reply subjects under chat., $SRV., $JS. or $SYS. */
    uint64_t lost_replies;    /* the connection would not take them */
    uint64_t events;
    uint64_t lost_events;
};

/* The same for one method, as monitors ask for them. */
struct method_counts {
    uint64_t requests;
    uint64_t errors;
    uint64_t processing_ns;                       /* of all that were given to the store */
    char last_error[CHAT_ERROR_DETAIL_BYTES + 8]; /* code:detail; empty: none yet */
};

enum service_stage {
    SERVICE_STARTING,  /* no broker yet */
    SERVICE_RUNNING,   /* ready */
    SERVICE_DRAINING,  /* takes what the broker had sent already */
    SERVICE_FINISHING, /* waits for the requests in flight */
    SERVICE_CLOSING,   /* replies are out; the store settles */
    SERVICE_CLOSED,
};

struct service {
    const struct settings *settings;
    uv_loop_t *loop;
    struct store *store;
    struct lanes lanes;
    struct broker *broker; /* of the main lane */
    enum service_stage stage;
    bool gave_up; /* it stops, or has stopped, because of another instance */
    uint64_t started_ms;
    struct store_opened opened;

    /* Two of them, since a reply may have to be put together while its request is still being
     * submitted. */
    struct arena request_arena;
    struct arena reply_arena;
    struct request *free_requests; /* a list; owned by request.c */
    uint64_t in_flight;            /* requests taken and not yet answered */

    struct service_counts counts;
    struct method_counts method_counts[METHOD_COUNT];
    uint64_t refused[CHAT_REASON_COUNT]; /* errors by reason */
    struct monitor monitor;
    struct peers peers;
    struct pace refused_pace;
    struct pace lost_pace;
    struct pace fault_pace;
    struct pace refusal_pace;
    struct pace slow_pace;

    uv_signal_t terminate;
    uv_signal_t interrupt;
    uv_timer_t patience; /* with the requests in flight, when stopping */
};

/*
 * Opens the store and begins to connect. Returns 0, or -1 with a log line. Then the caller runs the
 * loop until it runs out, which it does after SIGTERM or SIGINT; and ends with service_free.
 * `service` is zeroed memory; `settings` is borrowed until then.
 * service_free returns whether no thread is left that uses what it had; otherwise the settings must
 * stay, and _exit end the process.
 */
int service_start(struct service *service, uv_loop_t *loop, const struct settings *settings);
bool service_free(struct service *service);

/* Called by peers.c: nobody else is there, take requests; or somebody is: stop, as after a signal,
 * with what was taken answered and settled. */
void service_admitted(struct service *service);
void service_give_up(struct service *service);

/* Called by request.c when a request is done with. */
void service_request_finished(struct service *service);

#endif
