/*
 * The broker sends a connection what it has for it in order: on a single one, a request for a page
 * would wait behind all Sends that came before it, tens of thousands if somebody floods the
 * service. So History has a lane of its own.
 *
 *   chat.*, chat.*.*                               ─▶ main lane: New, Send, what is unknown
 *   chat.History, chat.History.*, READ_WEIGHT each ─▶ read lane: History
 *   $SRV.…, each once ─▶ main lane, MONITOR_WEIGHT times ─▶ read lane: monitors
 *
 * Subjects have no "but": what listens for unknown methods listens for History as well. All these
 * subscriptions are in one queue group, of which the broker gives each request to one, chosen by
 * chance among those that match. So a Send always comes by the main lane, in the order in which its
 * caller sent it, and a History once in READ_WEIGHT + 1 times, in which case it is answered there.
 * It is the same with monitors, who ask most when the Sends are many, in a queue group of this
 * process alone.
 *
 * Nothing but waiting depends on the read lane: while it is away, everything comes by the main one.
 * And as it is with two members of a queue group, each request comes once, whatever happens to
 * either connection.
 *
 * Each lane connects again by itself. The main lane comes first: the other one is not there before
 * it is clear that this chatd is to serve, and connects where the main one is.
 */
#include "service/lanes.h"

#include "base/log.h"
#include "service/request.h"
#include "service/service.h"
#include <stdio.h>

/* Taken from the socket in one turn of the loop, at most. A turn must not be long, for a History
 * that has just come by its own lane waits for the Sends of this one. */
#define MAIN_READ_BYTES ((size_t)8 * 1024)
#define READS_READ_BYTES ((size_t)128 * 1024)
/* Large enough that what comes by the other lane is beyond 99 of 100. */
#define READ_WEIGHT 255
/* There are nine subjects of monitors, and they ask seldom. */
#define MONITOR_WEIGHT 63
#define READS_SUFFIX "-reads"
/* Headers of a reply to JSON, with room to spare. */
#define REPLY_HEADER_BYTES 128
/* A broker that takes less is not worth serving, and arithmetic need not fear it. */
#define REPLY_BYTES_MIN 256

/* ---- Subjects ---- */

/*
 * Two tokens or three are all methods in all namespaces, and no events, which have four. More of
 * them behind a method of ours is a namespace with a dot in it: whoever sends that is to be told.
 */
static const char *const request_subjects[LANES_REQUEST_SUBJECTS] = {
    "chat.New.*.>", "chat.Send.*.>", "chat.History.*.>", "chat.*", "chat.*.*"};
#define OPTIONAL_REQUEST_SUBJECTS 3 /* the first ones */
#define HISTORY_SUBJECTS (LANES_READ_SUBJECTS - MONITOR_SUBJECTS)
static const char *const history_subjects[HISTORY_SUBJECTS] = {"chat.History", "chat.History.*"};

static void on_request(void *data, natsMsg *message)
{
    request_receive(data, message);
}

static void on_expected(void *data, natsMsg *const *messages, size_t count)
{
    const struct lane *lane = data;

    request_expect(lane->service, messages, count);
}

static void on_monitor(void *data, natsMsg *message)
{
    monitor_receive(data, message);
}

/* Every instance answers a monitor, and none of them twice: the queue group is this process's. */
static void set_monitored(struct broker_subject *subjects, const struct monitor *monitor,
                          struct lane *lane, unsigned weight)
{
    for (size_t i = 0; i < MONITOR_SUBJECTS; i++)
        subjects[i] = (struct broker_subject){.subject = monitor->subjects[i],
                                              .queue_group = monitor->id,
                                              .weight = weight,
                                              .data = lane,
                                              .receive = on_monitor};
}

static void set_subjects(struct lanes *lanes, struct service *service)
{
    struct broker_subject *subject = lanes->main_subjects;

    *subject++ = (struct broker_subject){.subject = service->peers.inbox,
                                         .early = true,
                                         .data = &service->peers,
                                         .receive = peers_receive,
                                         .no_responders = peers_nobody};
    set_monitored(subject, &service->monitor, &lanes->main, 1);
    subject += MONITOR_SUBJECTS;
    for (size_t i = 0; i < LANES_REQUEST_SUBJECTS; i++)
        *subject++ = (struct broker_subject){.subject = request_subjects[i],
                                             .queue_group = LANES_QUEUE_GROUP,
                                             .needed = i >= OPTIONAL_REQUEST_SUBJECTS,
                                             .data = &lanes->main,
                                             .receive = on_request,
                                             .expect = on_expected};
    for (size_t i = 0; i < HISTORY_SUBJECTS; i++)
        lanes->read_subjects[i] = (struct broker_subject){.subject = history_subjects[i],
                                                          .queue_group = LANES_QUEUE_GROUP,
                                                          .weight = READ_WEIGHT,
                                                          .data = &lanes->reads,
                                                          .receive = on_request};
    set_monitored(&lanes->read_subjects[HISTORY_SUBJECTS], &service->monitor, &lanes->reads,
                  MONITOR_WEIGHT);
}

/* ---- Starting ---- */

/* Admitted from the start, so that it is never asked. */
static void reads_connected(void *data)
{
    (void)data;
}

static void reads_reconnected(void *data)
{
    (void)data;
}

static void reads_ready(void *data, const char *url)
{
    const struct lanes *lanes = data;

    LOG_INFO("reads_ready", log_text("connection", lanes->reads.name), log_text("nats_url", url));
}

static int create(struct lane *lane, struct service *service, const char *suffix,
                  struct broker_plan *plan)
{
    const char *name = service->settings->broker.connection_name;

    lane->service = service;
    snprintf(lane->name, sizeof lane->name, "%.200s%s",
             name == NULL || name[0] == '\0' ? SETTINGS_PROGRAM : name, suffix);
    plan->name = lane->name;
    return broker_create(&lane->broker, service->loop, &service->settings->broker, plan);
}

int lanes_create(struct lanes *lanes, struct service *service,
                 const struct broker_handlers *handlers)
{
    struct broker_plan main_plan = {.subjects = lanes->main_subjects,
                                    .subject_count = LANES_MAIN_SUBJECTS,
                                    .read_bytes = MAIN_READ_BYTES,
                                    .handlers = *handlers};
    struct broker_plan reads_plan = {.subjects = lanes->read_subjects,
                                     .subject_count = LANES_READ_SUBJECTS,
                                     .read_bytes = READS_READ_BYTES,
                                     .handlers = {.data = lanes,
                                                  .connected = reads_connected,
                                                  .reconnected = reads_reconnected,
                                                  .ready = reads_ready}};

    set_subjects(lanes, service);
    if (create(&lanes->main, service, "", &main_plan) != 0)
        return -1;
    if (create(&lanes->reads, service, READS_SUFFIX, &reads_plan) == 0)
        return 0;
    broker_close(lanes->main.broker);
    uv_run(service->loop, UV_RUN_NOWAIT); /* closes its handles */
    (void)broker_free_all(&lanes->main.broker, 1);
    return -1;
}

void lanes_start(struct lanes *lanes)
{
    broker_start(lanes->main.broker);
}

void lanes_start_reads(struct lanes *lanes)
{
    broker_admit(lanes->reads.broker);
    broker_start_beside(lanes->reads.broker, lanes->main.broker);
}

/* ---- Both ---- */

static void one_is_done(void *data)
{
    struct lanes *lanes = data;

    if (--lanes->busy == 0)
        lanes->done(lanes->main.service);
}

void lanes_stop_requests(struct lanes *lanes, uint64_t timeout_ms,
                         void (*done)(struct service *service))
{
    lanes->busy = LANES;
    lanes->done = done;
    broker_stop_requests(lanes->reads.broker, timeout_ms, one_is_done, lanes);
    broker_stop_requests(lanes->main.broker, timeout_ms, one_is_done, lanes);
}

void lanes_flush(struct lanes *lanes, uint64_t timeout_ms, void (*done)(struct service *service))
{
    lanes->busy = LANES;
    lanes->done = done;
    broker_flush(lanes->reads.broker, timeout_ms, one_is_done, lanes);
    broker_flush(lanes->main.broker, timeout_ms, one_is_done, lanes);
}

void lanes_close(struct lanes *lanes)
{
    broker_close(lanes->reads.broker);
    broker_close(lanes->main.broker);
}

bool lanes_free(struct lanes *lanes)
{
    struct broker *const brokers[LANES] = {lanes->reads.broker, lanes->main.broker};

    return broker_free_all(brokers, LANES);
}

uint64_t lanes_connections_lost(const struct lanes *lanes)
{
    return broker_connections_lost(lanes->main.broker) +
           broker_connections_lost(lanes->reads.broker);
}

uint64_t lanes_buffered_bytes(const struct lanes *lanes)
{
    return broker_buffered_bytes(lanes->main.broker) + broker_buffered_bytes(lanes->reads.broker);
}

unsigned lanes_connected(const struct lanes *lanes)
{
    return (unsigned)broker_is_connected(lanes->main.broker) +
           (unsigned)broker_is_connected(lanes->reads.broker);
}

/* ---- Replies ---- */

struct broker *lane_way_back(const struct lane *lane)
{
    struct broker *main_broker = lane->service->lanes.main.broker;

    return lane->broker != main_broker && broker_is_connected(lane->broker) ? lane->broker
                                                                            : main_broker;
}

size_t lane_reply_bytes_max(const struct lane *lane, enum codec_format format)
{
    size_t max = broker_max_payload(lane_way_back(lane));

    if (max < REPLY_BYTES_MIN)
        max = REPLY_BYTES_MIN;
    return format == CODEC_JSON ? max - REPLY_HEADER_BYTES : max;
}

bool lane_is_congested(const struct lane *lane)
{
    return broker_buffered_bytes(lane_way_back(lane)) > lane->service->settings->reply_buffer_bytes;
}
