/*
 * Requests from bytes, checked; replies to bytes; in protobuf and in JSON.
 *
 * Decoding is safe on hostile input: the size is capped first; framing, wire types and group
 * nesting are then walked without recursion, and only the fields that the message has are given to
 * protobuf-c, which unpacks them into a bounded arena; strings are checked last (UTF-8, NUL,
 * control characters, lengths). A decoded request needs no further checks but those that need the
 * store. One thread per arena.
 */
#ifndef PROTO_CODEC_H
#define PROTO_CODEC_H

#include "chat.pb-c.h"
#include "proto/arena.h"
#include "proto/error.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits that are part of the contract. */
#define CODEC_REQUEST_BYTES_MAX ((size_t)256 * 1024)
#define CODEC_TEXT_BYTES_MAX ((size_t)64 * 1024) /* default */
#define CODEC_SUBJECT_BYTES_MAX 1024
#define CODEC_ID_BYTES_MAX 128
#define CODEC_USERS_MAX 1000 /* default */
/* A request may hold so many times more values than users are allowed, all repeats included; more
 * are TooLarge before they cost anything. */
#define CODEC_REPEATS_MAX 10
#define CODEC_HISTORY_DEFAULT 50
#define CODEC_HISTORY_MAX 1000
/* What an arena for decoding needs at most, for any input that is within the request limit. */
#define CODEC_ARENA_BYTES ((size_t)32 * 1024 * 1024)

struct codec_limits {
    size_t request_bytes;
    size_t text_bytes;
    size_t users;
};

/*
 * The three decoders. Each returns 0 and a request in `arena` (valid until its reset), or -1 and
 * `error`. Strings of a request are never NULL, and NUL-terminated.
 *
 * Order of checks: size (TooLarge), decoding (Malformed), missing fields in field order of the
 * contract's table (chat_id, user_id, text), then form: ids 1 to 128 bytes, UTF-8 and without
 * control characters (Invalid…ID); subject and text UTF-8 without NUL (InvalidSubject,
 * InvalidText) and within their limits (TooLarge); a chat_id that is no UUID is InvalidChatID.
 */
/* user_ids come back sorted by their bytes, and distinct. An empty id is InvalidUserID. */
int codec_decode_new(const uint8_t *bytes, size_t size, enum codec_format format,
                     const struct codec_limits *limits, struct arena *arena,
                     Chat__NewRequest **request, struct chat_error *error);
/* With `acting_user` (or NULL), an empty user_id is filled in from it instead of missing. */
int codec_decode_send(const uint8_t *bytes, size_t size, enum codec_format format,
                      const struct codec_limits *limits, const char *acting_user,
                      struct arena *arena, Chat__SendRequest **request, struct chat_error *error);
/* `limit` comes back as 1 to 1000; from_seq > before_seq > 0 is InvalidRange. */
int codec_decode_history(const uint8_t *bytes, size_t size, enum codec_format format,
                         const struct codec_limits *limits, struct arena *arena,
                         Chat__HistoryRequest **request, struct chat_error *error);

/* Checks a user id from elsewhere (a header) as those of requests are. 0, or -1 and `error`. */
int codec_check_user_id(const char *data, size_t size, const char *what, struct chat_error *error);

/* One stored message: its wire form, exactly as it is in the journal, the store and events. */
struct codec_record {
    const uint8_t *data;
    size_t size;
};

/*
 * The three replies, in `arena` (valid until its reset). Messages go out as their stored bytes:
 * nothing is decoded for protobuf. Return 0, or -1 when the arena is exhausted (or, for JSON, a
 * record does not decode).
 */
int codec_encode_new(const char *chat_id, bool created, enum codec_format format,
                     struct arena *arena, const uint8_t **bytes, size_t *size);
int codec_encode_send(const struct codec_record *message, bool duplicate, enum codec_format format,
                      struct arena *arena, const uint8_t **bytes, size_t *size);

/*
 * `records` are in ascending seq. The reply is kept within `max_bytes` by leaving out records
 * from the end, or from the front when `keep_newest`; `more` is then set. When not even one
 * record fits, returns -2 and nothing else.
 */
int codec_encode_history(const struct codec_record *records, size_t count, uint64_t head_seq,
                         bool more, bool keep_newest, size_t max_bytes, enum codec_format format,
                         struct arena *arena, const uint8_t **bytes, size_t *size);

/* A HistoryResponse in protobuf whose messages are there already: writes what comes behind them to
 * `end`, CODEC_HISTORY_END_BYTES at most, and returns how many bytes that were. */
#define CODEC_HISTORY_END_BYTES 13
size_t codec_end_history(uint8_t *end, uint64_t head_seq, bool more);

#endif
