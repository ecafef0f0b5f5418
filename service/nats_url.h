/* Broker addresses, fit for log lines. Pure; any thread. */
#ifndef SERVICE_NATS_URL_H
#define SERVICE_NATS_URL_H

#include <stddef.h>

#define NATS_URL_TEXT_BYTES 256

/*
 * Writes `url` without its user, password or token: nats://user:secret@host:4222 becomes
 * nats://host:4222. Cut to `size` bytes with the NUL.
 */
void nats_url_without_credentials(const char *url, char *text, size_t size);

/* The same for several, joined with commas. */
void nats_urls_without_credentials(char *const *urls, size_t count, char *text, size_t size);

#endif
