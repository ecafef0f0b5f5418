/*
 * The orders in which rows are written: what lies together in the database is written together.
 * Pure functions.
 */
#ifndef STORE_DATABASE_ORDER_H
#define STORE_DATABASE_ORDER_H

#include "store/database.h"
#include <stdlib.h>
#include <string.h>

/* qsort for what is in order already, more often than not: then looking is all there is to do. */
static inline void database_sort(void *items, size_t count, size_t size,
                                 int (*order)(const void *, const void *))
{
    const char *bytes = items;
    size_t sorted = 1;

    while (sorted < count && order(bytes + (sorted - 1) * size, bytes + sorted * size) <= 0)
        sorted++;
    if (sorted < count)
        qsort(items, count, size, order);
}

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
