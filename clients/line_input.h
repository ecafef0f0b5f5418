/*
 * Lines from standard input on the loop: a terminal, a pipe, a socket or a file. All functions are
 * for the loop's thread; handlers come from it.
 */
#ifndef CLIENTS_LINE_INPUT_H
#define CLIENTS_LINE_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

/* A line longer than this is handed on as too long, and skipped to its end. */
#define LINE_INPUT_BYTES_MAX ((size_t)256 * 1024)
#define LINE_INPUT_CHUNK_BYTES ((size_t)64 * 1024)

struct line_input_handlers {
    void *data;
    /* One line without its newline, NUL-terminated, valid for the call; it may hold NULs of its
     * own, and then `size` is larger than strlen. NULL: it was too long. */
    void (*line)(void *data, const char *line, size_t size);
    /* There is no more, or it cannot be read: `error` is 0 or libuv's. Once, unless closed. */
    void (*end)(void *data, int error);
};

/* Embedded by its owner; what is in it is its own. */
struct line_input {
    struct line_input_handlers handlers;
    uv_loop_t *loop;
    int file;
    int saved_flags; /* of the file, which libuv makes non-blocking; -1: none */
    bool is_stream;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tty_t tty;
        uv_timer_t timer; /* of a file: never started, there to be closed */
    } source;
    uv_fs_t read; /* of a file */
    bool reading; /* `read` is under way */
    bool paused;
    bool ended;
    bool closing;
    bool too_long;
    char *chunk;
    char *line;
    size_t size;
    void (*closed)(void *data);
};

/* Returns 0, or libuv's error, and is then not to be closed; lines come soon. */
int line_input_start(struct line_input *input, uv_loop_t *loop, int file,
                     const struct line_input_handlers *handlers);

/* At most what is in one chunk still comes after a pause. */
void line_input_pause(struct line_input *input);
void line_input_resume(struct line_input *input);

/* Nothing is read any more; `closed` comes when its memory may go. */
void line_input_close(struct line_input *input, void (*closed)(void *data));

#endif
