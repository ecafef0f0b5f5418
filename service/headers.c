/*
 * Most requests have no headers: the library says so at once. For others, all names are looked at,
 * since Chat-User and chat-user may both be there, and whoever may set one of them must not be able
 * to hide the other. Headers that cannot be read are refused for the same reason: one of them might
 * have been a Chat-User, without which the caller would be trusted with everything.
 *
 * The library's parser has holes that matter here. It skips white space over the end of a line, so
 * that the value of an empty header is the whole next line, name and all; and it looks for colons
 * beyond the end of a line, so that a line without one becomes part of the next name. The first is
 * undone here for the headers that mean something; the second is refused. When the last header is
 * empty, it reads none at all.
 */
#include "service/headers.h"

#include "base/trace.h"
#include "proto/codec.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define JSON_TYPE "application/json"
#define USER_NAME "Chat-User"
#define TYPE_NAME "Content-Type"
#define TRACE_NAME "traceparent"
#define WHITE " \t"

bool headers_is_json(const char *content_type)
{
    const char *type = content_type + strspn(content_type, WHITE);
    const char *rest = type + strlen(JSON_TYPE);

    if (strncasecmp(type, JSON_TYPE, strlen(JSON_TYPE)) != 0)
        return false;
    rest += strspn(rest, WHITE);
    return *rest == '\0' || *rest == ';';
}

static int unreadable(natsStatus status, struct chat_error *error)
{
    if (status == NATS_NO_MEMORY)
        return chat_error_set(error, CHAT_OVERLOADED, "out of memory; retry");
    return chat_error_set(error, CHAT_MALFORMED,
                          "the headers cannot be read; the last one must not be empty");
}

/* When the headers do not say: no protobuf request of ours begins as a JSON object does. */
static enum codec_format format_of_body(const natsMsg *message)
{
    return natsMsg_GetDataLength(message) > 0 && natsMsg_GetData(message)[0] == '{'
               ? CODEC_JSON
               : CODEC_PROTOBUF;
}

static bool is_name(const char *key)
{
    const char *c = key;

    while (*c > ' ' && *c < 0x7f)
        c++;
    return *c == '\0' && c != key;
}

/* The value in `line` if it is a whole header of this name, or NULL. */
static const char *value_in_line(const char *line, const char *name)
{
    size_t size = strlen(name);

    if (strncasecmp(line, name, size) != 0 || line[size] != ':')
        return NULL;
    return line + size + 1 + strspn(line + size + 1, WHITE);
}

static int take_user(const char *value, struct request_headers *headers, struct chat_error *error)
{
    if (headers->acting_user != NULL)
        return chat_error_set(error, CHAT_INVALID_USER_ID,
                              "header Chat-User is given more than once; give one user id");
    headers->acting_user = value;
    return codec_check_user_id(value, strlen(value), "header Chat-User", error);
}

/* One that is not as it should be is no reason to refuse a request: it is left out. */
static void take_trace(const char *value, struct request_headers *headers)
{
    bool first = headers->traceparent == NULL && !headers->traced_twice;

    headers->traced_twice = !first;
    headers->traceparent = first && trace_parent_is_valid(value) ? value : NULL;
}

/* Takes in one header, if it means anything here. */
static int take_header(const char *name, const char *value, struct request_headers *headers,
                       struct chat_error *error)
{
    if (strcasecmp(name, USER_NAME) == 0)
        return take_user(value, headers, error);
    if (strcasecmp(name, TYPE_NAME) == 0 && headers_is_json(value))
        headers->format = CODEC_JSON;
    if (strcasecmp(name, TRACE_NAME) == 0)
        take_trace(value, headers);
    return 0;
}

/* The same, when the value may be the next line. */
static int take_lines(const char *name, const char *value, struct request_headers *headers,
                      struct chat_error *error)
{
    const char *user = value_in_line(value, USER_NAME);
    const char *type = value_in_line(value, TYPE_NAME);

    if (user == NULL && type == NULL)
        return take_header(name, value, headers, error);
    if (user != NULL && take_header(USER_NAME, user, headers, error) != 0)
        return -1;
    if (type != NULL && take_header(TYPE_NAME, type, headers, error) != 0)
        return -1;
    return take_header(name, "", headers, error);
}

static int read_name(natsMsg *message, const char *name, struct request_headers *headers,
                     struct chat_error *error)
{
    const char **values = NULL;
    int count = 0;
    int result = 0;
    natsStatus status =
        is_name(name) ? natsMsgHeader_Values(message, name, &values, &count) : NATS_ERR;

    if (status != NATS_OK)
        return unreadable(status, error);
    for (int i = 0; i < count && result == 0; i++)
        result = take_lines(name, values[i] == NULL ? "" : values[i], headers, error);
    free((void *)values);
    return result;
}

int headers_read(natsMsg *message, struct request_headers *headers, struct chat_error *error)
{
    const char **keys = NULL;
    int count = 0;
    int result = 0;
    natsStatus status = natsMsgHeader_Keys(message, &keys, &count);

    *headers = (struct request_headers){.format = CODEC_PROTOBUF};
    if (status == NATS_NOT_FOUND)
        return 0;
    if (status != NATS_OK) {
        headers->format = format_of_body(message);
        return unreadable(status, error);
    }
    /* All of them even after a mistake, so that the error is in the right format. */
    for (int i = 0; i < count; i++) {
        struct chat_error ignored;
        if (read_name(message, keys[i], headers, result == 0 ? error : &ignored) != 0)
            result = -1;
    }
    free((void *)keys);
    return result;
}
