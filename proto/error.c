/*
 * The table of refusals, and the body of one. Details are written by printf and may hold pieces
 * of a hostile request, while they end up in a header of the reply: each passes one filter that
 * lets only printable UTF-8 through, so that no caller has to think of it.
 */
#include "proto/error.h"

#include "chat.pb-c.h"
#include "proto/jsonpb.h"
#include "proto/utf8.h"
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* A refusal nobody gave a reason for is a mistake of the service itself, and says so. */
static const struct {
    int code;
    const char *text;
} reasons[CHAT_REASON_COUNT] = {[CHAT_REASON_NONE] = {500, "Internal"},
#define X(name, code, text) [CHAT_##name] = {code, text},
                                CHAT_REASONS(X)
#undef X
};

static const struct {
    int code;
    const char *text;
} statuses[] = {
    {400, "Bad Request"},         {403, "Forbidden"},
    {404, "Not Found"},           {409, "Conflict"},
    {413, "Content Too Large"},   {500, "Internal Server Error"},
    {503, "Service Unavailable"}, {507, "Insufficient Storage"},
};

static enum chat_reason known_reason(enum chat_reason reason)
{
    return (unsigned)reason < CHAT_REASON_COUNT ? reason : CHAT_REASON_NONE;
}

int chat_error_code(enum chat_reason reason)
{
    return reasons[known_reason(reason)].code;
}

const char *chat_error_reason(enum chat_reason reason)
{
    return reasons[known_reason(reason)].text;
}

const char *chat_error_status(int code)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        if (statuses[i].code == code)
            return statuses[i].text;
    return "Unknown Status";
}

/*
 * Copies `text` to `out` (CHAT_ERROR_DETAIL_BYTES), as many whole characters as fit, with '?'
 * for what is no printable UTF-8.
 */
static void copy_printable(char *out, const char *text, size_t size)
{
    size_t used = 0;
    size_t at = 0;
    while (at < size) {
        uint32_t character;
        size_t length = utf8_read(text + at, size - at, &character);
        bool printable = length > 0 && !utf8_is_control(character);
        size_t written = printable ? length : 1;
        if (used + written >= CHAT_ERROR_DETAIL_BYTES)
            break;
        if (printable)
            memcpy(out + used, text + at, length);
        else
            out[used] = '?';
        used += written;
        at += length > 0 ? length : 1;
    }
    out[used] = '\0';
}

int chat_error_set(struct chat_error *error, enum chat_reason reason, const char *format, ...)
{
    /* Twice a detail: nothing shrinks to less than half, so what printf cuts is never shown. */
    char text[2 * CHAT_ERROR_DETAIL_BYTES];
    va_list arguments;
    va_start(arguments, format);
    int written = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    size_t size = written < 0 ? 0 : (size_t)written;
    error->reason = reason;
    copy_printable(error->detail, text, size < sizeof(text) ? size : sizeof(text) - 1);
    return -1;
}

static int encode_protobuf(const Chat__Error *body, struct arena *arena, const uint8_t **bytes,
                           size_t *size)
{
    uint8_t *out = arena_alloc(arena, chat__error__get_packed_size(body));
    if (out == NULL)
        return -1;
    *size = chat__error__pack(body, out);
    *bytes = out;
    return 0;
}

static int encode_json(const Chat__Error *body, struct arena *arena, const uint8_t **bytes,
                       size_t *size)
{
    struct jsonpb_buffer text = {0};
    char *copy = NULL;
    if (jsonpb_print(&body->base, &text) == 0)
        copy = arena_copy(arena, text.data, text.size);
    *bytes = (const uint8_t *)copy;
    *size = text.size;
    jsonpb_buffer_free(&text);
    return copy == NULL ? -1 : 0;
}

int chat_error_encode(const struct chat_error *error, const char *method, enum codec_format format,
                      struct arena *arena, const uint8_t **bytes, size_t *size)
{
    const char *reason = chat_error_reason(error->reason);
    int code = chat_error_code(error->reason);
    size_t id_bytes = strlen("chat.") + strlen(method) + 1 + strlen(reason) + 1;
    char *id = arena_alloc(arena, id_bytes);
    char *detail = arena_copy(arena, error->detail, strlen(error->detail));
    const char *status_text = chat_error_status(code);
    char *status = arena_copy(arena, status_text, strlen(status_text));
    if (id == NULL || detail == NULL || status == NULL)
        return -1;
    snprintf(id, id_bytes, "chat.%s.%s", method, reason);
    Chat__Error body;
    chat__error__init(&body);
    body.id = id;
    body.code = code;
    body.detail = detail;
    body.status = status;
    if (format == CODEC_JSON)
        return encode_json(&body, arena, bytes, size);
    return encode_protobuf(&body, arena, bytes, size);
}
