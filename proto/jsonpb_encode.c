/*
 * A message to JSON text, field by field in the descriptor's order, which is that of the numbers in
 * the .proto file. The text is written by hand and not by way of a json_t: a page of history is up
 * to a thousand messages, and building and dumping trees for them costs a few times as much.
 *
 * One thing is remembered of all that can go wrong: that the buffer has failed. From then on
 * nothing is appended, and the one who asked for the text is told at the end.
 */
#include "proto/jsonpb.h"

#include "google/protobuf/timestamp.pb-c.h"
#include "proto/json_text.h"
#include "proto/jsonpb_field.h"
#include "proto/rfc3339.h"
#include "proto/utf8.h"
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void append_message(struct jsonpb_buffer *buffer, const ProtobufCMessage *message);

/* Where the next `size` bytes go, or NULL. */
static char *reserve(struct jsonpb_buffer *buffer, size_t size)
{
    if (buffer->failed)
        return NULL;
    if (size <= buffer->capacity - buffer->size)
        return buffer->data + buffer->size;
    size_t capacity = buffer->capacity < 1024 ? 1024 : 2 * buffer->capacity;
    while (capacity - buffer->size < size)
        capacity *= 2;
    char *data = realloc(buffer->data, capacity);
    if (data == NULL) {
        buffer->failed = true;
        return NULL;
    }
    buffer->data = data;
    buffer->capacity = capacity;
    return data + buffer->size;
}

static void append(struct jsonpb_buffer *buffer, const char *data, size_t size)
{
    char *out = reserve(buffer, size);
    if (out == NULL)
        return;
    memcpy(out, data, size);
    buffer->size += size;
}

static void append_text(struct jsonpb_buffer *buffer, const char *text)
{
    append(buffer, text, strlen(text));
}

static void append_escaped(struct jsonpb_buffer *buffer, char character)
{
    static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
    const char *found = strchr(from, character);
    char text[8];
    if (found != NULL)
        snprintf(text, sizeof(text), "\\%c", to[found - from]);
    else
        snprintf(text, sizeof(text), "\\u%04X", (unsigned)(unsigned char)character);
    append_text(buffer, text);
}

/* All but what JSON demands to be escaped stays as it is, in UTF-8. */
static void append_string(struct jsonpb_buffer *buffer, const char *text)
{
    size_t size = strlen(text);
    if (utf8_valid_length(text, size) < size)
        buffer->failed = true;
    reserve(buffer, size + 2);
    append(buffer, "\"", 1);
    for (size_t at = 0; at < size;) {
        size_t plain = json_text_plain_length(text + at, size - at);
        append(buffer, text + at, plain);
        at += plain;
        if (at < size)
            append_escaped(buffer, text[at++]);
    }
    append(buffer, "\"", 1);
}

static void append_digits(struct jsonpb_buffer *buffer, uint64_t value)
{
    char text[20];
    size_t first = sizeof(text);
    do {
        text[--first] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    append(buffer, text + first, sizeof(text) - first);
}

static void append_int64(struct jsonpb_buffer *buffer, int64_t value)
{
    if (value < 0)
        append(buffer, "-", 1);
    append_digits(buffer, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* Past what most readers hold in an integer it goes as a string, which the mapping allows. */
static void append_uint64(struct jsonpb_buffer *buffer, uint64_t value)
{
    if (value > INT64_MAX)
        append(buffer, "\"", 1);
    append_digits(buffer, value);
    if (value > INT64_MAX)
        append(buffer, "\"", 1);
}

static void append_timestamp(struct jsonpb_buffer *buffer,
                             const Google__Protobuf__Timestamp *timestamp)
{
    char text[RFC3339_BYTES];
    if (rfc3339_format(timestamp->seconds, timestamp->nanos, text) == 0)
        append_string(buffer, text);
    else
        buffer->failed = true;
}

static void append_submessage(struct jsonpb_buffer *buffer, const ProtobufCMessage *message)
{
    if (message == NULL)
        append_text(buffer, "null");
    else if (message->descriptor == &google__protobuf__timestamp__descriptor)
        append_timestamp(buffer, (const Google__Protobuf__Timestamp *)message);
    else
        append_message(buffer, message);
}

/* `at` is where the field, or one of its elements, is. */
static void append_value(struct jsonpb_buffer *buffer, ProtobufCType type, const void *at)
{
    switch (type) {
    case PROTOBUF_C_TYPE_STRING:
        append_string(buffer, *(char *const *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        append_text(buffer, *(const protobuf_c_boolean *)at ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        append_submessage(buffer, *(ProtobufCMessage *const *)at);
        break;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        append_int64(buffer, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        append_int64(buffer, *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        append_int64(buffer, *(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        append_uint64(buffer, *(const uint64_t *)at);
        break;
    default:
        buffer->failed = true;
    }
}

static void append_repeated(struct jsonpb_buffer *buffer, const ProtobufCFieldDescriptor *field,
                            const char *message)
{
    size_t count;
    const char *elements;
    memcpy(&count, message + field->quantifier_offset, sizeof(count));
    memcpy(&elements, message + field->offset, sizeof(elements));
    append(buffer, "[", 1);
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            append(buffer, ",", 1);
        append_value(buffer, field->type, elements + i * jsonpb_element_size(field->type));
    }
    append(buffer, "]", 1);
}

static void append_message(struct jsonpb_buffer *buffer, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *descriptor = message->descriptor;
    const char *base = (const char *)message;
    append(buffer, "{", 1);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        append_text(buffer, i == 0 ? "\"" : ",\"");
        append_text(buffer, field->name);
        append(buffer, "\":", 2);
        if (field->label == PROTOBUF_C_LABEL_REPEATED)
            append_repeated(buffer, field, base);
        else
            append_value(buffer, field->type, base + field->offset);
    }
    append(buffer, "}", 1);
}

int jsonpb_print(const ProtobufCMessage *message, struct jsonpb_buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
    append_message(buffer, message);
    return buffer->failed ? -1 : 0;
}

void jsonpb_buffer_free(struct jsonpb_buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct jsonpb_buffer){0};
}

json_t *jsonpb_encode(const ProtobufCMessage *message)
{
    struct jsonpb_buffer buffer = {0};
    json_t *json = NULL;
    if (jsonpb_print(message, &buffer) == 0)
        json = json_loadb(buffer.data, buffer.size, 0, NULL);
    jsonpb_buffer_free(&buffer);
    return json;
}
