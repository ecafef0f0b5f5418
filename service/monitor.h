/*
 * The service as tools for NATS services see it: answers $SRV.PING, $SRV.INFO and $SRV.STATS for
 * all services, for those named "chat", and for this one by its id (NATS architecture decision
 * record 32, "Service API"; types io.nats.micro.v1.*). Loop thread only.
 *
 * Each method is an endpoint with its counts. Processing times run from a request's arrival to its
 * answer, syncing to disk included, and many requests share a sync: they add up to more than the
 * time that has passed. The endpoint Send also has the figures of the inside, as its data;
 * README.md says what each of them means.
 */
#ifndef SERVICE_MONITOR_H
#define SERVICE_MONITOR_H

#include "base/uuid.h"
#include <nats/nats.h>

#define MONITOR_NAME "chat"
#define MONITOR_SUBJECTS 9
#define MONITOR_SUBJECT_BYTES 64

struct service;
struct lane;

struct monitor {
    struct service *service;
    char id[UUID_TEXT_BYTES + 1]; /* of this process; another one at each start */
    char started[40];             /* RFC 3339, in UTC with nanoseconds, so that texts sort */
    char subjects[MONITOR_SUBJECTS][MONITOR_SUBJECT_BYTES];
};

/* Fills in everything, and the subjects to subscribe to: each request is for every instance. */
void monitor_init(struct monitor *monitor, struct service *service);

/* Answers one such request that came by the lane; the message is borrowed. */
void monitor_receive(const struct lane *lane, natsMsg *message);

#endif
