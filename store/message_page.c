/*
 *     bytes   begin                              end                 capacity
 *       │       │                                  │                   │
 *       ├───────┼─ 0a length message 0a length … ──┼─ spare ──┬────────┤
 *         ◀───── backwards                           forwards ─────▶
 *
 * An empty page begins at either side, as it is going to grow. What is to grow to a side without
 * room moves to a larger buffer, at the far side of it.
 */
#include "store/message_page.h"

#include <stdlib.h>
#include <string.h>

/* A tag and a length, at most. */
#define FRAME_BYTES_MAX 6
#define CAPACITY_MIN 1024

_Static_assert(FRAME_BYTES_MAX <= MESSAGE_PAGE_OVERHEAD_BYTES,
               "a page within its budget takes no more than that");

void message_page_clear(struct message_page *page)
{
    page->begin = 0;
    page->end = 0;
    page->size = 0;
    page->count = 0;
}

void message_page_free(struct message_page *page)
{
    free(page->bytes);
    *page = (struct message_page){0};
}

/* Where the messages go in a buffer of `capacity`. */
static size_t place_of(const struct message_page *page, size_t capacity, bool backwards)
{
    return backwards ? capacity - MESSAGE_PAGE_SPARE_BYTES - (page->end - page->begin) : 0;
}

static bool move(struct message_page *page, size_t capacity, bool backwards)
{
    size_t begin = place_of(page, capacity, backwards);
    uint8_t *bytes = malloc(capacity);

    if (bytes == NULL)
        return false;
    if (page->end > page->begin)
        memcpy(bytes + begin, page->bytes + page->begin, page->end - page->begin);
    free(page->bytes);
    page->bytes = bytes;
    page->capacity = capacity;
    page->end = begin + (page->end - page->begin);
    page->begin = begin;
    return true;
}

static size_t room(const struct message_page *page, bool backwards)
{
    if (page->capacity == 0)
        return 0;
    return backwards ? page->begin : page->capacity - MESSAGE_PAGE_SPARE_BYTES - page->end;
}

bool message_page_reserve(struct message_page *page, size_t count, size_t bytes, bool backwards)
{
    size_t needed = bytes + count * FRAME_BYTES_MAX;
    size_t wanted = page->end - page->begin + needed + MESSAGE_PAGE_SPARE_BYTES;
    size_t capacity = page->capacity < CAPACITY_MIN ? CAPACITY_MIN : page->capacity;

    if (page->count == 0 && page->capacity > 0) {
        page->begin = place_of(page, page->capacity, backwards);
        page->end = page->begin;
    }
    if (needed <= room(page, backwards))
        return true;
    while (capacity < wanted)
        capacity *= 2;
    return move(page, capacity, backwards);
}

bool message_page_add(struct message_page *page, uint64_t seq, const uint8_t *bytes, size_t size,
                      bool backwards)
{
    if (!message_page_reserve(page, 1, size, backwards))
        return false;
    message_page_put(page, seq, bytes, size, backwards);
    return true;
}

bool message_page_next(const struct message_page *page, struct message_view *view)
{
    const uint8_t *next;
    size_t size = 0;

    if (page->count == 0) /* and maybe without memory */
        return false;
    next = view->bytes == NULL ? page->bytes + page->begin : view->bytes + view->size;
    if (next == page->bytes + page->end)
        return false;
    next++; /* the tag */
    for (unsigned shift = 0;; shift += 7) {
        size |= (size_t)(*next & 0x7f) << shift;
        if (*next++ < 0x80)
            break;
    }
    view->seq = view->bytes == NULL ? page->first_seq : view->seq + 1;
    view->bytes = next;
    view->size = size;
    return true;
}
