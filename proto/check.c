/*
 * A refusal says which field, what is wrong with it and where, and what would be right. It never
 * repeats the field's content: that may be long, private, or both.
 */
#include "proto/check.h"

#include "base/uuid.h"
#include "proto/codec.h"
#include "proto/utf8.h"

static int refuse_id(const struct check_text *text, size_t valid_bytes, enum chat_reason reason,
                     struct chat_error *error)
{
    uint32_t character;
    bool control = utf8_read(text->data + valid_bytes, text->size - valid_bytes, &character) > 0;
    return chat_error_set(
        error, reason, "%s holds %s at byte %zu: ids are UTF-8 text without control characters",
        text->what, control ? "a control character" : "invalid UTF-8", valid_bytes);
}

int check_id(const struct check_text *text, enum chat_reason reason, struct chat_error *error)
{
    if (text->has_nul)
        return chat_error_set(error, reason,
                              "%s holds a NUL: ids are UTF-8 text without control characters",
                              text->what);
    if (text->size == 0)
        return chat_error_set(error, reason, "%s is empty: ids have 1 to %d bytes", text->what,
                              CODEC_ID_BYTES_MAX);
    if (text->size > CODEC_ID_BYTES_MAX)
        return chat_error_set(error, reason, "%s has %zu bytes: ids have at most %d", text->what,
                              text->size, CODEC_ID_BYTES_MAX);
    size_t valid_bytes = utf8_printable_length(text->data, text->size);
    if (valid_bytes < text->size)
        return refuse_id(text, valid_bytes, reason, error);
    return 0;
}

int check_free_text(const struct check_text *text, size_t bytes_max, enum chat_reason reason,
                    struct chat_error *error)
{
    if (text->size > bytes_max)
        return chat_error_set(error, CHAT_TOO_LARGE, "%s has %zu bytes: at most %zu are allowed",
                              text->what, text->size, bytes_max);
    if (text->has_nul)
        return chat_error_set(error, reason, "%s holds a NUL: it must be UTF-8 text without NUL",
                              text->what);
    size_t valid_bytes = utf8_valid_length(text->data, text->size);
    if (valid_bytes < text->size)
        return chat_error_set(error, reason,
                              "%s holds invalid UTF-8 at byte %zu: it must be UTF-8 text",
                              text->what, valid_bytes);
    return 0;
}

int check_chat_id(const struct check_text *text, struct chat_error *error)
{
    struct uuid uuid;
    if (!text->has_nul && uuid_parse(text->data, text->size, &uuid))
        return 0;
    return chat_error_set(error, CHAT_INVALID_CHAT_ID,
                          "%s is no UUID: name a chat by what chat.New returned", text->what);
}
