/*
 * One HTTP exchange: a request that has been read and checked, and the way to answer it. This is
 * what handlers of routes see (routes.h); they know nothing of sockets.
 *
 * The way of an exchange. When its head has arrived, the route is looked up, the guard is asked
 * who this is (gateway.h), the body is read, and the route's handler is called with all of it. The
 * handler, now or later, does exactly one of these, each of which ends the exchange:
 *
 *     exchange_reply, exchange_fail           an answer as a whole
 *     exchange_start_stream                   an answer that goes on: an http_stream
 *     websocket_accept (websocket.h)          a WebSocket
 *
 * Until then the exchange and all that its functions return is valid; afterwards nothing of it is.
 * A handler that returns before it has ended the exchange says with exchange_on_gone what is to be
 * called should the client leave before: then the exchange is over as well, without an answer.
 *
 * Threads: the loop's. Ownership: what is given is copied, unless it says otherwise. Failure:
 * these functions do not fail; without memory the process ends.
 */
#ifndef GATEWAY_EXCHANGE_H
#define GATEWAY_EXCHANGE_H

#include "clients/gateway/identity.h"
#include "clients/gateway/shared_bytes.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct exchange;
struct gateway;

/* ---- The request ---- */

struct gateway *exchange_gateway(const struct exchange *exchange);
/* "GET", "POST", …; a HEAD is shown to handlers as GET, and their body is left out by itself. */
const char *exchange_method(const struct exchange *exchange);
/* Before the '?', as it was sent (nothing decoded): "/chat/Send". */
const char *exchange_path(const struct exchange *exchange);
/*
 * An argument of the query, decoded; "" when it is there without a value, NULL when it is not
 * there. It is valid UTF-8 without NUL; queries that are not, or name an argument twice, were
 * refused before. It may hold secrets (access_token): never log it.
 */
const char *exchange_argument(const struct exchange *exchange, const char *name);
/* Calls for each argument, to refuse unknown ones by name. */
void exchange_each_argument(const struct exchange *exchange,
                            void (*see)(void *data, const char *name, const char *value),
                            void *data);
/*
 * The value of a field of the head, without the white space around it; `name` in lower case. NULL
 * when it is not there; of a repeated one, all values joined with ", ". It holds no control
 * characters but tabs, and may be no UTF-8.
 */
const char *exchange_header(const struct exchange *exchange, const char *name);
/* How often it is given. */
size_t exchange_header_count(const struct exchange *exchange, const char *name);
/* NULL and 0 when there is none. */
const char *exchange_body(const struct exchange *exchange, size_t *size);
/* The client's address without its port, as text: that of the connection, or what a trusted proxy
 * (--trusted-proxies) says it is. */
const char *exchange_address(const struct exchange *exchange);
/* Over TLS, to us or to the trusted proxy before us. */
bool exchange_is_secure(const struct exchange *exchange);
/* Of guarded routes; empty for open ones. */
const struct identity *exchange_identity(const struct exchange *exchange);

/* ---- The answer ---- */

struct exchange_answer {
    int code;                 /* 200 */
    const char *content_type; /* NULL when there is no body */
    const void *body;
    size_t body_size;
};

/* Another field for the head of the answer, whichever comes: "Retry-After", "1". Neither may come
 * from input unchecked: a line break in it ends the process. Not Content-Length, Connection, Date.
 */
void exchange_add_field(struct exchange *exchange, const char *name, const char *value);

void exchange_reply(struct exchange *exchange, const struct exchange_answer *answer);

/*
 * Answers with an Error as JSON, with its code as the status. `id` is "chat.Send.TooLarge" or
 * "gateway.Unauthorized": who refuses, and why. The detail says what is wrong and what would be
 * right; control characters in it become '?', and it is cut to 255 bytes. What is likely to pass
 * (503, 504, 507) has Retry-After by itself; with 429 the caller says when.
 */
void exchange_fail(struct exchange *exchange, int code, const char *id, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* "Not Found" for 404. */
const char *exchange_status_text(int code);

/* See above. Called at most once, and not from within any function of this header. */
void exchange_on_gone(struct exchange *exchange, void (*gone)(void *data), void *data);

/* ---- Answers that go on ---- */

/*
 * An answer whose body is written bit by bit until one side ends it. Valid until `closed`, which
 * comes exactly once, never from within a function of this header.
 *
 * Writes are never refused, and wait in memory while the client does not read: whoever writes
 * looks at http_stream_pending, stops when that is more than it wants to hold, and goes on when
 * `drained` says that everything has been handed to the kernel. A stream that makes no progress for
 * --write-timeout-ms, or has more than 16 MiB waiting, is closed.
 */
struct http_stream;

struct http_stream_handlers {
    void *data;
    void (*drained)(void *data); /* nothing is waiting any more; or NULL */
    void (*closed)(void *data);  /* gone, by whichever side; the stream is not valid any more */
};

/* Sends the head of a 200 (with what exchange_add_field said; not to be stored by caches). */
struct http_stream *exchange_start_stream(struct exchange *exchange, const char *content_type,
                                          const struct http_stream_handlers *handlers);
/* Holds the bytes for as long as it needs them. Ignored once it is ending. */
void http_stream_write(struct http_stream *stream, struct shared_bytes *bytes);
size_t http_stream_pending(const struct http_stream *stream);
/* What is waiting still goes out; then `closed` comes. */
void http_stream_end(struct http_stream *stream);

#endif
