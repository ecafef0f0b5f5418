/* Walking over fields: what is taken, what is refused, and that nothing is read past the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/wire.h"
#include <stdlib.h>

/* Copied to memory of exactly this size, so that a read past the end shows under a sanitizer. */
static int next_of(const void *bytes, size_t size, struct wire_field *field, const char **problem)
{
    uint8_t *exact = malloc(size == 0 ? 1 : size);
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    struct wire_reader reader;
    wire_reader_init(&reader, exact, size);
    int result = wire_next(&reader, field, problem);
    if (result == 1) {
        assert_ptr_equal(field->start, exact);
        assert_ptr_equal(reader.next, exact + field->length);
    } else {
        assert_ptr_equal(reader.next, exact);
    }
    free(exact);
    return result;
}

#define REFUSED(bytes, wanted)                                                                     \
    do {                                                                                           \
        struct wire_field refused_;                                                                \
        const char *problem_ = NULL;                                                               \
        assert_int_equal(next_of(bytes, sizeof(bytes) - 1, &refused_, &problem_), -1);             \
        assert_string_equal(problem_, wanted);                                                     \
    } while (0)

static void every_kind_of_field_is_taken(void **state)
{
    (void)state;
    static const uint8_t bytes[] = "\x08\x96\x01"                         /* 1: 150 */
                                   "\x12\x03\x61\x62\x63"                 /* 2: "abc" */
                                   "\x1d\x01\x02\x03\x04"                 /* 3: fixed 32 */
                                   "\x21\x01\x02\x03\x04\x05\x06\x07\x08" /* 4: fixed 64 */
                                   "\x2b\x08\x01\x13\x14\x2c"             /* 5: a group */
                                   "\xfa\xff\xff\xff\x0f\x00";            /* 2^29 - 1: "" */
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    wire_reader_init(&reader, bytes, sizeof(bytes) - 1);
    assert_int_equal(wire_next(&reader, &field, &problem), 1);
    assert_true(field.number == 1 && field.type == WIRE_VARINT && field.value == 150);
    assert_int_equal(wire_next(&reader, &field, &problem), 1);
    assert_true(field.number == 2 && field.type == WIRE_BYTES && field.size == 3);
    assert_memory_equal(field.data, "abc", 3);
    assert_true(field.start == bytes + 3 && field.length == 5);
    assert_int_equal(wire_next(&reader, &field, &problem), 1);
    assert_true(field.type == WIRE_FIXED32 && field.value == 0x04030201);
    assert_int_equal(wire_next(&reader, &field, &problem), 1);
    assert_true(field.type == WIRE_FIXED64 && field.value == 0x0807060504030201);
    assert_int_equal(wire_next(&reader, &field, &problem), 1);
    assert_true(field.number == 5 && field.type == WIRE_GROUP_START);
    assert_true(field.size == 4 && field.length == 6 && field.data == field.start + 1);
    assert_int_equal(wire_next(&reader, &field, &problem), 1);
    assert_true(field.number == (1u << 29) - 1 && field.type == WIRE_BYTES && field.size == 0);
    assert_int_equal(wire_next(&reader, &field, &problem), 0);
}

static void varints_go_up_to_64_bits_in_ten_bytes(void **state)
{
    (void)state;
    struct wire_field field;
    const char *problem;
    assert_int_equal(next_of("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, &field, &problem),
                     1);
    assert_true(field.value == UINT64_MAX);
    assert_int_equal(next_of("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", 11, &field, &problem),
                     1);
    assert_true(field.value == 0);
    REFUSED("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", "varint of more than 64 bits");
    REFUSED("\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00", "over-long varint");
    REFUSED("\x08", "truncated varint");
    REFUSED("\x08\x80\x80", "truncated varint");
}

static void tags_and_lengths_are_checked(void **state)
{
    (void)state;
    struct wire_field field;
    const char *problem;
    assert_int_equal(next_of("\x8a\x80\x80\x80\x00\x00", 6, &field, &problem), 1);
    assert_int_equal(field.number, 1);
    REFUSED("\x8a\x80\x80\x80\x80\x00\x00", "over-long varint");
    REFUSED("\x80", "truncated varint");
    REFUSED("\x00\x01", "field number 0");
    REFUSED("\x02\x00", "field number 0");
    REFUSED("\xfa\xff\xff\xff\x1f\x00", "field number out of range");
    REFUSED("\x0e\x00", "unknown wire type");
    REFUSED("\x0f\x00", "unknown wire type");
    REFUSED("\x0a\x01", "truncated length-delimited field");
    REFUSED("\x0a\xff\xff\xff\xff\x0f", "truncated length-delimited field");
    REFUSED("\x0a\x80\x80\x80\x80\x80\x00", "over-long varint");
    REFUSED("\x0d\x01\x02\x03", "truncated fixed-size field");
    REFUSED("\x09\x01\x02\x03\x04\x05\x06\x07", "truncated fixed-size field");
}

static void groups_must_match(void **state)
{
    (void)state;
    struct wire_field field;
    const char *problem;
    assert_int_equal(next_of("\x0b\x13\x0b\x0c\x14\x0c", 6, &field, &problem), 1);
    REFUSED("\x0c", "end of a group that was not begun");
    REFUSED("\x0b", "truncated group");
    REFUSED("\x0b\x08\x01", "truncated group");
    REFUSED("\x0b\x14", "group ended by another field's tag");
    REFUSED("\x0b\x13\x0c\x14", "group ended by another field's tag");
    REFUSED("\x0b\x00\x0c", "field number 0");
    REFUSED("\x0b\x12\x05\x0c", "truncated length-delimited field");
}

static int nested(size_t depth, const char **problem)
{
    uint8_t *bytes = malloc(2 * depth);
    assert_non_null(bytes);
    memset(bytes, 0x0b, depth);
    memset(bytes + depth, 0x0c, depth);
    struct wire_field field;
    int result = next_of(bytes, 2 * depth, &field, problem);
    free(bytes);
    return result;
}

static void groups_nest_a_hundred_deep_and_no_more(void **state)
{
    (void)state;
    const char *problem = NULL;
    assert_int_equal(nested(WIRE_GROUP_DEPTH_MAX, &problem), 1);
    assert_int_equal(nested(WIRE_GROUP_DEPTH_MAX + 1, &problem), -1);
    assert_string_equal(problem, "groups nested too deep");
    assert_int_equal(nested(100000, &problem), -1);
}

static void written_fields_read_back(void **state)
{
    (void)state;
    uint8_t bytes[64];
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        uint8_t *out = wire_put_varint(wire_put_tag(bytes, 3, WIRE_VARINT), values[i]);
        assert_int_equal(out - bytes, 1 + wire_varint_size(values[i]));
        struct wire_field field;
        const char *problem;
        assert_int_equal(next_of(bytes, (size_t)(out - bytes), &field, &problem), 1);
        assert_true(field.number == 3 && field.value == values[i]);
    }
    uint8_t *out = wire_put_bytes(bytes, 15, "abc", 3);
    assert_int_equal(out - bytes, wire_bytes_size(3));
    assert_memory_equal(bytes, "\172\003abc", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_field_is_taken),
        cmocka_unit_test(varints_go_up_to_64_bits_in_ten_bytes),
        cmocka_unit_test(tags_and_lengths_are_checked),
        cmocka_unit_test(groups_must_match),
        cmocka_unit_test(groups_nest_a_hundred_deep_and_no_more),
        cmocka_unit_test(written_fields_read_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
