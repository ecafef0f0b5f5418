/*
 * The tables below are the only place that knows an option's name, variable, bounds and help.
 * Checks that need more than one option, or more than bounds, come after them, in check().
 */
#include "clients/gateway/gateway_settings.h"

#include "base/version.h"
#include "clients/gateway/http_head.h"
#include "proto/codec.h"
#include <stdlib.h>
#include <string.h>

#define KIB ((uint64_t)1024)
#define MIB (KIB * 1024)
#define DAY_MS ((uint64_t)86400000)
/* Room in the table for all there are. */
#define OPTIONS_MAX 64

static const char usage[] = GATEWAY_PROGRAM " [options]";
static const char summary[] =
    "The chat service over HTTP, WebSocket and server-sent events, with a web page to see it work: "
    "translates them to NATS. Each option is also an environment variable.";
static const char examples[] =
    "  chat-gateway --nats-url nats://127.0.0.1:4222 --listen 127.0.0.1:8080\n"
    "  curl -X POST http://127.0.0.1:8080/chat/New -d '{\"user_ids\":[\"JohnBarry\"]}'";

static struct option list_option(const char *name, const char *environment,
                                 struct option_list *value, const char *argument, const char *help)
{
    return (struct option){.name = name,
                           .environment = environment,
                           .kind = OPTION_LIST,
                           .value = value,
                           .argument = argument,
                           .help = help};
}

static struct option time_option(const char *name, const char *environment, uint64_t *value,
                                 const char *help)
{
    struct option option = option_number(name, environment, value, 1, DAY_MS, help);

    option.argument = "MS";
    return option;
}

static size_t fill_listen_table(struct gateway_settings *s, struct option *table)
{
    const struct option options[] = {
        list_option("listen", "CHAT_LISTEN", &s->listen, "ADDRESS:PORT",
                    "Where to listen, or several separated by commas; 127.0.0.1:8080 when not "
                    "given. [::1]:8080 is IPv6, *:8080 every address, port 0 a free one."),
        option_text("listen-tls-cert", "CHAT_LISTEN_TLS_CERT", &s->listen_tls_cert, "FILE",
                    "Certificate chain to show to clients, which must then speak TLS; read again "
                    "on SIGHUP. Needs --listen-tls-key."),
        option_text("listen-tls-key", "CHAT_LISTEN_TLS_KEY", &s->listen_tls_key, "FILE",
                    "Private key of --listen-tls-cert."),
        list_option("cors-origin", "CHAT_CORS_ORIGIN", &s->cors_origins, "ORIGIN",
                    "Origin whose pages may call, such as https://chat.example, or several "
                    "separated by commas; the gateway's own page always may."),
        list_option("trusted-proxies", "CHAT_TRUSTED_PROXIES", &s->trusted_proxies, "ADDRESS",
                    "Addresses of proxies, separated by commas, whose X-Forwarded-For and "
                    "X-Forwarded-Proto count."),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static struct option flag_option(const char *name, const char *environment, bool *value,
                                 const char *help)
{
    return (struct option){.name = name,
                           .environment = environment,
                           .kind = OPTION_FLAG,
                           .value = value,
                           .help = help};
}

static size_t fill_auth_table(struct gateway_settings *s, struct option *table)
{
    const struct option options[] = {
        option_text("auth", "CHAT_AUTH", &s->auth, "none",
                    "\"none\": whoever reaches it may do everything; the default without the "
                    "next options. Only when it listens on loopback alone."),
        option_text("auth-tokens", "CHAT_AUTH_TOKENS", &s->auth_tokens, "FILE",
                    "Tokens that count: lines of SHA-256, namespace or *, user or *. Read again on "
                    "SIGHUP."),
        option_text("auth-jwt-key", "CHAT_AUTH_JWT_KEY", &s->auth_jwt_key, "FILE",
                    "Key of those who sign JSON Web Tokens: PEM, JWK or JWKS, for HS256 also the "
                    "secret itself. Read again on SIGHUP. Needs --auth-jwt-alg."),
        option_text("auth-jwt-alg", "CHAT_AUTH_JWT_ALG", &s->auth_jwt_alg, "NAME",
                    "The one algorithm that counts: HS256, RS256, ES256 or EdDSA."),
        option_text("auth-jwt-issuer", "CHAT_AUTH_JWT_ISSUER", &s->auth_jwt_issuer, "TEXT",
                    "What the claim iss must be."),
        option_text("auth-jwt-audience", "CHAT_AUTH_JWT_AUDIENCE", &s->auth_jwt_audience, "TEXT",
                    "What the claim aud must be or hold; without it, tokens with aud are refused."),
        flag_option("allow-insecure", "CHAT_ALLOW_INSECURE", &s->allow_insecure,
                    "Let --auth none listen on addresses that others can reach."),
        flag_option("open-metrics", "CHAT_OPEN_METRICS", &s->open_metrics,
                    "Show /metrics to everybody, not only to tokens of any namespace and user."),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static size_t fill_rate_table(struct gateway_settings *s, struct option *table)
{
    const struct option options[] = {
        option_number("rate-per-token", "CHAT_RATE_PER_TOKEN", &s->rate_per_token, 0, 1000000,
                      "Requests a second of one token, or one user of JSON Web Tokens; past it "
                      "they get 429. 0: no limit."),
        option_number("burst-per-token", "CHAT_BURST_PER_TOKEN", &s->burst_per_token, 0, 1000000,
                      "So many at once after a pause. 0: twice the rate."),
        option_number("rate-per-address", "CHAT_RATE_PER_ADDRESS", &s->rate_per_address, 0, 1000000,
                      "Requests a second of one address, or of a /64 of IPv6. 0: no limit."),
        option_number("burst-per-address", "CHAT_BURST_PER_ADDRESS", &s->burst_per_address, 0,
                      1000000, "So many at once after a pause. 0: twice the rate."),
        option_number("max-connections-per-token", "CHAT_MAX_CONNECTIONS_PER_TOKEN",
                      &s->max_connections_per_token, 0, 1000000,
                      "WebSockets and event streams of one token, or one user of JSON Web Tokens, "
                      "at once; past it they get 429. 0: no limit."),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static size_t fill_service_table(struct gateway_settings *s, struct option *table)
{
    size_t count = broker_access_put_options(&s->broker, table);

    table[count++] = time_option("timeout-ms", "CHAT_TIMEOUT_MS", &s->timeout_ms,
                                 "How long the service may take to answer, with all attempts; "
                                 "past it a call gets 504.");
    return count;
}

static size_t fill_limit_table(struct gateway_settings *s, struct option *table)
{
    const struct option options[] = {
        option_number("max-connections", "CHAT_MAX_CONNECTIONS", &s->max_connections, 1, 1000000,
                      "Most connections at once; past it they get 503."),
        option_number(
            "max-connections-per-address", "CHAT_MAX_CONNECTIONS_PER_ADDRESS",
            &s->max_connections_per_address, 1, 1000000,
            "Most connections at once of one address, or of a /64 of IPv6, unless it is a trusted "
            "proxy or the machine's own; past it they get 429."),
        {.name = "limit-loopback",
         .environment = "CHAT_LIMIT_LOOPBACK",
         .kind = OPTION_FLAG,
         .value = &s->limit_loopback,
         .help = "Limit the connections of the machine's own addresses, too. Proxies and tests "
                 "there make many."},
        option_bytes("max-head-bytes", "CHAT_MAX_HEAD_BYTES", &s->max_head_bytes, KIB, MIB,
                     "Longest request line and header together."),
        option_number("max-head-fields", "CHAT_MAX_HEAD_FIELDS", &s->max_head_fields, 1,
                      HTTP_HEAD_FIELDS_MAX, "Most fields of a header."),
        option_bytes("max-body-bytes", "CHAT_MAX_BODY_BYTES", &s->max_body_bytes, KIB, MIB,
                     "Longest body of a request."),
        option_bytes("max-message-bytes", "CHAT_MAX_MESSAGE_BYTES", &s->max_message_bytes, 1, MIB,
                     "Longest message from a WebSocket."),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static size_t fill_time_table(struct gateway_settings *s, struct option *table)
{
    const struct option options[] = {
        time_option("head-timeout-ms", "CHAT_HEAD_TIMEOUT_MS", &s->head_timeout_ms,
                    "How long a header may take from its first byte to its last."),
        time_option("body-timeout-ms", "CHAT_BODY_TIMEOUT_MS", &s->body_timeout_ms,
                    "How long a body, or a message from a WebSocket, may take."),
        time_option("idle-timeout-ms", "CHAT_IDLE_TIMEOUT_MS", &s->idle_timeout_ms,
                    "How long a connection is kept between requests."),
        time_option("write-timeout-ms", "CHAT_WRITE_TIMEOUT_MS", &s->write_timeout_ms,
                    "How long a client may read nothing of what it is sent."),
        time_option("ping-interval-ms", "CHAT_PING_INTERVAL_MS", &s->ping_interval_ms,
                    "How often WebSockets are pinged; two in silence end one."),
        time_option("drain-timeout-ms", "CHAT_DRAIN_TIMEOUT_MS", &s->drain_timeout_ms,
                    "How long what is under way may take after SIGTERM."),
        {.name = "access-log",
         .environment = "CHAT_ACCESS_LOG",
         .kind = OPTION_FLAG,
         .value = &s->access_log,
         .help = "Log a line for each request, with its path and never its query."},
        option_text("log-level", "CHAT_LOG_LEVEL", &s->log_level_name, "LEVEL",
                    "debug, info, warn or error."),
    };
    memcpy(table, options, sizeof options);
    return sizeof options / sizeof *options;
}

static void set_defaults(struct gateway_settings *settings)
{
    *settings = (struct gateway_settings){
        .timeout_ms = 10000,
        .max_connections = 10000,
        .max_connections_per_address = 1000,
        .max_head_bytes = 16 * KIB,
        .max_head_fields = 100,
        .max_body_bytes = CODEC_REQUEST_BYTES_MAX,
        .max_message_bytes = CODEC_REQUEST_BYTES_MAX,
        .head_timeout_ms = 10000,
        .body_timeout_ms = 30000,
        .idle_timeout_ms = 75000,
        .write_timeout_ms = 30000,
        .ping_interval_ms = 20000,
        .drain_timeout_ms = 10000,
        .access_log = true,
        .log_level_name = "info",
    };
}

static enum options_result mistake(FILE *err, const char *text)
{
    fprintf(err, GATEWAY_PROGRAM ": %s (see " GATEWAY_PROGRAM " --help)\n", text);
    return OPTIONS_USAGE;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

/* ---- Addresses ---- */

int gateway_settings_address(const char *text, struct sockaddr_storage *address)
{
    const char *colon = strrchr(text, ':');
    char host[64];
    char *end;
    unsigned long port;
    size_t size;

    memset(address, 0, sizeof *address);
    if (colon == NULL || colon[1] < '0' || colon[1] > '9')
        return -1;
    port = strtoul(colon + 1, &end, 10);
    size = (size_t)(colon - text);
    if (*end != '\0' || port > 65535 || size == 0 || size >= sizeof host)
        return -1;
    memcpy(host, text, size);
    host[size] = '\0';
    if (strcmp(host, "*") == 0)
        return uv_ip6_addr("::", (int)port, (struct sockaddr_in6 *)address);
    if (strcmp(host, "localhost") == 0)
        return uv_ip4_addr("127.0.0.1", (int)port, (struct sockaddr_in *)address);
    if (host[0] == '[' && host[size - 1] == ']') {
        host[size - 1] = '\0';
        return uv_ip6_addr(host + 1, (int)port, (struct sockaddr_in6 *)address) == 0 ? 0 : -1;
    }
    return uv_ip4_addr(host, (int)port, (struct sockaddr_in *)address) == 0 ? 0 : -1;
}

static bool is_loopback(const struct sockaddr_storage *address)
{
    const struct sockaddr_in *four = (const struct sockaddr_in *)address;
    const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;

    if (address->ss_family == AF_INET)
        return ntohl(four->sin_addr.s_addr) >> 24 == 127;
    return IN6_IS_ADDR_LOOPBACK(&six->sin6_addr);
}

bool gateway_settings_loopback_only(const struct gateway_settings *settings)
{
    struct sockaddr_storage address;

    for (size_t i = 0; i < settings->listen.count; i++) {
        if (gateway_settings_address(settings->listen.values[i], &address) != 0 ||
            !is_loopback(&address))
            return false;
    }
    return true;
}

static void add_default(struct option_list *list, const char *value)
{
    if (list->count > 0)
        return;
    free(list->values);
    list->values = calloc(1, sizeof *list->values);
    if (list->values == NULL || (list->values[0] = strdup(value)) == NULL)
        abort();
    list->count = 1;
}

/* ---- What the table cannot say ---- */

/* scheme://host, maybe with a port, and nothing behind it: as browsers write it. */
static bool is_origin(const char *text)
{
    const char *host = strncmp(text, "https://", 8) == 0  ? text + 8
                       : strncmp(text, "http://", 7) == 0 ? text + 7
                                                          : NULL;

    return host != NULL && host[0] != '\0' && strpbrk(host, "/?#@* \t\r\n") == NULL;
}

static enum options_result check_listen(struct gateway_settings *settings, FILE *err)
{
    struct sockaddr_storage address;

    add_default(&settings->listen, "127.0.0.1:8080");
    for (size_t i = 0; i < settings->listen.count; i++) {
        if (gateway_settings_address(settings->listen.values[i], &address) != 0)
            return mistake(err, "--listen must be an address and a port, such as 127.0.0.1:8080, "
                                "[::1]:8080 or *:8080");
    }
    if (given(settings->auth) && strcmp(settings->auth, "none") != 0)
        return mistake(err, "--auth can only be none; to ask for tokens, give --auth-tokens or "
                            "--auth-jwt-key");
    if (given(settings->listen_tls_cert) != given(settings->listen_tls_key))
        return mistake(err, "--listen-tls-cert and --listen-tls-key go together");
    for (size_t i = 0; i < settings->cors_origins.count; i++) {
        if (!is_origin(settings->cors_origins.values[i]))
            return mistake(err, "--cors-origin must be an origin as browsers send it, such as "
                                "https://chat.example, without a path; * is not possible");
    }
    for (size_t i = 0; i < settings->trusted_proxies.count; i++) {
        struct sockaddr_in four;
        struct sockaddr_in6 six;
        if (uv_ip4_addr(settings->trusted_proxies.values[i], 0, &four) != 0 &&
            uv_ip6_addr(settings->trusted_proxies.values[i], 0, &six) != 0)
            return mistake(err, "--trusted-proxies must be addresses, such as 10.0.0.5,::1");
    }
    return OPTIONS_OK;
}

/* An argument that somebody's script left empty must not open what it was to close. */
static enum options_result check_empty(const struct gateway_settings *settings, FILE *err)
{
    const struct {
        const char *name;
        const char *value;
    } protections[] = {
        {"--auth-tokens", settings->auth_tokens},
        {"--auth-jwt-key", settings->auth_jwt_key},
        {"--auth-jwt-issuer", settings->auth_jwt_issuer},
        {"--auth-jwt-audience", settings->auth_jwt_audience},
        {"--listen-tls-cert", settings->listen_tls_cert},
        {"--listen-tls-key", settings->listen_tls_key},
    };
    char text[80];

    for (size_t i = 0; i < sizeof protections / sizeof *protections; i++) {
        if (protections[i].value == NULL || protections[i].value[0] != '\0')
            continue;
        snprintf(text, sizeof text, "%s is empty; give it a value, or leave it out",
                 protections[i].name);
        return mistake(err, text);
    }
    return OPTIONS_OK;
}

static enum options_result check(struct gateway_settings *settings, FILE *err)
{
    if (check_empty(settings, err) != OPTIONS_OK)
        return OPTIONS_USAGE;
    if (!log_parse_level(settings->log_level_name, &settings->log_level))
        return mistake(err, "--log-level must be debug, info, warn or error");
    if (broker_access_check(&settings->broker, GATEWAY_PROGRAM, err) != OPTIONS_OK)
        return OPTIONS_USAGE;
    return check_listen(settings, err);
}

enum options_result gateway_settings_parse(struct gateway_settings *settings, int argc, char **argv,
                                           FILE *out, FILE *err)
{
    struct option table[OPTIONS_MAX];
    struct options options = {
        .program = GATEWAY_PROGRAM,
        .usage = usage,
        .summary = summary,
        .examples = examples,
        .table = table,
    };
    enum options_result result;

    set_defaults(settings);
    options.count = fill_listen_table(settings, table);
    options.count += fill_auth_table(settings, table + options.count);
    options.count += fill_rate_table(settings, table + options.count);
    options.count += fill_service_table(settings, table + options.count);
    options.count += fill_limit_table(settings, table + options.count);
    options.count += fill_time_table(settings, table + options.count);
    result = options_parse(&options, argc, argv, out, err);
    if (result == OPTIONS_VERSION)
        fputs(GATEWAY_PROGRAM " " CHAT_VERSION "\n", out);
    if (result == OPTIONS_OK)
        result = check(settings, err);
    return result;
}

void gateway_settings_free(struct gateway_settings *settings)
{
    option_list_free(&settings->listen);
    option_list_free(&settings->cors_origins);
    option_list_free(&settings->trusted_proxies);
    broker_access_free(&settings->broker);
}

struct chat_options gateway_settings_broker(const struct gateway_settings *settings)
{
    return broker_access_options(&settings->broker, GATEWAY_PROGRAM);
}
