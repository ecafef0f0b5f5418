/* Stored messages and commands: what recovery and replies read back. */
#include "proto/codec.h"
#include "store/command.h"
#include "tests/fuzz/fuzz.h"

static void check_inside(const struct command_text *text, const uint8_t *bytes, size_t size)
{
    const uint8_t *data = (const uint8_t *)text->data;

    FUZZ_CHECK(data == NULL || (data >= bytes && data + text->size <= bytes + size));
}

static void check_message(const uint8_t *bytes, size_t size)
{
    struct command_message message, longer;
    uint8_t *with_seq = malloc(size + COMMAND_SEQ_BYTES_MAX);

    FUZZ_CHECK(with_seq != NULL);
    if (command_message_read(bytes, size, &message)) {
        check_inside(&message.id, bytes, size);
        check_inside(&message.client_id, bytes, size);
        check_inside(&message.chat_id, bytes, size);
        check_inside(&message.user_id, bytes, size);
        check_inside(&message.subject, bytes, size);
        check_inside(&message.text, bytes, size);
        /* Applying puts the seq behind it. */
        memcpy(with_seq, bytes, size);
        size += command_seq_write(size + 1, with_seq + size);
        FUZZ_CHECK(command_message_read(with_seq, size, &longer));
        FUZZ_CHECK(longer.text.size == message.text.size && longer.seq > 0);
    }
    free(with_seq);
}

static void check_new(const uint8_t *bytes, size_t size)
{
    struct command_new command;
    uint8_t *written;

    if (!command_new_read(bytes, size, &command))
        return;
    FUZZ_CHECK(command_new_size(command.namespace_size, command.users_size) == size);
    written = malloc(size);
    FUZZ_CHECK(written != NULL);
    command_new_write(&command, written);
    FUZZ_CHECK(memcmp(written, bytes, size) == 0);
    (void)command_users_contain(command.users, command.users_size, "ann");
    free(written);
}

/* A reply is made of stored bytes, be they as they may. */
static void check_replies(const uint8_t *bytes, size_t size)
{
    struct codec_record record = {bytes, size};
    struct arena arena;
    const uint8_t *reply;
    size_t reply_size;

    arena_init(&arena, CODEC_ARENA_BYTES);
    for (enum codec_format format = CODEC_PROTOBUF; format <= CODEC_JSON; format++) {
        (void)codec_encode_send(&record, false, format, &arena, &reply, &reply_size);
        if (codec_encode_history(&record, 1, 1, false, false, 4096, format, &arena, &reply,
                                 &reply_size) == 0)
            FUZZ_CHECK(reply_size <= 4096);
    }
    arena_free(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copied = fuzz_copy(bytes, size);

    check_message(copied, size);
    check_new(copied, size);
    check_replies(copied, size);
    free(copied);
    return 0;
}
