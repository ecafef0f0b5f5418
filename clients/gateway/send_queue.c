/*
 * The front of the queue is under way. When it ends, its outcome is told and the next one begins,
 * with what is left of its own time: one whose time has passed while it waited is given to the
 * library all the same, which does not send it and says so.
 *
 * When the queue is closed while a call is under way, the memory stays until that has ended.
 */
#include "clients/gateway/send_queue.h"

#include "base/uuid.h"
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

struct send {
    STAILQ_ENTRY(send) next;
    uint64_t deadline_ms;
    size_t bytes;
    const char *client_id; /* these three follow the struct */
    const char *subject;
    const char *text;
};

struct send_queue {
    struct send_queue_options options; /* whose strings are the queue's own */
    char *strings[4];
    struct chat_call call;
    bool calling;
    bool telling;
    bool closed;
    STAILQ_HEAD(send_list, send) sends;
    size_t count;
    size_t bytes;
};

static uint64_t now_ms(void)
{
    return uv_hrtime() / 1000000;
}

/* ---- What waits ---- */

static const char *put(char **out, const char *text)
{
    char *start = *out;
    size_t size = strlen(text) + 1;

    memcpy(start, text, size);
    *out += size;
    return start;
}

static struct send *make_send(const struct send_queue_message *message, uint64_t timeout_ms)
{
    const char *subject = message->subject == NULL ? "" : message->subject;
    const char *text = message->text == NULL ? "" : message->text;
    const char *client_id = message->client_id;
    char made[UUID_TEXT_BYTES + 1] = "";
    struct uuid uuid;
    struct send *send;
    size_t size;
    char *out;

    if (client_id == NULL || client_id[0] == '\0') {
        uuid_make(&uuid);
        uuid_format(&uuid, made);
        client_id = made;
    }
    size = sizeof *send + strlen(client_id) + strlen(subject) + strlen(text) + 3;
    send = malloc(size);
    if (send == NULL)
        return NULL;
    out = (char *)(send + 1);
    send->bytes = size;
    send->deadline_ms = now_ms() + timeout_ms;
    send->client_id = put(&out, client_id);
    send->subject = put(&out, subject);
    send->text = put(&out, text);
    return send;
}

static void drop_front(struct send_queue *queue)
{
    struct send *front = STAILQ_FIRST(&queue->sends);

    STAILQ_REMOVE_HEAD(&queue->sends, next);
    queue->count--;
    queue->bytes -= front->bytes;
    free(front);
}

/* ---- One after the other ---- */

static void free_queue(struct send_queue *queue)
{
    while (!STAILQ_EMPTY(&queue->sends))
        drop_front(queue);
    for (int i = 0; i < 4; i++)
        free(queue->strings[i]);
    free(queue);
}

static void on_answer(struct chat_call *call);

static int begin(struct send_queue *queue)
{
    const struct send *front = STAILQ_FIRST(&queue->sends);
    uint64_t now = now_ms();
    const struct chat_send_options options = {
        .context = {.namespace_name = queue->options.namespace_name,
                    .acting_user = queue->options.acting_user,
                    .timeout_ms = front->deadline_ms > now ? front->deadline_ms - now : 1},
        .client_id = front->client_id,
        .chat_id = queue->options.chat_id,
        .user_id = queue->options.user_id,
        .subject = front->subject,
        .text = front->text,
    };
    int status;

    queue->call = (struct chat_call){.data = queue};
    status = chat_send(queue->options.client, &queue->call, &options, on_answer);
    queue->calling = status == CHAT_OK;
    return status;
}

static void tell(struct send_queue *queue)
{
    if (queue->closed)
        return;
    queue->telling = true;
    queue->options.done(queue->options.data, STAILQ_FIRST(&queue->sends)->client_id, &queue->call);
    queue->telling = false;
}

static void on_answer(struct chat_call *call)
{
    struct send_queue *queue = call->data;
    int status = CHAT_OK;

    queue->calling = false;
    do {
        tell(queue);
        drop_front(queue);
        if (queue->closed || STAILQ_EMPTY(&queue->sends))
            break;
        status = begin(queue);
        queue->call.status = status;
        queue->call.error = "";
        queue->call.detail = chat_strerror(status);
    } while (status != CHAT_OK);
    if (queue->closed)
        free_queue(queue);
}

int send_queue_push(struct send_queue *queue, const struct send_queue_message *message)
{
    struct send *send;
    int status;

    if (queue->count >= SEND_QUEUE_MESSAGES_MAX || queue->bytes >= SEND_QUEUE_BYTES_MAX)
        return CHAT_ETOOLARGE;
    send = make_send(message, queue->options.timeout_ms);
    if (send == NULL)
        return CHAT_ENOMEM;
    STAILQ_INSERT_TAIL(&queue->sends, send, next);
    queue->count++;
    queue->bytes += send->bytes;
    if (queue->count > 1)
        return CHAT_OK;
    status = begin(queue);
    if (status != CHAT_OK)
        drop_front(queue);
    return status;
}

/* ---- Beginning and end ---- */

struct send_queue *send_queue_create(const struct send_queue_options *options)
{
    struct send_queue *queue = calloc(1, sizeof *queue);
    const char **strings[] = {NULL, NULL, NULL, NULL};

    if (queue == NULL)
        return NULL;
    queue->options = *options;
    STAILQ_INIT(&queue->sends);
    strings[0] = &queue->options.namespace_name;
    strings[1] = &queue->options.acting_user;
    strings[2] = &queue->options.chat_id;
    strings[3] = &queue->options.user_id;
    for (int i = 0; i < 4; i++) {
        queue->strings[i] = strdup(*strings[i] == NULL ? "" : *strings[i]);
        if (queue->strings[i] == NULL) {
            free_queue(queue);
            return NULL;
        }
        *strings[i] = queue->strings[i];
    }
    return queue;
}

void send_queue_close(struct send_queue *queue)
{
    queue->closed = true;
    if (!queue->calling && !queue->telling)
        free_queue(queue);
}
