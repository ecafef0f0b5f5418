/*
 * Integers of the JSON mapping: numbers or decimal strings, "1.0" and "1e3" where they are whole,
 * up to 2^64 - 1, which is more than jansson's integers hold.
 *
 * Text that jansson refuses for a number too big is given to json_number_mark_long and parsed
 * again. Any thread.
 */
#ifndef PROTO_JSON_NUMBER_H
#define PROTO_JSON_NUMBER_H

#include "proto/arena.h"
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An integer within ±(2^64 - 1). */
struct json_number {
    bool negative; /* never together with magnitude 0 */
    uint64_t magnitude;
};

enum json_number_result {
    JSON_NUMBER_OK = 0,
    JSON_NUMBER_NO_INTEGER = -1,
    JSON_NUMBER_OUT_OF_RANGE = -2,
};

/*
 * A copy of the JSON text in `arena` in which integers of 19 and more digits outside of strings are
 * strings that begin with a NUL. No string of the text can look like that: in the copy, each of
 * their NULs (\u0000) is there twice. NULL when the arena is exhausted.
 */
char *json_number_mark_long(const char *text, size_t size, struct arena *arena,
                            size_t *marked_size);

/* Whether a value of such a copy was a number in the text. */
bool json_number_is_marked(const json_t *value);

/* `marked` says that the value is from a marked copy. */
enum json_number_result json_number_read(const json_t *value, bool marked,
                                         struct json_number *number);

#endif
