/*
 *   opened ─▶ write a request ─▶ read ─▶ head and body there? ─▶ answered ─▶ …
 *                                   └──▶ after a 101: a frame there? ─▶ message (or pong) ─▶ …
 *
 * Whatever is not understood ends the connection with a reason: a load generator that guesses would
 * measure something else than it says.
 */
#include "clients/bench/http_wire.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define FIRST_CAPACITY 4096
#define CONTROL_BYTES_MAX 125
enum { FRAME_TEXT = 0x81, FRAME_CLOSE = 0x88, FRAME_PING = 0x89, FRAME_PONG = 0x8a };

struct pending_write {
    uv_write_t write;
    char bytes[];
};

/* ---- Closing ---- */

static void on_closed(uv_handle_t *handle)
{
    struct http_wire *wire = handle->data;

    free(wire->buffer);
    wire->buffer = NULL;
    wire->handlers->closed(wire, wire->why);
}

static void end(struct http_wire *wire, const char *why)
{
    if (wire->closing)
        return;
    wire->closing = true;
    wire->why = why;
    uv_close((uv_handle_t *)&wire->tcp, on_closed);
}

void http_wire_close(struct http_wire *wire)
{
    end(wire, NULL);
}

/* ---- Writing ---- */

static void on_written(uv_write_t *write, int status)
{
    struct http_wire *wire = write->data;

    free(write);
    if (status != 0)
        end(wire, uv_strerror(status));
}

void http_wire_write(struct http_wire *wire, const void *bytes, size_t size)
{
    uv_buf_t buffer = {.base = (char *)(uintptr_t)bytes, .len = size};
    struct pending_write *pending;
    int written;

    if (wire->closing)
        return;
    written = uv_try_write((uv_stream_t *)&wire->tcp, &buffer, 1);
    if (written == (int)size)
        return;
    if (written < 0)
        written = 0;
    size -= (size_t)written;
    pending = malloc(sizeof *pending + size);
    if (pending == NULL) {
        end(wire, "out of memory");
        return;
    }
    memcpy(pending->bytes, (const char *)bytes + written, size);
    pending->write.data = wire;
    buffer = uv_buf_init(pending->bytes, (unsigned)size);
    if (uv_write(&pending->write, (uv_stream_t *)&wire->tcp, &buffer, 1, on_written) != 0) {
        free(pending);
        end(wire, "cannot write");
    }
}

/* ---- Numbers ---- */

static unsigned digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 : 16;
}

uint64_t http_wire_number(const char *text, const char *end, unsigned base)
{
    uint64_t number = 0;

    while (text < end && *text == ' ')
        text++;
    for (; text < end && digit_of(*text) < base; text++)
        number = number * base + digit_of(*text);
    return number;
}

/* ---- HTTP ---- */

/* The value of Content-Length in a head of `size` bytes; -1 when there is none. */
static long content_length(const char *head, size_t size)
{
    static const char name[] = "\r\ncontent-length:";
    const size_t name_size = sizeof name - 1;

    for (size_t i = 0; i + name_size < size; i++) {
        if (head[i] == '\r' && strncasecmp(head + i, name, name_size) == 0)
            return (long)http_wire_number(head + i + name_size, head + size, 10);
    }
    return -1;
}

/* How many bytes of the buffer were an answer: 0 while it is not all there. */
static size_t take_answer(struct http_wire *wire, const char *bytes, size_t size)
{
    const char *blank = memmem(bytes, size, "\r\n\r\n", 4);
    size_t head;
    long length;
    int code;

    if (blank == NULL)
        return 0;
    head = (size_t)(blank - bytes) + 4;
    if (head < 16 || memcmp(bytes, "HTTP/1.1 ", 9) != 0) {
        end(wire, "the answer is no HTTP/1.1");
        return 0;
    }
    code = (int)http_wire_number(bytes + 9, bytes + 12, 10);
    length = code == 101 ? 0 : content_length(bytes, head);
    if (length < 0) {
        end(wire, "the answer has no Content-Length");
        return 0;
    }
    if (size - head < (size_t)length)
        return 0;
    wire->is_websocket = code == 101;
    wire->handlers->answered(wire, code, bytes + head, (size_t)length);
    return head + (size_t)length;
}

/* ---- WebSocket ---- */

/* A client must mask what it sends; with a key of zeros that leaves the bytes as they are. */
static void pong(struct http_wire *wire, const char *payload, size_t size)
{
    char frame[2 + 4 + CONTROL_BYTES_MAX] = {(char)FRAME_PONG, (char)(0x80 | size)};

    memcpy(frame + 6, payload, size);
    http_wire_write(wire, frame, 6 + size);
}

/* Head and payload of the frame that the bytes begin with; false while the head is not there. */
static bool frame_size(const uint8_t *bytes, size_t size, size_t *head, uint64_t *payload)
{
    size_t extended = 0;

    if (size < 2)
        return false;
    *payload = bytes[1] & 0x7f;
    if (*payload >= 126)
        extended = *payload == 126 ? 2 : 8;
    *head = 2 + extended;
    if (size < *head)
        return false;
    if (extended > 0)
        *payload = 0;
    for (size_t i = 0; i < extended; i++)
        *payload = *payload << 8 | bytes[2 + i];
    return true;
}

static size_t take_frame(struct http_wire *wire, const char *bytes, size_t size)
{
    size_t head;
    uint64_t payload;
    uint8_t kind = (uint8_t)bytes[0];

    if (!frame_size((const uint8_t *)bytes, size, &head, &payload) || size - head < payload)
        return 0;
    if (kind == FRAME_TEXT)
        wire->handlers->message(wire, bytes + head, (size_t)payload);
    else if (kind == FRAME_PING && payload <= CONTROL_BYTES_MAX)
        pong(wire, bytes + head, (size_t)payload);
    else
        end(wire, kind == FRAME_CLOSE ? "the gateway closed the WebSocket"
                                      : "a frame that is not understood");
    return head + (size_t)payload;
}

/* ---- Reading ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    struct http_wire *wire = handle->data;

    (void)suggested;
    if (wire->used == wire->capacity) {
        size_t capacity = wire->capacity == 0 ? FIRST_CAPACITY : 2 * wire->capacity;
        char *grown = realloc(wire->buffer, capacity);
        if (grown == NULL) { /* libuv then calls on_read with UV_ENOBUFS */
            *buffer = uv_buf_init(NULL, 0);
            return;
        }
        wire->buffer = grown;
        wire->capacity = capacity;
    }
    *buffer = uv_buf_init(wire->buffer + wire->used, (unsigned)(wire->capacity - wire->used));
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct http_wire *wire = stream->data;
    size_t taken = 0;
    size_t step = 1;

    (void)buffer;
    if (size < 0) {
        end(wire, uv_strerror((int)size));
        return;
    }
    wire->used += (size_t)size;
    while (!wire->closing && step > 0 && taken < wire->used) {
        const char *bytes = wire->buffer + taken;
        size_t left = wire->used - taken;
        step = wire->is_websocket ? take_frame(wire, bytes, left) : take_answer(wire, bytes, left);
        taken += step;
    }
    wire->used -= taken;
    if (taken > 0 && wire->used > 0)
        memmove(wire->buffer, wire->buffer + taken, wire->used);
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct http_wire *wire = connect->data;

    if (status == 0)
        status = uv_read_start((uv_stream_t *)&wire->tcp, on_room, on_read);
    if (status == 0)
        wire->handlers->opened(wire);
    else
        end(wire, uv_strerror(status));
}

int http_wire_open(struct http_wire *wire, uv_loop_t *loop, const struct sockaddr *address,
                   const struct http_wire_handlers *handlers)
{
    int status;

    *wire = (struct http_wire){.data = wire->data, .handlers = handlers};
    status = uv_tcp_init(loop, &wire->tcp);
    if (status != 0)
        return status;
    wire->tcp.data = wire;
    wire->connect.data = wire;
    uv_tcp_nodelay(&wire->tcp, 1);
    status = uv_tcp_connect(&wire->connect, &wire->tcp, address, on_connected);
    if (status != 0)
        end(wire, uv_strerror(status));
    return 0;
}
