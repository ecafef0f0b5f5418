#include "clients/gateway/message_json.h"

#include "chat.pb-c.h"

/* protobuf-c's strings are not const, and nothing writes to these. */
static char *borrow(const char *text)
{
    union {
        const char *from;
        char *to;
    } both = {.from = text};

    return both.to;
}

int message_json_print(const struct chat_message *message, struct jsonpb_buffer *buffer)
{
    Google__Protobuf__Timestamp sent_at = GOOGLE__PROTOBUF__TIMESTAMP__INIT;
    Chat__Message decoded;

    chat__message__init(&decoded);
    sent_at.seconds = message->sent_at_seconds;
    sent_at.nanos = message->sent_at_nanos;
    decoded.id = borrow(message->id);
    decoded.client_id = borrow(message->client_id);
    decoded.chat_id = borrow(message->chat_id);
    decoded.user_id = borrow(message->user_id);
    decoded.sent_at = &sent_at;
    decoded.subject = borrow(message->subject);
    decoded.text = borrow(message->text);
    decoded.seq = message->seq;
    return jsonpb_print(&decoded.base, buffer);
}
