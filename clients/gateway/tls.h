/*
 * TLS for connections that come in, over OpenSSL, without sockets: bytes in, bytes out. TLS 1.2 and
 * 1.3 only. For the loop's thread.
 */
#ifndef GATEWAY_TLS_H
#define GATEWAY_TLS_H

#include "clients/gateway/shared_bytes.h"
#include <stdbool.h>

struct tls_context;
struct tls_session;

/* From a chain and a key in PEM files. NULL when it has said by LOG_ERROR what is wrong. */
struct tls_context *tls_context_create(const char *cert_file, const char *key_file);
void tls_context_destroy(struct tls_context *context);

/* One connection's; it keeps what it needs of the context. NULL: out of memory. */
struct tls_session *tls_session_create(struct tls_context *context);
void tls_session_destroy(struct tls_session *session);

/* Gives it what came in. 0, or -1 when there is no memory. */
int tls_session_feed(struct tls_session *session, const char *bytes, size_t size);
/* What has been said to us: how many bytes, 0 for none now, -1 at the end or after an error. */
int tls_session_open(struct tls_session *session, char *bytes, size_t size);
bool tls_session_is_ready(const struct tls_session *session);
/* Seals some more. 0, or -1 when it cannot. */
int tls_session_seal(struct tls_session *session, const uint8_t *bytes, size_t size);
/* Says goodbye. */
void tls_session_finish(struct tls_session *session);
/* What is to be sent, also for the handshake; NULL for nothing. The caller is its holder. */
struct shared_bytes *tls_session_take(struct tls_session *session);

#endif
