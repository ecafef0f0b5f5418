/*
 * Entries are in an array that is made once. Each is in the chain of its hash and, unless something
 * is held by it, in the list of those that may go, the quietest at its end. Links are places in the
 * array plus 1, so that 0 is none.
 */
#include "clients/gateway/rate_limit.h"

#include "clients/gateway/auth_tokens.h"
#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    uint8_t key[RATE_LIMIT_KEY_BYTES];
    double level; /* requests that may be made now */
    uint64_t seen_ms;
    uint32_t held;
    uint32_t chained;        /* next one in the chain of its hash */
    uint32_t newer, quieter; /* of the list; only while nothing is held */
};

struct rate_limit {
    struct rate_limit_settings settings;
    struct entry *entries;
    uint32_t *chains;
    size_t mask; /* chains, less 1 */
    size_t count;
    uint32_t newest, quietest;
};

struct rate_limit *rate_limit_create(const struct rate_limit_settings *settings)
{
    struct rate_limit *limit = calloc(1, sizeof *limit);

    if (limit == NULL)
        return NULL;
    limit->settings = *settings;
    while (limit->mask < settings->keys)
        limit->mask = 2 * limit->mask + 1;
    limit->entries = calloc(settings->keys, sizeof *limit->entries);
    limit->chains = calloc(limit->mask + 1, sizeof *limit->chains);
    if (limit->entries != NULL && limit->chains != NULL)
        return limit;
    rate_limit_free(limit);
    return NULL;
}

void rate_limit_free(struct rate_limit *limit)
{
    if (limit == NULL)
        return;
    free(limit->entries);
    free(limit->chains);
    free(limit);
}

size_t rate_limit_keys(const struct rate_limit *limit)
{
    return limit->count;
}

/* ---- The list of those that may go ---- */

static struct entry *at(struct rate_limit *limit, uint32_t link)
{
    return &limit->entries[link - 1];
}

static void unlist(struct rate_limit *limit, uint32_t link)
{
    struct entry *entry = at(limit, link);

    if (entry->newer != 0)
        at(limit, entry->newer)->quieter = entry->quieter;
    else
        limit->newest = entry->quieter;
    if (entry->quieter != 0)
        at(limit, entry->quieter)->newer = entry->newer;
    else
        limit->quietest = entry->newer;
}

static void list_as_newest(struct rate_limit *limit, uint32_t link)
{
    struct entry *entry = at(limit, link);

    entry->newer = 0;
    entry->quieter = limit->newest;
    if (limit->newest != 0)
        at(limit, limit->newest)->newer = link;
    else
        limit->quietest = link;
    limit->newest = link;
}

/* ---- Entries ---- */

static uint32_t *chain_of(struct rate_limit *limit, const uint8_t *key)
{
    uint64_t hash;

    memcpy(&hash, key, sizeof hash);
    return &limit->chains[(size_t)hash & limit->mask];
}

static uint32_t find(struct rate_limit *limit, const uint8_t *key)
{
    uint32_t link = *chain_of(limit, key);

    while (link != 0 && memcmp(at(limit, link)->key, key, RATE_LIMIT_KEY_BYTES) != 0)
        link = at(limit, link)->chained;
    return link;
}

static void unchain(struct rate_limit *limit, uint32_t link)
{
    uint32_t *place = chain_of(limit, at(limit, link)->key);

    while (*place != link)
        place = &at(limit, *place)->chained;
    *place = at(limit, link)->chained;
}

/* 0 when all of them hold something. */
static uint32_t free_entry(struct rate_limit *limit)
{
    uint32_t link = limit->quietest;

    if (limit->count < limit->settings.keys)
        return (uint32_t)++limit->count;
    if (link != 0) {
        unlist(limit, link);
        unchain(limit, link);
    }
    return link;
}

/* The key's entry, with what its bucket got back meanwhile; 0 when there is no room. */
static uint32_t enter(struct rate_limit *limit, const uint8_t *key, uint64_t now_ms)
{
    double burst = (double)limit->settings.burst;
    uint32_t link = find(limit, key);
    struct entry *entry;

    if (link == 0) {
        uint32_t *chain = chain_of(limit, key);
        link = free_entry(limit);
        if (link == 0)
            return 0;
        entry = at(limit, link);
        *entry = (struct entry){.level = burst, .seen_ms = now_ms, .chained = *chain};
        memcpy(entry->key, key, RATE_LIMIT_KEY_BYTES);
        *chain = link;
        list_as_newest(limit, link);
        return link;
    }
    entry = at(limit, link);
    if (now_ms > entry->seen_ms) {
        double gained =
            (double)(now_ms - entry->seen_ms) * (double)limit->settings.per_second / 1000;
        entry->level = fmin(burst, entry->level + gained);
        entry->seen_ms = now_ms;
    }
    if (entry->held == 0) {
        unlist(limit, link);
        list_as_newest(limit, link);
    }
    return link;
}

bool rate_limit_take(struct rate_limit *limit, const uint8_t *key, uint64_t now_ms,
                     uint64_t *wait_ms)
{
    uint32_t link;
    struct entry *entry;

    if (limit->settings.per_second == 0)
        return true;
    link = enter(limit, key, now_ms);
    /* No room for yet another one: those that are there hold all that may be held. */
    if (link == 0) {
        *wait_ms = 1000;
        return false;
    }
    entry = at(limit, link);
    if (entry->level >= 1) {
        entry->level -= 1;
        return true;
    }
    *wait_ms = (uint64_t)ceil((1 - entry->level) * 1000 / (double)limit->settings.per_second);
    if (*wait_ms == 0)
        *wait_ms = 1;
    return false;
}

bool rate_limit_hold(struct rate_limit *limit, const uint8_t *key, uint64_t now_ms)
{
    uint32_t link;
    struct entry *entry;

    if (limit->settings.held == 0)
        return true;
    link = enter(limit, key, now_ms);
    if (link == 0 || at(limit, link)->held >= limit->settings.held)
        return false;
    entry = at(limit, link);
    if (entry->held++ == 0)
        unlist(limit, link);
    return true;
}

void rate_limit_release(struct rate_limit *limit, const uint8_t *key)
{
    uint32_t link;

    if (limit->settings.held == 0)
        return;
    link = find(limit, key);
    if (link != 0 && at(limit, link)->held > 0 && --at(limit, link)->held == 0)
        list_as_newest(limit, link);
}

/* ---- Addresses ---- */

void rate_limit_address_key(const char *address, uint8_t key[RATE_LIMIT_KEY_BYTES])
{
    uint8_t id[IDENTITY_ID_BYTES];
    struct in6_addr six;

    if (inet_pton(AF_INET6, address, &six) != 1)
        auth_make_id(address, strlen(address), id);
    else if (IN6_IS_ADDR_V4MAPPED(&six))
        rate_limit_address_key(strrchr(address, ':') + 1, id);
    else
        auth_make_id(six.s6_addr, 8, id);
    memcpy(key, id, RATE_LIMIT_KEY_BYTES);
}
