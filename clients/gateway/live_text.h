/*
 * What is said on a WebSocket and in a stream of events besides messages: acknowledgements, errors,
 * that all has been shown. JSON texts, to be freed by the caller. They end the process when there
 * is no memory.
 */
#ifndef GATEWAY_LIVE_TEXT_H
#define GATEWAY_LIVE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

struct live_error {
    int code;
    const char *id;        /* "chat.Connect.NotAMember" */
    const char *detail;    /* control characters become '?', and it is cut to 255 bytes */
    const char *client_id; /* of the message that it is about; NULL for none */
};

/* {"id":…,"code":…,"detail":…,"status":…}, maybe with "client_id":… */
char *live_text_error(const struct live_error *error);
/* {"error":{…}} */
char *live_text_error_frame(const struct live_error *error);
/* {"ack":{"client_id":…,"seq":…,"duplicate":…}} */
char *live_text_ack(const char *client_id, uint64_t seq, bool duplicate);

#endif
