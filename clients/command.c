/*
 * The options that every command has, behind those of its own, and what can be checked before
 * the broker is asked. What only the service can judge (ids, texts, ranges) is left to it, so
 * that there is one place that decides, and one wording.
 */
#include "clients/command.h"

#include "base/trace.h"
#include "base/version.h"
#include <stdlib.h>
#include <string.h>

#define DEFAULT_TIMEOUT_MS 10000
#define MAXIMUM_TIMEOUT_MS 3600000
/* A command's own options and the common ones. */
#define TABLE_SIZE 32

static size_t put_common_options(struct command_settings *s, struct option *table)
{
    const struct option options[] = {
        {"namespace", "CHAT_NAMESPACE", OPTION_TEXT, &s->namespace_name, 0, 0, "NAME",
         "The namespace (tenant) of the chats: 1 to 64 letters, digits, _ or -; \"default\" when "
         "not given.",
         false},
        {"timeout-ms", "CHAT_TIMEOUT_MS", OPTION_U64, &s->timeout_ms, 1, MAXIMUM_TIMEOUT_MS, "N",
         "Retry, and wait for the answer, for so many milliseconds in all.", false},
        {"traceparent", "CHAT_TRACEPARENT", OPTION_TEXT, &s->traceparent, 0, 0, "ID",
         "The trace that the request is part of (W3C Trace Context).", false},
    };
    memcpy(table, options, sizeof options);
    table += sizeof options / sizeof *options;
    return sizeof options / sizeof *options + broker_access_put_options(&s->broker, table);
}

static enum command_state mistake(const struct options *own, FILE *err, const char *text)
{
    fprintf(err, "%s: %s (see %s --help)\n", own->program, text, own->program);
    return COMMAND_USAGE;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static enum command_state check(const struct options *own, const struct command_settings *s,
                                FILE *err)
{
    if (given(s->namespace_name) && !chat_namespace_is_valid(s->namespace_name))
        return mistake(own, err, "--namespace must be 1 to 64 letters, digits, _ or -");
    if (given(s->traceparent) && !trace_parent_is_valid(s->traceparent))
        return mistake(own, err,
                       "--traceparent must be 00-<32>-<16>-<2> of lower-case hexadecimal");
    return broker_access_check(&s->broker, own->program, err) == OPTIONS_OK ? COMMAND_READY
                                                                            : COMMAND_USAGE;
}

enum command_state command_parse(const struct options *own, int argc, char **argv,
                                 const struct command_streams *streams,
                                 struct command_request *request)
{
    struct option table[TABLE_SIZE];
    struct options options = *own;

    if (request->settings.timeout_ms == 0)
        request->settings.timeout_ms = DEFAULT_TIMEOUT_MS;
    memcpy(table, own->table, own->count * sizeof *table);
    options.table = table;
    options.count += put_common_options(&request->settings, table + own->count);
    switch (options_parse(&options, argc, argv, streams->out, streams->err)) {
    case OPTIONS_OK:
        return check(own, &request->settings, streams->err);
    case OPTIONS_VERSION:
        fputs("chat " CHAT_VERSION "\n", streams->out);
        return COMMAND_DONE;
    case OPTIONS_HELP:
        return COMMAND_DONE;
    default:
        return COMMAND_USAGE;
    }
}

bool command_has(const struct options *own, const char *name, bool is_given, FILE *err)
{
    for (size_t i = 0; i < own->count && !is_given; i++) {
        if (strcmp(own->table[i].name, name) == 0)
            fprintf(err, "%s: --%s is missing: give --%s=%s (see %s --help)\n", own->program, name,
                    name, own->table[i].argument, own->program);
    }
    return is_given;
}

struct chat_options command_chat_options(const struct command_settings *settings)
{
    return broker_access_options(&settings->broker, "chat");
}

struct chat_context command_context(const struct command_settings *settings)
{
    return (struct chat_context){.namespace_name = settings->namespace_name,
                                 .timeout_ms = settings->timeout_ms,
                                 .traceparent = settings->traceparent};
}

void command_request_free(struct command_request *request)
{
    broker_access_free(&request->settings.broker);
    option_list_free(&request->user_ids);
    free(request->text);
    request->text = NULL;
}
