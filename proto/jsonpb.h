/*
 * The proto3 JSON mapping (protobuf.dev, "ProtoJSON format") over protobuf-c's descriptors and
 * jansson, for messages of strings, integers, booleans, messages, repeated fields of those, and
 * google.protobuf.Timestamp.
 *
 * Where it differs from the mapping's default: 64-bit integers are written as JSON numbers (both
 * forms are read), field names are written as in the .proto file (camelCase is read too), fields
 * with default values are written, and unknown or repeated names are refused by name.
 */
#ifndef PROTO_JSONPB_H
#define PROTO_JSONPB_H

#include "proto/arena.h"
#include "proto/error.h"
#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

/*
 * Decodes one JSON object to a message in `arena`. Returns 0, or -1 and `error` (Malformed, with
 * the field or the line and column). A string that holds a NUL (\u0000) cannot be a C string: the
 * first such field's descriptor is put into `*nul_field` (else NULL) for the caller to refuse.
 */
int jsonpb_decode(const char *text, size_t size, const ProtobufCMessageDescriptor *descriptor,
                  struct arena *arena, ProtobufCMessage **message,
                  const ProtobufCFieldDescriptor **nul_field, struct chat_error *error);

/* A new reference to a JSON object; NULL when out of memory or a string is no UTF-8. */
json_t *jsonpb_encode(const ProtobufCMessage *message);

#endif
