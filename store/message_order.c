/*
 *   messages ─▶ places: number of the chat, index ─▶ sorted by digits of the number ─▶ messages
 *
 * Only the places are moved in each pass, eight bytes for a message of forty-eight; the messages go
 * to where they belong at the end, each once. Passes keep the order of equals, which makes the
 * chats' messages stay as they came.
 *
 * If there is no memory for the places, or the numbers do not fit, or some chat's messages did not
 * come in the order of their seqs, comparing sorts what there is.
 */
#include "store/message_order.h"

#include "store/database_order.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DIGIT_BITS 11
#define DIGITS (1u << DIGIT_BITS)
/* A few are sorted sooner than counts are summed up. */
#define FEW 64

/* The chat's number, from the lowest one on, in the upper half and the message's index below. */
typedef uint64_t place;

static bool is_sorted(const struct database_message *messages, size_t count)
{
    size_t sorted = 1;

    while (sorted < count && database_by_seq(&messages[sorted - 1], &messages[sorted]) <= 0)
        sorted++;
    return sorted >= count;
}

/* False when the numbers, or the indexes, have more than 32 bits. */
static bool number_range(const struct database_message *messages, size_t count, uint64_t *low,
                         uint64_t *range)
{
    uint64_t high = messages[0].chat_number;

    *low = high;
    for (size_t i = 1; i < count; i++) {
        uint64_t number = messages[i].chat_number;
        if (number < *low)
            *low = number;
        if (number > high)
            high = number;
    }
    *range = high - *low;
    return *range <= UINT32_MAX && count <= UINT32_MAX;
}

static size_t digit_of(place where, unsigned shift)
{
    return (size_t)(where >> shift) & (DIGITS - 1);
}

/* By one digit, keeping the order of equals. */
static void sort_digit(const place *from, place *to, size_t count, unsigned shift)
{
    uint32_t starts[DIGITS] = {0};
    uint32_t sum = 0;

    for (size_t i = 0; i < count; i++)
        starts[digit_of(from[i], shift)]++;
    for (size_t i = 0; i < DIGITS; i++) {
        uint32_t of_digit = starts[i];
        starts[i] = sum;
        sum += of_digit;
    }
    for (size_t i = 0; i < count; i++)
        to[starts[digit_of(from[i], shift)]++] = from[i];
}

/* Puts each message where its index stands, going round each cycle of places once. */
static void move_messages(struct database_message *messages, place *places, size_t count)
{
    for (size_t start = 0; start < count; start++) {
        struct database_message first = messages[start];
        size_t to = start;
        size_t from = (uint32_t)places[to];

        while (from != start && from != to) {
            messages[to] = messages[from];
            places[to] = to;
            to = from;
            from = (uint32_t)places[to];
        }
        messages[to] = first;
        places[to] = to;
    }
}

static void sort_by_chat(struct database_message *messages, size_t count)
{
    uint64_t low;
    uint64_t range;
    bool fits = number_range(messages, count, &low, &range);
    place *places = fits ? malloc(2 * count * sizeof *places) : NULL;
    place *from = places;
    place *to;

    if (places == NULL)
        return;
    to = places + count;
    for (size_t i = 0; i < count; i++)
        from[i] = (messages[i].chat_number - low) << 32 | i;
    for (unsigned bits = 0; bits < 32 && range >> bits > 0; bits += DIGIT_BITS) {
        place *sorted = to;
        sort_digit(from, to, count, 32 + bits);
        to = from;
        from = sorted;
    }
    move_messages(messages, from, count);
    free(places);
}

void message_order(struct database_message *messages, size_t count)
{
    if (count > FEW)
        sort_by_chat(messages, count);
    if (!is_sorted(messages, count))
        qsort(messages, count, sizeof *messages, database_by_seq);
}
