/*
 * A page of history is cut out of the range [low, high) of seqs, which is fixed when the request is
 * begun: high is never beyond the head of that moment.
 *
 *        low             state_tail_seq            high
 *   ──────┼── database ────────┼────── tail ─────────┼──▶ seq
 *
 * All below state_tail_seq is in the database, committed before: any snapshot taken from now on
 * shows it. If the page lies in the tail alone it is answered at once, from where it is. Otherwise
 * the database is read on the pool, in its turn, and when that has come what the page may need of
 * the tail is copied, since it may be evicted meanwhile. Nothing can fall between the two: the
 * border is where it is at that moment, and the snapshot is taken after it. (Not before: pages are
 * large, and thousands may wait.)
 *
 * A page that is the end of its range (`backwards`) is filled from the end, the others from the
 * beginning.
 */
#include "store/store_internal.h"

#include <stdlib.h>
#include <string.h>

/* What a message takes of the budget beside its bytes: a tag and a length in the reply. */
#define RECORD_OVERHEAD 8

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
    uint8_t *tail_bytes;               /* copies from the tail, in the order of tail_records */
    struct store_record *tail_records; /* in reading order */
    size_t tail_count;
    size_t tail_size; /* with overheads */
    struct database_page page;
    struct store_record *records; /* the reply's */
};

static void read_free(struct store_read *read)
{
    struct store *store = read->store;

    if (read->chat != NULL)
        state_unpin(&store->state, read->chat);
    free(read->acting_user);
    free(read->tail_bytes);
    free(read->tail_records);
    free(read->records);
    database_page_free(&read->page);
    free(read);
    store_read_end(store);
}

static void finish(struct store_read *read, int status)
{
    struct store_history *request = read->request;

    request->status = status;
    request->read = NULL;
    request->done(request);
    read_free(read);
}

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

/* Puts the `count` records of read->records into ascending order and answers. */
static void answer(struct store_read *read, size_t count)
{
    struct store_history *request = read->request;

    if (read->backwards) {
        for (size_t i = 0; i < count / 2; i++) {
            struct store_record record = read->records[i];
            read->records[i] = read->records[count - 1 - i];
            read->records[count - 1 - i] = record;
        }
    }
    request->records = read->records;
    request->count = count;
    request->more = read->high - read->low > count;
    finish(read, STORE_OK);
}

/*
 * The records of the tail's part in reading order, as far as limit and budget go: pointers into
 * the tail. Returns how many; `*size` is what they take of the budget.
 */
static size_t tail_gather(const struct store_read *read, struct store_record *records, size_t *size)
{
    uint64_t low = read->low > read->tail_seq ? read->low : read->tail_seq;
    size_t count = 0;

    *size = 0;
    while (low + count < read->high && count < read->input.limit) {
        uint64_t seq = read->backwards ? read->high - 1 - count : low + count;
        const struct message *message = state_message(read->chat, seq);
        size_t cost = message->size + RECORD_OVERHEAD;
        if (count > 0 && *size + cost > read->input.budget_bytes)
            break;
        records[count] = (struct store_record){message->bytes, message->size};
        *size += cost;
        count++;
    }
    return count;
}

/* Copies the gathered records, so that they outlive their place in the tail. */
static int tail_copy(struct store_read *read)
{
    uint8_t *next = malloc(read->tail_size + 1);

    if (next == NULL)
        return STORE_NO_MEMORY;
    read->tail_bytes = next;
    for (size_t i = 0; i < read->tail_count; i++) {
        struct store_record *record = &read->tail_records[i];
        memcpy(next, record->data, record->size);
        record->data = next;
        next += record->size;
    }
    return 0;
}

/* Pool thread: the database's part. */
static void log_run(struct reader_item *item, struct database_snapshot *snapshot, int status)
{
    struct store_read *read = (struct store_read *)item;
    uint64_t high = read->high < read->tail_seq ? read->high : read->tail_seq;
    size_t limit = read->input.limit;
    size_t budget = read->input.budget_bytes;

    if (snapshot == NULL && read->status == 0)
        read->status = status;
    if (read->status != 0)
        return;
    if (read->backwards) {
        limit -= read->tail_count;
        budget = budget > read->tail_size ? budget - read->tail_size : 0;
    }
    read->status = database_read_log(snapshot, &read->chat->id, read->chat->number, read->low, high,
                                     limit, budget, read->backwards, &read->page);
}

/* Appends records of one part to the reply while the budget lasts. */
static size_t join(struct store_read *read, size_t count, const struct store_record *records,
                   size_t more, size_t *size)
{
    for (size_t i = 0; i < more && count < read->input.limit; i++) {
        size_t cost = records[i].size + RECORD_OVERHEAD;
        if (count > 0 && *size + cost > read->input.budget_bytes)
            break;
        read->records[count++] = records[i];
        *size += cost;
    }
    return count;
}

static void page_records(const struct database_page *page, struct store_record *records)
{
    for (size_t i = 0; i < page->count; i++)
        records[i] =
            (struct store_record){page->bytes + page->entries[i].offset, page->entries[i].size};
}

/* Both parts are here: the database's comes first when reading forwards, the tail's otherwise. The
 * tail's part follows only if the database's is whole. */
static void log_done(struct reader_item *item)
{
    struct store_read *read = (struct store_read *)item;
    uint64_t high = read->high < read->tail_seq ? read->high : read->tail_seq;
    struct store_record *stored = malloc((read->page.count + 1) * sizeof *stored);
    size_t count = 0;
    size_t size = 0;

    if (stored == NULL && read->status == 0)
        read->status = STORE_NO_MEMORY;
    if (read->status != 0) {
        free(stored);
        finish(read, read->status);
        return;
    }
    page_records(&read->page, stored);
    if (read->backwards) {
        count = join(read, count, read->tail_records, read->tail_count, &size);
        count = join(read, count, stored, read->page.count, &size);
    } else {
        count = join(read, count, stored, read->page.count, &size);
        if (count == high - read->low)
            count = join(read, count, read->tail_records, read->tail_count, &size);
    }
    free(stored);
    answer(read, count);
}

static int log_prepare(struct store_read *read)
{
    read->records = calloc(read->input.limit + 1, sizeof *read->records);
    read->tail_records = calloc(read->input.limit + 1, sizeof *read->tail_records);
    if (read->records == NULL || read->tail_records == NULL)
        return STORE_NO_MEMORY;
    if (read->backwards || read->tail_seq - read->low < read->input.limit)
        read->tail_count = tail_gather(read, read->tail_records, &read->tail_size);
    return tail_copy(read);
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
    free(read->records);
    read->records = NULL;
    read->item.start = log_start;
    read->item.run = log_run;
    read->item.done = log_done;
    reader_add_bulk(&read->store->reader, &read->item);
}

/* Whether the tail alone has all that the page can hold; if so, it is in read->records. */
static bool tail_suffices(struct store_read *read, size_t *count)
{
    size_t size;

    if (!read->backwards && read->low < read->tail_seq && read->low < read->high)
        return false;
    *count = tail_gather(read, read->records, &size);
    return *count == read->input.limit || *count == read->high - read->low ||
           (*count > 0 && read->high - *count > read->tail_seq);
}

static void read_begin(struct store_read *read)
{
    size_t count = 0;
    int status = store_chat_check(read->chat, read->namespace_name, read->acting_user);

    if (status != 0) {
        finish(read, status);
        return;
    }
    range_resolve(read);
    read->records = malloc((read->input.limit + 1) * sizeof *read->records);
    if (read->records == NULL)
        finish(read, STORE_NO_MEMORY);
    else if (tail_suffices(read, &count))
        answer(read, count);
    else
        read_database(read);
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
    struct store_read *read = calloc(1, sizeof *read);

    if (read == NULL)
        return NULL;
    read->store = store;
    read->request = request;
    read->input = *input;
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
    request->records = NULL;
    request->count = 0;
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
