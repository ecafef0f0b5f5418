/*
 * The orders in which rows are written, for qsort: what lies together in the database is written
 * together. Pure functions.
 */
#ifndef STORE_DATABASE_ORDER_H
#define STORE_DATABASE_ORDER_H

#include "store/database.h"
#include <string.h>

/* Of struct database_message: by chat and seq, as in logs. */
static inline int database_by_seq(const void *left, const void *right)
{
    const struct database_message *a = left;
    const struct database_message *b = right;

    if (a->chat_number != b->chat_number)
        return a->chat_number < b->chat_number ? -1 : 1;
    return (a->seq > b->seq) - (a->seq < b->seq);
}

/* Of struct database_new_chat: as in chats. */
static inline int database_by_id(const void *left, const void *right)
{
    const struct database_new_chat *a = left;
    const struct database_new_chat *b = right;

    return memcmp(a->id.bytes, b->id.bytes, UUID_BYTES);
}

/* Of struct database_new_chat: as in users. */
static inline int database_by_users(const void *left, const void *right)
{
    const struct database_new_chat *a = left;
    const struct database_new_chat *b = right;
    int order = strcmp(a->namespace_name, b->namespace_name);

    return order != 0 ? order
                      : memcmp(a->users_digest, b->users_digest, DATABASE_USERS_DIGEST_BYTES);
}

#endif
