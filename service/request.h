/*
 * One request on its way through the service, from its subject to its answer.
 *
 * request_receive takes a message from the broker and sees to it that it is answered exactly once.
 * In between the request belongs to a method (method.h) and through it to the store; when the store
 * is done, the method ends it with request_answer or request_refuse, after which it is gone. Loop
 * thread only. Requests are kept for re-use, so that the hot path allocates nothing.
 */
#ifndef SERVICE_REQUEST_H
#define SERVICE_REQUEST_H

#include "base/trace.h"
#include "service/reply.h"
#include "service/service.h"
#include "service/subject.h"
#include "store/store.h"
#include <nats/nats.h>

struct method;

/* Inboxes are shorter than this; longer reply subjects are allocated. */
#define REQUEST_REPLY_BYTES 128

struct request {
    struct service *service;
    const struct method *method;
    char namespace_name[SUBJECT_NAMESPACE_BYTES];
    struct reply_address reply; /* its subject: below, or allocated */
    char reply_subject[REQUEST_REPLY_BYTES];
    char traceparent[TRACE_PARENT_BYTES]; /* empty: none */
    uint64_t received_ns;
    struct uuid chat_id; /* of Send and History */
    union {
        struct store_new create;
        struct store_send send;
        struct store_history history;
    } call;
    struct request *next; /* in the list of free ones */
};

/* What came by the lane. The message is borrowed. */
void request_receive(const struct lane *lane, natsMsg *message);

/* A hint: request_receive follows for each of these, STORE_EXPECTED at most. */
void request_expect(struct service *service, natsMsg *const *messages, size_t count);

/* Ends a request with a result (encoded in the reply arena, which is reset), or with an error. */
void request_answer(struct request *request, const uint8_t *bytes, size_t size);
void request_refuse(struct request *request, const struct chat_error *error);

/* Frees the requests that are kept for re-use. */
void request_free_all(struct service *service);

#endif
