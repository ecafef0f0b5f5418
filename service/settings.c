/*
 * The table below is the only place that knows an option's name, variable, bounds and help. Checks
 * that need more than one option come after it, in check().
 */
#include "service/settings.h"

#include "base/broker_url.h"
#include "base/version.h"
#include <string.h>

/* Beside the text, a request holds ids and a subject, which have limits of their own; all of it
 * must fit into a request. */
#define TEXT_BYTES_LIMIT (CODEC_REQUEST_BYTES_MAX - 2048)
#define USERS_LIMIT 100000
#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)
#define GIB (MIB * 1024)
/* Half of what a process can address on the 64-bit machines that address least. */
#define MAP_BYTES_LIMIT (64 * 1024 * GIB)
/* Room in the table for all there are. */
#define OPTIONS_MAX 40

static const char usage[] = SETTINGS_PROGRAM " --data-dir DIR [options]";
static const char summary[] =
    "The chat service: answers chat.New, chat.Send and chat.History over NATS, and keeps every "
    "acknowledged message on disk. Each option is also an environment variable.";

static struct option secret_option(const char *name, const char *environment, const char **value,
                                   const char *help)
{
    struct option option = option_text(name, environment, value, "TEXT", help);

    option.secret = true;
    return option;
}

static size_t fill_broker_table(struct broker_settings *b, struct option *table)
{
    const struct option options[] = {
        {.name = "nats-url",
         .environment = "CHAT_NATS_URL",
         .kind = OPTION_LIST,
         .value = &b->urls,
         .argument = "URL",
         .help = "Broker, or several separated by commas; nats://127.0.0.1:4222 when not given. "
                 "It may hold user:password@.",
         .secret = true},
        option_text("user", "CHAT_USER", &b->user, "NAME", "User for the broker."),
        secret_option("password", "CHAT_PASSWORD", &b->password, "Password for --user."),
        secret_option("token", "CHAT_TOKEN", &b->token, "Token for the broker."),
        option_text("nkey-seed", "CHAT_NKEY_SEED", &b->nkey_seed, "FILE",
                    "File with the seed of an nkey user for the broker."),
        option_text("credentials", "CHAT_CREDENTIALS", &b->credentials, "FILE",
                    "Credentials file (JWT and seed) for the broker."),
        option_text("tls-ca", "CHAT_TLS_CA", &b->tls_ca, "FILE",
                    "Certificates of the authorities to trust; the connection must then be TLS."),
        option_text("tls-cert", "CHAT_TLS_CERT", &b->tls_cert, "FILE",
                    "Certificate chain to show to the broker; needs --tls-key."),
        option_text("tls-key", "CHAT_TLS_KEY", &b->tls_key, "FILE", "Private key of --tls-cert."),
        option_text("inbox-prefix", "CHAT_INBOX_PREFIX", &b->inbox_prefix, "SUBJECT",
                    "What the subjects of replies to chatd begin with, for brokers that tell their "
                    "users apart by it; _INBOX when not given."),
        option_text("connection-name", "CHAT_CONNECTION_NAME", &b->connection_name, "TEXT",
                    "What the broker's monitoring calls this connection, and with -reads behind it "
                    "the second one; chatd when not given."),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static size_t fill_service_table(struct settings *s, struct option *table)
{
    const struct option options[] = {
        option_text("data-dir", "CHAT_DATA_DIR", &s->store.directory, "DIR",
                    "Where the messages are kept; made if missing. Required."),
        option_text("log-level", "CHAT_LOG_LEVEL", &s->log_level_name, "LEVEL",
                    "debug, info, warn or error."),
        {.name = "events",
         .environment = "CHAT_EVENTS",
         .kind = OPTION_FLAG,
         .value = &s->events,
         .help = "Publish each committed message on chat.events.<namespace>.<chat_id>."},
        option_number("slow-ms", "CHAT_SLOW_MS", &s->slow_ms, 0, 3600000,
                      "Log requests that take as many milliseconds or more; 0 logs none."),
        option_bytes("max-text-bytes", "CHAT_MAX_TEXT_BYTES", &s->text_bytes_max, 1,
                     TEXT_BYTES_LIMIT, "Longest text of a message."),
        option_number("max-users", "CHAT_MAX_USERS", &s->users_max, 1, USERS_LIMIT,
                      "Most users of a chat."),
        option_number("max-requests", "CHAT_MAX_REQUESTS", &s->store.requests_max, 1, 0,
                      "Most requests in flight; past it they are refused as overloaded."),
        option_bytes("max-request-memory", "CHAT_MAX_REQUEST_MEMORY", &s->store.request_bytes_max,
                     MIB, 0,
                     "Most memory for requests in flight; past it they are refused as overloaded."),
        option_bytes(
            "reply-buffer-bytes", "CHAT_REPLY_BUFFER_BYTES", &s->reply_buffer_bytes, MIB, GIB,
            "Most bytes of replies that wait for the broker to take them; past it requests are "
            "refused as overloaded."),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static size_t fill_store_table(struct settings *s, struct option *table)
{
    struct store_options *o = &s->store;
    const struct option options[] = {
        option_bytes("journal-segment-bytes", "CHAT_JOURNAL_SEGMENT_BYTES", &o->segment_bytes, MIB,
                     GIB, "Size of a journal segment."),
        option_number("journal-segments", "CHAT_JOURNAL_SEGMENTS", &o->segments_max, 2, 9999,
                      "Most journal segments."),
        option_bytes(
            "tail-bytes", "CHAT_TAIL_BYTES", &o->tail_bytes_max, MIB, 0,
            "Most bytes of messages in memory that are not in the database yet; past it, writes "
            "wait until they are."),
        option_bytes("chat-cache-bytes", "CHAT_CHAT_CACHE_BYTES", &o->chat_cache_bytes_max, 0, 0,
                     "Memory for what is known of idle chats."),
        option_bytes("settle-bytes", "CHAT_SETTLE_BYTES", &o->settle_bytes, 1, 0,
                     "Write to the database when this many bytes wait for it."),
        option_number("settle-ms", "CHAT_SETTLE_MS", &o->settle_ms, 1, 3600000,
                      "Write to the database when a message has waited this many milliseconds."),
        option_bytes("settle-slice-bytes", "CHAT_SETTLE_SLICE_BYTES", &o->slice_bytes, 4096, 0,
                     "Pages of the database that writing to it holds in memory, about: what "
                     "waits is written in as many transactions as that takes."),
        option_bytes("database-map-bytes", "CHAT_DATABASE_MAP_BYTES", &o->map_bytes, 16 * MIB,
                     MAP_BYTES_LIMIT,
                     "Largest size of the database; takes address space, not disk."),
        option_text("check", "CHAT_CHECK", &s->check_name, "DEPTH",
                    "How much of the database is checked before it is opened: full, all of its "
                    "pages; quick, those that lead to others; auto, full up to 512 MiB."),
        option_bytes("reserve-bytes", "CHAT_RESERVE_BYTES", &o->reserve_bytes, 0, 0,
                     "Free disk space below which writes are refused; reads go on."),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static void set_defaults(struct settings *settings)
{
    *settings = (struct settings){
        .reply_buffer_bytes = 64 * MIB,
        .events = true,
        .slow_ms = 1000,
        .text_bytes_max = CODEC_TEXT_BYTES_MAX,
        .users_max = CODEC_USERS_MAX,
        .log_level_name = "info",
        .check_name = "auto",
    };
    store_options_init(&settings->store);
}

static enum options_result mistake(FILE *err, const char *text)
{
    fprintf(err, SETTINGS_PROGRAM ": %s (see " SETTINGS_PROGRAM " --help)\n", text);
    return OPTIONS_USAGE;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static bool parse_check(const char *name, enum database_check *check)
{
    static const char *const names[] = {[DATABASE_CHECK_AUTO] = "auto",
                                        [DATABASE_CHECK_QUICK] = "quick",
                                        [DATABASE_CHECK_FULL] = "full"};

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strcmp(names[i], name) == 0) {
            *check = (enum database_check)i;
            return true;
        }
    }
    return false;
}

/* The values may hold a password, and are not shown. */
static enum options_result check_broker(const struct broker_settings *broker, FILE *err)
{
    for (size_t i = 0; i < broker->urls.count; i++) {
        const char *wrong = broker_url_mistake(broker->urls.values[i]);
        if (wrong == NULL)
            continue;
        fprintf(err,
                SETTINGS_PROGRAM ": --nats-url must be nats://host:port or tls://host:port, but of "
                                 "number %zu %s (see " SETTINGS_PROGRAM " --help)\n",
                i + 1, wrong);
        return OPTIONS_USAGE;
    }
    if (given(broker->password) && !given(broker->user))
        return mistake(err, "--password needs --user");
    if (given(broker->user) + given(broker->token) + given(broker->nkey_seed) +
            given(broker->credentials) >
        1)
        return mistake(err, "--user, --token, --nkey-seed and --credentials exclude each other");
    if (given(broker->tls_cert) != given(broker->tls_key))
        return mistake(err, "--tls-cert and --tls-key go together");
    if (given(broker->inbox_prefix) && !broker_inbox_prefix_is_valid(broker->inbox_prefix))
        return mistake(err, "--inbox-prefix must be words joined by dots, without * and >");
    return OPTIONS_OK;
}

static enum options_result check(struct settings *settings, FILE *err)
{

    if (!given(settings->store.directory))
        return mistake(err, "--data-dir is missing: give the directory for the messages");
    if (!log_parse_level(settings->log_level_name, &settings->log_level))
        return mistake(err, "--log-level must be debug, info, warn or error");
    if (!parse_check(settings->check_name, &settings->store.check))
        return mistake(err, "--check must be auto, quick or full");
    settings->limits = (struct codec_limits){
        .request_bytes = CODEC_REQUEST_BYTES_MAX,
        .text_bytes = (size_t)settings->text_bytes_max,
        .users = (size_t)settings->users_max,
    };
    return check_broker(&settings->broker, err);
}

enum options_result settings_parse(struct settings *settings, int argc, char **argv, FILE *out,
                                   FILE *err)
{
    struct option table[OPTIONS_MAX];
    struct options options = {
        .program = SETTINGS_PROGRAM,
        .usage = usage,
        .summary = summary,
        .table = table,
    };
    enum options_result result;

    set_defaults(settings);
    options.count = fill_broker_table(&settings->broker, table);
    options.count += fill_service_table(settings, table + options.count);
    options.count += fill_store_table(settings, table + options.count);
    result = options_parse(&options, argc, argv, out, err);
    if (result == OPTIONS_VERSION)
        fputs(SETTINGS_PROGRAM " " CHAT_VERSION "\n", out);
    if (result == OPTIONS_OK)
        result = check(settings, err);
    return result;
}

void settings_free(struct settings *settings)
{
    option_list_free(&settings->broker.urls);
}
