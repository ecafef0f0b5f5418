/*
 * The client holds together the connection, the calls and the follows, and hands on what the
 * connection has to tell: to the calls first, so that they are on their way before a follow adds
 * its own.
 *
 * Closing: the calls, the follows and the discoveries end, then the connection closes (it takes to
 * the broker what was published); when all of them are gone, so is the client.
 */
#include "clients/libchat/client.h"

#include "base/uuid.h"
#include "base/version.h"
#include "clients/libchat/wire_form.h"
#include <stdio.h>
#include <stdlib.h>

const char *chat_strerror(int status)
{
    switch (status) {
#define X(name, number, text)                                                                      \
    case number:                                                                                   \
        return text;
        CHAT_STATUSES(X)
#undef X
    default:
        return "unknown status";
    }
}

const char *chat_version(void)
{
    return CHAT_VERSION;
}

/* ---- The connection ---- */

static void tell(const struct chat_client *client, int status, const char *detail)
{
    if (client->connection_cb != NULL && !client->closing)
        client->connection_cb(client->data, status, detail);
}

static void on_up(void *data)
{
    struct chat_client *client = data;

    calls_up(client->calls);
    for (struct chat_follow *f = client->follows; f != NULL; f = client->next_follow) {
        client->next_follow = follow_next(f);
        follow_up(f);
    }
    for (struct discovery *d = client->discoveries; d != NULL; d = client->next_discovery) {
        client->next_discovery = discovery_next(d);
        discovery_up(d);
    }
    tell(client, CHAT_OK, connection_urls(client->connection));
}

static void on_down(void *data, int status, const char *detail)
{
    struct chat_client *client = data;

    calls_down(client->calls, status, detail);
    for (struct chat_follow *f = client->follows; f != NULL; f = client->next_follow) {
        client->next_follow = follow_next(f);
        follow_down(f);
    }
    for (struct discovery *d = client->discoveries; d != NULL; d = client->next_discovery) {
        client->next_discovery = discovery_next(d);
        discovery_down(d, status, detail);
    }
    tell(client, status, detail);
}

static void on_denied(void *data, const char *text)
{
    struct chat_client *client = data;

    calls_denied(client->calls, text);
    for (struct chat_follow *f = client->follows; f != NULL; f = client->next_follow) {
        client->next_follow = follow_next(f);
        follow_denied(f, text);
    }
    for (struct discovery *d = client->discoveries; d != NULL; d = client->next_discovery) {
        client->next_discovery = discovery_next(d);
        discovery_denied(d, text);
    }
}

int chat_connect(struct chat_client **result, uv_loop_t *loop, const struct chat_options *options)
{
    struct chat_client *client = calloc(1, sizeof *client);
    const struct connection_handlers handlers = {
        .data = client, .up = on_up, .down = on_down, .denied = on_denied};
    const struct calls_settings settings = {.inbox_prefix = options->inbox_prefix,
                                            .attempt_timeout_ms = options->attempt_timeout_ms};
    int status;

    if (client == NULL)
        return CHAT_ENOMEM;
    client->loop = loop;
    client->data = options->data;
    client->connection_cb = options->connection;
    client->follow_check_interval_ms = options->follow_check_interval_ms;
    snprintf(client->inbox_prefix, sizeof client->inbox_prefix, "%s",
             options->inbox_prefix == NULL || options->inbox_prefix[0] == '\0'
                 ? CALLS_DEFAULT_PREFIX
                 : options->inbox_prefix);
    status = calls_create(&client->calls, &settings);
    if (status != CHAT_OK)
        goto err_after_client;
    status = connection_start(&client->connection, loop, options, &handlers);
    if (status != CHAT_OK)
        goto err_after_calls;
    calls_start(client->calls, loop, client->connection);
    *result = client;
    return CHAT_OK;

err_after_calls:
    calls_destroy(client->calls);
err_after_client:
    free(client);
    return status;
}

/* ---- Calls ---- */

int chat_new(struct chat_client *client, struct chat_call *call,
             const struct chat_new_options *options, chat_call_cb cb)
{
    struct calls_request request;
    int status;

    if (client->closing || cb == NULL)
        return CHAT_EINVAL;
    status = calls_prepare(client->calls, &request, CALLS_NEW, &options->context,
                           wire_form_new(options, NULL));
    if (status != CHAT_OK)
        return status;
    wire_form_new(options, request.bytes);
    calls_submit(client->calls, &request, call, cb, false);
    return CHAT_OK;
}

int chat_send(struct chat_client *client, struct chat_call *call,
              const struct chat_send_options *options, chat_call_cb cb)
{
    struct chat_send_options named = *options;
    char id[UUID_TEXT_BYTES + 1] = "";
    struct calls_request request;
    struct uuid uuid;
    int status;

    if (client->closing || cb == NULL)
        return CHAT_EINVAL;
    if (named.client_id == NULL || named.client_id[0] == '\0') {
        uuid_make(&uuid);
        uuid_format(&uuid, id);
        named.client_id = id;
    }
    status = calls_prepare(client->calls, &request, CALLS_SEND, &named.context,
                           wire_form_send(&named, NULL));
    if (status != CHAT_OK)
        return status;
    wire_form_send(&named, request.bytes);
    calls_submit(client->calls, &request, call, cb, false);
    return CHAT_OK;
}

int client_history(struct chat_client *client, struct chat_call *call,
                   const struct chat_history_options *options, chat_call_cb cb, bool patient)
{
    struct calls_request request;
    int status;

    if (client->closing || cb == NULL)
        return CHAT_EINVAL;
    status = calls_prepare(client->calls, &request, CALLS_HISTORY, &options->context,
                           wire_form_history(options, NULL));
    if (status != CHAT_OK)
        return status;
    wire_form_history(options, request.bytes);
    calls_submit(client->calls, &request, call, cb, patient);
    return CHAT_OK;
}

int chat_history(struct chat_client *client, struct chat_call *call,
                 const struct chat_history_options *options, chat_call_cb cb)
{
    return client_history(client, call, options, cb, false);
}

/* ---- Closing ---- */

static void on_connection_closed(void *data)
{
    struct chat_client *client = data;
    void (*closed)(void *data) = client->closed;
    void *closed_data = client->closed_data;

    free(client);
    if (closed != NULL)
        closed(closed_data);
}

/* The calls, the follows and the discoveries use the connection until they are gone. */
static void close_connection(struct chat_client *client)
{
    if (!client->closing || !client->calls_closed || client->follow_count > 0 ||
        client->discovery_count > 0)
        return;
    connection_close(client->connection, on_connection_closed, client);
}

static void on_calls_closed(void *data)
{
    struct chat_client *client = data;

    client->calls_closed = true;
    close_connection(client);
}

void client_follow_gone(struct chat_client *client)
{
    client->follow_count--;
    close_connection(client);
}

void client_discovery_gone(struct chat_client *client)
{
    client->discovery_count--;
    close_connection(client);
}

void chat_close(struct chat_client *client, void (*closed)(void *data), void *data)
{
    client->closing = true;
    client->closed = closed;
    client->closed_data = data;
    while (client->follows != NULL)
        chat_follow_close(client->follows, NULL, NULL);
    while (client->discoveries != NULL)
        discovery_cancel(client->discoveries);
    calls_close(client->calls, on_calls_closed, client);
}
