/*
 *   subject ─▶ method, namespace ─▶ headers ─▶ method->submit ─▶ store ─▶ … ─▶ request_answer
 *                 │ 404, 400          │ 400        │ 400 … 503                 request_refuse
 *                 └───────────────────┴────────────┴──▶ reply_error
 *
 * What is refused before the store has it never becomes anything that lives longer than the call:
 * the reply subject is borrowed from the message. Only a request that is given to the store keeps a
 * copy of it.
 */
#include "service/request.h"

#include "base/log.h"
#include "service/headers.h"
#include "service/method.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define REFUSED_LOG_INTERVAL_MS 10000
#define REFUSAL_LOG_INTERVAL_MS 1000
#define SLOW_LOG_INTERVAL_MS 100

/* ---- Keeping ---- */

static struct request *take_request(struct service *service)
{
    struct request *request = service->free_requests;

    if (request != NULL)
        service->free_requests = request->next;
    else
        request = malloc(sizeof *request);
    return request;
}

static void keep_request(struct request *request)
{
    struct service *service = request->service;

    if (request->reply.subject != request->reply_subject)
        free((void *)(uintptr_t)request->reply.subject);
    request->next = service->free_requests;
    service->free_requests = request;
}

void request_free_all(struct service *service)
{
    struct request *request;

    while ((request = service->free_requests) != NULL) {
        service->free_requests = request->next;
        free(request);
    }
}

static int copy_reply(struct request *request, const struct reply_address *reply)
{
    size_t size;

    request->reply = *reply;
    if (reply->subject == NULL)
        return 0;
    size = strlen(reply->subject) + 1;
    request->reply.subject = request->reply_subject;
    if (size <= sizeof request->reply_subject)
        memcpy(request->reply_subject, reply->subject, size);
    else
        request->reply.subject = strdup(reply->subject);
    return request->reply.subject == NULL ? -1 : 0;
}

/* NULL when out of memory. */
static struct request *make_request(struct service *service, const struct method *method,
                                    const char *namespace_name, const struct reply_address *reply)
{
    struct request *request = take_request(service);

    if (request == NULL)
        return NULL;
    request->service = service;
    request->method = method;
    request->traceparent[0] = '\0';
    request->received_ns = uv_hrtime();
    memcpy(request->namespace_name, namespace_name, strlen(namespace_name) + 1);
    if (copy_reply(request, reply) != 0) {
        keep_request(request);
        return NULL;
    }
    return request;
}

/* ---- Ending ---- */

static void count_error(struct service *service, const struct method *method,
                        const struct chat_error *error)
{
    struct method_counts *counts = &service->method_counts[method->index];

    counts->errors++;
    snprintf(counts->last_error, sizeof counts->last_error, "%d:%s", chat_error_code(error->reason),
             error->detail);
}

/* What callers did wrong is theirs to know, and only logged for who looks closely; what the method
 * has found to be our fault, it has logged. */
static void log_refusal(struct service *service, const char *method, const char *namespace_name,
                        const char *traceparent, const struct chat_error *error)
{
    uint64_t withheld = 0;
    int code = chat_error_code(error->reason);

    if (code < 500)
        LOG_DEBUG("request.refused", log_text("method", method),
                  log_text("namespace", namespace_name), log_i64("code", code),
                  log_text("reason", chat_error_reason(error->reason)),
                  log_text("traceparent", traceparent));
    else if (error->reason != CHAT_INTERNAL &&
             pace_allows(&service->refusal_pace, uv_now(service->loop), REFUSAL_LOG_INTERVAL_MS,
                         &withheld))
        LOG_WARN("request.refused", log_text("method", method),
                 log_text("namespace", namespace_name), log_i64("code", code),
                 log_text("reason", chat_error_reason(error->reason)),
                 log_text("traceparent", traceparent), log_u64("withheld", withheld));
}

static void log_slow(const struct request *request, uint64_t took_ns)
{
    struct service *service = request->service;
    uint64_t withheld = 0;

    if (pace_allows(&service->slow_pace, uv_now(service->loop), SLOW_LOG_INTERVAL_MS, &withheld))
        LOG_WARN("request.slow", log_text("method", request->method->name),
                 log_text("namespace", request->namespace_name),
                 log_f64("took_ms", (double)took_ns / 1e6),
                 log_text("traceparent", request->traceparent), log_u64("withheld", withheld));
}

static void finish(struct request *request)
{
    struct service *service = request->service;
    uint64_t took_ns = uv_hrtime() - request->received_ns;
    uint64_t slow_ms = service->settings->slow_ms;

    service->method_counts[request->method->index].processing_ns += took_ns;
    if (slow_ms > 0 && took_ns / 1000000 >= slow_ms)
        log_slow(request, took_ns);
    keep_request(request);
    service->in_flight--;
    service_request_finished(service);
}

void request_answer(struct request *request, const uint8_t *bytes, size_t size)
{
    struct service *service = request->service;
    struct chat_error error;

    if (reply_send(service, &request->reply, bytes, size) != 0) {
        chat_error_set(&error, CHAT_INTERNAL,
                       "the reply of %zu bytes is larger than the broker takes", size);
        count_error(service, request->method, &error);
        reply_error(service, &request->reply, request->method->name, &error);
    }
    arena_reset(&service->reply_arena);
    finish(request);
}

void request_refuse(struct request *request, const struct chat_error *error)
{
    count_error(request->service, request->method, error);
    log_refusal(request->service, request->method->name, request->namespace_name,
                request->traceparent, error);
    reply_error(request->service, &request->reply, request->method->name, error);
    finish(request);
}

/* ---- Beginning ---- */

static const char *answerable_reply(struct service *service, natsMsg *message)
{
    const char *reply = natsMsg_GetReply(message);
    uint64_t withheld = 0;
    bool refused;

    if (subject_is_answerable(reply, &refused))
        return reply;
    if (!refused)
        return NULL;
    service->counts.refused_replies++;
    if (pace_allows(&service->refused_pace, uv_now(service->loop), REFUSED_LOG_INTERVAL_MS,
                    &withheld))
        LOG_WARN("request.reply_refused", log_text("reply", reply), log_u64("withheld", withheld));
    return NULL;
}

static int refuse_method(const struct subject_target *target, struct chat_error *error)
{
    return chat_error_set(error, CHAT_UNKNOWN_METHOD,
                          "there is no method %s; there are New, Send and History", target->method);
}

static int refuse_namespace(struct chat_error *error)
{
    return chat_error_set(error, CHAT_MALFORMED,
                          "the namespace in the subject must be 1 to 64 of A-Z a-z 0-9 _ -");
}

static int check_load(const struct lane *lane, struct chat_error *error)
{
    if (lane_is_congested(lane))
        return chat_error_set(error, CHAT_OVERLOADED,
                              "too many replies wait for the broker to take them; retry");
    return 0;
}

static int submit(struct service *service, const struct method *method, const char *namespace_name,
                  natsMsg *message, const struct request_headers *headers,
                  const struct reply_address *reply, struct chat_error *error)
{
    const struct method_input input = {
        .bytes = (const uint8_t *)natsMsg_GetData(message),
        .size = (size_t)natsMsg_GetDataLength(message),
        .acting_user = headers->acting_user,
    };
    struct request *request = make_request(service, method, namespace_name, reply);
    int result;

    if (request == NULL)
        return chat_error_set(error, CHAT_OVERLOADED, "out of memory; retry");
    if (headers->traceparent != NULL)
        memcpy(request->traceparent, headers->traceparent, TRACE_PARENT_BYTES);
    service->in_flight++;
    result = method->submit(request, &input, error);
    arena_reset(&service->request_arena);
    if (result == 0)
        return 0; /* it is the store's, or even over */
    service->in_flight--;
    keep_request(request);
    return -1;
}

void request_receive(const struct lane *lane, natsMsg *message)
{
    struct service *service = lane->service;
    struct reply_address reply = {.lane = lane, .subject = answerable_reply(service, message)};
    const struct method *method = NULL;
    struct request_headers headers;
    struct subject_target target;
    struct chat_error error;
    int parsed = subject_parse(natsMsg_GetSubject(message), &target);
    int result = headers_read(message, &headers, &error);

    service->counts.requests++;
    reply.format = headers.format;
    if (!target.altered)
        method = method_find(target.method);
    if (method != NULL)
        service->method_counts[method->index].requests++;
    if (result == 0 && method == NULL)
        result = refuse_method(&target, &error);
    if (result == 0 && parsed != 0)
        result = refuse_namespace(&error);
    if (result == 0)
        result = check_load(lane, &error);
    if (result == 0)
        result = submit(service, method, target.namespace_name, message, &headers, &reply, &error);
    if (result == 0)
        return;
    if (method != NULL)
        count_error(service, method, &error);
    log_refusal(service, target.method, parsed == 0 ? target.namespace_name : "",
                headers.traceparent == NULL ? "" : headers.traceparent, &error);
    reply_error(service, &reply, target.method, &error);
}

/* ---- Expecting ---- */

#define CHAT_ID_TAG (2 << 3 | 2) /* of SendRequest: field 2, length-delimited */

/* The chat of a Send in protobuf, if it is seen at a glance. Nothing depends on its being right. */
static bool glance_at_chat(const uint8_t *next, size_t left, struct uuid *chat_id)
{
    while (left >= 2 && next[1] < 0x80 && (size_t)next[1] + 2 <= left) {
        size_t size = next[1];
        if (next[0] == CHAT_ID_TAG)
            return uuid_parse((const char *)next + 2, size, chat_id);
        next += 2 + size;
        left -= 2 + size;
    }
    return false;
}

void request_expect(struct service *service, natsMsg *const *messages, size_t count)
{
    struct uuid chat_ids[STORE_EXPECTED];
    size_t found = 0;

    for (size_t i = 0; i < count && found < STORE_EXPECTED; i++) {
        if (glance_at_chat((const uint8_t *)natsMsg_GetData(messages[i]),
                           (size_t)natsMsg_GetDataLength(messages[i]), &chat_ids[found]))
            found++;
    }
    store_expect_sends(service->store, chat_ids, found);
}
