/*
 * The tables below are the only place that knows an option's name, variable, bounds and help. What
 * cannot be said in a table (numbers that are no whole ones, shares, options that need each other)
 * is checked after it.
 */
#include "clients/bench/bench_settings.h"

#include "base/version.h"
#include "clients/bench/request_template.h"
#include "clients/libchat/chat.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DAY_MS 86400000
#define OPTIONS_MAX 48
#define CLOSED_OUTSTANDING 64
#define OPEN_OUTSTANDING 16384
#define OUTSTANDING_MAX 1000000
#define HISTORY_PREFILL 50
#define REPLY_BYTES_MAX (1024 * 1024)
#define COUNT(table) (sizeof(table) / sizeof *(table))

static const char *const kind_names[] = {"new", "send", "history", "jetstream"};
static const char *const kind_methods[] = {"New", "Send", "History", "Publish"};

const char *bench_kind_name(enum bench_kind kind)
{
    return kind_names[kind];
}

const char *bench_kind_method(enum bench_kind kind)
{
    return kind_methods[kind];
}

bool bench_is_workload(const char *name)
{
    for (int kind = 0; kind < BENCH_KINDS; kind++)
        if (strcmp(name, kind_names[kind]) == 0)
            return true;
    return strcmp(name, "mixed") == 0;
}

bool bench_prefix_is_valid(const char *prefix)
{
    size_t size = strspn(prefix, "abcdefghijklmnopqrstuvwxyz0123456789");

    return size >= 1 && size <= 16 && prefix[size] == '\0';
}

void bench_subject(const char *prefix, enum bench_kind kind, const char *namespace_name,
                   char subject[BENCH_SUBJECT_BYTES])
{
    bool named = namespace_name != NULL && namespace_name[0] != '\0';

    snprintf(subject, BENCH_SUBJECT_BYTES, "%s.%s%s%s", prefix, bench_kind_method(kind),
             named ? "." : "", named ? namespace_name : "");
}

/* ---- Tables ---- */

static size_t put_load_options(struct bench_settings *s, struct option *table)
{
    const struct option options[] = {
        {"chats", "CHAT_BENCH_CHATS", OPTION_U64, &s->chats, 1, 100000000, "N",
         "So many chats, made before it begins if they are not there; of the same number and "
         "namespace they are the same ones.",
         false},
        {"zipf", "CHAT_BENCH_ZIPF", OPTION_TEXT, &s->zipf_text, 0, 0, "EXPONENT",
         "Choose chats by Zipf's law with this exponent, such as 0.99; 0 is uniform.", false},
        {"text-bytes", "CHAT_BENCH_TEXT_BYTES", OPTION_BYTES, &s->text_bytes, 1, TEMPLATE_TEXT_MAX,
         "BYTES", "Size of a message's text.", false},
        {"outstanding", "CHAT_BENCH_OUTSTANDING", OPTION_U64, &s->outstanding, 0, OUTSTANDING_MAX,
         "N",
         "Requests under way at any time; with --rate, at most. 0 means 64, and 16384 with --rate.",
         false},
        {"clients", "CHAT_BENCH_CLIENTS", OPTION_U64, &s->connections, 1, 1000, "N",
         "Connections that the requests are spread over.", false},
        {"rate", "CHAT_BENCH_RATE", OPTION_U64, &s->rate, 0, 10000000, "N",
         "Open loop: so many requests are due each second, and latency counts from then. 0: closed "
         "loop.",
         false},
        {"duration-ms", "CHAT_BENCH_DURATION_MS", OPTION_U64, &s->duration_ms, 1, DAY_MS, "N",
         "How long to measure, after the warm-up.", false},
        {"count", "CHAT_BENCH_COUNT", OPTION_U64, &s->count, 0, 4000000000, "N",
         "Measure so many requests instead, however long it takes; 0: by duration.", false},
        {"warmup-ms", "CHAT_BENCH_WARMUP_MS", OPTION_U64, &s->warmup_ms, 0, DAY_MS, "N",
         "Run for so long before measuring.", false},
        {"timeout-ms", "CHAT_BENCH_TIMEOUT_MS", OPTION_U64, &s->timeout_ms, 100, DAY_MS, "N",
         "A request without a reply for so long has failed.", false},
        {"seed", "CHAT_BENCH_SEED", OPTION_U64, &s->seed, 0, 0, "N",
         "Of the choice of chats, pages and kinds of requests.", false},
    };
    memcpy(table, options, sizeof options);
    return COUNT(options);
}

static size_t put_content_options(struct bench_settings *s, struct option *table)
{
    const struct option options[] = {
        {"namespace", "CHAT_NAMESPACE", OPTION_TEXT, &s->namespace_name, 0, 0, "NAME",
         "The namespace to do it in: 1 to 64 letters, digits, _ or -.", false},
        {"prefill", "CHAT_BENCH_PREFILL", OPTION_U64, &s->prefill, 0, 100000000, "N",
         "Before it begins, send messages until each chat has at least so many.", false},
        {"limit", "CHAT_BENCH_LIMIT", OPTION_U64, &s->limit, 1, 1000, "N",
         "Messages of a page of history.", false},
        {"page", "CHAT_BENCH_PAGE", OPTION_TEXT, &s->page_text, 0, 0, "WHICH",
         "\"newest\": the newest page of a chat; \"deep\": one from anywhere in it.", false},
        {"mix", "CHAT_BENCH_MIX", OPTION_LIST, &s->mix_text, 0, 0, "KIND=N,…",
         "Of mixed: shares of send, history and new; send=50,history=50 when not given.", false},
        {"verify", "CHAT_BENCH_VERIFY", OPTION_FLAG, &s->verify, 0, 0, NULL,
         "Afterwards read all chats back and check that each acknowledged message is there once, "
         "in order; exit status 1 if not.",
         false},
        {"json", "CHAT_BENCH_JSON", OPTION_FLAG, &s->json, 0, 0, NULL,
         "Print JSON instead of a table.", false},
        {"svg", "CHAT_BENCH_SVG", OPTION_TEXT, &s->svg, 0, 0, "FILE",
         "Draw latency by percentile and throughput over time.", false},
        {"progress", "CHAT_BENCH_PROGRESS", OPTION_FLAG, &s->progress, 0, 0, NULL,
         "A line on standard error each second; by default when that is a terminal.", false},
    };
    memcpy(table, options, sizeof options);
    return COUNT(options);
}

static size_t put_compare_options(struct bench_settings *s, struct option *table)
{
    const struct option options[] = {
        {"pairs", "CHAT_BENCH_PAIRS", OPTION_U64, &s->pairs, 1, 1000, "N",
         "How often to run one after the other.", false},
        {"pause-ms", "CHAT_BENCH_PAUSE_MS", OPTION_U64, &s->pause_ms, 0, DAY_MS, "N",
         "Wait before each run, so that what the one before left to be done disturbs it less.",
         false},
        {"responder", "CHAT_BENCH_RESPONDER", OPTION_TEXT, &s->responder, 0, 0, "PREFIX",
         "Compare with a responder that runs already, with this --prefix; when not given, one "
         "is started, and answers with as many bytes as the service did.",
         false},
    };
    memcpy(table, options, sizeof options);
    return COUNT(options);
}

/* ---- Checks ---- */

static enum options_result mistake(FILE *err, const char *text)
{
    fprintf(err, BENCH_PROGRAM ": %s (see " BENCH_PROGRAM " --help)\n", text);
    return OPTIONS_USAGE;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* A plain decimal number, all of the text, in any locale's "C" form. */
static bool parse_number(const char *text, double *number)
{
    char *end;

    if (text[0] < '0' || text[0] > '9' || strpbrk(text, "xXpPnN") != NULL)
        return false;
    *number = strtod(text, &end);
    return *end == '\0' && isfinite(*number);
}

static bool parse_share(const char *text, double shares[BENCH_KINDS])
{
    const char *equals = strchr(text, '=');
    double share;

    if (equals == NULL || !parse_number(equals + 1, &share))
        return false;
    for (int kind = 0; kind < BENCH_JETSTREAM; kind++) {
        if (strlen(kind_names[kind]) == (size_t)(equals - text) &&
            strncmp(text, kind_names[kind], (size_t)(equals - text)) == 0) {
            shares[kind] = share;
            return true;
        }
    }
    return false;
}

static enum options_result parse_mix(struct bench_settings *s, FILE *err)
{
    double sum = 0;

    for (size_t i = 0; i < s->mix_text.count; i++)
        if (!parse_share(s->mix_text.values[i], s->shares))
            return mistake(err, "--mix must be shares such as send=80,history=19,new=1");
    if (s->mix_text.count == 0)
        s->shares[BENCH_SEND] = s->shares[BENCH_HISTORY] = 1;
    for (int kind = 0; kind < BENCH_KINDS; kind++)
        sum += s->shares[kind];
    if (sum <= 0)
        return mistake(err, "--mix needs a share that is more than 0");
    for (int kind = 0; kind < BENCH_KINDS; kind++)
        s->shares[kind] /= sum;
    return OPTIONS_OK;
}

static enum options_result parse_workload(struct bench_settings *s, FILE *err)
{
    if (strcmp(s->workload, "mixed") == 0)
        return parse_mix(s, err);
    if (s->mix_text.count > 0)
        return mistake(err, "--mix is for the workload mixed");
    for (int kind = 0; kind < BENCH_KINDS; kind++)
        s->shares[kind] = strcmp(s->workload, kind_names[kind]) == 0 ? 1 : 0;
    return OPTIONS_OK;
}

static enum options_result check(struct bench_settings *s, FILE *err)
{
    enum options_result result = broker_access_check(&s->broker, BENCH_PROGRAM, err);

    if (result == OPTIONS_OK)
        result = parse_workload(s, err);
    if (result != OPTIONS_OK)
        return result;
    if (given(s->namespace_name) && !chat_namespace_is_valid(s->namespace_name))
        return mistake(err, "--namespace must be 1 to 64 letters, digits, _ or -");
    if (given(s->zipf_text) && (!parse_number(s->zipf_text, &s->zipf) || s->zipf > 10))
        return mistake(err, "--zipf must be a number from 0 to 10, such as 0.99");
    if (strcmp(s->page_text, "newest") != 0 && strcmp(s->page_text, "deep") != 0)
        return mistake(err, "--page must be newest or deep");
    if (s->verify && s->shares[BENCH_SEND] <= 0)
        return mistake(err, "--verify is for workloads that send");
    if (given(s->responder) && !bench_prefix_is_valid(s->responder))
        return mistake(err, "--responder must be 1 to 16 lower-case letters and digits");
    s->deep = strcmp(s->page_text, "deep") == 0;
    if (s->outstanding == 0)
        s->outstanding = s->rate > 0 ? OPEN_OUTSTANDING : CLOSED_OUTSTANDING;
    return OPTIONS_OK;
}

/* ---- Parsing ---- */

static const char examples[] = "  chat-bench send --outstanding=1024 --duration-ms=30000\n"
                               "  chat-bench send --rate=20000 --verify --svg=send.svg\n"
                               "  chat-bench history --page=deep --prefill=10000 --chats=100\n"
                               "  chat-bench mixed --mix=send=80,history=19,new=1 --zipf=0.99\n"
                               "  chat-bench compare send --outstanding=1024 --pairs=5";

static void set_defaults(struct bench_settings *s, const char *workload)
{
    bool reads = strcmp(workload, "history") == 0 || strcmp(workload, "mixed") == 0;

    *s = (struct bench_settings){
        .workload = workload,
        .chats = 10000,
        .text_bytes = 64,
        .connections = 1,
        .duration_ms = 10000,
        .warmup_ms = 1000,
        .timeout_ms = 5000,
        .seed = 1,
        .prefill = reads ? HISTORY_PREFILL : 0,
        .limit = 50,
        .page_text = "newest",
        .progress = isatty(STDERR_FILENO) != 0,
        .pairs = 5,
        .pause_ms = 1000,
    };
}

static enum options_result parse(const struct options *options, int argc, char **argv, FILE *out,
                                 FILE *err)
{
    enum options_result result = options_parse(options, argc, argv, out, err);

    if (result == OPTIONS_VERSION)
        fputs(BENCH_PROGRAM " " CHAT_VERSION "\n", out);
    return result;
}

enum options_result bench_settings_parse(struct bench_settings *s, const char *workload,
                                         bool compare, int argc, char **argv, FILE *out, FILE *err)
{
    struct option table[OPTIONS_MAX];
    char usage[64];
    struct options options = {
        .program = BENCH_PROGRAM,
        .usage = usage,
        .summary = compare ? "Runs a workload against the service and against a responder that "
                             "does nothing, in turn, and prints the ratio of the medians."
                           : "Runs a workload against the service, and prints what it took.",
        .examples = examples,
        .table = table,
    };
    enum options_result result;

    set_defaults(s, workload);
    snprintf(usage, sizeof usage, BENCH_PROGRAM " %s%s [options]", compare ? "compare " : "",
             workload);
    options.count = put_load_options(s, table);
    options.count += put_content_options(s, table + options.count);
    if (compare)
        options.count += put_compare_options(s, table + options.count);
    options.count += broker_access_put_options(&s->broker, table + options.count);
    result = parse(&options, argc, argv, out, err);
    return result == OPTIONS_OK ? check(s, err) : result;
}

void bench_settings_free(struct bench_settings *settings)
{
    broker_access_free(&settings->broker);
    option_list_free(&settings->mix_text);
}

static size_t put_responder_options(struct responder_settings *s, struct option *table)
{
    const struct option options[] = {
        {"prefix", "CHAT_BENCH_PREFIX", OPTION_TEXT, &s->prefix, 0, 0, "NAME",
         "Answers on NAME.Send, NAME.Send.<namespace> and so on.", false},
        {"send-bytes", "CHAT_BENCH_SEND_BYTES", OPTION_BYTES, &s->send_bytes, 2, REPLY_BYTES_MAX,
         "BYTES", "Size of a reply to Send.", false},
        {"history-bytes", "CHAT_BENCH_HISTORY_BYTES", OPTION_BYTES, &s->history_bytes, 2,
         REPLY_BYTES_MAX, "BYTES", "Size of a reply to History.", false},
        {"history-messages", "CHAT_BENCH_HISTORY_MESSAGES", OPTION_U64, &s->history_messages, 1,
         1000, "N", "Messages in a reply to History.", false},
        {"new-bytes", "CHAT_BENCH_NEW_BYTES", OPTION_BYTES, &s->new_bytes, 2, REPLY_BYTES_MAX,
         "BYTES", "Size of a reply to New.", false},
    };
    memcpy(table, options, sizeof options);
    return COUNT(options);
}

enum options_result responder_settings_parse(struct responder_settings *s, int argc, char **argv,
                                             FILE *out, FILE *err)
{
    struct option table[OPTIONS_MAX];
    const struct options options = {
        .program = BENCH_PROGRAM,
        .usage = BENCH_PROGRAM " responder [options]",
        .summary = "Answers at once, with a fixed number of bytes: the limit of what a service "
                   "could reach with this broker, on this machine. Until SIGTERM or SIGINT.",
        .table = table,
        .count = 5 + BROKER_ACCESS_OPTIONS,
    };
    enum options_result result;

    *s = (struct responder_settings){.prefix = "echo",
                                     .send_bytes = 230,
                                     .new_bytes = 40,
                                     .history_bytes = 11000,
                                     .history_messages = 50};
    broker_access_put_options(&s->broker, table + put_responder_options(s, table));
    result = parse(&options, argc, argv, out, err);
    if (result == OPTIONS_OK)
        result = broker_access_check(&s->broker, BENCH_PROGRAM, err);
    if (result == OPTIONS_OK && !bench_prefix_is_valid(s->prefix))
        return mistake(err, "--prefix must be 1 to 16 lower-case letters and digits");
    if (result == OPTIONS_OK && s->history_bytes / s->history_messages < 2)
        return mistake(err, "--history-bytes is too small for so many --history-messages");
    return result;
}

void responder_settings_free(struct responder_settings *settings)
{
    broker_access_free(&settings->broker);
}

enum options_result sync_settings_parse(struct sync_settings *s, int argc, char **argv, FILE *out,
                                        FILE *err)
{
    const struct option table[] = {
        {"directory", "CHAT_BENCH_DIRECTORY", OPTION_TEXT, &s->directory, 0, 0, "DIR",
         "Where to make the file, on the disk to be measured; it is removed again.", false},
        {"bytes", "CHAT_BENCH_BYTES", OPTION_BYTES, &s->bytes, 1, 1024 * 1024, "BYTES",
         "Size of a write.", false},
        {"count", "CHAT_BENCH_COUNT", OPTION_U64, &s->count, 1, 10000000, "N", "How many.", false},
        {"direct", "CHAT_BENCH_DIRECT", OPTION_FLAG, &s->direct, 0, 0, NULL,
         "Write past the page cache (O_DIRECT), as chatd's journal does, and count the write as "
         "well; --bytes is a multiple of 4KiB.",
         false},
        {"json", "CHAT_BENCH_JSON", OPTION_FLAG, &s->json, 0, 0, NULL,
         "Print JSON instead of a table.", false},
    };
    const struct options options = {
        .program = BENCH_PROGRAM,
        .usage = BENCH_PROGRAM " sync --directory DIR [options]",
        .summary = "Measures what the disk takes to make a write durable: write and fdatasync, one "
                   "after the other, into a file that was filled before.",
        .table = table,
        .count = COUNT(table),
    };
    enum options_result result;

    *s = (struct sync_settings){.bytes = 4096, .count = 1000};
    result = parse(&options, argc, argv, out, err);
    if (result == OPTIONS_OK && !given(s->directory))
        return mistake(err, "--directory is missing: give the directory to measure in");
    if (result == OPTIONS_OK && s->direct && s->bytes % BENCH_SYNC_BLOCK_BYTES != 0)
        return mistake(err, "--direct needs --bytes that are a multiple of 4KiB");
    return result;
}
