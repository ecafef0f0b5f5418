/*
 * Most requests have no headers: the library says so at once. For others, all keys are looked at,
 * since Chat-User and chat-user may both be there, and whoever may set one of them must not be able
 * to hide the other. Headers that cannot be read are refused for the same reason: one of them might
 * have been a Chat-User, without which the caller would be trusted with everything.
 *
 * The library skips line ends, too, where it looks for a value: a header without one swallows the
 * line behind it, name and all, which then is a header no more. So values are looked into for the
 * names that mean something here, and what is found counts as if it stood alone.
 */
#include "service/headers.h"

#include "proto/codec.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define USER "Chat-User"
#define TYPE "Content-Type"
#define JSON_TYPE "application/json"
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

static int set_acting_user(const char *value, struct request_headers *headers,
                           struct chat_error *error)
{
    if (headers->acting_user != NULL)
        return chat_error_set(error, CHAT_INVALID_USER_ID,
                              "header Chat-User is given more than once; give one user id");
    headers->acting_user = value;
    return codec_check_user_id(value, strlen(value), "header Chat-User", error);
}

static int take_header(const char *name, const char *value, struct request_headers *headers,
                       struct chat_error *error)
{
    if (strcasecmp(name, USER) == 0)
        return set_acting_user(value, headers, error);
    if (strcasecmp(name, TYPE) == 0 && headers_is_json(value))
        headers->format = CODEC_JSON;
    return 0;
}

/* What follows `name` and a colon at the start of `value`; NULL when it starts otherwise. */
static const char *swallowed(const char *value, const char *name)
{
    size_t size = strlen(name);

    if (strncasecmp(value, name, size) != 0)
        return NULL;
    value += size + strspn(value + size, WHITE);
    return *value == ':' ? value + 1 + strspn(value + 1, WHITE) : NULL;
}

/* One line is swallowed at most: what is inside is not looked into again. */
static int read_value(const char *name, const char *value, struct request_headers *headers,
                      struct chat_error *error)
{
    const char *user = swallowed(value, USER);
    const char *type = swallowed(value, TYPE);
    int result;

    if (user == NULL && type == NULL)
        return take_header(name, value, headers, error);
    if (type != NULL)
        take_header(TYPE, type, headers, error);
    result = take_header(name, "", headers, error);
    if (user != NULL && result == 0)
        result = take_header(USER, user, headers, error);
    return result;
}

static int unreadable(struct chat_error *error)
{
    return chat_error_set(error, CHAT_MALFORMED, "the headers cannot be read");
}

/* The library looks for colons across lines: a line without one is then part of the next name. */
static bool is_name(const char *key)
{
    const char *c = key;

    while (*c > ' ' && *c < 0x7f)
        c++;
    return *c == '\0' && c != key;
}

/* Takes in the values of one header name, if they mean anything here. */
static int read_key(natsMsg *message, const char *key, struct request_headers *headers,
                    struct chat_error *error)
{
    const char **values = NULL;
    int count = 0;
    int result = 0;

    if (!is_name(key) || natsMsgHeader_Values(message, key, &values, &count) != NATS_OK)
        return unreadable(error);
    for (int i = 0; i < count && result == 0; i++)
        result = read_value(key, values[i] == NULL ? "" : values[i], headers, error);
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
    if (status != NATS_OK)
        return unreadable(error);
    /* All of them even after a mistake, so that the error is in the right format. */
    for (int i = 0; i < count; i++) {
        struct chat_error ignored;
        if (read_key(message, keys[i], headers, result == 0 ? error : &ignored) != 0)
            result = -1;
    }
    free((void *)keys);
    return result;
}
