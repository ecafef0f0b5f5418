/*
 * A reply that cannot be shown is a failure even though the request was carried out; the line
 * then says so, for nobody should send a message again because a pipe was closed.
 */
#include "clients/output.h"

#include "proto/jsonpb.h"
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char carried_out[] = "chat: the request itself was carried out\n";

static json_t *reply_as_json(const struct command *command, const struct chat_call *call)
{
    ProtobufCMessage *message =
        protobuf_c_message_unpack(command->response, NULL, call->reply_size, call->reply);
    json_t *json;

    if (message == NULL)
        return NULL;
    json = jsonpb_encode(message);
    protobuf_c_message_free_unpacked(message, NULL);
    return json;
}

int output_reply(const struct command *command, const struct chat_call *call, FILE *out, FILE *err)
{
    json_t *json = reply_as_json(command, call);

    if (json == NULL) {
        fprintf(err,
                "chat: the service's reply of %zu bytes does not decode as chat.%sResponse; is it "
                "of another version?\n%s",
                call->reply_size, command->method, carried_out);
        return COMMAND_EXIT_FAILED;
    }
    char *text = json_dumps(json, JSON_INDENT(2));
    json_decref(json);
    if (text == NULL) {
        fprintf(err, "chat: out of memory\n%s", carried_out);
        return COMMAND_EXIT_FAILED;
    }
    fprintf(out, "%s\n", text);
    free(text);
    int status = output_flush(out, err);
    if (status != 0)
        fputs(carried_out, err);
    return status;
}

/* What came over the wire must not steer the terminal. */
void output_safely(const char *text, FILE *file)
{
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        putc(c < 0x20 || c == 0x7f ? '?' : c, file);
    }
}

/* A client_id is text that the user gave, or a UUID: quoted for a shell where it needs to be. */
void output_client_id(const char *client_id, FILE *file)
{
    bool plain = client_id[strspn(client_id, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                             "0123456789._:/@+-")] == '\0';

    if (plain) {
        fputs(client_id, file);
        return;
    }
    putc('\'', file);
    for (; *client_id != '\0'; client_id++) {
        if (*client_id == '\'')
            fputs("'\\''", file);
        else
            output_safely((char[]){*client_id, '\0'}, file);
    }
    putc('\'', file);
}

/* Between "failed" and "unknown", the true one. */
static void print_how_to_repeat(const struct command_request *request, const struct chat_call *call,
                                FILE *err)
{
    bool unknown = call->maybe_done || call->code == 500;

    if (request->client_id[0] == '\0')
        return;
    fputs(unknown ? "chat: the outcome is unknown: the message may have been sent. It is safe to "
                    "retry with --client_id="
                  : "chat: the message was not sent. It is safe to retry with --client_id=",
          err);
    output_client_id(request->client_id, err);
    fputs(unknown ? ", which never makes a second message\n" : "\n", err);
}

void output_reason(const struct chat_call *call, FILE *err)
{
    if (call->status == CHAT_EREFUSED) {
        fprintf(err, "%d ", call->code);
        if (call->error[0] != '\0') {
            output_safely(call->error, err);
            fputs(": ", err);
        }
    }
    output_safely(call->detail, err);
}

int output_failure(const struct command_request *request, const struct chat_call *call, FILE *err)
{
    bool timed_out = call->status == CHAT_ETIMEDOUT || call->code == 503 || call->code == 507;

    fputs("chat: ", err);
    output_reason(call, err);
    putc('\n', err);
    if (timed_out)
        fprintf(err, "chat: gave up after %" PRIu64 " ms; --timeout-ms sets how long to try\n",
                request->settings.timeout_ms);
    if (call->status == CHAT_EDENIED)
        fputs("chat: --user and --password, --token or --credentials say who we are; --tls-ca and "
              "--tls-cert make the connection TLS\n",
              err);
    if (call->status != CHAT_EREFUSED || call->code >= 500)
        print_how_to_repeat(request, call, err);
    return COMMAND_EXIT_FAILED;
}

int output_flush(FILE *out, FILE *err)
{
    errno = 0;
    if (fflush(out) == 0 && !ferror(out))
        return 0;
    fprintf(err, "chat: standard output cannot be written: %s\n",
            errno == 0 ? "an earlier write failed" : strerror(errno));
    return COMMAND_EXIT_FAILED;
}
