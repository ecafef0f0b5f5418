/*
 * Puts the messages of a settle job into the order of logs: by chat, and each chat's by seq.
 *
 * They come as they were applied, so that each chat's are in order already and the chats' numbers
 * are all there is to sort by: that is done by counting, in as many passes as the numbers have
 * digits, instead of comparing. Messages in any other order are sorted all the same, by comparing.
 */
#ifndef STORE_MESSAGE_ORDER_H
#define STORE_MESSAGE_ORDER_H

#include "store/database.h"
#include <stddef.h>

void message_order(struct database_message *messages, size_t count);

#endif
