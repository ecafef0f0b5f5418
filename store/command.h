/*
 * Commands: what the journal's records say. A command holds all that applying it needs (ids and
 * times included), so that the same journal always gives the same state.
 *
 * Version 1, byte by byte; integers are little-endian:
 *
 *   New (kind 1)     16  the UUID of the chat, should it be made
 *                     8  the time of it, nanoseconds since 1970
 *                     1  size of the namespace's name, 1 to 64
 *                     n  the namespace's name
 *                     …  the users, distinct and sorted by their bytes: for each u8 size, 1 to 128,
 * then the bytes
 *
 *   Send (kind 2)     …  the Message in protobuf's wire form, its fields in ascending order,
 * without `seq`: applying the command appends that field and has the stored message
 *
 * A new kind of command takes the next number. A changed one does too: old kinds stay readable for
 * as long as a journal may hold them. A kind that is not known stops recovery.
 */
#ifndef STORE_COMMAND_H
#define STORE_COMMAND_H

#include "base/uuid.h"
#include "store/database.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum command_kind { COMMAND_NEW = 1, COMMAND_SEND = 2 };

#define COMMAND_USER_BYTES_MAX 128

struct command_new {
    struct uuid chat_id;
    uint64_t created_ns;
    const char *namespace_name; /* not NUL-terminated */
    size_t namespace_size;
    const uint8_t *users;
    size_t users_size;
};

size_t command_new_size(size_t namespace_size, size_t users_size);
void command_new_write(const struct command_new *command, uint8_t *out);
/* Borrows from `bytes`. False when they are no such command. */
bool command_new_read(const uint8_t *bytes, size_t size, struct command_new *command);

/* The users in their stored form, from sorted, distinct ids. */
size_t command_users_size(char *const *user_ids, size_t count);
void command_users_write(char *const *user_ids, size_t count, uint8_t *out);
/* Whether `user_id` is among users in their stored form. */
bool command_users_contain(const uint8_t *users, size_t size, const char *user_id);

struct command_text {
    const char *data; /* not NUL-terminated; NULL when the field is absent */
    size_t size;
};

/* A Message's parts, borrowed from its bytes. */
struct command_message {
    struct command_text id;
    struct command_text client_id;
    struct command_text chat_id;
    struct command_text user_id;
    struct command_text subject;
    struct command_text text;
    uint64_t seq; /* 0 in a command */
};

/* The strings of a Send with their sizes, measured once. */
struct command_send {
    struct uuid id;
    struct uuid chat_id;
    uint64_t sent_ns;
    struct command_text client_id;
    struct command_text user_id;
    struct command_text subject;
    struct command_text text;
};

size_t command_send_size(const struct command_send *command);
/* Writes exactly command_send_size bytes. */
void command_send_write(const struct command_send *command, uint8_t *out);

/* Reads a stored Message or a Send command's payload. False when it is neither. */
bool command_message_read(const uint8_t *bytes, size_t size, struct command_message *message);

/* When it was sent, in nanoseconds since 1970. False when that cannot be read. */
bool command_message_sent_ns(const uint8_t *bytes, size_t size, uint64_t *sent_ns);

/* The most that appending `seq` adds. */
#define COMMAND_SEQ_BYTES_MAX 11
/* Appends the field `seq` at `out`; returns how many bytes that took. */
size_t command_seq_write(uint64_t seq, uint8_t *out);

#endif
