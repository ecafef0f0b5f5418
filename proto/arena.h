/*
 * A bounded bump allocator for decoding one request: memory is handed out from the front and
 * given back all at once. A request can therefore never take more than the limit, and a request's
 * allocations cost a few instructions each. One thread; not shared.
 */
#ifndef PROTO_ARENA_H
#define PROTO_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t limit_bytes;         /* of all blocks together */
    size_t taken_bytes;         /* by all blocks together */
    ProtobufCAllocator allocator;
};

/* Allocates nothing yet. `limit_bytes` bounds what a single request may take. */
void arena_init(struct arena *arena, size_t limit_bytes);
/* Aligned for any type, not zeroed; NULL past the limit or out of memory. Valid until reset. */
void *arena_alloc(struct arena *arena, size_t size_bytes);
/* A NUL-terminated copy; NULL as arena_alloc. */
char *arena_copy(struct arena *arena, const char *data, size_t size_bytes);
/* Gives everything back, keeping one block of ordinary size for the next request. */
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);
/* For protobuf-c; its free is a no-op. Valid as long as the arena. */
ProtobufCAllocator *arena_allocator(struct arena *arena);

#endif
