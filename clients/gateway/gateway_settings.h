/*
 * What chat-gateway is told at its start: one table of options, each also an environment variable.
 * Strings are borrowed from argv and the environment. Read-only once parsed.
 *
 * To add options: fields here, a fill_…_table in gateway_settings.c, and what needs more than one
 * option in check() there.
 */
#ifndef GATEWAY_GATEWAY_SETTINGS_H
#define GATEWAY_GATEWAY_SETTINGS_H

#include "base/log.h"
#include "base/options.h"
#include "clients/broker_access.h"

#define GATEWAY_PROGRAM "chat-gateway"

struct gateway_settings {
    /* Where it listens: "127.0.0.1:8080", "[::1]:8080", "*:8080"; port 0: a free one. */
    struct option_list listen;
    const char *listen_tls_cert; /* files; both or neither */
    const char *listen_tls_key;
    struct option_list cors_origins;    /* "https://chat.example", exactly */
    struct option_list trusted_proxies; /* addresses whose X-Forwarded-For counts */

    /* Who may do what; texts are NULL where not given. */
    const char *auth; /* "none", or NULL */
    const char *auth_tokens;
    const char *auth_jwt_key;
    const char *auth_jwt_alg;
    const char *auth_jwt_issuer;
    const char *auth_jwt_audience;
    bool allow_insecure;
    bool open_metrics;
    uint64_t rate_per_token;  /* a second; 0: no limit, here and in the next ones */
    uint64_t burst_per_token; /* 0: twice the rate */
    uint64_t rate_per_address;
    uint64_t burst_per_address;
    uint64_t max_connections_per_token; /* WebSockets and event streams */

    struct broker_access broker;
    uint64_t timeout_ms; /* how long the service may take to answer */

    uint64_t max_connections;
    uint64_t max_connections_per_address;
    bool limit_loopback;     /* the machine's own addresses, too */
    uint64_t max_head_bytes; /* request line and header together */
    uint64_t max_head_fields;
    uint64_t max_body_bytes;
    uint64_t max_message_bytes; /* of a WebSocket */
    uint64_t head_timeout_ms;
    uint64_t body_timeout_ms;
    uint64_t idle_timeout_ms;
    uint64_t write_timeout_ms;
    uint64_t ping_interval_ms;
    uint64_t drain_timeout_ms;

    bool access_log;
    enum log_level log_level;
    const char *log_level_name; /* as the option table wrote it */
};

/*
 * Fills `settings` from defaults, the environment and the words. Prints help, version and mistakes
 * itself. Returns as options_parse; free `settings` in any case.
 */
enum options_result gateway_settings_parse(struct gateway_settings *settings, int argc, char **argv,
                                           FILE *out, FILE *err);
void gateway_settings_free(struct gateway_settings *settings);

/* How to reach the broker, borrowed from the settings. */
struct chat_options gateway_settings_broker(const struct gateway_settings *settings);

/* Splits "127.0.0.1:8080" into a socket address. 0, or -1 when it has no such form. */
int gateway_settings_address(const char *text, struct sockaddr_storage *address);
/* Whether all addresses it listens on are the machine's own. */
bool gateway_settings_loopback_only(const struct gateway_settings *settings);

#endif
