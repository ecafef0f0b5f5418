/*
 * chat.History: one page of a chat. The store finds it within a budget, the codec puts it together
 * from the stored bytes, and cuts it once more where JSON needs more room than that.
 */
#include "service/method.h"

#include "proto/codec.h"
#include "proto/wire.h"
#include <inttypes.h>
#include <string.h>

/* What a HistoryResponse holds beside its messages: head_seq and more. A message's own tag and
 * length are in the store's reckoning. */
#define PAGE_FRAME_BYTES 32
#define MESSAGE_SEQ_FIELD 8

_Static_assert(sizeof(struct codec_record) == sizeof(struct store_record) &&
                   offsetof(struct codec_record, size) == offsetof(struct store_record, size),
               "a page of the store is a page for the codec");

static uint64_t seq_of(const struct store_record *record)
{
    const char *problem;
    struct wire_reader reader;
    struct wire_field field;

    wire_reader_init(&reader, record->data, record->size);
    while (wire_next(&reader, &field, &problem) == 1) {
        if (field.number == MESSAGE_SEQ_FIELD && field.type == WIRE_VARINT)
            return field.value;
    }
    return 0;
}

static void refuse_too_large(struct request *request, const struct store_history *call, size_t max)
{
    size_t index = call->keep_newest && call->count > 0 ? call->count - 1 : 0;
    struct chat_error error;

    chat_error_set(&error, CHAT_TOO_LARGE,
                   "message %" PRIu64 " alone is more than the %zu bytes a reply can have",
                   call->count > 0 ? seq_of(&call->records[index]) : 0, max);
    request_refuse(request, &error);
}

static void answer(struct request *request, const struct store_history *call)
{
    enum codec_format format = request->reply.format;
    size_t max = lane_reply_bytes_max(request->reply.lane, format);
    const uint8_t *bytes;
    size_t size;
    int result;

    result = codec_encode_history((const struct codec_record *)(const void *)call->records,
                                  call->count, call->head_seq, call->more, call->keep_newest, max,
                                  format, &request->service->reply_arena, &bytes, &size);
    if (result == 0)
        request_answer(request, bytes, size);
    else if (result == -2)
        refuse_too_large(request, call, max);
    else
        method_refuse_encoding(request);
}

static void done(struct store_history *call)
{
    struct request *request = call->data;
    struct chat_error error;

    if (call->status != STORE_OK) {
        method_store_error(request, call->status, &error);
        request_refuse(request, &error);
    } else if (lane_is_congested(request->reply.lane)) {
        /* Pages are what fills the buffer: a small request has a large reply. */
        chat_error_set(&error, CHAT_OVERLOADED,
                       "too many replies wait for the broker to take them; retry");
        request_refuse(request, &error);
    } else {
        answer(request, call);
    }
}

static int submit(struct request *request, const struct method_input *input,
                  struct chat_error *error)
{
    struct service *service = request->service;
    struct store_history_input page = {.namespace_name = request->namespace_name,
                                       .acting_user = input->acting_user};
    Chat__HistoryRequest *message;
    int status;

    if (codec_decode_history(input->bytes, input->size, request->reply.format,
                             &service->settings->limits, &service->request_arena, &message,
                             error) != 0)
        return -1;
    if (!uuid_parse(message->chat_id, strlen(message->chat_id), &request->chat_id))
        return method_store_error(request, STORE_NO_CHAT, error);
    page.chat_id = request->chat_id;
    page.from_seq = message->from_seq;
    page.before_seq = message->before_seq;
    page.limit = message->limit;
    page.budget_bytes =
        lane_reply_bytes_max(request->reply.lane, request->reply.format) - PAGE_FRAME_BYTES;
    request->call.history = (struct store_history){.data = request, .done = done};
    status = store_history(service->store, &request->call.history, &page);
    return status == STORE_OK ? 0 : method_store_error(request, status, error);
}

const struct method method_history = {.name = "History", .index = METHOD_HISTORY, .submit = submit};
