/*
 * Standard output on the loop: what is written is taken at once and goes out when the reader takes
 * it; the owner is told when a lot is waiting. For the loop's thread.
 */
#ifndef CLIENTS_LINE_OUTPUT_H
#define CLIENTS_LINE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct line_output_handlers {
    void *data;
    /* Little or nothing is waiting any more. */
    void (*drained)(void *data);
    /* The reader is gone or the disk full, in libuv's words: nothing more is written. Once. */
    void (*failed)(void *data, int error);
};

struct line_output_buffer {
    char *bytes;
    size_t size;
    size_t capacity;
};

/* Embedded by its owner; what is in it is its own. */
struct line_output {
    struct line_output_handlers handlers;
    uv_loop_t *loop;
    int file;
    int saved_flags;
    bool is_stream;
    bool writing;
    bool closing;
    int error;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_pipe_t pipe;
        uv_tty_t tty;
        uv_timer_t timer; /* of a file: never started, there to be closed */
    } sink;
    uv_write_t write;
    uv_fs_t file_write;
    struct line_output_buffer going;   /* out, when writing */
    size_t gone;                       /* of it, to a file */
    struct line_output_buffer waiting; /* behind it */
    void (*closed)(void *data);
};

/* Returns 0, or libuv's error, and is then not to be closed. */
int line_output_start(struct line_output *output, uv_loop_t *loop, int file,
                      const struct line_output_handlers *handlers);

/* Copies. Without memory, or after a failure, it is lost, and `failed` tells. */
void line_output_write(struct line_output *output, const char *bytes, size_t size);

/* So much is waiting that the owner should not bring more before `drained`. */
bool line_output_is_full(const struct line_output *output);
bool line_output_is_empty(const struct line_output *output);

/* What is waiting is dropped; `closed` comes when its memory may go. */
void line_output_close(struct line_output *output, void (*closed)(void *data));

#endif
