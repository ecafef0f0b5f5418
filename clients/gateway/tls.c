/* Memory on both sides of an SSL: what the socket brought goes into one, what it is to take comes
 * out of the other. */
#include "clients/gateway/tls.h"

#include "base/log.h"
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>

struct tls_context {
    SSL_CTX *ctx;
};

struct tls_session {
    SSL *ssl;
    BIO *input;
    BIO *output;
    bool finished;
};

static void log_failure(const char *what, const char *file)
{
    char text[256];

    ERR_error_string_n(ERR_peek_last_error(), text, sizeof text);
    LOG_ERROR("tls.unusable", log_text("what", what), log_text("file", file),
              log_text("detail", text));
    ERR_clear_error();
}

/* The only protocol there is behind it; whoever offers h2 alone is refused. */
static int choose_protocol(SSL *ssl, const unsigned char **out, unsigned char *out_size,
                           const unsigned char *in, unsigned in_size, void *data)
{
    static const unsigned char ours[] = "\x08http/1.1";

    (void)ssl;
    (void)data;
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_size, ours, sizeof ours - 1, in,
                              in_size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

struct tls_context *tls_context_create(const char *cert_file, const char *key_file)
{
    struct tls_context *context = calloc(1, sizeof *context);

    if (context == NULL)
        return NULL;
    context->ctx = SSL_CTX_new(TLS_server_method());
    if (context->ctx == NULL) {
        log_failure("OpenSSL", "");
    } else if (SSL_CTX_use_certificate_chain_file(context->ctx, cert_file) != 1) {
        log_failure("the certificates cannot be used", cert_file);
    } else if (SSL_CTX_use_PrivateKey_file(context->ctx, key_file, SSL_FILETYPE_PEM) != 1 ||
               SSL_CTX_check_private_key(context->ctx) != 1) {
        log_failure("the key cannot be used, or is not the certificate's", key_file);
    } else {
        SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION);
        SSL_CTX_set_options(context->ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                              SSL_OP_CIPHER_SERVER_PREFERENCE);
        SSL_CTX_set_mode(context->ctx, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_alpn_select_cb(context->ctx, choose_protocol, NULL);
        return context;
    }
    tls_context_destroy(context);
    return NULL;
}

void tls_context_destroy(struct tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ctx);
    free(context);
}

struct tls_session *tls_session_create(struct tls_context *context)
{
    struct tls_session *session = calloc(1, sizeof *session);

    if (session == NULL)
        return NULL;
    session->ssl = SSL_new(context->ctx);
    session->input = BIO_new(BIO_s_mem());
    session->output = BIO_new(BIO_s_mem());
    if (session->ssl == NULL || session->input == NULL || session->output == NULL) {
        BIO_free(session->input);
        BIO_free(session->output);
        SSL_free(session->ssl);
        free(session);
        return NULL;
    }
    SSL_set_bio(session->ssl, session->input, session->output); /* which takes them */
    SSL_set_accept_state(session->ssl);
    return session;
}

void tls_session_destroy(struct tls_session *session)
{
    if (session == NULL)
        return;
    SSL_free(session->ssl);
    free(session);
}

int tls_session_feed(struct tls_session *session, const char *bytes, size_t size)
{
    return BIO_write(session->input, bytes, (int)size) == (int)size ? 0 : -1;
}

int tls_session_open(struct tls_session *session, char *bytes, size_t size)
{
    int count;
    int error;

    ERR_clear_error();
    count = SSL_read(session->ssl, bytes, (int)size);
    if (count > 0)
        return count;
    error = SSL_get_error(session->ssl, count);
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

bool tls_session_is_ready(const struct tls_session *session)
{
    return SSL_is_init_finished(session->ssl);
}

int tls_session_seal(struct tls_session *session, const uint8_t *bytes, size_t size)
{
    ERR_clear_error();
    return SSL_write(session->ssl, bytes, (int)size) == (int)size ? 0 : -1;
}

void tls_session_finish(struct tls_session *session)
{
    if (session->finished || !SSL_is_init_finished(session->ssl))
        return;
    session->finished = true;
    ERR_clear_error();
    (void)SSL_shutdown(session->ssl);
}

struct shared_bytes *tls_session_take(struct tls_session *session)
{
    size_t size = BIO_ctrl_pending(session->output);
    struct shared_bytes *bytes;

    if (size == 0)
        return NULL;
    bytes = shared_bytes_make(size);
    (void)BIO_read(session->output, bytes->data, (int)size);
    return bytes;
}
