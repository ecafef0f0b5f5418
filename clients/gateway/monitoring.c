/*
 * A probe is a question to all instances of the service and the exchanges that wait for what comes
 * of it. Who asks while it is under way waits with the others; who asks within a second after it
 * gets the same answer.
 *
 * How many instances there are, nobody knows: a question for figures ends when as many have
 * answered as the last time, and every tenth one waits for its whole time, to find new ones.
 */
#include "clients/gateway/monitoring.h"

#include "clients/gateway/access.h"
#include "clients/gateway/http_server.h"
#include "clients/gateway/hub.h"
#include "clients/gateway/metrics_service.h"
#include "clients/gateway/routes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_MS 1000
#define WAIT_READY_MS 1000
#define WAIT_FIGURES_MS 500
#define LOOK_FOR_NEW_EVERY 10
#define DETAIL_BYTES 512
#define PREFIX "chat_gateway_"

struct probe;

struct waiter {
    struct probe *probe;
    struct exchange *exchange;
    struct waiter *next;
    struct waiter *previous;
};

struct probe {
    struct gateway *gateway;
    void (*answer)(struct probe *probe, struct exchange *exchange);
    struct chat_discover_options options;
    struct chat_discovery discovery;
    struct waiter *waiters;
    bool asking;
    bool stopping;
    bool answered; /* ever */
    uint64_t answered_ms;
    unsigned rounds;

    /* What came of it. */
    int status;
    size_t replies;
    char detail[DETAIL_BYTES];
    struct metrics_service service; /* of figures */
};

struct monitoring {
    struct metrics *metrics;
    struct probe *ready;
    struct probe *figures;
};

/* ---- Probes ---- */

static struct probe *make_probe(struct gateway *gateway, enum chat_discover_kind kind,
                                uint64_t wait_ms,
                                void (*answer)(struct probe *probe, struct exchange *exchange))
{
    struct probe *probe = calloc(1, sizeof *probe);

    if (probe == NULL)
        abort();
    probe->gateway = gateway;
    probe->answer = answer;
    probe->options = (struct chat_discover_options){.kind = kind, .wait_ms = wait_ms};
    probe->discovery.data = probe;
    return probe;
}

static void free_probe(struct probe *probe)
{
    metrics_service_clear(&probe->service);
    free(probe);
}

/* Nobody waits any more when the parts are stopped. */
static void stop_probe(struct probe *probe)
{
    probe->stopping = true;
    if (probe->asking)
        chat_discover_cancel(&probe->discovery);
    else
        free_probe(probe);
}

static void forget(struct waiter *waiter)
{
    if (waiter->previous != NULL)
        waiter->previous->next = waiter->next;
    else
        waiter->probe->waiters = waiter->next;
    if (waiter->next != NULL)
        waiter->next->previous = waiter->previous;
    free(waiter);
}

static void on_gone(void *data)
{
    forget(data);
}

static void on_reply(struct chat_discovery *discovery, const char *json, size_t size)
{
    struct probe *probe = discovery->data;

    if (probe->options.kind == CHAT_DISCOVER_STATS)
        (void)metrics_service_add(&probe->service, json, size);
}

static void tell_all(struct probe *probe, int status, size_t replies, const char *detail)
{
    probe->asking = false;
    probe->answered = true;
    probe->answered_ms = uv_now(probe->gateway->loop);
    probe->status = status;
    probe->replies = replies;
    snprintf(probe->detail, sizeof probe->detail, "%s", detail);
    while (probe->waiters != NULL) {
        struct exchange *exchange = probe->waiters->exchange;
        forget(probe->waiters);
        probe->answer(probe, exchange);
    }
}

static void on_done(struct chat_discovery *discovery)
{
    struct probe *probe = discovery->data;

    if (probe->stopping)
        free_probe(probe);
    else
        tell_all(probe, discovery->status, discovery->replies, discovery->detail);
}

static void ask(struct probe *probe)
{
    int status;

    if (probe->options.kind == CHAT_DISCOVER_STATS)
        probe->options.enough = ++probe->rounds % LOOK_FOR_NEW_EVERY == 0 ? 0 : probe->replies;
    metrics_service_clear(&probe->service);
    probe->asking = true;
    status = chat_discover(probe->gateway->client, &probe->discovery, &probe->options, on_reply,
                           on_done);
    if (status != CHAT_OK)
        tell_all(probe, status, 0, chat_strerror(status));
}

static void answer_from(struct probe *probe, struct exchange *exchange)
{
    struct waiter *waiter;

    if (!probe->asking && probe->answered &&
        uv_now(probe->gateway->loop) - probe->answered_ms < FRESH_MS) {
        probe->answer(probe, exchange);
        return;
    }
    waiter = calloc(1, sizeof *waiter);
    if (waiter == NULL)
        abort();
    *waiter = (struct waiter){.probe = probe, .exchange = exchange, .next = probe->waiters};
    if (waiter->next != NULL)
        waiter->next->previous = waiter;
    probe->waiters = waiter;
    exchange_on_gone(exchange, on_gone, waiter);
    if (!probe->asking)
        ask(probe);
}

/* ---- Readiness ---- */

static void answer_ready(struct probe *probe, struct exchange *exchange)
{
    static const char body[] = "{\"status\":\"ready\"}";

    if (probe->status == CHAT_OK && probe->replies > 0) {
        exchange_reply(exchange, &(struct exchange_answer){.code = 200,
                                                           .content_type = "application/json",
                                                           .body = body,
                                                           .body_size = sizeof body - 1});
        return;
    }
    exchange_fail(exchange, 503, "gateway.NotReady", "%s",
                  probe->status != CHAT_OK ? probe->detail
                                           : "the broker is there, and no chatd answers on it");
}

void monitoring_readyz(struct exchange *exchange)
{
    struct gateway *gateway = exchange_gateway(exchange);

    if (gateway->draining) {
        exchange_fail(exchange, 503, "gateway.Stopping", "the gateway stops");
        return;
    }
    answer_from(gateway->monitoring->ready, exchange);
}

/* ---- Figures ---- */

static void write_connections(const struct http_server_counts *counts, struct metrics_text *text)
{
    static const char name[] = PREFIX "connections";
    const struct {
        const char *kind;
        uint64_t count;
    } kinds[] = {{"http", counts->connections - counts->websockets - counts->streams},
                 {"websocket", counts->websockets},
                 {"events", counts->streams}};

    metrics_text_family(text, name, "gauge",
                        "Open connections by kind: plain HTTP, WebSocket, event stream.");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        const struct metrics_label label = {"kind", kinds[i].kind};
        metrics_text_sample(text, name, "", &label, 1, (double)kinds[i].count);
    }
}

static void write_server(const struct http_server_counts *counts, struct metrics_text *text)
{
    const struct {
        const char *name;
        const char *help;
        uint64_t count;
    } singles[] = {
        {PREFIX "connections_accepted_total", "Connections accepted.", counts->accepted},
        {PREFIX "connections_refused_total",
         "Connections refused because there were too many, in all or of an address.",
         counts->refused},
        {PREFIX "http_malformed_total", "What came and was no HTTP request.", counts->malformed},
        {PREFIX "http_timeouts_total",
         "Clients that were too slow with a head, a body, or reading.", counts->timed_out},
        {PREFIX "websocket_received_messages_total", "Messages from WebSockets.",
         counts->messages_in},
        {PREFIX "websocket_sent_messages_total", "Messages to WebSockets.", counts->frames_out},
        {PREFIX "received_bytes_total", "Bytes read from all connections.", counts->received_bytes},
        {PREFIX "sent_bytes_total", "Bytes written to all connections.", counts->sent_bytes},
    };

    write_connections(counts, text);
    for (size_t i = 0; i < sizeof singles / sizeof *singles; i++)
        metrics_text_single(text, singles[i].name, "counter", singles[i].help,
                            (double)singles[i].count);
}

static void write_hub(const struct hub *hub, struct metrics_text *text)
{
    struct hub_stats stats;

    hub_stats(hub, &stats);
    metrics_text_single(text, PREFIX "watchers", "gauge",
                        "WebSockets and event streams that are shown a chat.",
                        (double)stats.watchers);
    metrics_text_single(text, PREFIX "followed_chats", "gauge",
                        "Chats that are followed, each with one subscription at the broker.",
                        (double)stats.chats);
    metrics_text_single(text, PREFIX "followed_messages_total", "counter",
                        "Messages that came of followed chats.", (double)stats.messages);
    metrics_text_single(text, PREFIX "deliveries_total", "counter",
                        "Messages given to watchers, one for each message and watcher.",
                        (double)stats.given);
    metrics_text_single(text, PREFIX "history_pages_total", "counter",
                        "Pages of history read for watchers.", (double)stats.pages);
    metrics_text_single(text, PREFIX "recent_bytes", "gauge",
                        "Memory for the last messages of followed chats, in bytes.",
                        (double)stats.recent_bytes);
}

static void answer_figures(struct probe *probe, struct exchange *exchange)
{
    struct gateway *gateway = probe->gateway;
    const struct http_server_counts counts = http_server_counts(gateway->server);
    struct metrics_text text = {0};

    metrics_write(gateway->monitoring->metrics, &text);
    write_server(&counts, &text);
    write_hub(gateway->hub, &text);
    metrics_text_single(&text, PREFIX "broker_connected", "gauge",
                        "1 while there is a connection to the broker.",
                        gateway->broker_connected ? 1 : 0);
    metrics_write_process(&text);
    metrics_service_write(&probe->service, &text);
    exchange_reply(exchange, &(struct exchange_answer){.code = 200,
                                                       .content_type = METRICS_CONTENT_TYPE,
                                                       .body = text.data,
                                                       .body_size = text.size});
    free(text.data);
}

void monitoring_metrics(struct exchange *exchange)
{
    const struct gateway *gateway = exchange_gateway(exchange);
    struct identity identity = {0};

    if (!gateway->settings->open_metrics && gateway->guard.identify(exchange, &identity) != 0)
        return;
    if (!gateway->settings->open_metrics && !access_is_operator(&identity)) {
        exchange_fail(exchange, 403, "gateway.NotAnOperator",
                      "the figures are for a token of any namespace (*) and any user (*), or for "
                      "everybody with --open-metrics");
        return;
    }
    answer_from(gateway->monitoring->figures, exchange);
}

/* ---- The part ---- */

void monitoring_count_refusal(struct gateway *gateway, enum metrics_refusal refusal)
{
    metrics_refuse(gateway->monitoring->metrics, refusal);
}

static void observe(struct gateway *gateway, const struct exchange_outcome *outcome)
{
    metrics_request(gateway->monitoring->metrics,
                    outcome->route == NULL ? NULL : outcome->route->name, outcome->code,
                    outcome->took_us);
}

static struct metrics *make_metrics(void)
{
    const char *names[64];
    const struct route *route;
    size_t count = 0;

    while (count < sizeof names / sizeof *names && (route = routes_at(count)) != NULL)
        names[count++] = route->name;
    return metrics_create(names, count);
}

static int start(struct gateway *gateway)
{
    struct monitoring *monitoring = calloc(1, sizeof *monitoring);

    if (monitoring == NULL || (monitoring->metrics = make_metrics()) == NULL)
        abort();
    monitoring->ready = make_probe(gateway, CHAT_DISCOVER_PING, WAIT_READY_MS, answer_ready);
    monitoring->ready->options.enough = 1;
    monitoring->figures = make_probe(gateway, CHAT_DISCOVER_STATS, WAIT_FIGURES_MS, answer_figures);
    gateway->monitoring = monitoring;
    gateway->observe = observe;
    return 0;
}

static void stop(struct gateway *gateway)
{
    struct monitoring *monitoring = gateway->monitoring;

    gateway->observe = NULL;
    gateway->monitoring = NULL;
    stop_probe(monitoring->ready);
    stop_probe(monitoring->figures);
    metrics_free(monitoring->metrics);
    free(monitoring);
}

const struct gateway_part monitoring_part = {.name = "monitoring", .start = start, .stop = stop};
