/*
 * NATS subjects: what a request's subject says, where an event goes, and which reply subjects are
 * left alone. Pure functions on strings; any thread.
 */
#ifndef SERVICE_SUBJECT_H
#define SERVICE_SUBJECT_H

#include "base/uuid.h"
#include <stdbool.h>
#include <stddef.h>

/* Sizes of buffers, with the NUL. */
#define SUBJECT_METHOD_BYTES 33
#define SUBJECT_NAMESPACE_BYTES 65
#define SUBJECT_EVENT_BYTES 128

#define SUBJECT_DEFAULT_NAMESPACE "default"

/* What is asked, and of whom: chat.<method> or chat.<method>.<namespace>. */
struct subject_target {
    /* As it was written, but cut to fit, and with '_' for anything but [A-Za-z0-9_-]: it becomes
     * part of an error's id. No method of ours is altered by that, so none can be forged by it:
     * `altered` tells. */
    char method[SUBJECT_METHOD_BYTES];
    bool altered;
    char namespace_name[SUBJECT_NAMESPACE_BYTES];
};

/*
 * Reads a request's subject. Returns 0, or -1 when the namespace is not [A-Za-z0-9_-]{1,64} or the
 * subject has another number of tokens; `method` is then set as far as there is one.
 */
int subject_parse(const char *subject, struct subject_target *target);

/* Whether `name` is a namespace: 1 to 64 of [A-Za-z0-9_-]. */
bool subject_is_namespace(const char *name);

/* Writes chat.events.<namespace>.<chat_id> with a NUL. `namespace_name` has been checked. */
void subject_of_event(const char *namespace_name, const struct uuid *chat_id,
                      char event[SUBJECT_EVENT_BYTES]);

/*
 * Whether a request with this reply subject is to be answered. Not without one (NULL or empty);
 * and not under chat., $SRV., $JS. or $SYS., where an answer would be a request in the service's
 * name: those set `*refused`.
 */
bool subject_is_answerable(const char *reply, bool *refused);

#endif
