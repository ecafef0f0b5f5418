/*
 * An end for TLS handshakes that the other side leaves hanging.
 *
 * The NATS library gives a broker two seconds for each step of connecting but the handshake, in
 * which it reads until something comes, for ever (as of 3.10). It shows nobody its socket, either.
 * But OpenSSL tells of each SSL object that is made: so the one that the thread which connects
 * makes is known here, and its socket can be shut down.
 *
 * The struct is embedded. Functions are for any thread, unless they say otherwise.
 */
#ifndef BASE_HANDSHAKE_H
#define BASE_HANDSHAKE_H

#include <pthread.h>
#include <stdbool.h>

struct handshake {
    pthread_mutex_t lock; /* over what follows */
    void *ssl;            /* the SSL object, or NULL */
    unsigned checks;      /* that it has lived to see */
};

int handshake_init(struct handshake *handshake); /* 0 or -1 */
void handshake_destroy(struct handshake *handshake);

/* Before and after connecting, on the thread that does. */
void handshake_watch(struct handshake *handshake);
void handshake_unwatch(void);

/* To be called now and then: ends a handshake that was going on the last time, too. */
void handshake_check(struct handshake *handshake);
/* Ends it now; false if there is none. */
bool handshake_end(struct handshake *handshake);

#endif
