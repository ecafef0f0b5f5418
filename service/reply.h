/*
 * Answers. A request that has a reply subject gets exactly one: what cannot be sent as it is, is
 * answered with an error that can. Loop thread only; everything is borrowed for the call.
 */
#ifndef SERVICE_REPLY_H
#define SERVICE_REPLY_H

#include "proto/error.h"
#include "service/service.h"
#include <stddef.h>
#include <stdint.h>

struct reply_address {
    const struct lane *lane; /* by which the request came */
    const char *subject;     /* NULL: nobody is to be answered */
    enum codec_format format;
};

/* Sends a result. Returns 0, or -1 when it is larger than the broker takes: send an error then. */
int reply_send(struct service *service, const struct reply_address *address, const uint8_t *bytes,
               size_t size);

/* Sends an error, in body and headers, and counts it. `method` as in an error's id. */
void reply_error(struct service *service, const struct reply_address *address, const char *method,
                 const struct chat_error *error);

#endif
