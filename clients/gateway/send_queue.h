/*
 * Messages of one sender, stored in the order in which they were pushed: one is under way at a
 * time, the next begins when it has been answered. Bounded in number and bytes. For the loop's
 * thread.
 */
#ifndef GATEWAY_SEND_QUEUE_H
#define GATEWAY_SEND_QUEUE_H

#include "clients/libchat/chat.h"

#define SEND_QUEUE_MESSAGES_MAX 64
#define SEND_QUEUE_BYTES_MAX ((size_t)1024 * 1024)

struct send_queue;

struct send_queue_options {
    struct chat_client *client;
    const char *namespace_name; /* these four are copied */
    const char *acting_user;
    const char *chat_id;
    const char *user_id;
    uint64_t timeout_ms; /* for each message, from when it was pushed */
    void *data;
    /*
     * How it ended for the message that was pushed first of those that have not ended; the call
     * is as in chat.h. Never from within send_queue_push.
     */
    void (*done)(void *data, const char *client_id, const struct chat_call *call);
};

struct send_queue_message {
    const char *client_id; /* NULL or empty: one is made */
    const char *subject;
    const char *text;
};

/* NULL when out of memory. */
struct send_queue *send_queue_create(const struct send_queue_options *options);
/* Nothing is told any more. What is under way goes on; what is behind it is not sent. */
void send_queue_close(struct send_queue *queue);

/* Copies the message. Returns 0, CHAT_ETOOLARGE when there is no room for it behind those that
 * wait, or why it cannot be begun, as chat_send has it; `done` then does not come. */
int send_queue_push(struct send_queue *queue, const struct send_queue_message *message);

#endif
