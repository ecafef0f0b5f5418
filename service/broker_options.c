/*
 * Why the library's settings are as they are:
 *
 * - It does not reconnect: broker.c makes a new connection instead. On an event loop the library's
 *   parser lives on when the socket is replaced (as of 3.10, and
 * github.com/nats-io/nats.c/issues/1007): a message that the cut left half read would be completed
 * with what the new socket brings.
 * - Published bytes are handed to the loop at once: without that its flusher thread adds a
 *   millisecond to each reply.
 * - One read takes a large burst from the socket, and all of it is then submitted together.
 * - tls:// means nothing to the library, which then talks in the clear to a broker that offers no
 *   TLS: one such address makes TLS a must for all. With TLS it checks that the certificate is for
 *   the host of the address, name or IP, by itself.
 */
#include "service/broker_options.h"

#include "base/broker_url.h"
#include "base/log.h"
#include "base/nkey.h"
#include "service/nats_url.h"
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_URL "nats://127.0.0.1:4222"
#define CONNECT_TIMEOUT_MS 2000
#define PING_INTERVAL_MS 20000
#define PINGS_OUTSTANDING 2

static int bad_setting(const char *name, const char *value, natsStatus status)
{
    LOG_ERROR("broker.bad_setting", log_text("option", name), log_text("value", value),
              log_text("error", natsStatus_GetText(status)));
    return -1;
}

static int set_urls(natsOptions *options, const struct option_list *urls)
{
    const char *default_url = DEFAULT_URL;
    char text[NATS_URL_TEXT_BYTES];
    natsStatus status;

    if (urls->count == 0)
        status = natsOptions_SetServers(options, &default_url, 1);
    else
        status =
            natsOptions_SetServers(options, (const char **)(void *)urls->values, (int)urls->count);
    if (status == NATS_OK)
        return 0;
    nats_urls_without_credentials(urls->values, urls->count, text, sizeof text);
    return bad_setting("nats-url", text, status);
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* Called at each attempt to connect, on the loop or a thread of the library. Reads the file anew,
 * so that it can be replaced. */
static natsStatus sign(char **error, unsigned char **signature, int *size, const char *nonce,
                       void *data)
{
    char seed[NKEY_TEXT_BYTES];
    const char *problem;
    natsStatus status;

    if (nkey_read_seed(data, seed, &problem) != 0) {
        *error = strdup("the file of --nkey-seed is not usable any more");
        return NATS_ERR;
    }
    status = nats_Sign(seed, nonce, signature, size);
    nkey_forget(seed);
    return status;
}

static int set_nkey(natsOptions *options, const char *path)
{
    char public_key[NKEY_TEXT_BYTES];
    char seed[NKEY_TEXT_BYTES];
    const char *problem;
    natsStatus status;

    if (nkey_read_seed(path, seed, &problem) != 0 || nkey_public_key(seed, public_key) != 0) {
        LOG_ERROR("broker.bad_setting", log_text("option", "nkey-seed"), log_text("value", path),
                  log_text("error", problem));
        return -1;
    }
    nkey_forget(seed);
    status = natsOptions_SetNKey(options, public_key, sign, (void *)(uintptr_t)path);
    return status == NATS_OK ? 0 : bad_setting("nkey-seed", path, status);
}

static bool wants_tls(const struct broker_settings *s)
{
    bool wanted = given(s->tls_ca) || given(s->tls_cert);

    for (size_t i = 0; i < s->urls.count; i++)
        wanted = wanted || broker_url_is_tls(s->urls.values[i]);
    return wanted;
}

static int set_identity(natsOptions *options, const struct broker_settings *s)
{
    natsStatus status;

    if (given(s->user)) {
        status = natsOptions_SetUserInfo(options, s->user, given(s->password) ? s->password : "");
        if (status != NATS_OK)
            return bad_setting("user", s->user, status);
    }
    if (given(s->token)) {
        status = natsOptions_SetToken(options, s->token);
        if (status != NATS_OK)
            return bad_setting("token", "(not shown)", status);
    }
    if (given(s->nkey_seed) && set_nkey(options, s->nkey_seed) != 0)
        return -1;
    if (given(s->credentials)) {
        /* The library reads it when it connects, and would only ever say that it could not. */
        if (access(s->credentials, R_OK) != 0)
            return bad_setting("credentials", s->credentials, NATS_NOT_FOUND);
        status = natsOptions_SetUserCredentialsFromFiles(options, s->credentials, NULL);
        if (status != NATS_OK)
            return bad_setting("credentials", s->credentials, status);
    }
    return 0;
}

static int set_tls(natsOptions *options, const struct broker_settings *s)
{
    natsStatus status;

    if (wants_tls(s)) {
        status = natsOptions_SetSecure(options, true);
        if (status != NATS_OK)
            return bad_setting("nats-url", "tls://", status);
    }
    if (given(s->tls_ca)) {
        status = natsOptions_LoadCATrustedCertificates(options, s->tls_ca);
        if (status != NATS_OK)
            return bad_setting("tls-ca", s->tls_ca, status);
    }
    if (given(s->tls_cert)) {
        status = natsOptions_LoadCertificatesChain(options, s->tls_cert, s->tls_key);
        if (status != NATS_OK)
            return bad_setting("tls-cert", s->tls_cert, status);
    }
    return 0;
}

static natsStatus set_behaviour(natsOptions *o, const char *name, size_t read_bytes)
{
    natsStatus status;

    if ((status = natsOptions_SetName(o, name)) == NATS_OK &&
        (status = natsOptions_SetTimeout(o, CONNECT_TIMEOUT_MS)) == NATS_OK &&
        (status = natsOptions_SetSendAsap(o, true)) == NATS_OK &&
        (status = natsOptions_SetIOBufSize(o, (int)read_bytes)) == NATS_OK &&
        (status = natsOptions_SetAllowReconnect(o, false)) == NATS_OK &&
        (status = natsOptions_SetPingInterval(o, PING_INTERVAL_MS)) == NATS_OK)
        status = natsOptions_SetMaxPingsOut(o, PINGS_OUTSTANDING);
    return status;
}

int broker_options_create(natsOptions **options, const struct broker_settings *settings,
                          const char *name, size_t read_bytes)
{
    natsStatus status = natsOptions_Create(options);

    if (status != NATS_OK)
        return bad_setting("all", "", status);
    status = set_behaviour(*options, name, read_bytes);
    if (status != NATS_OK)
        bad_setting("all", "", status);
    if (status == NATS_OK && set_urls(*options, &settings->urls) == 0 &&
        set_identity(*options, settings) == 0 && set_tls(*options, settings) == 0)
        return 0;
    natsOptions_Destroy(*options);
    *options = NULL;
    return -1;
}
