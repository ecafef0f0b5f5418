/*
 * Requests to bytes and responses from bytes, in protobuf's wire format (proto/chat.proto).
 * Reading is safe on any input and copies into memory that the caller gives or frees. Any thread.
 */
#ifndef LIBCHAT_WIRE_FORM_H
#define LIBCHAT_WIRE_FORM_H

#include "clients/libchat/chat.h"

/* Each returns how many bytes it takes, and writes them unless `out` is NULL. */
size_t wire_form_new(const struct chat_new_options *options, uint8_t *out);
size_t wire_form_send(const struct chat_send_options *options, uint8_t *out);
size_t wire_form_history(const struct chat_history_options *options, uint8_t *out);

/*
 * Reads a stored message. Its strings go to `text`, which has as many bytes as the message;
 * `bytes` are borrowed by it. Returns 0, or -1 when it does not decode, has no seq, or a string is
 * no UTF-8 or holds NUL.
 */
int wire_form_read_message(const uint8_t *bytes, size_t size, char *text,
                           struct chat_message *message);

/* Reads the seq of a stored message and nothing else; 0 when there is none. */
uint64_t wire_form_read_seq(const uint8_t *bytes, size_t size);

/*
 * Read a response into the result of a call, which borrows `bytes`. What else it takes is one block
 * of memory, `*memory`, for the caller to free; NULL for none. Return CHAT_OK, CHAT_EPROTO
 * or CHAT_ENOMEM.
 */
int wire_form_read_new(const uint8_t *bytes, size_t size, struct chat_call *call, void **memory);
int wire_form_read_send(const uint8_t *bytes, size_t size, struct chat_call *call, void **memory);
int wire_form_read_history(const uint8_t *bytes, size_t size, struct chat_call *call,
                           void **memory);

/* The two texts of an Error, cut to their sizes; "" for what is not there or not printable. */
void wire_form_read_error(const uint8_t *bytes, size_t size, char *id, size_t id_size, char *detail,
                          size_t detail_size);

#endif
