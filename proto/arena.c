/*
 * Blocks in a list, the newest first; memory is taken from the newest one. A request of ordinary
 * size lives in one block, which stays for the next request: decoding then costs no malloc at
 * all. What does not fit an ordinary block gets one of its own behind the newest, so that the
 * room left in the newest is not lost.
 *
 * It fails in one way: NULL, when the blocks together would pass the limit or malloc has nothing
 * left. What was handed out before stays valid.
 */
#include "proto/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define ORDINARY_BLOCK_BYTES ((size_t)64 * 1024)

struct arena_block {
    struct arena_block *next;
    size_t size_bytes; /* of `data` */
    size_t used_bytes;
    alignas(max_align_t) unsigned char data[];
};

void arena_init(struct arena *arena, size_t limit_bytes)
{
    *arena = (struct arena){.limit_bytes = limit_bytes};
}

/* A block for at least `size_bytes`, counted against the limit; the caller links it. */
static struct arena_block *new_block(struct arena *arena, size_t size_bytes)
{
    size_t left = arena->limit_bytes - arena->taken_bytes;
    if (left < sizeof(struct arena_block) || size_bytes > left - sizeof(struct arena_block))
        return NULL;
    size_t total = sizeof(struct arena_block) + size_bytes;
    if (total < ORDINARY_BLOCK_BYTES)
        total = left < ORDINARY_BLOCK_BYTES ? left : ORDINARY_BLOCK_BYTES;
    struct arena_block *block = malloc(total);
    if (block == NULL)
        return NULL;
    block->next = NULL;
    block->size_bytes = total - sizeof(struct arena_block);
    block->used_bytes = 0;
    arena->taken_bytes += total;
    return block;
}

static void link_block(struct arena *arena, struct arena_block *block)
{
    struct arena_block *newest = arena->blocks;
    if (newest != NULL &&
        block->size_bytes - block->used_bytes < newest->size_bytes - newest->used_bytes) {
        block->next = newest->next;
        newest->next = block;
    } else {
        block->next = newest;
        arena->blocks = block;
    }
}

void *arena_alloc(struct arena *arena, size_t size_bytes)
{
    const size_t align = alignof(max_align_t);
    if (size_bytes > SIZE_MAX - align)
        return NULL;
    size_t rounded = size_bytes == 0 ? align : (size_bytes + align - 1) & ~(align - 1);
    struct arena_block *block = arena->blocks;
    if (block != NULL && rounded <= block->size_bytes - block->used_bytes) {
        void *memory = block->data + block->used_bytes;
        block->used_bytes += rounded;
        return memory;
    }
    block = new_block(arena, rounded);
    if (block == NULL)
        return NULL;
    block->used_bytes = rounded;
    link_block(arena, block);
    return block->data;
}

char *arena_copy(struct arena *arena, const char *data, size_t size_bytes)
{
    if (size_bytes == SIZE_MAX)
        return NULL;
    char *copy = arena_alloc(arena, size_bytes + 1);
    if (copy == NULL)
        return NULL;
    if (size_bytes > 0)
        memcpy(copy, data, size_bytes);
    copy[size_bytes] = '\0';
    return copy;
}

static size_t block_total(const struct arena_block *block)
{
    return sizeof(struct arena_block) + block->size_bytes;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *kept = NULL;
    struct arena_block *block = arena->blocks;
    while (block != NULL) {
        struct arena_block *next = block->next;
        if (kept == NULL && block_total(block) <= ORDINARY_BLOCK_BYTES)
            kept = block;
        else
            free(block);
        block = next;
    }
    arena->blocks = kept;
    arena->taken_bytes = 0;
    if (kept != NULL) {
        kept->next = NULL;
        kept->used_bytes = 0;
        arena->taken_bytes = block_total(kept);
    }
}

void arena_free(struct arena *arena)
{
    struct arena_block *block = arena->blocks;
    while (block != NULL) {
        struct arena_block *next = block->next;
        free(block);
        block = next;
    }
    arena->blocks = NULL;
    arena->taken_bytes = 0;
}

static void *allocator_alloc(void *arena, size_t size_bytes)
{
    return arena_alloc(arena, size_bytes);
}

/* Memory goes back all at once, by arena_reset. */
static void allocator_free(void *arena, void *memory)
{
    (void)arena;
    (void)memory;
}

ProtobufCAllocator *arena_allocator(struct arena *arena)
{
    /* Set here and not by arena_init: the arena may have been moved since. */
    arena->allocator = (ProtobufCAllocator){allocator_alloc, allocator_free, arena};
    return &arena->allocator;
}
