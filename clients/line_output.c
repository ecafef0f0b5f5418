/*
 * Two buffers: one goes out, in one write, while the other fills. When the write is done they
 * change places.
 *
 * As with input, a terminal, pipe or socket is a stream of libuv, a file is written by its pool,
 * and O_NONBLOCK is taken back at the end.
 */
#include "clients/line_output.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define FULL_BYTES ((size_t)256 * 1024)
#define DRAINED_BYTES ((size_t)64 * 1024)

static void start_write(struct line_output *output);
static void on_closed(uv_handle_t *handle);

static size_t pending(const struct line_output *output)
{
    return output->waiting.size + (output->writing ? output->going.size : 0);
}

static void fail(struct line_output *output, int error)
{
    if (output->error != 0)
        return;
    output->error = error;
    output->waiting.size = 0;
    output->handlers.failed(output->handlers.data, error);
}

/* ---- Writing ---- */

static void written(struct line_output *output, int error)
{
    bool was_full = line_output_is_full(output) || pending(output) > DRAINED_BYTES;

    output->writing = false;
    output->going.size = 0;
    if (output->closing) {
        if (!output->is_stream)
            uv_close(&output->sink.handle, on_closed);
        return;
    }
    if (error != 0) {
        fail(output, error);
        return;
    }
    start_write(output);
    if (was_full || pending(output) == 0)
        output->handlers.drained(output->handlers.data);
}

static void on_stream(uv_write_t *write, int status)
{
    written(write->data, status);
}

static void write_file(struct line_output *output);

static void on_file(uv_fs_t *write)
{
    struct line_output *output = write->data;
    ssize_t size = write->result;

    uv_fs_req_cleanup(write);
    if (size > 0)
        output->gone += (size_t)size;
    if (size > 0 && output->gone < output->going.size)
        write_file(output);
    else
        written(output, size < 0 ? (int)size : 0);
}

static void write_file(struct line_output *output)
{
    uv_buf_t buffer = uv_buf_init(output->going.bytes + output->gone,
                                  (unsigned)(output->going.size - output->gone));

    output->file_write.data = output;
    uv_fs_write(output->loop, &output->file_write, output->file, &buffer, 1, -1, on_file);
}

static void start_write(struct line_output *output)
{
    struct line_output_buffer buffer = output->waiting;
    uv_buf_t bytes = uv_buf_init(buffer.bytes, (unsigned)buffer.size);

    if (output->writing || output->error != 0 || buffer.size == 0)
        return;
    output->waiting = output->going;
    output->going = buffer;
    output->gone = 0;
    output->writing = true;
    output->write.data = output;
    if (!output->is_stream)
        write_file(output);
    else if (uv_write(&output->write, &output->sink.stream, &bytes, 1, on_stream) != 0)
        written(output, UV_ENOMEM);
}

static bool has_room(struct line_output_buffer *buffer, size_t size)
{
    size_t capacity = buffer->capacity == 0 ? 4096 : buffer->capacity;
    char *bytes;

    while (capacity < buffer->size + size)
        capacity *= 2;
    if (capacity == buffer->capacity)
        return true;
    bytes = realloc(buffer->bytes, capacity);
    if (bytes == NULL)
        return false;
    buffer->bytes = bytes;
    buffer->capacity = capacity;
    return true;
}

void line_output_write(struct line_output *output, const char *bytes, size_t size)
{
    if (output->error != 0 || output->closing || size == 0)
        return;
    if (!has_room(&output->waiting, size)) {
        fail(output, UV_ENOMEM);
        return;
    }
    memcpy(output->waiting.bytes + output->waiting.size, bytes, size);
    output->waiting.size += size;
    start_write(output);
}

bool line_output_is_full(const struct line_output *output)
{
    return pending(output) > FULL_BYTES;
}

bool line_output_is_empty(const struct line_output *output)
{
    return pending(output) == 0;
}

/* ---- Starting and closing ---- */

int line_output_start(struct line_output *output, uv_loop_t *loop, int file,
                      const struct line_output_handlers *handlers)
{
    uv_handle_type type = uv_guess_handle(file);
    int status = 0;

    *output =
        (struct line_output){.handlers = *handlers, .loop = loop, .file = file, .saved_flags = -1};
    output->is_stream = type == UV_TTY || type == UV_NAMED_PIPE;
    if (output->is_stream)
        output->saved_flags = fcntl(file, F_GETFL);
    if (type == UV_TTY) {
        status = uv_tty_init(loop, &output->sink.tty, file, 0);
    } else if (type == UV_NAMED_PIPE) {
        uv_pipe_init(loop, &output->sink.pipe, 0);
        status = uv_pipe_open(&output->sink.pipe, file);
        if (status != 0)
            uv_close(&output->sink.handle, NULL);
    } else {
        uv_timer_init(loop, &output->sink.timer);
    }
    output->sink.handle.data = output;
    return status;
}

static void on_closed(uv_handle_t *handle)
{
    struct line_output *output = handle->data;

    free(output->going.bytes);
    free(output->waiting.bytes);
    if (output->saved_flags >= 0)
        (void)fcntl(output->file, F_SETFL, output->saved_flags);
    output->closed(output->handlers.data);
}

void line_output_close(struct line_output *output, void (*closed)(void *data))
{
    output->closing = true;
    output->closed = closed;
    if (output->is_stream || !output->writing)
        uv_close(&output->sink.handle, on_closed);
}
