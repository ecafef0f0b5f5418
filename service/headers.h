/*
 * What a request's headers say: the format of its body, the user it is made for, and the trace it
 * is part of.
 *
 * Header names are compared without regard to case, for gateways spell them as they like. Texts
 * are borrowed from the message. Loop thread only: the message is parsed on first use.
 */
#ifndef SERVICE_HEADERS_H
#define SERVICE_HEADERS_H

#include "proto/error.h"
#include <nats/nats.h>
#include <stdbool.h>

struct request_headers {
    enum codec_format format; /* JSON only if Content-Type says application/json */
    const char *acting_user;  /* of Chat-User; NULL: a trusted service asks for itself */
    const char *traceparent;  /* of W3C Trace Context, with its shape; NULL: none, or several */
    bool traced_twice;
};

/*
 * Returns 0, or -1 and `error`: headers that do not parse (Malformed), or a Chat-User that is given
 * more than once or is no user id (InvalidUserID). `format` is set as far as it is known: errors
 * are answered in it.
 */
int headers_read(natsMsg *message, struct request_headers *headers, struct chat_error *error);

/* Whether a Content-Type's media type is application/json; parameters do not matter. */
bool headers_is_json(const char *content_type);

#endif
