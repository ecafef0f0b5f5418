/*
 * Questions to all instances of the service ($SRV.PING, $SRV.INFO, $SRV.STATS), and their answers.
 * For the loop's thread. The functions for callers are in chat.h; these are the client's.
 */
#ifndef LIBCHAT_DISCOVERY_H
#define LIBCHAT_DISCOVERY_H

#include "clients/libchat/chat.h"

struct discovery;

/* What the connection has to tell each that is under way. */
void discovery_up(struct discovery *discovery);
void discovery_down(struct discovery *discovery, int status, const char *detail);
void discovery_denied(struct discovery *discovery, const char *text);
/* Ends it with CHAT_ECANCELED, before it returns. Its memory goes later: client_discovery_gone. */
void discovery_cancel(struct discovery *discovery);

struct discovery *discovery_next(const struct discovery *discovery);

#endif
