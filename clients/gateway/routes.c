#include "clients/gateway/routes.h"

#include "clients/gateway/connect.h"
#include "clients/gateway/events.h"
#include "clients/gateway/http_calls.h"
#include "clients/gateway/monitoring.h"
#include <string.h>

static const struct route table[] = {
    {"POST", "/chat/New", "New", ROUTE_GUARDED, http_calls_new},
    {"POST", "/chat/Send", "Send", ROUTE_GUARDED, http_calls_send},
    {"POST", "/chat/History", "History", ROUTE_GUARDED, http_calls_history},
    {"GET", "/chat/History", "History", ROUTE_GUARDED, http_calls_history},
    {"GET", "/chat/Connect", "Connect", ROUTE_GUARDED | ROUTE_WEBSOCKET, connect_handle},
    {"GET", "/chat/Events", "Events", ROUTE_GUARDED, events_handle},
    {"GET", "/healthz", "healthz", ROUTE_OPEN, http_calls_healthz},
    {"GET", "/readyz", "readyz", ROUTE_LIMITED, monitoring_readyz},
    {"GET", "/metrics", "metrics", ROUTE_LIMITED, monitoring_metrics},
};
#define ROUTE_COUNT (sizeof table / sizeof table[0])

const struct route *routes_find(const char *method, const char *path, const char **allow)
{
    bool has_get = false;
    bool has_post = false;

    for (size_t i = 0; i < ROUTE_COUNT; i++) {
        if (strcmp(table[i].path, path) != 0)
            continue;
        if (strcmp(table[i].method, method) == 0)
            return &table[i];
        has_get = has_get || strcmp(table[i].method, "GET") == 0;
        has_post = has_post || strcmp(table[i].method, "POST") == 0;
    }
    if (has_get)
        *allow = has_post ? "GET, HEAD, POST, OPTIONS" : "GET, HEAD, OPTIONS";
    else
        *allow = has_post ? "POST, OPTIONS" : NULL;
    return NULL;
}

const struct route *routes_at(size_t i)
{
    return i < ROUTE_COUNT ? &table[i] : NULL;
}
