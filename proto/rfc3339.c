/*
 * The calendar is the C library's; what is done here is to be strict: every field has its
 * digits, and a day that the month does not have is refused instead of carried over.
 */
#include "proto/rfc3339.h"

#include <stdbool.h>
#include <string.h>
#include <time.h>

#define SECONDS_MIN INT64_C(-62135596800) /* 0001-01-01T00:00:00Z */
#define SECONDS_MAX INT64_C(253402300799) /* 9999-12-31T23:59:59Z */
#define NANOS_MAX 999999999

/* So many digits, with zeros in front, and what follows them. */
static char *put_number(char *out, int digits, int value, char behind)
{
    for (int i = digits; i > 0; i--) {
        out[i - 1] = (char)('0' + value % 10);
        value /= 10;
    }
    out[digits] = behind;
    return out + digits + 1;
}

/* The fraction has 3, 6 or 9 digits, or is not there. */
static char *put_fraction(char *out, int32_t nanos)
{
    if (nanos == 0)
        return out;
    out[-1] = '.';
    if (nanos % 1000000 == 0)
        return put_number(out, 3, nanos / 1000000, 'Z');
    if (nanos % 1000 == 0)
        return put_number(out, 6, nanos / 1000, 'Z');
    return put_number(out, 9, nanos, 'Z');
}

int rfc3339_format(int64_t seconds, int32_t nanos, char text[RFC3339_BYTES])
{
    time_t time = (time_t)seconds;
    struct tm tm;
    if (seconds < SECONDS_MIN || seconds > SECONDS_MAX || nanos < 0 || nanos > NANOS_MAX ||
        gmtime_r(&time, &tm) == NULL)
        return -1;
    char *out = put_number(text, 4, tm.tm_year + 1900, '-');
    out = put_number(out, 2, tm.tm_mon + 1, '-');
    out = put_number(out, 2, tm.tm_mday, 'T');
    out = put_number(out, 2, tm.tm_hour, ':');
    out = put_number(out, 2, tm.tm_min, ':');
    out = put_number(out, 2, tm.tm_sec, 'Z');
    *put_fraction(out, nanos) = '\0';
    return 0;
}

struct reader {
    const char *next;
    const char *end;
    bool failed;
};

static bool take(struct reader *reader, char wanted)
{
    if (reader->next == reader->end || *reader->next != wanted)
        return false;
    reader->next++;
    return true;
}

static void expect(struct reader *reader, char wanted)
{
    if (!take(reader, wanted))
        reader->failed = true;
}

static bool at_digit(const struct reader *reader)
{
    return reader->next < reader->end && *reader->next >= '0' && *reader->next <= '9';
}

/* Exactly `digits` digits that make a number of at most `maximum`. */
static int read_number(struct reader *reader, int digits, int maximum)
{
    int value = 0;
    for (int i = 0; i < digits; i++) {
        if (!at_digit(reader)) {
            reader->failed = true;
            return 0;
        }
        value = value * 10 + (*reader->next++ - '0');
    }
    if (value > maximum)
        reader->failed = true;
    return value;
}

static int32_t read_fraction(struct reader *reader)
{
    if (!take(reader, '.'))
        return 0;
    if (!at_digit(reader))
        reader->failed = true;
    int32_t nanos = 0;
    for (int32_t unit = 100000000; unit > 0 && at_digit(reader); unit /= 10)
        nanos += (*reader->next++ - '0') * unit;
    return nanos;
}

static int read_offset_seconds(struct reader *reader)
{
    if (take(reader, 'Z'))
        return 0;
    int sign = take(reader, '-') ? -1 : 1;
    if (sign == 1)
        expect(reader, '+');
    int hours = read_number(reader, 2, 23);
    expect(reader, ':');
    int minutes = read_number(reader, 2, 59);
    return sign * (hours * 3600 + minutes * 60);
}

static struct tm read_date_and_time(struct reader *reader)
{
    struct tm tm = {0};
    tm.tm_year = read_number(reader, 4, 9999) - 1900;
    expect(reader, '-');
    tm.tm_mon = read_number(reader, 2, 12) - 1;
    expect(reader, '-');
    tm.tm_mday = read_number(reader, 2, 31);
    expect(reader, 'T');
    tm.tm_hour = read_number(reader, 2, 23);
    expect(reader, ':');
    tm.tm_min = read_number(reader, 2, 59);
    expect(reader, ':');
    tm.tm_sec = read_number(reader, 2, 59);
    return tm;
}

int rfc3339_parse(const char *text, size_t size, int64_t *seconds, int32_t *nanos)
{
    struct reader reader = {text, text + size, false};
    struct tm tm = read_date_and_time(&reader);
    int32_t fraction = read_fraction(&reader);
    int offset_seconds = read_offset_seconds(&reader);
    if (reader.failed || reader.next != reader.end)
        return -1;
    struct tm normal = tm;
    int64_t result = (int64_t)timegm(&normal);
    if (normal.tm_mday != tm.tm_mday || normal.tm_mon != tm.tm_mon)
        return -1;
    result -= offset_seconds;
    if (result < SECONDS_MIN || result > SECONDS_MAX)
        return -1;
    *seconds = result;
    *nanos = fraction;
    return 0;
}
