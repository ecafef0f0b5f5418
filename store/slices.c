/*
 * First the new chats, then the messages in the order of their chats. If the chats are many, they
 * are written table by table, each in the order of its keys: their ids and their users' digests
 * fall anywhere, and those that fall on the same page are put there together.
 *
 *     heads, members  1000 1001 1002 1003          each slice has the
 *     chats           3f..: 1002   91..: 1000 …    reached LSN, the last
 *     users           07..: 1003   22..: 1001 …    one the settled LSN
 *     logs, clients   chat 3: 7 8  90: 1  1001: 1
 *                     └─── slice ───┘└── slice ─┘
 *
 * The chats are there when the last of their rows is. A crash before that leaves rows which nobody
 * looks at; recovery makes these chats again from the journal, with the same numbers, and the next
 * job writes the same rows. A crash between messages leaves chats that are ahead of the settled
 * LSN. Recovery applies the journal from there: what it finds in the database by its client id is
 * already there, and the rest follows as it did the first time, since each chat has a beginning of
 * what the job had of it. That is so wherever a slice ends, also between two messages of one chat.
 *
 * How many pages a slice touches is estimated from how the rows lie on the leaves that there are,
 * by and large: LMDB does not tell.
 */
#include "store/slices.h"

#include "store/database_order.h"
#include "store/message_order.h"
#include <stdlib.h>

#define PAGE_BYTES 4096 /* of LMDB's */
/* What the rows of a new chat and of a message take besides its users and its bytes. */
#define NEW_CHAT_BYTES 250
#define MESSAGE_BYTES 64

/* What a slice touches, as it grows. */
struct estimate {
    double bytes;
    double bytes_max;
    /* Pages for each chat that lies between two with messages, in the tables whose rows are in the
     * order of the chats' numbers; the pages of one chat in all of them when the next is far away.
     */
    struct database_leaves leaves;
    double chats;
};

static double least(double a, double b)
{
    return a < b ? a : b;
}

static int begin_estimate(struct estimate *estimate, const struct slices *slices,
                          struct database *database, const struct database_meta *meta)
{
    *estimate = (struct estimate){.bytes_max = (double)slices->bytes_max,
                                  .chats = (double)meta->chat_number_last + 1};
    return database_read_leaves(database, &estimate->leaves);
}

/* How many chats go into the slice whose rows, put in order, fall on so many leaves in all. */
static size_t take_chats(const struct slices *slices, uint64_t leaves, struct estimate *estimate)
{
    double page_share = least(1, (double)leaves / (double)slices->chat_count);
    size_t count = 0;

    while (slices->chats_done + count < slices->chat_count &&
           (count == 0 || estimate->bytes < estimate->bytes_max)) {
        estimate->bytes += page_share * PAGE_BYTES + NEW_CHAT_BYTES +
                           (double)slices->chats[slices->chats_done + count].users_size;
        count++;
    }
    return count;
}

/* Pages of a table, in which `gap` chats lie between this one and the last one touched. */
static double pages_touched(const struct estimate *estimate, uint64_t leaves, double gap)
{
    return least(1, gap * (double)leaves / estimate->chats);
}

static double message_cost(const struct estimate *estimate, const struct database_message *message,
                           const struct database_message *before)
{
    const struct database_leaves *leaves = &estimate->leaves;
    double gap =
        before == NULL ? estimate->chats : (double)(message->chat_number - before->chat_number);

    return MESSAGE_BYTES + message->size +
           (pages_touched(estimate, leaves->heads, gap) +
            pages_touched(estimate, leaves->logs, gap) +
            pages_touched(estimate, leaves->recent, gap)) *
               PAGE_BYTES;
}

static size_t take_messages(const struct slices *slices, struct estimate *estimate)
{
    const struct database_message *messages = slices->messages + slices->messages_done;
    size_t left = slices->message_count - slices->messages_done;
    size_t count = 0;

    while (count < left && estimate->bytes < estimate->bytes_max) {
        estimate->bytes +=
            message_cost(estimate, &messages[count], count > 0 ? &messages[count - 1] : NULL);
        count++;
    }
    return count;
}

/* The new chats at once, if they are few. */
static bool take_whole(struct slices *slices, struct database_batch *slice,
                       struct estimate *estimate)
{
    struct estimate whole = *estimate;

    if (slices->chat_rows != DATABASE_CHATS_WHOLE)
        return false;
    slice->chat_count = take_chats(slices, estimate->leaves.chats + estimate->leaves.users, &whole);
    if (slice->chat_count < slices->chat_count) {
        slices->chat_rows = DATABASE_CHATS_NUMBERED;
        return false;
    }
    slice->chats = slices->chats;
    *estimate = whole;
    return true;
}

static void sort_chats(const struct slices *slices)
{
    if (slices->chats_done == 0 && slices->chat_rows == DATABASE_CHATS_IDS)
        qsort(slices->chats, slices->chat_count, sizeof *slices->chats, database_by_id);
    if (slices->chats_done == 0 && slices->chat_rows == DATABASE_CHATS_USERS)
        qsort(slices->chats, slices->chat_count, sizeof *slices->chats, database_by_users);
}

/* Rows of new chats, of one kind. */
static void take_rows(const struct slices *slices, struct database_batch *slice,
                      struct estimate *estimate)
{
    uint64_t leaves = 0;

    if (slices->chat_rows == DATABASE_CHATS_IDS)
        leaves = estimate->leaves.chats;
    if (slices->chat_rows == DATABASE_CHATS_USERS)
        leaves = estimate->leaves.users;
    sort_chats(slices);
    slice->chats = slices->chats + slices->chats_done;
    slice->chat_count = take_chats(slices, leaves, estimate);
    slice->chat_rows = slices->chat_rows;
    if (slice->chat_rows == DATABASE_CHATS_USERS &&
        slices->chats_done + slice->chat_count == slices->chat_count)
        slice->chats_complete = slices->chat_count;
}

static void take(struct slices *slices, struct database_batch *slice, struct estimate *estimate)
{
    bool chats_over = slices->chats_over || take_whole(slices, slice, estimate);

    slice->messages = slices->messages + slices->messages_done;
    if (chats_over)
        slice->message_count = take_messages(slices, estimate);
    else
        take_rows(slices, slice, estimate);
}

/* The slice is in the database. */
static void advance(struct slices *slices, const struct database_batch *slice)
{
    slices->messages_done += slice->message_count;
    if (slices->chats_over)
        return;
    slices->chats_done += slice->chat_count;
    if (slices->chats_done < slices->chat_count)
        return;
    slices->chats_done = 0;
    if (slices->chat_rows == DATABASE_CHATS_WHOLE || slices->chat_rows == DATABASE_CHATS_USERS)
        slices->chats_over = true;
    else
        slices->chat_rows++;
}

/* Those that are left. A slice that could not be written has been put into another order. */
static void sort_messages(struct slices *slices)
{
    message_order(slices->messages + slices->messages_done,
                  slices->message_count - slices->messages_done);
    slices->sorted = true;
}

int slices_write(struct slices *slices, struct database *database, struct store_failure *failure)
{
    struct database_batch slice = {.reached_lsn = slices->lsn};
    struct estimate estimate;
    struct database_meta meta;
    bool last;
    int rc;

    if (!slices->sorted)
        sort_messages(slices);
    database_read_meta(database, &meta);
    rc = begin_estimate(&estimate, slices, database, &meta);
    if (rc != 0)
        return store_fail(failure, rc, "the database cannot be read: %s", store_status_text(rc));
    take(slices, &slice, &estimate);
    last = (slices->chats_over || slice.chat_count == slices->chat_count) &&
           slice.chat_rows == DATABASE_CHATS_WHOLE &&
           slices->messages_done + slice.message_count == slices->message_count;
    slice.settled_lsn = last ? slices->lsn : meta.settled_lsn;
    rc = database_settle(database, &slice, failure);
    slices->sorted = rc == 0;
    if (rc != 0)
        return rc;
    advance(slices, &slice);
    slices->over = last;
    return 0;
}
