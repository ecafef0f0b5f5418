/*
 * Applying a Send: an earlier message with its client id is looked for in the tail, then in what
 * the database was found to have; if there is one, that is the answer and nothing changes.
 * Otherwise the message is copied behind the others of the tail with the chat's next seq, and
 * indexed. Applying a New goes the same way by the digest of its users. The only failure is memory,
 * and the caller must end the process then: the command is in the journal and memory no longer
 * follows it.
 */
#include "store/state.h"

#include "store/crc32c.h"
#include "store/prefetch.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define RING_CAPACITY_MIN 4 /* of a ring of more than one */
/* What memory takes besides what is asked for, and a place in a table that is half full. */
#define BLOCK_OVERHEAD_BYTES 16
#define PLACE_BYTES (2 * sizeof(struct table_slot))
#define HASH_SPREAD 0x9e3779b97f4a7c15u /* 2^64 divided by the golden ratio */

/* --- hashes and matches of the tables --- */

static uint64_t first_bytes(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint64_t client_hash_of(uint64_t chat_number, const uint8_t *digest)
{
    return first_bytes(digest) ^ (chat_number * HASH_SPREAD);
}

static uint64_t client_hash(const struct chat *chat, const uint8_t *digest)
{
    return client_hash_of(chat->number, digest);
}

static uint64_t users_hash(const char *namespace_name, size_t size, const uint8_t *digest)
{
    return first_bytes(digest) ^ (crc32c(0, namespace_name, size) * HASH_SPREAD);
}

static uint64_t namespace_hash(const char *name, size_t size)
{
    uint64_t hash = crc32c(0, name, size) * HASH_SPREAD;
    return hash ^ hash >> 32;
}

static bool match_chat(const void *item, const void *key)
{
    return memcmp(&((const struct chat *)item)->id, key, UUID_BYTES) == 0;
}

struct client_key {
    const struct chat *chat;
    const uint8_t *digest;
};

static bool match_client(const void *item, const void *key)
{
    const struct message *message = item;
    const struct client_key *wanted = key;
    return message->chat == wanted->chat &&
           memcmp(message->client_digest, wanted->digest, DATABASE_DIGEST_BYTES) == 0;
}

struct users_key {
    struct command_text namespace_name;
    const uint8_t *digest;
};

static bool text_is(const char *string, const struct command_text *text)
{
    return strncmp(string, text->data, text->size) == 0 && string[text->size] == '\0';
}

static bool match_users(const void *item, const void *key)
{
    const struct chat *chat = item;
    const struct users_key *wanted = key;
    return memcmp(chat->fresh->users_digest, wanted->digest, DATABASE_USERS_DIGEST_BYTES) == 0 &&
           text_is(chat->namespace_name, &wanted->namespace_name);
}

/* A namespace's name is there once for all of its chats in memory, and goes with the last one. */
struct name {
    size_t chats;
    char text[];
};

static bool match_namespace(const void *item, const void *key)
{
    return text_is(((const struct name *)item)->text, key);
}

/* --- life --- */

int state_init(struct state *state, const struct database_meta *meta, size_t idle_bytes_max)
{
    *state = (struct state){
        .chat_number_last = meta->chat_number_last,
        .applied_lsn = meta->settled_lsn,
        .idle_bytes_max = idle_bytes_max,
    };
    return digester_init(&state->digester);
}

static void ring_free(struct chat *chat)
{
    if (chat->tail != &chat->tail_one)
        free(chat->tail);
    chat->tail = NULL;
    chat->tail_capacity = 0;
}

static void chat_free(struct chat *chat)
{
    client_filter_free(&chat->settled_clients);
    ring_free(chat);
    free(chat->fresh);
    free(chat->users);
    free(chat);
}

void state_free(struct state *state)
{
    for (size_t i = 0; i < state->chats.capacity; i++) {
        if (state->chats.slots[i].item != NULL)
            chat_free(state->chats.slots[i].item);
    }
    for (size_t i = 0; i < state->namespaces.capacity; i++)
        free(state->namespaces.slots[i].item);
    table_free(&state->chats);
    table_free(&state->clients);
    table_free(&state->users);
    table_free(&state->namespaces);
    tail_free(&state->tail);
    digester_free(&state->digester);
}

/* --- the chats in memory --- */

static uint32_t tail_count(const struct chat *chat)
{
    return (uint32_t)(chat->head_seq - chat->settled_seq);
}

static size_t chat_footprint(const struct chat *chat)
{
    size_t filter_bytes = client_filter_bytes(&chat->settled_clients);

    return sizeof *chat + chat->users_size + (size_t)2 * BLOCK_OVERHEAD_BYTES + PLACE_BYTES +
           (filter_bytes > 0 ? filter_bytes + BLOCK_OVERHEAD_BYTES : 0);
}

static void idle_remove(struct state *state, struct chat *chat)
{
    if (chat->idle_older != NULL)
        chat->idle_older->idle_newer = chat->idle_newer;
    else
        state->idle_oldest = chat->idle_newer;
    if (chat->idle_newer != NULL)
        chat->idle_newer->idle_older = chat->idle_older;
    else
        state->idle_newest = chat->idle_older;
    chat->idle_newer = NULL;
    chat->idle_older = NULL;
    chat->idle = false;
    state->idle_bytes -= chat_footprint(chat);
}

static void idle_add(struct state *state, struct chat *chat)
{
    chat->idle_older = state->idle_newest;
    if (state->idle_newest != NULL)
        state->idle_newest->idle_newer = chat;
    else
        state->idle_oldest = chat;
    state->idle_newest = chat;
    chat->idle = true;
    state->idle_bytes += chat_footprint(chat);
}

static void namespace_release(struct state *state, const char *text)
{
    struct name *name = (struct name *)(uintptr_t)(text - offsetof(struct name, text));

    if (--name->chats > 0)
        return;
    table_remove(&state->namespaces, namespace_hash(text, strlen(text)), name);
    free(name);
}

static void drop_oldest(struct state *state)
{
    struct chat *chat = state->idle_oldest;

    idle_remove(state, chat);
    table_remove(&state->chats, first_bytes(chat->id.bytes), chat);
    namespace_release(state, chat->namespace_name);
    chat_free(chat);
}

/* A chat that nobody holds and that the database knows as well may be dropped, the longest unused
 * first; the newest one stays, whatever the limit, since it was wanted just now. */
static void idle_check(struct state *state, struct chat *chat)
{
    if (chat->pins > 0 || chat->fresh != NULL || tail_count(chat) > 0 || chat->idle)
        return;
    ring_free(chat);
    idle_add(state, chat);
    while (state->idle_bytes > state->idle_bytes_max && state->idle_oldest != chat)
        drop_oldest(state);
}

void state_pin(struct state *state, struct chat *chat)
{
    if (chat->idle)
        idle_remove(state, chat);
    chat->pins++;
}

void state_unpin(struct state *state, struct chat *chat)
{
    chat->pins--;
    idle_check(state, chat);
}

/* The one copy of a namespace's name, for one more chat; NULL when out of memory. */
static const char *namespace_intern(struct state *state, const char *text, size_t size)
{
    struct command_text key = {text, size};
    uint64_t hash = namespace_hash(text, size);
    struct name *name = table_find(&state->namespaces, hash, match_namespace, &key);

    if (name == NULL) {
        name = calloc(1, sizeof *name + size + 1);
        if (name == NULL)
            return NULL;
        memcpy(name->text, text, size);
        if (table_add(&state->namespaces, hash, name) != 0) {
            free(name);
            return NULL;
        }
    }
    name->chats++;
    return name->text;
}

static struct chat *chat_make(struct state *state, const struct uuid *id, const char *name,
                              size_t name_size)
{
    struct chat *chat = calloc(1, sizeof *chat);

    if (chat == NULL)
        return NULL;
    chat->id = *id;
    chat->namespace_name = namespace_intern(state, name, name_size);
    if (chat->namespace_name == NULL)
        goto err_after_chat;
    if (table_add(&state->chats, first_bytes(id->bytes), chat) != 0)
        goto err_after_name;
    return chat;

err_after_name:
    namespace_release(state, chat->namespace_name);
err_after_chat:
    free(chat);
    return NULL;
}

struct chat *state_add_chat(struct state *state, const struct database_chat *loaded, uint8_t *users,
                            size_t users_size)
{
    struct chat *chat =
        chat_make(state, &loaded->id, loaded->namespace_name, loaded->namespace_size);

    if (chat == NULL)
        return NULL;
    chat->number = loaded->number;
    chat->head_seq = loaded->head_seq;
    chat->settled_seq = loaded->head_seq;
    chat->users = users;
    chat->users_size = users_size;
    if (loaded->head_seq == 0)
        client_filter_begin(&chat->settled_clients);
    idle_check(state, chat);
    return chat;
}

/* --- looking things up --- */

struct chat *state_find_chat(const struct state *state, const struct uuid *id)
{
    return table_find(&state->chats, first_bytes(id->bytes), match_chat, id);
}

struct message *state_find_client(const struct state *state, const struct chat *chat,
                                  const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    struct client_key key = {chat, digest};
    return table_find(&state->clients, client_hash(chat, digest), match_client, &key);
}

bool state_client_may_be_settled(const struct chat *chat,
                                 const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    return chat->settled_seq > 0 && client_filter_may_hold(&chat->settled_clients, digest);
}

bool state_ask_clients(struct chat *chat)
{
    if (chat->settled_clients.complete || chat->settled_seq > STATE_CLIENTS_ASKED_MAX ||
        chat->client_lookups >= 2)
        return false;
    chat->client_lookups++;
    return chat->client_lookups == 2;
}

void state_know_clients(struct chat *chat, struct client_filter *clients)
{
    if (!clients->complete || chat->settled_clients.complete)
        return;
    client_filter_free(&chat->settled_clients);
    chat->settled_clients = *clients;
    *clients = (struct client_filter){0};
}

struct chat *state_find_users(const struct state *state, const char *namespace_name,
                              size_t namespace_size,
                              const uint8_t digest[DATABASE_USERS_DIGEST_BYTES])
{
    struct users_key key = {{namespace_name, namespace_size}, digest};
    return table_find(&state->users, users_hash(namespace_name, namespace_size, digest),
                      match_users, &key);
}

uint64_t state_tail_seq(const struct chat *chat)
{
    return chat->settled_seq + 1;
}

const struct message *state_message(const struct chat *chat, uint64_t seq)
{
    return chat->tail[seq & (chat->tail_capacity - 1)];
}

/* --- hints --- */

void state_expect_chat(const struct state *state, const struct uuid *id)
{
    table_expect(&state->chats, first_bytes(id->bytes));
}

void state_expect_found_chat(const struct state *state, const struct uuid *id)
{
    const struct chat *chat = table_guess(&state->chats, first_bytes(id->bytes));

    if (chat != NULL)
        prefetch(chat, sizeof *chat);
}

void state_expect_client(const struct state *state, const struct chat *chat,
                         const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    table_expect(&state->clients, client_hash(chat, digest));
    client_filter_expect(&chat->settled_clients, digest);
}

void state_expect_number(const struct state *state, uint64_t chat_number,
                         const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    table_expect(&state->clients, client_hash_of(chat_number, digest));
}

void state_expect_apply(const struct state *state, const struct chat *chat,
                        const uint8_t digest[DATABASE_DIGEST_BYTES])
{
    table_expect(&state->clients, client_hash(chat, digest));
    if (chat->tail != NULL)
        __builtin_prefetch(&chat->tail[(chat->head_seq + 1) & (chat->tail_capacity - 1)]);
}

/* --- applying --- */

static size_t fresh_footprint(const struct chat *chat)
{
    return chat_footprint(chat) + sizeof *chat->fresh + BLOCK_OVERHEAD_BYTES + PLACE_BYTES;
}

static void fresh_link(struct state *state, struct chat *chat)
{
    if (state->fresh_last != NULL)
        state->fresh_last->fresh->next = chat;
    else
        state->fresh_first = chat;
    state->fresh_last = chat;
    if (state->fresh_unsettled == NULL)
        state->fresh_unsettled = chat;
    state->unsettled_fresh_bytes += fresh_footprint(chat);
}

static struct chat *chat_create(struct state *state, const struct command_new *command,
                                const uint8_t digest[DATABASE_USERS_DIGEST_BYTES])
{
    struct fresh *fresh = calloc(1, sizeof *fresh);
    uint8_t *users = malloc(command->users_size);
    struct chat *chat = NULL;

    if (users != NULL && fresh != NULL)
        chat =
            chat_make(state, &command->chat_id, command->namespace_name, command->namespace_size);
    if (chat == NULL) {
        free(users);
        free(fresh);
        return NULL;
    }
    memcpy(users, command->users, command->users_size);
    chat->users = users;
    chat->users_size = command->users_size;
    client_filter_begin(&chat->settled_clients);
    fresh->created_ns = command->created_ns;
    memcpy(fresh->users_digest, digest, DATABASE_USERS_DIGEST_BYTES);
    chat->fresh = fresh;
    return chat;
}

int state_apply_new(struct state *state, const struct command_new *command,
                    const uint8_t digest[DATABASE_USERS_DIGEST_BYTES],
                    const struct state_found *found, struct state_new_result *result)
{
    struct chat *chat =
        state_find_users(state, command->namespace_name, command->namespace_size, digest);
    uint64_t hash = users_hash(command->namespace_name, command->namespace_size, digest);

    result->created = false;
    if (chat != NULL) {
        result->chat_id = chat->id;
    } else if (found != NULL && found->found) {
        result->chat_id = found->chat_id;
    } else {
        chat = chat_create(state, command, digest);
        if (chat == NULL || table_add(&state->users, hash, chat) != 0)
            return STORE_NO_MEMORY;
        chat->number = ++state->chat_number_last;
        fresh_link(state, chat);
        result->chat_id = chat->id;
        result->created = true;
    }
    state->applied_lsn++;
    return 0;
}

/* Makes room in the chat's ring for one more message. */
static int ring_reserve(struct chat *chat)
{
    uint32_t capacity = chat->tail_capacity;
    struct message **ring;

    if (tail_count(chat) < capacity)
        return 0;
    if (capacity == 0) {
        chat->tail = &chat->tail_one;
        chat->tail_capacity = 1;
        return 0;
    }
    capacity = capacity == 1 ? RING_CAPACITY_MIN : capacity * 2;
    ring = malloc(capacity * sizeof *ring);
    if (ring == NULL)
        return STORE_NO_MEMORY;
    for (uint64_t seq = chat->settled_seq + 1; seq <= chat->head_seq; seq++)
        ring[seq & (capacity - 1)] = chat->tail[seq & (chat->tail_capacity - 1)];
    ring_free(chat);
    chat->tail = ring;
    chat->tail_capacity = capacity;
    return 0;
}

static struct message *message_append(struct state *state, struct chat *chat,
                                      const uint8_t digest[DATABASE_DIGEST_BYTES],
                                      const uint8_t *payload, size_t size)
{
    uint8_t seq_field[COMMAND_SEQ_BYTES_MAX];
    size_t seq_size = command_seq_write(chat->head_seq + 1, seq_field);
    size_t bytes_before = state->tail.bytes;
    size_t chat_bytes = tail_count(chat) == 0 ? chat_footprint(chat) : 0;
    struct message *message;

    if (ring_reserve(chat) != 0)
        return NULL;
    message = tail_append(&state->tail, (uint32_t)(size + seq_size));
    if (message == NULL)
        return NULL;
    message->chat = chat;
    message->seq = chat->head_seq + 1;
    memcpy(message->client_digest, digest, DATABASE_DIGEST_BYTES);
    memcpy(message->bytes, payload, size);
    memcpy(message->bytes + size, seq_field, seq_size);
    if (table_add(&state->clients, client_hash(chat, digest), message) != 0)
        return NULL;
    chat->head_seq++;
    chat->tail[message->seq & (chat->tail_capacity - 1)] = message;
    if (state->unsettled == NULL)
        state->unsettled = message;
    state->unsettled_count++;
    state->unsettled_bytes += state->tail.bytes - bytes_before + PLACE_BYTES + chat_bytes;
    return message;
}

static bool same_text(const struct command_text *a, const struct command_text *b)
{
    return a->size == b->size && (a->size == 0 || memcmp(a->data, b->data, a->size) == 0);
}

void state_compare(const struct command_text *subject, const struct command_text *text,
                   const uint8_t *original, size_t original_size, uint64_t seq,
                   struct state_send_result *result)
{
    struct command_message stored;

    *result = (struct state_send_result){.seq = seq};
    if (original == NULL || !command_message_read(original, original_size, &stored)) {
        result->status = STORE_CORRUPT;
    } else if (!same_text(subject, &stored.subject) || !same_text(text, &stored.text)) {
        result->status = STORE_CLIENT_ID_REUSED;
    } else {
        result->message = original;
        result->message_size = original_size;
        result->duplicate = true;
    }
}

/* As above, for a command from the journal, whose content lies in its payload. */
static void compare_payload(const uint8_t *payload, size_t size, const uint8_t *original,
                            size_t original_size, uint64_t seq, struct state_send_result *result)
{
    struct command_message wanted;

    *result = (struct state_send_result){.status = STORE_CORRUPT, .seq = seq};
    if (command_message_read(payload, size, &wanted))
        state_compare(&wanted.subject, &wanted.text, original, original_size, seq, result);
}

int state_apply_send(struct state *state, struct chat *chat,
                     const uint8_t digest[DATABASE_DIGEST_BYTES], const uint8_t *payload,
                     size_t size, const struct state_found *found, struct state_send_result *result)
{
    struct message *message = state_find_client(state, chat, digest);

    if (message != NULL) {
        compare_payload(payload, size, message->bytes, message->size, message->seq, result);
    } else if (found != NULL && found->found) {
        compare_payload(payload, size, found->message, found->message_size, found->seq, result);
    } else {
        message = message_append(state, chat, digest, payload, size);
        if (message == NULL)
            return STORE_NO_MEMORY;
        *result = (struct state_send_result){
            .message = message->bytes, .message_size = message->size, .seq = message->seq};
    }
    state->applied_lsn++;
    return 0;
}

void state_apply_nothing(struct state *state)
{
    state->applied_lsn++;
}

/* --- epochs and settling --- */

unsigned state_enter(struct state *state)
{
    state->epoch_requests[state->epoch]++;
    return state->epoch;
}

void state_leave(struct state *state, unsigned epoch)
{
    state->epoch_requests[epoch]--;
}

size_t state_unsettled_bytes(const struct state *state)
{
    return state->unsettled_bytes + state->unsettled_fresh_bytes;
}

void state_settle_begin(struct state *state, struct state_range *range)
{
    *range = (struct state_range){
        .settled_lsn = state->applied_lsn,
        .first = state->unsettled,
        .message_count = state->unsettled_count,
        .message_bytes = state->unsettled_bytes,
        .fresh_first = state->fresh_unsettled,
    };
    if (range->first != NULL)
        range->last = state->tail.last;
    if (range->fresh_first != NULL) {
        range->fresh_last = state->fresh_last;
        range->chat_count = range->fresh_last->number - range->fresh_first->number + 1;
        range->fresh_bytes = state->unsettled_fresh_bytes;
    }
}

/* Requests from now on see in the database what was settled; those of the epoch that ends here may
 * not, and have to be through first. */
static void evict_begin(struct state *state, struct message *last, struct chat *fresh_last)
{
    state->evict_last = last;
    state->evict_fresh_last = fresh_last;
    state->evicting = true;
    state->epoch ^= 1;
}

void state_settle_done(struct state *state, const struct state_range *range)
{
    if (range->last != NULL) {
        state->unsettled = range->last->next;
        state->unsettled_count -= range->message_count;
        state->unsettled_bytes -= range->message_bytes;
    }
    if (range->fresh_last != NULL) {
        state->fresh_unsettled = range->fresh_last->fresh->next;
        state->unsettled_fresh_bytes -= range->fresh_bytes;
    }
    if (range->last == NULL && range->fresh_last == NULL)
        return;
    if (!state->evicting) {
        evict_begin(state, range->last, range->fresh_last);
        return;
    }
    /* Behind what is being evicted, with what other jobs have put there: the epoch that begins when
     * their turn comes is behind all of their commits. */
    state->evict_next = true;
    if (range->last != NULL)
        state->evict_next_last = range->last;
    if (range->fresh_last != NULL)
        state->evict_next_fresh_last = range->fresh_last;
}

/* Messages follow each other at random chats. The next one's are fetched while this one goes. */
static void expect_eviction(const struct state *state, const struct message *message)
{
    const struct message *next = message->next;

    if (next == NULL)
        return;
    table_expect(&state->clients, client_hash(next->chat, next->client_digest));
    client_filter_expect(&next->chat->settled_clients, next->client_digest);
    next = next->next;
    if (next == NULL)
        return;
    prefetch(next->chat, sizeof *next->chat);
    if (next->next != NULL)
        __builtin_prefetch(next->next);
}

static void evict_message(struct state *state)
{
    struct message *message = state->tail.first;
    struct chat *chat = message->chat;

    if (message == state->evict_last)
        state->evict_last = NULL;
    table_remove(&state->clients, client_hash(chat, message->client_digest), message);
    chat->settled_seq = message->seq;
    client_filter_add(&chat->settled_clients, message->client_digest);
    tail_remove_first(&state->tail);
    idle_check(state, chat);
}

static void evict_fresh(struct state *state)
{
    struct chat *chat = state->fresh_first;

    if (chat == state->evict_fresh_last)
        state->evict_fresh_last = NULL;
    state->fresh_first = chat->fresh->next;
    if (state->fresh_first == NULL)
        state->fresh_last = NULL;
    table_remove(
        &state->users,
        users_hash(chat->namespace_name, strlen(chat->namespace_name), chat->fresh->users_digest),
        chat);
    free(chat->fresh);
    chat->fresh = NULL;
    idle_check(state, chat);
}

bool state_evict(struct state *state, size_t limit)
{
    if (!state->evicting || state->epoch_requests[state->epoch ^ 1] > 0)
        return false;
    for (; limit > 0 && state->evict_last != NULL; limit--) {
        expect_eviction(state, state->tail.first);
        evict_message(state);
    }
    for (; limit > 0 && state->evict_fresh_last != NULL; limit--)
        evict_fresh(state);
    if (state->evict_last != NULL || state->evict_fresh_last != NULL)
        return true;
    state->evicting = false;
    if (!state->evict_next)
        return false;
    evict_begin(state, state->evict_next_last, state->evict_next_fresh_last);
    state->evict_next = false;
    state->evict_next_last = NULL;
    state->evict_next_fresh_last = NULL;
    return true;
}

bool state_evicting(const struct state *state)
{
    return state->evicting;
}
