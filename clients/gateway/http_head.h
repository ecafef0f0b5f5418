/*
 * The head of an HTTP/1 request, strictly (RFC 9112): what is not exactly right is refused, since
 * two programs that read the same bytes differently are how requests get smuggled past the first
 * one. No repair: no obs-fold, no bare LF, no white space before a colon, no second Content-Length
 * even if it says the same, no Content-Length beside Transfer-Encoding. Any thread; nothing is
 * allocated.
 */
#ifndef GATEWAY_HTTP_HEAD_H
#define GATEWAY_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_HEAD_FIELDS_MAX 128

/* A piece of the head: offsets, since the buffer that it is in moves. */
struct http_piece {
    uint32_t start;
    uint32_t size;
};

struct http_field {
    struct http_piece name; /* made lower case in the buffer */
    struct http_piece value;
};

struct http_head_limits {
    size_t bytes;
    size_t fields; /* at most HTTP_HEAD_FIELDS_MAX */
};

enum http_body_kind { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED };

/* All zero before the first byte of a head. */
struct http_head {
    struct http_piece method;
    struct http_piece path;  /* of an absolute-form target too; "*" for the asterisk-form */
    struct http_piece query; /* behind the '?', without it */
    struct http_piece host;  /* that of the target counts more than the field */
    bool is_absolute;
    unsigned minor; /* 0 or 1: HTTP/1.0 or 1.1 */
    struct http_field fields[HTTP_HEAD_FIELDS_MAX];
    size_t field_count;
    size_t size; /* all of it, with the empty line */

    enum http_body_kind body;
    uint64_t content_length;
    bool keep_alive; /* what the client wants */
    bool expects_continue;
    bool upgrade_websocket; /* Connection: upgrade, Upgrade: websocket */

    /* Of the reading. */
    size_t scanned; /* up to here lines have been read */
    size_t line;    /* where the line begins that is being looked at */
    bool has_request_line;
    bool has_host;
    bool has_length;
    bool has_coding;
    bool has_upgrade;
    bool wants_upgrade;
    bool wants_close;
    bool wants_keep_alive;
    int code;            /* of the refusal */
    const char *problem; /* for people; valid for ever */
};

enum http_head_result {
    HTTP_HEAD_MORE = 0, /* not all of it is there */
    HTTP_HEAD_DONE = 1,
    HTTP_HEAD_BAD = -1, /* `code` and `problem` say why; the connection cannot go on */
};

/*
 * Looks at the buffer, which begins with the head's first byte and has grown since the last call.
 * Whatever is behind the head is left alone.
 */
enum http_head_result http_head_read(struct http_head *head, const struct http_head_limits *limits,
                                     char *buffer, size_t size);

/* The first field of that lower-case name; NULL when there is none. */
const struct http_field *http_head_find(const struct http_head *head, const char *buffer,
                                        const char *name);
/* Whether a list such as Connection's holds the token, in either case. */
bool http_list_has(const char *value, size_t size, const char *token);
bool http_piece_is(const char *buffer, struct http_piece piece, const char *text);
/* tchar (RFC 9110, 5.6.2). */
bool http_is_token(const char *text, size_t size);

#endif
