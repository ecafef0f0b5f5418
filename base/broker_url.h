/* Addresses of NATS brokers, and prefixes of inboxes: whether they can be right. Pure; any thread.
 */
#ifndef BASE_BROKER_URL_H
#define BASE_BROKER_URL_H

#include <stdbool.h>

/*
 * NULL when `url` can be a broker's address: nats:// or tls:// or neither, maybe user:password@ or
 * token@, a host name, an IPv4 or an [IPv6] address, maybe a port. Otherwise what is wrong with it,
 * without showing any of it, since it may hold a password. Whether it can be reached is seen later.
 */
const char *broker_url_mistake(const char *url);

/* Whether it asks for TLS. */
bool broker_url_is_tls(const char *url);

/* Whether `prefix` can begin the subject of an inbox: words without wildcards, joined by dots, 200
 * bytes at most. */
bool broker_inbox_prefix_is_valid(const char *prefix);

#endif
