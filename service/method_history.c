/*
 * chat.History: one page of a chat. The store finds it within a budget and lays it down as it goes
 * out in protobuf, where head_seq and more follow it. For JSON, and in case that the broker takes
 * less than it did when the page was asked for, the codec puts it together and cuts it.
 */
#include "service/method.h"

#include "proto/codec.h"
#include <inttypes.h>
#include <string.h>

/* What a HistoryResponse holds beside its messages: head_seq and more. A message's own tag and
 * length are in the store's reckoning. */
#define PAGE_FRAME_BYTES 32

_Static_assert(CODEC_HISTORY_END_BYTES <= MESSAGE_PAGE_SPARE_BYTES &&
                   CODEC_HISTORY_END_BYTES <= PAGE_FRAME_BYTES,
               "a page that the store made has room for what follows the messages");

static void refuse_too_large(struct request *request, const struct store_history *call, size_t max)
{
    const struct message_page *page = call->page;
    uint64_t seq = call->keep_newest ? page->first_seq + page->count - 1 : page->first_seq;
    struct chat_error error;

    chat_error_set(&error, CHAT_TOO_LARGE,
                   "message %" PRIu64 " alone is more than the %zu bytes a reply can have", seq,
                   max);
    request_refuse(request, &error);
}

static int encode(struct request *request, const struct store_history *call, size_t max,
                  const uint8_t **bytes, size_t *size)
{
    const struct message_page *page = call->page;
    struct arena *arena = &request->service->reply_arena;
    struct codec_record *records = arena_alloc(arena, (page->count + 1) * sizeof *records);
    struct message_view message = {0};

    if (records == NULL)
        return -1;
    for (size_t i = 0; message_page_next(page, &message); i++)
        records[i] = (struct codec_record){message.bytes, message.size};
    return codec_encode_history(records, page->count, call->head_seq, call->more, call->keep_newest,
                                max, request->reply.format, arena, bytes, size);
}

static void answer_encoded(struct request *request, const struct store_history *call, size_t max)
{
    const uint8_t *bytes;
    size_t size;
    int result = encode(request, call, max, &bytes, &size);

    if (result == 0)
        request_answer(request, bytes, size);
    else if (result == -2)
        refuse_too_large(request, call, max);
    else
        method_refuse_encoding(request);
}

static void answer(struct request *request, const struct store_history *call)
{
    enum codec_format format = request->reply.format;
    size_t max = lane_reply_bytes_max(request->reply.lane, format);
    struct message_page *page = call->page;
    size_t size = page->end - page->begin;
    uint8_t end[CODEC_HISTORY_END_BYTES];
    size_t end_size = codec_end_history(end, call->head_seq, call->more);

    if (format != CODEC_PROTOBUF || size + end_size > max) {
        answer_encoded(request, call, max);
        return;
    }
    /* An empty page may have no memory. */
    if (page->count == 0) {
        request_answer(request, end, end_size);
        return;
    }
    memcpy(page->bytes + page->end, end, end_size);
    request_answer(request, page->bytes + page->begin, size + end_size);
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
