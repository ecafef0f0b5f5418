/* chat.New: the chat of a set of users. The decoder has sorted the set and taken out repeats. */
#include "service/method.h"

#include "proto/codec.h"
#include <string.h>

static void done(struct store_new *call)
{
    struct request *request = call->data;
    char chat_id[UUID_TEXT_BYTES + 1] = {0};
    struct chat_error error;
    const uint8_t *bytes;
    size_t size;

    if (call->status != STORE_OK) {
        method_store_error(request, call->status, &error);
        request_refuse(request, &error);
        return;
    }
    uuid_format(&call->chat_id, chat_id);
    if (codec_encode_new(chat_id, call->created, request->reply.format,
                         &request->service->reply_arena, &bytes, &size) != 0)
        method_refuse_encoding(request);
    else
        request_answer(request, bytes, size);
}

static bool includes(const Chat__NewRequest *message, const char *user_id)
{
    for (size_t i = 0; i < message->n_user_ids; i++) {
        if (strcmp(message->user_ids[i], user_id) == 0)
            return true;
    }
    return false;
}

static int submit(struct request *request, const struct method_input *input,
                  struct chat_error *error)
{
    struct service *service = request->service;
    Chat__NewRequest *message;
    int status;

    if (codec_decode_new(input->bytes, input->size, request->reply.format,
                         &service->settings->limits, &service->request_arena, &message, error) != 0)
        return -1;
    if (input->acting_user != NULL && !includes(message, input->acting_user))
        return chat_error_set(error, CHAT_NOT_A_MEMBER,
                              "the acting user is not among user_ids; it must be");
    request->call.create = (struct store_new){.data = request, .done = done};
    status = store_new(service->store, &request->call.create, request->namespace_name,
                       message->user_ids, message->n_user_ids);
    return status == STORE_OK ? 0 : method_store_error(request, status, error);
}

const struct method method_new = {.name = "New", .index = METHOD_NEW, .submit = submit};
