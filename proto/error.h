/*
 * Every way a request can be refused: reason, code and HTTP status text, in one table.
 * The id of an error is chat.<Method>.<Reason>.
 */
#ifndef PROTO_ERROR_H
#define PROTO_ERROR_H

#include "proto/arena.h"
#include <stddef.h>
#include <stdint.h>

#define CHAT_REASONS(X)                                                                            \
    X(MISSING_USER_IDS, 400, "MissingUserIDs")                                                     \
    X(MISSING_CHAT_ID, 400, "MissingChatID")                                                       \
    X(MISSING_USER_ID, 400, "MissingUserID")                                                       \
    X(MISSING_TEXT, 400, "MissingText")                                                            \
    X(INVALID_USER_ID, 400, "InvalidUserID")                                                       \
    X(INVALID_CLIENT_ID, 400, "InvalidClientID")                                                   \
    X(INVALID_SUBJECT, 400, "InvalidSubject")                                                      \
    X(INVALID_TEXT, 400, "InvalidText")                                                            \
    X(INVALID_RANGE, 400, "InvalidRange")                                                          \
    X(MALFORMED, 400, "Malformed")                                                                 \
    X(WRONG_USER, 403, "WrongUser")                                                                \
    X(NOT_A_MEMBER, 403, "NotAMember")                                                             \
    X(INVALID_CHAT_ID, 404, "InvalidChatID")                                                       \
    X(UNKNOWN_METHOD, 404, "UnknownMethod")                                                        \
    X(CLIENT_ID_REUSED, 409, "ClientIDReused")                                                     \
    X(TOO_LARGE, 413, "TooLarge")                                                                  \
    X(INTERNAL, 500, "Internal")                                                                   \
    X(OVERLOADED, 503, "Overloaded")                                                               \
    X(STORAGE_FULL, 507, "StorageFull")

enum chat_reason {
    CHAT_REASON_NONE = 0,
#define X(name, code, text) CHAT_##name,
    CHAT_REASONS(X)
#undef X
        CHAT_REASON_COUNT
};

/* Longest detail in bytes, with its NUL. Details hold no control characters: they go into a header.
 */
#define CHAT_ERROR_DETAIL_BYTES 256

struct chat_error {
    enum chat_reason reason;
    char detail[CHAT_ERROR_DETAIL_BYTES];
};

/*
 * Fills `error` and returns -1, so that a check can end with `return chat_error_set(…)`.
 * The detail says what is wrong and what would be right; it is cut at a character's border when
 * too long, and control characters in it (from input) become '?'.
 */
int chat_error_set(struct chat_error *error, enum chat_reason reason, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

int chat_error_code(enum chat_reason reason);           /* 400 … 507 */
const char *chat_error_reason(enum chat_reason reason); /* "MissingChatID" */
const char *chat_error_status(int code);                /* "Bad Request"; RFC 9110 and 4918 */

enum codec_format { CODEC_PROTOBUF, CODEC_JSON };

/*
 * The `Error` message for a reply, in either format, allocated in `arena`. `method` is "New",
 * "Send", "History" or another name of [A-Za-z0-9_-] as the caller wrote it. Returns 0, or -1 when
 * the arena is exhausted.
 */
int chat_error_encode(const struct chat_error *error, const char *method, enum codec_format format,
                      struct arena *arena, const uint8_t **bytes, size_t *size);

#endif
