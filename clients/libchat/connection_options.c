/*
 * Why the library's options are as they are:
 *
 * - Its own reconnecting is off: the connection decides when to try again, in one place, and asks
 *   the broker anew for what it wants to hear.
 * - What is published is handed to the loop at once, without the library's flusher thread.
 * - One read takes a large burst from the socket.
 * - A broker that does not answer two pings, ten seconds apart, is gone.
 * - tls:// means nothing to the library, which then talks in the clear to whoever offers no TLS:
 *   one such address makes TLS a must for all.
 */
#include "clients/libchat/connection_options.h"

#include "base/broker_url.h"
#include "base/nkey.h"
#include "clients/libchat/address.h"
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECT_TIMEOUT_MS 2000
#define READ_BYTES (128 * 1024)
#define PING_INTERVAL_MS 10000
#define PINGS_OUTSTANDING 2

struct connection_options {
    natsOptions *nats;
    char *nkey_seed_file; /* what `nats` refers to */
    atomic_uint holders;
};

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool is_readable(const char *path)
{
    return !given(path) || access(path, R_OK) == 0;
}

static bool is_valid(const struct chat_options *options)
{
    for (size_t i = 0; i < options->url_count; i++) {
        if (!chat_url_is_valid(options->urls[i]))
            return false;
    }
    return options->url_count <= INT_MAX &&
           given(options->tls_cert_file) == given(options->tls_key_file) &&
           (given(options->user) || !given(options->password)) &&
           (!given(options->inbox_prefix) || address_prefix_is_valid(options->inbox_prefix)) &&
           is_readable(options->nkey_seed_file) && is_readable(options->credentials_file) &&
           is_readable(options->tls_ca_file) && is_readable(options->tls_cert_file) &&
           is_readable(options->tls_key_file);
}

static natsStatus set_behaviour(natsOptions *o, const struct chat_options *options)
{
    natsStatus status = natsOptions_SetName(o, given(options->name) ? options->name : "libchat");

    if (status == NATS_OK)
        status = natsOptions_SetAllowReconnect(o, false);
    if (status == NATS_OK)
        status = natsOptions_SetTimeout(o, CONNECT_TIMEOUT_MS);
    if (status == NATS_OK)
        status = natsOptions_SetSendAsap(o, true);
    if (status == NATS_OK)
        status = natsOptions_SetIOBufSize(o, READ_BYTES);
    if (status == NATS_OK)
        status = natsOptions_SetPingInterval(o, PING_INTERVAL_MS);
    return status == NATS_OK ? natsOptions_SetMaxPingsOut(o, PINGS_OUTSTANDING) : status;
}

static natsStatus set_servers(natsOptions *o, const struct chat_options *options)
{
    if (options->url_count == 0)
        return natsOptions_SetURL(o, CHAT_DEFAULT_URL);
    /* The library copies them, and does not say so in its type. */
    return natsOptions_SetServers(o, (const char **)(uintptr_t)options->urls,
                                  (int)options->url_count);
}

/* Reads the file anew, so that a new seed of the same user needs no restart; the path is the one
 * that is kept with the options. */
static natsStatus sign(char **error, unsigned char **signature, int *size, const char *nonce,
                       void *data)
{
    char seed[NKEY_TEXT_BYTES];
    const char *problem;
    natsStatus status;

    if (nkey_read_seed(data, seed, &problem) != 0) {
        *error = strdup("the file with the nkey seed is not usable any more");
        return NATS_ERR;
    }
    status = nats_Sign(seed, nonce, signature, size);
    nkey_forget(seed);
    return status;
}

static natsStatus set_nkey(natsOptions *o, const char *path)
{
    char public_key[NKEY_TEXT_BYTES];
    char seed[NKEY_TEXT_BYTES];
    const char *problem;
    int known = nkey_read_seed(path, seed, &problem);

    if (known == 0)
        known = nkey_public_key(seed, public_key);
    nkey_forget(seed);
    if (known != 0)
        return NATS_INVALID_ARG;
    return natsOptions_SetNKey(o, public_key, sign, (void *)(uintptr_t)path);
}

static bool wants_tls(const struct chat_options *options)
{
    bool wanted = given(options->tls_ca_file) || given(options->tls_cert_file);

    for (size_t i = 0; i < options->url_count; i++)
        wanted = wanted || broker_url_is_tls(options->urls[i]);
    return wanted;
}

static natsStatus set_identity(natsOptions *o, const struct chat_options *options)
{
    natsStatus status = NATS_OK;

    if (given(options->user))
        status = natsOptions_SetUserInfo(o, options->user,
                                         options->password == NULL ? "" : options->password);
    if (status == NATS_OK && given(options->token))
        status = natsOptions_SetToken(o, options->token);
    if (status == NATS_OK && given(options->nkey_seed_file))
        status = set_nkey(o, options->nkey_seed_file);
    if (status == NATS_OK && given(options->credentials_file))
        status = natsOptions_SetUserCredentialsFromFiles(o, options->credentials_file, NULL);
    return status;
}

static natsStatus set_tls(natsOptions *o, const struct chat_options *options)
{
    natsStatus status = NATS_OK;

    if (wants_tls(options))
        status = natsOptions_SetSecure(o, true);
    if (status == NATS_OK && given(options->tls_ca_file))
        status = natsOptions_LoadCATrustedCertificates(o, options->tls_ca_file);
    if (status == NATS_OK && given(options->tls_cert_file))
        status =
            natsOptions_LoadCertificatesChain(o, options->tls_cert_file, options->tls_key_file);
    return status;
}

static int status_of(natsStatus status)
{
    if (status == NATS_OK)
        return CHAT_OK;
    return status == NATS_NO_MEMORY ? CHAT_ENOMEM : CHAT_EINVAL;
}

static int fill(struct connection_options *o, const struct chat_options *options)
{
    struct chat_options kept = *options;
    natsStatus status;

    if (given(options->nkey_seed_file)) {
        o->nkey_seed_file = strdup(options->nkey_seed_file);
        if (o->nkey_seed_file == NULL)
            return CHAT_ENOMEM;
        kept.nkey_seed_file = o->nkey_seed_file;
    }
    if (natsOptions_Create(&o->nats) != NATS_OK)
        return CHAT_ESYSTEM;
    status = set_behaviour(o->nats, &kept);
    if (status == NATS_OK)
        status = set_servers(o->nats, &kept);
    if (status == NATS_OK)
        status = set_identity(o->nats, &kept);
    if (status == NATS_OK)
        status = set_tls(o->nats, &kept);
    return status_of(status);
}

int connection_options_create(struct connection_options **result,
                              const struct chat_options *options)
{
    struct connection_options *o;
    int status;

    if (!is_valid(options))
        return CHAT_EINVAL;
    o = calloc(1, sizeof *o);
    if (o == NULL)
        return CHAT_ENOMEM;
    atomic_init(&o->holders, 1);
    status = fill(o, options);
    if (status == CHAT_OK)
        *result = o;
    else
        connection_options_release(o);
    return status;
}

struct connection_options *connection_options_hold(struct connection_options *options)
{
    atomic_fetch_add(&options->holders, 1);
    return options;
}

void connection_options_release(struct connection_options *options)
{
    if (atomic_fetch_sub(&options->holders, 1) > 1)
        return;
    natsOptions_Destroy(options->nats);
    free(options->nkey_seed_file);
    free(options);
}

natsOptions *connection_options_nats(struct connection_options *options)
{
    return options->nats;
}
