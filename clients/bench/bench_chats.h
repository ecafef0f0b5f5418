/*
 * The chats that a workload runs on: made, or found again, before it begins, and filled with as
 * many messages as it needs. Loop's thread only.
 */
#ifndef CLIENTS_BENCH_BENCH_CHATS_H
#define CLIENTS_BENCH_BENCH_CHATS_H

#include "base/uuid.h"
#include "clients/bench/bench_settings.h"
#include "clients/bench/engine.h"

struct chats {
    uint64_t count;
    char (*ids)[UUID_TEXT_BYTES]; /* owned; the first byte is 0 where there is none yet */
    uint32_t *heads;              /* owned; the last seq, when it was read last */
};

/* Returns 0, or -1 with a line on `err`: a service that does not answer, refuses, or a signal. */
int chats_prepare(struct chats *chats, struct engine *engine, const struct bench_settings *settings,
                  FILE *err);
void chats_free(struct chats *chats);

#endif
