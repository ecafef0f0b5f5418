/*
 *     identify: credentials ─▶ auth ─┬─▶ identity
 *                                    └─▶ 401, 403; counts for the address, and is 429 when that
 *                                        has had too much
 *     admit: address ─▶ token ─▶ in, or 429 with Retry-After
 *
 * Leases are in a list that is looked through every few seconds and after each SIGHUP. What is
 * looked at is a time and a table in memory: ten thousand leases take about a millisecond.
 */
#include "clients/gateway/access.h"

#include "base/log.h"
#include "clients/gateway/auth.h"
#include "clients/gateway/cors.h"
#include "clients/gateway/metrics.h"
#include "clients/gateway/monitoring.h"
#include "clients/gateway/rate_limit.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOOK_EVERY_MS 5000
#define PROBLEM_BYTES 1024
#define BURST_SECONDS 2

struct access {
    struct rate_limit *tokens;    /* rate, and connections that stay */
    struct rate_limit *addresses; /* rate */
    struct access_lease *leases;
    uv_timer_t look;
};

/* ---- The guard ---- */

#define RATE_DETAIL "this %s has made more requests than it may; again in %llu s"

static unsigned long long whole_seconds(uint64_t wait_ms)
{
    return (wait_ms + 999) / 1000;
}

static void refuse_rate(struct exchange *exchange, const char *whose, uint64_t wait_ms,
                        enum metrics_refusal refusal)
{
    char seconds[24];

    snprintf(seconds, sizeof seconds, "%llu", whole_seconds(wait_ms));
    monitoring_count_refusal(exchange_gateway(exchange), refusal);
    exchange_add_field(exchange, "Retry-After", seconds);
    exchange_fail(exchange, 429, "gateway.TooManyRequests", RATE_DETAIL, whose,
                  whole_seconds(wait_ms));
}

static int admit_address(struct exchange *exchange)
{
    const struct gateway *gateway = exchange_gateway(exchange);
    uint8_t key[RATE_LIMIT_KEY_BYTES];
    uint64_t wait_ms;

    if (gateway->settings->rate_per_address == 0)
        return 0;
    rate_limit_address_key(exchange_address(exchange), key);
    if (rate_limit_take(gateway->access->addresses, key, uv_now(gateway->loop), &wait_ms))
        return 0;
    refuse_rate(exchange, "address", wait_ms, METRICS_REFUSED_RATE_ADDRESS);
    return -1;
}

static int admit(struct exchange *exchange, const struct identity *identity)
{
    const struct gateway *gateway = exchange_gateway(exchange);
    uint64_t wait_ms;

    if (admit_address(exchange) != 0)
        return -1;
    if (!identity->known ||
        rate_limit_take(gateway->access->tokens, identity->id, uv_now(gateway->loop), &wait_ms))
        return 0;
    refuse_rate(exchange, "token", wait_ms, METRICS_REFUSED_RATE_TOKEN);
    return -1;
}

static bool stays_open(const struct exchange *exchange)
{
    const char *path = exchange_path(exchange);

    return strcmp(path, "/chat/Connect") == 0 || strcmp(path, "/chat/Events") == 0;
}

/*
 * Where nobody needs a token, a browser is all that a stranger's page needs: it may post to any
 * address that the browser reaches, without being allowed to read the answer. Tokens do not have
 * that problem, since no browser adds one by itself.
 */
static int check_origin(struct exchange *exchange, const struct identity *identity)
{
    bool counts = exchange_gateway(exchange)->settings->allow_insecure ||
                  exchange_header(exchange, "origin") == NULL || cors_host_is_known(exchange);

    if (identity->known || (counts && cors_allows_websocket(exchange)))
        return 0;
    exchange_fail(exchange, 403, "gateway.ForeignOrigin",
                  "pages of this origin may not call: --cors-origin says which may");
    return -1;
}

static int identify(struct exchange *exchange, struct identity *identity)
{
    struct gateway *gateway = exchange_gateway(exchange);
    char wanted[IDENTITY_NAMESPACE_BYTES], id[64];
    struct auth_refusal refusal;
    const struct auth_request request = {
        .authorization = exchange_header(exchange, "authorization"),
        .access_token = exchange_argument(exchange, "access_token"),
        .access_token_counts = stays_open(exchange),
        .wanted_namespace = wanted,
    };

    if (guard_wanted_namespace(exchange, wanted) != 0) {
        monitoring_count_refusal(gateway, METRICS_REFUSED_NAMESPACE);
        return -1;
    }
    if (auth_check(gateway->auth, &request, time(NULL), identity, &refusal) == 0)
        return check_origin(exchange, identity);
    if (admit_address(exchange) != 0)
        return -1;
    monitoring_count_refusal(gateway, refusal.status == 403 ? METRICS_REFUSED_NAMESPACE
                                                            : METRICS_REFUSED_CREDENTIALS);
    LOG_DEBUG("access.refused", log_i64("code", refusal.status), log_text("detail", refusal.detail),
              log_text("address", exchange_address(exchange)));
    if (refusal.challenge != NULL)
        exchange_add_field(exchange, "WWW-Authenticate", refusal.challenge);
    snprintf(id, sizeof id, "gateway.%s", refusal.reason);
    exchange_fail(exchange, refusal.status, id, "%s", refusal.detail);
    return -1;
}

bool access_is_operator(const struct identity *identity)
{
    return !identity->known || (identity->anywhere && identity->user[0] == '\0');
}

/* ---- Leases ---- */

int access_lease_begin(struct access_lease *lease, struct exchange *exchange)
{
    struct gateway *gateway = exchange_gateway(exchange);
    struct access *access = gateway->access;

    lease->identity = *exchange_identity(exchange);
    if (lease->identity.known &&
        !rate_limit_hold(access->tokens, lease->identity.id, uv_now(gateway->loop))) {
        monitoring_count_refusal(gateway, METRICS_REFUSED_CONNECTIONS_TOKEN);
        exchange_add_field(exchange, "Retry-After", "5");
        exchange_fail(exchange, 429, "gateway.TooManyConnections",
                      "this token has as many connections open as it may: %llu",
                      (unsigned long long)gateway->settings->max_connections_per_token);
        return -1;
    }
    lease->gateway = gateway;
    rate_limit_address_key(exchange_address(exchange), lease->address);
    lease->told = false;
    lease->previous = NULL;
    lease->next = access->leases;
    if (lease->next != NULL)
        lease->next->previous = lease;
    access->leases = lease;
    return 0;
}

int access_lease_take(struct access_lease *lease, char *detail, size_t detail_bytes)
{
    struct gateway *gateway = lease->gateway;
    uint64_t now_ms = uv_now(gateway->loop);
    uint64_t wait_ms;
    const char *whose = "address";

    if (rate_limit_take(gateway->access->addresses, lease->address, now_ms, &wait_ms)) {
        if (!lease->identity.known ||
            rate_limit_take(gateway->access->tokens, lease->identity.id, now_ms, &wait_ms))
            return 0;
        whose = "token";
    }
    monitoring_count_refusal(gateway, whose[0] == 't' ? METRICS_REFUSED_RATE_TOKEN
                                                      : METRICS_REFUSED_RATE_ADDRESS);
    snprintf(detail, detail_bytes, RATE_DETAIL, whose, whole_seconds(wait_ms));
    return -1;
}

void access_lease_end(struct access_lease *lease)
{
    struct access *access;

    if (lease->gateway == NULL)
        return;
    access = lease->gateway->access;
    if (lease->previous != NULL)
        lease->previous->next = lease->next;
    else
        access->leases = lease->next;
    if (lease->next != NULL)
        lease->next->previous = lease->previous;
    if (lease->identity.known)
        rate_limit_release(access->tokens, lease->identity.id);
    lease->gateway = NULL;
}

/* Tells one lease at most, which may end others: so it begins anew after each. */
static bool revoke_one(struct gateway *gateway, int64_t now_s)
{
    for (struct access_lease *lease = gateway->access->leases; lease != NULL; lease = lease->next) {
        if (lease->told || auth_is_still_valid(gateway->auth, &lease->identity, now_s))
            continue;
        lease->told = true;
        lease->revoked(lease->data);
        return true;
    }
    return false;
}

static void look_at_leases(uv_timer_t *timer)
{
    struct gateway *gateway = timer->data;
    uint64_t revoked = 0;

    while (revoke_one(gateway, time(NULL)))
        revoked++;
    if (revoked > 0)
        LOG_INFO("access.revoked", log_u64("connections", revoked));
}

/* ---- The part ---- */

static void tell_loaded(const struct gateway *gateway, const char *event)
{
    size_t tokens;
    const char *way = auth_describe(gateway->auth, &tokens);

    LOG_INFO(event, log_text("auth", way), log_u64("tokens", tokens));
}

static struct auth_settings auth_settings(const struct gateway_settings *s)
{
    bool files = (s->auth_tokens != NULL && s->auth_tokens[0] != '\0') ||
                 (s->auth_jwt_key != NULL && s->auth_jwt_key[0] != '\0');

    return (struct auth_settings){
        .none = (s->auth != NULL && s->auth[0] != '\0') || !files,
        .tokens_file = s->auth_tokens,
        .jwt_key_file = s->auth_jwt_key,
        .jwt = {s->auth_jwt_alg, s->auth_jwt_issuer, s->auth_jwt_audience},
    };
}

static int start_auth(struct gateway *gateway)
{
    const struct auth_settings settings = auth_settings(gateway->settings);
    char problem[PROBLEM_BYTES];

    if (settings.none && !gateway->settings->allow_insecure &&
        !gateway_settings_loopback_only(gateway->settings)) {
        LOG_ERROR("access.open_to_everybody",
                  log_text("detail",
                           "who is not asked for a token may do everything, so that without "
                           "--auth-tokens or --auth-jwt-key it listens on loopback only; "
                           "--allow-insecure if that is what you want"));
        return -1;
    }
    if (auth_create(&gateway->auth, &settings, problem, sizeof problem) != 0) {
        LOG_ERROR("access.not_loaded", log_text("detail", problem));
        return -1;
    }
    if (settings.none && !gateway_settings_loopback_only(gateway->settings))
        LOG_WARN("access.open_to_everybody",
                 log_text("detail", "whoever reaches an address it listens on may do everything"));
    return 0;
}

static struct rate_limit *make_limit(uint64_t per_second, uint64_t burst, uint64_t held)
{
    const struct rate_limit_settings settings = {
        .per_second = per_second,
        .burst = burst > 0        ? burst
                 : per_second > 0 ? BURST_SECONDS * per_second
                                  : 1,
        .held = held,
        .keys = RATE_LIMIT_KEYS,
    };
    struct rate_limit *limit = rate_limit_create(&settings);

    if (limit == NULL)
        abort();
    return limit;
}

static int start(struct gateway *gateway)
{
    const struct gateway_settings *s = gateway->settings;
    struct access *access = calloc(1, sizeof *access);

    if (access == NULL)
        abort();
    gateway->access = access;
    access->tokens =
        make_limit(s->rate_per_token, s->burst_per_token, s->max_connections_per_token);
    access->addresses = make_limit(s->rate_per_address, s->burst_per_address, 0);
    uv_timer_init(gateway->loop, &access->look);
    access->look.data = gateway;
    uv_timer_start(&access->look, look_at_leases, LOOK_EVERY_MS, LOOK_EVERY_MS);
    uv_unref((uv_handle_t *)&access->look);
    if (start_auth(gateway) != 0)
        return -1;
    gateway->guard.identify = identify;
    gateway->guard.admit = admit;
    tell_loaded(gateway, "access.loaded");
    return 0;
}

static void reload(struct gateway *gateway)
{
    char problem[PROBLEM_BYTES];

    if (auth_reload(gateway->auth, problem, sizeof problem) != 0) {
        LOG_ERROR("access.not_reloaded", log_text("detail", problem),
                  log_text("in_force", "what was read before"));
        return;
    }
    tell_loaded(gateway, "access.reloaded");
    look_at_leases(&gateway->access->look);
}

static void on_look_closed(uv_handle_t *handle)
{
    struct gateway *gateway = handle->data;

    free(gateway->access);
    gateway->access = NULL;
}

static void stop(struct gateway *gateway)
{
    struct access *access = gateway->access;

    gateway->guard = (struct guard){0};
    rate_limit_free(access->tokens);
    rate_limit_free(access->addresses);
    auth_free(gateway->auth);
    gateway->auth = NULL;
    uv_close((uv_handle_t *)&access->look, on_look_closed);
}

const struct gateway_part access_part = {
    .name = "access", .start = start, .reload = reload, .stop = stop};
