/*
 * Field numbers are those of proto/chat.proto. Requests are written in the order of their fields,
 * as every protobuf library does; replies are read in any order.
 */
#include "clients/bench/request_template.h"

#include "proto/wire.h"
#include <stdio.h>
#include <string.h>

enum { SEND_CLIENT_ID = 1, SEND_CHAT_ID = 2, SEND_USER_ID = 3, SEND_TEXT = 5 };
enum { HISTORY_CHAT_ID = 1, HISTORY_FROM_SEQ = 2, HISTORY_LIMIT = 4 };
enum { NEW_USER_IDS = 1 };
enum { REPLY_MESSAGE = 1, REPLY_DUPLICATE = 2 };
enum { REPLY_CHAT_ID = 1, REPLY_CREATED = 2 };
enum { REPLY_MESSAGES = 1, REPLY_HEAD_SEQ = 2, REPLY_MORE = 3 };
enum { MESSAGE_CLIENT_ID = 2, MESSAGE_TEXT = 7, MESSAGE_SEQ = 8 };

static const char hexadecimal[] = "0123456789abcdef";
/* What texts are made of; not all the same byte, as no text is. */
static const char filler[] = "the quick brown fox jumps over the lazy dog, and ";

/* ---- Numbers ---- */

void template_put_number(void *to, uint64_t number)
{
    char *text = to;

    for (int i = TEMPLATE_NUMBER_BYTES - 1; i >= 0; i--) {
        text[i] = hexadecimal[number & 15];
        number >>= 4;
    }
}

bool template_get_number(const void *from, uint64_t *number)
{
    const char *text = from;
    uint64_t value = 0;

    for (int i = 0; i < TEMPLATE_NUMBER_BYTES; i++) {
        const char *digit = text[i] == '\0' ? NULL : strchr(hexadecimal, text[i]);
        if (digit == NULL)
            return false;
        value = value << 4 | (uint64_t)(digit - hexadecimal);
    }
    *number = value;
    return true;
}

/* ---- Requests ---- */

/* Writes the field and returns where its content begins; `*out` goes behind it. */
static uint8_t *put_field(uint8_t **out, uint32_t field, const void *data, size_t size)
{
    *out = wire_put_bytes(*out, field, data, size);
    return *out - size;
}

static void fill_text(uint8_t *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        text[i] = (uint8_t)filler[i % (sizeof filler - 1)];
}

void send_template_init(struct send_template *t, size_t text_bytes)
{
    char client_id[UUID_TEXT_BYTES];
    struct uuid uuid;
    uint8_t *out = t->bytes;

    uuid_make(&uuid);
    uuid_format(&uuid, client_id);
    memcpy(t->prefix, client_id, sizeof t->prefix);
    t->text_bytes = text_bytes;
    t->client_number =
        put_field(&out, SEND_CLIENT_ID, client_id, sizeof client_id) + sizeof t->prefix;
    t->chat_id = put_field(&out, SEND_CHAT_ID, client_id, sizeof client_id);
    put_field(&out, SEND_USER_ID, TEMPLATE_USER, strlen(TEMPLATE_USER));
    out = wire_put_tag(out, SEND_TEXT, WIRE_BYTES);
    out = wire_put_varint(out, text_bytes);
    fill_text(out, text_bytes);
    t->text = text_bytes < TEMPLATE_NUMBER_BYTES ? NULL : out;
    t->size = (size_t)(out + text_bytes - t->bytes);
}

void send_template_set(struct send_template *t, const char chat_id[UUID_TEXT_BYTES],
                       uint64_t number)
{
    template_put_number(t->client_number, number);
    memcpy(t->chat_id, chat_id, UUID_TEXT_BYTES);
    if (t->text != NULL)
        memcpy(t->text, t->client_number, TEMPLATE_NUMBER_BYTES);
}

void new_template_init(struct new_template *t, const char *prefix)
{
    char user[64 + TEMPLATE_NUMBER_BYTES];
    size_t prefix_bytes = strnlen(prefix, 64);
    uint8_t *out = t->bytes;

    memcpy(user, prefix, prefix_bytes);
    template_put_number(user + prefix_bytes, 0);
    put_field(&out, NEW_USER_IDS, TEMPLATE_USER, strlen(TEMPLATE_USER));
    t->number =
        put_field(&out, NEW_USER_IDS, user, prefix_bytes + TEMPLATE_NUMBER_BYTES) + prefix_bytes;
    t->size = (size_t)(out - t->bytes);
}

void new_template_set(struct new_template *t, uint64_t number)
{
    template_put_number(t->number, number);
}

static uint8_t *put_number(uint8_t *out, uint32_t field, uint64_t value)
{
    if (value == 0)
        return out;
    out = wire_put_tag(out, field, WIRE_VARINT);
    return wire_put_varint(out, value);
}

size_t history_request_put(uint8_t bytes[HISTORY_REQUEST_BYTES],
                           const char chat_id[UUID_TEXT_BYTES], uint64_t from_seq, uint64_t limit)
{
    uint8_t *out = wire_put_bytes(bytes, HISTORY_CHAT_ID, chat_id, UUID_TEXT_BYTES);

    out = put_number(out, HISTORY_FROM_SEQ, from_seq);
    out = put_number(out, HISTORY_LIMIT, limit);
    return (size_t)(out - bytes);
}

/* ---- Replies ---- */

bool reply_read_message(const uint8_t *bytes, size_t size, struct reply_message *message)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    int result;

    *message = (struct reply_message){0};
    wire_reader_init(&reader, bytes, size);
    while ((result = wire_next(&reader, &field, &problem)) > 0) {
        if (field.number == MESSAGE_CLIENT_ID && field.type == WIRE_BYTES) {
            message->client_id = field.data;
            message->client_id_bytes = field.size;
        } else if (field.number == MESSAGE_TEXT && field.type == WIRE_BYTES) {
            message->text = field.data;
            message->text_bytes = field.size;
        } else if (field.number == MESSAGE_SEQ && field.type == WIRE_VARINT) {
            message->seq = field.value;
        }
    }
    return result == 0 && message->seq > 0 && message->client_id != NULL && message->text != NULL;
}

bool reply_read_send(const uint8_t *bytes, size_t size, struct reply_send *reply)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    int result;

    *reply = (struct reply_send){0};
    wire_reader_init(&reader, bytes, size);
    while ((result = wire_next(&reader, &field, &problem)) > 0) {
        if (field.number == REPLY_MESSAGE && field.type == WIRE_BYTES) {
            reply->message = field.data;
            reply->message_bytes = field.size;
        } else if (field.number == REPLY_DUPLICATE && field.type == WIRE_VARINT) {
            reply->duplicate = field.value != 0;
        }
    }
    return result == 0 && reply->message != NULL;
}

bool reply_read_new(const uint8_t *bytes, size_t size, char chat_id[UUID_TEXT_BYTES], bool *created)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    bool found = false;
    int result;

    *created = false;
    wire_reader_init(&reader, bytes, size);
    while ((result = wire_next(&reader, &field, &problem)) > 0) {
        if (field.number == REPLY_CHAT_ID && field.type == WIRE_BYTES &&
            field.size == UUID_TEXT_BYTES) {
            memcpy(chat_id, field.data, UUID_TEXT_BYTES);
            found = true;
        } else if (field.number == REPLY_CREATED && field.type == WIRE_VARINT) {
            *created = field.value != 0;
        }
    }
    return result == 0 && found;
}

bool reply_read_history(const uint8_t *bytes, size_t size, struct reply_history *reply,
                        bool (*each)(void *data, const uint8_t *message, size_t message_bytes),
                        void *data)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    int result;

    *reply = (struct reply_history){0};
    wire_reader_init(&reader, bytes, size);
    while ((result = wire_next(&reader, &field, &problem)) > 0) {
        if (field.number == REPLY_MESSAGES && field.type == WIRE_BYTES) {
            reply->messages++;
            if (each != NULL && !each(data, field.data, field.size))
                return false;
        } else if (field.number == REPLY_HEAD_SEQ && field.type == WIRE_VARINT) {
            reply->head_seq = field.value;
        } else if (field.number == REPLY_MORE && field.type == WIRE_VARINT) {
            reply->more = field.value != 0;
        }
    }
    return result == 0;
}

/* A record of `size` bytes in all. Between lengths of one size and the next there is one total that
 * only a padded length reaches (130 = 1 + 2 + 127); readers take that. */
static uint8_t *put_record(uint8_t *out, size_t size)
{
    size_t content = size - 2;

    while (wire_bytes_size(content) > size)
        content--;
    out = wire_put_tag(out, REPLY_MESSAGES, WIRE_BYTES);
    out = wire_put_varint(out, content);
    if (wire_bytes_size(content) < size) {
        out[-1] |= 0x80;
        *out++ = 0;
    }
    memset(out, 'x', content);
    return out + content;
}

bool reply_fill(uint8_t *bytes, size_t size, size_t records)
{
    if (records == 0 || size / records < 2)
        return false;
    for (size_t left = records; left > 0; left--) {
        uint8_t *end = put_record(bytes, size / left);
        size -= (size_t)(end - bytes);
        bytes = end;
    }
    return true;
}
