/*
 * A message of a chat as it goes out to watchers, made once for all of them: a WebSocket frame
 * whose text is {"message":{…}}, and an event of a text/event-stream, each when it is first wanted.
 * It lives as long as somebody holds it. For the loop's thread.
 */
#ifndef GATEWAY_SHARED_MESSAGE_H
#define GATEWAY_SHARED_MESSAGE_H

#include "clients/gateway/shared_bytes.h"
#include "clients/libchat/chat.h"
#include "proto/jsonpb.h"

enum shared_form {
    SHARED_FRAME, /* of {"message":{…}} */
    SHARED_EVENT, /* id: 7, data: {…}, an empty line */
    SHARED_FORMS
};

struct shared_message;

/*
 * Encodes the message in the form that is wanted first; `scratch` is room to work in, kept by the
 * caller from one to the next. The caller holds the result. NULL when out of memory, or when the
 * message has a time that is none.
 */
struct shared_message *shared_message_create(const struct chat_message *message,
                                             enum shared_form form, struct jsonpb_buffer *scratch);
void shared_message_hold(struct shared_message *message);
/* Harmless for NULL. */
void shared_message_release(struct shared_message *message);

/* What it takes in memory, once both forms are made. */
size_t shared_message_bytes(const struct shared_message *message);

/* As it goes over the wire, held by the message. */
struct shared_bytes *shared_message_form(struct shared_message *message, enum shared_form form);

#endif
