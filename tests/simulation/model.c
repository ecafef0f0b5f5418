#include "tests/simulation/model.h"

#include "chat.pb-c.h"
#include "tests/simulation/world.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RECORD_OVERHEAD 8

void model_reset(struct model *model)
{
    for (unsigned i = 0; i < MODEL_CHATS; i++) {
        struct model_chat *chat = &model->chats[i];
        for (uint64_t seq = 0; seq < chat->capacity; seq++)
            keep_free(chat->messages[seq].bytes);
        keep_free(chat->messages);
    }
    keep_free(model->attempts);
    *model = (struct model){.attempts = NULL};
}

uint64_t model_attempt(struct model *model, const struct model_attempt *attempt)
{
    if (model->attempt_count == model->attempt_capacity) {
        model->attempt_capacity = model->attempt_capacity * 2 + 256;
        model->attempts =
            keep_realloc(model->attempts, model->attempt_capacity * sizeof *model->attempts);
    }
    model->attempts[model->attempt_count] = *attempt;
    return model->attempt_count++;
}

/* --- strings --- */

static char users[MODEL_USERS][4] = {"ann", "bob", "cyd"};

const char *model_namespace(unsigned chat)
{
    return chat < MODEL_SETS ? "default" : "other";
}

const char *model_user(unsigned user)
{
    return users[user];
}

const char *model_client(unsigned key)
{
    static char text[24];
    snprintf(text, sizeof text, "client-%u", key / MODEL_USERS);
    return text;
}

const char *model_subject(unsigned content)
{
    return content == 2 ? "again" : "";
}

/* Some are a few bytes, some fill pages and segments. */
const char *model_text(unsigned key, unsigned content)
{
    static char text[1024];
    size_t size = key % 7 == 0 ? 900 : 1 + key % 50;

    snprintf(text, sizeof text, "%u/%u ", key, content == 2 ? 0 : content);
    memset(text + strlen(text), 'x', size);
    text[size] = '\0';
    if (size < 8)
        text[0] = content == 1 ? 'a' : 'b';
    return text;
}

/* The sets are: all of them, the first two, the last one. */
bool model_member(unsigned chat, unsigned user)
{
    unsigned set = chat % MODEL_SETS;
    return set == 0 || (set == 1) == (user < 2);
}

size_t model_members(unsigned chat, char **user_ids)
{
    size_t count = 0;

    for (unsigned user = 0; user < MODEL_USERS; user++) {
        if (model_member(chat, user))
            user_ids[count++] = users[user];
    }
    return count;
}

/* --- messages --- */

static struct model_message *message_at(struct model_chat *chat, uint64_t seq)
{
    if (seq >= chat->capacity) {
        uint64_t capacity = seq * 2 + 32;
        chat->messages = keep_realloc(chat->messages, capacity * sizeof *chat->messages);
        memset(chat->messages + chat->capacity, 0,
               (capacity - chat->capacity) * sizeof *chat->messages);
        chat->capacity = capacity;
    }
    return &chat->messages[seq];
}

/* Which attempt a stored message is, by its time. */
static struct model_attempt *attempt_of(struct model *model, const Chat__Message *message,
                                        uint64_t *which)
{
    uint64_t ns;

    if (message->sent_at == NULL)
        world_fail("a message has no time");
    ns = (uint64_t)message->sent_at->seconds * 1000000000 + (uint64_t)message->sent_at->nanos;
    *which = ns - MODEL_FIRST_NS;
    if (ns < MODEL_FIRST_NS || *which >= model->attempt_count)
        world_fail("a message that nobody sent");
    return &model->attempts[*which];
}

static void check_text(const char *what, const char *got, const char *wanted)
{
    if (strcmp(got, wanted) != 0)
        world_fail("a message's %s is \"%.40s\" instead of \"%.40s\"", what, got, wanted);
}

static void check_content(const struct model_chat *chat, const Chat__Message *message,
                          const struct model_attempt *attempt, uint64_t seq)
{
    char id[UUID_TEXT_BYTES + 1] = "";

    uuid_format(&chat->id, id);
    if (message->seq != seq)
        world_fail("the message at seq %" PRIu64 " says %" PRIu64, seq, message->seq);
    check_text("chat_id", message->chat_id, id);
    check_text("user_id", message->user_id, model_user(attempt->key % MODEL_USERS));
    check_text("client_id", message->client_id, model_client(attempt->key));
    check_text("subject", message->subject, model_subject(attempt->content));
    check_text("text", message->text, model_text(attempt->key, attempt->content));
}

/* A message is shown for the first time. */
static void message_first_seen(struct model *model, unsigned which, uint64_t seq,
                               struct model_message *message, const uint8_t *bytes, size_t size)
{
    struct model_chat *chat = &model->chats[which];
    Chat__Message *decoded = chat__message__unpack(NULL, size, bytes);
    struct model_attempt *attempt;

    if (decoded == NULL)
        world_fail("the message at seq %" PRIu64 " does not decode", seq);
    attempt = attempt_of(model, decoded, &message->attempt);
    if (attempt->chat != which)
        world_fail("a message is in another chat than it was sent to");
    check_content(chat, decoded, attempt, seq);
    chat__message__free_unpacked(decoded, NULL);
    if (attempt->answer == MODEL_NOTHING)
        world_fail("seq %" PRIu64 " is a message of a Send that was refused or a retry", seq);
    if (chat->seqs[attempt->key] != 0)
        world_fail("seqs %" PRIu64 " and %" PRIu64 " are of the same client id", seq,
                   chat->seqs[attempt->key]);
    if (chat->claims[attempt->key] != 0 && chat->claims[attempt->key] != seq)
        world_fail("a retry was told of another seq than %" PRIu64, seq);
    if (seq <= attempt->top)
        world_fail("seq %" PRIu64 " was sent after %" PRIu64 " had been shown", seq, attempt->top);
    chat->seqs[attempt->key] = seq;
    message->key = attempt->key;
    message->content = attempt->content;
    message->size = size;
    message->bytes = memcpy(keep_realloc(NULL, size), bytes, size);
}

static const struct model_message *message_seen(struct model *model, unsigned which, uint64_t seq,
                                                const uint8_t *bytes, size_t size)
{
    struct model_chat *chat = &model->chats[which];
    struct model_message *message;

    if (seq == 0 || seq > model->attempt_count)
        world_fail("seq %" PRIu64 " of a chat that cannot have so many", seq);
    message = message_at(chat, seq);
    if (message->bytes == NULL)
        message_first_seen(model, which, seq, message, bytes, size);
    else if (message->size != size || memcmp(message->bytes, bytes, size) != 0)
        world_fail("seq %" PRIu64 " is not what it was", seq);
    if (seq > chat->top)
        chat->top = seq;
    return message;
}

/* Nothing has happened; it may be asked for again. */
static bool is_put_off(const struct model *model, int status)
{
    return status == STORE_FULL || (status == STORE_CLOSING && model->hurried);
}

/* --- New --- */

void model_new_answered(struct model *model, unsigned which, const struct store_new *request)
{
    struct model_chat *chat = &model->chats[which];

    if (is_put_off(model, request->status))
        return;
    if (request->status != STORE_OK)
        world_fail("New: %s", store_status_text(request->status));
    if (chat->known && memcmp(&chat->id, &request->chat_id, sizeof chat->id) != 0)
        world_fail("a set of users has a second chat");
    if (request->created && chat->known)
        world_fail("a chat is made for a second time");
    if (!request->created && !chat->known && !chat->maybe)
        world_fail("a chat is there that nobody made");
    chat->known = true;
    chat->id = request->chat_id;
}

/* --- Send --- */

static void send_retried(struct model_attempt *attempt, const struct model_message *message,
                         uint64_t own)
{
    if (message->attempt == own)
        world_fail("a Send got its own message as a duplicate");
    if (message->key != attempt->key)
        world_fail("a retry got the message of another client id");
    if (message->content != attempt->content)
        world_fail("a retry with other content was not refused");
    attempt->answer = MODEL_NOTHING;
}

static void send_reused(struct model *model, struct model_attempt *attempt, uint64_t seq)
{
    struct model_chat *chat = &model->chats[attempt->chat];

    attempt->answer = MODEL_NOTHING;
    if (seq == 0 || seq > model->attempt_count)
        world_fail("an impossible seq with a reused client id");
    if (chat->seqs[attempt->key] != 0) {
        if (chat->seqs[attempt->key] != seq)
            world_fail("a reused client id is said to be elsewhere");
        if (message_at(chat, seq)->content == attempt->content)
            world_fail("a retry with the same content was refused");
        return;
    }
    if (chat->claims[attempt->key] != 0 && chat->claims[attempt->key] != seq)
        world_fail("a reused client id is said to be in two places");
    chat->claims[attempt->key] = seq;
}

void model_send_answered(struct model *model, uint64_t which, const struct store_send *request)
{
    struct model_attempt *attempt = &model->attempts[which];
    const struct model_message *message;

    if (is_put_off(model, request->status)) {
        attempt->answer = MODEL_NOTHING;
    } else if (request->status == STORE_CLIENT_ID_REUSED) {
        send_reused(model, attempt, request->seq);
    } else if (request->status != STORE_OK) {
        world_fail("Send: %s", store_status_text(request->status));
    } else {
        message = message_seen(model, attempt->chat, request->seq, request->message,
                               request->message_size);
        if (request->duplicate) {
            send_retried(attempt, message, which);
            return;
        }
        if (message->attempt != which)
            world_fail("a new message is another one's");
        attempt->answer = MODEL_WROTE;
    }
}

/* --- History --- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Whether the page could have held one more, at `seq`. */
static void check_full(struct model_chat *chat, uint64_t seq,
                       const struct store_history_input *input, const struct store_history *request,
                       size_t used)
{
    const struct model_message *next = message_at(chat, seq);

    if (request->page->count == 0)
        world_fail("an empty page of a range that is not empty");
    if (request->page->count < input->limit && next->bytes != NULL &&
        used + next->size + RECORD_OVERHEAD <= input->budget_bytes)
        world_fail("a page of %zu messages has room for another one", request->page->count);
}

void model_history_answered(struct model *model, unsigned which, uint64_t top,
                            const struct store_history_input *input,
                            const struct store_history *request)
{
    struct model_chat *chat = &model->chats[which];
    bool newest = input->from_seq == 0;
    uint64_t end = request->head_seq + 1;
    uint64_t high = input->before_seq > 0 ? min_u64(input->before_seq, end) : end;
    uint64_t low = min_u64(newest ? 1 : input->from_seq, high);
    size_t count = request->status == STORE_OK ? request->page->count : 0;
    uint64_t first = newest ? high - count : low;
    struct message_view message = {0};
    size_t used = 0;

    if (request->status != STORE_OK)
        world_fail("History: %s", store_status_text(request->status));
    if (request->head_seq < top)
        world_fail("head_seq is %" PRIu64 " after %" PRIu64 " had been shown", request->head_seq,
                   top);
    if (request->head_seq > model->attempt_count)
        world_fail("head_seq %" PRIu64 " cannot be", request->head_seq);
    if (count > high - low || count > input->limit)
        world_fail("a page of %zu messages", count);
    for (size_t i = 0; i < count; i++) {
        if (!message_page_next(request->page, &message) || message.seq != first + i)
            world_fail("message %zu of a page of %zu is not there", i, count);
        message_seen(model, which, first + i, message.bytes, message.size);
        used += message.size + RECORD_OVERHEAD;
    }
    if (message_page_next(request->page, &message))
        world_fail("a page of %zu messages has more than that", count);
    if (count > 1 && used > input->budget_bytes)
        world_fail("a page of %zu bytes for a budget of %zu", used, input->budget_bytes);
    if (request->more != (high - low > count))
        world_fail("more is wrong");
    if (request->more)
        check_full(chat, newest ? first - 1 : first + count, input, request, used);
    if (request->keep_newest != newest)
        world_fail("keep_newest is wrong");
    if (request->head_seq > chat->top)
        chat->top = request->head_seq;
}

/* --- in the end --- */

void model_check_whole(const struct model *model)
{
    for (unsigned i = 0; i < MODEL_CHATS; i++) {
        const struct model_chat *chat = &model->chats[i];
        for (uint64_t seq = 1; seq <= chat->top; seq++) {
            if (seq >= chat->capacity || chat->messages[seq].bytes == NULL)
                world_fail("nothing was seen at seq %" PRIu64 " of %" PRIu64, seq, chat->top);
        }
        for (unsigned key = 0; key < MODEL_KEYS; key++) {
            if (chat->claims[key] != 0 && chat->claims[key] != chat->seqs[key])
                world_fail("a client id was refused as used and is not there");
        }
    }
    for (uint64_t i = 0; i < model->attempt_count; i++) {
        if (model->attempts[i].answer == MODEL_OPEN)
            world_fail("a Send was never answered");
    }
}
