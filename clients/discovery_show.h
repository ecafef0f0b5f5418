/* How `chat ping`, `chat info` and `chat stats` show what the instances answered. One thread. */
#ifndef CLIENTS_DISCOVERY_SHOW_H
#define CLIENTS_DISCOVERY_SHOW_H

#include "clients/libchat/chat.h"
#include <jansson.h>
#include <stdio.h>

/*
 * Writes an array of answers, each an object: as JSON, one a line; or as text for people, without
 * what could steer a terminal. What an answer lacks is left out. Errors of `out` are the caller's
 * to find.
 */
void discovery_show(const json_t *answers, enum chat_discover_kind kind, bool as_json, FILE *out);

#endif
