/*
 * A body in chunks (RFC 9112, 7.1), strictly: sizes are hexadecimal digits only, lines end with CR
 * LF, extensions and trailer fields are read over and bounded. Any thread; nothing is allocated.
 */
#ifndef GATEWAY_HTTP_CHUNKS_H
#define GATEWAY_HTTP_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum http_chunks_state {
    HTTP_CHUNKS_SIZE,
    HTTP_CHUNKS_EXTENSION,
    HTTP_CHUNKS_SIZE_LF,
    HTTP_CHUNKS_DATA,
    HTTP_CHUNKS_DATA_CR,
    HTTP_CHUNKS_DATA_LF,
    HTTP_CHUNKS_TRAILER_START,
    HTTP_CHUNKS_TRAILER,
    HTTP_CHUNKS_TRAILER_LF,
    HTTP_CHUNKS_END_LF,
    HTTP_CHUNKS_DONE,
};

/* All zero before the first byte. */
struct http_chunks {
    enum http_chunks_state state;
    uint64_t left;   /* of the chunk */
    unsigned digits; /* of its size */
    size_t overhead; /* bytes of extensions and trailers so far */
};

/*
 * Reads what it can of `*input` and writes what is body to `output`, where the body so far may lie
 * right before the input: output never overtakes it. Takes at most `room` bytes of body. Returns 1
 * when the body has ended, 0 when there is more to come, -1 when it does not decode, -2 when it has
 * more than `room` bytes. `*input_size` and `*input` advance; `*output_size` is what was written.
 */
int http_chunks_read(struct http_chunks *chunks, const char **input, size_t *input_size,
                     char *output, size_t room, size_t *output_size);

#endif
