/*
 * Line by line, each as soon as its CRLF is there, so that what is wrong is refused at once and a
 * head that comes byte by byte is looked at once only.
 *
 *     GET /chat/History?chat_id=… HTTP/1.1 CRLF     read_request_line
 *     Host: chat.example CRLF                       read_field ─▶ note_field: those that decide
 *     CRLF                                          finish        how the connection goes on
 */
#include "clients/gateway/http_head.h"

#include <string.h>

/* Longer than any that there is. */
#define METHOD_BYTES_MAX 32
#define TARGET_BYTES_MAX 8192
/* More digits than the largest body that a limit could allow; fewer than what overflows. */
#define LENGTH_DIGITS_MAX 18

static enum http_head_result bad(struct http_head *head, int code, const char *problem)
{
    head->code = code;
    head->problem = problem;
    return HTTP_HEAD_BAD;
}

static bool is_tchar(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

bool http_is_token(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!is_tchar((unsigned char)text[i]))
            return false;
    }
    return size > 0;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_word(const char *text, size_t size, const char *word)
{
    for (size_t i = 0; i < size; i++) {
        if (word[i] == '\0' || lower(text[i]) != lower(word[i]))
            return false;
    }
    return word[size] == '\0';
}

bool http_piece_is(const char *buffer, struct http_piece piece, const char *text)
{
    return strlen(text) == piece.size && memcmp(buffer + piece.start, text, piece.size) == 0;
}

bool http_list_has(const char *value, size_t size, const char *token)
{
    size_t start = 0;

    for (size_t i = 0; i <= size; i++) {
        size_t end = i;
        if (i < size && value[i] != ',')
            continue;
        while (start < end && (value[start] == ' ' || value[start] == '\t'))
            start++;
        while (end > start && (value[end - 1] == ' ' || value[end - 1] == '\t'))
            end--;
        if (same_word(value + start, end - start, token))
            return true;
        start = i + 1;
    }
    return false;
}

static struct http_piece piece(size_t start, size_t end)
{
    return (struct http_piece){.start = (uint32_t)start, .size = (uint32_t)(end - start)};
}

/* ---- The request line ---- */

/* What a target may hold: RFC 3986, and the few more that browsers leave as they are in queries. */
static bool is_target_char(unsigned char c)
{
    return c > 0x20 && c < 0x7f && strchr("\"#<>", c) == NULL;
}

/* Of a Host field or an absolute target: letters, digits and what names, addresses and ports need.
 */
static bool is_host(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char c = (unsigned char)text[i];
        if (!is_tchar(c) && strchr("[]:()=;,", c) == NULL)
            return false;
    }
    return size <= 255;
}

static void split_query(struct http_head *head, const char *buffer, size_t start, size_t end)
{
    const char *mark = memchr(buffer + start, '?', end - start);
    size_t middle = mark == NULL ? end : (size_t)(mark - buffer);

    head->path = piece(start, middle);
    head->query = mark == NULL ? piece(end, end) : piece(middle + 1, end);
}

/* http://host/path: what is between "//" and the next '/' or '?' is the host. */
static enum http_head_result read_absolute(struct http_head *head, const char *buffer, size_t start,
                                           size_t end)
{
    size_t scheme = start;
    size_t host;

    while (scheme < end && buffer[scheme] != ':')
        scheme++;
    if ((!same_word(buffer + start, scheme - start, "http") &&
         !same_word(buffer + start, scheme - start, "https")) ||
        end - scheme < 4 || memcmp(buffer + scheme, "://", 3) != 0)
        return bad(head, 400, "the target must be a path that begins with '/'");
    start = scheme + 3;
    for (host = start; host < end && buffer[host] != '/' && buffer[host] != '?';)
        host++;
    if (host == start || !is_host(buffer + start, host - start))
        return bad(head, 400, "the host in the target is none");
    head->host = piece(start, host);
    head->is_absolute = true;
    if (host == end || buffer[host] == '?')
        return bad(head, 400, "the target needs a path behind the host");
    split_query(head, buffer, host, end);
    return HTTP_HEAD_MORE;
}

static enum http_head_result read_target(struct http_head *head, const char *buffer, size_t start,
                                         size_t end)
{
    if (start == end)
        return bad(head, 400, "the request line must be: method, space, target, space, HTTP/1.1");
    if (end - start > TARGET_BYTES_MAX)
        return bad(head, 414, "the target is longer than 8192 bytes");
    for (size_t i = start; i < end; i++) {
        if (!is_target_char((unsigned char)buffer[i]))
            return bad(head, 400, "the target holds a character that must be percent-encoded");
    }
    if (buffer[start] == '/') {
        split_query(head, buffer, start, end);
        return HTTP_HEAD_MORE;
    }
    if (http_piece_is(buffer, head->method, "CONNECT"))
        return bad(head, 501, "there is no proxy here: CONNECT is not served");
    if (end - start == 1 && buffer[start] == '*') {
        if (!http_piece_is(buffer, head->method, "OPTIONS"))
            return bad(head, 400, "the target * is for OPTIONS only");
        head->path = piece(start, end);
        head->query = piece(end, end);
        return HTTP_HEAD_MORE;
    }
    return read_absolute(head, buffer, start, end);
}

static enum http_head_result read_version(struct http_head *head, const char *text, size_t size)
{
    if (size != 8 || memcmp(text, "HTTP/", 5) != 0 || text[5] < '0' || text[5] > '9' ||
        text[6] != '.' || text[7] < '0' || text[7] > '9')
        return bad(head, 400, "the request line must end with HTTP/1.1");
    if (text[5] != '1')
        return bad(head, 505, "only HTTP/1.1 and HTTP/1.0 are served");
    head->minor = text[7] == '0' ? 0 : 1;
    return HTTP_HEAD_MORE;
}

static enum http_head_result read_request_line(struct http_head *head, const char *buffer,
                                               size_t start, size_t end)
{
    const char *first = memchr(buffer + start, ' ', end - start);
    size_t method_end = first == NULL ? end : (size_t)(first - buffer);
    const char *last = memrchr(buffer + start, ' ', end - start);
    size_t target_end = last == NULL ? end : (size_t)(last - buffer);
    enum http_head_result result;

    if (!http_is_token(buffer + start, method_end - start) || method_end == target_end)
        return bad(head, 400, "the request line must be: method, space, target, space, HTTP/1.1");
    if (method_end - start > METHOD_BYTES_MAX)
        return bad(head, 501, "there is no such method");
    head->method = piece(start, method_end);
    head->has_request_line = true;
    result = read_version(head, buffer + target_end + 1, end - target_end - 1);
    return result != HTTP_HEAD_MORE ? result
                                    : read_target(head, buffer, method_end + 1, target_end);
}

/* ---- Fields ---- */

static enum http_head_result note_length(struct http_head *head, const char *value, size_t size)
{
    if (head->has_length)
        return bad(head, 400, "Content-Length is given twice");
    head->has_length = true;
    if (size == 0)
        return bad(head, 400, "Content-Length must be a number");
    for (size_t i = 0; i < size; i++) {
        if (value[i] < '0' || value[i] > '9')
            return bad(head, 400, "Content-Length must be a number");
    }
    if (size > LENGTH_DIGITS_MAX)
        return bad(head, 413, "Content-Length is larger than any body may be");
    head->content_length = 0;
    for (size_t i = 0; i < size; i++)
        head->content_length = head->content_length * 10 + (uint64_t)(value[i] - '0');
    return HTTP_HEAD_MORE;
}

static enum http_head_result note_coding(struct http_head *head, const char *value, size_t size)
{
    if (head->has_coding)
        return bad(head, 400, "Transfer-Encoding is given twice");
    head->has_coding = true;
    if (head->minor == 0)
        return bad(head, 400, "HTTP/1.0 has no Transfer-Encoding");
    if (!same_word(value, size, "chunked"))
        return bad(head, 501, "the only Transfer-Encoding that is served is: chunked");
    return HTTP_HEAD_MORE;
}

static enum http_head_result note_host(struct http_head *head, const char *buffer,
                                       struct http_piece value)
{
    if (head->has_host)
        return bad(head, 400, "Host is given twice");
    head->has_host = true;
    if (!is_host(buffer + value.start, value.size))
        return bad(head, 400, "Host must be a name or address, with or without a port");
    if (!head->is_absolute)
        head->host = value;
    return HTTP_HEAD_MORE;
}

static void note_connection(struct http_head *head, const char *value, size_t size)
{
    head->wants_close = head->wants_close || http_list_has(value, size, "close");
    head->wants_keep_alive = head->wants_keep_alive || http_list_has(value, size, "keep-alive");
    head->wants_upgrade = head->wants_upgrade || http_list_has(value, size, "upgrade");
}

/* The fields that say where the request ends and what becomes of the connection. */
static enum http_head_result note_field(struct http_head *head, const char *buffer,
                                        const struct http_field *field)
{
    const char *value = buffer + field->value.start;
    size_t size = field->value.size;

    switch (field->name.size) {
    case 4:
        if (http_piece_is(buffer, field->name, "host"))
            return note_host(head, buffer, field->value);
        break;
    case 6:
        if (!http_piece_is(buffer, field->name, "expect"))
            break;
        if (!same_word(value, size, "100-continue"))
            return bad(head, 417, "the only Expect that is served is: 100-continue");
        head->expects_continue = true;
        break;
    case 7:
        if (http_piece_is(buffer, field->name, "upgrade"))
            head->has_upgrade = head->has_upgrade || http_list_has(value, size, "websocket");
        break;
    case 10:
        if (http_piece_is(buffer, field->name, "connection"))
            note_connection(head, value, size);
        break;
    case 14:
        if (http_piece_is(buffer, field->name, "content-length"))
            return note_length(head, value, size);
        break;
    case 17:
        if (http_piece_is(buffer, field->name, "transfer-encoding"))
            return note_coding(head, value, size);
        break;
    default:
        break;
    }
    return HTTP_HEAD_MORE;
}

static enum http_head_result read_field(struct http_head *head,
                                        const struct http_head_limits *limits, char *buffer,
                                        size_t start, size_t end)
{
    struct http_field *field = &head->fields[head->field_count];
    const char *colon = memchr(buffer + start, ':', end - start);
    size_t name_end = colon == NULL ? start : (size_t)(colon - buffer);
    size_t value = name_end + 1;

    if (buffer[start] == ' ' || buffer[start] == '\t')
        return bad(head, 400, "a field of the header is folded over lines");
    if (colon == NULL || !http_is_token(buffer + start, name_end - start))
        return bad(head, 400, "a line of the header must be: name, colon, value");
    if (head->field_count >= limits->fields || head->field_count >= HTTP_HEAD_FIELDS_MAX)
        return bad(head, 431, "the header has too many fields");
    while (value < end && (buffer[value] == ' ' || buffer[value] == '\t'))
        value++;
    while (end > value && (buffer[end - 1] == ' ' || buffer[end - 1] == '\t'))
        end--;
    for (size_t i = value; i < end; i++) {
        if (((unsigned char)buffer[i] < 0x20 && buffer[i] != '\t') || buffer[i] == 0x7f)
            return bad(head, 400, "a field of the header holds a control character");
    }
    for (size_t i = start; i < name_end; i++)
        buffer[i] = lower(buffer[i]);
    field->name = piece(start, name_end);
    field->value = piece(value, end);
    head->field_count++;
    return note_field(head, buffer, field);
}

static enum http_head_result finish(struct http_head *head, size_t end)
{
    if (!head->has_host && head->minor >= 1)
        return bad(head, 400, "Host is missing");
    if (head->has_coding && head->has_length)
        return bad(head, 400, "Content-Length and Transfer-Encoding exclude each other");
    head->size = end;
    if (head->has_coding)
        head->body = HTTP_BODY_CHUNKED;
    else if (head->has_length && head->content_length > 0)
        head->body = HTTP_BODY_LENGTH;
    head->keep_alive = !head->wants_close && (head->minor >= 1 || head->wants_keep_alive);
    head->upgrade_websocket = head->minor >= 1 && head->wants_upgrade && head->has_upgrade;
    if (head->minor == 0)
        head->expects_continue = false;
    return HTTP_HEAD_DONE;
}

/* ---- Lines ---- */

/* One line without its CRLF, from `start` to `end`. */
static enum http_head_result read_line(struct http_head *head,
                                       const struct http_head_limits *limits, char *buffer,
                                       size_t start, size_t end)
{
    if (!head->has_request_line) {
        /* An empty line before the request is ignored (RFC 9112, 2.2): one, and no more. */
        if (start == end)
            return start == 0 ? HTTP_HEAD_MORE : bad(head, 400, "the request line is missing");
        return read_request_line(head, buffer, start, end);
    }
    if (start == end)
        return finish(head, end + 2);
    return read_field(head, limits, buffer, start, end);
}

enum http_head_result http_head_read(struct http_head *head, const struct http_head_limits *limits,
                                     char *buffer, size_t size)
{
    size_t visible = size < limits->bytes ? size : limits->bytes;

    for (;;) {
        char *lf = memchr(buffer + head->scanned, '\n', visible - head->scanned);
        size_t end = lf == NULL ? visible : (size_t)(lf - buffer);
        const char *cr = memchr(buffer + head->scanned, '\r', end - head->scanned);
        enum http_head_result result;

        /* A CR may be the last byte so far, or stand before the LF; nowhere else. */
        if (cr != NULL && (size_t)(cr - buffer) + 1 != end)
            return bad(head, 400, "a CR stands alone; lines end with CR LF");
        if (memchr(buffer + head->scanned, '\0', end - head->scanned) != NULL)
            return bad(head, 400, "the header holds a NUL");
        if (lf == NULL) {
            head->scanned = cr == NULL ? visible : (size_t)(cr - buffer);
            if (size >= limits->bytes)
                return head->has_request_line ? bad(head, 431, "the header is too large")
                                              : bad(head, 414, "the request line is too long");
            return HTTP_HEAD_MORE;
        }
        if (cr == NULL)
            return bad(head, 400, "a LF stands alone; lines end with CR LF");
        result = read_line(head, limits, buffer, head->line, end - 1);
        if (result != HTTP_HEAD_MORE)
            return result;
        head->scanned = end + 1;
        head->line = end + 1;
    }
}

const struct http_field *http_head_find(const struct http_head *head, const char *buffer,
                                        const char *name)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (http_piece_is(buffer, head->fields[i].name, name))
            return &head->fields[i];
    }
    return NULL;
}
