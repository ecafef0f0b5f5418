/*
 * Lines of an import: read up to the first newline, parsed, and held against the limits that the
 * database and the service rely on. What is refused says why.
 */
#include "proto/codec.h"
#include "proto/utf8.h"
#include "store/export.h"
#include "store/import_line.h"
#include "tests/fuzz/fuzz.h"

static void check_text(const struct command_text *text, size_t least, size_t most)
{
    FUZZ_CHECK(text->size >= least && text->size <= most);
    FUZZ_CHECK(memchr(text->data, 0, text->size) == NULL);
}

static void check_message(const struct command_send *message)
{
    size_t size = command_send_size(message);
    struct command_message again;
    uint8_t *stored = malloc(size);

    check_text(&message->client_id, 1, COMMAND_USER_BYTES_MAX);
    check_text(&message->user_id, 1, COMMAND_USER_BYTES_MAX);
    check_text(&message->subject, 0, CODEC_SUBJECT_BYTES_MAX);
    check_text(&message->text, 1, CODEC_REQUEST_BYTES_MAX);
    FUZZ_CHECK(stored != NULL);
    command_send_write(message, stored);
    FUZZ_CHECK(command_message_read(stored, size, &again));
    FUZZ_CHECK(again.text.size == message->text.size &&
               memcmp(again.text.data, message->text.data, message->text.size) == 0);
    free(stored);
}

static void check_line(const struct import_line *line)
{
    switch (line->kind) {
    case IMPORT_LINE_CHAT:
        FUZZ_CHECK(line->users != NULL && line->users_size > 0);
        FUZZ_CHECK(strlen(line->namespace_name) <= DATABASE_NAMESPACE_BYTES_MAX);
        break;
    case IMPORT_LINE_MESSAGE:
        FUZZ_CHECK(line->seq > 0);
        check_message(&line->message);
        break;
    case IMPORT_LINE_EXPORT:
    case IMPORT_LINE_END:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t *copied = fuzz_copy(bytes, size);
    FILE *in = fmemopen(copied, size > 0 ? size : 1, "r");
    struct store_failure failure = {0};
    struct import_text text = {0};
    struct import_line line;

    FUZZ_CHECK(in != NULL);
    while (import_line_read(&text, in, &failure) == 0) {
        int rc = import_line_parse(&line, text.bytes, text.size, &failure);
        if (rc == 0)
            check_line(&line);
        else
            FUZZ_CHECK(failure.status == rc && failure.detail[0] != '\0');
        import_line_free(&line);
    }
    fclose(in);
    free(text.bytes);
    free(copied);
    return 0;
}
