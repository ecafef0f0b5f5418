/*
 * Terminals, pipes and sockets are streams of libuv; everything else is read by its pool, a chunk
 * at a time, which does not block on regular files. (A terminal read by the pool could not be
 * left: the process would wait for one more line at its end.)
 *
 * libuv sets O_NONBLOCK on pipes, which whoever shares them would notice: it is taken back.
 */
#include "clients/line_input.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static void read_more(struct line_input *input);
static void on_closed(uv_handle_t *handle);

/* ---- Lines ---- */

static void append(struct line_input *input, const char *bytes, size_t size)
{
    if (input->too_long)
        return;
    if (input->size + size > LINE_INPUT_BYTES_MAX) {
        input->too_long = true;
        return;
    }
    memcpy(input->line + input->size, bytes, size);
    input->size += size;
}

static void end_line(struct line_input *input)
{
    const char *line = input->too_long ? NULL : input->line;
    size_t size = input->size;

    input->line[size] = '\0';
    input->size = 0;
    input->too_long = false;
    input->handlers.line(input->handlers.data, line, size);
}

static void take(struct line_input *input, const char *bytes, size_t size)
{
    const char *end = bytes + size;

    while (bytes < end && !input->closing) {
        const char *newline = memchr(bytes, '\n', (size_t)(end - bytes));
        append(input, bytes, (size_t)((newline == NULL ? end : newline) - bytes));
        if (newline == NULL)
            return;
        end_line(input);
        bytes = newline + 1;
    }
}

/* A last line without its newline is a line. */
static void finish(struct line_input *input, int error)
{
    if (input->ended)
        return;
    input->ended = true;
    if (error == 0 && (input->size > 0 || input->too_long))
        end_line(input);
    if (!input->closing)
        input->handlers.end(input->handlers.data, error);
}

/* ---- Streams ---- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct line_input *input = handle->data;

    (void)suggested;
    *buffer = uv_buf_init(input->chunk, (unsigned)LINE_INPUT_CHUNK_BYTES);
}

static void on_stream(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct line_input *input = stream->data;

    if (size > 0) {
        take(input, buffer->base, (size_t)size);
    } else if (size < 0) {
        uv_read_stop(stream);
        finish(input, size == UV_EOF ? 0 : (int)size);
    }
}

static int open_stream(struct line_input *input, uv_handle_type type)
{
    int status;

    input->is_stream = true;
    input->saved_flags = fcntl(input->file, F_GETFL);
    if (type == UV_TTY) {
        status = uv_tty_init(input->loop, &input->source.tty, input->file, 0);
    } else {
        uv_pipe_init(input->loop, &input->source.pipe, 0);
        status = uv_pipe_open(&input->source.pipe, input->file);
        if (status != 0)
            uv_close(&input->source.handle, NULL);
    }
    input->source.handle.data = input;
    return status;
}

/* ---- Files ---- */

static void on_file(uv_fs_t *read)
{
    struct line_input *input = read->data;
    ssize_t size = read->result;

    uv_fs_req_cleanup(read);
    input->reading = false;
    if (input->closing) {
        uv_close(&input->source.handle, on_closed);
        return;
    }
    if (size > 0)
        take(input, input->chunk, (size_t)size);
    else
        finish(input, (int)size);
    if (!input->closing)
        read_more(input);
}

static void read_more(struct line_input *input)
{
    uv_buf_t buffer = uv_buf_init(input->chunk, (unsigned)LINE_INPUT_CHUNK_BYTES);

    if (input->paused || input->ended || input->reading)
        return;
    if (input->is_stream) {
        uv_read_start(&input->source.stream, on_allocate, on_stream);
        return;
    }
    input->read.data = input;
    input->reading = true;
    uv_fs_read(input->loop, &input->read, input->file, &buffer, 1, -1, on_file);
}

/* ---- For the owner ---- */

static int open_source(struct line_input *input)
{
    uv_handle_type type = uv_guess_handle(input->file);

    if (type == UV_TTY || type == UV_NAMED_PIPE)
        return open_stream(input, type);
    uv_timer_init(input->loop, &input->source.timer);
    input->source.handle.data = input;
    return 0;
}

int line_input_start(struct line_input *input, uv_loop_t *loop, int file,
                     const struct line_input_handlers *handlers)
{
    int status = UV_ENOMEM;

    *input =
        (struct line_input){.handlers = *handlers, .loop = loop, .file = file, .saved_flags = -1};
    input->chunk = malloc(LINE_INPUT_CHUNK_BYTES);
    input->line = malloc(LINE_INPUT_BYTES_MAX + 1);
    if (input->chunk != NULL && input->line != NULL)
        status = open_source(input);
    if (status == 0) {
        read_more(input);
        return 0;
    }
    free(input->chunk);
    free(input->line);
    return status;
}

void line_input_pause(struct line_input *input)
{
    input->paused = true;
    if (input->is_stream && !input->closing && !input->ended)
        uv_read_stop(&input->source.stream);
}

void line_input_resume(struct line_input *input)
{
    if (!input->paused)
        return;
    input->paused = false;
    if (!input->closing)
        read_more(input);
}

static void on_closed(uv_handle_t *handle)
{
    struct line_input *input = handle->data;

    free(input->chunk);
    free(input->line);
    if (input->saved_flags >= 0)
        (void)fcntl(input->file, F_SETFL, input->saved_flags);
    input->closed(input->handlers.data);
}

void line_input_close(struct line_input *input, void (*closed)(void *data))
{
    input->closing = true;
    input->closed = closed;
    if (!input->reading)
        uv_close(&input->source.handle, on_closed);
}
