/* One call from the command line: on a loop of its own, until it is answered. One thread. */
#ifndef CLIENTS_PERFORM_H
#define CLIENTS_PERFORM_H

#include "clients/command.h"

/* Makes the command's call and shows what comes back. Returns the exit status. */
int perform_call(const struct command *command, const struct command_request *request,
                 const struct command_streams *streams);

/* Connects as the settings say, or says on `err` why that cannot be. Returns 0 or -1. */
int perform_connect(struct chat_client **client, uv_loop_t *loop,
                    const struct chat_options *options, FILE *err);

#endif
