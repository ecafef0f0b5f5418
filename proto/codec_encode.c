/*
 * Replies. In protobuf a message is copied as it is stored, behind a tag and its length. In JSON it
 * has to be decoded and written anew, once: the object around it is put together as text.
 *
 * A page of history in JSON is written straight to where it stays. Forward the messages follow each
 * other; for the newest ones they are laid down from the back, so that the page can be cut at its
 * front without moving anything:
 *
 *     {"messages":[ m1 , m2 , m3 ],"head_seq":9,"more":true}
 *                   ├─────────────▶ grows      grows ◀────────── m3, then m2, …
 */
#include "proto/codec.h"

#include "proto/jsonpb.h"
#include "proto/wire.h"
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PAGE_HEAD "{\"messages\":["
/* Enough for everything behind the messages. */
#define PAGE_TAIL_BYTES 64
/* No character of a string takes more: \u0001. */
#define JSON_BYTES_PER_BYTE 6
/* Names, quotes, numbers and the time of a message. */
#define JSON_MESSAGE_BYTES 256

/* ── protobuf ─────────────────────────────────────────────────────────────────────────────── */

static uint8_t *put_true(uint8_t *out, uint32_t number)
{
    return wire_put_varint(wire_put_tag(out, number, WIRE_VARINT), 1);
}

static int encode_protobuf_new(const char *chat_id, bool created, struct arena *arena,
                               const uint8_t **bytes, size_t *size)
{
    size_t length = strlen(chat_id);
    uint8_t *reply = arena_alloc(arena, wire_bytes_size(length) + 2);
    if (reply == NULL)
        return -1;
    uint8_t *out = length > 0 ? wire_put_bytes(reply, 1, chat_id, length) : reply;
    if (created)
        out = put_true(out, 2);
    *bytes = reply;
    *size = (size_t)(out - reply);
    return 0;
}

static int encode_protobuf_send(const struct codec_record *message, bool duplicate,
                                struct arena *arena, const uint8_t **bytes, size_t *size)
{
    uint8_t *reply = arena_alloc(arena, wire_bytes_size(message->size) + 2);
    if (reply == NULL)
        return -1;
    uint8_t *out = wire_put_bytes(reply, 1, message->data, message->size);
    if (duplicate)
        out = put_true(out, 2);
    *bytes = reply;
    *size = (size_t)(out - reply);
    return 0;
}

/* The slice of the records that goes into a page. */
struct page {
    size_t first;
    size_t count;
    size_t messages_bytes;
    bool more;
};

static size_t record_index(size_t taken, size_t count, bool keep_newest)
{
    return keep_newest ? count - 1 - taken : taken;
}

/* Whether `more` is written depends on whether all fit, so it counts for all but the last one. */
static struct page choose_records(const struct codec_record *records, size_t count,
                                  size_t head_bytes, bool more, bool keep_newest, size_t max_bytes)
{
    struct page page = {0, 0, 0, more};
    for (size_t taken = 0; taken < count; taken++) {
        size_t next = wire_bytes_size(records[record_index(taken, count, keep_newest)].size);
        size_t more_bytes = more || taken + 1 < count ? 2 : 0;
        if (page.messages_bytes + next + head_bytes + more_bytes > max_bytes)
            break;
        page.messages_bytes += next;
        page.count++;
    }
    page.more = more || page.count < count;
    page.first = keep_newest ? count - page.count : 0;
    return page;
}

size_t codec_end_history(uint8_t *end, uint64_t head_seq, bool more)
{
    uint8_t *out = end;

    if (head_seq != 0)
        out = wire_put_varint(wire_put_tag(out, 2, WIRE_VARINT), head_seq);
    if (more)
        out = put_true(out, 3);
    return (size_t)(out - end);
}

static int encode_protobuf_history(const struct codec_record *records, size_t count,
                                   uint64_t head_seq, bool more, bool keep_newest, size_t max_bytes,
                                   struct arena *arena, const uint8_t **bytes, size_t *size)
{
    size_t head_bytes = head_seq == 0 ? 0 : 1 + wire_varint_size(head_seq);
    struct page page = choose_records(records, count, head_bytes, more, keep_newest, max_bytes);
    if (page.count == 0 && count > 0)
        return -2;
    uint8_t *reply = arena_alloc(arena, page.messages_bytes + head_bytes + 2);
    if (reply == NULL)
        return -1;
    uint8_t *out = reply;
    for (size_t i = page.first; i < page.first + page.count; i++)
        out = wire_put_bytes(out, 1, records[i].data, records[i].size);
    out += codec_end_history(out, head_seq, page.more);
    *bytes = reply;
    *size = (size_t)(out - reply);
    return 0;
}

/* ── JSON ─────────────────────────────────────────────────────────────────────────────────── */

static char *append(char *out, const char *data, size_t size)
{
    memcpy(out, data, size);
    return out + size;
}

static int print_record(const struct codec_record *record, struct jsonpb_buffer *text)
{
    Chat__Message *message = chat__message__unpack(NULL, record->size, record->data);
    int result = message == NULL ? -1 : jsonpb_print(&message->base, text);
    chat__message__free_unpacked(message, NULL);
    return result;
}

static int encode_json_new(const char *chat_id, bool created, struct arena *arena,
                           const uint8_t **bytes, size_t *size)
{
    struct jsonpb_buffer text = {0};
    Chat__NewResponse response;
    chat__new_response__init(&response);
    response.chat_id = arena_copy(arena, chat_id, strlen(chat_id));
    response.created = created;
    *bytes = NULL;
    if (response.chat_id != NULL && jsonpb_print(&response.base, &text) == 0)
        *bytes = (const uint8_t *)arena_copy(arena, text.data, text.size);
    *size = text.size;
    jsonpb_buffer_free(&text);
    return *bytes == NULL ? -1 : 0;
}

static int encode_json_send(const struct codec_record *record, bool duplicate, struct arena *arena,
                            const uint8_t **bytes, size_t *size)
{
    static const char head[] = "{\"message\":";
    const char *tail = duplicate ? ",\"duplicate\":true}" : ",\"duplicate\":false}";
    struct jsonpb_buffer text = {0};
    char *reply = NULL;
    if (print_record(record, &text) == 0)
        reply = arena_alloc(arena, strlen(head) + text.size + strlen(tail));
    if (reply != NULL) {
        char *out = append(append(reply, head, strlen(head)), text.data, text.size);
        *size = (size_t)(append(out, tail, strlen(tail)) - reply);
        *bytes = (const uint8_t *)reply;
    }
    jsonpb_buffer_free(&text);
    return reply == NULL ? -1 : 0;
}

/* Returns its length. A head past jansson's integers is a string, as jsonpb_encode writes it. */
static size_t write_tail(char tail[PAGE_TAIL_BYTES], uint64_t head_seq, bool more)
{
    const char *quote = head_seq > INT64_MAX ? "\"" : "";
    return (size_t)snprintf(tail, PAGE_TAIL_BYTES, "],\"head_seq\":%s%" PRIu64 "%s,\"more\":%s}",
                            quote, head_seq, quote, more ? "true" : "false");
}

/* No more than the page may have, and no more than its messages can need. */
static size_t page_capacity(const struct codec_record *records, size_t count, size_t max_bytes)
{
    size_t needed = 0;
    for (size_t i = 0; i < count && needed < max_bytes; i++)
        needed += JSON_BYTES_PER_BYTE * records[i].size + JSON_MESSAGE_BYTES;
    needed = needed < max_bytes ? needed : max_bytes;
    return needed + sizeof(PAGE_HEAD) + PAGE_TAIL_BYTES;
}

/* A page being laid down between `start` and `end`, with commas between its messages. */
struct layout {
    char *start;
    char *end;
    bool backward;
};

static void lay_down(struct layout *layout, const struct jsonpb_buffer *message)
{
    bool comma = layout->start != layout->end;
    if (layout->backward) {
        if (comma)
            *--layout->start = ',';
        layout->start -= message->size;
        memcpy(layout->start, message->data, message->size);
    } else {
        if (comma)
            *layout->end++ = ',';
        layout->end = append(layout->end, message->data, message->size);
    }
}

/* Puts into `*taken` how many records were laid down. Returns 0, or -1 for one without a JSON form.
 */
static int lay_down_records(struct layout *layout, const struct codec_record *records, size_t count,
                            uint64_t head_seq, bool more, size_t max_bytes, size_t *taken)
{
    struct jsonpb_buffer message = {0};
    int result = 0;
    for (*taken = 0; *taken < count; ++*taken) {
        char tail[PAGE_TAIL_BYTES];
        result = print_record(&records[record_index(*taken, count, layout->backward)], &message);
        size_t used = (size_t)(layout->end - layout->start) + (*taken > 0 ? 1 : 0);
        size_t around = strlen(PAGE_HEAD) + write_tail(tail, head_seq, more || *taken + 1 < count);
        if (result < 0 || used + message.size + around > max_bytes)
            break;
        lay_down(layout, &message);
    }
    jsonpb_buffer_free(&message);
    return result;
}

static int encode_json_history(const struct codec_record *records, size_t count, uint64_t head_seq,
                               bool more, bool keep_newest, size_t max_bytes, struct arena *arena,
                               const uint8_t **bytes, size_t *size)
{
    size_t capacity = page_capacity(records, count, max_bytes);
    char *page = arena_alloc(arena, capacity);
    if (page == NULL)
        return -1;
    char *from = keep_newest ? page + capacity - PAGE_TAIL_BYTES : page + strlen(PAGE_HEAD);
    struct layout layout = {from, from, keep_newest};
    size_t taken;
    if (lay_down_records(&layout, records, count, head_seq, more, max_bytes, &taken) < 0)
        return -1;
    if (taken == 0 && count > 0)
        return -2;
    char tail[PAGE_TAIL_BYTES];
    size_t tail_length = write_tail(tail, head_seq, more || taken < count);
    memcpy(layout.end, tail, tail_length);
    layout.start -= strlen(PAGE_HEAD);
    memcpy(layout.start, PAGE_HEAD, strlen(PAGE_HEAD));
    *bytes = (const uint8_t *)layout.start;
    *size = (size_t)(layout.end - layout.start) + tail_length;
    return 0;
}

/* ── either ───────────────────────────────────────────────────────────────────────────────── */

int codec_encode_new(const char *chat_id, bool created, enum codec_format format,
                     struct arena *arena, const uint8_t **bytes, size_t *size)
{
    return format == CODEC_JSON ? encode_json_new(chat_id, created, arena, bytes, size)
                                : encode_protobuf_new(chat_id, created, arena, bytes, size);
}

int codec_encode_send(const struct codec_record *message, bool duplicate, enum codec_format format,
                      struct arena *arena, const uint8_t **bytes, size_t *size)
{
    return format == CODEC_JSON ? encode_json_send(message, duplicate, arena, bytes, size)
                                : encode_protobuf_send(message, duplicate, arena, bytes, size);
}

int codec_encode_history(const struct codec_record *records, size_t count, uint64_t head_seq,
                         bool more, bool keep_newest, size_t max_bytes, enum codec_format format,
                         struct arena *arena, const uint8_t **bytes, size_t *size)
{
    if (format == CODEC_JSON)
        return encode_json_history(records, count, head_seq, more, keep_newest, max_bytes, arena,
                                   bytes, size);
    return encode_protobuf_history(records, count, head_seq, more, keep_newest, max_bytes, arena,
                                   bytes, size);
}
