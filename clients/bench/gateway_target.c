#include "clients/bench/gateway_target.h"

#include "base/uuid.h"
#include "base/version.h"
#include "clients/libchat/chat.h"
#include <netdb.h>
#include <string.h>

#define DEFAULT_URL "http://127.0.0.1:8080"
#define DAY_MS 86400000
#define COUNT(table) (sizeof(table) / sizeof *(table))

/* Its value has to be 16 bytes in base64 and is otherwise free: nobody looks behind us. */
#define WEBSOCKET_FIELDS                                                                           \
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"                   \
    "Sec-WebSocket-Key: Y2hhdC1iZW5jaC0wMDAwMA==\r\n"

/* ---- The address ---- */

static enum options_result mistake(FILE *err, const char *text)
{
    fprintf(err, BENCH_PROGRAM ": %s (see " BENCH_PROGRAM " --help)\n", text);
    return OPTIONS_USAGE;
}

/* Splits host:port or [host]:port, in place. */
static bool split(char *text, char **host, char **port)
{
    char *colon = strrchr(text, ':');
    size_t size;

    if (colon == NULL || colon == text || colon[1] == '\0' ||
        strspn(colon + 1, "0123456789") != strlen(colon + 1))
        return false;
    *colon = '\0';
    *port = colon + 1;
    *host = text;
    size = strlen(text);
    if (text[0] == '[' && text[size - 1] == ']') {
        text[size - 1] = '\0';
        *host = text + 1;
    }
    return (*host)[0] != '\0';
}

static enum options_result resolve(struct gateway_target *t, FILE *err)
{
    static const char scheme[] = "http://";
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char text[sizeof t->host];
    char *host;
    char *port;
    size_t size = strlen(t->url);
    int status;

    if (size > 0 && t->url[size - 1] == '/')
        size--;
    if (strncmp(t->url, scheme, sizeof scheme - 1) != 0 ||
        size - (sizeof scheme - 1) >= sizeof t->host)
        return mistake(err, "--gateway-url must be http://host:port");
    snprintf(t->host, sizeof t->host, "%.*s", (int)(size - (sizeof scheme - 1)),
             t->url + sizeof scheme - 1);
    memcpy(text, t->host, sizeof text);
    if (!split(text, &host, &port))
        return mistake(err, "--gateway-url must be http://host:port");
    status = getaddrinfo(host, port, &hints, &found);
    if (status != 0) {
        fprintf(err, BENCH_PROGRAM ": --gateway-url: %s: %s\n", host, gai_strerror(status));
        return OPTIONS_USAGE;
    }
    memcpy(&t->address, found->ai_addr, found->ai_addrlen);
    freeaddrinfo(found);
    return OPTIONS_OK;
}

/* ---- Options ---- */

static size_t put_common_options(struct gateway_target *t, struct option *table)
{
    const struct option options[] = {
        {"gateway-url", "CHAT_BENCH_GATEWAY_URL", OPTION_TEXT, &t->url, 0, 0, "URL",
         "The gateway; " DEFAULT_URL " when not given.", false},
        {"bearer-token", "CHAT_BENCH_BEARER_TOKEN", OPTION_TEXT, &t->bearer_token, 0, 0, "TEXT",
         "Token to show to the gateway.", true},
        {"namespace", "CHAT_NAMESPACE", OPTION_TEXT, &t->namespace_name, 0, 0, "NAME",
         "Where the chats are.", false},
        {"duration-ms", "CHAT_BENCH_DURATION_MS", OPTION_U64, &t->duration_ms, 1, DAY_MS, "N",
         "How long to measure.", false},
        {"json", "CHAT_BENCH_JSON", OPTION_FLAG, &t->json, 0, 0, NULL,
         "Print JSON instead of a table.", false},
    };
    memcpy(table, options, sizeof options);
    return COUNT(options);
}

static size_t put_load_options(struct gateway_target *t, struct option *table)
{
    const struct option options[] = {
        {"clients", "CHAT_BENCH_CLIENTS", OPTION_U64, &t->connections, 1, 60000, "N",
         "Connections, each kept alive, with one request under way.", false},
        {"chats", "CHAT_BENCH_CHATS", OPTION_U64, &t->chats, 1, 10000000, "N", "Number of chats.",
         false},
        {"text-bytes", "CHAT_BENCH_TEXT_BYTES", OPTION_BYTES, &t->text_bytes, 1, 64 * 1024, "BYTES",
         "Size of a text.", false},
        {"warmup-ms", "CHAT_BENCH_WARMUP_MS", OPTION_U64, &t->warmup_ms, 0, DAY_MS, "N",
         "Before it is measured.", false},
        {"seed", "CHAT_BENCH_SEED", OPTION_U64, &t->seed, 0, 0, "N", "Of the choice of chats.",
         false},
    };
    memcpy(table, options, sizeof options);
    return COUNT(options);
}

static size_t put_fanout_options(struct gateway_target *t, struct option *table)
{
    const struct option options[] = {
        {"watchers", "CHAT_BENCH_WATCHERS", OPTION_U64, &t->watchers, 1, 60000, "N",
         "WebSockets that follow the chat.", false},
        {"rate", "CHAT_BENCH_RATE", OPTION_U64, &t->rate, 1, 100000, "N",
         "Messages per second that are sent to it.", false},
    };
    memcpy(table, options, sizeof options);
    return COUNT(options);
}

static enum options_result parse(struct gateway_target *t, struct options *options, int argc,
                                 char **argv, FILE *out, FILE *err)
{
    enum options_result result = options_parse(options, argc, argv, out, err);

    if (result == OPTIONS_VERSION)
        fputs(BENCH_PROGRAM " " CHAT_VERSION "\n", out);
    if (result != OPTIONS_OK)
        return result;
    if (t->namespace_name != NULL && t->namespace_name[0] != '\0' &&
        !chat_namespace_is_valid(t->namespace_name))
        return mistake(err, "--namespace must be 1 to 64 letters, digits, _ or -");
    if (t->bearer_token != NULL && strpbrk(t->bearer_token, " \r\n") != NULL)
        return mistake(err, "--bearer-token must have no spaces and no line breaks");
    return resolve(t, err);
}

enum options_result gateway_load_parse(struct gateway_target *t, int argc, char **argv, FILE *out,
                                       FILE *err)
{
    struct option table[16];
    struct options options = {
        .program = BENCH_PROGRAM,
        .usage = BENCH_PROGRAM " gateway [options]",
        .summary = "Sends through the gateway, by HTTP, in a closed loop, and prints what it took.",
        .examples = "  chat-bench gateway --clients=256 --duration-ms=30000",
        .table = table,
    };

    *t = (struct gateway_target){.url = DEFAULT_URL,
                                 .connections = 64,
                                 .chats = 1000,
                                 .text_bytes = 64,
                                 .duration_ms = 10000,
                                 .warmup_ms = 1000,
                                 .seed = 1};
    options.count = put_common_options(t, table);
    options.count += put_load_options(t, table + options.count);
    return parse(t, &options, argc, argv, out, err);
}

enum options_result fanout_parse(struct gateway_target *t, int argc, char **argv, FILE *out,
                                 FILE *err)
{
    struct option table[16];
    struct options options = {
        .program = BENCH_PROGRAM,
        .usage = BENCH_PROGRAM " fanout [options]",
        .summary =
            "Lets many WebSockets follow one chat, sends to it, and prints how many messages "
            "were delivered, and how long each was on its way to each of them.",
        .examples = "  chat-bench fanout --watchers=1000 --rate=50",
        .table = table,
    };

    *t = (struct gateway_target){
        .url = DEFAULT_URL, .watchers = 1000, .rate = 20, .duration_ms = 10000, .text_bytes = 64};
    options.count = put_common_options(t, table);
    options.count += put_fanout_options(t, table + options.count);
    return parse(t, &options, argc, argv, out, err);
}

/* ---- Requests ---- */

/* Fields that a request has when they are wanted: each with its name before and a CR LF behind. */
struct optional_fields {
    const char *authorization;
    const char *token;
    const char *token_end;
    const char *namespace_field;
    const char *namespace_name;
    const char *namespace_end;
};

static struct optional_fields optional_fields(const struct gateway_target *t)
{
    struct optional_fields fields = {"", "", "", "", "", ""};

    if (t->bearer_token != NULL && t->bearer_token[0] != '\0') {
        fields.authorization = "Authorization: Bearer ";
        fields.token = t->bearer_token;
        fields.token_end = "\r\n";
    }
    if (t->namespace_name != NULL && t->namespace_name[0] != '\0') {
        fields.namespace_field = "Micro-Namespace: ";
        fields.namespace_name = t->namespace_name;
        fields.namespace_end = "\r\n";
    }
    return fields;
}

size_t gateway_put_post(const struct gateway_target *t, const char *path, const char *body,
                        size_t body_size, char *bytes, size_t capacity)
{
    const struct optional_fields f = optional_fields(t);
    int head = snprintf(bytes, capacity,
                        "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\n"
                        "%s%s%s%s%s%sContent-Length: %zu\r\n\r\n",
                        path, t->host, f.authorization, f.token, f.token_end, f.namespace_field,
                        f.namespace_name, f.namespace_end, body_size);

    if (head < 0 || (size_t)head + body_size > capacity)
        return 0;
    memcpy(bytes + head, body, body_size);
    return (size_t)head + body_size;
}

size_t gateway_put_connect(const struct gateway_target *t, const char *chat_id, const char *user_id,
                           char *bytes, size_t capacity)
{
    const struct optional_fields f = optional_fields(t);
    int size = snprintf(bytes, capacity,
                        "GET /chat/Connect?chat_id=%s&user_id=%s HTTP/1.1\r\nHost: %s\r\n"
                        "%s%s%s%s%s%s" WEBSOCKET_FIELDS "\r\n",
                        chat_id, user_id, t->host, f.authorization, f.token, f.token_end,
                        f.namespace_field, f.namespace_name, f.namespace_end);

    return size < 0 || (size_t)size >= capacity ? 0 : (size_t)size;
}

const char *gateway_find_chat_id(const char *body, size_t size)
{
    static const char name[] = "\"chat_id\":\"";
    const char *found = memmem(body, size, name, sizeof name - 1);

    if (found == NULL || (size_t)(body + size - found) < sizeof name - 1 + UUID_TEXT_BYTES)
        return NULL;
    return found + sizeof name - 1;
}
