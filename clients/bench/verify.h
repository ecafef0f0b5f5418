/*
 * Afterwards: reads all chats back and checks what they hold against what was acknowledged. Loop's
 * thread only.
 */
#ifndef CLIENTS_BENCH_VERIFY_H
#define CLIENTS_BENCH_VERIFY_H

#include "clients/bench/load.h"

struct verification {
    uint64_t acknowledged;
    uint64_t read;           /* messages of all chats, those of earlier runs too */
    uint64_t unacknowledged; /* of this run and there, though nobody was told; no fault */
    uint64_t missing;        /* acknowledged, and not there */
    uint64_t repeated;       /* there more than once */
    uint64_t misplaced;      /* in another chat, or with another seq, than was said */
    uint64_t altered;        /* with another text than was sent */
    uint64_t gaps;           /* a seq that does not follow the one before */
    uint64_t out_of_order;   /* sent after another was acknowledged, and before it in the chat */
    uint64_t unread_chats;   /* could not be read to the end */
};

/* Returns 0; or -1 with a line on `err`, out of memory. */
int verify_run(struct verification *verification, const struct load *load, struct engine *engine,
               FILE *err);

bool verification_passed(const struct verification *verification);

#endif
