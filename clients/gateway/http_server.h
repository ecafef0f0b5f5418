/*
 * The listening sockets, all connections, and what holds for all of them: how many there may be,
 * how long each may take, and the end. For the loop's thread.
 */
#ifndef GATEWAY_HTTP_SERVER_H
#define GATEWAY_HTTP_SERVER_H

#include "clients/gateway/gateway.h"

struct http_server;

/* For metrics: what there is now, and what has been since the start. */
struct http_server_counts {
    uint64_t connections; /* open, of any kind */
    uint64_t websockets;
    uint64_t streams;
    uint64_t accepted;       /* connections ever */
    uint64_t refused;        /* because there were too many, in all or of their address */
    uint64_t malformed;      /* requests that were none (400, 431, 501, 505, …) */
    uint64_t timed_out;      /* too slow: head, body or reading the answer */
    uint64_t messages_in;    /* of WebSockets */
    uint64_t frames_out;     /* to WebSockets */
    uint64_t received_bytes; /* all of it */
    uint64_t sent_bytes;
};

struct http_server_counts http_server_counts(const struct http_server *server);

/* Listens as the settings say. Returns the server, or NULL when it has said by LOG_ERROR what is
 * wrong. */
struct http_server *http_server_start(struct gateway *gateway);
/* The port of the i-th address that was given. */
int http_server_port(const struct http_server *server, size_t i);
/* Takes new certificates from the files, or keeps the old ones and says so. */
void http_server_reload(struct http_server *server);
/*
 * Takes no new connections, ends the idle ones, the streams and the WebSockets (1001), lets
 * exchanges under way finish, and closes what is left after --drain-timeout-ms. Then `drained`
 * comes.
 */
void http_server_drain(struct http_server *server, void (*drained)(void *data), void *data);
/* After `drained`: gives back what is left. */
void http_server_free(struct http_server *server);

#endif
