/*
 * A connection to the NATS broker, on the loop. chatd has two: lanes.c says why.
 *
 * Keeps trying until a broker is there, for ever. Requests come in through one callback, in the
 * order of their arrival; what is published goes into the library's buffer and is written once per
 * turn of the loop. All functions are for the loop's thread, and none of them blocks but
 * broker_free_all, until which the struct settings are borrowed.
 */
#ifndef SERVICE_BROKER_H
#define SERVICE_BROKER_H

#include "service/settings.h"
#include <nats/nats.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct broker;

/*
 * What to subscribe to, and who is to have the messages; each is lent for the call. Those that are
 * needed come last: a broker that does not permit one of them is no broker to be ready with.
 */
#define BROKER_EXPECTED 16

struct broker_subject {
    const char *subject;
    const char *queue_group; /* NULL: none */
    unsigned weight;         /* of a queue group's member: this many subscriptions; 0: one */
    bool needed;
    bool early; /* subscribed to before broker_admit */
    void *data;
    void (*receive)(void *data, natsMsg *message);
    /* Or NULL: is shown the messages, BROKER_EXPECTED at most, that `receive` gets right after. */
    void (*expect)(void *data, natsMsg *const *messages, size_t count);
    /* For the subject of replies, or NULL: the broker knows nobody to ask. */
    void (*no_responders)(void *data);
};

struct broker_handlers {
    void *data;
    /* There is a connection with the early subscriptions, and no others before broker_admit. Each
     * time, until that has been called. */
    void (*connected)(void *data);
    /* There is another connection after the first one that was ready. */
    void (*reconnected)(void *data);
    /* The broker knows the subscriptions: what is sent from now on arrives. Fires at the first
     * time only. `url` is without credentials. */
    void (*ready)(void *data, const char *url);
};

struct broker_plan {
    const char *name; /* what the broker's monitoring and log lines call the connection */
    const struct broker_subject *subjects;
    size_t subject_count;
    size_t read_bytes; /* taken from the socket in one turn of the loop, at most */
    struct broker_handlers handlers;
};

/*
 * A connection that is to be made, in order to subscribe to the plan's subjects; the plan is
 * copied, what it points to borrowed until broker_free_all. Returns 0, or -1 when the settings
 * cannot be used (a file that does not load), with a log line.
 */
int broker_create(struct broker **broker, uv_loop_t *loop, const struct broker_settings *settings,
                  const struct broker_plan *plan);

/* Begins to connect, to any of the addresses in the settings. */
void broker_start(struct broker *broker);
/*
 * Begins to connect, to the broker that `other` is connected to and to no other one, and only while
 * it is. From then on `other` prefers the address of this one likewise: queue groups of a cluster
 * prefer members where the caller is, so the two do best at the same place.
 */
void broker_start_beside(struct broker *broker, struct broker *other);

/* Go on from `connected`: subscribe to everything, on this connection and on all later ones. */
void broker_admit(struct broker *broker);

bool broker_is_connected(const struct broker *broker);
/* How often a connection was lost that had been there. Any thread. */
uint64_t broker_connections_lost(struct broker *broker);

/*
 * Publishing. Borrows everything. `bytes` are those of one message; returns the library's status:
 * NATS_MAX_PAYLOAD when the broker would not take one so large, NATS_INSUFFICIENT_BUFFER when too
 * much is waiting for a broker that is away, NATS_CONNECTION_CLOSED when there never was one.
 */
natsStatus broker_publish(struct broker *broker, const char *subject, const void *bytes,
                          size_t size);
natsStatus broker_publish_message(struct broker *broker, natsMsg *message);
/* An empty request, whose replies come under `reply`, which is one of the early subjects. */
natsStatus broker_request(struct broker *broker, const char *subject, const char *reply);

/* The largest message the broker takes, headers included; of the last broker when it is away. */
size_t broker_max_payload(const struct broker *broker);
/* Bytes published that the broker has not taken. */
size_t broker_buffered_bytes(const struct broker *broker);

/*
 * Asks the broker for no more requests and calls `done` once all it had sent have been handed on,
 * or after `timeout_ms`, or at once when the broker is away.
 */
void broker_stop_requests(struct broker *broker, uint64_t timeout_ms, void (*done)(void *data),
                          void *data);

/*
 * Calls `done` when the broker has taken all that was published before, or has not done so within
 * `timeout_ms`, or at once when it is away.
 */
void broker_flush(struct broker *broker, uint64_t timeout_ms, void (*done)(void *data), void *data);

/* Closes the connection and all handles; they are gone when the loop has run out. Not while a
 * broker_flush or broker_stop_requests is under way. */
void broker_close(struct broker *broker);
/*
 * After the loop has run out: all there are, and the library's threads. False when one of them was
 * connecting: its thread goes on and uses what it has, so that nothing is freed; the process is to
 * end by _exit then, for what exit does would be done under it.
 */
bool broker_free_all(struct broker *const *brokers, size_t count);

#endif
