/*
 * What `chat` shows: replies as JSON, failures in lines that say what is wrong and what to do.
 * One thread.
 */
#ifndef CLIENTS_OUTPUT_H
#define CLIENTS_OUTPUT_H

#include "clients/command.h"
#include <stdio.h>

/*
 * Writes the response as indented JSON and a newline. Returns 0, or an exit status after a line
 * on `err`: the reply does not decode, or `out` does not take it.
 */
int output_reply(const struct command *command, const struct chat_call *call, FILE *out, FILE *err);

/*
 * Writes why the call was refused or failed, with the service's error as `chat: 404
 * chat.Send.InvalidChatID: …`; and where a message may be sent again, how. Returns an exit status.
 */
int output_failure(const struct command_request *request, const struct chat_call *call, FILE *err);

/*
 * Writes what an error says: "404 chat.Send.InvalidChatID: …", or the detail alone; without what
 * could steer a terminal.
 */
void output_reason(const struct chat_call *call, FILE *err);
void output_safely(const char *text, FILE *file);
/* Writes the client_id as a word for a shell. */
void output_client_id(const char *client_id, FILE *file);

/*
 * Makes sure that all of `out` has been taken: by a pipe that is still open, by a disk that is not
 * full. Returns 0, or an exit status after a line on `err`.
 */
int output_flush(FILE *out, FILE *err);

#endif
