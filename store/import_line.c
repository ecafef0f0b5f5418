#include "store/import_line.h"

#include "proto/codec.h"
#include "proto/rfc3339.h"
#include "proto/utf8.h"
#include "store/export.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define NS_PER_SECOND 1000000000u
#define SECONDS_MAX (INT64_MAX / NS_PER_SECOND)

/* --- reading --- */

static bool grow(struct import_text *text)
{
    size_t capacity = text->capacity == 0 ? 4096 : 2 * text->capacity;
    char *bytes = realloc(text->bytes, capacity);

    if (bytes == NULL)
        return false;
    text->bytes = bytes;
    text->capacity = capacity;
    return true;
}

int import_line_read(struct import_text *text, FILE *in, struct store_failure *failure)
{
    int byte;

    text->size = 0;
    while ((byte = getc_unlocked(in)) != EOF && byte != '\n') {
        if (text->size == IMPORT_LINE_BYTES_MAX)
            return store_fail(failure, STORE_FORMAT,
                              "it is longer than %zu MiB: it is no line of an export",
                              IMPORT_LINE_BYTES_MAX >> 20);
        if (text->size == text->capacity && !grow(text))
            return store_fail(failure, STORE_NO_MEMORY, "out of memory");
        text->bytes[text->size++] = (char)byte;
    }
    if (ferror(in))
        return store_fail(failure, STORE_IO, "it cannot be read: %s", strerror(errno));
    return byte == EOF && text->size == 0 ? STORE_NOT_FOUND : 0;
}

/* --- parsing --- */

struct parsing {
    struct import_line *line;
    struct store_failure *failure;
};

static int wrong(const struct parsing *parsing, const char *name, const char *what)
{
    return store_fail(parsing->failure, STORE_FORMAT, "\"%s\" %s", name, what);
}

/* --- fields --- */

static int get_text(const struct parsing *parsing, const char *name, size_t least, size_t most,
                    struct command_text *text)
{
    const json_t *value = json_object_get(parsing->line->json, name);

    if (!json_is_string(value))
        return wrong(parsing, name, "is missing, or is no string");
    text->data = json_string_value(value);
    text->size = json_string_length(value);
    if (text->size < least || text->size > most)
        return wrong(parsing, name, "is too short or too long");
    return 0;
}

static int get_id_text(const struct parsing *parsing, const char *name, struct command_text *text)
{
    int rc = get_text(parsing, name, 1, COMMAND_USER_BYTES_MAX, text);

    if (rc == 0 && utf8_printable_length(text->data, text->size) != text->size)
        return wrong(parsing, name, "holds control characters");
    return rc;
}

static int get_uuid(const struct parsing *parsing, const char *name, struct uuid *uuid)
{
    struct command_text text;
    int rc = get_text(parsing, name, 0, SIZE_MAX, &text);

    if (rc == 0 && !uuid_parse(text.data, text.size, uuid))
        return wrong(parsing, name, "is no UUID");
    return rc;
}

static int get_time(const struct parsing *parsing, const char *name, uint64_t *ns)
{
    struct command_text text;
    int64_t seconds;
    int32_t nanos;
    int rc = get_text(parsing, name, 0, SIZE_MAX, &text);

    if (rc != 0)
        return rc;
    if (rfc3339_parse(text.data, text.size, &seconds, &nanos) != 0 || seconds < 0 ||
        seconds >= SECONDS_MAX)
        return wrong(parsing, name, "is no time since 1970 as in RFC 3339");
    *ns = (uint64_t)seconds * NS_PER_SECOND + (uint64_t)nanos;
    return 0;
}

static int get_number(const struct parsing *parsing, const char *name, uint64_t least,
                      uint64_t *number)
{
    const json_t *value = json_object_get(parsing->line->json, name);

    if (!json_is_integer(value) || json_integer_value(value) < (json_int_t)least)
        return wrong(parsing, name, "is missing, or is no such number");
    *number = (uint64_t)json_integer_value(value);
    return 0;
}

/* --- users --- */

static int by_bytes(const void *left, const void *right)
{
    return strcmp(*(const char *const *)left, *(const char *const *)right);
}

static int take_users(const struct parsing *parsing, char **ids, size_t count)
{
    struct import_line *line = parsing->line;

    qsort(ids, count, sizeof *ids, by_bytes);
    for (size_t i = 1; i < count; i++)
        if (strcmp(ids[i - 1], ids[i]) == 0)
            return wrong(parsing, "user_ids", "holds a user twice");
    line->users_size = command_users_size(ids, count);
    line->users = malloc(line->users_size);
    if (line->users == NULL)
        return store_fail(parsing->failure, STORE_NO_MEMORY, "out of memory");
    command_users_write(ids, count, line->users);
    return 0;
}

static int get_users(const struct parsing *parsing)
{
    const json_t *list = json_object_get(parsing->line->json, "user_ids");
    size_t count = json_array_size(list);
    char **ids;
    int rc = 0;

    if (count == 0)
        return wrong(parsing, "user_ids", "is missing, empty, or no list");
    ids = malloc(count * sizeof *ids);
    if (ids == NULL)
        return store_fail(parsing->failure, STORE_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < count && rc == 0; i++) {
        const json_t *value = json_array_get(list, i);
        size_t size = json_string_length(value);
        ids[i] = (char *)(uintptr_t)json_string_value(value); /* only read */
        if (ids[i] == NULL || size == 0 || size > COMMAND_USER_BYTES_MAX ||
            utf8_printable_length(ids[i], size) != size)
            rc = wrong(parsing, "user_ids", "holds what is no user id");
    }
    if (rc == 0)
        rc = take_users(parsing, ids, count);
    free(ids);
    return rc;
}

/* --- lines --- */

static int get_namespace(const struct parsing *parsing)
{
    static const char permitted[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                    "0123456789_-";
    struct command_text text;
    int rc = get_text(parsing, "namespace", 1, DATABASE_NAMESPACE_BYTES_MAX, &text);

    if (rc != 0)
        return rc;
    if (strspn(text.data, permitted) != text.size)
        return wrong(parsing, "namespace", "may hold letters, digits, _ and - only");
    parsing->line->namespace_name = text.data;
    return 0;
}

static int parse_chat(const struct parsing *parsing)
{
    int rc = get_uuid(parsing, "chat_id", &parsing->line->chat_id);

    if (rc == 0)
        rc = get_namespace(parsing);
    if (rc == 0)
        rc = get_time(parsing, "created_at", &parsing->line->created_ns);
    if (rc == 0)
        rc = get_users(parsing);
    return rc == 0 ? get_number(parsing, "head_seq", 0, &parsing->line->head_seq) : rc;
}

static int parse_message(const struct parsing *parsing)
{
    struct command_send *message = &parsing->line->message;
    int rc = get_uuid(parsing, "chat_id", &message->chat_id);

    parsing->line->chat_id = message->chat_id;
    if (rc == 0)
        rc = get_number(parsing, "seq", 1, &parsing->line->seq);
    if (rc == 0)
        rc = get_uuid(parsing, "id", &message->id);
    if (rc == 0)
        rc = get_id_text(parsing, "client_id", &message->client_id);
    if (rc == 0)
        rc = get_id_text(parsing, "user_id", &message->user_id);
    if (rc == 0)
        rc = get_time(parsing, "sent_at", &message->sent_ns);
    if (rc == 0)
        rc = get_text(parsing, "subject", 0, CODEC_SUBJECT_BYTES_MAX, &message->subject);
    return rc == 0 ? get_text(parsing, "text", 1, CODEC_REQUEST_BYTES_MAX, &message->text) : rc;
}

static int parse_export(const struct parsing *parsing)
{
    uint64_t format;
    int rc = get_number(parsing, "format", 1, &format);

    if (rc == 0 && format != EXPORT_FORMAT)
        return store_fail(parsing->failure, STORE_FORMAT,
                          "the export has format %" PRIu64 ", and this program reads %d", format,
                          EXPORT_FORMAT);
    return rc;
}

static int parse_end(const struct parsing *parsing)
{
    int rc = get_number(parsing, "chats", 0, &parsing->line->chats);

    return rc == 0 ? get_number(parsing, "messages", 0, &parsing->line->messages) : rc;
}

static int parse_kind(const struct parsing *parsing)
{
    static const struct {
        const char *name;
        int (*parse)(const struct parsing *);
    } kinds[] = {
        [IMPORT_LINE_EXPORT] = {"export", parse_export},
        [IMPORT_LINE_CHAT] = {"chat", parse_chat},
        [IMPORT_LINE_MESSAGE] = {"message", parse_message},
        [IMPORT_LINE_END] = {"end", parse_end},
    };
    const char *type = json_string_value(json_object_get(parsing->line->json, "type"));

    for (size_t i = 0; type != NULL && i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(type, kinds[i].name) == 0) {
            parsing->line->kind = (enum import_line_kind)i;
            return kinds[i].parse(parsing);
        }
    }
    return wrong(parsing, "type", "must be export, chat, message or end");
}

int import_line_parse(struct import_line *line, const char *text, size_t size,
                      struct store_failure *failure)
{
    const struct parsing parsing = {line, failure};
    json_error_t error;

    memset(line, 0, sizeof *line);
    line->json = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    if (line->json == NULL)
        return store_fail(failure, STORE_FORMAT, "it is no JSON: %s, at column %d", error.text,
                          error.column);
    if (!json_is_object(line->json))
        return store_fail(failure, STORE_FORMAT, "it is no JSON object");
    return parse_kind(&parsing);
}

void import_line_free(struct import_line *line)
{
    json_decref(line->json);
    free(line->users);
    memset(line, 0, sizeof *line);
}
