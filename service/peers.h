/*
 * Other instances of the service on the same broker. There must be none: requests go to one member
 * of the queue group, so that a second chatd with a store of its own would split the chats between
 * the two. Even a second one with a copy of this store would.
 *
 * It asks with $SRV.PING, as anybody can: before the first request is taken, and from then on now
 * and then and after each reconnect. service_admitted is called when nobody else is there at the
 * start, service_give_up when this instance has to go. Loop thread only.
 */
#ifndef SERVICE_PEERS_H
#define SERVICE_PEERS_H

#include "base/uuid.h"
#include <nats/nats.h>
#include <stdbool.h>
#include <uv.h>

/* With the NUL. */
#define PEERS_INBOX_BYTES 256

struct service;

enum peers_stage {
    PEERS_IDLE,
    PEERS_BEFORE, /* asked; no requests are taken yet */
    PEERS_BESIDE, /* they are */
};

struct peers {
    struct service *service;
    enum peers_stage stage;
    uv_timer_t timer;
    char inbox[PEERS_INBOX_BYTES]; /* where the answers come to; an early subject */
};

/* `inbox_prefix` has been checked, or is NULL. */
void peers_init(struct peers *peers, struct service *service, const char *inbox_prefix);

/* Asks who is there, and calls service_admitted, soon, or service_give_up. */
void peers_ask_before(struct peers *peers);
/* Requests are taken from now on: watch who else takes them. */
void peers_watch(struct peers *peers);
/* Ask once more now. */
void peers_ask_again(struct peers *peers);

/* An answer, or that there is none; `data` is the peers. */
void peers_receive(void *data, natsMsg *message);
void peers_nobody(void *data);

/* Closes the timer. Nothing comes after it. */
void peers_stop(struct peers *peers);

#endif
