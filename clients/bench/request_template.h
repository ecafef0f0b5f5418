/*
 * The bytes of requests, made once and patched for each request: what differs has the same length
 * every time. And the other direction: what the load generator has to know of a reply, read field
 * by field without unpacking it. Pure; one thread for each template.
 */
#ifndef CLIENTS_BENCH_REQUEST_TEMPLATE_H
#define CLIENTS_BENCH_REQUEST_TEMPLATE_H

#include "base/uuid.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are that many hexadecimal digits. */
#define TEMPLATE_NUMBER_BYTES 12
/* A client id is the first 24 characters of a UUID, the same for a run, and a number. */
#define TEMPLATE_PREFIX_BYTES (UUID_TEXT_BYTES - TEMPLATE_NUMBER_BYTES)
#define TEMPLATE_TEXT_MAX (64 * 1024)
#define TEMPLATE_USER "bench"

/* A text begins with the message's number, if it is long enough; the rest is the same for all. */
struct send_template {
    char prefix[TEMPLATE_PREFIX_BYTES];
    size_t text_bytes;
    size_t size;
    uint8_t *client_number;
    uint8_t *chat_id;
    uint8_t *text; /* NULL: no room for a number */
    uint8_t bytes[TEMPLATE_TEXT_MAX + 256];
};

/* `text_bytes` is 1 to TEMPLATE_TEXT_MAX. The prefix comes from a fresh UUID. */
void send_template_init(struct send_template *t, size_t text_bytes);
void send_template_set(struct send_template *t, const char chat_id[UUID_TEXT_BYTES],
                       uint64_t number);

/* NewRequest of two users, TEMPLATE_USER and `prefix` with a number behind it. */
struct new_template {
    size_t size;
    uint8_t *number;
    uint8_t bytes[128];
};
void new_template_init(struct new_template *t, const char *prefix);
void new_template_set(struct new_template *t, uint64_t number);

/* HistoryRequest; numbers that are 0 are left out. Returns its size. */
#define HISTORY_REQUEST_BYTES 96
size_t history_request_put(uint8_t bytes[HISTORY_REQUEST_BYTES],
                           const char chat_id[UUID_TEXT_BYTES], uint64_t from_seq, uint64_t limit);

/* Digits of a number, and back; false when they are none. */
void template_put_number(void *to, uint64_t number);
bool template_get_number(const void *from, uint64_t *number);

/* ---- Replies ---- */

struct reply_message {
    const uint8_t *client_id;
    size_t client_id_bytes;
    const uint8_t *text;
    size_t text_bytes;
    uint64_t seq;
};
struct reply_send {
    const uint8_t *message; /* its wire form */
    size_t message_bytes;
    bool duplicate;
};
struct reply_history {
    uint64_t messages;
    uint64_t head_seq;
    bool more;
};

/* Each returns false when the bytes are no such reply. What points points into the bytes. */
bool reply_read_message(const uint8_t *bytes, size_t size, struct reply_message *message);
bool reply_read_send(const uint8_t *bytes, size_t size, struct reply_send *reply);
bool reply_read_new(const uint8_t *bytes, size_t size, char chat_id[UUID_TEXT_BYTES],
                    bool *created);
/* `each` is called for each message, unless it is NULL; it may end it by returning false. */
bool reply_read_history(const uint8_t *bytes, size_t size, struct reply_history *reply,
                        bool (*each)(void *data, const uint8_t *message, size_t message_bytes),
                        void *data);

/*
 * Fills `bytes` with a reply of exactly `size` bytes that holds `records` length-delimited fields 1
 * and nothing else: for readers, a reply of the service's. False when that does not go: a record
 * takes 2 bytes.
 */
bool reply_fill(uint8_t *bytes, size_t size, size_t records);

#endif
