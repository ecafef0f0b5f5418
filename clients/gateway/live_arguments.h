/*
 * The arguments with which a chat is watched: /chat/Connect and /chat/Events. For the loop's
 * thread.
 */
#ifndef GATEWAY_LIVE_ARGUMENTS_H
#define GATEWAY_LIVE_ARGUMENTS_H

#include "clients/gateway/exchange.h"

struct live_arguments {
    const char *chat_id;
    const char *user_id; /* of Connect: who speaks */
    uint64_t from_seq;   /* 0: from now */
};

/*
 * Reads them from the exchange, as whose `method` ("Connect") they are, and which they stay valid
 * with. Those of Connect have a user_id, filled in from the identity when that has one. Returns 0,
 * or -1 when the exchange has been refused: unknown or missing arguments, a number that is none, a
 * user_id that is not the acting user.
 */
int live_arguments_read(struct exchange *exchange, const char *method,
                        struct live_arguments *arguments);

/* Decimal digits and nothing else, up to 2^64 - 1. Returns 0 or -1. */
int live_arguments_number(const char *text, uint64_t *number);

#endif
