/* JSON by way of the stored bytes, so that what is shown is what the contract says of Message. */
#include "clients/session_show.h"

#include "chat.pb-c.h"
#include "proto/rfc3339.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Leaves room for what follows each line. */
static int reserve(struct jsonpb_buffer *buffer, size_t size)
{
    char *data;

    if (size <= buffer->capacity)
        return 0;
    data = realloc(buffer->data, size);
    if (data == NULL)
        return -1;
    buffer->data = data;
    buffer->capacity = size;
    return 0;
}

static int show_json(const struct chat_message *message, struct jsonpb_buffer *buffer)
{
    Chat__Message *decoded = chat__message__unpack(NULL, message->bytes_size, message->bytes);
    int status = -1;

    if (decoded == NULL)
        return -1;
    if (jsonpb_print(&decoded->base, buffer) == 0 && reserve(buffer, buffer->size + 1) == 0) {
        buffer->data[buffer->size++] = '\n';
        status = 0;
    }
    chat__message__free_unpacked(decoded, NULL);
    return status;
}

/* Further lines of a text are indented, so that none looks like a message of its own. */
static char *put_text(char *out, const char *text)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '\n') {
            out = stpcpy(out, "\n    ");
        } else {
            bool c1 = c == 0xc2 && (unsigned char)text[1] < 0xa0;
            *out++ = c < 0x20 || c == 0x7f || c1 ? '?' : *text;
            text += c1;
        }
    }
    return out;
}

static int show_line(const struct chat_message *m, struct jsonpb_buffer *buffer)
{
    size_t size = 5 * (strlen(m->text) + strlen(m->subject) + strlen(m->user_id)) + 128;
    char time[RFC3339_BYTES] = "";
    char *out;

    if (reserve(buffer, size) != 0)
        return -1;
    (void)rfc3339_format(m->sent_at_seconds, 0, time);
    out = buffer->data;
    out += snprintf(out, 128, "%llu %s ", (unsigned long long)m->seq, time);
    out = put_text(out, m->user_id);
    if (m->subject[0] != '\0') {
        out = put_text(stpcpy(out, " ["), m->subject);
        *out++ = ']';
    }
    out = put_text(stpcpy(out, ": "), m->text);
    *out++ = '\n';
    buffer->size = (size_t)(out - buffer->data);
    return 0;
}

int session_show(const struct chat_message *message, bool for_people, struct jsonpb_buffer *buffer)
{
    return for_people ? show_line(message, buffer) : show_json(message, buffer);
}
