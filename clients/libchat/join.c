/*
 * Kept messages are in an array in the order of seq. Nearly always a new one goes to its end and
 * the next one is taken from its front; only when a page of history arrives after events did, its
 * messages go before them.
 */
#include "clients/libchat/join.h"

#include <stdlib.h>
#include <string.h>

void join_init(struct join *join, uint64_t next_seq)
{
    *join = (struct join){.next_seq = next_seq};
}

void join_free(struct join *join)
{
    for (size_t i = 0; i < join->count; i++)
        free(join->held[join->first + i].bytes);
    free(join->held);
    *join = (struct join){0};
}

static void drop_front(struct join *join)
{
    struct join_message *front = &join->held[join->first];

    join->held_bytes -= front->size;
    free(front->bytes);
    join->count--;
    join->first++;
    if (join->count > 0)
        return;
    /* Most follows never keep anything again. */
    free(join->held);
    join->held = NULL;
    join->first = 0;
}

static void drop_back(struct join *join)
{
    struct join_message *back = &join->held[join->first + join->count - 1];

    join->held_bytes -= back->size;
    free(back->bytes);
    join->count--; /* and something is about to take its place */
}

static void drop_old(struct join *join)
{
    while (join->count > 0 && join->held[join->first].seq < join->next_seq)
        drop_front(join);
}

void join_begin_at(struct join *join, uint64_t next_seq)
{
    join->next_seq = next_seq;
    drop_old(join);
}

void join_saw(struct join *join, uint64_t seq)
{
    if (seq > join->seen_seq)
        join->seen_seq = seq;
}

bool join_is_next(const struct join *join, uint64_t seq)
{
    return seq == join->next_seq && seq > 0;
}

/* Where a message with this seq belongs, counted from `first`. */
static size_t place_of(const struct join *join, uint64_t seq)
{
    size_t low = 0;
    size_t high = join->count;

    if (high > 0 && join->held[join->first + high - 1].seq < seq)
        return high;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (join->held[join->first + middle].seq < seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_full(const struct join *join, size_t size)
{
    return join->count == JOIN_MESSAGES_MAX ||
           (join->count > 0 && join->held_bytes + size > JOIN_BYTES_MAX);
}

/* Makes room at the expense of those behind `seq`; false when there are none. */
static bool make_room(struct join *join, uint64_t seq, size_t size)
{
    while (is_full(join, size)) {
        if (join->held[join->first + join->count - 1].seq < seq)
            return false;
        drop_back(join);
    }
    return true;
}

static bool has_array(struct join *join)
{
    if (join->held == NULL)
        join->held = calloc(JOIN_MESSAGES_MAX, sizeof *join->held);
    return join->held != NULL;
}

static void insert(struct join *join, size_t place, const struct join_message *message)
{
    struct join_message *at;

    if (join->first + join->count == JOIN_MESSAGES_MAX) {
        memmove(join->held, join->held + join->first, join->count * sizeof *join->held);
        join->first = 0;
    }
    at = join->held + join->first + place;
    memmove(at + 1, at, (join->count - place) * sizeof *at);
    *at = *message;
    join->count++;
    join->held_bytes += message->size;
}

void join_hold(struct join *join, uint64_t seq, const uint8_t *bytes, size_t size)
{
    struct join_message message = {.seq = seq, .size = size};
    size_t place;

    if (seq == 0 || seq < join->next_seq || !has_array(join))
        return;
    place = place_of(join, seq);
    if (place < join->count && join->held[join->first + place].seq == seq)
        return;
    if (!make_room(join, seq, size))
        return;
    message.bytes = malloc(size + 1);
    if (message.bytes == NULL)
        return;
    if (size > 0)
        memcpy(message.bytes, bytes, size);
    insert(join, place, &message);
}

const struct join_message *join_front(const struct join *join)
{
    const struct join_message *front = join->count > 0 ? &join->held[join->first] : NULL;

    return front != NULL && front->seq == join->next_seq ? front : NULL;
}

uint64_t join_first_held(const struct join *join)
{
    return join->count == 0 ? 0 : join->held[join->first].seq;
}

void join_advance(struct join *join)
{
    join_saw(join, join->next_seq);
    join->next_seq++;
    drop_old(join);
}

bool join_is_behind(const struct join *join)
{
    return join->next_seq <= join->seen_seq && join_front(join) == NULL;
}
