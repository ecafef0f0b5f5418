/* Requests in JSON, and Message, which has what requests do not have: a time. */
#include "proto/jsonpb.h"
#include "proto/jsonpb_plain.h"
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

/* What is read the quick way is what a JSON parser reads: the same strings, and nothing else. */
static void check_plain(const char *text, size_t size)
{
    const ProtobufCMessageDescriptor *descriptor = &chat__send_request__descriptor;
    ProtobufCMessage *message;
    struct arena arena;

    arena_init(&arena, CODEC_ARENA_BYTES);
    message = jsonpb_decode_plain(text, size, descriptor, &arena);
    if (message != NULL) {
        json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
        size_t found = 0;
        FUZZ_CHECK(json_is_object(json));
        for (unsigned i = 0; i < descriptor->n_fields; i++) {
            const json_t *member = json_object_get(json, descriptor->fields[i].name);
            char *value;
            memcpy(&value, (char *)message + descriptor->fields[i].offset, sizeof value);
            FUZZ_CHECK(strcmp(value, member == NULL ? "" : json_string_value(member)) == 0);
            FUZZ_CHECK(member == NULL || json_string_length(member) == strlen(value));
            found += member != NULL;
        }
        FUZZ_CHECK(found == json_object_size(json));
        json_decref(json);
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copied = fuzz_copy(bytes, size);

    requests_check(bytes, size, CODEC_JSON);
    check_message((const char *)copied, size);
    check_plain((const char *)copied, size);
    free(copied);
    return 0;
}
