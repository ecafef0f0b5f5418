#include "store/export.h"

#include "proto/rfc3339.h"
#include "store/command.h"
#include "store/view.h"
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#define NS_PER_SECOND 1000000000u

struct exporting {
    const struct export_choice *choice;
    FILE *out;
    struct view *view;
    struct export_figures *figures;
    struct store_failure *failure;
    const struct view_chat *chat;
};

static int fail_chat(const struct exporting *exporting, uint64_t seq, const char *what)
{
    char id[UUID_TEXT_BYTES];

    uuid_format(&exporting->chat->chat.id, id);
    return store_fail(exporting->failure, STORE_CORRUPT, "chat %.*s, seq %" PRIu64 ": %s",
                      UUID_TEXT_BYTES, id, seq, what);
}

/* Takes the line, which is NULL when it could not be made. */
static int write_line(const struct exporting *exporting, json_t *line, uint64_t seq)
{
    int rc;

    if (line == NULL)
        return fail_chat(exporting, seq, "it cannot be written as JSON");
    rc = json_dumpf(line, exporting->out, JSON_COMPACT);
    json_decref(line);
    if (rc == 0 && fputc('\n', exporting->out) != EOF)
        return 0;
    return store_fail(exporting->failure, STORE_IO, "cannot write: %s", strerror(errno));
}

static json_t *text(struct command_text from)
{
    return json_stringn(from.data == NULL ? "" : from.data, from.size);
}

static json_t *time_text(uint64_t ns)
{
    char when[RFC3339_BYTES];

    if (rfc3339_format((int64_t)(ns / NS_PER_SECOND), (int32_t)(ns % NS_PER_SECOND), when) != 0)
        return NULL;
    return json_string(when);
}

static json_t *uuid_text(const struct uuid *uuid)
{
    char digits[UUID_TEXT_BYTES];

    uuid_format(uuid, digits);
    return json_stringn(digits, sizeof digits);
}

/* NULL when one of them is no UTF-8. */
static json_t *users_list(const uint8_t *users, size_t size)
{
    json_t *list = json_array();

    for (size_t offset = 0; offset < size; offset += 1 + (size_t)users[offset]) {
        struct command_text user = {(const char *)users + offset + 1, users[offset]};
        if (user.size > size - offset - 1 || json_array_append_new(list, text(user)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* A json_t * that is NULL makes all of json_pack fail. */
static int write_message(void *data, uint64_t seq, const uint8_t *bytes, size_t size)
{
    struct exporting *exporting = data;
    struct command_message message;
    uint64_t sent_ns;

    if (!command_message_read(bytes, size, &message) || message.seq != seq ||
        !command_message_sent_ns(bytes, size, &sent_ns))
        return fail_chat(exporting, seq, "it is no message");
    exporting->figures->messages++;
    return write_line(exporting,
                      json_pack("{s:s, s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o}", "type", "message",
                                "chat_id", text(message.chat_id), "seq", (json_int_t)seq, "id",
                                text(message.id), "client_id", text(message.client_id), "user_id",
                                text(message.user_id), "sent_at", time_text(sent_ns), "subject",
                                text(message.subject), "text", text(message.text)),
                      seq);
}

static bool is_chosen(const struct export_choice *choice, const struct database_chat *chat)
{
    if (choice->namespace_name != NULL && strcmp(choice->namespace_name, chat->namespace_name) != 0)
        return false;
    return choice->chat_id == NULL || memcmp(choice->chat_id, &chat->id, sizeof chat->id) == 0;
}

static int write_chat(void *data, const struct view_chat *chat)
{
    struct exporting *exporting = data;
    int rc;

    if (!is_chosen(exporting->choice, &chat->chat))
        return 0;
    exporting->chat = chat;
    exporting->figures->chats++;
    rc = write_line(exporting,
                    json_pack("{s:s, s:o, s:s, s:o, s:o, s:I}", "type", "chat", "chat_id",
                              uuid_text(&chat->chat.id), "namespace", chat->chat.namespace_name,
                              "created_at", time_text(chat->chat.created_ns), "user_ids",
                              users_list(chat->users, chat->users_size), "head_seq",
                              (json_int_t)chat->head_seq),
                    0);
    if (rc != 0)
        return rc;
    return view_each_message(exporting->view, chat, write_message, exporting, exporting->failure);
}

static int write_all(struct exporting *exporting)
{
    int rc = write_line(exporting,
                        json_pack("{s:s, s:i}", "type", "export", "format", EXPORT_FORMAT), 0);

    if (rc == 0)
        rc = view_each_chat(exporting->view, write_chat, exporting, exporting->failure);
    if (rc != 0)
        return rc;
    if (exporting->choice->chat_id != NULL && exporting->figures->chats == 0)
        return store_fail(exporting->failure, STORE_NO_CHAT, "there is no such chat");
    rc = write_line(exporting,
                    json_pack("{s:s, s:I, s:I}", "type", "end", "chats",
                              (json_int_t)exporting->figures->chats, "messages",
                              (json_int_t)exporting->figures->messages),
                    0);
    if (rc == 0 && fflush(exporting->out) != 0)
        rc = store_fail(exporting->failure, STORE_IO, "cannot write: %s", strerror(errno));
    return rc;
}

int export_write(const char *directory, const struct export_choice *choice, FILE *out,
                 struct export_figures *figures, struct store_failure *failure)
{
    const struct view_chat none = {0};
    struct exporting exporting = {
        .choice = choice, .out = out, .figures = figures, .failure = failure, .chat = &none};
    int rc = view_open(&exporting.view, directory, VIEW_ANY, failure);

    *figures = (struct export_figures){0};
    if (rc != 0)
        return rc;
    rc = write_all(&exporting);
    view_close(exporting.view);
    return rc;
}
