/*
 * One field after another: a tag, then what its wire type says. A group is skipped by walking to
 * its end tag with the numbers of the open groups on a small stack, so that no input can use up
 * the program's own.
 *
 * Tags and lengths take at most five bytes and values at most ten, padded or not, as in the
 * other implementations; a longer one is refused, as are values past 64 bits.
 */
#include "proto/wire.h"

#define TAG_BYTES_MAX 5
#define LENGTH_BYTES_MAX 5
#define VALUE_BYTES_MAX 10
#define FIELD_NUMBER_MAX ((UINT32_C(1) << 29) - 1)

struct cursor {
    const uint8_t *next;
    const uint8_t *end;
    const char *problem;
};

static int fail(struct cursor *cursor, const char *problem)
{
    cursor->problem = problem;
    return -1;
}

static int read_long_varint(struct cursor *cursor, size_t bytes_max, uint64_t *value)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < bytes_max; i++) {
        if (cursor->next + i == cursor->end)
            return fail(cursor, "truncated varint");
        uint8_t byte = cursor->next[i];
        if (i == VALUE_BYTES_MAX - 1 && (byte & 0x7f) > 1)
            return fail(cursor, "varint of more than 64 bits");
        sum |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            cursor->next += i + 1;
            *value = sum;
            return 0;
        }
    }
    return fail(cursor, "over-long varint");
}

static inline int read_varint(struct cursor *cursor, size_t bytes_max, uint64_t *value)
{
    if (cursor->next < cursor->end && *cursor->next < 0x80) {
        *value = *cursor->next++;
        return 0;
    }
    return read_long_varint(cursor, bytes_max, value);
}

static inline int read_tag(struct cursor *cursor, uint32_t *number, enum wire_type *type)
{
    uint64_t tag;
    if (read_varint(cursor, TAG_BYTES_MAX, &tag) < 0)
        return -1;
    if (tag >> 3 == 0)
        return fail(cursor, "field number 0");
    if (tag >> 3 > FIELD_NUMBER_MAX)
        return fail(cursor, "field number out of range");
    if ((tag & 7) > WIRE_FIXED32)
        return fail(cursor, "unknown wire type");
    *number = (uint32_t)(tag >> 3);
    *type = (enum wire_type)(tag & 7);
    return 0;
}

static int read_fixed(struct cursor *cursor, size_t size, uint64_t *value)
{
    if ((size_t)(cursor->end - cursor->next) < size)
        return fail(cursor, "truncated fixed-size field");
    *value = 0;
    for (size_t i = 0; i < size; i++)
        *value |= (uint64_t)cursor->next[i] << (8 * i);
    cursor->next += size;
    return 0;
}

static int read_bytes(struct cursor *cursor, struct wire_field *field)
{
    uint64_t length;
    if (read_varint(cursor, LENGTH_BYTES_MAX, &length) < 0)
        return -1;
    if (length > (uint64_t)(cursor->end - cursor->next))
        return fail(cursor, "truncated length-delimited field");
    field->data = cursor->next;
    field->size = (size_t)length;
    cursor->next += length;
    return 0;
}

/* Any content but that of groups. */
static inline int read_content(struct cursor *cursor, struct wire_field *field)
{
    switch (field->type) {
    case WIRE_VARINT:
        return read_varint(cursor, VALUE_BYTES_MAX, &field->value);
    case WIRE_FIXED64:
        return read_fixed(cursor, 8, &field->value);
    case WIRE_BYTES:
        return read_bytes(cursor, field);
    case WIRE_FIXED32:
        return read_fixed(cursor, 4, &field->value);
    default:
        return fail(cursor, "end of a group that was not begun");
    }
}

/* The cursor stands behind the start tag of group `number`; it goes behind its end tag. */
static int read_group(struct cursor *cursor, uint32_t number, struct wire_field *field)
{
    uint32_t open[WIRE_GROUP_DEPTH_MAX];
    size_t depth = 0;
    open[depth++] = number;
    field->data = cursor->next;
    for (;;) {
        struct wire_field inner;
        const uint8_t *inner_start = cursor->next;
        if (inner_start == cursor->end)
            return fail(cursor, "truncated group");
        if (read_tag(cursor, &inner.number, &inner.type) < 0)
            return -1;
        if (inner.type == WIRE_GROUP_START) {
            if (depth == WIRE_GROUP_DEPTH_MAX)
                return fail(cursor, "groups nested too deep");
            open[depth++] = inner.number;
        } else if (inner.type == WIRE_GROUP_END) {
            if (open[--depth] != inner.number)
                return fail(cursor, "group ended by another field's tag");
            if (depth == 0) {
                field->size = (size_t)(inner_start - field->data);
                return 0;
            }
        } else if (read_content(cursor, &inner) < 0) {
            return -1;
        }
    }
}

int wire_next(struct wire_reader *reader, struct wire_field *field, const char **problem)
{
    if (reader->next == reader->end)
        return 0;
    struct cursor cursor = {reader->next, reader->end, NULL};
    field->value = 0;
    field->data = NULL;
    field->size = 0;
    field->start = reader->next;
    int result = read_tag(&cursor, &field->number, &field->type);
    if (result == 0 && field->type == WIRE_GROUP_START)
        result = read_group(&cursor, field->number, field);
    else if (result == 0)
        result = read_content(&cursor, field);
    if (result < 0) {
        *problem = cursor.problem;
        return -1;
    }
    field->length = (size_t)(cursor.next - field->start);
    reader->next = cursor.next;
    return 1;
}
