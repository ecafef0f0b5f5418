/*
 * Chats as lines of JSON, for reading elsewhere and for import.h. Of a data directory that nobody
 * holds, or of the service's as of the moment: with what is not settled.
 *
 * Format 1, a JSON object on each line, its fields in this order:
 *
 *     {"type":"export","format":1}
 *     for each chat, in the order of their ids:
 *         {"type":"chat","chat_id":…,"namespace":…,"created_at":…,"user_ids":[…],"head_seq":N}
 *         for each of its messages, in the order of seq:
 *             {"type":"message","chat_id":…,"seq":N,"id":…,"client_id":…,"user_id":…,"sent_at":…,
 *              "subject":…,"text":…}
 *     {"type":"end","chats":N,"messages":N}
 *
 * Times are RFC 3339 in UTC with up to nine digits of fraction. An export without its last line is
 * not whole. To change the format: count "format" up, and keep reading what was written before.
 */
#ifndef STORE_EXPORT_H
#define STORE_EXPORT_H

#include "base/uuid.h"
#include "store/status.h"
#include <stdint.h>
#include <stdio.h>

#define EXPORT_FORMAT 1

struct export_choice {
    const char *namespace_name; /* NULL: all */
    const struct uuid *chat_id; /* NULL: all; one that is not there is STORE_NO_CHAT */
};

struct export_figures {
    uint64_t chats;
    uint64_t messages;
};

int export_write(const char *directory, const struct export_choice *choice, FILE *out,
                 struct export_figures *figures, struct store_failure *failure);

#endif
