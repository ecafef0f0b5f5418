/* How `chat connect` shows a message. One thread. */
#ifndef CLIENTS_SESSION_SHOW_H
#define CLIENTS_SESSION_SHOW_H

#include "clients/libchat/chat.h"
#include "proto/jsonpb.h"

/*
 * Appends a line or more to the buffer, in place of what it held: for people `seq time user: text`,
 * without what could steer a terminal; for programs the message as JSON in one line, as in
 * the contract. Returns 0 or -1.
 */
int session_show(const struct chat_message *message, bool for_people, struct jsonpb_buffer *buffer);

#endif
