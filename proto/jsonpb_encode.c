/*
 * A message to JSON, field by field in the descriptor's order, which is the order of the .proto
 * file's numbers. Every reference made here is given away at once (json_object_set_new takes it
 * even when it fails), so the one thing to undo on failure is the object itself.
 */
#include "proto/jsonpb.h"

#include "google/protobuf/timestamp.pb-c.h"
#include "proto/jsonpb_field.h"
#include "proto/rfc3339.h"
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Past jansson's integers a number goes as a string, which the mapping's readers take as well. */
static json_t *encode_uint64(uint64_t value)
{
    if (value <= INT64_MAX)
        return json_integer((json_int_t)value);
    char text[21];
    snprintf(text, sizeof(text), "%" PRIu64, value);
    return json_string(text);
}

static json_t *encode_timestamp(const Google__Protobuf__Timestamp *timestamp)
{
    char text[RFC3339_BYTES];
    if (rfc3339_format(timestamp->seconds, timestamp->nanos, text) < 0)
        return NULL;
    return json_string(text);
}

static json_t *encode_submessage(const ProtobufCMessage *message)
{
    if (message == NULL)
        return json_null();
    if (message->descriptor == &google__protobuf__timestamp__descriptor)
        return encode_timestamp((const Google__Protobuf__Timestamp *)message);
    return jsonpb_encode(message);
}

/* `at` is where the field, or one of its elements, is. */
static json_t *encode_value(ProtobufCType type, const void *at)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
        return json_string(*(char *const *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return encode_submessage(*(ProtobufCMessage *const *)at);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return json_integer(*(const int64_t *)at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return encode_uint64(*(const uint64_t *)at);
    default:
        return NULL;
    }
}

static json_t *encode_repeated(const ProtobufCFieldDescriptor *field, const char *message)
{
    size_t count;
    const char *elements;
    memcpy(&count, message + field->quantifier_offset, sizeof(count));
    memcpy(&elements, message + field->offset, sizeof(elements));
    json_t *array = json_array();
    for (size_t i = 0; array != NULL && i < count; i++) {
        const void *element = elements + i * jsonpb_element_size(field->type);
        if (json_array_append_new(array, encode_value(field->type, element)) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

json_t *jsonpb_encode(const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const char *base = (const char *)message;
    json_t *object = json_object();
    for (unsigned i = 0; object != NULL && i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        json_t *value = field->label == PROTOBUF_C_LABEL_REPEATED
                            ? encode_repeated(field, base)
                            : encode_value(field->type, base + field->offset);
        if (json_object_set_new(object, field->name, value) < 0) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}
