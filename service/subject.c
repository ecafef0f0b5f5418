/*
 * A subject is dot-separated tokens: chat, a method, maybe a namespace. What follows the method is
 * the namespace as a whole, so that one with a dot in it is refused for its dot.
 *
 * Events are published under subjects that are put together here from a checked namespace and a
 * UUID only: the client library writes a subject to the broker as it is, so that a space or a line
 * break in one would forge protocol.
 */
#include "service/subject.h"

#include <string.h>

#define PREFIX "chat."
#define EVENTS_PREFIX PREFIX "events."

static bool is_word_character(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static void copy_method(const char *token, size_t size, struct subject_target *target)
{
    size_t kept = size < SUBJECT_METHOD_BYTES - 1 ? size : SUBJECT_METHOD_BYTES - 1;

    target->altered = kept != size || size == 0;
    for (size_t i = 0; i < kept; i++) {
        bool good = is_word_character(token[i]);
        target->method[i] = good ? token[i] : '_';
        target->altered |= !good;
    }
    target->method[kept] = '\0';
}

bool subject_is_namespace(const char *name)
{
    size_t size = 0;

    for (; name[size] != '\0'; size++) {
        if (size == SUBJECT_NAMESPACE_BYTES - 1 || !is_word_character(name[size]))
            return false;
    }
    return size > 0;
}

int subject_parse(const char *subject, struct subject_target *target)
{
    const char *method = subject + strlen(PREFIX);
    const char *namespace_name = SUBJECT_DEFAULT_NAMESPACE;
    size_t method_size;

    *target = (struct subject_target){.altered = true};
    if (strncmp(subject, PREFIX, strlen(PREFIX)) != 0)
        return -1;
    method_size = strcspn(method, ".");
    copy_method(method, method_size, target);
    if (method[method_size] == '.') {
        namespace_name = method + method_size + 1;
        if (!subject_is_namespace(namespace_name))
            return -1;
    }
    memcpy(target->namespace_name, namespace_name, strlen(namespace_name) + 1);
    return 0;
}

void subject_of_event(const char *namespace_name, const struct uuid *chat_id,
                      char event[SUBJECT_EVENT_BYTES])
{
    size_t size = strnlen(namespace_name, SUBJECT_NAMESPACE_BYTES - 1);
    char *next = event;

    memcpy(next, EVENTS_PREFIX, strlen(EVENTS_PREFIX));
    next += strlen(EVENTS_PREFIX);
    memcpy(next, namespace_name, size);
    next += size;
    *next++ = '.';
    uuid_format(chat_id, next);
    next[UUID_TEXT_BYTES] = '\0';
}

bool subject_is_answerable(const char *reply, bool *refused)
{
    static const char *const reserved[] = {PREFIX, "$SRV.", "$JS.", "$SYS."};

    *refused = false;
    if (reply == NULL || reply[0] == '\0')
        return false;
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        *refused |= reply[0] == reserved[i][0] && /* nearly all are inboxes, which begin with _ */
                    strncmp(reply, reserved[i], strlen(reserved[i])) == 0;
    return !*refused;
}
