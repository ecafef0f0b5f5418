/* Each link is one of libchat's connections; the first bad news about one ends the opening of all.
 */
#include "clients/bench/bench_link.h"

#include "base/uuid.h"
#include "clients/bench/bench_settings.h"
#include <stdlib.h>

#define QUEUE_GROUP "q"

static void on_up(void *data)
{
    struct link *link = data;

    link->links->up++;
}

static void on_down(void *data, int status, const char *detail)
{
    struct link *link = data;

    (void)status;
    if (!link->links->failed)
        fprintf(link->links->err, BENCH_PROGRAM ": %s\n", detail);
    link->links->failed = true;
}

static void on_denied(void *data, const char *text)
{
    on_down(data, CHAT_EDENIED, text);
}

static void subscribe(struct link *link, const struct link_subject *subject,
                      const char *inbox_prefix)
{
    char id[UUID_TEXT_BYTES + 1] = "";
    struct uuid uuid;

    uuid_make(&uuid);
    uuid_format(&uuid, id);
    snprintf(link->inbox, sizeof link->inbox, "%s.%s.",
             inbox_prefix == NULL || inbox_prefix[0] == '\0' ? "_INBOX" : inbox_prefix, id);
    if (subject->subject == NULL)
        snprintf(link->subject, sizeof link->subject, "%s*", link->inbox);
    else
        snprintf(link->subject, sizeof link->subject, "%s", subject->subject);
    link->subscription = (struct connection_subscription){
        .subject = link->subject,
        .queue_group = subject->subject == NULL ? NULL : QUEUE_GROUP,
        .data = subject->data,
        .receive = subject->receive,
        .no_responders = subject->no_responders,
    };
    connection_subscribe(link->connection, &link->subscription);
}

static int open_link(struct link *link, const struct chat_options *options)
{
    const struct connection_handlers handlers = {
        .data = link, .up = on_up, .down = on_down, .denied = on_denied};
    int status = connection_start(&link->connection, link->links->loop, options, &handlers);

    if (status == CHAT_OK)
        link->links->open++;
    else
        fprintf(link->links->err, BENCH_PROGRAM ": the options for the broker are not usable: %s\n",
                chat_strerror(status));
    return status;
}

int links_open(struct links *links, uv_loop_t *loop, const struct broker_access *access,
               size_t count, const struct link_subject *subject, FILE *err)
{
    const struct chat_options options = broker_access_options(access, BENCH_PROGRAM);

    *links = (struct links){.loop = loop, .links = calloc(count, sizeof(struct link)), .err = err};
    if (links->links == NULL) {
        fprintf(err, BENCH_PROGRAM ": out of memory\n");
        return -1;
    }
    for (; links->count < count; links->count++) {
        struct link *link = &links->links[links->count];
        link->links = links;
        if (open_link(link, &options) != CHAT_OK)
            break;
        subscribe(link, subject, options.inbox_prefix);
    }
    while (links->open == count && links->up < count && !links->failed)
        uv_run(loop, UV_RUN_ONCE);
    if (links->up == count)
        return 0;
    links_close(links);
    return -1;
}

static void on_closed(void *data)
{
    struct links *links = data;

    links->open--;
}

void links_close(struct links *links)
{
    links->failed = true;
    for (size_t i = 0; i < links->count; i++)
        connection_close(links->links[i].connection, on_closed, links);
    while (links->open > 0)
        uv_run(links->loop, UV_RUN_ONCE);
    free(links->links);
    *links = (struct links){0};
}
