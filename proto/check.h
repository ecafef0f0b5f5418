/*
 * The checks that the strings of a request must pass, each with the reason and the detail of its
 * refusal. Any thread; nothing is allocated.
 */
#ifndef PROTO_CHECK_H
#define PROTO_CHECK_H

#include "proto/error.h"
#include <stdbool.h>
#include <stddef.h>

/* One string of a request. */
struct check_text {
    const char *what; /* what details call it: "user_id" */
    const char *data; /* borrowed */
    size_t size;
    bool has_nul; /* found while decoding; `data` then ends before it, or shows it as '?' */
};

/* Each returns 0, or -1 and `error`. */

/* 1 to CODEC_ID_BYTES_MAX bytes of UTF-8 without control characters; otherwise `reason`. */
int check_id(const struct check_text *text, enum chat_reason reason, struct chat_error *error);
/* At most `bytes_max` bytes, otherwise TooLarge; UTF-8 without NUL, otherwise `reason`. */
int check_free_text(const struct check_text *text, size_t bytes_max, enum chat_reason reason,
                    struct chat_error *error);
/* A UUID, otherwise InvalidChatID. */
int check_chat_id(const struct check_text *text, struct chat_error *error);

#endif
