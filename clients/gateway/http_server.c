/*
 * One timer looks at all connections, TICK_MS apart: their limits of time are seconds, and a
 * timer for each would cost more than the look.
 */
#include "clients/gateway/http_connection.h"

#include "base/log.h"
#include "clients/gateway/rate_limit.h"
#include "clients/gateway/tls.h"
#include "clients/gateway/websocket.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICK_MS 100
#define BACKLOG 1024
#define PENDING_BYTES_MAX ((size_t)16 * 1024 * 1024)

struct listener {
    uv_tcp_t tcp;
    struct http_server *server;
    int port;
};

struct http_server {
    struct gateway *gateway;
    struct transport_pool pool;
    struct listener *listeners;
    size_t listener_count;
    size_t handles; /* that are not closed yet */
    struct tls_context *tls;
    struct rate_limit *addresses; /* what each has open */
    struct http_connection *connections;
    struct http_connection *next; /* of the walk that is going on */
    struct http_server_counts counts;
    uv_timer_t tick;
    time_t date_of;
    char date[32];
    void (*drained)(void *data);
    void *drained_data;
    uint64_t drain_deadline_ms;
};

struct gateway *http_server_gateway(struct http_server *server)
{
    return server->gateway;
}

struct transport_pool *http_server_pool(struct http_server *server)
{
    return &server->pool;
}

struct http_server_counts *http_server_tally(struct http_server *server)
{
    return &server->counts;
}

struct http_server_counts http_server_counts(const struct http_server *server)
{
    struct http_server_counts counts = server->counts;

    counts.received_bytes = server->pool.received_bytes;
    counts.sent_bytes = server->pool.sent_bytes;
    return counts;
}

const char *http_server_date(struct http_server *server)
{
    time_t now = time(NULL);
    struct tm parts;

    if (now != server->date_of) {
        gmtime_r(&now, &parts);
        strftime(server->date, sizeof server->date, "%a, %d %b %Y %H:%M:%S GMT", &parts);
        server->date_of = now;
    }
    return server->date;
}

int http_server_port(const struct http_server *server, size_t i)
{
    return i < server->listener_count ? server->listeners[i].port : 0;
}

/* ---- Connections ---- */

int http_server_tls(struct http_server *server, struct tls_session **session)
{
    if (server->tls == NULL)
        return 0;
    *session = tls_session_create(server->tls);
    return *session == NULL ? -1 : 0;
}

/* Of those who come from there others are behind it: what one address may have is no measure. */
static bool is_exempt(const struct http_server *server, const char *address)
{
    const struct option_list *proxies = &server->gateway->settings->trusted_proxies;

    if (!server->gateway->settings->limit_loopback &&
        (strncmp(address, "127.", 4) == 0 || strcmp(address, "::1") == 0))
        return true;
    for (size_t i = 0; i < proxies->count; i++) {
        if (strcmp(proxies->values[i], address) == 0)
            return true;
    }
    return false;
}

/* Counts it for its address: false when that has too many. Those who cannot be counted any more are
 * too many in all. */
static bool hold_for_address(struct http_server *server, struct http_connection *connection)
{
    if (is_exempt(server, connection->address))
        return true;
    rate_limit_address_key(connection->address, connection->address_key);
    connection->is_counted =
        rate_limit_hold(server->addresses, connection->address_key, uv_now(server->gateway->loop));
    return connection->is_counted;
}

#define REFUSAL(status, size, body)                                                                \
    "HTTP/1.1 " status "\r\nRetry-After: 1\r\nContent-Type: application/json\r\n"                  \
    "Content-Length: " size "\r\nConnection: close\r\n\r\n" body

/* Whole answers, since nothing is read of those who get them. */
static const char too_many[] = REFUSAL(
    "503 Service Unavailable", "134",
    "{\"id\":\"gateway.TooManyConnections\",\"code\":503,\"detail\":\"the gateway has as many "
    "connections as it may\",\"status\":\"Service Unavailable\"}");
static const char too_many_of_address[] = REFUSAL(
    "429 Too Many Requests", "138",
    "{\"id\":\"gateway.TooManyConnections\",\"code\":429,\"detail\":\"this address has as many "
    "connections open as it may\",\"status\":\"Too Many Requests\"}");

int http_server_add(struct http_server *server, struct http_connection *connection,
                    const char **refusal)
{
    const struct gateway_settings *settings = server->gateway->settings;
    const char *reason = NULL;

    if (server->counts.connections >= settings->max_connections)
        reason = too_many;
    else if (!hold_for_address(server, connection))
        reason = too_many_of_address;
    connection->next = server->connections;
    if (server->connections != NULL)
        server->connections->previous = connection;
    server->connections = connection;
    server->counts.connections++;
    server->counts.accepted++;
    *refusal = reason;
    server->counts.refused += reason != NULL;
    return reason == NULL ? 0 : -1;
}

static void check_drained(struct http_server *server)
{
    void (*drained)(void *data) = server->drained;

    if (drained == NULL || server->connections != NULL)
        return;
    server->drained = NULL;
    drained(server->drained_data);
}

void http_server_remove(struct http_server *server, struct http_connection *connection)
{
    if (server->next == connection)
        server->next = connection->next;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->connections = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    server->counts.connections--;
    if (connection->is_counted)
        rate_limit_release(server->addresses, connection->address_key);
    check_drained(server);
}

/* ---- Time ---- */

static bool has_stalled(const struct http_server *server, const struct transport *transport,
                        uint64_t now_ms)
{
    return (transport->pending > 0 || transport->sealed != NULL) &&
           now_ms > transport->progress_ms + server->gateway->settings->write_timeout_ms;
}

static void look_at(struct http_server *server, struct http_connection *connection, uint64_t now_ms)
{
    const struct transport *transport = &connection->transport;

    if (transport->closing)
        return;
    if (transport->pending > PENDING_BYTES_MAX) {
        server->counts.timed_out++;
        http_connection_close(connection);
    } else if (connection->deadline_ms != 0 && now_ms >= connection->deadline_ms) {
        http_connection_timed_out(connection);
    } else if (has_stalled(server, transport, now_ms)) {
        if (connection->websocket != NULL) {
            websocket_stalled(connection->websocket);
        } else {
            server->counts.timed_out++;
            http_connection_close(connection);
        }
    } else if (connection->websocket != NULL) {
        websocket_tick(connection->websocket, now_ms);
    }
    if (connection->exchange != NULL &&
        (connection->state == CONNECTION_IDLE || connection->state == CONNECTION_STREAM ||
         connection->state == CONNECTION_WEBSOCKET))
        http_connection_trim(connection);
}

static void close_all(struct http_server *server)
{
    for (struct http_connection *c = server->connections; c != NULL; c = c->next)
        http_connection_close(c);
}

static void on_tick(uv_timer_t *timer)
{
    struct http_server *server = timer->data;
    uint64_t now_ms = uv_now(server->gateway->loop);

    for (struct http_connection *c = server->connections; c != NULL; c = server->next) {
        server->next = c->next;
        look_at(server, c, now_ms);
    }
    server->next = NULL;
    if (server->drain_deadline_ms != 0 && now_ms >= server->drain_deadline_ms)
        close_all(server);
}

/* ---- Listening ---- */

static void on_connection(uv_stream_t *stream, int status)
{
    struct listener *listener = stream->data;

    if (status == 0)
        http_connection_accept(listener->server, stream);
    else
        LOG_WARN("http.accept_failed", log_text("detail", uv_strerror(status)));
}

/* The last of the server's handles takes its memory along. */
static void on_handle_gone(void *data)
{
    struct http_server *server = data;

    if (--server->handles > 0)
        return;
    tls_context_destroy(server->tls);
    rate_limit_free(server->addresses);
    free(server->listeners);
    free(server);
}

static void on_listener_closed(uv_handle_t *handle)
{
    struct listener *listener = handle->data;

    on_handle_gone(listener->server);
}

static int listener_start(struct listener *listener, const char *text)
{
    struct http_server *server = listener->server;
    struct sockaddr_storage address;
    int size = sizeof address;
    int error;

    (void)gateway_settings_address(text, &address); /* looked at when they were parsed */
    uv_tcp_init(server->gateway->loop, &listener->tcp);
    listener->tcp.data = listener;
    server->listener_count++;
    server->handles++;
    error = uv_tcp_bind(&listener->tcp, (struct sockaddr *)&address, 0);
    if (error == 0)
        error = uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_connection);
    if (error == 0)
        error = uv_tcp_getsockname(&listener->tcp, (struct sockaddr *)&address, &size);
    if (error != 0) {
        LOG_ERROR("http.not_listening", log_text("address", text),
                  log_text("detail", uv_strerror(error)));
        return -1;
    }
    /* Both kinds of address have the port in the same place. */
    listener->port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    return 0;
}

static int listen_on_all(struct http_server *server)
{
    const struct option_list *addresses = &server->gateway->settings->listen;

    for (size_t i = 0; i < addresses->count; i++) {
        server->listeners[i].server = server;
        if (listener_start(&server->listeners[i], addresses->values[i]) != 0)
            return -1;
    }
    return 0;
}

static void stop_listening(struct http_server *server)
{
    for (size_t i = 0; i < server->listener_count; i++) {
        if (!uv_is_closing((uv_handle_t *)&server->listeners[i].tcp))
            uv_close((uv_handle_t *)&server->listeners[i].tcp, on_listener_closed);
    }
}

static int load_tls(struct http_server *server)
{
    const struct gateway_settings *settings = server->gateway->settings;
    struct tls_context *tls;

    if (settings->listen_tls_cert == NULL || settings->listen_tls_cert[0] == '\0')
        return 0;
    tls = tls_context_create(settings->listen_tls_cert, settings->listen_tls_key);
    if (tls == NULL)
        return -1;
    tls_context_destroy(server->tls);
    server->tls = tls;
    return 0;
}

struct http_server *http_server_start(struct gateway *gateway)
{
    struct http_server *server = calloc(1, sizeof *server);

    if (server == NULL)
        abort();
    server->gateway = gateway;
    server->listeners = calloc(gateway->settings->listen.count, sizeof *server->listeners);
    server->addresses = rate_limit_create(
        &(struct rate_limit_settings){.held = gateway->settings->max_connections_per_address,
                                      .burst = 1,
                                      .keys = (size_t)gateway->settings->max_connections});
    if (server->listeners == NULL || server->addresses == NULL)
        abort();
    transport_pool_start(&server->pool, gateway->loop);
    server->handles = 2; /* the pool's and the timer */
    uv_timer_init(gateway->loop, &server->tick);
    server->tick.data = server;
    uv_timer_start(&server->tick, on_tick, TICK_MS, TICK_MS);
    if (load_tls(server) == 0 && listen_on_all(server) == 0)
        return server;
    stop_listening(server);
    return NULL; /* the process ends */
}

void http_server_reload(struct http_server *server)
{
    if (load_tls(server) == 0 && server->tls != NULL)
        LOG_INFO("tls.reloaded", log_text("file", server->gateway->settings->listen_tls_cert));
}

void http_server_drain(struct http_server *server, void (*drained)(void *data), void *data)
{
    server->drained = drained;
    server->drained_data = data;
    server->drain_deadline_ms =
        uv_now(server->gateway->loop) + server->gateway->settings->drain_timeout_ms;
    stop_listening(server);
    for (struct http_connection *c = server->connections; c != NULL; c = server->next) {
        server->next = c->next;
        http_connection_drain(c);
    }
    server->next = NULL;
    check_drained(server);
}

static void on_tick_closed(uv_handle_t *handle)
{
    on_handle_gone(handle->data);
}

void http_server_free(struct http_server *server)
{
    transport_pool_stop(&server->pool, on_handle_gone, server);
    uv_close((uv_handle_t *)&server->tick, on_tick_closed);
}
