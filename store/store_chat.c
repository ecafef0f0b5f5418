/*
 * A chat is in memory, or it is loaded: one read of the database for all who ask meanwhile. A chat
 * that is not in memory has nothing in the tail, so what the database says of it is all there is.
 */
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

struct chat_load {
    struct reader_item item; /* first */
    struct store *store;
    struct uuid id;
    struct chat_waiter *waiters; /* newest first */
    int status;
    struct database_chat chat;
    uint8_t *users;
    size_t users_size;
    struct client_filter clients;
};

/* Ids that are asked for are anybody's choice: they are spread with something nobody knows. */
static uint64_t load_hash(const struct store *store, const struct uuid *id)
{
    uint64_t half[2];

    memcpy(half, id->bytes, sizeof half);
    half[0] = (half[0] ^ store->secret) * 0x9e3779b97f4a7c15u;
    half[1] = (half[1] ^ half[0] ^ half[0] >> 29) * (store->secret | 1);
    return half[1] ^ half[1] >> 32;
}

static bool match_load(const void *item, const void *key)
{
    return memcmp(&((const struct chat_load *)item)->id, key, UUID_BYTES) == 0;
}

int store_chat_read(struct database_snapshot *snapshot, const struct uuid *id,
                    struct database_chat *chat, uint8_t **users, size_t *users_size)
{
    int status = database_find_chat(snapshot, id, chat);

    if (status != 0)
        return status == STORE_NOT_FOUND ? STORE_NO_CHAT : status;
    status = database_read_users(snapshot, chat->number, users, users_size);
    /* A chat without its users was never written: its rows come in one transaction. */
    return status == STORE_NOT_FOUND ? STORE_CORRUPT : status;
}

static void add_client(void *data, const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    client_filter_add(data, digest);
}

void store_chat_read_clients(struct database_snapshot *snapshot, uint64_t chat_number,
                             struct client_filter *clients)
{
    client_filter_begin(clients);
    if (database_each_client(snapshot, chat_number, CLIENT_FILTER_MAX, add_client, clients) != 0)
        client_filter_free(clients);
}

/* Any thread. The client ids of a chat that has few are read with it: its first Send, which it may
 * have been loaded for, need not ask for them. */
static void load_run(struct reader_item *item, struct database_snapshot *snapshot, int status)
{
    struct chat_load *load = (struct chat_load *)item;

    load->status = snapshot == NULL ? status
                                    : store_chat_read(snapshot, &load->id, &load->chat,
                                                      &load->users, &load->users_size);
    if (load->status == 0 && load->chat.head_seq > 0 && load->chat.head_seq <= DATABASE_FEW_CLIENTS)
        store_chat_read_clients(snapshot, load->chat.number, &load->clients);
}

/* The chat of a finished load, in memory and pinned; or NULL and load->status. */
static struct chat *load_chat(struct chat_load *load)
{
    struct state *state = &load->store->state;
    struct chat *chat = state_find_chat(state, &load->id);

    if (chat != NULL) {
        state_pin(state, chat);
        return chat;
    }
    if (load->status != 0)
        return NULL;
    chat = state_add_chat(state, &load->chat, load->users, load->users_size);
    if (chat == NULL) {
        load->status = STORE_NO_MEMORY;
        return NULL;
    }
    load->users = NULL;
    state_pin(state, chat);
    state_know_clients(chat, &load->clients);
    return chat;
}

static void load_done(struct reader_item *item)
{
    struct chat_load *load = (struct chat_load *)item;
    struct state *state = &load->store->state;
    struct chat *chat = load_chat(load);
    struct chat_waiter *oldest_first = NULL;

    table_remove(&load->store->loads, load_hash(load->store, &load->id), load);
    while (load->waiters != NULL) {
        struct chat_waiter *waiter = load->waiters;
        load->waiters = waiter->next;
        waiter->next = oldest_first;
        oldest_first = waiter;
    }
    while (oldest_first != NULL) {
        struct chat_waiter *waiter = oldest_first;
        oldest_first = waiter->next;
        if (chat != NULL)
            state_pin(state, chat);
        waiter->ready(waiter, chat, load->status);
    }
    if (chat != NULL)
        state_unpin(state, chat);
    free(load->users);
    client_filter_free(&load->clients);
    free(load);
}

static struct chat_load *load_start(struct store *store, const struct uuid *id)
{
    struct chat_load *load = calloc(1, sizeof *load);

    if (load == NULL)
        return NULL;
    load->item.run = load_run;
    load->item.done = load_done;
    load->store = store;
    load->id = *id;
    if (table_add(&store->loads, load_hash(store, id), load) != 0) {
        free(load);
        return NULL;
    }
    reader_add_urgent(&store->reader, &load->item);
    return load;
}

struct chat *store_chat_get(struct store *store, const struct uuid *id, struct chat_waiter *waiter,
                            int *status)
{
    struct chat *chat = state_find_chat(&store->state, id);
    struct chat_load *load;

    *status = 0;
    if (chat != NULL) {
        state_pin(&store->state, chat);
        return chat;
    }
    load = table_find(&store->loads, load_hash(store, id), match_load, id);
    if (load == NULL)
        load = load_start(store, id);
    if (load == NULL) {
        *status = STORE_NO_MEMORY;
        return NULL;
    }
    waiter->next = load->waiters;
    load->waiters = waiter;
    return NULL;
}

int store_chat_check(const struct chat *chat, const char *namespace_name, const char *acting_user)
{
    if (strcmp(chat->namespace_name, namespace_name) != 0)
        return STORE_NO_CHAT;
    if (acting_user != NULL && !command_users_contain(chat->users, chat->users_size, acting_user))
        return STORE_NOT_A_MEMBER;
    return STORE_OK;
}
