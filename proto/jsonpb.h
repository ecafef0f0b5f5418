/*
 * The proto3 JSON mapping (protobuf.dev, "ProtoJSON format") over protobuf-c's descriptors and
 * jansson, for messages of strings, integers, booleans, messages, repeated fields of those, and
 * google.protobuf.Timestamp.
 *
 * Where it differs from the mapping's default: 64-bit integers are written as JSON numbers (both
 * forms are read), or as strings past 2^63 - 1, field names are written as in the .proto file
 * (camelCase is read too), fields with default values are written, and unknown or repeated names
 * are refused by name.
 */
#ifndef PROTO_JSONPB_H
#define PROTO_JSONPB_H

#include "proto/arena.h"
#include "proto/error.h"
#include <jansson.h>
#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Decodes one JSON object to a message in `arena`. Returns 0, or -1 and `error` (Malformed, with
 * the field or the line and column). A string that holds a NUL (\u0000) cannot be a C string: the
 * first such field's descriptor is put into `*nul_field` (else NULL) for the caller to refuse; in
 * the message each NUL is a '?'.
 */
int jsonpb_decode(const char *text, size_t size, const ProtobufCMessageDescriptor *descriptor,
                  struct arena *arena, ProtobufCMessage **message,
                  const ProtobufCFieldDescriptor **nul_field, struct chat_error *error);

/* Text that grows by malloc; all zero before its first use, and to be freed after its last. */
struct jsonpb_buffer {
    char *data; /* not NUL-terminated */
    size_t size;
    size_t capacity;
    bool failed;
};

/*
 * Writes the message as compact JSON in place of what the buffer held. Returns 0, or -1 when out of
 * memory, a string is no UTF-8, or a time is out of range.
 */
int jsonpb_print(const ProtobufCMessage *message, struct jsonpb_buffer *buffer);
void jsonpb_buffer_free(struct jsonpb_buffer *buffer);

/* A new reference to the same as a JSON object; NULL where jsonpb_print fails. */
json_t *jsonpb_encode(const ProtobufCMessage *message);

#endif
