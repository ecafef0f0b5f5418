/*
 * The program chat-gateway: settings, one loop, and on it the client of the service, the parts and
 * the HTTP server.
 *
 *     start: client ─▶ parts ─▶ server ─▶ "ready"
 *     SIGHUP: parts and server read their files again
 *     SIGTERM, SIGINT: server drains ─▶ parts stop ─▶ client closes ─▶ the loop ends, status 0
 *
 * It is ready when it listens: the broker may come later, and calls wait for it until their time is
 * up. A second signal ends it at once.
 */
#include "base/log.h"
#include "base/standard_files.h"
#include "clients/gateway/gateway.h"
#include "clients/gateway/http_server.h"
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define EXIT_USAGE 2

struct program {
    struct gateway gateway;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    uv_signal_t hangup;
    bool stopping;
};

/* ---- Ending ---- */

static void close_signal(uv_signal_t *handle)
{
    if (!uv_is_closing((uv_handle_t *)handle))
        uv_close((uv_handle_t *)handle, NULL);
}

static void stop_parts(struct gateway *gateway, size_t count)
{
    while (count-- > 0) {
        if (gateway_parts[count]->stop != NULL)
            gateway_parts[count]->stop(gateway);
    }
}

static void on_drained(void *data)
{
    struct program *program = data;

    stop_parts(&program->gateway, gateway_part_count);
    http_server_free(program->gateway.server);
    program->gateway.server = NULL;
    chat_close(program->gateway.client, NULL, NULL);
    close_signal(&program->terminate);
    close_signal(&program->interrupt);
    close_signal(&program->hangup);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct program *program = handle->data;

    if (program->stopping)
        _Exit(128 + number);
    program->stopping = true;
    program->gateway.draining = true;
    LOG_INFO("stopping", log_i64("signal", number));
    for (size_t i = 0; i < gateway_part_count; i++) {
        if (gateway_parts[i]->drain != NULL)
            gateway_parts[i]->drain(&program->gateway);
    }
    http_server_drain(program->gateway.server, on_drained, program);
}

static void on_hangup(uv_signal_t *handle, int number)
{
    struct program *program = handle->data;

    LOG_INFO("reloading", log_i64("signal", number));
    for (size_t i = 0; i < gateway_part_count; i++) {
        if (gateway_parts[i]->reload != NULL)
            gateway_parts[i]->reload(&program->gateway);
    }
    if (!program->stopping)
        http_server_reload(program->gateway.server);
}

/* ---- Beginning ---- */

static void on_connection(void *data, int status, const char *detail)
{
    struct gateway *gateway = data;
    bool was_connected = gateway->broker_connected;

    gateway->broker_connected = status == CHAT_OK;
    if (status == CHAT_OK)
        LOG_INFO("broker.connected", log_text("nats_url", detail));
    else if (was_connected || status == CHAT_EDENIED)
        LOG_WARN("broker.disconnected", log_text("detail", detail));
    else
        LOG_DEBUG("broker.not_connected", log_text("detail", detail));
}

static int start_parts(struct gateway *gateway)
{
    for (size_t i = 0; i < gateway_part_count; i++) {
        if (gateway_parts[i]->start != NULL && gateway_parts[i]->start(gateway) != 0)
            return -1;
    }
    return 0;
}

static void watch(struct program *program, uv_signal_t *handle, uv_signal_cb cb, int number)
{
    uv_signal_init(program->gateway.loop, handle);
    handle->data = program;
    uv_signal_start(handle, cb, number);
}

static void tell_ready(const struct gateway *gateway)
{
    const struct gateway_settings *settings = gateway->settings;

    for (size_t i = 0; i < settings->listen.count; i++)
        LOG_INFO("listening", log_text("address", settings->listen.values[i]),
                 log_i64("port", http_server_port(gateway->server, i)),
                 log_bool("tls", settings->listen_tls_cert != NULL));
    LOG_INFO("ready", log_i64("port", http_server_port(gateway->server, 0)));
}

/* A file for each connection: as many as the system lets us have. */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* What has started when this fails is not stopped one by one: the process ends. */
static int run(const struct gateway_settings *settings)
{
    static struct program program; /* zeroed; there is one */
    struct chat_options broker = gateway_settings_broker(settings);
    struct gateway *gateway = &program.gateway;
    static uv_loop_t loop;
    int status;

    if (uv_loop_init(&loop) != 0) {
        LOG_ERROR("loop.not_started", log_text("detail", "uv_loop_init failed"));
        return EXIT_FAILURE;
    }
    gateway->loop = &loop;
    gateway->settings = settings;
    broker.data = gateway;
    broker.connection = on_connection;
    status = chat_connect(&gateway->client, &loop, &broker);
    if (status != CHAT_OK) {
        LOG_ERROR("broker.unusable_options", log_text("detail", chat_strerror(status)));
        return EXIT_FAILURE;
    }
    if (start_parts(gateway) != 0 || (gateway->server = http_server_start(gateway)) == NULL)
        return EXIT_FAILURE;
    watch(&program, &program.terminate, on_signal, SIGTERM);
    watch(&program, &program.interrupt, on_signal, SIGINT);
    watch(&program, &program.hangup, on_hangup, SIGHUP);
    tell_ready(gateway);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    LOG_INFO("stopped", log_i64("status", 0));
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct gateway_settings settings;
    enum options_result parsed;
    int status = EXIT_SUCCESS;

    standard_files_hold();
    parsed = gateway_settings_parse(&settings, argc, argv, stdout, stderr);
    signal(SIGPIPE, SIG_IGN);
    if (parsed == OPTIONS_OK) {
        log_set_level(settings.log_level);
        raise_file_limit();
        status = run(&settings);
    } else if (parsed == OPTIONS_USAGE) {
        status = EXIT_USAGE;
    }
    gateway_settings_free(&settings);
    return status;
}
