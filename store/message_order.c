/*
 *   messages ─▶ numbers of their chats, with their indexes ─▶ sorted ─▶ messages
 *
 * Only the numbers are moved while they are sorted, sixteen bytes for a message of forty-eight; the
 * messages go to where they belong at the end, each once. Equal numbers keep their order, which
 * makes the chats' messages stay as they came.
 *
 * If there is no memory for that, or some chat's messages did not come in the order of their seqs,
 * comparing sorts what there is.
 */
#include "store/message_order.h"

#include "store/database_order.h"
#include "store/radix.h"
#include <stdlib.h>

/* A few are sorted sooner by comparing. */
#define FEW 64

/* Puts each message where its index stands, going round each cycle of places once. */
static void move_messages(struct database_message *messages, struct radix_item *items, size_t count)
{
    for (size_t start = 0; start < count; start++) {
        struct database_message first = messages[start];
        size_t to = start;
        size_t from = items[to].index;

        while (from != start && from != to) {
            messages[to] = messages[from];
            items[to].index = to;
            to = from;
            from = items[to].index;
        }
        messages[to] = first;
        items[to].index = to;
    }
}

static void sort_by_chat(struct database_message *messages, size_t count)
{
    struct radix_item *items = malloc(2 * count * sizeof *items);

    if (items == NULL)
        return;
    for (size_t i = 0; i < count; i++)
        items[i] = (struct radix_item){messages[i].chat_number, i};
    radix_sort(items, items + count, count);
    move_messages(messages, items, count);
    free(items);
}

void message_order(struct database_message *messages, size_t count)
{
    if (count > FEW)
        sort_by_chat(messages, count);
    database_sort(messages, count, sizeof *messages, database_by_seq);
}
