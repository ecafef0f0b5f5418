/* A message of the client library as the service shows it in JSON. Any thread. */
#ifndef GATEWAY_MESSAGE_JSON_H
#define GATEWAY_MESSAGE_JSON_H

#include "clients/libchat/chat.h"
#include "proto/jsonpb.h"

/* Writes it in place of what the buffer held. Returns 0, or -1 when out of memory, or when the
 * message has a time that is none. */
int message_json_print(const struct chat_message *message, struct jsonpb_buffer *buffer);

#endif
