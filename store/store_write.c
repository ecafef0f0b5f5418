/*
 * The way of a command, on the loop's thread unless said otherwise:
 *
 *   Send ─▶ chat (memory, or loaded) ─▶ batch ─┬─▶ journal thread: write, sync ─┬─▶ apply ─▶ done
 *   New ──▶ users (database) ──────────────────┘   client id looked up (pool) ──┘
 *
 * A batch fills while the one before it is being synced, and goes when that one is back: group
 * commit. Whether the database knows a Send's client id is found out meanwhile, if it may (see
 * client_filter.h): the journal may hold a retry, and applying it then changes nothing. The second
 * time that a chat from the database is asked about, all of its client ids are read, so that the
 * Sends behind need no look-up. Batches are applied in their order, each when it is durable and its
 * lookups are done.
 *
 * A New is looked up before it goes into a batch: most ask for a chat that exists. From there on
 * to its being applied it counts in an epoch, as a Send does from its entry into the batch, so that
 * nothing leaves the tail which its snapshot may not show (see state.h).
 *
 * What can go wrong: no room (STORE_FULL: nothing was written, and nothing is applied); a failed
 * write or sync, or no memory to apply what is durable (the process ends); a damaged row where the
 * client id should be (STORE_CORRUPT: the command changes nothing, now and when it is replayed).
 */
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* When the loop may append by itself: a batch of at most so many bytes, and a disk that usually
 * takes no longer than this. */
#define HERE_BYTES_MAX ((size_t)32 * 1024)
#define HERE_SYNC_US_MAX 250

/* A batch may have tens of thousands of commands. In one turn of the loop no more than so many are
 * applied and answered, a few hundred microseconds' work: pages that are asked for meanwhile do not
 * wait for all of them. */
#define APPLIED_PER_TURN 64

static uint64_t now_ns(const struct store *store)
{
    struct timespec now;

    if (store->options.now_ns != NULL)
        return store->options.now_ns();
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* --- commands --- */

static struct store_command *command_take(struct store *store, enum command_kind kind)
{
    struct store_command *command = store->command_unused;

    if (command != NULL)
        store->command_unused = command->next;
    else
        command = malloc(sizeof *command);
    if (command == NULL)
        return NULL;
    command->store = store;
    command->next = NULL;
    command->kind = kind;
    command->batch = NULL;
    command->payload_offset = 0;
    command->payload_size = 0;
    command->charged_bytes = 0;
    command->held = NULL;
    command->acting_user = NULL;
    command->chat = NULL;
    command->lookup_status = STORE_NOT_FOUND;
    command->found = (struct state_found){0};
    command->original = (struct message_page){0};
    command->clients_asked = false;
    command->clients = (struct client_filter){0};
    return command;
}

/* Counts the command's bytes against the limit, once, until it is given back. */
static void command_charge(struct store_command *command, size_t bytes)
{
    if (command->charged_bytes > 0)
        return;
    command->charged_bytes = bytes;
    command->store->request_bytes += bytes;
}

static void command_give(struct store_command *command)
{
    struct store *store = command->store;

    if (command->chat != NULL)
        state_unpin(&store->state, command->chat);
    store->request_bytes -= command->charged_bytes;
    free(command->held);
    free(command->acting_user);
    message_page_free(&command->original);
    client_filter_free(&command->clients);
    command->next = store->command_unused;
    store->command_unused = command;
    store_command_end(store);
}

static void finish_send(struct store_command *command, const struct state_send_result *result)
{
    struct store_send *request = command->request.send;

    request->status = result->status;
    request->message = result->message;
    request->message_size = result->message_size;
    request->seq = result->seq;
    request->duplicate = result->duplicate;
    request->command = NULL;
    request->done(request);
    command_give(command);
}

static void finish_new(struct store_command *command, int status,
                       const struct state_new_result *result)
{
    struct store_new *request = command->request.new_chat;

    request->status = status;
    request->chat_id = result->chat_id;
    request->created = result->created;
    request->command = NULL;
    request->done(request);
    command_give(command);
}

/* Ends a command that changed nothing. */
static void finish_refused(struct store_command *command, int status)
{
    if (command->kind == COMMAND_SEND)
        finish_send(command, &(struct state_send_result){.status = status});
    else
        finish_new(command, status, &(struct state_new_result){.created = false});
}

/* --- batches --- */

static struct batch *batch_open(struct store *store)
{
    struct batch *batch = store->batch_unused;

    if (batch != NULL) {
        store->batch_unused = batch->next;
    } else {
        batch = calloc(1, sizeof *batch);
        if (batch == NULL)
            return NULL;
        batch->store = store;
    }
    batch->next = NULL;
    if (store->batch_last != NULL)
        store->batch_last->next = batch;
    else
        store->batch_first = batch;
    store->batch_last = batch;
    return batch;
}

static void batch_recycle(struct store *store, struct batch *batch)
{
    journal_batch_reset(&batch->journal);
    batch->first = NULL;
    batch->last = NULL;
    batch->lookups = 0;
    batch->sent = false;
    batch->written = false;
    batch->counted = false;
    batch->status = 0;
    batch->next = store->batch_unused;
    store->batch_unused = batch;
}

static bool batch_fits(const struct store *store, const struct batch *batch, size_t record_bytes)
{
    return batch != NULL && !batch->sent &&
           (batch->journal.count == 0 ||
            batch->journal.size + record_bytes <= store->batch_bytes_max);
}

/* Puts the command into the last batch and returns where its payload goes; NULL: out of memory. */
static uint8_t *batch_add(struct store_command *command, size_t size)
{
    struct store *store = command->store;
    struct batch *batch = store->batch_last;
    uint8_t *payload;

    if (!batch_fits(store, batch, journal_record_bytes((uint32_t)size)))
        batch = batch_open(store);
    if (batch == NULL)
        return NULL;
    payload = journal_batch_add(&batch->journal, (uint8_t)command->kind, (uint32_t)size);
    if (payload == NULL)
        return NULL;
    command->batch = batch;
    command->payload_offset = (size_t)(payload - batch->journal.bytes);
    command->payload_size = (uint32_t)size;
    if (batch->last != NULL)
        batch->last->next = command;
    else
        batch->first = command;
    batch->last = command;
    command_charge(command, size);
    return payload;
}

/* --- applying --- */

/* Whether the command can be decided. Anything but "there", "not there" and "damaged" is a fault
 * of this process and not of the data: recovery would decide otherwise, so it must not go on. */
static bool lookup_decides(const struct store_command *command)
{
    struct store_failure failure;

    if (command->lookup_status == STORE_OK || command->lookup_status == STORE_NOT_FOUND)
        return true;
    if (command->lookup_status == STORE_CORRUPT)
        return false;
    store_fail(&failure, command->lookup_status,
               "the database could not be asked for a client id: %s",
               store_status_text(command->lookup_status));
    store_die("store.lookup_failed", &failure);
}

static void apply_failed(int status)
{
    struct store_failure failure;

    if (status == 0)
        return;
    store_fail(&failure, status, "a durable command could not be applied: %s",
               store_status_text(status));
    store_die("store.apply_failed", &failure);
}

static void apply_send(struct store_command *command, const uint8_t *payload)
{
    struct store *store = command->store;
    struct state_send_result result;

    apply_failed(state_apply_send(&store->state, command->chat, command->digest, payload,
                                  command->payload_size, &command->found, &result));
    state_leave(&store->state, command->epoch);
    finish_send(command, &result);
}

static void apply_new(struct store_command *command, const uint8_t *payload)
{
    struct store *store = command->store;
    struct command_new parts;
    struct state_new_result result;

    if (!command_new_read(payload, command->payload_size, &parts))
        apply_failed(STORE_CORRUPT);
    apply_failed(state_apply_new(&store->state, &parts, command->digest, NULL, &result));
    state_leave(&store->state, command->epoch);
    finish_new(command, STORE_OK, &result);
}

static void apply_command(struct store_command *command, const struct batch *batch)
{
    struct store *store = command->store;
    const uint8_t *payload = batch->journal.bytes + command->payload_offset;

    if (batch->status != 0) {
        state_leave(&store->state, command->epoch);
        finish_refused(command, batch->status);
    } else if (!lookup_decides(command)) {
        /* Recovery could not tell that this one was refused: it is to leave the journal soon. */
        store->settle_wanted = true;
        state_apply_nothing(&store->state);
        state_leave(&store->state, command->epoch);
        finish_refused(command, STORE_CORRUPT);
    } else if (command->kind == COMMAND_SEND) {
        apply_send(command, payload);
    } else {
        apply_new(command, payload);
    }
}

/* Of the next command and the one behind it, whose chat tells where more is to be found. */
static void expect_apply(const struct store *store, const struct store_command *next)
{
    if (next->kind == COMMAND_SEND)
        state_expect_apply(&store->state, next->chat, next->digest);
    if (next->next != NULL) {
        __builtin_prefetch(next->next->chat);
        __builtin_prefetch(next->next->request.send);
        if (next->next->next != NULL)
            __builtin_prefetch(next->next->next);
    }
}

static void count_once(struct store *store, struct batch *batch)
{
    if (batch->counted)
        return;
    batch->counted = true;
    if (batch->status == 0)
        store_settle_note(store, batch->journal.size);
    else if (batch->status == STORE_FULL)
        store->statistics.refused_full += batch->journal.count;
}

/* As much of it as this turn of the loop may do. */
static void apply_batch(struct store *store, struct batch *batch)
{
    count_once(store, batch);
    while (batch->first != NULL && store->applied < APPLIED_PER_TURN) {
        struct store_command *command = batch->first;
        batch->first = command->next;
        if (batch->first != NULL)
            expect_apply(store, batch->first);
        store->applied++;
        apply_command(command, batch);
    }
}

static bool is_ready(const struct batch *batch)
{
    return batch != NULL && batch->written && batch->lookups == 0;
}

/* Batches are applied from the front: a callback that sends again only touches the back. */
static void apply_ready(struct store *store)
{
    struct batch *batch;

    while (is_ready(batch = store->batch_first)) {
        apply_batch(store, batch);
        if (batch->first != NULL)
            return; /* the next turn goes on */
        store->batch_first = batch->next;
        if (store->batch_first == NULL)
            store->batch_last = NULL;
        batch_recycle(store, batch);
    }
}

/* --- to the journal and back --- */

static void batch_run(struct worker_job *job)
{
    struct batch *batch = (struct batch *)job;
    uint64_t started = uv_hrtime();

    batch->status = journal_append(batch->store->journal, &batch->journal, &batch->failure);
    batch->took_us = (uv_hrtime() - started) / 1000;
}

/*
 * Whether the batch may go to the disk from here, without the journal's thread: waking that and
 * being woken by it takes as long as a fast disk takes to sync. Only when nobody else could be
 * served meanwhile, and only while the disk has been fast for a while: a History that comes in just
 * then waits for no longer than one sync.
 */
static bool may_append_here(const struct store *store, const struct batch *batch)
{
    return store->usual_sync_us_16 / 16 <= HERE_SYNC_US_MAX && store->batch_first == batch &&
           batch->next == NULL && batch->lookups == 0 && store->requests == batch->journal.count &&
           batch->journal.size <= HERE_BYTES_MAX;
}

/* A moving average over some sixteen batches: a single slow one keeps the loop away from the disk
 * for a few batches, a slow disk for ever. */
static void note_sync(struct store *store, uint64_t took_us)
{
    uint64_t counted_us = took_us < STORE_SYNC_US_COUNTED ? took_us : STORE_SYNC_US_COUNTED;

    store->usual_sync_us_16 += counted_us - store->usual_sync_us_16 / 16;
}

static struct batch *batch_to_send(struct store *store)
{
    struct batch *batch = store->batch_first;

    while (batch != NULL && batch->sent)
        batch = batch->next;
    return batch != NULL && batch->journal.count > 0 ? batch : NULL;
}

static void batch_done(struct worker_job *job);

static void send_next(struct store *store)
{
    struct batch *batch = store->appending ? NULL : batch_to_send(store);

    if (batch == NULL || !store_settle_room(store, batch->journal.size))
        return;
    batch->sent = true;
    if (may_append_here(store, batch)) {
        batch_run(&batch->job);
        batch_done(&batch->job);
        return;
    }
    store->appending = true;
    worker_submit(&store->journal_worker, &batch->job);
}

static void count_batch(struct store_statistics *statistics, size_t commands, uint64_t took_us)
{
    unsigned size_class = 0;

    while (size_class < STORE_BATCH_CLASSES - 1 && ((size_t)1 << size_class) < commands)
        size_class++;
    statistics->batch_sizes[size_class]++;
    if (took_us > statistics->sync_us_max)
        statistics->sync_us_max = took_us;
}

static void batch_done(struct worker_job *job)
{
    struct batch *batch = (struct batch *)job;
    struct store *store = batch->store;

    if (batch->status != 0 && batch->status != STORE_FULL)
        store_die("journal.append_failed", &batch->failure);
    batch->written = true;
    store->appending = false;
    note_sync(store, batch->took_us);
    if (batch->status == 0) {
        store->statistics.batches++;
        store->statistics.commands += batch->journal.count;
        store->statistics.sync_us_total += batch->took_us;
        count_batch(&store->statistics, batch->journal.count, batch->took_us);
        store->statistics.last_lsn += batch->journal.count;
    }
    /* The disk first: the next batch is written while this one is applied. */
    send_next(store);
    apply_ready(store);
}

bool store_write_turn(struct store *store)
{
    store->applied = 0;
    apply_ready(store);
    send_next(store);
    return is_ready(store->batch_first);
}

void store_write_refuse(struct store *store, int status)
{
    for (struct batch *batch = store->batch_first; batch != NULL; batch = batch->next) {
        if (batch->sent)
            continue;
        batch->sent = true;
        batch->written = true;
        batch->status = status;
    }
    apply_ready(store);
}

bool store_write_idle(const struct store *store)
{
    return store->batch_first == NULL;
}

void store_write_free(struct store *store)
{
    while (store->batch_unused != NULL) {
        struct batch *batch = store->batch_unused;
        store->batch_unused = batch->next;
        journal_batch_free(&batch->journal);
        free(batch);
    }
    while (store->command_unused != NULL) {
        struct store_command *command = store->command_unused;
        store->command_unused = command->next;
        free(command);
    }
}

/* The command joins the last batch: its payload is written by the caller. NULL: it was refused. */
static uint8_t *command_enqueue(struct store_command *command, size_t size)
{
    uint8_t *payload = batch_add(command, size);

    if (payload == NULL)
        return NULL;
    command->batch->job.run = batch_run;
    command->batch->job.done = batch_done;
    return payload;
}

/* --- Send --- */

/* Any thread. */
static int look_up_client(struct store_command *command, struct database_snapshot *snapshot,
                          uint64_t *seq)
{
    if (command->clients_asked)
        store_chat_read_clients(snapshot, command->chat->number, &command->clients);
    if (!client_filter_may_hold(&command->clients, command->digest))
        return STORE_NOT_FOUND;
    return database_find_client(snapshot, command->chat->number, command->digest, seq);
}

/* Any thread: is this client id in the database, and with which message? */
static void client_run(struct reader_item *item, struct database_snapshot *snapshot, int status)
{
    struct store_command *command = (struct store_command *)item;
    struct message_view message = {0};
    uint64_t seq = 0;

    command->lookup_status = snapshot == NULL ? status : look_up_client(command, snapshot, &seq);
    if (command->lookup_status != STORE_OK)
        return;
    command->found.found = true;
    command->found.seq = seq;
    /* If the message itself cannot be read, this is a retry all the same. */
    if (database_read_log(snapshot, &command->chat->id, command->chat->number, seq, seq + 1, 1,
                          SIZE_MAX, false, &command->original) == 0 &&
        message_page_next(&command->original, &message)) {
        command->found.message = message.bytes;
        command->found.message_size = (uint32_t)message.size;
    }
}

static void client_done(struct reader_item *item)
{
    struct store_command *command = (struct store_command *)item;

    state_know_clients(command->chat, &command->clients);
    command->batch->lookups--;
    apply_ready(command->store);
}

/* Puts a Send into the batch; the payload is to be written to what is returned, NULL: refused. */
static uint8_t *send_enqueue(struct store_command *command, size_t size)
{
    struct store *store = command->store;
    uint8_t *payload = command_enqueue(command, size);

    if (payload == NULL) {
        finish_refused(command, STORE_NO_MEMORY);
        return NULL;
    }
    command->epoch = state_enter(&store->state);
    if (state_client_may_be_settled(command->chat, command->digest)) {
        command->batch->lookups++;
        store->statistics.client_lookups++;
        command->clients_asked = state_ask_clients(command->chat);
        command->lookup.run = client_run;
        command->lookup.done = client_done;
        reader_add_urgent(&store->reader, &command->lookup);
    }
    return payload;
}

/*
 * What can be answered at once is: the wrong namespace or user, a retry of what the tail has, a
 * full disk. True when the command is still to be carried out.
 */
static bool send_admit(struct store_command *command, struct chat *chat, const char *namespace_name,
                       const char *acting_user, const struct command_text *subject,
                       const struct command_text *text)
{
    struct store *store = command->store;
    int status = store_chat_check(chat, namespace_name, acting_user);
    struct message *message;

    command->chat = chat;
    if (status != 0) {
        finish_refused(command, status);
        return false;
    }
    message = state_find_client(&store->state, chat, command->digest);
    if (message != NULL) {
        struct state_send_result result;
        state_compare(subject, text, message->bytes, message->size, message->seq, &result);
        finish_send(command, &result);
        return false;
    }
    if (store->full) {
        store->statistics.refused_full++;
        finish_refused(command, STORE_FULL);
        return false;
    }
    return true;
}

/* The chat has been loaded, or is not there. */
static void send_ready(struct chat_waiter *waiter, struct chat *chat, int status)
{
    struct store_command *command =
        (struct store_command *)((char *)waiter - offsetof(struct store_command, waiter));
    struct command_message parts;
    uint8_t *payload;

    if (chat == NULL) {
        finish_refused(command, status);
        return;
    }
    /* What we have just written ourselves reads back. */
    (void)command_message_read(command->held, command->payload_size, &parts);
    if (!send_admit(command, chat, command->held_namespace, command->acting_user, &parts.subject,
                    &parts.text))
        return;
    payload = send_enqueue(command, command->payload_size);
    if (payload != NULL)
        memcpy(payload, command->held, command->payload_size);
}

static bool namespace_hold(struct store_command *command, const char *namespace_name)
{
    size_t size = strlen(namespace_name);

    if (size > DATABASE_NAMESPACE_BYTES_MAX)
        return false;
    memcpy(command->held_namespace, namespace_name, size + 1);
    return true;
}

/* The chat is not in memory: keep what was borrowed, and ask for it. */
static int send_hold(struct store_command *command, const struct store_send_input *input,
                     const struct command_send *parts)
{
    struct chat *chat;
    int status;

    command->payload_size = (uint32_t)command_send_size(parts);
    command->held = malloc(command->payload_size);
    if (command->held == NULL || !namespace_hold(command, input->namespace_name))
        return STORE_NO_MEMORY;
    command_send_write(parts, command->held);
    command_charge(command, command->payload_size);
    if (input->acting_user != NULL) {
        command->acting_user = strdup(input->acting_user);
        if (command->acting_user == NULL)
            return STORE_NO_MEMORY;
    }
    command->waiter.ready = send_ready;
    chat = store_chat_get(command->store, &input->chat_id, &command->waiter, &status);
    if (chat != NULL)
        send_ready(&command->waiter, chat, 0);
    return status;
}

static void send_parts(const struct store *store, const struct store_send_input *input,
                       struct command_send *parts)
{
    uuid_make(&parts->id);
    parts->chat_id = input->chat_id;
    parts->sent_ns = now_ns(store);
    parts->client_id = (struct command_text){input->client_id, strlen(input->client_id)};
    parts->user_id = (struct command_text){input->user_id, strlen(input->user_id)};
    parts->subject = (struct command_text){input->subject, strlen(input->subject)};
    parts->text = (struct command_text){input->text, strlen(input->text)};
}

static int send_start(struct store_command *command, const struct store_send_input *input)
{
    struct store *store = command->store;
    struct command_send parts;
    struct chat *chat;
    uint8_t *payload;
    int status;

    status = digest_client(&store->state.digester, input->user_id, strlen(input->user_id),
                           input->client_id, strlen(input->client_id), command->digest);
    if (status != 0)
        return status;
    chat = state_find_chat(&store->state, &input->chat_id);
    if (chat != NULL)
        state_expect_client(&store->state, chat, command->digest);
    send_parts(store, input, &parts);
    if (chat == NULL)
        return send_hold(command, input, &parts);
    state_pin(&store->state, chat);
    if (!send_admit(command, chat, input->namespace_name, input->acting_user, &parts.subject,
                    &parts.text))
        return 0;
    payload = send_enqueue(command, command_send_size(&parts));
    if (payload != NULL)
        command_send_write(&parts, payload);
    return 0;
}

int store_send(struct store *store, struct store_send *request,
               const struct store_send_input *input)
{
    struct store_command *command;
    int status = store_command_begin(store);

    if (status != 0)
        return status;
    command = command_take(store, COMMAND_SEND);
    if (command == NULL) {
        store_command_end(store);
        return STORE_NO_MEMORY;
    }
    command->request.send = request;
    request->command = command;
    status = send_start(command, input);
    if (status != 0)
        command_give(command);
    return status;
}

void store_expect_sends(const struct store *store, const struct uuid *chat_ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        state_expect_chat(&store->state, &chat_ids[i]);
    for (size_t i = 0; i < count; i++)
        state_expect_found_chat(&store->state, &chat_ids[i]);
}

size_t store_send_message_bytes_max(const struct store_send_input *input)
{
    struct command_send parts = {
        .sent_ns = UINT64_MAX,
        .client_id.size = strlen(input->client_id),
        .user_id.size = strlen(input->user_id),
        .subject.size = strlen(input->subject),
        .text.size = strlen(input->text),
    };
    return command_send_size(&parts) + COMMAND_SEQ_BYTES_MAX;
}

/* --- New --- */

static struct command_new new_parts(const struct store_command *command)
{
    struct command_new parts;

    /* What we have just written ourselves reads back. */
    (void)command_new_read(command->held, command->payload_size, &parts);
    return parts;
}

/* Pool thread: does the database have a chat of these users? */
static void users_run(struct reader_item *item, struct database_snapshot *snapshot, int status)
{
    struct store_command *command = (struct store_command *)item;

    command->lookup_status = snapshot == NULL
                                 ? status
                                 : database_find_users(snapshot, command->held_namespace,
                                                       command->digest, &command->found.chat_id);
}

static struct chat *new_find_fresh(const struct store_command *command)
{
    return state_find_users(&command->store->state, command->held_namespace,
                            strlen(command->held_namespace), command->digest);
}

static void finish_existing(struct store_command *command, const struct uuid *chat_id)
{
    finish_new(command, STORE_OK, &(struct state_new_result){.chat_id = *chat_id});
}

/* The users are in no chat that the database knows. Since then one may have been made. */
static void new_enqueue(struct store_command *command)
{
    struct chat *chat = new_find_fresh(command);
    uint8_t *payload = NULL;

    if (chat == NULL && !command->store->full)
        payload = command_enqueue(command, command->payload_size);
    if (payload != NULL) {
        memcpy(payload, command->held, command->payload_size);
        return;
    }
    state_leave(&command->store->state, command->epoch);
    if (chat != NULL) {
        finish_existing(command, &chat->id);
    } else if (command->store->full) {
        command->store->statistics.refused_full++;
        finish_refused(command, STORE_FULL);
    } else {
        finish_refused(command, STORE_NO_MEMORY);
    }
}

static void users_done(struct reader_item *item)
{
    struct store_command *command = (struct store_command *)item;

    if (command->lookup_status == STORE_NOT_FOUND) {
        new_enqueue(command);
        return;
    }
    state_leave(&command->store->state, command->epoch);
    if (command->lookup_status == STORE_OK)
        finish_existing(command, &command->found.chat_id);
    else
        finish_refused(command, command->lookup_status);
}

static int new_hold(struct store_command *command, const char *namespace_name,
                    char *const *user_ids, size_t user_count)
{
    size_t users_size = command_users_size(user_ids, user_count);
    uint8_t *users = malloc(users_size);
    struct command_new parts = {.namespace_name = namespace_name,
                                .namespace_size = strlen(namespace_name),
                                .users = users,
                                .users_size = users_size};

    command->payload_size = (uint32_t)command_new_size(parts.namespace_size, users_size);
    command->held = malloc(command->payload_size);
    if (users == NULL || command->held == NULL || !namespace_hold(command, namespace_name)) {
        free(users);
        return STORE_NO_MEMORY;
    }
    uuid_make(&parts.chat_id);
    parts.created_ns = now_ns(command->store);
    command_users_write(user_ids, user_count, users);
    command_new_write(&parts, command->held);
    command_charge(command, command->payload_size);
    free(users);
    return 0;
}

static int new_start(struct store_command *command)
{
    struct store *store = command->store;
    struct command_new parts = new_parts(command);
    struct chat *chat;
    int status =
        digest_users(&store->state.digester, parts.users, parts.users_size, command->digest);

    if (status != 0)
        return status;
    chat = new_find_fresh(command);
    if (chat != NULL) {
        finish_existing(command, &chat->id);
        return 0;
    }
    command->epoch = state_enter(&store->state);
    command->lookup.run = users_run;
    command->lookup.done = users_done;
    reader_add_urgent(&store->reader, &command->lookup);
    return 0;
}

int store_new(struct store *store, struct store_new *request, const char *namespace_name,
              char *const *user_ids, size_t user_count)
{
    struct store_command *command;
    int status = store_command_begin(store);

    if (status != 0)
        return status;
    command = command_take(store, COMMAND_NEW);
    if (command == NULL) {
        store_command_end(store);
        return STORE_NO_MEMORY;
    }
    command->request.new_chat = request;
    request->command = command;
    status = new_hold(command, namespace_name, user_ids, user_count);
    if (status == 0)
        status = new_start(command);
    if (status != 0)
        command_give(command);
    return status;
}
