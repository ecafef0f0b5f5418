/*
 * Most requests have no headers: the library says so at once. For others, all keys are looked at,
 * since Chat-User and chat-user may both be there, and whoever may set one of them must not be able
 * to hide the other. Headers that cannot be read are refused for the same reason: one of them might
 * have been a Chat-User, without which the caller would be trusted with everything.
 */
#include "service/headers.h"

#include "proto/codec.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

static int set_acting_user(const char *const *values, int count, struct request_headers *headers,
                           struct chat_error *error)
{
    if (count != 1 || headers->acting_user != NULL)
        return chat_error_set(error, CHAT_INVALID_USER_ID,
                              "header Chat-User is given more than once; give one user id");
    headers->acting_user = values[0] == NULL ? "" : values[0];
    return codec_check_user_id(headers->acting_user, strlen(headers->acting_user),
                               "header Chat-User", error);
}

static void set_format(const char *const *values, int count, struct request_headers *headers)
{
    for (int i = 0; i < count; i++) {
        if (values[i] != NULL && headers_is_json(values[i]))
            headers->format = CODEC_JSON;
    }
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

/* Takes in the values of one header name, if it means anything here. */
static int read_key(natsMsg *message, const char *key, struct request_headers *headers,
                    struct chat_error *error)
{
    bool user = strcasecmp(key, "Chat-User") == 0;
    const char **values = NULL;
    int count = 0;
    int result = 0;

    if (!is_name(key))
        return unreadable(error);
    if (!user && strcasecmp(key, "Content-Type") != 0)
        return 0;
    if (natsMsgHeader_Values(message, key, &values, &count) != NATS_OK)
        return unreadable(error);
    if (user)
        result = set_acting_user(values, count, headers, error);
    else
        set_format(values, count, headers);
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
