/*
 * One connection to the gateway, for load: HTTP/1.1 with keep-alive, one request after the other,
 * or a WebSocket once a handshake was answered with 101. It understands what the gateway sends and
 * no more (a Content-Length with each answer, whole text frames), so that it is cheap: it shares
 * the machine with what it measures.
 *
 * Loop's thread only. The struct is the caller's and must stay where it is until `closed`.
 */
#ifndef CLIENTS_BENCH_HTTP_WIRE_H
#define CLIENTS_BENCH_HTTP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_wire;

struct http_wire_handlers {
    void (*opened)(struct http_wire *wire);
    /* An answer to a request; 101 when it is a WebSocket from now on. Borrows the body. */
    void (*answered)(struct http_wire *wire, int code, const char *body, size_t size);
    /* A text message of a WebSocket, lent for the call; or NULL. */
    void (*message)(struct http_wire *wire, const char *text, size_t size);
    /* Exactly once, if http_wire_open returned 0. `why` is NULL after http_wire_close. */
    void (*closed)(struct http_wire *wire, const char *why);
};

struct http_wire {
    void *data; /* the caller's */

    /* Its own. */
    const struct http_wire_handlers *handlers;
    uv_tcp_t tcp;
    uv_connect_t connect;
    char *buffer; /* owned; what was received and not handed on */
    size_t used;
    size_t capacity;
    bool is_websocket;
    bool closing;
    const char *why;
};

/* Connects. `handlers` is borrowed until `closed`. Returns 0 or libuv's error; then nothing is
 * called. Keeps `data`. */
int http_wire_open(struct http_wire *wire, uv_loop_t *loop, const struct sockaddr *address,
                   const struct http_wire_handlers *handlers);
/* Copies what does not go out at once. What fails ends the connection, later. */
void http_wire_write(struct http_wire *wire, const void *bytes, size_t size);
/* `closed` comes later; harmless when it is closing already. */
void http_wire_close(struct http_wire *wire);

/* The number that the text begins with, behind spaces, in a base of 10 or 16; 0 when there is none.
 * What is received has no NUL behind it, hence `end`. */
uint64_t http_wire_number(const char *text, const char *end, unsigned base);

#endif
