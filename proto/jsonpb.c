/*
 * JSON text to a message: jansson parses, then each field of the descriptor looks for its value
 * under both of its names; if the object has more members than were found, one of them is unknown,
 * and it is refused by name. Everything of the message is in the arena; the parsed JSON is
 * given back before the return. What is as simple as most requests are does not get that far
 * (jsonpb_plain.c).
 *
 * Recursion goes as deep as the message's type does, and never deeper than jansson's parser, which
 * refuses more than 2,048 levels.
 */
#include "proto/jsonpb.h"

#include "google/protobuf/timestamp.pb-c.h"
#include "proto/json_number.h"
#include "proto/jsonpb_field.h"
#include "proto/jsonpb_plain.h"
#include "proto/rfc3339.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CAMEL_BYTES 64

struct decoder {
    struct arena *arena;
    struct chat_error *error;
    const ProtobufCFieldDescriptor *nul_field;
    bool marked; /* long integers are marked strings, see json_number.h */
};

static int decode_message(struct decoder *decoder, json_t *object,
                          const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage *message);

static int no_memory(struct decoder *decoder)
{
    return chat_error_set(decoder->error, CHAT_TOO_LARGE,
                          "the request takes too much memory to decode: send a smaller one");
}

static int wrong_type(struct decoder *decoder, const ProtobufCFieldDescriptor *field,
                      const char *wanted)
{
    return chat_error_set(decoder->error, CHAT_MALFORMED, "field %s must be %s", field->name,
                          wanted);
}

static int decode_string(struct decoder *decoder, json_t *value,
                         const ProtobufCFieldDescriptor *field, char **out)
{
    if (!json_is_string(value) || (decoder->marked && json_number_is_marked(value)))
        return wrong_type(decoder, field, "a string");
    size_t size = json_string_length(value);
    char *copy = arena_copy(decoder->arena, json_string_value(value), size);
    if (copy == NULL)
        return no_memory(decoder);
    for (char *nul = memchr(copy, '\0', size); nul != NULL;
         nul = memchr(nul, '\0', (size_t)(copy + size - nul))) {
        /* Replaced, so that nobody takes a string that begins with NUL for an empty one. */
        *nul = '?';
        if (decoder->nul_field == NULL)
            decoder->nul_field = field;
    }
    *out = copy;
    return 0;
}

/* Reads an integer that is at least -`lowest` and at most `highest`. */
static int decode_integer(struct decoder *decoder, json_t *value,
                          const ProtobufCFieldDescriptor *field, uint64_t lowest, uint64_t highest,
                          uint64_t *twos_complement)
{
    struct json_number number = {false, 0};
    enum json_number_result result = json_number_read(value, decoder->marked, &number);
    if (result == JSON_NUMBER_NO_INTEGER)
        return wrong_type(decoder, field, "an integer");
    if (result == JSON_NUMBER_OUT_OF_RANGE ||
        number.magnitude > (number.negative ? lowest : highest))
        return chat_error_set(decoder->error, CHAT_MALFORMED,
                              "field %s is out of range: it must be within %s%llu and %llu",
                              field->name, lowest > 0 ? "-" : "", (unsigned long long)lowest,
                              (unsigned long long)highest);
    *twos_complement = number.negative ? 0 - number.magnitude : number.magnitude;
    return 0;
}

static int decode_int32(struct decoder *decoder, json_t *value,
                        const ProtobufCFieldDescriptor *field, int32_t *out)
{
    uint64_t bits = 0;
    if (decode_integer(decoder, value, field, (uint64_t)INT32_MAX + 1, INT32_MAX, &bits) < 0)
        return -1;
    *out = (int32_t)(int64_t)bits;
    return 0;
}

static int decode_uint32(struct decoder *decoder, json_t *value,
                         const ProtobufCFieldDescriptor *field, uint32_t *out)
{
    uint64_t bits = 0;
    if (decode_integer(decoder, value, field, 0, UINT32_MAX, &bits) < 0)
        return -1;
    *out = (uint32_t)bits;
    return 0;
}

static int decode_int64(struct decoder *decoder, json_t *value,
                        const ProtobufCFieldDescriptor *field, int64_t *out)
{
    uint64_t bits = 0;
    if (decode_integer(decoder, value, field, (uint64_t)INT64_MAX + 1, INT64_MAX, &bits) < 0)
        return -1;
    *out = (int64_t)bits;
    return 0;
}

static int decode_bool(struct decoder *decoder, json_t *value,
                       const ProtobufCFieldDescriptor *field, protobuf_c_boolean *out)
{
    if (!json_is_boolean(value))
        return wrong_type(decoder, field, "true or false");
    *out = json_is_true(value);
    return 0;
}

static int decode_timestamp(struct decoder *decoder, json_t *value,
                            const ProtobufCFieldDescriptor *field,
                            Google__Protobuf__Timestamp *timestamp)
{
    if (!json_is_string(value) || rfc3339_parse(json_string_value(value), json_string_length(value),
                                                &timestamp->seconds, &timestamp->nanos) < 0)
        return wrong_type(decoder, field, "a time such as \"2026-01-31T12:00:00.123Z\"");
    return 0;
}

static int decode_submessage(struct decoder *decoder, json_t *value,
                             const ProtobufCFieldDescriptor *field, ProtobufCMessage **out)
{
    const ProtobufCMessageDescriptor *descriptor = field->descriptor;
    ProtobufCMessage *message = arena_alloc(decoder->arena, descriptor->sizeof_message);
    if (message == NULL)
        return no_memory(decoder);
    *out = message;
    if (descriptor == &google__protobuf__timestamp__descriptor) {
        descriptor->message_init(message);
        return decode_timestamp(decoder, value, field, (Google__Protobuf__Timestamp *)message);
    }
    if (!json_is_object(value))
        return wrong_type(decoder, field, "an object");
    return decode_message(decoder, value, descriptor, message);
}

/* One value to where the field (or its element) is. */
static int decode_value(struct decoder *decoder, json_t *value,
                        const ProtobufCFieldDescriptor *field, void *out)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_STRING:
        return decode_string(decoder, value, field, out);
    case PROTOBUF_C_TYPE_BOOL:
        return decode_bool(decoder, value, field, out);
    case PROTOBUF_C_TYPE_MESSAGE:
        return decode_submessage(decoder, value, field, out);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return decode_int32(decoder, value, field, out);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return decode_uint32(decoder, value, field, out);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return decode_int64(decoder, value, field, out);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return decode_integer(decoder, value, field, 0, UINT64_MAX, out);
    default:
        return wrong_type(decoder, field, "left out: its type has no JSON form here");
    }
}

static int decode_repeated(struct decoder *decoder, json_t *array,
                           const ProtobufCFieldDescriptor *field, char *message)
{
    if (!json_is_array(array))
        return wrong_type(decoder, field, "an array");
    size_t count = json_array_size(array);
    size_t stride = jsonpb_element_size(field->type);
    if (count == 0)
        return 0;
    char *elements = arena_alloc(decoder->arena, count * stride);
    if (elements == NULL)
        return no_memory(decoder);
    for (size_t i = 0; i < count; i++)
        if (decode_value(decoder, json_array_get(array, i), field, elements + i * stride) < 0)
            return -1;
    memcpy(message + field->offset, &elements, sizeof(elements));
    memcpy(message + field->quantifier_offset, &count, sizeof(count));
    return 0;
}

/* chat_id becomes chatId. False when the name is too long to have a second form here. */
static bool camel_name(const char *name, char camel[CAMEL_BYTES])
{
    size_t used = 0;
    for (; *name != '\0'; name++) {
        if (used + 1 >= CAMEL_BYTES)
            return false;
        if (name[0] == '_' && name[1] >= 'a' && name[1] <= 'z')
            camel[used++] = (char)(*++name - 'a' + 'A');
        else if (name[0] != '_')
            camel[used++] = *name;
    }
    camel[used] = '\0';
    return true;
}

/* Counts the members of `object` that are this field; `value` is the last of them, or NULL. */
static size_t find_members(json_t *object, const ProtobufCFieldDescriptor *field, json_t **value)
{
    char camel[CAMEL_BYTES];
    *value = json_object_get(object, field->name);
    size_t found = *value != NULL ? 1 : 0;
    if (!camel_name(field->name, camel) || strcmp(camel, field->name) == 0)
        return found;
    json_t *other = json_object_get(object, camel);
    if (other == NULL)
        return found;
    *value = other;
    return found + 1;
}

static bool is_field_name(const ProtobufCMessageDescriptor *descriptor, const char *name)
{
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        char camel[CAMEL_BYTES];
        const char *field_name = descriptor->fields[i].name;
        if (strcmp(field_name, name) == 0 ||
            (camel_name(field_name, camel) && strcmp(camel, name) == 0))
            return true;
    }
    return false;
}

static int refuse_unknown(struct decoder *decoder, json_t *object,
                          const ProtobufCMessageDescriptor *descriptor)
{
    char names[128] = "";
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        size_t used = strlen(names);
        if (used + strlen(descriptor->fields[i].name) + 3 > sizeof(names))
            break;
        strcpy(names + used, i == 0 ? "" : ", ");
        strcat(names, descriptor->fields[i].name);
    }
    for (void *member = json_object_iter(object); member != NULL;
         member = json_object_iter_next(object, member)) {
        const char *name = json_object_iter_key(member);
        if (!is_field_name(descriptor, name))
            return chat_error_set(decoder->error, CHAT_MALFORMED,
                                  "unknown field \"%.64s\": %s has the fields %s", name,
                                  descriptor->short_name, names);
    }
    return chat_error_set(decoder->error, CHAT_MALFORMED, "unknown field");
}

static int decode_message(struct decoder *decoder, json_t *object,
                          const ProtobufCMessageDescriptor *descriptor, ProtobufCMessage *message)
{
    descriptor->message_init(message);
    size_t found = 0;
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        json_t *value;
        size_t members = find_members(object, field, &value);
        found += members;
        if (members > 1)
            return chat_error_set(decoder->error, CHAT_MALFORMED,
                                  "field %s is there twice, under both of its names", field->name);
        if (members == 0 || json_is_null(value))
            continue;
        int result = field->label == PROTOBUF_C_LABEL_REPEATED
                         ? decode_repeated(decoder, value, field, (char *)message)
                         : decode_value(decoder, value, field, (char *)message + field->offset);
        if (result < 0)
            return -1;
    }
    return found == json_object_size(object) ? 0 : refuse_unknown(decoder, object, descriptor);
}

/*
 * The parser drops the characters of a string that it has no memory for, and goes on: a message
 * would be another one than was sent. So we look whether an allocation failed, whatever it says.
 */
static _Thread_local bool allocation_failed;

static void *watched_malloc(size_t size)
{
    void *memory = malloc(size);
    allocation_failed |= memory == NULL;
    return memory;
}

static void watch_allocations(void)
{
    json_set_alloc_funcs(watched_malloc, free);
}

static json_t *load(struct decoder *decoder, const char *text, size_t size, json_error_t *problem)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, watch_allocations);
    allocation_failed = false;
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, problem);
    if (!allocation_failed)
        return json;
    json_decref(json);
    chat_error_set(decoder->error, CHAT_OVERLOADED, "out of memory; retry");
    return NULL;
}

/* Parses, a second time with long integers marked if it is these that jansson cannot hold. */
static json_t *parse(struct decoder *decoder, const char *text, size_t size)
{
    json_error_t problem;
    json_t *json = load(decoder, text, size, &problem);
    if (json == NULL && !allocation_failed &&
        json_error_code(&problem) == json_error_numeric_overflow) {
        size_t marked_size;
        char *marked = json_number_mark_long(text, size, decoder->arena, &marked_size);
        if (marked == NULL) {
            no_memory(decoder);
            return NULL;
        }
        decoder->marked = true;
        json = load(decoder, marked, marked_size, &problem);
    }
    if (json == NULL && !allocation_failed)
        chat_error_set(decoder->error, CHAT_MALFORMED,
                       "the request is not valid JSON: %s (line %d, column %d)", problem.text,
                       problem.line, problem.column);
    return json;
}

int jsonpb_decode(const char *text, size_t size, const ProtobufCMessageDescriptor *descriptor,
                  struct arena *arena, ProtobufCMessage **message,
                  const ProtobufCFieldDescriptor **nul_field, struct chat_error *error)
{
    struct decoder decoder = {arena, error, NULL, false};
    *nul_field = NULL;
    if (size == 0)
        return chat_error_set(error, CHAT_MALFORMED,
                              "the request is empty: send a JSON object, {} at least");
    *message = jsonpb_decode_plain(text, size, descriptor, arena);
    if (*message != NULL)
        return 0;
    json_t *json = parse(&decoder, text, size);
    if (json == NULL)
        return -1;
    int result = -1;
    ProtobufCMessage *out = arena_alloc(arena, descriptor->sizeof_message);
    if (!json_is_object(json))
        chat_error_set(error, CHAT_MALFORMED, "the request must be a JSON object");
    else if (out == NULL)
        no_memory(&decoder);
    else
        result = decode_message(&decoder, json, descriptor, out);
    json_decref(json);
    if (result == 0) {
        *message = out;
        *nul_field = decoder.nul_field;
    }
    return result;
}
