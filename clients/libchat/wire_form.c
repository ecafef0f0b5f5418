/*
 * Field numbers are those of proto/chat.proto. Of a repeated singular field the last one counts,
 * unknown fields are skipped.
 *
 * A string takes at least two bytes more on the wire than its own, so that with a NUL behind each
 * all strings of a message fit into as many bytes as the message has.
 */
#include "clients/libchat/wire_form.h"

#include "proto/utf8.h"
#include "proto/wire.h"
#include <stdlib.h>
#include <string.h>

/* ---- Writing ---- */

/* Measures when there is nowhere to write to. */
struct writer {
    uint8_t *out;
    size_t size;
};

static void put_text(struct writer *writer, uint32_t number, const char *text)
{
    size_t size = text == NULL ? 0 : strlen(text);

    if (size == 0)
        return;
    if (writer->out != NULL)
        wire_put_bytes(writer->out + writer->size, number, text, size);
    writer->size += wire_bytes_size(size);
}

static void put_number(struct writer *writer, uint32_t number, uint64_t value)
{
    if (value == 0)
        return;
    if (writer->out != NULL)
        wire_put_varint(wire_put_tag(writer->out + writer->size, number, WIRE_VARINT), value);
    writer->size += 1 + wire_varint_size(value);
}

/* Of a repeated field, which says "" too. */
static void put_element(struct writer *writer, uint32_t number, const char *text)
{
    size_t size = strlen(text);

    if (writer->out != NULL)
        wire_put_bytes(writer->out + writer->size, number, text, size);
    writer->size += wire_bytes_size(size);
}

size_t wire_form_new(const struct chat_new_options *options, uint8_t *out)
{
    struct writer writer = {.out = out};

    for (size_t i = 0; i < options->user_count; i++)
        put_element(&writer, 1, options->user_ids[i]);
    return writer.size;
}

size_t wire_form_send(const struct chat_send_options *options, uint8_t *out)
{
    struct writer writer = {.out = out};

    put_text(&writer, 1, options->client_id);
    put_text(&writer, 2, options->chat_id);
    put_text(&writer, 3, options->user_id);
    put_text(&writer, 4, options->subject);
    put_text(&writer, 5, options->text);
    return writer.size;
}

size_t wire_form_history(const struct chat_history_options *options, uint8_t *out)
{
    struct writer writer = {.out = out};

    put_text(&writer, 1, options->chat_id);
    put_number(&writer, 2, options->from_seq);
    put_number(&writer, 3, options->before_seq);
    put_number(&writer, 4, options->limit);
    return writer.size;
}

/* ---- Reading ---- */

static bool is_text(const struct wire_field *field)
{
    return field->type == WIRE_BYTES && memchr(field->data, '\0', field->size) == NULL &&
           utf8_valid_length((const char *)field->data, field->size) == field->size;
}

/* Copies the field's text to `*free_text`, and moves that behind it. */
static int take_text(const struct wire_field *field, char **free_text, const char **text)
{
    if (!is_text(field))
        return -1;
    if (field->size > 0)
        memcpy(*free_text, field->data, field->size);
    (*free_text)[field->size] = '\0';
    *text = *free_text;
    *free_text += field->size + 1;
    return 0;
}

static int take_number(const struct wire_field *field, uint64_t *number)
{
    if (field->type != WIRE_VARINT)
        return -1;
    *number = field->value;
    return 0;
}

static int take_time(const struct wire_field *field, struct chat_message *message)
{
    struct wire_reader reader;
    struct wire_field part;
    const char *problem;
    uint64_t number;
    int more;

    if (field->type != WIRE_BYTES)
        return -1;
    wire_reader_init(&reader, field->data, field->size);
    while ((more = wire_next(&reader, &part, &problem)) > 0) {
        if (part.number > 2)
            continue;
        if (take_number(&part, &number) != 0)
            return -1;
        if (part.number == 1)
            message->sent_at_seconds = (int64_t)number;
        else
            message->sent_at_nanos = (int32_t)number;
    }
    return more;
}

static int take_message_field(const struct wire_field *field, char **text,
                              struct chat_message *message)
{
    switch (field->number) {
    case 1:
        return take_text(field, text, &message->id);
    case 2:
        return take_text(field, text, &message->client_id);
    case 3:
        return take_text(field, text, &message->chat_id);
    case 4:
        return take_text(field, text, &message->user_id);
    case 5:
        return take_time(field, message);
    case 6:
        return take_text(field, text, &message->subject);
    case 7:
        return take_text(field, text, &message->text);
    case 8:
        return take_number(field, &message->seq);
    default:
        return 0;
    }
}

int wire_form_read_message(const uint8_t *bytes, size_t size, char *text,
                           struct chat_message *message)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    int more;

    *message = (struct chat_message){.id = "",
                                     .client_id = "",
                                     .chat_id = "",
                                     .user_id = "",
                                     .subject = "",
                                     .text = "",
                                     .bytes = bytes,
                                     .bytes_size = size};
    wire_reader_init(&reader, bytes, size);
    while ((more = wire_next(&reader, &field, &problem)) > 0) {
        if (take_message_field(&field, &text, message) != 0)
            return -1;
    }
    return more == 0 && message->seq > 0 ? 0 : -1;
}

uint64_t wire_form_read_seq(const uint8_t *bytes, size_t size)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    uint64_t seq = 0;
    int more;

    wire_reader_init(&reader, bytes, size);
    while ((more = wire_next(&reader, &field, &problem)) > 0) {
        if (field.number == 8 && field.type == WIRE_VARINT)
            seq = field.value;
    }
    return more == 0 ? seq : 0;
}

int wire_form_read_new(const uint8_t *bytes, size_t size, struct chat_call *call, void **memory)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    uint64_t created = 0;
    int more;
    char *text = malloc(size + 1);

    *memory = text;
    if (text == NULL)
        return CHAT_ENOMEM;
    call->result.created.chat_id = "";
    wire_reader_init(&reader, bytes, size);
    while ((more = wire_next(&reader, &field, &problem)) > 0) {
        if ((field.number == 1 && take_text(&field, &text, &call->result.created.chat_id) != 0) ||
            (field.number == 2 && take_number(&field, &created) != 0))
            return CHAT_EPROTO;
    }
    call->result.created.created = created != 0;
    return more == 0 && call->result.created.chat_id[0] != '\0' ? CHAT_OK : CHAT_EPROTO;
}

/* A block for `count` messages whose bytes are `size` in all: the structs, then their strings. */
static struct chat_message *make_room(size_t count, size_t size, char **text)
{
    struct chat_message *messages = malloc(count * sizeof *messages + size + 1);

    if (messages != NULL)
        *text = (char *)(messages + count);
    return messages;
}

int wire_form_read_send(const uint8_t *bytes, size_t size, struct chat_call *call, void **memory)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    uint64_t duplicate = 0;
    int more;
    char *text;
    struct chat_message *message = make_room(1, size, &text);

    *memory = message;
    if (message == NULL)
        return CHAT_ENOMEM;
    message->seq = 0;
    wire_reader_init(&reader, bytes, size);
    while ((more = wire_next(&reader, &field, &problem)) > 0) {
        if (field.number == 1 &&
            (field.type != WIRE_BYTES ||
             wire_form_read_message(field.data, field.size, text, message) != 0))
            return CHAT_EPROTO;
        if (field.number == 2 && take_number(&field, &duplicate) != 0)
            return CHAT_EPROTO;
    }
    call->result.sent.message = message;
    call->result.sent.duplicate = duplicate != 0;
    return more == 0 && message->seq > 0 ? CHAT_OK : CHAT_EPROTO;
}

/* Everything but the messages themselves, which are counted. */
static int read_page_frame(const uint8_t *bytes, size_t size, struct chat_call *call)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    uint64_t more_follow = 0;
    int more;

    call->result.page.count = 0;
    call->result.page.head_seq = 0;
    wire_reader_init(&reader, bytes, size);
    while ((more = wire_next(&reader, &field, &problem)) > 0) {
        if (field.number == 1 && field.type != WIRE_BYTES)
            return CHAT_EPROTO;
        if ((field.number == 2 && take_number(&field, &call->result.page.head_seq) != 0) ||
            (field.number == 3 && take_number(&field, &more_follow) != 0))
            return CHAT_EPROTO;
        call->result.page.count += field.number == 1;
    }
    call->result.page.more = more_follow != 0;
    return more == 0 ? CHAT_OK : CHAT_EPROTO;
}

int wire_form_read_history(const uint8_t *bytes, size_t size, struct chat_call *call, void **memory)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    char *text;
    struct chat_message *message;
    int status = read_page_frame(bytes, size, call);

    *memory = NULL;
    if (status != CHAT_OK)
        return status;
    message = make_room(call->result.page.count, size, &text);
    *memory = message;
    call->result.page.messages = message;
    if (message == NULL)
        return CHAT_ENOMEM;
    wire_reader_init(&reader, bytes, size);
    while (wire_next(&reader, &field, &problem) > 0) {
        if (field.number != 1)
            continue;
        if (wire_form_read_message(field.data, field.size, text, message++) != 0)
            return CHAT_EPROTO;
        text += field.size;
    }
    return CHAT_OK;
}

static void copy_printable(const struct wire_field *field, char *text, size_t size)
{
    size_t length = field->type == WIRE_BYTES
                        ? utf8_printable_length((const char *)field->data, field->size)
                        : 0;

    if (length > size - 1)
        length = utf8_printable_length((const char *)field->data, size - 1);
    if (length > 0)
        memcpy(text, field->data, length);
    text[length] = '\0';
}

void wire_form_read_error(const uint8_t *bytes, size_t size, char *id, size_t id_size, char *detail,
                          size_t detail_size)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;

    id[0] = '\0';
    detail[0] = '\0';
    wire_reader_init(&reader, bytes, size);
    while (wire_next(&reader, &field, &problem) > 0) {
        if (field.number == 1)
            copy_printable(&field, id, id_size);
        else if (field.number == 3)
            copy_printable(&field, detail, detail_size);
    }
}
