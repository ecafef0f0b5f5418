/*
 * The options that every command has, behind those of its own, and what can be checked before
 * the broker is asked. What only the service can judge (ids, texts, ranges) is left to it, so
 * that there is one place that decides, and one wording.
 */
#include "clients/command.h"

#include "base/broker_url.h"
#include "base/nkey.h"
#include "base/trace.h"
#include "base/version.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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
        {"nats-url", "CHAT_NATS_URL", OPTION_LIST, &s->nats_urls, 0, 0, "URL",
         "The broker, or several separated by commas; " CHAT_DEFAULT_URL " when not given. "
         "It may hold user:password@.",
         true},
        {"timeout-ms", "CHAT_TIMEOUT_MS", OPTION_U64, &s->timeout_ms, 1, MAXIMUM_TIMEOUT_MS, "N",
         "Retry, and wait for the answer, for so many milliseconds in all.", false},
        {"user", "CHAT_USER", OPTION_TEXT, &s->user, 0, 0, "NAME", "User for the broker.", false},
        {"password", "CHAT_PASSWORD", OPTION_TEXT, &s->password, 0, 0, "TEXT",
         "Password for --user.", true},
        {"token", "CHAT_TOKEN", OPTION_TEXT, &s->token, 0, 0, "TEXT", "Token for the broker.",
         true},
        {"nkey-seed", "CHAT_NKEY_SEED", OPTION_TEXT, &s->nkey_seed_file, 0, 0, "FILE",
         "File with the seed of an nkey user for the broker.", false},
        {"credentials", "CHAT_CREDENTIALS", OPTION_TEXT, &s->credentials_file, 0, 0, "FILE",
         "Credentials file (JWT and seed) for the broker.", false},
        {"tls-ca", "CHAT_TLS_CA", OPTION_TEXT, &s->tls_ca_file, 0, 0, "FILE",
         "Certificates of the authorities to trust; the connection must then be TLS.", false},
        {"tls-cert", "CHAT_TLS_CERT", OPTION_TEXT, &s->tls_cert_file, 0, 0, "FILE",
         "Certificate chain to show to the broker; needs --tls-key.", false},
        {"tls-key", "CHAT_TLS_KEY", OPTION_TEXT, &s->tls_key_file, 0, 0, "FILE",
         "Private key of --tls-cert.", false},
        {"inbox-prefix", "CHAT_INBOX_PREFIX", OPTION_TEXT, &s->inbox_prefix, 0, 0, "SUBJECT",
         "What the subjects of replies begin with, for brokers that tell their users apart by it; "
         "_INBOX when not given.",
         false},
        {"connection-name", "CHAT_CONNECTION_NAME", OPTION_TEXT, &s->connection_name, 0, 0, "TEXT",
         "What the broker's monitoring calls this connection; \"chat\" when not given.", false},
        {"traceparent", "CHAT_TRACEPARENT", OPTION_TEXT, &s->traceparent, 0, 0, "ID",
         "The trace that the request is part of (W3C Trace Context).", false},
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
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

/* The broker's library does not say which file it could not read. */
static enum command_state check_file(const struct options *own, const char *name, const char *path,
                                     FILE *err)
{
    int file;

    if (!given(path))
        return COMMAND_READY;
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        fprintf(err, "%s: the file of --%s cannot be read: %s: %s\n", own->program, name, path,
                strerror(errno));
        return COMMAND_USAGE;
    }
    close(file);
    return COMMAND_READY;
}

static enum command_state check_seed(const struct options *own, const char *path, FILE *err)
{
    char seed[NKEY_TEXT_BYTES];
    const char *problem;

    if (!given(path))
        return COMMAND_READY;
    if (nkey_read_seed(path, seed, &problem) != 0) {
        fprintf(err, "%s: the file of --nkey-seed is not usable: %s: %s\n", own->program, path,
                problem);
        return COMMAND_USAGE;
    }
    nkey_forget(seed);
    return COMMAND_READY;
}

static enum command_state check_files(const struct options *own, const struct command_settings *s,
                                      FILE *err)
{
    enum command_state state = check_file(own, "credentials", s->credentials_file, err);

    if (state == COMMAND_READY)
        state = check_seed(own, s->nkey_seed_file, err);
    if (state == COMMAND_READY)
        state = check_file(own, "tls-ca", s->tls_ca_file, err);
    if (state == COMMAND_READY)
        state = check_file(own, "tls-cert", s->tls_cert_file, err);
    if (state == COMMAND_READY)
        state = check_file(own, "tls-key", s->tls_key_file, err);
    return state;
}

static int identities(const struct command_settings *s)
{
    return given(s->user) + given(s->token) + given(s->nkey_seed_file) + given(s->credentials_file);
}

static enum command_state check(const struct options *own, const struct command_settings *s,
                                FILE *err)
{
    if (given(s->namespace_name) && !chat_namespace_is_valid(s->namespace_name))
        return mistake(own, err, "--namespace must be 1 to 64 letters, digits, _ or -");
    /* The value may hold a password, and is not shown. */
    for (size_t i = 0; i < s->nats_urls.count; i++) {
        const char *wrong = broker_url_mistake(s->nats_urls.values[i]);
        if (wrong == NULL)
            continue;
        fprintf(err,
                "%s: --nats-url must be nats://host:port or tls://host:port, but of number %zu %s "
                "(see %s --help)\n",
                own->program, i + 1, wrong, own->program);
        return COMMAND_USAGE;
    }
    if (given(s->inbox_prefix) && !broker_inbox_prefix_is_valid(s->inbox_prefix))
        return mistake(own, err, "--inbox-prefix must be words joined by dots, without * and >");
    if (given(s->traceparent) && !trace_parent_is_valid(s->traceparent))
        return mistake(own, err,
                       "--traceparent must be 00-<32>-<16>-<2> of lower-case hexadecimal");
    if (identities(s) > 1)
        return mistake(own, err,
                       "--user, --token, --nkey-seed and --credentials exclude each other");
    if (given(s->password) && !given(s->user))
        return mistake(own, err, "--password needs --user");
    if (given(s->tls_cert_file) != given(s->tls_key_file))
        return mistake(own, err, "--tls-cert and --tls-key go together");
    return check_files(own, s, err);
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
    return (struct chat_options){
        .urls = (const char *const *)settings->nats_urls.values,
        .url_count = settings->nats_urls.count,
        .name = given(settings->connection_name) ? settings->connection_name : "chat",
        .user = settings->user,
        .password = settings->password,
        .token = settings->token,
        .nkey_seed_file = settings->nkey_seed_file,
        .credentials_file = settings->credentials_file,
        .tls_ca_file = settings->tls_ca_file,
        .tls_cert_file = settings->tls_cert_file,
        .tls_key_file = settings->tls_key_file,
        .inbox_prefix = settings->inbox_prefix,
    };
}

struct chat_context command_context(const struct command_settings *settings)
{
    return (struct chat_context){.namespace_name = settings->namespace_name,
                                 .timeout_ms = settings->timeout_ms,
                                 .traceparent = settings->traceparent};
}

void command_request_free(struct command_request *request)
{
    option_list_free(&request->settings.nats_urls);
    option_list_free(&request->user_ids);
    free(request->text);
    request->text = NULL;
}
