/*
 * The tail: messages that have been applied and are not yet settled, or are settled and still
 * wanted, oldest first. They lie one behind the other in blocks, never move, and leave in the order
 * in which they came.
 *
 * Owned by the loop's thread. Once tail_append has returned and the caller has filled it in, a
 * message does not change; the settle thread may then read a range of messages [first, last] that
 * was handed to it, through tail_next, until it hands the range back.
 */
#ifndef STORE_TAIL_H
#define STORE_TAIL_H

#include "store/database.h"
#include <stddef.h>
#include <stdint.h>

struct chat;

struct message {
    struct message *next; /* the one applied after it */
    struct chat *chat;
    uint64_t seq;
    uint32_t size; /* of `bytes` */
    uint8_t client_digest[DATABASE_DIGEST_BYTES];
    uint8_t bytes[]; /* wire form of Message */
};

struct tail_block;

struct tail {
    struct tail_block *oldest;
    struct tail_block *newest;
    struct tail_block *spare; /* one emptied block, kept for the next time */
    struct message *first;
    struct message *last;
    size_t bytes; /* messages with their headers */
    uint64_t count;
};

/* Zero-initialised is empty. Frees all messages. */
void tail_free(struct tail *tail);
/* A new last message with room for `size` bytes; its size is set and it is linked, the rest is the
 * caller's. NULL: out of memory. */
struct message *tail_append(struct tail *tail, uint32_t size);
/* Removes the first message, which must exist; its memory is gone with its block's last message. */
void tail_remove_first(struct tail *tail);

#endif
