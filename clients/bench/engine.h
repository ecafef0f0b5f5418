/*
 * Keeps requests under way: closed loop, so many of them at any time; or open loop, each at the
 * moment it is due, whether or not earlier ones were answered.
 *
 * What the requests are is the source's business. Making chats, filling them, the workload itself
 * and reading everything back are sources; each is run on the same engine, one after the other. The
 * load generator shares its cores with what it measures: nothing is allocated for a request here,
 * and there is one look at the clock for each reply. Loop's thread only.
 */
#ifndef CLIENTS_BENCH_ENGINE_H
#define CLIENTS_BENCH_ENGINE_H

#include "clients/bench/bench_link.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Failures that have no code of the service's; below 100, so that they are no HTTP statuses. */
enum engine_failure {
    ENGINE_TIMEOUT = 1,   /* no reply in time */
    ENGINE_NO_RESPONDERS, /* nobody subscribes to the subject */
    ENGINE_NOT_SENT,      /* the connection would not take it */
    ENGINE_BAD_REPLY,     /* the reply is not what it should be; set by sources */
    ENGINE_DUPLICATE,     /* a message with a fresh client id was a duplicate; set by sources */
};
#define ENGINE_CODES 1000

/* "timeout", or "503". */
const char *engine_code_text(int code, char text[16]);

/* One request under way; `kind` and what follows are the source's. */
struct engine_request {
    uint64_t due_ns; /* when it was sent; in an open loop, when it should have been */
    int kind;
    uint32_t chat;
    uint32_t floor;
    uint64_t number;
};

/* What next() fills in besides: borrowed until it has been sent, which is at once. */
struct engine_message {
    const char *subject;
    const void *bytes;
    size_t size;
};

struct engine_source {
    void *data;
    /* The next request; false when there is none now. It is asked again after each reply, and the
     * run is over when there is none and nothing is under way. */
    bool (*next)(void *data, struct engine_request *request, struct engine_message *message);
    /* Exactly one of the two for each request. replied() may say that the reply is bad, by
     * returning a code instead of 0; then it counts as failed, and failed() is called with it. */
    int (*replied)(void *data, const struct engine_request *request, uint64_t now_ns,
                   const uint8_t *bytes, size_t size);
    void (*failed)(void *data, const struct engine_request *request, uint64_t now_ns, int code);
    /* About each 100 ms; may be NULL. */
    void (*tick)(void *data, uint64_t now_ns);
};

struct engine_pace {
    size_t outstanding;   /* at most; up to what the engine was opened with */
    double rate;          /* requests per second of an open loop; 0: closed loop */
    uint64_t duration_ns; /* nothing is due after it; 0: until the source has no more */
    uint64_t timeout_ns;  /* without a reply for so long, a request has failed */
};

struct engine;

/* Connects. Returns 0, or -1 with a line on `err`. `settings` is borrowed until engine_close. */
int engine_open(struct engine **engine, const struct broker_access *access, size_t connections,
                size_t outstanding_max, FILE *err);
void engine_close(struct engine *engine);

/* The clock of all times here: monotone, in nanoseconds. */
uint64_t engine_now_ns(void);

/*
 * Runs until the source has no more, or the time is up, and nothing is under way; `began_ns` is set
 * before the first request. Returns false when SIGINT or SIGTERM ended it before (what was under
 * way is then answered all the same, or has timed out); each later run ends at once.
 */
bool engine_run(struct engine *engine, const struct engine_source *source,
                const struct engine_pace *pace, uint64_t *began_ns);

/* Lets so much time pass, on the loop. False as above. */
bool engine_pause(struct engine *engine, uint64_t pause_ms);

#endif
