/*
 * "Extra data" of OpenSSL are pointers that a program may hang on its objects. Here they are only
 * used to be called when an object is made or freed, which is on the thread that does it.
 *
 * A socket is shut down with the lock held, and the SSL object, which has it, is not freed
 * meanwhile: that waits for the lock as well.
 *
 * A thread that nobody waits for may come to a handshake while the process exits, and OpenSSL frees
 * what it needs. It gets no further then than to the making of the object.
 */
#include "base/handshake.h"

#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static _Thread_local struct handshake *watching;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static atomic_bool exiting;

static void set_ssl(void *ssl)
{
    pthread_mutex_lock(&watching->lock);
    watching->ssl = ssl;
    watching->checks = 0;
    pthread_mutex_unlock(&watching->lock);
}

static void on_new(void *ssl, void *pointer, CRYPTO_EX_DATA *data, int index, long number,
                   void *argument)
{
    (void)pointer;
    (void)data;
    (void)index;
    (void)number;
    (void)argument;
    if (watching == NULL)
        return;
    while (atomic_load(&exiting))
        (void)pause();
    set_ssl(ssl);
}

static void on_free(void *ssl, void *pointer, CRYPTO_EX_DATA *data, int index, long number,
                    void *argument)
{
    (void)pointer;
    (void)data;
    (void)index;
    (void)number;
    (void)argument;
    if (watching != NULL && watching->ssl == ssl)
        set_ssl(NULL);
}

static void on_exit_begun(void)
{
    atomic_store(&exiting, true);
}

/* Without memory for it, handshakes are not ended. What is to be called at the exit is called
 * before what OpenSSL has told to be, which came first. */
static void listen_to_openssl(void)
{
    (void)SSL_get_ex_new_index(0, NULL, on_new, NULL, on_free);
    (void)atexit(on_exit_begun);
}

int handshake_init(struct handshake *handshake)
{
    *handshake = (struct handshake){.ssl = NULL};
    pthread_once(&once, listen_to_openssl);
    return pthread_mutex_init(&handshake->lock, NULL) == 0 ? 0 : -1;
}

void handshake_destroy(struct handshake *handshake)
{
    pthread_mutex_destroy(&handshake->lock);
}

void handshake_watch(struct handshake *handshake)
{
    watching = handshake;
    set_ssl(NULL);
}

void handshake_unwatch(void)
{
    set_ssl(NULL);
    watching = NULL;
}

/* What reads has come to an end then. To write, an alert maybe, must not raise SIGPIPE. */
static void shut_down(const struct handshake *handshake)
{
    int socket = SSL_get_fd(handshake->ssl);

    if (socket >= 0)
        (void)shutdown(socket, SHUT_RD);
}

void handshake_check(struct handshake *handshake)
{
    pthread_mutex_lock(&handshake->lock);
    if (handshake->ssl != NULL && handshake->checks++ > 0)
        shut_down(handshake);
    pthread_mutex_unlock(&handshake->lock);
}

bool handshake_end(struct handshake *handshake)
{
    bool there;

    pthread_mutex_lock(&handshake->lock);
    there = handshake->ssl != NULL;
    if (there)
        shut_down(handshake);
    pthread_mutex_unlock(&handshake->lock);
    return there;
}
