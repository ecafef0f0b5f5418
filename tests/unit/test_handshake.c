/* A TLS handshake with somebody who does not answer, and how it ends. */
#include "base/handshake.h"

#include <openssl/ssl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct attempt {
    struct handshake handshake;
    int socket;
    int result; /* of the handshake */
};

static void *shake(void *data)
{
    struct attempt *attempt = data;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl;

    handshake_watch(&attempt->handshake);
    ssl = SSL_new(context);
    SSL_set_fd(ssl, attempt->socket);
    attempt->result = SSL_connect(ssl);
    SSL_free(ssl);
    handshake_unwatch();
    SSL_CTX_free(context);
    return NULL;
}

static void with_silence(bool (*end)(struct handshake *handshake))
{
    struct attempt attempt = {.result = 1};
    pthread_t thread;
    int sockets[2];
    char byte;

    assert_int_equal(handshake_init(&attempt.handshake), 0);
    assert_false(handshake_end(&attempt.handshake));
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
    attempt.socket = sockets[0];
    assert_int_equal(pthread_create(&thread, NULL, shake, &attempt), 0);
    assert_int_equal(read(sockets[1], &byte, 1), 1); /* it has begun */
    assert_true(end(&attempt.handshake));
    pthread_join(thread, NULL); /* hangs when it has no end */
    assert_true(attempt.result <= 0);
    assert_false(handshake_end(&attempt.handshake));
    close(sockets[0]);
    close(sockets[1]);
    handshake_destroy(&attempt.handshake);
}

/* The first look finds it, the second one ends it. */
static bool check_twice(struct handshake *handshake)
{
    handshake_check(handshake);
    pthread_mutex_lock(&handshake->lock);
    assert_non_null(handshake->ssl);
    assert_int_equal(handshake->checks, 1);
    pthread_mutex_unlock(&handshake->lock);
    handshake_check(handshake);
    return true;
}

static void test_ended_at_once(void **state)
{
    (void)state;
    with_silence(handshake_end);
}

static void test_ended_at_the_second_check(void **state)
{
    (void)state;
    with_silence(check_twice);
}

/* Handshakes of threads that are not watched are nobody's. */
static void test_others(void **state)
{
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    struct handshake handshake;
    SSL *ssl;

    (void)state;
    assert_int_equal(handshake_init(&handshake), 0);
    ssl = SSL_new(context);
    assert_false(handshake_end(&handshake));
    handshake_watch(&handshake);
    SSL_free(ssl);
    handshake_unwatch();
    assert_false(handshake_end(&handshake));
    SSL_CTX_free(context);
    handshake_destroy(&handshake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ended_at_once),
        cmocka_unit_test(test_ended_at_the_second_check),
        cmocka_unit_test(test_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
