/*
 * chat-bench: load for the chat service, and what it took.
 *
 *     chat-bench WORKLOAD [options]          make chats ─▶ warm up ─▶ measure ─▶ verify ─▶ report
 *     chat-bench compare WORKLOAD [options]  the same, in turn with a responder
 *     chat-bench responder                   answers at once
 *     chat-bench sync                        what the disk takes
 *     chat-bench gateway                     Sends by HTTP, through the gateway
 *     chat-bench fanout                      one chat, many WebSockets
 *
 * Exit status: 0; 1 when something failed, or --verify found something; 2 when the command line is
 * wrong. Errors of single requests are counted and reported, and are no failure of the program.
 */
#include "base/standard_files.h"
#include "base/version.h"
#include "clients/bench/bench_link.h"
#include "clients/bench/compare.h"
#include "clients/bench/fanout.h"
#include "clients/bench/gateway_load.h"
#include "clients/bench/report.h"
#include "clients/bench/responder.h"
#include "clients/bench/sync.h"
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
/* Making chats and reading them back has so many under way. */
#define SLOTS_MIN 1024

static const char help[] =
    "Usage: chat-bench WORKLOAD [options]\n"
    "       chat-bench compare WORKLOAD [options]\n"
    "       chat-bench responder [options]\n"
    "       chat-bench sync --directory DIR [options]\n"
    "       chat-bench gateway [options]\n"
    "       chat-bench fanout [options]\n"
    "\n"
    "Load for the chat service, and what it took: throughput, and latency by percentile.\n"
    "\n"
    "Workloads:\n"
    "  send       messages with fresh client ids\n"
    "  history    pages, the newest of a chat or any\n"
    "  new        chats of users that have none\n"
    "  mixed      shares of these\n"
    "  jetstream  for comparison: publishes to a JetStream stream, which it makes\n"
    "\n"
    "Commands:\n"
    "  compare    a workload against the service and a responder in turn; the ratio\n"
    "  responder  answers each request at once: the limit of this broker and machine\n"
    "  sync       what write and fdatasync take on a disk\n"
    "  gateway    sends by HTTP, through chat-gateway\n"
    "  fanout     one chat, followed by many WebSockets: deliveries, and how long they take\n"
    "\n"
    "Options come after the workload or command: chat-bench send --help shows them.\n"
    "  --help     Show this help and exit.\n"
    "  --version  Show the version and exit.\n";

/* ---- Workloads ---- */

static int report(const struct bench_settings *settings, const struct measurement *m,
                  const struct verification *v)
{
    int status = EXIT_SUCCESS;

    if (settings->json) {
        json_t *json = report_json(m);
        json_object_set_new(json, "settings", report_settings_json(settings));
        if (v != NULL)
            json_object_set_new(json, "verification", report_verification_json(v));
        if (report_print_json(json, stdout) != 0)
            status = EXIT_FAILURE;
    } else {
        report_print(settings, m, stdout);
        if (v != NULL)
            report_print_verification(v, stdout);
    }
    if (settings->svg != NULL && report_draw(settings->svg, settings->workload, &m, 1, stderr) != 0)
        status = EXIT_FAILURE;
    return v != NULL && !verification_passed(v) ? EXIT_FAILURE : status;
}

static int run_once(struct load *load, struct engine *engine)
{
    const struct bench_settings *settings = load->settings;
    struct measurement *m = measurement_new("service");
    struct verification verification;
    int status = EXIT_FAILURE;
    bool whole;

    if (m == NULL) {
        fputs(BENCH_PROGRAM ": out of memory\n", stderr);
        return EXIT_FAILURE;
    }
    whole = load_run(load, engine, "chat", m);
    if (!whole)
        fputs(BENCH_PROGRAM ": interrupted; this is what was measured until then\n", stderr);
    if (!settings->verify || !whole)
        status = report(settings, m, NULL);
    else if (verify_run(&verification, load, engine, stderr) == 0)
        status = report(settings, m, &verification);
    measurement_free(m);
    return whole ? status : EXIT_FAILURE;
}

/* ---- JetStream ---- */

static bool next_stream(void *data, struct engine_request *request, struct engine_message *message)
{
    static const char body[] =
        "{\"name\":\"CHATBENCH\",\"subjects\":[\"chatbench.*\"],\"storage\":\"file\"}";
    int *result = data;

    (void)request;
    *message = (struct engine_message){"$JS.API.STREAM.CREATE.CHATBENCH", body, sizeof body - 1};
    return *result < 0;
}

static int stream_replied(void *data, const struct engine_request *request, uint64_t now_ns,
                          const uint8_t *bytes, size_t size)
{
    int *result = data;

    (void)request;
    (void)now_ns;
    *result = memmem(bytes, size, "\"error\"", 7) == NULL ? 0 : 1;
    if (*result != 0)
        fprintf(stderr, BENCH_PROGRAM ": no stream: %.*s\n", (int)size, (const char *)bytes);
    return 0;
}

static void stream_failed(void *data, const struct engine_request *request, uint64_t now_ns,
                          int code)
{
    char text[16];
    int *result = data;

    (void)request;
    (void)now_ns;
    *result = 1;
    fprintf(stderr, BENCH_PROGRAM ": the broker makes no stream (%s); does it run with -js?\n",
            engine_code_text(code, text));
}

static int make_stream(struct engine *engine, const struct bench_settings *settings)
{
    int result = -1;
    const struct engine_source source = {
        .data = &result, .next = next_stream, .replied = stream_replied, .failed = stream_failed};
    const struct engine_pace pace = {.outstanding = 1,
                                     .timeout_ns = settings->timeout_ms * 1000000};
    uint64_t began_ns;

    return engine_run(engine, &source, &pace, &began_ns) ? result : -1;
}

/* ---- Commands ---- */

static int run_prepared(const struct bench_settings *settings, struct engine *engine, bool compare)
{
    struct chats chats = {0};
    struct load *load = NULL;
    int status = EXIT_FAILURE;

    if (settings->shares[BENCH_JETSTREAM] > 0 && make_stream(engine, settings) != 0)
        return EXIT_FAILURE;
    if (chats_prepare(&chats, engine, settings, stderr) == 0) {
        load = load_new(settings, &chats);
        if (load == NULL)
            fputs(BENCH_PROGRAM ": out of memory\n", stderr);
        else if (compare)
            status = compare_run(load, engine, stdout, stderr);
        else
            status = run_once(load, engine);
    }
    load_free(load);
    chats_free(&chats);
    return status;
}

static int exit_status_of(enum options_result result)
{
    return result == OPTIONS_USAGE ? EXIT_USAGE : EXIT_SUCCESS;
}

static int run_workload(bool compare, int argc, char **argv)
{
    struct bench_settings settings;
    enum options_result result =
        bench_settings_parse(&settings, argv[0], compare, argc, argv, stdout, stderr);
    struct engine *engine;
    int status = exit_status_of(result);

    if (result == OPTIONS_OK) {
        size_t slots = settings.outstanding < SLOTS_MIN ? SLOTS_MIN : (size_t)settings.outstanding;
        status = EXIT_FAILURE;
        if (engine_open(&engine, &settings.broker, (size_t)settings.connections, slots, stderr) ==
            0) {
            status = run_prepared(&settings, engine, compare);
            engine_close(engine);
        }
    }
    bench_settings_free(&settings);
    return status;
}

static int run_responder(int argc, char **argv)
{
    struct responder_settings settings;
    enum options_result result = responder_settings_parse(&settings, argc, argv, stdout, stderr);
    int status = exit_status_of(result);

    if (result == OPTIONS_OK)
        status = responder_run(&settings, stdout, stderr);
    responder_settings_free(&settings);
    return status;
}

static int run_sync(int argc, char **argv)
{
    static struct histogram latency;
    struct sync_settings settings;
    enum options_result result = sync_settings_parse(&settings, argc, argv, stdout, stderr);

    if (result != OPTIONS_OK)
        return exit_status_of(result);
    if (sync_measure(&settings, &latency, stderr) != 0)
        return EXIT_FAILURE;
    if (settings.json)
        return report_print_json(json_pack("{s:o}", "latency_us", report_latency_json(&latency)),
                                 stdout) == 0
                   ? EXIT_SUCCESS
                   : EXIT_FAILURE;
    printf("%s of %llu bytes, ms:", settings.direct ? "write and fdatasync" : "fdatasync",
           (unsigned long long)settings.bytes);
    for (int i = 0; i < REPORT_PERCENTILES; i++)
        printf(" %s %.3f", report_percentile_names[i],
               (double)histogram_percentile(&latency, report_fractions[i]) / 1e6);
    printf(" max %.3f\n", (double)latency.maximum / 1e6);
    return EXIT_SUCCESS;
}

/* ---- The gateway ---- */

static int report_gateway(const struct gateway_target *target, const struct measurement *m)
{
    const struct bench_settings settings = {.workload = "send by HTTP",
                                            .shares = {[BENCH_SEND] = 1},
                                            .chats = target->chats,
                                            .text_bytes = target->text_bytes,
                                            .outstanding = target->connections,
                                            .connections = target->connections,
                                            .warmup_ms = target->warmup_ms};

    if (target->json)
        return report_print_json(report_json(m), stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    report_print(&settings, m, stdout);
    return EXIT_SUCCESS;
}

static int run_gateway(int argc, char **argv)
{
    struct gateway_target target;
    enum options_result result = gateway_load_parse(&target, argc, argv, stdout, stderr);
    struct measurement *m;
    int status = EXIT_FAILURE;

    if (result != OPTIONS_OK)
        return exit_status_of(result);
    m = measurement_new("gateway");
    if (m == NULL)
        fputs(BENCH_PROGRAM ": out of memory\n", stderr);
    else if (gateway_load_run(&target, m, stderr) == 0)
        status = report_gateway(&target, m);
    measurement_free(m);
    return status;
}

static int report_fanout(const struct gateway_target *target, const struct fanout_result *r)
{
    double rate = r->seconds > 0 ? (double)r->deliveries / r->seconds : 0;

    if (target->json)
        return report_print_json(
                   json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:o}", "watchers",
                             (json_int_t)target->watchers, "messages", (json_int_t)r->messages,
                             "refused", (json_int_t)r->refused, "deliveries",
                             (json_int_t)r->deliveries, "missing", (json_int_t)r->missing,
                             "out_of_order", (json_int_t)r->out_of_order, "seconds", r->seconds,
                             "deliveries_per_second", rate, "client_cpu_seconds", r->client_cpu_s,
                             "latency_us", report_latency_json(&r->latency)),
                   stdout) == 0
                   ? EXIT_SUCCESS
                   : EXIT_FAILURE;
    printf("%" PRIu64 " messages to %" PRIu64 " watchers, %" PRIu64 "/s due: %" PRIu64
           " deliveries in %.3f s, %.0f per second; the load generator used %.0f%% of a core\n",
           r->messages, target->watchers, target->rate, r->deliveries, r->seconds, rate,
           r->seconds > 0 ? 100 * r->client_cpu_s / r->seconds : 0);
    printf("from due to delivered, ms:");
    for (int i = 0; i < REPORT_PERCENTILES; i++)
        printf(" %s %.3f", report_percentile_names[i],
               (double)histogram_percentile(&r->latency, report_fractions[i]) / 1e6);
    printf(" max %.3f\nrefused %" PRIu64 ", missing %" PRIu64 ", out of order %" PRIu64 "\n",
           (double)r->latency.maximum / 1e6, r->refused, r->missing, r->out_of_order);
    return EXIT_SUCCESS;
}

static int run_fanout(int argc, char **argv)
{
    static struct fanout_result measured;
    struct gateway_target target;
    enum options_result result = fanout_parse(&target, argc, argv, stdout, stderr);

    if (result != OPTIONS_OK)
        return exit_status_of(result);
    if (fanout_run(&target, &measured, stderr) != 0)
        return EXIT_FAILURE;
    return report_fanout(&target, &measured) == EXIT_SUCCESS && measured.missing == 0 &&
                   measured.out_of_order == 0
               ? EXIT_SUCCESS
               : EXIT_FAILURE;
}

static int bad_command(const char *word)
{
    fprintf(
        stderr,
        BENCH_PROGRAM
        ": \"%.80s\" is no workload (send, history, mixed, new, jetstream) and "
        "no command (compare, responder, sync, gateway, fanout); it comes first (see " BENCH_PROGRAM
        " --help)\n",
        word);
    return EXIT_USAGE;
}

static int run(int argc, char **argv)
{
    if (argc < 2)
        return bad_command("");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
        fputs(help, stdout);
        return EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts(BENCH_PROGRAM " " CHAT_VERSION);
        return EXIT_SUCCESS;
    }
    if (strcmp(argv[1], "responder") == 0)
        return run_responder(argc - 1, argv + 1);
    if (strcmp(argv[1], "sync") == 0)
        return run_sync(argc - 1, argv + 1);
    if (strcmp(argv[1], "gateway") == 0)
        return run_gateway(argc - 1, argv + 1);
    if (strcmp(argv[1], "fanout") == 0)
        return run_fanout(argc - 1, argv + 1);
    if (strcmp(argv[1], "compare") == 0)
        return argc > 2 && bench_is_workload(argv[2]) ? run_workload(true, argc - 2, argv + 2)
                                                      : bad_command(argc > 2 ? argv[2] : "");
    return bench_is_workload(argv[1]) ? run_workload(false, argc - 1, argv + 1)
                                      : bad_command(argv[1]);
}

int main(int argc, char **argv)
{
    int status;

    standard_files_hold();
    signal(SIGPIPE, SIG_IGN);
    status = run(argc, argv);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fputs(BENCH_PROGRAM ": standard output cannot be written\n", stderr);
        return EXIT_FAILURE;
    }
    return status;
}
