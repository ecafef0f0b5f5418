/*
 * A run of a chat's messages on its way to a reader: consecutive seqs, ascending, one behind the
 * other as they stand in a HistoryResponse, each behind its tag and its length. So a page that was
 * read needs no further copy to become a reply.
 *
 * It grows at its end, or at its front when it is read backwards: one or the other, until it is
 * cleared. Belongs to one thread at a time. Zero-initialise.
 */
#ifndef STORE_MESSAGE_PAGE_H
#define STORE_MESSAGE_PAGE_H

#include "proto/wire.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* So many bytes behind the messages may be written to: room for what else a reply has. */
#define MESSAGE_PAGE_SPARE_BYTES 16
#define MESSAGE_PAGE_FIELD 1 /* of HistoryResponse */
/* What a message counts as beside its bytes; a tag and a length are less. */
#define MESSAGE_PAGE_OVERHEAD_BYTES 8

struct message_page {
    uint8_t *bytes; /* owned; `capacity` of them */
    size_t capacity;
    size_t begin; /* the messages lie from here … */
    size_t end;   /* … to here */
    size_t size;  /* of the messages alone */
    size_t count;
    uint64_t first_seq; /* if there are any */
};

/* Forgets the messages, and keeps the memory. */
void message_page_clear(struct message_page *page);
void message_page_free(struct message_page *page);

/* Whether a message of `next` bytes is within the budget, behind `count` messages of `size` bytes
 * together. The first one always is. */
static inline bool message_page_budget(size_t size, size_t count, size_t next, size_t budget_bytes)
{
    size_t used = size + count * MESSAGE_PAGE_OVERHEAD_BYTES;

    return count == 0 ||
           (used <= budget_bytes && next + MESSAGE_PAGE_OVERHEAD_BYTES <= budget_bytes - used);
}

static inline bool message_page_fits(const struct message_page *page, size_t size,
                                     size_t budget_bytes)
{
    return message_page_budget(page->size, page->count, size, budget_bytes);
}

/*
 * Makes room for `count` further messages of `bytes` together, at the front or at the end. Returns
 * false when out of memory; the page is as it was then.
 */
bool message_page_reserve(struct message_page *page, size_t count, size_t bytes, bool backwards);

/*
 * Adds message `seq`, which follows the last one, or goes before the first one if `backwards`. To
 * an empty page, any. Copies. False when out of memory.
 */
bool message_page_add(struct message_page *page, uint64_t seq, const uint8_t *bytes, size_t size,
                      bool backwards);

/* The same for a message that there is room for. */
static inline void message_page_put(struct message_page *page, uint64_t seq, const uint8_t *bytes,
                                    size_t size, bool backwards)
{
    size_t framed = wire_bytes_size(size);

    if (backwards)
        page->begin -= framed;
    wire_put_bytes(page->bytes + (backwards ? page->begin : page->end), MESSAGE_PAGE_FIELD, bytes,
                   size);
    if (!backwards)
        page->end += framed;
    if (backwards || page->count == 0)
        page->first_seq = seq;
    page->size += size;
    page->count++;
}

/* A message of a page; borrowed from it. */
struct message_view {
    uint64_t seq;
    const uint8_t *bytes; /* NULL before the first one */
    size_t size;
};

/* Goes to the first message, and then to the next; false behind the last one. Begin with a zeroed
 * view. */
bool message_page_next(const struct message_page *page, struct message_view *view);

#endif
