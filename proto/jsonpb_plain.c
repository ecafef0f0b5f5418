/*
 * First all members are found in the text, then the message is made. Whatever is not as it is
 * looked for ends the attempt, so that nothing is refused here and no error has to be worded twice.
 */
#include "proto/jsonpb_plain.h"

#include "proto/json_text.h"
#include "proto/utf8.h"
#include <string.h>

#define FIELDS_MAX 8

struct scanner {
    const char *next;
    const char *end;
};

/* A string's inside, within the text; NULL: not there. */
struct piece {
    const char *data;
    size_t size;
};

static void skip_blanks(struct scanner *scanner)
{
    while (scanner->next < scanner->end && (*scanner->next == ' ' || *scanner->next == '\n' ||
                                            *scanner->next == '\r' || *scanner->next == '\t'))
        scanner->next++;
}

/* With blanks around it. */
static bool take(struct scanner *scanner, char wanted)
{
    skip_blanks(scanner);
    if (scanner->next == scanner->end || *scanner->next != wanted)
        return false;
    scanner->next++;
    skip_blanks(scanner);
    return true;
}

static bool take_string(struct scanner *scanner, struct piece *piece)
{
    if (scanner->next == scanner->end || *scanner->next != '"')
        return false;
    piece->data = scanner->next + 1;
    piece->size = json_text_plain_length(piece->data, (size_t)(scanner->end - piece->data));
    scanner->next = piece->data + piece->size;
    if (scanner->next == scanner->end || *scanner->next != '"')
        return false;
    scanner->next++;
    return utf8_valid_length(piece->data, piece->size) == piece->size;
}

/* Which field has that name; -1: none that is a single string. */
static int find_field(const ProtobufCMessageDescriptor *descriptor, const struct piece *name)
{
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &descriptor->fields[i];
        if (strlen(field->name) == name->size && memcmp(field->name, name->data, name->size) == 0)
            return field->type == PROTOBUF_C_TYPE_STRING &&
                           field->label != PROTOBUF_C_LABEL_REPEATED
                       ? (int)i
                       : -1;
    }
    return -1;
}

static bool take_member(struct scanner *scanner, const ProtobufCMessageDescriptor *descriptor,
                        struct piece pieces[FIELDS_MAX])
{
    struct piece name;
    struct piece value;
    int field;

    if (!take_string(scanner, &name) || !take(scanner, ':') || !take_string(scanner, &value))
        return false;
    field = find_field(descriptor, &name);
    if (field < 0 || pieces[field].data != NULL)
        return false;
    pieces[field] = value;
    return true;
}

static bool find_members(const char *text, size_t size,
                         const ProtobufCMessageDescriptor *descriptor,
                         struct piece pieces[FIELDS_MAX])
{
    struct scanner scanner = {text, text + size};

    if (!take(&scanner, '{'))
        return false;
    do {
        if (!take_member(&scanner, descriptor, pieces))
            return false;
    } while (take(&scanner, ','));
    return take(&scanner, '}') && scanner.next == scanner.end;
}

ProtobufCMessage *jsonpb_decode_plain(const char *text, size_t size,
                                      const ProtobufCMessageDescriptor *descriptor,
                                      struct arena *arena)
{
    struct piece pieces[FIELDS_MAX] = {0};
    ProtobufCMessage *message;

    if (descriptor->n_fields > FIELDS_MAX || !find_members(text, size, descriptor, pieces))
        return NULL;
    message = arena_alloc(arena, descriptor->sizeof_message);
    if (message == NULL)
        return NULL;
    descriptor->message_init(message);
    for (unsigned i = 0; i < descriptor->n_fields; i++) {
        char *copy;
        if (pieces[i].data == NULL)
            continue;
        copy = arena_copy(arena, pieces[i].data, pieces[i].size);
        if (copy == NULL)
            return NULL;
        memcpy((char *)message + descriptor->fields[i].offset, &copy, sizeof copy);
    }
    return message;
}
