/*
 * One line of an import (export.h): parsed and checked by itself, against the limits that the
 * service has. Pure functions; any thread.
 */
#ifndef STORE_IMPORT_LINE_H
#define STORE_IMPORT_LINE_H

#include "store/command.h"
#include "store/database.h"
#include "store/status.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

enum import_line_kind {
    IMPORT_LINE_EXPORT,
    IMPORT_LINE_CHAT,
    IMPORT_LINE_MESSAGE,
    IMPORT_LINE_END,
};

/* Strings are valid until import_line_free. */
struct import_line {
    json_t *json;
    enum import_line_kind kind;
    struct uuid chat_id; /* of a chat or a message */

    const char *namespace_name; /* of a chat */
    uint64_t created_ns;
    uint8_t *users; /* in stored form; malloc'd */
    size_t users_size;
    uint64_t head_seq;

    struct command_send message; /* of a message */
    uint64_t seq;

    uint64_t chats; /* of the end */
    uint64_t messages;
};

/* Returns 0; STORE_FORMAT with what is wrong in `failure`; or STORE_NO_MEMORY. To be freed in any
 * case. */
int import_line_parse(struct import_line *line, const char *text, size_t size,
                      struct store_failure *failure);
void import_line_free(struct import_line *line);

#endif
