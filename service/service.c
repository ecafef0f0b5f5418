/*
 * Starting: look at the broker's settings, which may be wrong; open and recover the store, which
 * blocks, but nothing else is there yet; then the loop connects. When no other instance is there
 * (peers.c), requests are subscribed to; the broker's ready callback is the moment from which they
 * are answered.
 *
 * Stopping, in an order in which nothing acknowledged is lost and nobody who was heard goes
 * unanswered:
 *
 *   SIGTERM ─▶ DRAINING: the broker sends no more ─▶ FINISHING: the store ends what it has
 *           ─▶ the broker has taken the replies ─▶ CLOSING: the connection goes, the store settles
 *           ─▶ CLOSED: all handles go, the loop runs out.
 *
 * Each step has its limit in time: where it depends on the broker (when that is away, the steps
 * follow at once), and where it depends on a disk that may be slow: what waits for room after a
 * while is refused, and what is not settled is left to the journal. A second signal ends the
 * process on the spot, as a crash would: what was acknowledged is on disk.
 */
#include "service/service.h"

#include "base/log.h"
#include "base/version.h"
#include "proto/codec.h"
#include "service/nats_url.h"
#include "service/request.h"
#include <signal.h>
#include <string.h>
#include <unistd.h>

#define STOP_TIMEOUT_MS 5000
/* Room for any error, with its headers. */
#define ANY_ERROR_BYTES 1024
/* A page is at most what the broker takes; as JSON its parts are in the arena too. Only a bound:
 * memory is taken as it is needed. */
#define REPLY_ARENA_BYTES ((size_t)512 * 1024 * 1024)

/* ---- Stopping ---- */

static void close_handles(struct service *service)
{
    uv_close((uv_handle_t *)&service->terminate, NULL);
    uv_close((uv_handle_t *)&service->interrupt, NULL);
    uv_close((uv_handle_t *)&service->patience, NULL);
}

static void store_closed(void *data)
{
    struct service *service = data;

    service->stage = SERVICE_CLOSED;
    close_handles(service);
}

static void replies_taken(struct service *service)
{
    peers_stop(&service->peers);
    lanes_close(&service->lanes);
    store_close(service->store, store_closed, service);
}

static void finish_if_idle(struct service *service)
{
    if (service->stage != SERVICE_FINISHING || service->in_flight > 0)
        return;
    service->stage = SERVICE_CLOSING;
    uv_timer_stop(&service->patience);
    lanes_flush(&service->lanes, STOP_TIMEOUT_MS, replies_taken);
}

static void on_impatient(uv_timer_t *timer)
{
    struct service *service = timer->data;

    LOG_WARN("stop.hurried", log_u64("in_flight", service->in_flight),
             log_text("advice", "the disk is slow: what waits for room is answered with 503"));
    store_hurry(service->store);
}

static void requests_stopped(struct service *service)
{
    service->stage = SERVICE_FINISHING;
    uv_timer_start(&service->patience, on_impatient, STOP_TIMEOUT_MS, 0);
    finish_if_idle(service);
}

void service_request_finished(struct service *service)
{
    finish_if_idle(service);
}

static void begin_stopping(struct service *service)
{
    service->stage = SERVICE_DRAINING;
    service->peers.stage = PEERS_IDLE;
    lanes_stop_requests(&service->lanes, STOP_TIMEOUT_MS, requests_stopped);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct service *service = handle->data;

    if (service->stage >= SERVICE_DRAINING) {
        LOG_WARN("stopped_at_once", log_i64("signal", signal_number));
        _exit(1);
    }
    LOG_INFO("stopping", log_i64("signal", signal_number),
             log_u64("in_flight", service->in_flight));
    begin_stopping(service);
}

void service_give_up(struct service *service)
{
    if (service->stage >= SERVICE_DRAINING)
        return;
    service->gave_up = true;
    LOG_INFO("stopping", log_bool("gave_up", true), log_u64("in_flight", service->in_flight));
    begin_stopping(service);
}

/* ---- Starting ---- */

static void on_ready(void *data, const char *url)
{
    struct service *service = data;
    char store_id[UUID_TEXT_BYTES];

    uuid_format(&service->opened.store_id, store_id);
    service->stage = SERVICE_RUNNING;
    LOG_INFO("ready", log_text("nats_url", url), log_bytes("store_id", store_id, sizeof store_id));
    if (broker_max_payload(service->broker) < ANY_ERROR_BYTES)
        LOG_WARN("broker.max_payload_small",
                 log_u64("max_payload", broker_max_payload(service->broker)),
                 log_u64("wanted", ANY_ERROR_BYTES),
                 log_text("advice", "raise the broker's max_payload: what it does not take is not "
                                    "answered, not even with an error"));
    peers_watch(&service->peers);
    lanes_start_reads(&service->lanes);
}

static void on_connected(void *data)
{
    struct service *service = data;

    peers_ask_before(&service->peers);
}

static void on_reconnected(void *data)
{
    struct service *service = data;

    peers_ask_again(&service->peers);
}

void service_admitted(struct service *service)
{
    broker_admit(service->broker);
}

static int open_store(struct service *service)
{
    struct store_failure failure = {.detail = ""};
    struct store_opened *opened = &service->opened;
    int status =
        store_open(&service->store, service->loop, &service->settings->store, opened, &failure);

    if (status != STORE_OK) {
        LOG_ERROR("store.not_opened", log_text("data_dir", service->settings->store.directory),
                  log_text("error", store_status_text(status)), log_text("detail", failure.detail));
        return -1;
    }
    LOG_INFO("store.recovered", log_u64("records", opened->records),
             log_f64("took_ms", (double)opened->took_us / 1000),
             log_u64("torn_bytes", opened->torn_bytes));
    return 0;
}

/* Nothing happens on the connections before the loop runs. */
static int connect_broker(struct service *service)
{
    const struct broker_handlers handlers = {.data = service,
                                             .connected = on_connected,
                                             .reconnected = on_reconnected,
                                             .ready = on_ready};

    monitor_init(&service->monitor, service);
    peers_init(&service->peers, service, service->settings->broker.inbox_prefix);
    if (lanes_create(&service->lanes, service, &handlers) != 0) {
        peers_stop(&service->peers);
        return -1;
    }
    service->broker = service->lanes.main.broker;
    lanes_start(&service->lanes);
    return 0;
}

/* From the first moment on, so that even a long recovery ends in an orderly way. */
static void watch_signal(struct service *service, uv_signal_t *handle, int signal_number)
{
    uv_signal_init(service->loop, handle);
    handle->data = service;
    uv_signal_start(handle, on_signal, signal_number);
}

int service_start(struct service *service, uv_loop_t *loop, const struct settings *settings)
{
    service->loop = loop;
    service->settings = settings;
    service->started_ms = uv_now(loop);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file at its limit is a full disk, and no reason to die */
    uv_timer_init(loop, &service->patience);
    service->patience.data = service;
    watch_signal(service, &service->terminate, SIGTERM);
    watch_signal(service, &service->interrupt, SIGINT);
    LOG_INFO("starting", log_text("version", CHAT_VERSION), log_i64("pid", getpid()),
             log_text("data_dir", settings->store.directory));
    if (connect_broker(service) != 0)
        goto err_after_signals;
    if (open_store(service) != 0)
        goto err_after_broker;
    arena_init(&service->request_arena, CODEC_ARENA_BYTES);
    arena_init(&service->reply_arena, REPLY_ARENA_BYTES);
    return 0;

err_after_broker:
    peers_stop(&service->peers);
    lanes_close(&service->lanes);
    uv_run(loop, UV_RUN_NOWAIT);
    (void)lanes_free(&service->lanes); /* the loop has not run: nothing was connecting */
err_after_signals:
    close_handles(service);
    uv_run(loop, UV_RUN_NOWAIT);
    return -1;
}

bool service_free(struct service *service)
{
    const struct service_counts *counts = &service->counts;
    bool free_of_threads = lanes_free(&service->lanes);

    request_free_all(service);
    arena_free(&service->request_arena);
    arena_free(&service->reply_arena);
    LOG_INFO("stopped", log_u64("requests", counts->requests), log_u64("errors", counts->errors),
             log_u64("events", counts->events), log_u64("lost_events", counts->lost_events),
             log_u64("lost_replies", counts->lost_replies),
             log_u64("refused_replies", counts->refused_replies),
             log_u64("uptime_s", (uv_now(service->loop) - service->started_ms) / 1000));
    return free_of_threads;
}
