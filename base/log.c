/*
 * A line is put together on the caller's stack and handed to the kernel in one write(2), so that
 * lines of several threads never mix. It is at most LINE_BYTES long, which is what a pipe takes
 * in one piece; a longer one is cut between two characters, never inside an escape or a quoted
 * value, and ends in `truncated=true`. Nothing here allocates, and errno is left as it was: a
 * line may be written between a failure and its handling.
 */
#include "base/log.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 4096
static const char truncated_mark[] = " truncated=true";
/* Kept free for what ends every line: a closing quote, the mark, the newline. */
#define LINE_ROOM (LINE_BYTES - 1 - (sizeof truncated_mark - 1) - 1)

_Static_assert(LINE_BYTES <= PIPE_BUF, "a line must fit what a pipe takes in one piece");

struct line {
    char data[LINE_BYTES];
    size_t size;
    bool truncated; /* something did not fit; nothing more is put */
};

static const char *const level_names[] = {"debug", "info", "warn", "error"};
static _Atomic int lowest_level = LOG_LEVEL_INFO;

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&lowest_level, (int)level, memory_order_relaxed);
}

bool log_parse_level(const char *name, enum log_level *level)
{
    for (size_t i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(name, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

struct log_field log_text(const char *name, const char *value)
{
    return log_bytes(name, value, value == NULL ? 0 : strlen(value));
}

struct log_field log_bytes(const char *name, const char *data, size_t size)
{
    return (struct log_field){
        .name = name, .kind = LOG_KIND_TEXT, .value.text = {.data = data, .size = size}};
}

struct log_field log_u64(const char *name, uint64_t value)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_U64, .value.u64 = value};
}

struct log_field log_i64(const char *name, int64_t value)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_I64, .value.i64 = value};
}

struct log_field log_f64(const char *name, double value)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_F64, .value.f64 = value};
}

struct log_field log_bool(const char *name, bool value)
{
    return (struct log_field){.name = name, .kind = LOG_KIND_BOOL, .value.boolean = value};
}

/* All of it or nothing, and nothing after the first thing that did not fit. */
static void put(struct line *line, const char *data, size_t size)
{
    if (line->truncated || size > LINE_ROOM - line->size) {
        line->truncated = true;
        return;
    }
    memcpy(line->data + line->size, data, size);
    line->size += size;
}

static void put_string(struct line *line, const char *string)
{
    put(line, string, strlen(string));
}

static bool is_plain(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != 0 && strchr("._:/@+-", c) != NULL);
}

/*
 * Length of the well-formed UTF-8 character at `text` (Unicode, table 3-7), or 0 where there is
 * none, or one that some reader may take for a control or the end of a line: U+0080 to U+009F,
 * U+2028, U+2029.
 */
static size_t utf8_printable(const unsigned char *text, size_t size)
{
    static const struct {
        unsigned char first, last, low, high; /* first byte's range, second byte's range */
        size_t length;
    } shapes[] = {
        {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        if (text[0] < shapes[i].first || text[0] > shapes[i].last)
            continue;
        size_t length = shapes[i].length;
        if (size < length || text[1] < shapes[i].low || text[1] > shapes[i].high)
            return 0;
        for (size_t j = 2; j < length; j++) {
            if (text[j] < 0x80 || text[j] > 0xbf)
                return 0;
        }
        bool line_end = text[0] == 0xe2 && text[1] == 0x80 && (text[2] == 0xa8 || text[2] == 0xa9);
        if (line_end)
            return 0;
        return length;
    }
    return 0;
}

static void put_escaped_byte(struct line *line, unsigned char c)
{
    static const char digits[] = "0123456789abcdef";
    char escape[4] = {'\\', 'x', digits[c >> 4], digits[c & 0x0f]};

    if (c == '"' || c == '\\')
        put(line, (const char[]){'\\', (char)c}, 2);
    else if (c == '\n')
        put(line, "\\n", 2);
    else if (c == '\r')
        put(line, "\\r", 2);
    else if (c == '\t')
        put(line, "\\t", 2);
    else
        put(line, escape, sizeof escape);
}

static void put_quoted(struct line *line, const char *data, size_t size)
{
    const unsigned char *next = (const unsigned char *)(size > 0 ? data : "");
    const unsigned char *end = next + size;

    put(line, "\"", 1);
    if (line->truncated)
        return;
    while (next < end && !line->truncated) {
        size_t length = 1;
        if (*next >= 0x20 && *next < 0x7f && *next != '"' && *next != '\\') {
            put(line, (const char *)next, 1);
        } else if (*next >= 0x80 && (length = utf8_printable(next, (size_t)(end - next))) > 0) {
            put(line, (const char *)next, length);
        } else {
            length = 1;
            put_escaped_byte(line, *next);
        }
        next += length;
    }
    /* An opened quote is always closed: there is room kept for it. */
    line->data[line->size++] = '"';
}

static void put_value(struct line *line, const char *data, size_t size)
{
    bool plain = size > 0;

    for (size_t i = 0; i < size && plain; i++)
        plain = is_plain((unsigned char)data[i]);
    if (plain && size <= LINE_ROOM - line->size)
        put(line, data, size);
    else
        put_quoted(line, data, size);
}

static void put_field(struct line *line, const struct log_field *field)
{
    char number[350]; /* the longest double has 309 digits before its point */
    size_t start = line->size;

    put(line, " ", 1);
    put_string(line, field->name);
    put(line, "=", 1);
    switch (field->kind) {
    case LOG_KIND_TEXT:
        put_value(line, field->value.text.data, field->value.text.size);
        return;
    case LOG_KIND_U64:
        snprintf(number, sizeof number, "%llu", (unsigned long long)field->value.u64);
        break;
    case LOG_KIND_I64:
        snprintf(number, sizeof number, "%lld", (long long)field->value.i64);
        break;
    case LOG_KIND_F64:
        snprintf(number, sizeof number, "%.3f", field->value.f64);
        break;
    case LOG_KIND_BOOL:
        snprintf(number, sizeof number, "%s", field->value.boolean ? "true" : "false");
        break;
    }
    put_string(line, number);
    if (line->truncated) /* a number cut in two would be another number */
        line->size = start;
}

static void put_time(struct line *line)
{
    struct timespec now;
    struct tm parts;
    char text[64];

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    size_t size = strftime(text, sizeof text, "time=%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(text + size, sizeof text - size, ".%03dZ", (int)(now.tv_nsec / 1000000));
    put_string(line, text);
}

static void finish(struct line *line)
{
    if (line->truncated) {
        memcpy(line->data + line->size, truncated_mark, sizeof truncated_mark - 1);
        line->size += sizeof truncated_mark - 1;
    }
    line->data[line->size++] = '\n';
}

/* What standard error does not take (closed, full, non-blocking and busy) is lost: a log must not
 * stop the program that writes it. */
static void write_out(const char *data, size_t size)
{
    while (size > 0) {
        ssize_t written = write(STDERR_FILENO, data, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        data += written;
        size -= (size_t)written;
    }
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               size_t count)
{
    struct line line;
    int saved_errno = errno;

    if ((int)level < atomic_load_explicit(&lowest_level, memory_order_relaxed))
        return;
    line.size = 0;
    line.truncated = false;
    put_time(&line);
    put_string(&line, " level=");
    put_string(&line, level_names[level]);
    put_string(&line, " event=");
    put_string(&line, event);
    /* A field's name is only put where at least an empty value fits too. */
    for (size_t i = 0; i < count && !line.truncated; i++) {
        if (strlen(fields[i].name) + 4 > LINE_ROOM - line.size)
            line.truncated = true;
        else
            put_field(&line, &fields[i]);
    }
    finish(&line);
    write_out(line.data, line.size);
    errno = saved_errno;
}
