/*
 * `chat connect`: what is in a chat and what comes is shown, what is typed is sent. On a loop of
 * its own, until the input or the user ends it.
 */
#ifndef CLIENTS_SESSION_H
#define CLIENTS_SESSION_H

#include "clients/command.h"

/* Returns the exit status: 0 when all that was typed has been acknowledged and shown. */
int session_run(const struct command_request *request, const struct command_streams *streams);

#endif
