/* What a client is made of. Private to the library. */
#ifndef LIBCHAT_CLIENT_H
#define LIBCHAT_CLIENT_H

#include "clients/libchat/calls.h"
#include "clients/libchat/chat.h"
#include "clients/libchat/connection.h"
#include "clients/libchat/discovery.h"

/* Of an inbox prefix, with the NUL. */
#define CLIENT_PREFIX_BYTES 256

struct chat_client {
    uv_loop_t *loop;
    struct connection *connection;
    struct calls *calls;
    struct chat_follow *follows;
    struct chat_follow *next_follow; /* of the walk that is going on */
    unsigned follow_count;           /* until they are freed */
    struct discovery *discoveries;
    struct discovery *next_discovery; /* of the walk that is going on */
    unsigned discovery_count;         /* until they are freed */
    char inbox_prefix[CLIENT_PREFIX_BYTES];
    uint64_t follow_check_interval_ms;
    void *data;
    void (*connection_cb)(void *data, int status, const char *detail);
    bool closing;
    bool calls_closed;
    bool connection_closed;
    void (*closed)(void *data);
    void *closed_data;
};

/* chat_history, which waits however long the broker does not let us in. */
int client_history(struct chat_client *client, struct chat_call *call,
                   const struct chat_history_options *options, chat_call_cb cb, bool patient);

/* A follow's memory is gone; for one that closes, maybe the last thing it waited for. */
void client_follow_gone(struct chat_client *client);
/* The same for a discovery. */
void client_discovery_gone(struct chat_client *client);

/* What the connection has to tell each follow. */
void follow_up(struct chat_follow *follow);
void follow_down(struct chat_follow *follow);
void follow_denied(struct chat_follow *follow, const char *text);
struct chat_follow *follow_next(const struct chat_follow *follow);

#endif
