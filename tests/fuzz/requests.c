#include "tests/fuzz/requests.h"

#include "tests/fuzz/fuzz.h"

enum request_kind { REQUEST_NEW, REQUEST_SEND, REQUEST_HISTORY, REQUEST_KINDS };

static const struct codec_limits limits = {
    .request_bytes = CODEC_REQUEST_BYTES_MAX, .text_bytes = 1000, .users = 20};

static int decode(enum request_kind kind, const uint8_t *bytes, size_t size,
                  enum codec_format format, struct arena *arena, ProtobufCMessage **request,
                  struct chat_error *error)
{
    if (kind == REQUEST_NEW)
        return codec_decode_new(bytes, size, format, &limits, arena, (Chat__NewRequest **)request,
                                error);
    if (kind == REQUEST_SEND)
        return codec_decode_send(bytes, size, format, &limits, size % 2 == 0 ? NULL : "ann", arena,
                                 (Chat__SendRequest **)request, error);
    return codec_decode_history(bytes, size, format, &limits, arena,
                                (Chat__HistoryRequest **)request, error);
}

static void check_id(const char *id)
{
    size_t size = strlen(id);

    FUZZ_CHECK(size >= 1 && size <= CODEC_ID_BYTES_MAX);
    for (size_t i = 0; i < size; i++)
        FUZZ_CHECK((uint8_t)id[i] >= 0x20 && id[i] != 0x7f);
}

static void check_new(const Chat__NewRequest *request)
{
    FUZZ_CHECK(request->n_user_ids >= 1 && request->n_user_ids <= limits.users);
    for (size_t i = 0; i < request->n_user_ids; i++) {
        check_id(request->user_ids[i]);
        FUZZ_CHECK(i == 0 || strcmp(request->user_ids[i - 1], request->user_ids[i]) < 0);
    }
}

static void check_send(const Chat__SendRequest *request)
{
    FUZZ_CHECK(strlen(request->chat_id) == 36);
    check_id(request->user_id);
    if (request->client_id[0] != '\0')
        check_id(request->client_id);
    FUZZ_CHECK(request->text[0] != '\0' && strlen(request->text) <= limits.text_bytes);
    FUZZ_CHECK(strlen(request->subject) <= CODEC_SUBJECT_BYTES_MAX);
}

static void check_history(const Chat__HistoryRequest *request)
{
    FUZZ_CHECK(strlen(request->chat_id) == 36);
    FUZZ_CHECK(request->limit >= 1 && request->limit <= CODEC_HISTORY_MAX);
    FUZZ_CHECK(request->before_seq == 0 || request->from_seq <= request->before_seq);
}

static void check_request(enum request_kind kind, const ProtobufCMessage *request)
{
    if (kind == REQUEST_NEW)
        check_new((const Chat__NewRequest *)request);
    else if (kind == REQUEST_SEND)
        check_send((const Chat__SendRequest *)request);
    else
        check_history((const Chat__HistoryRequest *)request);
}

/* An error goes out in headers and in both formats. */
static void check_error(const struct chat_error *error)
{
    struct arena arena;
    const uint8_t *bytes;
    size_t size;

    FUZZ_CHECK(error->reason > CHAT_REASON_NONE && error->reason < CHAT_REASON_COUNT);
    FUZZ_CHECK(memchr(error->detail, '\0', sizeof error->detail) != NULL);
    for (const char *next = error->detail; *next != '\0'; next++)
        FUZZ_CHECK((uint8_t)*next >= 0x20 && *next != 0x7f);
    arena_init(&arena, CODEC_ARENA_BYTES);
    FUZZ_CHECK(chat_error_encode(error, "Send", CODEC_PROTOBUF, &arena, &bytes, &size) == 0);
    FUZZ_CHECK(chat_error_encode(error, "Send", CODEC_JSON, &arena, &bytes, &size) == 0);
    arena_free(&arena);
}

/* Packing what was decoded and decoding that changes nothing. */
static void check_again(enum request_kind kind, const ProtobufCMessage *request)
{
    size_t size = protobuf_c_message_get_packed_size(request);
    uint8_t *packed = malloc(size + 1);
    uint8_t *packed_again = malloc(size + 1);
    ProtobufCMessage *again;
    struct chat_error error;
    struct arena arena;

    FUZZ_CHECK(packed != NULL && packed_again != NULL);
    protobuf_c_message_pack(request, packed);
    arena_init(&arena, CODEC_ARENA_BYTES);
    FUZZ_CHECK(decode(kind, packed, size, CODEC_PROTOBUF, &arena, &again, &error) == 0);
    FUZZ_CHECK(protobuf_c_message_get_packed_size(again) == size);
    protobuf_c_message_pack(again, packed_again);
    FUZZ_CHECK(memcmp(packed, packed_again, size) == 0);
    arena_free(&arena);
    free(packed);
    free(packed_again);
}

void requests_check(const uint8_t *bytes, size_t size, enum codec_format format)
{
    uint8_t *copied = fuzz_copy(bytes, size);

    for (enum request_kind kind = 0; kind < REQUEST_KINDS; kind++) {
        ProtobufCMessage *request = NULL;
        struct chat_error error;
        struct arena arena;

        arena_init(&arena, CODEC_ARENA_BYTES);
        if (decode(kind, copied, size, format, &arena, &request, &error) == 0) {
            check_request(kind, request);
            check_again(kind, request);
        } else {
            check_error(&error);
        }
        arena_free(&arena);
    }
    free(copied);
}
