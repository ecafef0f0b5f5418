/*
 * `chat send`: one message. The client_id is made here, once, when none is given: all attempts
 * then carry the same one, and the service takes the message once, however often it arrives.
 */
#include "base/uuid.h"
#include "chat.pb-c.h"
#include "clients/command.h"
#include "proto/codec.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static enum command_state bad_input(FILE *err, const char *problem)
{
    fprintf(err, "chat send: --text=-: %s\n", problem);
    return COMMAND_FAILED;
}

/* The whole of standard input, byte for byte; `*text` is the caller's to free. */
static enum command_state read_text(const struct command_streams *streams, char **text)
{
    char *buffer = malloc(CODEC_REQUEST_BYTES_MAX + 2);

    *text = buffer;
    if (buffer == NULL)
        return bad_input(streams->err, "out of memory");
    size_t size = fread(buffer, 1, CODEC_REQUEST_BYTES_MAX + 1, streams->in);
    if (ferror(streams->in)) {
        fprintf(streams->err, "chat send: --text=-: standard input cannot be read: %s\n",
                strerror(errno));
        return COMMAND_FAILED;
    }
    if (size > CODEC_REQUEST_BYTES_MAX)
        return bad_input(streams->err, "standard input is longer than the 256 KiB that a request "
                                       "may have; shorten or split it");
    if (memchr(buffer, '\0', size) != NULL)
        return bad_input(streams->err, "standard input holds a NUL byte, which no text may hold; "
                                       "is it a text?");
    buffer[size] = '\0';
    return COMMAND_READY;
}

static void choose_client_id(const char *given, char client_id[COMMAND_CLIENT_ID_BYTES])
{
    struct uuid uuid;

    if (given != NULL && given[0] != '\0') {
        snprintf(client_id, COMMAND_CLIENT_ID_BYTES, "%s", given);
        return;
    }
    uuid_make(&uuid);
    uuid_format(&uuid, client_id);
    client_id[UUID_TEXT_BYTES] = '\0';
}

/* Only what was not given at all is missing: an empty one is the service's to refuse. */
static bool has_required(const struct options *own, const struct chat_send_options *send, FILE *err)
{
    return command_has(own, "chat_id", send->chat_id != NULL, err) &&
           command_has(own, "user_id", send->user_id != NULL, err) &&
           command_has(own, "text", send->text != NULL, err);
}

static enum command_state complete(const struct command_streams *streams,
                                   struct command_request *request)
{
    struct chat_send_options *send = &request->options.send;

    send->context = command_context(&request->settings);
    choose_client_id(send->client_id, request->client_id);
    send->client_id = request->client_id;
    if (strcmp(send->text, "-") != 0)
        return COMMAND_READY;
    enum command_state state = read_text(streams, &request->text);
    send->text = request->text;
    return state;
}

static enum command_state prepare_send(int argc, char **argv, const struct command_streams *streams,
                                       struct command_request *request)
{
    struct chat_send_options *send = &request->options.send;
    const struct option table[] = {
        {"chat_id", "CHAT_CHAT_ID", OPTION_TEXT, &send->chat_id, 0, 0, "ID",
         "The chat, as chat new shows it. Required.", false},
        {"user_id", "CHAT_USER_ID", OPTION_TEXT, &send->user_id, 0, 0, "ID",
         "Who sends it. Required.", false},
        {"subject", "CHAT_SUBJECT", OPTION_TEXT, &send->subject, 0, 0, "TEXT",
         "The message's subject, up to 1 KiB.", false},
        {"text", "CHAT_TEXT", OPTION_TEXT, &send->text, 0, 0, "TEXT",
         "The message's text, up to 64 KiB; - reads it from standard input, whose bytes are kept "
         "as they are, a last newline included. Required.",
         false},
        {"client_id", "CHAT_CLIENT_ID", OPTION_TEXT, &send->client_id, 0, 0, "ID",
         "Names this message, so that it is safe to send it again: the same id, subject and text "
         "is the same message. A new UUID when not given.",
         false},
    };
    const struct options own = {
        .program = "chat send",
        .usage = "chat send --chat_id=ID --user_id=ID --text=TEXT [--subject=TEXT] [options]",
        .summary = "Sends a message and shows it as it was stored, once it is on disk. While the "
                   "service cannot be reached or does not answer, it is tried again, with the same "
                   "client_id: a message is never stored twice.",
        .examples =
            "  chat send --chat_id=$CHAT --user_id=John --subject=Hello --text='Hey Barry'\n"
            "  git log -1 | chat send --chat_id=$CHAT --user_id=build --text=-",
        .table = table,
        .count = sizeof table / sizeof *table,
    };
    enum command_state state = command_parse(&own, argc, argv, streams, request);

    if (state == COMMAND_READY && !has_required(&own, send, streams->err))
        state = COMMAND_USAGE;
    return state == COMMAND_READY ? complete(streams, request) : state;
}

static int call_send(struct chat_client *client, struct chat_call *call,
                     const struct command_request *request, chat_call_cb cb)
{
    return chat_send(client, call, &request->options.send, cb);
}

const struct command command_send = {
    .name = "send",
    .method = "Send",
    .summary = "Send a message to a chat",
    .response = &chat__send_response__descriptor,
    .prepare = prepare_send,
    .call = call_send,
};
