/*
 * wslay reads frames and knows the protocol; it answers pings and closes by itself, and says with
 * which code what is wrong is to be closed. It pulls its input from what the transport has just
 * read. What we send are whole frames that are made once and shared, behind wslay's back: its own
 * control frames are whole as well, so that the two can be mixed.
 *
 *     OPEN ──(websocket_close, a mistake of the client)──▶ CLOSING ──▶ CLOSED
 *       └────────────(the client's close, answered)───────────────────────┘
 *
 * In CLOSING our close frame is on its way, and the client's is waited for, CLOSE_MS long.
 */
#include "clients/gateway/websocket.h"

#include "base/log.h"
#include "clients/gateway/cors.h"
#include "clients/gateway/http_connection.h"
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

#define CLOSE_MS 5000
#define KEY_BYTES 24 /* of 16 random bytes in base64 */
#define PENDING_BYTES_MAX ((size_t)16 * 1024 * 1024)
/* Of answers to pings; who does not read them is not read from, either. */
#define PONGS_BYTES_MAX ((size_t)64 * 1024)
/* Each piece of a message costs some 80 bytes until the last one is there, however small it is. */
#define PIECES_MAX 4096

struct websocket {
    struct http_connection *connection;
    struct websocket_handlers handlers;
    wslay_event_context_ptr frames;
    const char *input; /* of the read that is going on */
    size_t input_size;
    struct byte_buffer spoken; /* by wslay, on its way to the transport */
    bool message_begun;
    bool closing; /* a close frame of ours has been queued */
    bool reading;
    bool paused;            /* by its owner */
    bool choked;            /* by pongs that are not read */
    bool ended;             /* closing the connection */
    uint64_t message_bytes; /* of its frames so far, as they were declared */
    unsigned message_pieces;
    unsigned silent_pings;
    uint64_t next_ping_ms;
    uint64_t message_deadline_ms; /* 0: no message has begun */
};

/* ---- The handshake ---- */

static int refuse(struct exchange *exchange, int code, const char *detail)
{
    exchange_fail(exchange, code, "gateway.BadHandshake", "%s", detail);
    return -1;
}

static bool is_handshake(const struct exchange *exchange)
{
    return exchange->head.upgrade_websocket && !exchange->is_head;
}

int websocket_check(struct exchange *exchange)
{
    const char *version = exchange_header(exchange, "sec-websocket-version");
    const char *key = exchange_header(exchange, "sec-websocket-key");
    unsigned char decoded[KEY_BYTES];

    if (!is_handshake(exchange))
        return 0;
    if (exchange->head.body != HTTP_BODY_NONE)
        return refuse(exchange, 400, "a WebSocket handshake has no body");
    if (version == NULL || strcmp(version, "13") != 0) {
        exchange_add_field(exchange, "Sec-WebSocket-Version", "13");
        return refuse(exchange, 426, "Sec-WebSocket-Version must be 13");
    }
    if (key == NULL || strlen(key) != KEY_BYTES || strcmp(key + KEY_BYTES - 2, "==") != 0 ||
        EVP_DecodeBlock(decoded, (const unsigned char *)key, KEY_BYTES) != KEY_BYTES / 4 * 3)
        return refuse(exchange, 400, "Sec-WebSocket-Key must be 16 bytes in base64, given once");
    if (!cors_allows_websocket(exchange))
        return refuse(exchange, 403,
                      "pages of this origin may not connect; --cors-origin lists those that may");
    return 0;
}

static void make_accept(const char *key, char accept[32])
{
    static const char magic[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455, 1.3 */
    char text[KEY_BYTES + sizeof magic];
    unsigned char digest[SHA_DIGEST_LENGTH];

    memcpy(text, key, KEY_BYTES);
    memcpy(text + KEY_BYTES, magic, sizeof magic);
    SHA1((const unsigned char *)text, sizeof text - 1, digest);
    EVP_EncodeBlock((unsigned char *)accept, digest, sizeof digest);
}

static void send_switch(struct exchange *exchange)
{
    char accept[32];
    char head[160];
    struct shared_bytes *bytes;
    int size;

    make_accept(exchange_header(exchange, "sec-websocket-key"), accept);
    size = snprintf(head, sizeof head,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                    "Connection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n",
                    accept);
    bytes = shared_bytes_make((size_t)size);
    memcpy(bytes->data, head, (size_t)size);
    transport_write(&exchange->connection->transport, bytes);
}

/* ---- What wslay asks for ---- */

static ssize_t on_recv(wslay_event_context_ptr frames, uint8_t *buf, size_t size, int flags,
                       void *data)
{
    struct websocket *websocket = data;
    size_t taken = websocket->input_size < size ? websocket->input_size : size;

    (void)flags;
    if (taken == 0) {
        wslay_event_set_error(frames, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    memcpy(buf, websocket->input, taken);
    websocket->input += taken;
    websocket->input_size -= taken;
    return (ssize_t)taken;
}

static ssize_t on_send(wslay_event_context_ptr frames, const uint8_t *bytes, size_t size, int flags,
                       void *data)
{
    struct websocket *websocket = data;

    (void)frames;
    (void)flags;
    byte_buffer_append(&websocket->spoken, (const char *)bytes, size);
    return (ssize_t)size;
}

/* What a frame's head says already, so that nothing is kept of what is too large. */
static void check_frame(struct websocket *websocket,
                        const struct wslay_event_on_frame_recv_start_arg *frame)
{
    const struct gateway_settings *settings =
        http_server_gateway(websocket->connection->server)->settings;

    if (frame->opcode == WSLAY_BINARY_FRAME) {
        websocket_close(websocket, WEBSOCKET_UNSUPPORTED, "messages are text");
    } else if (frame->opcode == WSLAY_CONNECTION_CLOSE && frame->payload_length == 1) {
        websocket_close(websocket, WEBSOCKET_PROTOCOL_ERROR, "half a close code");
    } else if (!wslay_is_ctrl_frame(frame->opcode)) {
        if (frame->opcode == WSLAY_TEXT_FRAME) {
            websocket->message_bytes = 0;
            websocket->message_pieces = 0;
        }
        /* What would overflow is larger than any limit. */
        websocket->message_bytes += frame->payload_length & INT64_MAX;
        if (websocket->message_bytes > settings->max_message_bytes)
            websocket_close(websocket, WEBSOCKET_TOO_LARGE, "the message is too large");
        if (++websocket->message_pieces > PIECES_MAX) {
            websocket_close(websocket, WEBSOCKET_POLICY, "the message comes in too many pieces");
            wslay_event_shutdown_read(websocket->frames);
        }
    }
}

static void on_frame_start(wslay_event_context_ptr frames,
                           const struct wslay_event_on_frame_recv_start_arg *frame, void *data)
{
    struct websocket *websocket = data;
    uint64_t patience =
        http_server_gateway(websocket->connection->server)->settings->body_timeout_ms;

    (void)frames;
    check_frame(websocket, frame);
    if (websocket->message_deadline_ms == 0)
        websocket->message_deadline_ms =
            uv_now(websocket->connection->transport.pool->loop) + patience;
    if (!wslay_is_ctrl_frame(frame->opcode))
        websocket->message_begun = !frame->fin;
}

static void on_frame_end(wslay_event_context_ptr frames, void *data)
{
    struct websocket *websocket = data;

    (void)frames;
    if (!websocket->message_begun)
        websocket->message_deadline_ms = 0;
}

static void on_message(wslay_event_context_ptr frames,
                       const struct wslay_event_on_msg_recv_arg *message, void *data)
{
    struct websocket *websocket = data;

    (void)frames;
    if (message->opcode != WSLAY_TEXT_FRAME || websocket->closing)
        return;
    http_server_tally(websocket->connection->server)->messages_in++;
    websocket->handlers.message(websocket->handlers.data, (const char *)message->msg,
                                message->msg_length);
}

/* ---- Reading ---- */

static void let_read(struct websocket *websocket, bool paused, bool choked)
{
    bool was_reading = !websocket->paused && !websocket->choked;

    websocket->paused = paused;
    websocket->choked = choked;
    if (websocket->ended || was_reading == (!paused && !choked))
        return;
    if (was_reading)
        transport_pause(&websocket->connection->transport);
    else
        transport_resume(&websocket->connection->transport);
}

static void end(struct websocket *websocket)
{
    if (websocket->ended)
        return;
    let_read(websocket, false, false);
    websocket->ended = true;
    http_connection_finish(websocket->connection);
}

/* In one piece, however many pongs it is. */
static void pass_on(struct websocket *websocket)
{
    struct shared_bytes *bytes;

    if (websocket->spoken.size == 0)
        return;
    bytes = shared_bytes_make(websocket->spoken.size);
    memcpy(bytes->data, websocket->spoken.data, bytes->size);
    byte_buffer_free(&websocket->spoken);
    transport_write(&websocket->connection->transport, bytes);
    if (websocket_pending(websocket) > PONGS_BYTES_MAX)
        let_read(websocket, websocket->paused, true);
}

/* Lets wslay send what it has to say: pongs and the close frame. */
static void speak(struct websocket *websocket)
{
    bool was_closing = websocket->closing;

    if (websocket->ended)
        return;
    if (wslay_event_send(websocket->frames) != 0) {
        http_connection_close(websocket->connection);
        return;
    }
    pass_on(websocket);
    if (!wslay_event_get_close_sent(websocket->frames))
        return;
    websocket->closing = true;
    /* wslay stops reading at the client's close frame, and at what breaks the protocol. */
    if (!wslay_event_get_read_enabled(websocket->frames))
        end(websocket);
    else if (!was_closing || websocket->connection->deadline_ms == 0)
        http_connection_set_deadline(websocket->connection, CLOSE_MS);
}

/* Of some mistakes, such as a fragmented ping, wslay says no more than that they are. */
static void break_off(struct websocket *websocket)
{
    static const uint8_t frame[] = {0x88, 2, WEBSOCKET_PROTOCOL_ERROR >> 8,
                                    WEBSOCKET_PROTOCOL_ERROR & 0xff};
    struct shared_bytes *bytes = shared_bytes_make(sizeof frame);

    memcpy(bytes->data, frame, sizeof frame);
    if (websocket->closing)
        shared_bytes_drop(bytes);
    else
        transport_write(&websocket->connection->transport, bytes);
    websocket->closing = true;
    end(websocket);
}

void websocket_read(struct websocket *websocket, const char *bytes, size_t size)
{
    if (websocket->ended)
        return;
    websocket->silent_pings = 0;
    websocket->input = bytes;
    websocket->input_size = size;
    websocket->reading = true;
    if (wslay_event_recv(websocket->frames) != 0)
        break_off(websocket);
    websocket->reading = false;
    speak(websocket);
}

/* ---- Beginning and end ---- */

static int make_frames(struct websocket *websocket, uint64_t message_bytes_max)
{
    const struct wslay_event_callbacks callbacks = {.recv_callback = on_recv,
                                                    .send_callback = on_send,
                                                    .on_frame_recv_start_callback = on_frame_start,
                                                    .on_frame_recv_end_callback = on_frame_end,
                                                    .on_msg_recv_callback = on_message};

    if (wslay_event_context_server_init(&websocket->frames, &callbacks, websocket) != 0)
        return -1;
    wslay_event_config_set_max_recv_msg_length(websocket->frames, message_bytes_max);
    return 0;
}

struct websocket *websocket_accept(struct exchange *exchange,
                                   const struct websocket_handlers *handlers)
{
    struct http_connection *connection = exchange->connection;
    const struct gateway_settings *settings = exchange_gateway(exchange)->settings;
    struct websocket *websocket;

    if (!is_handshake(exchange)) {
        exchange_add_field(exchange, "Upgrade", "websocket");
        (void)refuse(exchange, 426, "this path is for WebSockets: connect to it with one");
        return NULL;
    }
    websocket = calloc(1, sizeof *websocket);
    if (websocket == NULL)
        abort();
    websocket->connection = connection;
    websocket->handlers = *handlers;
    websocket->next_ping_ms = uv_now(connection->transport.pool->loop) + settings->ping_interval_ms;
    if (make_frames(websocket, settings->max_message_bytes) != 0)
        abort();
    send_switch(exchange);
    exchange_note_outcome(exchange, 101, 0);
    connection->websocket = websocket;
    http_server_tally(connection->server)->websockets++;
    http_connection_become(connection, CONNECTION_WEBSOCKET);
    return websocket;
}

void websocket_ended(struct websocket *websocket)
{
    void (*closed)(void *data) = websocket->handlers.closed;
    void *data = websocket->handlers.data;

    websocket->connection->websocket = NULL;
    http_server_tally(websocket->connection->server)->websockets--;
    wslay_event_context_free(websocket->frames);
    byte_buffer_free(&websocket->spoken);
    free(websocket);
    closed(data);
}

void websocket_close(struct websocket *websocket, int code, const char *reason)
{
    const char *text = reason == NULL ? "" : reason;

    if (websocket->closing || websocket->ended)
        return;
    websocket->closing = true;
    http_connection_set_deadline(websocket->connection, CLOSE_MS);
    (void)wslay_event_queue_close(websocket->frames, (uint16_t)code, (const uint8_t *)text,
                                  strlen(text));
    if (!websocket->reading)
        speak(websocket);
}

/* ---- Sending ---- */

/* RFC 6455, 5.2: FIN and the opcode, no mask, the length in 7 bits, or 16, or 64. */
static size_t put_frame_head(uint8_t *out, unsigned opcode, size_t size)
{
    size_t length_bytes = size < 126 ? 0 : size <= 0xffff ? 2 : 8;

    out[0] = (uint8_t)(0x80 | opcode);
    out[1] = (uint8_t)(length_bytes == 0 ? size : length_bytes == 2 ? 126 : 127);
    for (size_t i = 0; i < length_bytes; i++)
        out[2 + i] = (uint8_t)((uint64_t)size >> (8 * (length_bytes - 1 - i)));
    return 2 + length_bytes;
}

struct shared_bytes *websocket_frame(const char *text, size_t size)
{
    struct shared_bytes *frame = shared_bytes_make(size + 10);
    size_t head = put_frame_head(frame->data, WSLAY_TEXT_FRAME, size);

    memcpy(frame->data + head, text, size);
    frame->size = head + size;
    return frame;
}

void websocket_send(struct websocket *websocket, struct shared_bytes *frame)
{
    struct http_connection *connection = websocket->connection;

    if (websocket->closing || websocket->ended)
        return;
    http_server_tally(connection->server)->frames_out++;
    transport_write(&connection->transport, shared_bytes_hold(frame));
}

size_t websocket_pending(const struct websocket *websocket)
{
    return websocket->connection->transport.pending;
}

void websocket_drained(struct websocket *websocket)
{
    let_read(websocket, websocket->paused, false);
    if (!websocket->closing && !websocket->ended && websocket->handlers.drained != NULL)
        websocket->handlers.drained(websocket->handlers.data);
}

void websocket_pause(struct websocket *websocket)
{
    let_read(websocket, true, websocket->choked);
}

void websocket_resume(struct websocket *websocket)
{
    let_read(websocket, false, websocket->choked);
}

/* ---- Time ---- */

/* Who is not read from cannot answer. */
static void ping(struct websocket *websocket, uint64_t now_ms)
{
    const struct gateway_settings *settings =
        http_server_gateway(websocket->connection->server)->settings;
    struct shared_bytes *frame;

    websocket->next_ping_ms = now_ms + settings->ping_interval_ms;
    if (websocket->silent_pings >= 2 && !websocket->paused && !websocket->choked) {
        http_server_tally(websocket->connection->server)->timed_out++;
        http_connection_close(websocket->connection);
        return;
    }
    websocket->silent_pings++;
    frame = shared_bytes_make(2);
    frame->size = put_frame_head(frame->data, WSLAY_PING, 0);
    transport_write(&websocket->connection->transport, frame);
}

void websocket_tick(struct websocket *websocket, uint64_t now_ms)
{
    if (websocket->closing || websocket->ended)
        return;
    if (websocket->connection->transport.pending > PENDING_BYTES_MAX) {
        http_connection_close(websocket->connection);
    } else if (websocket->message_deadline_ms != 0 && now_ms >= websocket->message_deadline_ms &&
               !websocket->paused && !websocket->choked) {
        http_server_tally(websocket->connection->server)->timed_out++;
        websocket_close(websocket, WEBSOCKET_POLICY, "the message did not end in time");
    } else if (now_ms >= websocket->next_ping_ms) {
        ping(websocket, now_ms);
    }
}

void websocket_stalled(struct websocket *websocket)
{
    if (websocket->closing || websocket->ended)
        return;
    http_server_tally(websocket->connection->server)->timed_out++;
    LOG_INFO("websocket.slow", log_text("address", websocket->connection->address),
             log_u64("pending_bytes", websocket_pending(websocket)));
    websocket_close(websocket, WEBSOCKET_POLICY, "what was sent has not been read for too long");
}
