/*
 * Joining what history and events bring, by seq: what is to be handed on next, what has come too
 * early and is kept, what is missing. No time, no connection; one thread.
 */
#ifndef LIBCHAT_JOIN_H
#define LIBCHAT_JOIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What is kept at most. A page of history fits in. */
#define JOIN_MESSAGES_MAX 2048
#define JOIN_BYTES_MAX ((size_t)2 * 1024 * 1024)

struct join_message {
    uint64_t seq;
    uint8_t *bytes; /* owned by the join */
    size_t size;
};

struct join {
    uint64_t next_seq;         /* to be handed on next; 0: not known yet */
    uint64_t seen_seq;         /* the last one that is known to exist */
    struct join_message *held; /* ascending, from `first`; none twice; none before next_seq */
    size_t first;
    size_t count;
    size_t held_bytes;
};

/* `next_seq` 0: join_begin_at will say. Allocates nothing yet. */
void join_init(struct join *join, uint64_t next_seq);
void join_free(struct join *join);

/* Sets next_seq, which was 0, and lets go of what is before it. */
void join_begin_at(struct join *join, uint64_t next_seq);

/* Messages up to `seq` exist. */
void join_saw(struct join *join, uint64_t seq);

/* Whether this is the one to be handed on next; then hand it on and call join_advance. */
bool join_is_next(const struct join *join, uint64_t seq);

/*
 * Keeps a copy of a message that cannot be handed on now. What is before next_seq, or kept already,
 * is not kept again. When there is no room, those with the highest seq go; the next one
 * always has room. Where memory is short it is not kept, which is no loss but of time.
 */
void join_hold(struct join *join, uint64_t seq, const uint8_t *bytes, size_t size);

/* The kept message that is to be handed on next, valid until the next change; NULL for none. */
const struct join_message *join_front(const struct join *join);

/* The lowest seq that is kept; 0 for none. */
uint64_t join_first_held(const struct join *join);

/* The next one has been handed on; if it was kept, its memory goes. */
void join_advance(struct join *join);

/* Whether messages exist that have neither been handed on nor can be, for the next one is missing.
 */
bool join_is_behind(const struct join *join);

#endif
