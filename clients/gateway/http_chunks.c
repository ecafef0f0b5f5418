/*
 *     SIZE ─▶ (EXTENSION) ─▶ SIZE_LF ─▶ DATA ─▶ DATA_CR ─▶ DATA_LF ─▶ SIZE …
 *                               │ 0
 *                               └─▶ TRAILER_START ─▶ TRAILER ─▶ TRAILER_LF ─▶ TRAILER_START …
 *                                        └─▶ END_LF ─▶ DONE
 */
#include "clients/gateway/http_chunks.h"

#include <string.h>

#define DIGITS_MAX 8
/* Nobody needs extensions or trailers; some proxies send a few. */
#define OVERHEAD_BYTES_MAX 4096

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int take_size(struct http_chunks *chunks, char c)
{
    int digit = digit_of(c);

    if (digit >= 0) {
        if (++chunks->digits > DIGITS_MAX)
            return -1;
        chunks->left = chunks->left << 4 | (uint64_t)digit;
        return 0;
    }
    if (chunks->digits == 0)
        return -1;
    if (c == ';')
        chunks->state = HTTP_CHUNKS_EXTENSION;
    else if (c == '\r')
        chunks->state = HTTP_CHUNKS_SIZE_LF;
    else
        return -1;
    return 0;
}

/* Of an extension or a trailer field; `next` is the state after its CR. */
static int take_text(struct http_chunks *chunks, char c, enum http_chunks_state next)
{
    if (c == '\r') {
        chunks->state = next;
        return 0;
    }
    if (((unsigned char)c < 0x20 && c != '\t') || c == 0x7f ||
        ++chunks->overhead > OVERHEAD_BYTES_MAX)
        return -1;
    return 0;
}

static int take_trailer_start(struct http_chunks *chunks, char c)
{
    if (c == '\r') {
        chunks->state = HTTP_CHUNKS_END_LF;
        return 0;
    }
    if (c == ' ' || c == '\t' || c == ':')
        return -1;
    chunks->state = HTTP_CHUNKS_TRAILER;
    return take_text(chunks, c, HTTP_CHUNKS_TRAILER_LF);
}

static int take_expected(struct http_chunks *chunks, char c, char expected,
                         enum http_chunks_state next)
{
    if (c != expected)
        return -1;
    chunks->state = next;
    return 0;
}

/* One byte that is no data. */
static int take(struct http_chunks *chunks, char c)
{
    int result = -1;

    switch (chunks->state) {
    case HTTP_CHUNKS_SIZE:
        return take_size(chunks, c);
    case HTTP_CHUNKS_EXTENSION:
        return take_text(chunks, c, HTTP_CHUNKS_SIZE_LF);
    case HTTP_CHUNKS_SIZE_LF:
        chunks->digits = 0;
        return take_expected(chunks, c, '\n',
                             chunks->left > 0 ? HTTP_CHUNKS_DATA : HTTP_CHUNKS_TRAILER_START);
    case HTTP_CHUNKS_DATA_CR:
        return take_expected(chunks, c, '\r', HTTP_CHUNKS_DATA_LF);
    case HTTP_CHUNKS_DATA_LF:
        return take_expected(chunks, c, '\n', HTTP_CHUNKS_SIZE);
    case HTTP_CHUNKS_TRAILER_START:
        return take_trailer_start(chunks, c);
    case HTTP_CHUNKS_TRAILER:
        return take_text(chunks, c, HTTP_CHUNKS_TRAILER_LF);
    case HTTP_CHUNKS_TRAILER_LF:
        return take_expected(chunks, c, '\n', HTTP_CHUNKS_TRAILER_START);
    case HTTP_CHUNKS_END_LF:
        return take_expected(chunks, c, '\n', HTTP_CHUNKS_DONE);
    case HTTP_CHUNKS_DATA:
    case HTTP_CHUNKS_DONE:
        break;
    }
    return result;
}

int http_chunks_read(struct http_chunks *chunks, const char **input, size_t *input_size,
                     char *output, size_t room, size_t *output_size)
{
    *output_size = 0;
    while (*input_size > 0 && chunks->state != HTTP_CHUNKS_DONE) {
        if (chunks->state == HTTP_CHUNKS_DATA) {
            size_t size = *input_size < chunks->left ? *input_size : (size_t)chunks->left;
            if (chunks->left > room - *output_size)
                return -2;
            memmove(output + *output_size, *input, size);
            *output_size += size;
            *input += size;
            *input_size -= size;
            chunks->left -= size;
            if (chunks->left == 0)
                chunks->state = HTTP_CHUNKS_DATA_CR;
            continue;
        }
        if (take(chunks, **input) != 0)
            return -1;
        ++*input;
        --*input_size;
    }
    return chunks->state == HTTP_CHUNKS_DONE ? 1 : 0;
}
