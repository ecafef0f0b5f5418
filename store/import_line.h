/*
 * One line of an import (export.h): read, parsed and checked by itself, against the limits that the
 * service has. Any thread; only reading blocks.
 */
#ifndef STORE_IMPORT_LINE_H
#define STORE_IMPORT_LINE_H

#include "store/command.h"
#include "store/database.h"
#include "store/status.h"
#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* More than any line that is exported: a request of 256 KiB, all of it escaped, and its names. */
#define IMPORT_LINE_BYTES_MAX ((size_t)16 << 20)

struct import_text {
    char *bytes; /* malloc'd; the caller's to free */
    size_t size;
    size_t capacity;
};

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

/*
 * Reads the next line, without its end, into `text`, which is used again from line to line. Returns
 * 0; STORE_NOT_FOUND at the end; STORE_FORMAT when the line is too long to be one, STORE_IO or
 * STORE_NO_MEMORY, with `failure`.
 */
int import_line_read(struct import_text *text, FILE *in, struct store_failure *failure);

/* Returns 0; STORE_FORMAT with what is wrong in `failure`; or STORE_NO_MEMORY. To be freed in any
 * case. */
int import_line_parse(struct import_line *line, const char *text, size_t size,
                      struct store_failure *failure);
void import_line_free(struct import_line *line);

#endif
