/* Addresses of brokers and names in subjects, as text. Any thread; nothing is allocated. */
#ifndef LIBCHAT_ADDRESS_H
#define LIBCHAT_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>

#define ADDRESS_NAMESPACE_BYTES_MAX 64
/* chat.<method>.<namespace> with its NUL; a method has at most 16 bytes. */
#define ADDRESS_SUBJECT_BYTES (sizeof "chat.." + 16 + ADDRESS_NAMESPACE_BYTES_MAX)
/* chat.events.<namespace>.<chat_id> with its NUL. */
#define ADDRESS_EVENT_BYTES (sizeof "chat.events.." + ADDRESS_NAMESPACE_BYTES_MAX + 36)

/*
 * Writes chat.<method>, or chat.<method>.<name> when `name` is neither NULL nor empty. Returns 0,
 * or -1 when `name` is no namespace: nothing else may get into a subject.
 */
int address_of_method(const char *method, const char *name, char subject[ADDRESS_SUBJECT_BYTES]);

/* Writes the subject of a chat's events. Returns 0, or -1 for a name that is no namespace or an id
 * that is no UUID; the service writes those in lower case, whatever is given here. */
int address_of_events(const char *name, const char *chat_id, char subject[ADDRESS_EVENT_BYTES]);

/* Tokens of printable ASCII, with dots between them and no wildcards: fit to begin a subject. */
bool address_prefix_is_valid(const char *prefix);

/*
 * The addresses, joined with commas, without user, password or token; cut to `size` bytes with the
 * NUL. The default's for none. For messages.
 */
void address_describe(const char *const *urls, size_t count, char *text, size_t size);

#endif
