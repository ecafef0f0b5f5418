/*
 * The protobuf wire format (protobuf.dev, "Encoding"), as far as flat messages need it: writing
 * fields behind tags and lengths, and walking over fields one by one without recursion.
 */
#ifndef PROTO_WIRE_H
#define PROTO_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum wire_type {
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_GROUP_START = 3,
    WIRE_GROUP_END = 4,
    WIRE_FIXED32 = 5,
};

/* Groups nested deeper than this are refused, as by other protobuf libraries. */
#define WIRE_GROUP_DEPTH_MAX 100

static inline size_t wire_varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}

static inline uint8_t *wire_put_varint(uint8_t *out, uint64_t value)
{
    while (value >= 0x80) {
        *out++ = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    *out++ = (uint8_t)value;
    return out;
}

/* Tag of a field; field numbers up to 15 take one byte. */
static inline uint8_t *wire_put_tag(uint8_t *out, uint32_t number, enum wire_type type)
{
    return wire_put_varint(out, (uint64_t)number << 3 | (uint64_t)type);
}

static inline uint8_t *wire_put_bytes(uint8_t *out, uint32_t number, const void *data, size_t size)
{
    out = wire_put_tag(out, number, WIRE_BYTES);
    out = wire_put_varint(out, size);
    if (size > 0)
        memcpy(out, data, size);
    return out + size;
}

/* Size of a length-delimited field whose number is at most 15. */
static inline size_t wire_bytes_size(size_t size)
{
    return 1 + wire_varint_size(size) + size;
}

struct wire_field {
    uint32_t number;
    enum wire_type type;
    uint64_t value;      /* of WIRE_VARINT and the fixed types */
    const uint8_t *data; /* of WIRE_BYTES: the content; of a group: all between its tags */
    size_t size;
    const uint8_t *start; /* the whole field with its tag */
    size_t length;
};

struct wire_reader {
    const uint8_t *next;
    const uint8_t *end;
};

static inline void wire_reader_init(struct wire_reader *reader, const uint8_t *bytes, size_t size)
{
    reader->next = bytes;
    reader->end = bytes + size;
}

/*
 * Takes the next field; a group is taken whole. Returns 1 with `field`, 0 at the end, or -1 with
 * `*problem` saying what does not decode ("truncated varint", …) and the reader where it stood.
 */
int wire_next(struct wire_reader *reader, struct wire_field *field, const char **problem);

#endif
