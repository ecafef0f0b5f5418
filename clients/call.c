/*
 * An attempt connects if there is no connection, sends the request, and waits a few seconds for
 * the reply. It ends in one of three ways:
 *
 *   over     the service answered, or it makes no sense to go on
 *   again    it failed, and the result says how so far; pause, then the next attempt
 *   time up  as "again", but there is no time left for another one
 *
 * The library's own reconnecting is off: after any failure but "no responders" the connection
 * is dropped, and the next attempt makes a new one, to any of the brokers. That leaves one place
 * that decides about retrying.
 */
#include "clients/call.h"

#include "chat.pb-c.h"
#include <nats/nats.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define BACKOFF_FIRST_MS 250
#define BACKOFF_MAX_MS 2000
/* Long enough for a slow disk, and short enough that the default deadline allows a few. */
#define ATTEMPT_MS 3000
#define CONNECT_MS 2000
/* With less time left than this, another attempt could only make a clear failure unclear. */
#define WORTHWHILE_MS 100
#define URLS_TEXT_BYTES 256

enum attempt { ATTEMPT_OVER, ATTEMPT_AGAIN };

struct call {
    const struct call_settings *settings;
    const char *subject;
    const uint8_t *request;
    size_t size;
    uint64_t deadline_ms;
    char urls_text[URLS_TEXT_BYTES];
    natsOptions *options;
    natsConnection *connection; /* NULL: none */
    struct call_result *result;
};

/* ---- Pure parts ---- */

bool call_namespace_is_valid(const char *name)
{
    size_t size = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    return size >= 1 && size <= CALL_NAMESPACE_BYTES_MAX && name[size] == '\0';
}

int call_subject(const char *method, const char *name, char subject[CALL_SUBJECT_BYTES])
{
    if (name == NULL || name[0] == '\0') {
        snprintf(subject, CALL_SUBJECT_BYTES, "chat.%s", method);
        return 0;
    }
    if (!call_namespace_is_valid(name))
        return -1;
    snprintf(subject, CALL_SUBJECT_BYTES, "chat.%s.%s", method, name);
    return 0;
}

uint64_t call_backoff_ms(unsigned failures, uint32_t random)
{
    uint64_t delay_ms = BACKOFF_FIRST_MS;

    for (unsigned i = 1; i < failures && delay_ms < BACKOFF_MAX_MS; i++)
        delay_ms *= 2;
    if (delay_ms > BACKOFF_MAX_MS)
        delay_ms = BACKOFF_MAX_MS;
    return delay_ms - random % (delay_ms / 2 + 1);
}

bool call_url_is_valid(const char *url)
{
    const char *host = strstr(url, "://");
    bool known = host == NULL || strncmp(url, "nats://", 7) == 0 || strncmp(url, "tls://", 6) == 0;

    host = host == NULL ? url : host + strlen("://");
    for (const char *c = url; *c != '\0'; c++)
        known = known && (unsigned char)*c > ' ' && *c != 0x7f;
    return known && host[0] != '\0';
}

/* What is before the last '@' goes: a password with an '@' or '/' that should have been escaped
 * must not be half shown either. */
static void describe_url(const char *url, char *text, size_t size)
{
    const char *at = strrchr(url, '@');
    const char *scheme_end = strstr(url, "://");
    int scheme = scheme_end != NULL && scheme_end < at ? (int)(scheme_end - url) + 3 : 0;

    if (at == NULL)
        snprintf(text, size, "%s", url);
    else
        snprintf(text, size, "%.*s%s", scheme, url, at + 1);
}

void call_describe_urls(const struct option_list *urls, char *text, size_t size)
{
    size_t used = 0;

    snprintf(text, size, "%s", urls->count == 0 ? CALL_DEFAULT_URL : "");
    for (size_t i = 0; i < urls->count && used + 2 < size; i++) {
        if (i > 0)
            text[used++] = ',';
        describe_url(urls->values[i], text + used, size - used);
        used += strlen(text + used);
    }
}

/* ---- Time ---- */

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static uint64_t left_ms(const struct call *call)
{
    uint64_t now = now_ms();

    return now < call->deadline_ms ? call->deadline_ms - now : 0;
}

/* For the library, which takes no time-out of 0. */
static int64_t at_most(const struct call *call, uint64_t limit_ms)
{
    uint64_t left = left_ms(call);

    if (left > limit_ms)
        left = limit_ms;
    return left == 0 ? 1 : (int64_t)left;
}

/* False when the time is up. */
static bool pause_after(const struct call *call, unsigned failures)
{
    uint32_t random = 0;
    uint64_t left = left_ms(call);

    if (left < WORTHWHILE_MS)
        return false;
    /* Without random numbers the pauses are merely regular. */
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        random = 0;
    uint64_t delay_ms = call_backoff_ms(failures, random);
    nats_Sleep((int64_t)(delay_ms < left / 2 ? delay_ms : left / 2));
    return true;
}

/* ---- Outcomes ---- */

/* Puts what went wrong into the result and returns `attempt`. */
__attribute__((format(printf, 3, 4))) static enum attempt
failed(const struct call *call, enum attempt attempt, const char *format, ...)
{
    va_list arguments;

    call->result->outcome = CALL_FAILED;
    va_start(arguments, format);
    vsnprintf(call->result->detail, sizeof call->result->detail, format, arguments);
    va_end(arguments);
    return attempt;
}

static void drop_connection(struct call *call)
{
    natsConnection_Destroy(call->connection);
    call->connection = NULL;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* What the library says of its last failure, without the line of its source in front. */
static const char *reason_of(natsStatus status)
{
    const char *reason = nats_GetLastError(NULL);
    const char *after = given(reason) && reason[0] == '(' ? strstr(reason, "): ") : NULL;

    if (after != NULL)
        reason = after + strlen("): ");
    return given(reason) ? reason : natsStatus_GetText(status);
}

/* ---- Connecting ---- */

static natsStatus set_servers(const struct call_settings *settings, natsOptions *options)
{
    const struct option_list *urls = &settings->nats_urls;
    const char *servers[64];
    size_t count = urls->count < 64 ? urls->count : 64;

    if (count == 0)
        return natsOptions_SetURL(options, CALL_DEFAULT_URL);
    for (size_t i = 0; i < count; i++)
        servers[i] = urls->values[i];
    return natsOptions_SetServers(options, servers, (int)count);
}

static natsStatus set_identity(const struct call_settings *settings, natsOptions *options)
{
    natsStatus status = NATS_OK;

    if (given(settings->user))
        status = natsOptions_SetUserInfo(options, settings->user,
                                         settings->password == NULL ? "" : settings->password);
    if (status == NATS_OK && given(settings->token))
        status = natsOptions_SetToken(options, settings->token);
    if (status == NATS_OK && given(settings->credentials_file))
        status = natsOptions_SetUserCredentialsFromFiles(options, settings->credentials_file, NULL);
    return status;
}

static natsStatus set_tls(const struct call_settings *settings, natsOptions *options)
{
    natsStatus status = NATS_OK;

    if (given(settings->tls_ca_file) || given(settings->tls_cert_file))
        status = natsOptions_SetSecure(options, true);
    if (status == NATS_OK && given(settings->tls_ca_file))
        status = natsOptions_LoadCATrustedCertificates(options, settings->tls_ca_file);
    if (status == NATS_OK && given(settings->tls_cert_file))
        status = natsOptions_LoadCertificatesChain(options, settings->tls_cert_file,
                                                   settings->tls_key_file);
    return status;
}

static enum attempt make_options(struct call *call)
{
    natsStatus status = natsOptions_Create(&call->options);

    if (status == NATS_OK)
        status = natsOptions_SetAllowReconnect(call->options, false);
    if (status == NATS_OK)
        status = natsOptions_SetName(call->options, "chat");
    if (status == NATS_OK)
        status = set_servers(call->settings, call->options);
    if (status == NATS_OK)
        status = set_identity(call->settings, call->options);
    if (status == NATS_OK)
        status = set_tls(call->settings, call->options);
    if (status == NATS_OK)
        return ATTEMPT_AGAIN;
    return failed(call, ATTEMPT_OVER, "the connection's options are not usable: %s",
                  reason_of(status));
}

static enum attempt connect_failed(const struct call *call, natsStatus status)
{
    const char *reason = reason_of(status);

    switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
        return failed(call, ATTEMPT_OVER,
                      "the broker at %s does not let us in (%s); --user and --password, --token or "
                      "--credentials say who we are",
                      call->urls_text, reason);
    case NATS_SECURE_CONNECTION_REQUIRED:
    case NATS_SECURE_CONNECTION_WANTED:
    case NATS_SSL_ERROR:
        return failed(call, ATTEMPT_OVER,
                      "no TLS connection with the broker at %s (%s); see --tls-ca and --tls-cert",
                      call->urls_text, reason);
    case NATS_ADDRESS_MISSING:
    case NATS_INVALID_ARG:
        return failed(call, ATTEMPT_OVER, "%s is no address of a broker (%s), such as %s",
                      call->urls_text, reason, CALL_DEFAULT_URL);
    default:
        return failed(call, ATTEMPT_AGAIN, "the broker at %s cannot be reached (%s)",
                      call->urls_text, reason);
    }
}

static enum attempt connect_to_broker(struct call *call)
{
    natsStatus status = natsOptions_SetTimeout(call->options, at_most(call, CONNECT_MS));

    if (status == NATS_OK)
        status = natsConnection_Connect(&call->connection, call->options);
    return status == NATS_OK ? ATTEMPT_AGAIN : connect_failed(call, status);
}

/* ---- Replies ---- */

/* What an error says is in its body; should that not decode, its headers say the same. */
static void take_error(struct call_result *result, natsMsg *message, const char *code)
{
    Chat__Error *error = chat__error__unpack(NULL, (size_t)natsMsg_GetDataLength(message),
                                             (const uint8_t *)natsMsg_GetData(message));
    const char *detail = NULL;

    result->outcome = CALL_REFUSED;
    result->code = atoi(code);
    if (error != NULL) {
        snprintf(result->id, sizeof result->id, "%s", error->id);
        snprintf(result->detail, sizeof result->detail, "%s", error->detail);
        chat__error__free_unpacked(error, NULL);
        return;
    }
    result->id[0] = '\0';
    if (natsMsgHeader_Get(message, "Nats-Service-Error", &detail) != NATS_OK)
        detail = "";
    snprintf(result->detail, sizeof result->detail, "%s", detail);
}

static enum attempt take_response(const struct call *call, natsMsg *message)
{
    size_t size = (size_t)natsMsg_GetDataLength(message);

    call->result->reply = malloc(size + 1);
    if (call->result->reply == NULL)
        return failed(call, ATTEMPT_OVER, "out of memory");
    if (size > 0)
        memcpy(call->result->reply, natsMsg_GetData(message), size);
    call->result->reply_size = size;
    call->result->outcome = CALL_ANSWERED;
    return ATTEMPT_OVER;
}

static enum attempt take_reply(const struct call *call, natsMsg *message)
{
    const char *code = NULL;

    if (natsMsgHeader_Get(message, "Nats-Service-Error-Code", &code) != NATS_OK)
        return take_response(call, message);
    take_error(call->result, message, code);
    return call->result->code == 503 || call->result->code == 507 ? ATTEMPT_AGAIN : ATTEMPT_OVER;
}

/* The broker tells of a missing permission on the connection, not on the request: a request
 * without one just gets no reply. Without the permission to publish it went nowhere; without the
 * one to subscribe it was delivered, and only the reply is lost. */
static enum attempt no_reply(const struct call *call)
{
    const char *reason = NULL;

    if (natsConnection_GetLastError(call->connection, &reason) != NATS_NOT_PERMITTED) {
        call->result->maybe_done = true;
        return failed(call, ATTEMPT_AGAIN, "no reply on %s from the service", call->subject);
    }
    if (!given(reason) || strcasestr(reason, "for publish") == NULL)
        call->result->maybe_done = true;
    return failed(call, ATTEMPT_OVER,
                  "the broker does not permit it: %s; the user needs to publish on %s and to "
                  "subscribe to _INBOX.>",
                  given(reason) ? reason : "no reason given", call->subject);
}

static enum attempt request_failed(struct call *call, natsStatus status)
{
    enum attempt attempt;

    switch (status) {
    case NATS_NO_RESPONDERS:
        return failed(call, ATTEMPT_AGAIN,
                      "no service answers on %s; is chatd running, and connected to the broker at "
                      "%s?",
                      call->subject, call->urls_text);
    case NATS_MAX_PAYLOAD:
        return failed(call, ATTEMPT_OVER,
                      "the request of %zu bytes is larger than the broker's maximum payload",
                      call->size);
    case NATS_TIMEOUT:
        attempt = no_reply(call);
        break;
    default:
        call->result->maybe_done = true;
        attempt = failed(call, ATTEMPT_AGAIN, "the connection to the broker at %s was lost (%s)",
                         call->urls_text, natsStatus_GetText(status));
        break;
    }
    drop_connection(call);
    return attempt;
}

static enum attempt try_once(struct call *call)
{
    natsMsg *message = NULL;
    natsStatus status;

    if (call->connection == NULL) {
        enum attempt connected = connect_to_broker(call);
        if (call->connection == NULL)
            return connected;
    }
    status = natsConnection_Request(&message, call->connection, call->subject, call->request,
                                    (int)call->size, at_most(call, ATTEMPT_MS));
    if (status != NATS_OK)
        return request_failed(call, status);
    enum attempt attempt = take_reply(call, message);
    natsMsg_Destroy(message);
    return attempt;
}

void call_perform(const struct call_settings *settings, const char *subject, const uint8_t *request,
                  size_t size, struct call_result *result)
{
    struct call call = {
        .settings = settings,
        .subject = subject,
        .request = request,
        .size = size,
        .deadline_ms = now_ms() + settings->timeout_ms,
        .result = result,
    };

    *result = (struct call_result){.outcome = CALL_FAILED};
    call_describe_urls(&settings->nats_urls, call.urls_text, sizeof call.urls_text);
    if (make_options(&call) == ATTEMPT_AGAIN) {
        for (unsigned failures = 1; try_once(&call) == ATTEMPT_AGAIN; failures++) {
            if (!pause_after(&call, failures)) {
                result->timed_out = true;
                break;
            }
        }
    }
    drop_connection(&call);
    natsOptions_Destroy(call.options);
    /* Waits for the library's threads, which still hold memory. */
    nats_CloseAndWait(2000);
}

void call_result_free(struct call_result *result)
{
    free(result->reply);
    result->reply = NULL;
}
