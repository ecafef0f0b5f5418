/*
 * Why the library's settings are as they are: what is published is handed to the loop at once
 * (otherwise a thread of the library's does it, a millisecond later); one read takes a large burst;
 * a connection that is lost is made again, since a broker that restarts may be part of a test. What
 * was under way then times out, and is counted.
 */
#include "clients/bench/bench_link.h"

#include "clients/bench/bench_adapter.h"
#include "clients/libchat/address.h"
#include "clients/libchat/chat.h"
#include <stdlib.h>
#include <string.h>

/* Taken from a subscription at a time. */
#define BURST_MESSAGES 256
#define QUEUE_GROUP "q"
#define CONNECT_TIMEOUT_MS 2000
#define READ_BYTES (128 * 1024)
#define RECONNECT_WAIT_MS 100
#define LIBRARY_STOP_MS 2000
/* Turns of the loop that closing takes at most; the adapter needs two or three. */
#define CLOSING_TURNS 100

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static natsStatus set_servers(natsOptions *options, const struct option_list *urls)
{
    if (urls->count == 0)
        return natsOptions_SetURL(options, CHAT_DEFAULT_URL);
    return natsOptions_SetServers(options, (const char **)(void *)urls->values, (int)urls->count);
}

static natsStatus set_identity(natsOptions *options, const struct link_settings *s)
{
    natsStatus status = NATS_OK;

    if (given(s->user))
        status = natsOptions_SetUserInfo(options, s->user, given(s->password) ? s->password : "");
    if (status == NATS_OK && given(s->token))
        status = natsOptions_SetToken(options, s->token);
    if (status == NATS_OK && given(s->credentials_file))
        status = natsOptions_SetUserCredentialsFromFiles(options, s->credentials_file, NULL);
    return status;
}

static natsStatus set_tls(natsOptions *options, const struct link_settings *s)
{
    natsStatus status = NATS_OK;

    if (given(s->tls_ca_file) || given(s->tls_cert_file))
        status = natsOptions_SetSecure(options, true);
    if (status == NATS_OK && given(s->tls_ca_file))
        status = natsOptions_LoadCATrustedCertificates(options, s->tls_ca_file);
    if (status == NATS_OK && given(s->tls_cert_file))
        status = natsOptions_LoadCertificatesChain(options, s->tls_cert_file, s->tls_key_file);
    return status;
}

static natsStatus set_behaviour(natsOptions *o)
{
    natsStatus status;

    if ((status = natsOptions_SetName(o, "chat-bench")) == NATS_OK &&
        (status = natsOptions_SetTimeout(o, CONNECT_TIMEOUT_MS)) == NATS_OK &&
        (status = natsOptions_SetSendAsap(o, true)) == NATS_OK &&
        (status = natsOptions_SetIOBufSize(o, READ_BYTES)) == NATS_OK &&
        (status = natsOptions_SetMaxReconnect(o, -1)) == NATS_OK)
        status = natsOptions_SetReconnectWait(o, RECONNECT_WAIT_MS);
    return status;
}

static natsStatus make_options(struct links *links, const struct link_settings *settings)
{
    natsStatus status = natsOptions_Create(&links->options);

    if (status == NATS_OK)
        status = set_behaviour(links->options);
    if (status == NATS_OK)
        status = set_servers(links->options, &settings->nats_urls);
    if (status == NATS_OK)
        status = set_identity(links->options, settings);
    if (status == NATS_OK)
        status = set_tls(links->options, settings);
    if (status == NATS_OK)
        status = bench_adapter_install(links->options, links->loop);
    return status;
}

static natsStatus subscribe_to_inbox(struct link *link)
{
    char subject[LINK_INBOX_BYTES + 2];
    natsInbox *inbox = NULL;
    natsStatus status = natsInbox_Create(&inbox);

    if (status != NATS_OK)
        return status;
    snprintf(link->inbox, sizeof link->inbox, "%s.", inbox);
    natsInbox_Destroy(inbox);
    snprintf(subject, sizeof subject, "%s*", link->inbox);
    return natsConnection_SubscribeSync(&link->subscription, link->connection, subject);
}

static natsStatus open_link(struct links *links, struct link *link, const char *subject)
{
    natsStatus status = natsConnection_Connect(&link->connection, links->options);

    if (status != NATS_OK)
        return status;
    status = subject == NULL ? subscribe_to_inbox(link)
                             : natsConnection_QueueSubscribeSync(
                                   &link->subscription, link->connection, subject, QUEUE_GROUP);
    if (status == NATS_OK)
        status = natsSubscription_SetPendingLimits(link->subscription, -1, -1);
    return status;
}

int links_open(struct links *links, uv_loop_t *loop, const struct link_settings *settings,
               size_t count, const char *subject, FILE *err)
{
    char urls[256];
    natsStatus status;

    *links = (struct links){.loop = loop, .links = calloc(count, sizeof(struct link))};
    status = links->links == NULL ? NATS_NO_MEMORY : make_options(links, settings);
    while (status == NATS_OK && links->count < count)
        status = open_link(links, &links->links[links->count++], subject);
    if (status == NATS_OK)
        return 0;
    address_describe((const char *const *)settings->nats_urls.values, settings->nats_urls.count,
                     urls, sizeof urls);
    fprintf(err, "chat-bench: no connection to the broker at %s: %s\n", urls,
            natsStatus_GetText(status));
    links_close(links);
    return -1;
}

static size_t drain(struct links *links, struct link *link,
                    void (*receive)(void *data, natsMsg *message), void *data)
{
    natsMsg *burst[BURST_MESSAGES];
    uint64_t queued = 0;
    size_t received = 0;

    if (natsSubscription_QueuedMsgs(link->subscription, &queued) != NATS_OK)
        return 0;
    while (queued > 0) {
        size_t count = 0;
        for (size_t i = 0; i < BURST_MESSAGES && queued > 0; i++, queued--) {
            natsStatus status = natsSubscription_NextMsg(&burst[count], link->subscription, 0);
            links->nobody += status == NATS_NO_RESPONDERS;
            if (status == NATS_OK)
                receive(data, burst[count++]);
        }
        received += count;
        /* Together, as the service does it: the library wakes a thread for the first only. */
        while (count > 0)
            natsMsg_Destroy(burst[--count]);
    }
    return received;
}

size_t links_drain(struct links *links, void (*receive)(void *data, natsMsg *message), void *data)
{
    size_t received = 0;

    for (size_t i = 0; i < links->count; i++)
        received += drain(links, &links->links[i], receive, data);
    return received;
}

void links_close(struct links *links)
{
    for (size_t i = 0; i < links->count; i++)
        natsConnection_Close(links->links[i].connection);
    /* The adapter's handles refer to the connection until the loop has closed them. */
    for (int turn = 0; turn < CLOSING_TURNS && uv_run(links->loop, UV_RUN_NOWAIT) != 0; turn++)
        continue;
    for (size_t i = 0; i < links->count; i++) {
        natsSubscription_Destroy(links->links[i].subscription);
        natsConnection_Destroy(links->links[i].connection);
    }
    natsOptions_Destroy(links->options);
    free(links->links);
    *links = (struct links){0};
}

void links_end_library(void)
{
    nats_CloseAndWait(LIBRARY_STOP_MS);
}
