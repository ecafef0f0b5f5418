/*
 *   connected ─▶ BEFORE: ask ──(nobody, or no answer in time)──▶ admitted ─▶ BESIDE: ask, ask, …
 *                         │                                                    │
 *                         └──(another)──▶ give up        (an older one) ◀──────┘
 *
 * At the start, when the broker says that nobody listens for $SRV.PING.chat, that is at once; the
 * time is only waited when somebody listens and does not answer. Two that start at the same moment
 * find nobody, both; but each asks again when its subscriptions are known to the broker, and the
 * later of them then hears the other.
 *
 * At the start whoever comes second goes, for it has promised nothing to anybody yet. When two
 * meet that both take requests (two parts of a network grew together, say), the one that started
 * later goes, with what it has answered safely on disk; both know both times, so that it is always
 * just one. The other one goes on, and says what it has seen.
 *
 * An answer counts when it is a service of our name with a store_id and another id than ours: there
 * may be services of others that are called "chat" as well.
 */
#include "service/peers.h"

#include "base/log.h"
#include "service/service.h"
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define QUESTION "$SRV.PING." MONITOR_NAME
#define DEFAULT_PREFIX "_INBOX"
#define ANSWER_TYPE "io.nats.micro.v1.ping_response"
/* For an answer of somebody who is there. */
#define ANSWER_MS 300
#define INTERVAL_MS 10000
#define INTERVAL_SPREAD_MS 2000
/* No answer of ours is as long as this. */
#define ANSWER_BYTES_MAX (64 * 1024)

struct peer {
    const char *id;
    const char *store_id;
    const char *started; /* "" when it does not say */
};

static void ask(struct peers *peers);

/* ---- Answers ---- */

static const char *text_of(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text == NULL ? "" : text;
}

/* Borrows from `answer`. False when it is none of us, or ourselves. */
static bool read_peer(const json_t *answer, const struct monitor *self, struct peer *peer)
{
    const json_t *metadata = json_object_get(answer, "metadata");

    *peer = (struct peer){.id = text_of(answer, "id"),
                          .store_id = text_of(metadata, "store_id"),
                          .started = text_of(metadata, "started")};
    return strcmp(text_of(answer, "type"), ANSWER_TYPE) == 0 &&
           strcmp(text_of(answer, "name"), MONITOR_NAME) == 0 && peer->id[0] != '\0' &&
           peer->store_id[0] != '\0' && strcmp(peer->id, self->id) != 0;
}

/* Both sides compare the same texts, RFC 3339 in UTC with nanoseconds. One that does not say when
 * it started counts as older: it cannot be relied on to go. */
static bool is_older(const struct peer *peer, const struct monitor *self)
{
    int order = strcmp(peer->started, self->started);

    return order < 0 || (order == 0 && strcmp(peer->id, self->id) < 0);
}

static void report(const struct peers *peers, const struct peer *peer, bool give_up)
{
    char own[UUID_TEXT_BYTES + 1] = "";
    bool copy;

    uuid_format(&peers->service->opened.store_id, own);
    copy = strcmp(own, peer->store_id) == 0;
    LOG_ERROR(
        "other_instance", log_text("id", peer->id), log_text("store_id", peer->store_id),
        log_text("own_id", peers->service->monitor.id), log_text("own_store_id", own),
        log_text("problem",
                 copy ? "another chatd on this broker runs on a copy of this store: requests "
                        "would go to either, and the two would differ"
                      : "another chatd on this broker has a store of its own: requests "
                        "would go to either, and the chats be split between them"),
        log_text("action", give_up ? "this one stops" : "the other one should stop by itself"),
        log_text("advice", "see both with: chat ping; stop the one that is not wanted, or give "
                           "it a broker or a NATS account of its own"));
}

void peers_receive(void *data, natsMsg *message)
{
    struct peers *peers = data;
    const struct monitor *self = &peers->service->monitor;
    int size = natsMsg_GetDataLength(message);
    struct peer peer;
    json_t *answer;
    bool give_up;

    if (peers->stage == PEERS_IDLE || size <= 0 || size > ANSWER_BYTES_MAX)
        return;
    answer = json_loadb(natsMsg_GetData(message), (size_t)size, 0, NULL);
    if (answer != NULL && read_peer(answer, self, &peer)) {
        give_up = peers->stage == PEERS_BEFORE || is_older(&peer, self);
        report(peers, &peer, give_up);
        if (give_up)
            service_give_up(peers->service);
    }
    json_decref(answer);
}

/* ---- Before ---- */

static void admit(struct peers *peers)
{
    peers->stage = PEERS_IDLE;
    uv_timer_stop(&peers->timer);
    service_admitted(peers->service);
}

void peers_nobody(void *data)
{
    struct peers *peers = data;

    if (peers->stage == PEERS_BEFORE)
        admit(peers);
}

static void on_silence(struct peers *peers)
{
    if (!broker_is_connected(peers->service->broker)) {
        ask(peers); /* and again when it is */
        return;
    }
    LOG_WARN("other_instance.unknown",
             log_text("problem", "somebody listens for " QUESTION " and does not answer, or this "
                                 "user may not ask"),
             log_text("advice",
                      "this user must be allowed to publish on " QUESTION
                      " and to subscribe to its inbox; see who is there with: chat ping"));
    admit(peers);
}

/* ---- Asking ---- */

static void on_timer(uv_timer_t *timer)
{
    struct peers *peers = timer->data;

    if (peers->stage == PEERS_BEFORE)
        on_silence(peers);
    else if (peers->stage == PEERS_BESIDE)
        ask(peers);
}

/* A question that cannot be sent is asked again later. */
static void ask(struct peers *peers)
{
    uint64_t wait_ms = ANSWER_MS;

    if (peers->stage == PEERS_BESIDE)
        wait_ms = INTERVAL_MS + uv_hrtime() % INTERVAL_SPREAD_MS;
    if (broker_is_connected(peers->service->broker))
        (void)broker_request(peers->service->broker, QUESTION, peers->inbox);
    uv_timer_start(&peers->timer, on_timer, wait_ms, 0);
}

void peers_ask_before(struct peers *peers)
{
    peers->stage = PEERS_BEFORE;
    ask(peers);
}

void peers_watch(struct peers *peers)
{
    peers->stage = PEERS_BESIDE;
    ask(peers);
}

void peers_ask_again(struct peers *peers)
{
    if (peers->stage != PEERS_IDLE)
        ask(peers);
}

/* ---- Start and stop ---- */

void peers_init(struct peers *peers, struct service *service, const char *inbox_prefix)
{
    char unique[UUID_TEXT_BYTES + 1] = "";
    struct uuid uuid;

    uuid_make(&uuid);
    uuid_format(&uuid, unique);
    peers->service = service;
    peers->stage = PEERS_IDLE;
    snprintf(peers->inbox, sizeof peers->inbox, "%.200s.%s",
             inbox_prefix == NULL || inbox_prefix[0] == '\0' ? DEFAULT_PREFIX : inbox_prefix,
             unique);
    uv_timer_init(service->loop, &peers->timer);
    peers->timer.data = peers;
}

void peers_stop(struct peers *peers)
{
    peers->stage = PEERS_IDLE;
    if (!uv_is_closing((uv_handle_t *)&peers->timer))
        uv_close((uv_handle_t *)&peers->timer, NULL);
}
