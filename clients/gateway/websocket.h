/*
 * One WebSocket (RFC 6455) of text messages: the server's side, after the handshake.
 *
 * What is done here and need not be done again: the handshake with its checks (version, key,
 * Origin), masks, fragments, UTF-8, control frames, close codes; the limit of --max-message-bytes,
 * told from the frame's declared length before any of it is kept (1009); a message that is begun
 * and not ended within --body-timeout-ms (1008); binary messages (1003); a ping every
 * --ping-interval-ms, and an end when two of them went by in which nothing came from the client;
 * an end with 1008 for a client that has read nothing of what waits for it for --write-timeout-ms;
 * the close handshake, which the client has 5 seconds for; 1001 for all when the gateway stops.
 *
 * Threads: the loop's. A websocket is valid until `closed`, which comes exactly once, never from
 * within a function of this header, and after which nothing comes. Writes wait in memory as those
 * of an http_stream (exchange.h), with the same hard limits: look at websocket_pending.
 */
#ifndef GATEWAY_WEBSOCKET_H
#define GATEWAY_WEBSOCKET_H

#include "clients/gateway/exchange.h"

struct websocket;

#define WEBSOCKET_NORMAL 1000
#define WEBSOCKET_GOING_AWAY 1001
#define WEBSOCKET_PROTOCOL_ERROR 1002
#define WEBSOCKET_UNSUPPORTED 1003
#define WEBSOCKET_BAD_UTF8 1007
#define WEBSOCKET_POLICY 1008
#define WEBSOCKET_TOO_LARGE 1009
#define WEBSOCKET_INTERNAL 1011
#define WEBSOCKET_TRY_LATER 1013

struct websocket_handlers {
    void *data;
    /* A whole text message: valid UTF-8, which may hold NUL; followed by a NUL that does not
     * count. Valid for the call. */
    void (*message)(void *data, const char *text, size_t size);
    void (*drained)(void *data); /* nothing is waiting any more; or NULL */
    void (*closed)(void *data);  /* gone; the websocket is not valid any more */
};

/*
 * Ends the exchange, of a route with ROUTE_WEBSOCKET: with 101 and a websocket, or with 426 and
 * NULL when the request is no handshake; no callback comes in the latter case. Handshakes that are
 * not as they must be were refused before the route's handler was called; what is no handshake at
 * all is not, so that a page, which a browser does not tell why a WebSocket was refused, can ask
 * the same by a call: 426 means that nothing else is wrong.
 */
struct websocket *websocket_accept(struct exchange *exchange,
                                   const struct websocket_handlers *handlers);

/* A whole text message as it goes over the wire, to be made once for all who get it. `text` is
 * valid UTF-8. The caller is the holder. */
struct shared_bytes *websocket_frame(const char *text, size_t size);
/* Sends such a frame; holds it for as long as it needs it. Ignored once it is closing. */
void websocket_send(struct websocket *websocket, struct shared_bytes *frame);
size_t websocket_pending(const struct websocket *websocket);

/*
 * Begins to close, after what is waiting; `reason` (or NULL) is at most 123 bytes of UTF-8. No
 * message comes after it. A client that does not read is given 5 seconds.
 */
void websocket_close(struct websocket *websocket, int code, const char *reason);

/* No reading for now: for those who cannot take more messages. Pings are then not missed. */
void websocket_pause(struct websocket *websocket);
void websocket_resume(struct websocket *websocket);

#endif
