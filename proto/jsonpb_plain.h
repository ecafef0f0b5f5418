/* The quick way to read the JSON of nearly all requests. Private to jsonpb. */
#ifndef PROTO_JSONPB_PLAIN_H
#define PROTO_JSONPB_PLAIN_H

#include "proto/arena.h"
#include <stdbool.h>

/*
 * Decodes an object whose members are strings without escapes, each a singular string field of
 * `descriptor` by its own name, and there once. Returns the message, in `arena`; NULL for
 * everything else, be it wrong or only not that simple, with nothing taken from the arena but when
 * that is exhausted: what it is must then be found out by reading it as JSON.
 */
ProtobufCMessage *jsonpb_decode_plain(const char *text, size_t size,
                                      const ProtobufCMessageDescriptor *descriptor,
                                      struct arena *arena);

#endif
