/*
 * Only what has been checked gets into a subject or a URL for the library, which itself checks
 * little: a space or a line break in a subject would be a command to the broker.
 */
#include "clients/libchat/address.h"

#include "base/broker_url.h"
#include "base/uuid.h"
#include "clients/libchat/chat.h"
#include <stdio.h>
#include <string.h>

bool chat_namespace_is_valid(const char *name)
{
    size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    return size >= 1 && size <= ADDRESS_NAMESPACE_BYTES_MAX && name[size] == '\0';
}

bool chat_url_is_valid(const char *url)
{
    return broker_url_mistake(url) == NULL;
}

bool address_prefix_is_valid(const char *prefix)
{
    return broker_inbox_prefix_is_valid(prefix);
}

int address_of_method(const char *method, const char *name, char subject[ADDRESS_SUBJECT_BYTES])
{
    bool named = name != NULL && name[0] != '\0';

    if (named && !chat_namespace_is_valid(name))
        return -1;
    strcpy(subject, "chat.");
    strcat(subject, method);
    if (named)
        strcat(strcat(subject, "."), name);
    return 0;
}

int address_of_events(const char *name, const char *chat_id, char subject[ADDRESS_EVENT_BYTES])
{
    struct uuid uuid;
    char text[UUID_TEXT_BYTES + 1] = "";

    if (name == NULL || name[0] == '\0')
        name = "default";
    if (!chat_namespace_is_valid(name) || chat_id == NULL ||
        !uuid_parse(chat_id, strlen(chat_id), &uuid))
        return -1;
    uuid_format(&uuid, text);
    snprintf(subject, ADDRESS_EVENT_BYTES, "chat.events.%s.%s", name, text);
    return 0;
}

/* What is before the last '@' goes: a password with an '@' or '/' that should have been escaped
 * must not be half shown either. */
static void describe_url(const char *url, char *text, size_t size)
{
    const char *at = strrchr(url, '@');
    const char *scheme_end = strstr(url, "://");
    int scheme = scheme_end != NULL && scheme_end < at ? (int)(scheme_end - url) + 3 : 0;

    if (at == NULL)
        snprintf(text, size, "%s", url);
    else
        snprintf(text, size, "%.*s%s", scheme, url, at + 1);
}

void address_describe(const char *const *urls, size_t count, char *text, size_t size)
{
    size_t used = 0;

    snprintf(text, size, "%s", count == 0 ? CHAT_DEFAULT_URL : "");
    for (size_t i = 0; i < count && used + 2 < size; i++) {
        if (i > 0)
            text[used++] = ',';
        describe_url(urls[i], text + used, size - used);
        used += strlen(text + used);
    }
}
