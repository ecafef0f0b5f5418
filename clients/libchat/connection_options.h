/*
 * The NATS library's options from ours. A thread that connects with them may be the last to need
 * them, so that they are held; hold and release are for any thread.
 */
#ifndef LIBCHAT_CONNECTION_OPTIONS_H
#define LIBCHAT_CONNECTION_OPTIONS_H

#include "clients/libchat/chat.h"
#include <nats/nats.h>

struct connection_options;

/* Returns 0 and options for the caller to release, or a chat_status. */
int connection_options_create(struct connection_options **result,
                              const struct chat_options *options);

struct connection_options *connection_options_hold(struct connection_options *options);
void connection_options_release(struct connection_options *options);

/* To connect with; valid until the release. */
natsOptions *connection_options_nats(struct connection_options *options);

#endif
