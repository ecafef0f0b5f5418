/*
 * The two connections to the broker by which requests come: what is subscribed to on which, and
 * what concerns both. Loop thread only.
 */
#ifndef SERVICE_LANES_H
#define SERVICE_LANES_H

#include "proto/codec.h"
#include "service/broker.h"
#include "service/monitor.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LANES_QUEUE_GROUP "q"
#define LANES 2
#define LANES_REQUEST_SUBJECTS 5
/* And the inbox. */
#define LANES_MAIN_SUBJECTS (1 + LANES_REQUEST_SUBJECTS + MONITOR_SUBJECTS)
#define LANES_READ_SUBJECTS (2 + MONITOR_SUBJECTS)
#define LANE_NAME_BYTES 256

struct service;

/* A request is answered by the lane by which it came, as long as that is there. */
struct lane {
    struct service *service;
    struct broker *broker;
    char name[LANE_NAME_BYTES]; /* of the connection */
};

struct lanes {
    struct lane main;  /* all requests, but nearly none of those that are the other's; events */
    struct lane reads; /* nearly all requests for History, and of monitors */
    struct broker_subject main_subjects[LANES_MAIN_SUBJECTS];
    struct broker_subject read_subjects[LANES_READ_SUBJECTS];
    unsigned busy; /* lanes that are being stopped or flushed */
    void (*done)(struct service *service);
};

/*
 * Makes both, for service->peers and service->monitor, which are initialised, and the requests.
 * `handlers` are those of the main lane. Nothing happens before the loop runs. Returns 0, or -1
 * with a log line.
 */
int lanes_create(struct lanes *lanes, struct service *service,
                 const struct broker_handlers *handlers);
/* Begins to connect the main lane; and the other one, once that is ready for requests. */
void lanes_start(struct lanes *lanes);
void lanes_start_reads(struct lanes *lanes);

/* As broker_stop_requests and broker_flush, for both: `done` when both are. */
void lanes_stop_requests(struct lanes *lanes, uint64_t timeout_ms,
                         void (*done)(struct service *service));
void lanes_flush(struct lanes *lanes, uint64_t timeout_ms, void (*done)(struct service *service));

void lanes_close(struct lanes *lanes);
/* After the loop has run out. False: end by _exit, as with broker_free_all. */
bool lanes_free(struct lanes *lanes);

/* Figures of both together: connections lost, and bytes that the broker has not taken. */
uint64_t lanes_connections_lost(const struct lanes *lanes);
uint64_t lanes_buffered_bytes(const struct lanes *lanes);
unsigned lanes_connected(const struct lanes *lanes);

/* The connection by which to answer now what came by this lane. */
struct broker *lane_way_back(const struct lane *lane);
/* The largest body that a reply may have. */
size_t lane_reply_bytes_max(const struct lane *lane, enum codec_format format);
/* Whether more replies wait for the broker than are allowed to. */
bool lane_is_congested(const struct lane *lane);

#endif
