/*
 * chat.Send: one message into a chat, and its event.
 *
 * The store calls back in the order of seq, and events are published right there: that is what
 * keeps a chat's events in order. A retry that finds its message again has no event, for the first
 * one had it.
 *
 * A message whose reply the broker would not take is refused before it is stored: nobody could
 * ever read it back.
 */
#include "service/method.h"

#include "proto/codec.h"
#include "service/subject.h"
#include <string.h>

/* What JSON adds to the strings of a SendResponse: names, ids, time, seq, punctuation. */
#define JSON_FRAME_BYTES 512
/* What protobuf adds to a Message to make a SendResponse: two tags, a length and a boolean. */
#define PROTOBUF_FRAME_BYTES 16

/* With the trace of the request. It is no part of the message: who reads history has none. */
static natsStatus publish_traced(const struct request *request, const char *subject,
                                 const struct store_send *call)
{
    natsMsg *message = NULL;
    natsStatus status = natsMsg_Create(&message, subject, NULL, (const char *)call->message,
                                       (int)call->message_size);

    if (status == NATS_OK)
        status = natsMsgHeader_Set(message, "traceparent", request->traceparent);
    if (status == NATS_OK)
        status = broker_publish_message(request->service->broker, message);
    natsMsg_Destroy(message);
    return status;
}

static void publish_event(struct request *request, const struct store_send *call)
{
    struct service *service = request->service;
    char subject[SUBJECT_EVENT_BYTES];

    natsStatus status = NATS_ERR;

    subject_of_event(request->namespace_name, &request->chat_id, subject);
    if (request->traceparent[0] != '\0')
        status = publish_traced(request, subject, call);
    if (status != NATS_OK)
        status = broker_publish(service->broker, subject, call->message, call->message_size);
    if (status == NATS_OK)
        service->counts.events++;
    else
        service->counts.lost_events++;
}

static void done(struct store_send *call)
{
    struct request *request = call->data;
    struct service *service = request->service;
    const struct codec_record record = {.data = call->message, .size = call->message_size};
    struct chat_error error;
    const uint8_t *bytes;
    size_t size;

    if (call->status != STORE_OK) {
        method_store_error(request, call->status, &error);
        request_refuse(request, &error);
        return;
    }
    if (!call->duplicate && service->settings->events)
        publish_event(request, call);
    if (codec_encode_send(&record, call->duplicate, request->reply.format, &service->reply_arena,
                          &bytes, &size) != 0)
        method_refuse_encoding(request);
    else
        request_answer(request, bytes, size);
}

/* A string in JSON without its quotation marks, at most: six bytes for a control character. */
static size_t json_bytes_max(const char *text)
{
    size_t size = 0;

    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f)
            size += 6;
        else
            size += c == '"' || c == '\\' || c == '/' ? 2 : 1;
    }
    return size;
}

static int check_reply_size(const struct request *request, const struct store_send_input *input,
                            struct chat_error *error)
{
    enum codec_format format = request->reply.format;
    size_t max = lane_reply_bytes_max(request->reply.lane, format);
    size_t size = store_send_message_bytes_max(input) + PROTOBUF_FRAME_BYTES;

    if (format == CODEC_JSON)
        size = JSON_FRAME_BYTES + json_bytes_max(input->client_id) +
               json_bytes_max(input->user_id) + json_bytes_max(input->subject) +
               json_bytes_max(input->text);
    if (size <= max)
        return 0;
    return chat_error_set(error, CHAT_TOO_LARGE,
                          "the reply would be up to %zu bytes, the broker takes %zu; send a "
                          "shorter text",
                          size, max);
}

static int check_acting_user(const Chat__SendRequest *message, const char *acting_user,
                             struct chat_error *error)
{
    if (acting_user == NULL || strcmp(message->user_id, acting_user) == 0)
        return 0;
    return chat_error_set(error, CHAT_WRONG_USER,
                          "user_id is not the acting user; leave it empty or name that one");
}

static void make_client_id(char text[UUID_TEXT_BYTES + 1])
{
    struct uuid uuid;

    uuid_make(&uuid);
    uuid_format(&uuid, text);
    text[UUID_TEXT_BYTES] = '\0';
}

static int give_to_store(struct request *request, const Chat__SendRequest *message,
                         const char *acting_user, struct chat_error *error)
{
    char fresh_id[UUID_TEXT_BYTES + 1];
    struct store_send_input input = {
        .namespace_name = request->namespace_name,
        .chat_id = request->chat_id,
        .user_id = message->user_id,
        .client_id = message->client_id,
        .subject = message->subject,
        .text = message->text,
        .acting_user = acting_user,
    };
    int status;

    if (input.client_id[0] == '\0') {
        make_client_id(fresh_id);
        input.client_id = fresh_id;
    }
    if (check_reply_size(request, &input, error) != 0)
        return -1;
    request->call.send = (struct store_send){.data = request, .done = done};
    status = store_send(request->service->store, &request->call.send, &input);
    return status == STORE_OK ? 0 : method_store_error(request, status, error);
}

static int submit(struct request *request, const struct method_input *input,
                  struct chat_error *error)
{
    struct service *service = request->service;
    Chat__SendRequest *message;

    if (codec_decode_send(input->bytes, input->size, request->reply.format,
                          &service->settings->limits, input->acting_user, &service->request_arena,
                          &message, error) != 0 ||
        check_acting_user(message, input->acting_user, error) != 0)
        return -1;
    if (!uuid_parse(message->chat_id, strlen(message->chat_id), &request->chat_id))
        return method_store_error(request, STORE_NO_CHAT, error);
    return give_to_store(request, message, input->acting_user, error);
}

const struct method method_send = {.name = "Send", .index = METHOD_SEND, .submit = submit};
