/*
 * A request's way: size, then framing, then protobuf-c, then the strings.
 *
 *     bytes ──▶ walk over the fields ──▶ known fields only ──▶ protobuf-c ──▶ strings ──▶ request
 *                 │ (or jsonpb.c)          (a copy, if there      (arena)       │
 *                 ▼                         were others)                        ▼
 *               Malformed                                     Missing…, Invalid…, TooLarge
 *
 * protobuf-c recurses over groups, keeps unknown fields and cuts strings at NUL. The walk before it
 * takes all three away: groups and unknown fields are left out of what it gets to see, and
 * the fields that hold a NUL are remembered by number for the checks. A request without unknown
 * fields, which is nearly every one, is unpacked where it lies. A SendRequest, of which there are
 * most, goes without protobuf-c: it is made of the strings that the walk has come by.
 */
#include "proto/codec.h"

#include "proto/check.h"
#include "proto/jsonpb.h"
#include "proto/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Field numbers of the contract, for those that the checks ask about. */
enum { NEW_USER_IDS = 1 };
enum { SEND_CLIENT_ID = 1, SEND_CHAT_ID = 2, SEND_USER_ID = 3, SEND_SUBJECT = 4, SEND_TEXT = 5 };
enum { HISTORY_CHAT_ID = 1 };

struct decoded {
    ProtobufCMessage *message;
    uint32_t nul_fields; /* bit n: the string of field number n holds a NUL */
};

/* Numbers of fields whose strings the walk keeps, those of a SendRequest: below this. */
#define SURVEYED_FIELDS (SEND_TEXT + 1)

/* What the walk found. */
struct survey {
    uint32_t nul_fields;
    size_t known_bytes;
    size_t known_count;
    bool unknown; /* there are fields that the message does not have */
    /* The last value of each of the first fields, if it is a string; NULL: there was none. */
    struct wire_field strings[SURVEYED_FIELDS];
};

/* More objects and arrays than any request has, and enough for a mistake to be told by its name. */
#define JSON_CONTAINERS_MAX 100

/* Each value costs a hundred times what its bytes do, so that their number is bounded before
 * anything is made of them. */
static size_t values_max(const struct codec_limits *limits)
{
    return limits->users * CODEC_REPEATS_MAX;
}

static int too_many_values(const struct codec_limits *limits, struct chat_error *error)
{
    return chat_error_set(error, CHAT_TOO_LARGE,
                          "the request holds more than %zu values, repeats included: send fewer",
                          values_max(limits));
}

static uint32_t field_bit(uint32_t number)
{
    return number < 32 ? UINT32_C(1) << number : 0;
}

static enum wire_type expected_type(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_STRING ? WIRE_BYTES : WIRE_VARINT;
}

static int refuse_wire_type(const ProtobufCMessageDescriptor *descriptor,
                            const ProtobufCFieldDescriptor *field, enum wire_type type,
                            size_t offset, struct chat_error *error)
{
    return chat_error_set(
        error, CHAT_MALFORMED, "field %s of %s has wire type %d at byte %zu: it must be %d",
        field->name, descriptor->short_name, (int)type, offset, (int)expected_type(field->type));
}

/* A later value replaces an earlier one, and so does its NUL, except among repeated ones. */
static void note_nul(struct survey *survey, const ProtobufCFieldDescriptor *field,
                     const struct wire_field *value)
{
    if (value->size > 0 && memchr(value->data, '\0', value->size) != NULL)
        survey->nul_fields |= field_bit(field->id);
    else if (field->label != PROTOBUF_C_LABEL_REPEATED)
        survey->nul_fields &= ~field_bit(field->id);
}

/* The requests' fields are numbered without gaps, so that nearly every one is found at once. */
static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *descriptor,
                                                  uint32_t number)
{
    if (number - 1 < descriptor->n_fields && descriptor->fields[number - 1].id == number)
        return &descriptor->fields[number - 1];
    return protobuf_c_message_descriptor_get_field(descriptor, number);
}

static int survey_fields(const uint8_t *bytes, size_t size,
                         const ProtobufCMessageDescriptor *descriptor, struct survey *survey,
                         struct chat_error *error)
{
    struct wire_reader reader;
    struct wire_field value;
    const char *problem;
    int got;
    wire_reader_init(&reader, bytes, size);
    while ((got = wire_next(&reader, &value, &problem)) > 0) {
        const ProtobufCFieldDescriptor *field = find_field(descriptor, value.number);
        if (field == NULL) {
            survey->unknown = true;
            continue;
        }
        if (value.type != expected_type(field->type))
            return refuse_wire_type(descriptor, field, value.type, (size_t)(value.start - bytes),
                                    error);
        survey->known_bytes += value.length;
        survey->known_count++;
        if (value.type != WIRE_BYTES)
            continue;
        note_nul(survey, field, &value);
        if (value.number < SURVEYED_FIELDS)
            survey->strings[value.number] = value;
    }
    if (got < 0)
        return chat_error_set(error, CHAT_MALFORMED,
                              "%s does not decode: %s in the field at byte %zu",
                              descriptor->short_name, problem, (size_t)(reader.next - bytes));
    return 0;
}

/* NULL when the arena is exhausted. The fields have been walked over before: they are all sound. */
static const uint8_t *copy_known(const uint8_t *bytes, size_t size, size_t known_bytes,
                                 const ProtobufCMessageDescriptor *descriptor, struct arena *arena)
{
    uint8_t *copy = arena_alloc(arena, known_bytes);
    uint8_t *out = copy;
    struct wire_reader reader;
    struct wire_field value;
    const char *problem;
    wire_reader_init(&reader, bytes, size);
    while (copy != NULL && wire_next(&reader, &value, &problem) > 0) {
        if (find_field(descriptor, value.number) == NULL)
            continue;
        memcpy(out, value.start, value.length);
        out += value.length;
    }
    return copy;
}

static int no_memory(struct chat_error *error)
{
    return chat_error_set(error, CHAT_TOO_LARGE,
                          "the request takes too much memory to decode: send a smaller one");
}

/* A SendRequest of the strings that the walk has found, which lie behind it: it is nothing but
 * strings, and there is no need to walk over it again. */
static int unpack_send(const struct survey *survey, struct arena *arena, struct decoded *decoded,
                       struct chat_error *error)
{
    size_t string_bytes = 0;
    for (size_t i = SEND_CLIENT_ID; i <= SEND_TEXT; i++)
        string_bytes += survey->strings[i].data == NULL ? 0 : survey->strings[i].size + 1;
    Chat__SendRequest *send = arena_alloc(arena, sizeof *send + string_bytes);
    if (send == NULL)
        return no_memory(error);
    char *next = (char *)(send + 1);
    chat__send_request__init(send);
    char **strings[SURVEYED_FIELDS] = {[SEND_CLIENT_ID] = &send->client_id,
                                       [SEND_CHAT_ID] = &send->chat_id,
                                       [SEND_USER_ID] = &send->user_id,
                                       [SEND_SUBJECT] = &send->subject,
                                       [SEND_TEXT] = &send->text};
    for (size_t i = SEND_CLIENT_ID; i <= SEND_TEXT; i++) {
        const struct wire_field *value = &survey->strings[i];
        if (value->data == NULL)
            continue;
        memcpy(next, value->data, value->size);
        next[value->size] = '\0';
        *strings[i] = next;
        next += value->size + 1;
    }
    decoded->message = &send->base;
    decoded->nul_fields = survey->nul_fields;
    return 0;
}

static int decode_protobuf(const uint8_t *bytes, size_t size, const struct codec_limits *limits,
                           const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                           struct decoded *decoded, struct chat_error *error)
{
    struct survey survey = {0};
    if (survey_fields(bytes, size, descriptor, &survey, error) < 0)
        return -1;
    if (survey.known_count > values_max(limits))
        return too_many_values(limits, error);
    if (descriptor == &chat__send_request__descriptor)
        return unpack_send(&survey, arena, decoded, error);
    if (survey.unknown) {
        bytes = copy_known(bytes, size, survey.known_bytes, descriptor, arena);
        size = survey.known_bytes;
        if (bytes == NULL)
            return no_memory(error);
    }
    /* The walk leaves nothing for protobuf-c to refuse but a lack of memory. */
    decoded->message = protobuf_c_message_unpack(descriptor, arena_allocator(arena), size, bytes);
    decoded->nul_fields = survey.nul_fields;
    return decoded->message == NULL ? no_memory(error) : 0;
}

/* Behind the string's closing quote, or the end of the text. */
static const uint8_t *skip_string(const uint8_t *next, const uint8_t *end)
{
    while (next < end && *next != '"')
        next += *next == '\\' && end - next > 1 ? 2 : 1;
    return next < end ? next + 1 : end;
}

/* Counts commas and brackets outside of strings; whether the text is JSON is not asked here. */
static int survey_json(const uint8_t *bytes, size_t size, const struct codec_limits *limits,
                       struct chat_error *error)
{
    const uint8_t *end = bytes + size;
    size_t containers = 0, commas = 0;
    for (const uint8_t *next = bytes; next < end;) {
        uint8_t byte = *next++;
        if (byte == '"')
            next = skip_string(next, end);
        else if (byte == ',')
            commas++;
        else if (byte == '{' || byte == '[')
            containers++;
    }
    if (containers > JSON_CONTAINERS_MAX)
        return chat_error_set(error, CHAT_MALFORMED,
                              "the request holds %zu objects and arrays: a request is one object",
                              containers);
    return commas < values_max(limits) ? 0 : too_many_values(limits, error);
}

static int decode_json(const uint8_t *bytes, size_t size, const struct codec_limits *limits,
                       const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                       struct decoded *decoded, struct chat_error *error)
{
    const ProtobufCFieldDescriptor *nul_field;
    if (survey_json(bytes, size, limits, error) < 0)
        return -1;
    if (jsonpb_decode((const char *)bytes, size, descriptor, arena, &decoded->message, &nul_field,
                      error) < 0)
        return -1;
    decoded->nul_fields = nul_field == NULL ? 0 : field_bit(nul_field->id);
    return 0;
}

static int decode(const uint8_t *bytes, size_t size, enum codec_format format,
                  const struct codec_limits *limits, const ProtobufCMessageDescriptor *descriptor,
                  struct arena *arena, struct decoded *decoded, struct chat_error *error)
{
    if (size > limits->request_bytes)
        return chat_error_set(error, CHAT_TOO_LARGE,
                              "the request has %zu bytes: at most %zu are allowed", size,
                              limits->request_bytes);
    if (bytes == NULL)
        bytes = (const uint8_t *)""; /* An empty payload may come without an address. */
    if (format == CODEC_JSON)
        return decode_json(bytes, size, limits, descriptor, arena, decoded, error);
    return decode_protobuf(bytes, size, limits, descriptor, arena, decoded, error);
}

static struct check_text text_of(const struct decoded *decoded, const char *what, uint32_t number,
                                 const char *data)
{
    bool has_nul = (decoded->nul_fields & field_bit(number)) != 0;
    return (struct check_text){what, data, strlen(data), has_nul};
}

static bool is_missing(const struct check_text *text)
{
    return text->size == 0 && !text->has_nul;
}

static int missing_chat_id(struct chat_error *error)
{
    return chat_error_set(error, CHAT_MISSING_CHAT_ID,
                          "chat_id is missing: name the chat that chat.New returned");
}

static int compare_texts(const void *left, const void *right)
{
    return strcmp(*(char *const *)left, *(char *const *)right);
}

static void sort_and_unite(char **texts, size_t *count)
{
    qsort(texts, *count, sizeof(*texts), compare_texts);
    size_t kept = 1;
    for (size_t i = 1; i < *count; i++)
        if (strcmp(texts[i], texts[kept - 1]) != 0)
            texts[kept++] = texts[i];
    *count = kept;
}

static int check_element(const struct decoded *decoded, const Chat__NewRequest *new, size_t index,
                         struct chat_error *error)
{
    struct check_text text = text_of(decoded, "user_ids", NEW_USER_IDS, new->user_ids[index]);
    /* A NUL is remembered for the field only, not for which of its elements. */
    if (text.has_nul)
        return check_id(&text, CHAT_INVALID_USER_ID, error);
    if (check_id(&text, CHAT_INVALID_USER_ID, error) == 0)
        return 0;
    char what[32];
    snprintf(what, sizeof(what), "user_ids[%zu]", index);
    text.what = what;
    return check_id(&text, CHAT_INVALID_USER_ID, error);
}

static int check_new(Chat__NewRequest *new, const struct decoded *decoded,
                     const struct codec_limits *limits, struct chat_error *error)
{
    if (new->n_user_ids == 0)
        return chat_error_set(error, CHAT_MISSING_USER_IDS,
                              "user_ids is missing: name the chat's users, 1 to %zu",
                              limits->users);
    for (size_t i = 0; i < new->n_user_ids; i++)
        if (check_element(decoded, new, i, error) < 0)
            return -1;
    sort_and_unite(new->user_ids, &new->n_user_ids);
    if (new->n_user_ids > limits->users)
        return chat_error_set(error, CHAT_TOO_LARGE,
                              "user_ids names %zu users: at most %zu are allowed", new->n_user_ids,
                              limits->users);
    return 0;
}

int codec_decode_new(const uint8_t *bytes, size_t size, enum codec_format format,
                     const struct codec_limits *limits, struct arena *arena,
                     Chat__NewRequest **request, struct chat_error *error)
{
    struct decoded decoded = {0};
    if (decode(bytes, size, format, limits, &chat__new_request__descriptor, arena, &decoded,
               error) < 0)
        return -1;
    Chat__NewRequest *new = (Chat__NewRequest *)decoded.message;
    if (check_new(new, &decoded, limits, error) < 0)
        return -1;
    *request = new;
    return 0;
}

static int check_send(const Chat__SendRequest *send, const struct decoded *decoded,
                      const struct codec_limits *limits, struct chat_error *error)
{
    struct check_text client_id = text_of(decoded, "client_id", SEND_CLIENT_ID, send->client_id);
    struct check_text chat_id = text_of(decoded, "chat_id", SEND_CHAT_ID, send->chat_id);
    struct check_text user_id = text_of(decoded, "user_id", SEND_USER_ID, send->user_id);
    struct check_text subject = text_of(decoded, "subject", SEND_SUBJECT, send->subject);
    struct check_text text = text_of(decoded, "text", SEND_TEXT, send->text);
    if (is_missing(&chat_id))
        return missing_chat_id(error);
    if (is_missing(&user_id))
        return chat_error_set(error, CHAT_MISSING_USER_ID,
                              "user_id is missing: name the user who sends");
    if (is_missing(&text))
        return chat_error_set(error, CHAT_MISSING_TEXT,
                              "text is missing: a message has a text of 1 to %zu bytes",
                              limits->text_bytes);
    if (!is_missing(&client_id) && check_id(&client_id, CHAT_INVALID_CLIENT_ID, error) < 0)
        return -1;
    if (check_id(&user_id, CHAT_INVALID_USER_ID, error) < 0 ||
        check_free_text(&subject, CODEC_SUBJECT_BYTES_MAX, CHAT_INVALID_SUBJECT, error) < 0 ||
        check_free_text(&text, limits->text_bytes, CHAT_INVALID_TEXT, error) < 0)
        return -1;
    /* Last, for it is the one that asks whether there is such a chat and not how it is said. */
    return check_chat_id(&chat_id, error);
}

int codec_decode_send(const uint8_t *bytes, size_t size, enum codec_format format,
                      const struct codec_limits *limits, const char *acting_user,
                      struct arena *arena, Chat__SendRequest **request, struct chat_error *error)
{
    struct decoded decoded = {0};
    if (decode(bytes, size, format, limits, &chat__send_request__descriptor, arena, &decoded,
               error) < 0)
        return -1;
    Chat__SendRequest *send = (Chat__SendRequest *)decoded.message;
    struct check_text user_id = text_of(&decoded, "user_id", SEND_USER_ID, send->user_id);
    if (acting_user != NULL && is_missing(&user_id)) {
        send->user_id = arena_copy(arena, acting_user, strlen(acting_user));
        if (send->user_id == NULL)
            return no_memory(error);
    }
    if (check_send(send, &decoded, limits, error) < 0)
        return -1;
    *request = send;
    return 0;
}

static int check_history(const Chat__HistoryRequest *history, const struct decoded *decoded,
                         struct chat_error *error)
{
    struct check_text chat_id = text_of(decoded, "chat_id", HISTORY_CHAT_ID, history->chat_id);
    if (is_missing(&chat_id))
        return missing_chat_id(error);
    if (history->before_seq > 0 && history->from_seq > history->before_seq)
        return chat_error_set(error, CHAT_INVALID_RANGE,
                              "from_seq %llu is greater than before_seq %llu: it must not be",
                              (unsigned long long)history->from_seq,
                              (unsigned long long)history->before_seq);
    return check_chat_id(&chat_id, error);
}

int codec_decode_history(const uint8_t *bytes, size_t size, enum codec_format format,
                         const struct codec_limits *limits, struct arena *arena,
                         Chat__HistoryRequest **request, struct chat_error *error)
{
    struct decoded decoded = {0};
    if (decode(bytes, size, format, limits, &chat__history_request__descriptor, arena, &decoded,
               error) < 0)
        return -1;
    Chat__HistoryRequest *history = (Chat__HistoryRequest *)decoded.message;
    if (check_history(history, &decoded, error) < 0)
        return -1;
    if (history->limit == 0)
        history->limit = CODEC_HISTORY_DEFAULT;
    else if (history->limit > CODEC_HISTORY_MAX)
        history->limit = CODEC_HISTORY_MAX;
    *request = history;
    return 0;
}

int codec_check_user_id(const char *data, size_t size, const char *what, struct chat_error *error)
{
    struct check_text text = {what, data, size, false};
    return check_id(&text, CHAT_INVALID_USER_ID, error);
}
