/*
 *     WAITING ──(connection)──▶ ASKED ──(time is up, enough answers, nobody there)──▶ over: done
 *        │                        │
 *        └──(no connection in time, lost, not permitted, cancelled)──────────────▶ over: done
 *
 * Each has an inbox of its own, with a subscription that lasts as long as the question, and a
 * timer. What comes to the inbox is handed on as it is. Over, it waits for its timer to be closed,
 * and then it is gone.
 *
 * Nobody there is an answer, not a failure: the broker says so at once when no instance has
 * subscribed.
 */
#include "clients/libchat/discovery.h"

#include "base/uuid.h"
#include "clients/libchat/client.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_WAIT_MS 1000
#define SERVICE_NAME "chat"
#define INBOX_BYTES (CLIENT_PREFIX_BYTES + UUID_TEXT_BYTES + 2)
#define SUBJECT_BYTES 128
#define DETAIL_BYTES 768

enum discovery_state { DISCOVERY_WAITING, DISCOVERY_ASKED, DISCOVERY_CANCELLED, DISCOVERY_OVER };

struct discovery {
    struct chat_client *client;
    struct chat_discovery *caller; /* NULL: over */
    enum discovery_state state;
    size_t enough; /* 0: never */
    uv_timer_t timer;
    struct connection_subscription subscription;
    struct discovery *next;
    struct discovery *previous;
    char subject[SUBJECT_BYTES];
    char inbox[INBOX_BYTES];
    char detail[DETAIL_BYTES]; /* why it failed, were this the end */
};

/* ---- The end ---- */

static void on_timer_closed(uv_handle_t *handle)
{
    struct discovery *discovery = handle->data;
    struct chat_client *client = discovery->client;

    free(discovery);
    client_discovery_gone(client);
}

static void unlink_discovery(struct discovery *discovery)
{
    struct chat_client *client = discovery->client;

    if (client->next_discovery == discovery)
        client->next_discovery = discovery->next;
    if (discovery->previous != NULL)
        discovery->previous->next = discovery->next;
    else
        client->discoveries = discovery->next;
    if (discovery->next != NULL)
        discovery->next->previous = discovery->previous;
}

static void finish(struct discovery *discovery, int status)
{
    struct chat_discovery *caller = discovery->caller;

    discovery->state = DISCOVERY_OVER;
    discovery->caller = NULL;
    unlink_discovery(discovery);
    connection_unsubscribe(discovery->client->connection, &discovery->subscription);
    uv_close((uv_handle_t *)&discovery->timer, on_timer_closed);
    caller->internal = NULL;
    caller->status = status;
    caller->detail = status == CHAT_OK ? "" : discovery->detail;
    caller->done(caller);
}

static void on_timer(uv_timer_t *timer)
{
    struct discovery *discovery = timer->data;

    if (discovery->state == DISCOVERY_CANCELLED)
        discovery_cancel(discovery);
    else
        finish(discovery, discovery->state == DISCOVERY_ASKED ? CHAT_OK : CHAT_ECONNECT);
}

/* ---- Asking and hearing ---- */

static void on_reply(void *data, natsMsg *message)
{
    struct discovery *discovery = data;
    struct chat_discovery *caller = discovery->caller;
    bool enough = ++caller->replies == discovery->enough;

    caller->reply(caller, natsMsg_GetData(message), (size_t)natsMsg_GetDataLength(message));
    /* It may have been cancelled from in there. */
    if (discovery->caller == caller && enough)
        finish(discovery, CHAT_OK);
}

static void on_no_responders(void *data)
{
    finish(data, CHAT_OK);
}

void discovery_up(struct discovery *discovery)
{
    if (discovery->state == DISCOVERY_WAITING &&
        connection_publish(discovery->client->connection, discovery->subject, discovery->inbox,
                           NULL, NULL, NULL, 0) == NATS_OK)
        discovery->state = DISCOVERY_ASKED;
}

void discovery_down(struct discovery *discovery, int status, const char *detail)
{
    if (discovery->state == DISCOVERY_CANCELLED)
        return;
    snprintf(discovery->detail, sizeof discovery->detail, "%s", detail);
    if (discovery->state == DISCOVERY_ASKED || status == CHAT_EDENIED)
        finish(discovery, status);
}

void discovery_denied(struct discovery *discovery, const char *text)
{
    char quoted[SUBJECT_BYTES + 2];

    snprintf(quoted, sizeof quoted, "\"%s\"", discovery->subject);
    if (discovery->state == DISCOVERY_CANCELLED)
        return;
    if (strstr(text, quoted) == NULL && strstr(text, discovery->inbox) == NULL)
        return;
    snprintf(discovery->detail, sizeof discovery->detail,
             "the broker does not permit it: %s; the user needs to publish on %s and to subscribe "
             "to %s",
             text, discovery->subject, discovery->inbox);
    finish(discovery, CHAT_EDENIED);
}

void discovery_cancel(struct discovery *discovery)
{
    snprintf(discovery->detail, sizeof discovery->detail, "it was cancelled");
    finish(discovery, CHAT_ECANCELED);
}

struct discovery *discovery_next(const struct discovery *discovery)
{
    return discovery->next;
}

/* ---- Beginning ---- */

void chat_discover_cancel(struct chat_discovery *caller)
{
    struct discovery *discovery = caller->internal;

    if (discovery == NULL)
        return;
    discovery->state = DISCOVERY_CANCELLED;
    connection_unsubscribe(discovery->client->connection, &discovery->subscription);
    uv_timer_start(&discovery->timer, on_timer, 0, 0);
}

static void set_addresses(struct discovery *discovery, const struct chat_discover_options *options)
{
    static const char *const verbs[] = {[CHAT_DISCOVER_PING] = "PING",
                                        [CHAT_DISCOVER_INFO] = "INFO",
                                        [CHAT_DISCOVER_STATS] = "STATS"};
    const char *id = options->instance_id == NULL ? "" : options->instance_id;
    char unique[UUID_TEXT_BYTES + 1] = "";
    struct uuid uuid;

    uuid_make(&uuid);
    uuid_format(&uuid, unique);
    snprintf(discovery->inbox, sizeof discovery->inbox, "%s.%s", discovery->client->inbox_prefix,
             unique);
    snprintf(discovery->subject, sizeof discovery->subject, "$SRV.%s." SERVICE_NAME "%s%s",
             verbs[options->kind], id[0] == '\0' ? "" : ".", id);
    snprintf(discovery->detail, sizeof discovery->detail,
             "there is no connection to the broker at %s",
             connection_urls(discovery->client->connection));
}

static void link_discovery(struct chat_client *client, struct discovery *discovery)
{
    discovery->next = client->discoveries;
    if (discovery->next != NULL)
        discovery->next->previous = discovery;
    client->discoveries = discovery;
    client->discovery_count++;
}

int chat_discover(struct chat_client *client, struct chat_discovery *caller,
                  const struct chat_discover_options *options,
                  void (*reply)(struct chat_discovery *discovery, const char *json, size_t size),
                  void (*done)(struct chat_discovery *discovery))
{
    bool one = options->instance_id != NULL && options->instance_id[0] != '\0';
    struct discovery *discovery;

    if (client->closing || reply == NULL || done == NULL ||
        (unsigned)options->kind > CHAT_DISCOVER_STATS ||
        (one && !chat_namespace_is_valid(options->instance_id)))
        return CHAT_EINVAL;
    discovery = calloc(1, sizeof *discovery);
    if (discovery == NULL)
        return CHAT_ENOMEM;
    *caller = (struct chat_discovery){.data = caller->data, .internal = discovery};
    caller->reply = reply;
    caller->done = done;
    caller->detail = "";
    discovery->client = client;
    discovery->caller = caller;
    discovery->enough = options->enough;
    set_addresses(discovery, options);
    uv_timer_init(client->loop, &discovery->timer);
    discovery->timer.data = discovery;
    uv_update_time(client->loop);
    uv_timer_start(&discovery->timer, on_timer,
                   options->wait_ms == 0 ? DEFAULT_WAIT_MS : options->wait_ms, 0);
    discovery->subscription = (struct connection_subscription){.subject = discovery->inbox,
                                                               .data = discovery,
                                                               .receive = on_reply,
                                                               .no_responders = on_no_responders};
    connection_subscribe(client->connection, &discovery->subscription);
    link_discovery(client, discovery);
    if (connection_is_up(client->connection))
        discovery_up(discovery);
    return CHAT_OK;
}
