#include "store/command.h"

#include "proto/wire.h"

#include <string.h>

/* Field numbers of Message and of google.protobuf.Timestamp. */
enum {
    MESSAGE_ID = 1,
    MESSAGE_CLIENT_ID = 2,
    MESSAGE_CHAT_ID = 3,
    MESSAGE_USER_ID = 4,
    MESSAGE_SENT_AT = 5,
    MESSAGE_SUBJECT = 6,
    MESSAGE_TEXT = 7,
    MESSAGE_SEQ = 8,
    TIMESTAMP_SECONDS = 1,
    TIMESTAMP_NANOS = 2,
};

#define NS_PER_SECOND 1000000000u
#define NEW_FIXED_BYTES (UUID_BYTES + 8 + 1)

static void put_u64(uint8_t *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get_u64(const uint8_t *in)
{
    uint64_t value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | in[i];
    return value;
}

size_t command_new_size(size_t namespace_size, size_t users_size)
{
    return NEW_FIXED_BYTES + namespace_size + users_size;
}

void command_new_write(const struct command_new *command, uint8_t *out)
{
    memcpy(out, command->chat_id.bytes, UUID_BYTES);
    put_u64(out + UUID_BYTES, command->created_ns);
    out[UUID_BYTES + 8] = (uint8_t)command->namespace_size;
    out += NEW_FIXED_BYTES;
    memcpy(out, command->namespace_name, command->namespace_size);
    memcpy(out + command->namespace_size, command->users, command->users_size);
}

/* Whether `users` is made of whole ids of permitted size, one at least. */
static bool users_valid(const uint8_t *users, size_t size)
{
    size_t offset = 0;

    if (size == 0)
        return false;
    while (offset < size) {
        size_t length = users[offset];
        if (length == 0 || length > COMMAND_USER_BYTES_MAX || length > size - offset - 1)
            return false;
        offset += 1 + length;
    }
    return true;
}

bool command_new_read(const uint8_t *bytes, size_t size, struct command_new *command)
{
    if (size < NEW_FIXED_BYTES)
        return false;
    memcpy(command->chat_id.bytes, bytes, UUID_BYTES);
    command->created_ns = get_u64(bytes + UUID_BYTES);
    command->namespace_size = bytes[UUID_BYTES + 8];
    bytes += NEW_FIXED_BYTES;
    size -= NEW_FIXED_BYTES;
    if (command->namespace_size == 0 || command->namespace_size > DATABASE_NAMESPACE_BYTES_MAX ||
        command->namespace_size > size || memchr(bytes, '\0', command->namespace_size) != NULL)
        return false;
    command->namespace_name = (const char *)bytes;
    command->users = bytes + command->namespace_size;
    command->users_size = size - command->namespace_size;
    return users_valid(command->users, command->users_size);
}

size_t command_users_size(char *const *user_ids, size_t count)
{
    size_t size = 0;
    for (size_t i = 0; i < count; i++)
        size += 1 + strlen(user_ids[i]);
    return size;
}

void command_users_write(char *const *user_ids, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(user_ids[i]);
        *out++ = (uint8_t)size;
        memcpy(out, user_ids[i], size);
        out += size;
    }
}

bool command_users_contain(const uint8_t *users, size_t size, const char *user_id)
{
    size_t wanted = strlen(user_id);
    size_t offset = 0;

    while (offset < size) {
        size_t length = users[offset];
        if (length > size - offset - 1)
            return false;
        if (length == wanted && memcmp(users + offset + 1, user_id, wanted) == 0)
            return true;
        offset += 1 + length;
    }
    return false;
}

static size_t timestamp_size(uint64_t ns)
{
    size_t size = 0;
    if (ns / NS_PER_SECOND > 0)
        size += 1 + wire_varint_size(ns / NS_PER_SECOND);
    if (ns % NS_PER_SECOND > 0)
        size += 1 + wire_varint_size(ns % NS_PER_SECOND);
    return size;
}

static uint8_t *put_timestamp(uint8_t *out, uint64_t ns)
{
    out = wire_put_tag(out, MESSAGE_SENT_AT, WIRE_BYTES);
    out = wire_put_varint(out, timestamp_size(ns));
    if (ns / NS_PER_SECOND > 0) {
        out = wire_put_tag(out, TIMESTAMP_SECONDS, WIRE_VARINT);
        out = wire_put_varint(out, ns / NS_PER_SECOND);
    }
    if (ns % NS_PER_SECOND > 0) {
        out = wire_put_tag(out, TIMESTAMP_NANOS, WIRE_VARINT);
        out = wire_put_varint(out, ns % NS_PER_SECOND);
    }
    return out;
}

static uint8_t *put_uuid(uint8_t *out, uint32_t number, const struct uuid *uuid)
{
    out = wire_put_tag(out, number, WIRE_BYTES);
    out = wire_put_varint(out, UUID_TEXT_BYTES);
    uuid_format(uuid, (char *)out);
    return out + UUID_TEXT_BYTES;
}

size_t command_send_size(const struct command_send *command)
{
    size_t size = 2 * wire_bytes_size(UUID_TEXT_BYTES) + wire_bytes_size(command->client_id.size) +
                  wire_bytes_size(command->user_id.size) +
                  wire_bytes_size(timestamp_size(command->sent_ns)) +
                  wire_bytes_size(command->text.size);
    if (command->subject.size > 0)
        size += wire_bytes_size(command->subject.size);
    return size;
}

void command_send_write(const struct command_send *command, uint8_t *out)
{
    out = put_uuid(out, MESSAGE_ID, &command->id);
    out = wire_put_bytes(out, MESSAGE_CLIENT_ID, command->client_id.data, command->client_id.size);
    out = put_uuid(out, MESSAGE_CHAT_ID, &command->chat_id);
    out = wire_put_bytes(out, MESSAGE_USER_ID, command->user_id.data, command->user_id.size);
    out = put_timestamp(out, command->sent_ns);
    if (command->subject.size > 0)
        out = wire_put_bytes(out, MESSAGE_SUBJECT, command->subject.data, command->subject.size);
    wire_put_bytes(out, MESSAGE_TEXT, command->text.data, command->text.size);
}

static struct command_text *text_of(struct command_message *message, uint32_t number)
{
    switch (number) {
    case MESSAGE_ID:
        return &message->id;
    case MESSAGE_CLIENT_ID:
        return &message->client_id;
    case MESSAGE_CHAT_ID:
        return &message->chat_id;
    case MESSAGE_USER_ID:
        return &message->user_id;
    case MESSAGE_SUBJECT:
        return &message->subject;
    case MESSAGE_TEXT:
        return &message->text;
    default:
        return NULL;
    }
}

bool command_message_read(const uint8_t *bytes, size_t size, struct command_message *message)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    int more;

    memset(message, 0, sizeof *message);
    wire_reader_init(&reader, bytes, size);
    while ((more = wire_next(&reader, &field, &problem)) == 1) {
        struct command_text *text = text_of(message, field.number);
        if (text != NULL && field.type == WIRE_BYTES) {
            text->data = (const char *)field.data;
            text->size = field.size;
        } else if (field.number == MESSAGE_SEQ && field.type == WIRE_VARINT) {
            message->seq = field.value;
        } else if (field.number != MESSAGE_SENT_AT) {
            return false;
        }
    }
    return more == 0 && message->id.data != NULL && message->client_id.data != NULL &&
           message->chat_id.data != NULL && message->user_id.data != NULL &&
           message->text.data != NULL;
}

static bool read_timestamp(const uint8_t *bytes, size_t size, uint64_t *ns)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;
    int more;

    *ns = 0;
    wire_reader_init(&reader, bytes, size);
    while ((more = wire_next(&reader, &field, &problem)) == 1) {
        if (field.type != WIRE_VARINT)
            return false;
        if (field.number == TIMESTAMP_SECONDS && field.value <= UINT64_MAX / NS_PER_SECOND - 1)
            *ns += field.value * NS_PER_SECOND;
        else if (field.number == TIMESTAMP_NANOS && field.value < NS_PER_SECOND)
            *ns += field.value;
        else
            return false;
    }
    return more == 0;
}

bool command_message_sent_ns(const uint8_t *bytes, size_t size, uint64_t *sent_ns)
{
    struct wire_reader reader;
    struct wire_field field;
    const char *problem;

    wire_reader_init(&reader, bytes, size);
    while (wire_next(&reader, &field, &problem) == 1)
        if (field.number == MESSAGE_SENT_AT && field.type == WIRE_BYTES)
            return read_timestamp(field.data, field.size, sent_ns);
    return false;
}

size_t command_seq_write(uint64_t seq, uint8_t *out)
{
    uint8_t *end = wire_put_varint(wire_put_tag(out, MESSAGE_SEQ, WIRE_VARINT), seq);
    return (size_t)(end - out);
}
