/*
 * A page of history is cut out of the range [low, high) of seqs, which is fixed when the request is
 * begun: high is never beyond the head of that moment.
 *
 *        low             state_tail_seq            high
 *   ──────┼── database ────────┼────── tail ─────────┼──▶ seq
 *
 * All below state_tail_seq is in the database, committed before: any snapshot taken from now on
 * shows it. If the page lies in the tail alone it is answered at once, from where it is. Otherwise
 * the database is read in its turn (reader.h), and when that has come what the page may need of
 * the tail is copied, since it may be evicted meanwhile. Nothing can fall between the two: the
 * border is where it is at that moment, and the snapshot shows all that was evicted until then. (It
 * is not copied sooner: pages are large, and thousands may wait.)
 *
 * A page that is the end of its range (`backwards`) is filled from the end, the others from the
 * beginning, and the messages are laid down as they go out: each is copied once on its way to the
 * reply. Only what a page that is read forwards has of the tail behind what it has of the database
 * is copied twice, since it is there first.
 */
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

/* What a page's messages take, by and large: room for them is made at once. */
#define MESSAGE_BYTES_USUAL 320
/* A page of more messages is not read by the loop. */
#define LIMIT_SMALL 100

struct store_read {
    struct reader_item item; /* first */
    struct chat_waiter waiter;
    struct store *store;
    struct store_history *request;
    struct store_history_input input; /* its strings are the next two members */
    char namespace_name[DATABASE_NAMESPACE_BYTES_MAX + 1];
    char *acting_user;
    struct chat *chat;
    uint64_t low;
    uint64_t high;
    uint64_t tail_seq; /* where the database's part ends */
    bool backwards;
    int status;
    struct message_page page; /* the reply's */
    struct message_page tail; /* copies from the tail that are to follow it */
};

/* ---- Memory for pages ---- */

/* Pages come and go, from one thread to another: the same memory is used again and again. */
static void take_page(struct store *store, struct message_page *page)
{
    if (store->pages_kept > 0)
        *page = store->pages[--store->pages_kept];
    message_page_clear(page);
}

static void keep_page(struct store *store, struct message_page *page)
{
    if (page->capacity > 0 && page->capacity <= STORE_PAGE_KEPT_BYTES_MAX &&
        store->pages_kept < STORE_PAGES_KEPT)
        store->pages[store->pages_kept++] = *page;
    else
        message_page_free(page);
}

void store_history_free(struct store *store)
{
    while (store->pages_kept > 0)
        message_page_free(&store->pages[--store->pages_kept]);
}

/* ---- Ending ---- */

static void read_free(struct store_read *read)
{
    struct store *store = read->store;

    if (read->chat != NULL)
        state_unpin(&store->state, read->chat);
    free(read->acting_user);
    keep_page(store, &read->page);
    keep_page(store, &read->tail);
    free(read);
    store_read_end(store);
}

static void finish(struct store_read *read, int status)
{
    struct store_history *request = read->request;

    request->status = status;
    request->page = &read->page;
    request->read = NULL;
    request->done(request);
    read_free(read);
}

static void answer(struct store_read *read)
{
    read->request->more = read->high - read->low > read->page.count;
    finish(read, STORE_OK);
}

/* ---- Ranges ---- */

/* Seqs of the range that is asked for, as far as there are messages. */
static void range_resolve(struct store_read *read)
{
    const struct store_history_input *input = &read->input;
    uint64_t end = read->chat->head_seq + 1;

    read->low = input->from_seq > 0 ? input->from_seq : 1;
    read->high = input->before_seq > 0 && input->before_seq < end ? input->before_seq : end;
    if (read->low > read->high)
        read->low = read->high;
    read->backwards = input->from_seq == 0;
    read->tail_seq = state_tail_seq(read->chat);
    read->request->head_seq = read->chat->head_seq;
    read->request->keep_newest = read->backwards;
}

static uint64_t tail_low(const struct store_read *read)
{
    return read->low > read->tail_seq ? read->low : read->tail_seq;
}

static uint64_t stored_high(const struct store_read *read)
{
    return read->high < read->tail_seq ? read->high : read->tail_seq;
}

/* ---- The tail's part ---- */

/* Message `index` in reading order, if the range has it. */
static const struct message *tail_message(const struct store_read *read, size_t index,
                                          uint64_t *seq)
{
    uint64_t low = tail_low(read);

    if (low + index >= read->high)
        return NULL;
    *seq = read->backwards ? read->high - 1 - index : low + index;
    return state_message(read->chat, *seq);
}

/* How many of the tail's messages an empty page takes, as far as limit and budget go. */
static size_t tail_count(const struct store_read *read)
{
    struct message_page sum = {0};
    const struct message *message;
    uint64_t seq;

    while (sum.count < read->input.limit &&
           (message = tail_message(read, sum.count, &seq)) != NULL &&
           message_page_fits(&sum, message->size, read->input.budget_bytes)) {
        sum.size += message->size;
        sum.count++;
    }
    return sum.count;
}

/* Copies them, so that they outlive their place in the tail. */
static int tail_copy(const struct store_read *read, struct message_page *page)
{
    const struct message *message;
    uint64_t seq;

    while (page->count < read->input.limit &&
           (message = tail_message(read, page->count, &seq)) != NULL &&
           message_page_fits(page, message->size, read->input.budget_bytes)) {
        if (!message_page_add(page, seq, message->bytes, message->size, read->backwards))
            return STORE_NO_MEMORY;
    }
    return 0;
}

/* Whether the tail alone has all that the page can hold. */
static bool tail_suffices(const struct store_read *read)
{
    size_t count;

    if (!read->backwards && read->low < read->tail_seq && read->low < read->high)
        return false;
    count = tail_count(read);
    return count == read->input.limit || count == read->high - read->low ||
           (count > 0 && read->high - count > read->tail_seq);
}

/* ---- The database's part ---- */

/* Pool thread. */
static void log_run(struct reader_item *item, struct database_snapshot *snapshot, int status)
{
    struct store_read *read = (struct store_read *)item;

    if (snapshot == NULL && read->status == 0)
        read->status = status;
    if (read->status != 0)
        return;
    read->status = database_read_settled(snapshot, &read->chat->id, read->chat->number, read->low,
                                         stored_high(read), read->input.limit,
                                         read->input.budget_bytes, read->backwards, &read->page);
}

/* What follows the database's part from the tail, if that is whole. */
static int join(struct store_read *read)
{
    struct message_view message = {0};

    if (read->page.count != stored_high(read) - read->low)
        return 0;
    while (read->page.count < read->input.limit && message_page_next(&read->tail, &message) &&
           message_page_fits(&read->page, message.size, read->input.budget_bytes)) {
        if (!message_page_add(&read->page, message.seq, message.bytes, message.size, false))
            return STORE_NO_MEMORY;
    }
    return 0;
}

static void log_done(struct reader_item *item)
{
    struct store_read *read = (struct store_read *)item;

    if (read->status == 0 && read->tail.count > 0)
        read->status = join(read);
    if (read->status == 0)
        answer(read);
    else
        finish(read, read->status);
}

static int log_prepare(struct store_read *read)
{
    uint64_t stored = stored_high(read) - read->low;
    size_t count = stored < read->input.limit ? (size_t)stored : read->input.limit;
    size_t usual = count * MESSAGE_BYTES_USUAL;

    take_page(read->store, &read->page);
    if (read->backwards && tail_copy(read, &read->page) != 0)
        return STORE_NO_MEMORY;
    if (!read->backwards && read->tail_seq - read->low < read->input.limit) {
        take_page(read->store, &read->tail);
        if (tail_copy(read, &read->tail) != 0)
            return STORE_NO_MEMORY;
    }
    if (usual > read->input.budget_bytes)
        usual = read->input.budget_bytes;
    return message_page_reserve(&read->page, 0, usual, read->backwards) ? 0 : STORE_NO_MEMORY;
}

/* Its turn has come. What was evicted while it waited is in the database. */
static void log_start(struct reader_item *item)
{
    struct store_read *read = (struct store_read *)item;

    read->tail_seq = state_tail_seq(read->chat);
    read->status = log_prepare(read);
}

/* Part of the page is in the database; while it waits for its turn, it holds nothing large. */
static void read_database(struct store_read *read)
{
    read->item.large = read->input.limit > LIMIT_SMALL;
    read->item.start = log_start;
    read->item.run = log_run;
    read->item.done = log_done;
    reader_add_bulk(&read->store->reader, &read->item);
}

/* ---- Beginning ---- */

static void read_begin(struct store_read *read)
{
    int status = store_chat_check(read->chat, read->namespace_name, read->acting_user);

    if (status != 0) {
        finish(read, status);
        return;
    }
    range_resolve(read);
    if (!tail_suffices(read)) {
        read_database(read);
        return;
    }
    take_page(read->store, &read->page);
    if (tail_copy(read, &read->page) == 0)
        answer(read);
    else
        finish(read, STORE_NO_MEMORY);
}

static void read_ready(struct chat_waiter *waiter, struct chat *chat, int status)
{
    struct store_read *read =
        (struct store_read *)((char *)waiter - offsetof(struct store_read, waiter));

    read->chat = chat;
    if (chat == NULL)
        finish(read, status);
    else
        read_begin(read);
}

/* Copies what was borrowed; NULL when out of memory. */
static struct store_read *read_make(struct store *store, struct store_history *request,
                                    const struct store_history_input *input)
{
    struct store_read *read = malloc(sizeof *read);

    if (read == NULL)
        return NULL;
    *read = (struct store_read){.store = store, .request = request, .input = *input};
    strncpy(read->namespace_name, input->namespace_name, DATABASE_NAMESPACE_BYTES_MAX);
    if (input->acting_user != NULL) {
        read->acting_user = strdup(input->acting_user);
        if (read->acting_user == NULL) {
            free(read);
            return NULL;
        }
    }
    return read;
}

int store_history(struct store *store, struct store_history *request,
                  const struct store_history_input *input)
{
    struct store_read *read;
    struct chat *chat;
    int status = store_read_begin(store);

    if (status != 0)
        return status;
    read = read_make(store, request, input);
    if (read == NULL) {
        store_read_end(store);
        return STORE_NO_MEMORY;
    }
    request->read = read;
    request->page = NULL;
    request->head_seq = 0;
    request->more = false;
    request->keep_newest = false;
    read->waiter.ready = read_ready;
    chat = store_chat_get(store, &input->chat_id, &read->waiter, &status);
    if (chat != NULL)
        read_ready(&read->waiter, chat, 0);
    else if (status != 0)
        read_free(read);
    return status;
}
