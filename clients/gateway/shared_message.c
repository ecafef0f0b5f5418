/*
 * The JSON of the message is made once. It is near the end of each form, a fixed number of bytes
 * before it, so that the second form copies it out of the first.
 */
#include "clients/gateway/shared_message.h"

#include "clients/gateway/message_json.h"
#include "clients/gateway/websocket.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRAME_HEAD "{\"message\":"
#define FRAME_TAIL "}"
#define EVENT_TAIL "\n\n"
#define EVENT_HEAD_BYTES 40

struct shared_message {
    unsigned holders;
    uint64_t seq;
    size_t json_size;
    struct shared_bytes *forms[SHARED_FORMS]; /* NULL: not made yet */
};

static char *append(char *out, const void *bytes, size_t size)
{
    memcpy(out, bytes, size);
    return out + size;
}

static struct shared_bytes *make_frame(const char *json, size_t size)
{
    size_t text_size = strlen(FRAME_HEAD) + size + strlen(FRAME_TAIL);
    char *text = malloc(text_size);
    struct shared_bytes *frame;

    if (text == NULL)
        return NULL;
    append(append(append(text, FRAME_HEAD, strlen(FRAME_HEAD)), json, size), FRAME_TAIL,
           strlen(FRAME_TAIL));
    frame = websocket_frame(text, text_size);
    free(text);
    return frame;
}

static struct shared_bytes *make_event(uint64_t seq, const char *json, size_t size)
{
    char head[EVENT_HEAD_BYTES];
    struct shared_bytes *event;

    snprintf(head, sizeof head, "id: %" PRIu64 "\ndata: ", seq);
    event = shared_bytes_make(strlen(head) + size + strlen(EVENT_TAIL));
    append(append(append((char *)event->data, head, strlen(head)), json, size), EVENT_TAIL,
           strlen(EVENT_TAIL));
    return event;
}

static struct shared_bytes *make_form(uint64_t seq, enum shared_form form, const char *json,
                                      size_t size)
{
    return form == SHARED_FRAME ? make_frame(json, size) : make_event(seq, json, size);
}

static const char *json_in(const struct shared_message *message, enum shared_form form)
{
    const struct shared_bytes *bytes = message->forms[form];
    size_t tail = strlen(form == SHARED_FRAME ? FRAME_TAIL : EVENT_TAIL);

    return (const char *)bytes->data + bytes->size - tail - message->json_size;
}

struct shared_message *shared_message_create(const struct chat_message *message,
                                             enum shared_form form, struct jsonpb_buffer *scratch)
{
    struct shared_message *shared;

    if (message_json_print(message, scratch) != 0)
        return NULL;
    shared = calloc(1, sizeof *shared);
    if (shared == NULL)
        return NULL;
    shared->holders = 1;
    shared->seq = message->seq;
    shared->json_size = scratch->size;
    shared->forms[form] = make_form(shared->seq, form, scratch->data, scratch->size);
    if (shared->forms[form] != NULL)
        return shared;
    free(shared);
    return NULL;
}

void shared_message_hold(struct shared_message *message)
{
    message->holders++;
}

void shared_message_release(struct shared_message *message)
{
    if (message == NULL || --message->holders > 0)
        return;
    for (int i = 0; i < SHARED_FORMS; i++)
        shared_bytes_drop(message->forms[i]);
    free(message);
}

size_t shared_message_bytes(const struct shared_message *message)
{
    return sizeof *message +
           SHARED_FORMS * (sizeof(struct shared_bytes) + EVENT_HEAD_BYTES + message->json_size);
}

struct shared_bytes *shared_message_form(struct shared_message *message, enum shared_form form)
{
    enum shared_form other = form == SHARED_FRAME ? SHARED_EVENT : SHARED_FRAME;

    if (message->forms[form] == NULL)
        message->forms[form] =
            make_form(message->seq, form, json_in(message, other), message->json_size);
    return message->forms[form];
}
