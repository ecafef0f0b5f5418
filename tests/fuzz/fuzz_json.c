/* Requests in JSON, and Message, which has what requests do not have: a time. */
#include "proto/jsonpb.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/requests.h"

/* What is read as a Message is written so that it is read as the same. */
static void check_message(const char *text, size_t size)
{
    const ProtobufCFieldDescriptor *nul_field;
    struct jsonpb_buffer first = {0}, second = {0};
    ProtobufCMessage *message;
    struct chat_error error;
    struct arena arena;

    arena_init(&arena, CODEC_ARENA_BYTES);
    if (jsonpb_decode(text, size, &chat__message__descriptor, &arena, &message, &nul_field,
                      &error) == 0) {
        FUZZ_CHECK(jsonpb_print(message, &first) == 0);
        FUZZ_CHECK(jsonpb_decode(first.data, first.size, &chat__message__descriptor, &arena,
                                 &message, &nul_field, &error) == 0);
        FUZZ_CHECK(jsonpb_print(message, &second) == 0);
        FUZZ_CHECK(first.size == second.size && memcmp(first.data, second.data, first.size) == 0);
    }
    jsonpb_buffer_free(&first);
    jsonpb_buffer_free(&second);
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copied = fuzz_copy(bytes, size);

    requests_check(bytes, size, CODEC_JSON);
    check_message((const char *)copied, size);
    free(copied);
    return 0;
}
