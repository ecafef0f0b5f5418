/* What the methods share: their table, and the store's statuses in the contract's words. */
#include "service/method.h"

#include "base/log.h"
#include "store/status.h"
#include <string.h>

#define FAULT_LOG_INTERVAL_MS 1000

static const struct method *const methods[METHOD_COUNT] = {
    [METHOD_NEW] = &method_new,
    [METHOD_SEND] = &method_send,
    [METHOD_HISTORY] = &method_history,
};

const struct method *method_at(enum method_index index)
{
    return methods[index];
}

const struct method *method_find(const char *name)
{
    for (size_t i = 0; i < METHOD_COUNT; i++) {
        if (strcmp(methods[i]->name, name) == 0)
            return methods[i];
    }
    return NULL;
}

static void log_fault(const struct request *request, const struct chat_error *error)
{
    struct service *service = request->service;
    uint64_t withheld = 0;

    if (pace_allows(&service->fault_pace, uv_now(service->loop), FAULT_LOG_INTERVAL_MS, &withheld))
        LOG_ERROR("request.failed", log_text("method", request->method->name),
                  log_text("namespace", request->namespace_name), log_text("detail", error->detail),
                  log_text("traceparent", request->traceparent), log_u64("withheld", withheld));
}

static int set_fault(const struct request *request, int status, struct chat_error *error)
{
    char chat[UUID_TEXT_BYTES];

    if (status == STORE_CORRUPT && request->method != &method_new) {
        uuid_format(&request->chat_id, chat);
        chat_error_set(error, CHAT_INTERNAL, "stored data of chat %.*s is damaged", UUID_TEXT_BYTES,
                       chat);
    } else {
        chat_error_set(error, CHAT_INTERNAL, "%s", store_status_text(status));
    }
    log_fault(request, error);
    return -1;
}

int method_store_error(const struct request *request, int status, struct chat_error *error)
{
    switch (status) {
    case STORE_NO_CHAT:
        return chat_error_set(error, CHAT_INVALID_CHAT_ID,
                              "there is no such chat in namespace %s; New makes one",
                              request->namespace_name);
    case STORE_NOT_A_MEMBER:
        return chat_error_set(error, CHAT_NOT_A_MEMBER,
                              "the acting user is not one of the chat's users");
    case STORE_CLIENT_ID_REUSED:
        return chat_error_set(error, CHAT_CLIENT_ID_REUSED,
                              "this user has used the client_id for another message of this chat; "
                              "a retry repeats subject and text, a new message has a new one");
    case STORE_OVERLOADED:
        return chat_error_set(error, CHAT_OVERLOADED, "too many requests are in flight; retry");
    case STORE_NO_MEMORY:
        return chat_error_set(error, CHAT_OVERLOADED, "out of memory; retry");
    case STORE_CLOSING:
        return chat_error_set(error, CHAT_OVERLOADED, "the service is stopping; retry");
    case STORE_FULL:
        return chat_error_set(error, CHAT_STORAGE_FULL,
                              "the disk is full; retry when there is space");
    default:
        return set_fault(request, status, error);
    }
}

void method_refuse_encoding(struct request *request)
{
    struct chat_error error;

    arena_reset(&request->service->reply_arena);
    chat_error_set(&error, CHAT_INTERNAL, "the reply could not be put together");
    log_fault(request, &error);
    request_refuse(request, &error);
}
