/* The NATS library's options from ours. */
#ifndef LIBCHAT_CONNECTION_OPTIONS_H
#define LIBCHAT_CONNECTION_OPTIONS_H

#include "clients/libchat/chat.h"
#include <nats/nats.h>

/* Returns 0 and options for the caller to destroy, or a chat_status. */
int connection_options_create(natsOptions **result, const struct chat_options *options);

#endif
