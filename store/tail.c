#include "store/tail.h"

#include <stdlib.h>

/* Large enough to make allocations rare, small enough that one kept spare does not matter. */
#define BLOCK_BYTES ((size_t)256 * 1024)

struct tail_block {
    struct tail_block *newer;
    size_t capacity;
    size_t used;
    size_t messages; /* that have not been removed */
    _Alignas(struct message) uint8_t space[];
};

static size_t footprint(uint32_t size)
{
    size_t bytes = sizeof(struct message) + size;
    size_t align = _Alignof(struct message);
    return (bytes + align - 1) / align * align;
}

static void blocks_free(struct tail_block *block)
{
    while (block != NULL) {
        struct tail_block *newer = block->newer;
        free(block);
        block = newer;
    }
}

void tail_free(struct tail *tail)
{
    blocks_free(tail->oldest);
    free(tail->spare);
    *tail = (struct tail){0};
}

static struct tail_block *block_take(struct tail *tail, size_t need)
{
    size_t capacity = need > BLOCK_BYTES ? need : BLOCK_BYTES;
    struct tail_block *block = tail->spare;

    if (block != NULL && block->capacity >= need) {
        tail->spare = NULL;
    } else {
        block = malloc(sizeof *block + capacity);
        if (block == NULL)
            return NULL;
        block->capacity = capacity;
    }
    block->newer = NULL;
    block->used = 0;
    block->messages = 0;
    return block;
}

static struct tail_block *block_for(struct tail *tail, size_t need)
{
    struct tail_block *block = tail->newest;

    if (block != NULL && block->capacity - block->used >= need)
        return block;
    block = block_take(tail, need);
    if (block == NULL)
        return NULL;
    if (tail->newest != NULL)
        tail->newest->newer = block;
    else
        tail->oldest = block;
    tail->newest = block;
    return block;
}

struct message *tail_append(struct tail *tail, uint32_t size)
{
    size_t need = footprint(size);
    struct tail_block *block = block_for(tail, need);
    struct message *message;

    if (block == NULL)
        return NULL;
    message = (struct message *)(void *)(block->space + block->used);
    block->used += need;
    block->messages++;
    message->next = NULL;
    message->size = size;
    if (tail->last != NULL)
        tail->last->next = message;
    else
        tail->first = message;
    tail->last = message;
    tail->bytes += need;
    tail->count++;
    return message;
}

/* The oldest block is empty now: it goes, unless it is the only one or wanted as the spare. */
static void block_retire(struct tail *tail)
{
    struct tail_block *block = tail->oldest;

    tail->oldest = block->newer;
    if (tail->oldest == NULL)
        tail->newest = NULL;
    if (tail->spare == NULL && block->capacity == BLOCK_BYTES)
        tail->spare = block;
    else
        free(block);
}

void tail_remove_first(struct tail *tail)
{
    struct message *message = tail->first;

    tail->first = message->next;
    if (tail->first == NULL)
        tail->last = NULL;
    tail->bytes -= footprint(message->size);
    tail->count--;
    if (--tail->oldest->messages == 0)
        block_retire(tail);
}
