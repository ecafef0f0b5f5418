/*
 * A number in a string is read as JSON writes numbers: sign, digits without leading zeros,
 * fraction, exponent. The digits are shifted by the exponent in decimal, so that no double rounds
 * them. Only what jansson has already made a double (a bare "1e3") is taken from the double.
 */
#include "proto/json_number.h"

#include <string.h>

#define LONG_DIGITS 19 /* of 2^63 - 1; fewer always fit */
#define TWO_TO_64 18446744073709551616.0

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_number_character(char c)
{
    return is_digit(c) || c == '+' || c == '-' || c == '.' || c == 'e' || c == 'E';
}

static bool is_long_integer(const char *token, size_t size)
{
    size_t sign = token[0] == '-' ? 1 : 0;
    if (size - sign < LONG_DIGITS || token[sign] == '0')
        return false;
    for (size_t i = sign; i < size; i++)
        if (!is_digit(token[i]))
            return false;
    return true;
}

static char *append(char *out, const char *data, size_t size)
{
    memcpy(out, data, size);
    return out + size;
}

/* Copies a string, from its opening quote to behind its closing one, and doubles its NULs. */
static const char *copy_string(const char *at, const char *end, char **out)
{
    static const char nul[] = "\\u0000";
    *(*out)++ = *at++;
    while (at < end && *at != '"') {
        if (*at != '\\' || end - at < 2) {
            *(*out)++ = *at++;
        } else if (end - at >= 6 && memcmp(at, nul, 6) == 0) {
            *out = append(append(*out, nul, 6), nul, 6);
            at += 6;
        } else {
            *out = append(*out, at, 2);
            at += 2;
        }
    }
    if (at < end)
        *(*out)++ = *at++;
    return at;
}

/* Copies all that a number can be made of, as a marked string if it is a long integer. */
static const char *copy_number(const char *at, const char *end, char **out)
{
    const char *token = at;
    while (at < end && is_number_character(*at))
        at++;
    size_t size = (size_t)(at - token);
    if (is_long_integer(token, size)) {
        *out = append(append(*out, "\"\\u0000", 7), token, size);
        *(*out)++ = '"';
    } else {
        *out = append(*out, token, size);
    }
    return at;
}

char *json_number_mark_long(const char *text, size_t size, struct arena *arena, size_t *marked_size)
{
    /* A doubled NUL is 12 bytes from 6; a marked number is 8 more than its 19 at least. */
    char *copy = size > SIZE_MAX / 2 ? NULL : arena_alloc(arena, 2 * size);
    if (copy == NULL)
        return NULL;
    char *out = copy;
    const char *at = text;
    const char *end = text + size;
    while (at < end) {
        if (*at == '"')
            at = copy_string(at, end, &out);
        else if (*at == '-' || is_digit(*at))
            at = copy_number(at, end, &out);
        else
            *out++ = *at++;
    }
    *marked_size = (size_t)(out - copy);
    return copy;
}

bool json_number_is_marked(const json_t *value)
{
    const char *text = json_string_value(value);
    return text != NULL && json_string_length(value) > 1 && text[0] == '\0' && text[1] != '\0';
}

static enum json_number_result from_double(double value, struct json_number *number)
{
    double absolute = value < 0 ? -value : value;
    if (absolute >= TWO_TO_64)
        return JSON_NUMBER_OUT_OF_RANGE;
    uint64_t magnitude = (uint64_t)absolute;
    if ((double)magnitude < absolute)
        return JSON_NUMBER_NO_INTEGER;
    number->negative = value < 0;
    number->magnitude = magnitude;
    return JSON_NUMBER_OK;
}

static void from_integer(json_int_t value, struct json_number *number)
{
    number->negative = value < 0;
    number->magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
}

/* The parts of a number's text: digits before and behind the point, and the exponent. */
struct parts {
    const char *whole;
    size_t whole_digits;
    const char *fraction;
    size_t fraction_digits;
    bool exponent_negative;
    size_t exponent;
};

static size_t count_digits(const char *at, const char *end)
{
    const char *first = at;
    while (at < end && is_digit(*at))
        at++;
    return (size_t)(at - first);
}

static bool split_exponent(const char *at, const char *end, struct parts *parts)
{
    if (at == end)
        return true;
    if (*at != 'e' && *at != 'E')
        return false;
    at++;
    if (at < end && (*at == '+' || *at == '-'))
        parts->exponent_negative = *at++ == '-';
    size_t digits = count_digits(at, end);
    if (digits == 0 || at + digits != end)
        return false;
    for (; at < end; at++) {
        /* Beyond any text's length it makes no difference how large it is. */
        if (parts->exponent < SIZE_MAX / 100)
            parts->exponent = parts->exponent * 10 + (size_t)(*at - '0');
    }
    return true;
}

/* Behind the sign. */
static bool split(const char *at, const char *end, struct parts *parts)
{
    *parts = (struct parts){.whole = at, .whole_digits = count_digits(at, end)};
    if (parts->whole_digits == 0 || (parts->whole_digits > 1 && at[0] == '0'))
        return false;
    at += parts->whole_digits;
    if (at < end && *at == '.') {
        at++;
        parts->fraction = at;
        parts->fraction_digits = count_digits(at, end);
        if (parts->fraction_digits == 0)
            return false;
        at += parts->fraction_digits;
    }
    return split_exponent(at, end, parts);
}

static char digit_at(const struct parts *parts, size_t index)
{
    return index < parts->whole_digits ? parts->whole[index]
                                       : parts->fraction[index - parts->whole_digits];
}

/* The digits up to where the exponent moves the point are the integer; the others must be 0. */
static enum json_number_result shift(const struct parts *parts, uint64_t *magnitude)
{
    size_t count = parts->whole_digits + parts->fraction_digits;
    size_t point = parts->whole_digits + parts->exponent;
    if (parts->exponent_negative)
        point = parts->exponent < parts->whole_digits ? parts->whole_digits - parts->exponent : 0;
    bool overflow = false;
    *magnitude = 0;
    for (size_t i = 0; i < count && i < point; i++)
        overflow |=
            __builtin_mul_overflow(*magnitude, 10u, magnitude) ||
            __builtin_add_overflow(*magnitude, (uint64_t)(digit_at(parts, i) - '0'), magnitude);
    for (size_t i = point; i < count; i++)
        if (digit_at(parts, i) != '0')
            return JSON_NUMBER_NO_INTEGER;
    for (size_t i = count; i < point && *magnitude != 0 && !overflow; i++)
        overflow = __builtin_mul_overflow(*magnitude, 10u, magnitude);
    return overflow ? JSON_NUMBER_OUT_OF_RANGE : JSON_NUMBER_OK;
}

static enum json_number_result from_text(const char *text, size_t size, struct json_number *number)
{
    const char *end = text + size;
    bool negative = size > 0 && text[0] == '-';
    struct parts parts;
    if (!split(text + (negative ? 1 : 0), end, &parts))
        return JSON_NUMBER_NO_INTEGER;
    enum json_number_result result = shift(&parts, &number->magnitude);
    number->negative = negative && number->magnitude != 0;
    return result;
}

enum json_number_result json_number_read(const json_t *value, bool marked,
                                         struct json_number *number)
{
    if (json_is_integer(value)) {
        from_integer(json_integer_value(value), number);
        return JSON_NUMBER_OK;
    }
    if (json_is_real(value))
        return from_double(json_real_value(value), number);
    if (!json_is_string(value))
        return JSON_NUMBER_NO_INTEGER;
    size_t mark = marked && json_number_is_marked(value) ? 1 : 0;
    return from_text(json_string_value(value) + mark, json_string_length(value) - mark, number);
}
