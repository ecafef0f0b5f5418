/*
 * What a connection and the exchange on it are made of: shared by http_connection.c (bytes to
 * requests, one after the other), exchange.c (what handlers see and how they answer), websocket.c
 * (what becomes of it after a handshake) and http_server.c (all of them). For the loop's thread.
 */
#ifndef GATEWAY_HTTP_CONNECTION_H
#define GATEWAY_HTTP_CONNECTION_H

#include "clients/gateway/exchange.h"
#include "clients/gateway/gateway.h"
#include "clients/gateway/http_chunks.h"
#include "clients/gateway/http_head.h"
#include "clients/gateway/http_server.h"
#include "clients/gateway/rate_limit.h"
#include "clients/gateway/routes.h"
#include "clients/gateway/transport.h"

#define ADDRESS_TEXT_BYTES 46
#define EXCHANGE_ARGUMENTS_MAX 32

struct byte_buffer {
    char *data;
    size_t size;
    size_t capacity;
};

void byte_buffer_append(struct byte_buffer *buffer, const char *bytes, size_t size);
void byte_buffer_drop(struct byte_buffer *buffer, size_t size); /* from the front */
void byte_buffer_free(struct byte_buffer *buffer);

enum connection_state {
    CONNECTION_IDLE,      /* no byte of a request yet */
    CONNECTION_HEAD,      /* some of its head */
    CONNECTION_BODY,      /* the head, and some of its body */
    CONNECTION_HANDLING,  /* all of it; the handler is to answer */
    CONNECTION_STREAM,    /* an answer that goes on */
    CONNECTION_WEBSOCKET, /* no HTTP any more */
    CONNECTION_LINGERING, /* the last answer is on its way; what comes is thrown away */
    CONNECTION_CLOSED,
};

struct exchange_argument {
    char *name;
    char *value;
};

/* One request and its answer; zeroed from `identity` on for each. */
struct exchange {
    struct http_connection *connection;
    struct identity identity;
    const struct route *route;
    uint64_t started_ns;
    size_t body_start; /* in the connection's input; the body is there in one piece */
    size_t body_size;
    size_t end; /* of the request, in the input */
    struct http_chunks chunks;
    char *query; /* owned: decoded; what the arguments point into */
    struct exchange_argument arguments[EXCHANGE_ARGUMENTS_MAX];
    size_t argument_count;
    struct byte_buffer fields; /* of the answer, as lines */
    char *joined[4];           /* owned: values of repeated fields */
    bool is_head;              /* HEAD */
    bool is_page;              /* the answer has a policy of its own for what it may load */
    bool body_done;
    const char *address;
    char forwarded_address[ADDRESS_TEXT_BYTES];
    void (*gone)(void *data);
    void *gone_data;
    struct http_head head;
};

struct http_stream {
    struct http_stream_handlers handlers;
};

struct websocket;

struct http_connection {
    struct transport transport;
    struct http_server *server;
    struct http_connection *next;
    struct http_connection *previous;
    enum connection_state state;
    uint64_t deadline_ms; /* of the loop's clock; 0: none */
    struct byte_buffer input;
    struct byte_buffer ahead; /* what came while a request was being handled */
    struct exchange *exchange;
    struct http_stream stream;
    struct websocket *websocket;
    char address[ADDRESS_TEXT_BYTES];
    uint8_t address_key[RATE_LIMIT_KEY_BYTES]; /* when it is counted for its address */
    bool is_counted;
    bool is_tls;
    bool is_stream; /* it has been, since its exchange was answered by one */
    bool input_ended;
    bool paused;
    bool advancing;
};

/* ---- http_connection.c ---- */

/* Takes a connection from the listener. */
void http_connection_accept(struct http_server *server, uv_stream_t *listener);
/* Reads on, after an exchange has been answered as a whole. */
void http_connection_next(struct http_connection *connection);
/* The current answer is the last: closes when the client has it, or soon. */
void http_connection_finish(struct http_connection *connection);
/* At once. */
void http_connection_close(struct http_connection *connection);
/* Its deadline has come, or it makes no progress. */
void http_connection_timed_out(struct http_connection *connection);
/* The gateway stops: nothing new begins on it. */
void http_connection_drain(struct http_connection *connection);
/* Gives back what only requests need, when none is under way. */
void http_connection_trim(struct http_connection *connection);
void http_connection_set_deadline(struct http_connection *connection, uint64_t after_ms);

/* A stream or a WebSocket from now on: gives back what only requests need. */
void http_connection_become(struct http_connection *connection, enum connection_state state);

/* ---- exchange.c ---- */

/* The client's address. */
void exchange_find_address(struct exchange *exchange);
/* Decodes the query. 0, or -1 when the exchange has been refused. */
int exchange_read_query(struct exchange *exchange);
/* Gives back what it holds, for the next one. */
void exchange_clear(struct exchange *exchange);
/* The head of an answer that closes or keeps the connection; `length` SIZE_MAX: not known. */
struct shared_bytes *exchange_make_head(struct exchange *exchange, int code,
                                        const char *content_type, size_t length, bool close,
                                        size_t room);
/* Counts and logs it. */
void exchange_note_outcome(struct exchange *exchange, int code, size_t sent_bytes);
/* The client left before there was an answer. */
void exchange_lost(struct exchange *exchange);

/* ---- websocket.c ---- */

/* Refuses a handshake that is not as it must be, and returns -1. 0 also when it is none. */
int websocket_check(struct exchange *exchange);
void websocket_read(struct websocket *websocket, const char *bytes, size_t size);
void websocket_drained(struct websocket *websocket);
/* Once a tick: pings, deadlines. */
void websocket_tick(struct websocket *websocket, uint64_t now_ms);
/* The client has read nothing for too long: says so, for when it reads again. */
void websocket_stalled(struct websocket *websocket);
/* The connection is gone: tells, and frees it. */
void websocket_ended(struct websocket *websocket);

/* ---- http_server.c ---- */

struct gateway *http_server_gateway(struct http_server *server);
struct transport_pool *http_server_pool(struct http_server *server);
struct http_server_counts *http_server_tally(struct http_server *server);
/* A session for a connection of that listener; NULL without TLS. -1 when there is no memory. */
int http_server_tls(struct http_server *server, struct tls_session **session);
/* Counts it in; -1 when there are too many already, with what to answer. */
int http_server_add(struct http_server *server, struct http_connection *connection,
                    const char **refusal);
void http_server_remove(struct http_server *server, struct http_connection *connection);
/* "Sat, 28 Nov 2026 03:00:00 GMT", of this second. */
const char *http_server_date(struct http_server *server);

#endif
