/*
 * `chat ping`, `chat info` and `chat stats`: the same question to all instances of the service,
 * with three verbs. The replies are kept until the time is up, and then shown: for people in the
 * order in which the instances started to exist for us, which is that of their answers.
 */
#include "clients/command.h"
#include "clients/discovery_show.h"
#include "clients/output.h"
#include "clients/perform.h"
#include <inttypes.h>
#include <stdlib.h>

#define WAIT_MS 1000

struct survey {
    const struct command_request *request;
    const struct command_streams *streams;
    struct chat_client *client;
    struct chat_discovery discovery;
    json_t *replies; /* an array of objects */
    size_t unreadable;
    int status;
};

/* ---- The words ---- */

static enum command_state prepare(enum chat_discover_kind kind, const char *name,
                                  const char *summary, int argc, char **argv,
                                  const struct command_streams *streams,
                                  struct command_request *request)
{
    struct command_discover *discover = &request->options.discover;
    const struct option table[] = {
        {"id", "CHAT_ID", OPTION_TEXT, &discover->instance_id, 0, 0, "ID",
         "Ask only the instance with this id, as chat ping shows it.", false},
        {"instances", "CHAT_INSTANCES", OPTION_U64, &discover->instances, 0, 0, "N",
         "End as soon as so many instances have answered; 0 waits until the time is up.", false},
        {"json", "CHAT_JSON", OPTION_FLAG, &discover->json, 0, 0, NULL,
         "Show the answers as they came: JSON, one instance a line.", false},
    };
    char usage[80];
    const struct options own = {
        .program = name,
        .usage = usage,
        .summary = summary,
        .examples = kind == CHAT_DISCOVER_STATS
                        ? "  chat stats --instances=1 --json | jq '.endpoints[].num_requests'"
                        : NULL,
        .table = table,
        .count = sizeof table / sizeof *table,
    };
    enum command_state state;

    snprintf(usage, sizeof usage, "%s [--id=ID] [--instances=N] [--json] [options]", name);
    discover->kind = kind;
    request->settings.timeout_ms = WAIT_MS;
    state = command_parse(&own, argc, argv, streams, request);
    if (state == COMMAND_READY && discover->instance_id != NULL &&
        discover->instance_id[0] != '\0' && !chat_namespace_is_valid(discover->instance_id)) {
        fprintf(streams->err, "%s: --id must be an instance's id, as chat ping shows it\n", name);
        state = COMMAND_USAGE;
    }
    return state;
}

static enum command_state prepare_ping(int argc, char **argv, const struct command_streams *streams,
                                       struct command_request *request)
{
    return prepare(CHAT_DISCOVER_PING, "chat ping",
                   "Shows which instances of the service are there: whoever answers within "
                   "--timeout-ms. The exit status is 1 when none does.",
                   argc, argv, streams, request);
}

static enum command_state prepare_info(int argc, char **argv, const struct command_streams *streams,
                                       struct command_request *request)
{
    return prepare(CHAT_DISCOVER_INFO, "chat info",
                   "Shows what each instance of the service that answers within --timeout-ms says "
                   "of itself: its store, its limits, its endpoints. The exit status is 1 when "
                   "none answers.",
                   argc, argv, streams, request);
}

static enum command_state prepare_stats(int argc, char **argv,
                                        const struct command_streams *streams,
                                        struct command_request *request)
{
    return prepare(CHAT_DISCOVER_STATS, "chat stats",
                   "Shows the figures of each instance of the service that answers within "
                   "--timeout-ms: requests, errors and times of its endpoints, and the health of "
                   "its inside. The exit status is 1 when none answers.",
                   argc, argv, streams, request);
}

/* ---- The question ---- */

static void on_reply(struct chat_discovery *discovery, const char *bytes, size_t size)
{
    struct survey *survey = discovery->data;
    json_t *reply = json_loadb(bytes, size, JSON_ALLOW_NUL, NULL);

    if (json_is_object(reply) && json_array_append(survey->replies, reply) == 0)
        ;
    else
        survey->unreadable++;
    json_decref(reply);
}

static int show(const struct survey *survey)
{
    const struct command_discover *discover = &survey->request->options.discover;
    FILE *err = survey->streams->err;

    if (survey->unreadable > 0)
        fprintf(err, "chat: %zu of the answers were not JSON objects\n", survey->unreadable);
    if (json_array_size(survey->replies) == 0) {
        fprintf(err, "chat: no instance of the service has answered; is chatd running, and "
                     "connected to this broker?\n");
        return COMMAND_EXIT_FAILED;
    }
    discovery_show(survey->replies, discover->kind, discover->json, survey->streams->out);
    return output_flush(survey->streams->out, err);
}

static void on_done(struct chat_discovery *discovery)
{
    struct survey *survey = discovery->data;

    if (discovery->status == CHAT_OK) {
        survey->status = show(survey);
    } else {
        fputs("chat: ", survey->streams->err);
        output_safely(discovery->detail, survey->streams->err);
        putc('\n', survey->streams->err);
    }
    chat_close(survey->client, NULL, NULL);
}

static void ask(struct survey *survey)
{
    const struct command_discover *discover = &survey->request->options.discover;
    const struct chat_discover_options options = {.kind = discover->kind,
                                                  .instance_id = discover->instance_id,
                                                  .wait_ms = survey->request->settings.timeout_ms,
                                                  .enough = (size_t)discover->instances};
    int status = chat_discover(survey->client, &survey->discovery, &options, on_reply, on_done);

    if (status == CHAT_OK)
        return;
    fprintf(survey->streams->err, "chat: %s\n", chat_strerror(status));
    chat_close(survey->client, NULL, NULL);
}

static int run(const struct command_request *request, const struct command_streams *streams)
{
    const struct chat_options options = command_chat_options(&request->settings);
    struct survey survey = {.request = request, .streams = streams, .status = COMMAND_EXIT_FAILED};
    uv_loop_t loop;

    if (uv_loop_init(&loop) != 0) {
        fputs("chat: no event loop: out of files or memory\n", streams->err);
        return COMMAND_EXIT_FAILED;
    }
    survey.discovery.data = &survey;
    survey.replies = json_array();
    if (survey.replies != NULL &&
        perform_connect(&survey.client, &loop, &options, streams->err) == 0) {
        ask(&survey);
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    json_decref(survey.replies);
    uv_loop_close(&loop);
    return survey.status;
}

const struct command command_ping = {
    .name = "ping",
    .summary = "Show which instances of the service are there",
    .prepare = prepare_ping,
    .run = run,
};

const struct command command_info = {
    .name = "info",
    .summary = "Show what they say of themselves",
    .prepare = prepare_info,
    .run = run,
};

const struct command command_stats = {
    .name = "stats",
    .summary = "Show their figures",
    .prepare = prepare_stats,
    .run = run,
};
