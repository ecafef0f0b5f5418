/*
 * Heads and bodies of HTTP requests as a connection reads them: whatever comes, in pieces of any
 * size, is taken or refused the same as in one piece; what is taken lies within what came.
 */
#include "clients/gateway/http_chunks.h"
#include "clients/gateway/http_head.h"
#include "tests/fuzz/fuzz.h"

struct outcome {
    enum http_head_result head;
    int code;
    size_t size;
    enum http_body_kind body;
    uint64_t content_length;
    int chunks;
    size_t body_size;
    uint8_t body_sum;
};

/* Exactly so large, so that reading behind it is seen. */
static char *grown(char *buffer, size_t size)
{
    char *larger = realloc(buffer, size);

    FUZZ_CHECK(larger != NULL);
    return larger;
}

static void check_piece(struct http_piece piece, size_t size)
{
    FUZZ_CHECK((size_t)piece.start + piece.size <= size);
}

static void check_head(const struct http_head *head, const char *buffer, size_t size)
{
    FUZZ_CHECK(head->size <= size);
    check_piece(head->method, head->size);
    check_piece(head->path, head->size);
    check_piece(head->query, head->size);
    check_piece(head->host, head->size);
    for (size_t i = 0; i < head->field_count; i++) {
        check_piece(head->fields[i].name, head->size);
        check_piece(head->fields[i].value, head->size);
        FUZZ_CHECK(http_is_token(buffer + head->fields[i].name.start, head->fields[i].name.size));
        for (size_t j = 0; j < head->fields[i].value.size; j++)
            FUZZ_CHECK(strchr("\r\n", buffer[head->fields[i].value.start + j]) == NULL);
    }
}

static void read_chunks(struct outcome *outcome, const uint8_t *bytes, size_t size, size_t step)
{
    struct http_chunks chunks = {0};
    char *body = (char *)fuzz_copy(bytes, 0);
    size_t there = 0;

    while (there < size && outcome->chunks == 0) {
        size_t next = size - there < step ? size - there : step;
        const char *raw;
        size_t raw_size = next;
        size_t added;
        body = grown(body, outcome->body_size + next);
        memcpy(body + outcome->body_size, bytes + there, next);
        raw = body + outcome->body_size;
        there += next;
        outcome->chunks = http_chunks_read(&chunks, &raw, &raw_size, body + outcome->body_size,
                                           4096 - outcome->body_size, &added);
        FUZZ_CHECK(added <= next && outcome->body_size + added <= 4096);
        outcome->body_size += added;
        FUZZ_CHECK(outcome->chunks != 0 || raw_size == 0);
    }
    for (size_t i = 0; outcome->chunks == 1 && i < outcome->body_size; i++)
        outcome->body_sum = (uint8_t)(outcome->body_sum * 31 + (uint8_t)body[i]);
    if (outcome->chunks < 0)
        outcome->body_size = 0;
    free(body);
}

static struct outcome read_request(const uint8_t *bytes, size_t size, size_t step)
{
    const struct http_head_limits limits = {.bytes = 4096, .fields = 20};
    struct http_head head = {0};
    struct outcome outcome = {0};
    char *buffer = NULL;

    for (size_t there = 0; there < size && outcome.head == HTTP_HEAD_MORE;) {
        size_t next = size - there < step ? size : there + step;
        buffer = grown(buffer, next);
        memcpy(buffer + there, bytes + there, next - there);
        there = next;
        outcome.head = http_head_read(&head, &limits, buffer, there);
    }
    outcome.code = outcome.head == HTTP_HEAD_BAD ? head.code : 0;
    FUZZ_CHECK(outcome.head != HTTP_HEAD_BAD || (head.code >= 400 && head.problem != NULL));
    if (outcome.head == HTTP_HEAD_DONE) {
        check_head(&head, buffer, size);
        outcome.size = head.size;
        outcome.body = head.body;
        outcome.content_length = head.content_length;
        if (head.body == HTTP_BODY_CHUNKED)
            read_chunks(&outcome, bytes + head.size, size - head.size, step);
    }
    free(buffer);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct outcome whole;
    struct outcome pieces;
    size_t step;

    if (size < 1)
        return 0;
    step = 1 + bytes[0] % 64;
    whole = read_request(bytes + 1, size - 1, size);
    pieces = read_request(bytes + 1, size - 1, step);
    FUZZ_CHECK(whole.head == pieces.head && whole.code == pieces.code);
    FUZZ_CHECK(whole.size == pieces.size && whole.body == pieces.body);
    FUZZ_CHECK(whole.content_length == pieces.content_length);
    FUZZ_CHECK(whole.chunks == pieces.chunks && whole.body_size == pieces.body_size);
    FUZZ_CHECK(whole.body_sum == pieces.body_sum);
    return 0;
}
