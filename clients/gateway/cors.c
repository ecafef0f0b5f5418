#include "clients/gateway/cors.h"

#include "clients/gateway/gateway.h"
#include <string.h>

static bool is_listed(const struct exchange *exchange, const char *origin)
{
    const struct option_list *origins = &exchange_gateway(exchange)->settings->cors_origins;

    for (size_t i = 0; i < origins->count; i++) {
        if (strcmp(origins->values[i], origin) == 0)
            return true;
    }
    return false;
}

void cors_note_origin(struct exchange *exchange)
{
    const char *origin;

    if (exchange_gateway(exchange)->settings->cors_origins.count == 0)
        return;
    exchange_add_field(exchange, "Vary", "Origin");
    origin = exchange_header(exchange, "origin");
    if (origin == NULL || !is_listed(exchange, origin))
        return;
    exchange_add_field(exchange, "Access-Control-Allow-Origin", origin);
    exchange_add_field(exchange, "Access-Control-Expose-Headers", "Retry-After");
}

void cors_answer_options(struct exchange *exchange, const char *allow)
{
    const char *origin = exchange_header(exchange, "origin");

    exchange_add_field(exchange, "Allow", allow);
    if (origin != NULL && is_listed(exchange, origin) &&
        exchange_header(exchange, "access-control-request-method") != NULL) {
        exchange_add_field(exchange, "Access-Control-Allow-Methods", allow);
        exchange_add_field(exchange, "Access-Control-Allow-Headers",
                           "authorization, content-type, idempotency-key, last-event-id, "
                           "micro-namespace, prefer");
        exchange_add_field(exchange, "Access-Control-Max-Age", "3600");
    }
    exchange_reply(exchange, &(struct exchange_answer){.code = 204});
}

/* "https://chat.example:8443" is of the host "chat.example:8443". */
static bool is_own(const struct exchange *exchange, const char *origin)
{
    const char *host = exchange_header(exchange, "host");
    const char *scheme_end = strstr(origin, "://");

    return host != NULL && scheme_end != NULL && strcasecmp(scheme_end + 3, host) == 0;
}

bool cors_allows_websocket(const struct exchange *exchange)
{
    const char *origin = exchange_header(exchange, "origin");

    return origin == NULL || is_listed(exchange, origin) || is_own(exchange, origin);
}

static bool same_host(const char *origin, const char *host)
{
    const char *name = strstr(origin, "://");
    size_t size = strcspn(host, ":");

    if (name == NULL)
        return false;
    name += 3;
    return strcspn(name, ":") == size && strncasecmp(name, host, size) == 0;
}

/* "127.0.0.1:8080", "[::1]", "localhost": what no foreign name server decides about. */
static bool is_beyond_names(const char *host)
{
    size_t size = strcspn(host, ":");

    return host[0] == '[' || strspn(host, "0123456789.") == size ||
           (size == strlen("localhost") && strncasecmp(host, "localhost", size) == 0);
}

bool cors_host_is_known(const struct exchange *exchange)
{
    const struct option_list *origins = &exchange_gateway(exchange)->settings->cors_origins;
    const char *host = exchange_header(exchange, "host");

    if (host == NULL || is_beyond_names(host))
        return true;
    for (size_t i = 0; i < origins->count; i++) {
        if (same_host(origins->values[i], host))
            return true;
    }
    return false;
}
