/*
 *              own thread                library's threads
 *     connect ─┬─ attach ──▶ ┐   detach, closed, denied ──▶ ┐
 *              │             ├── posted, under the lock ────┤──▶ uv_async ──▶ loop
 *              └─ connected ─┴─────────────────▶ loop: poll the socket ──▶ read, write
 *
 * The library's own adapter for libuv wants to be attached on the loop's thread, so that connecting
 * would block the loop. This one takes note of the socket in attach, wherever that is called, and
 * begins to poll when the connection is there. Its other callbacks are called with the library's
 * locks held and from any thread: they write down what is wanted and wake the loop.
 *
 * What is published gathers in the library. A socket nearly always takes it, so that it is written
 * without asking: before the loop waits, or as soon as there are EARLY_BYTES of it. Only what is
 * left over is polled for.
 *
 * The library may close its socket on a thread of its own, for one when pings go unanswered;
 * another file can then get the number while libuv still polls it. So what is polled is a
 * duplicate, which is ours to close.
 *
 * Nothing can stop an attempt to connect, which takes seconds when the other side does not answer.
 * Whoever closes meanwhile does not wait: the loop parts from the link, which then belongs to the
 * thread, and to the library's last callback if there is a connection after all.
 *
 * The end, by whomever: the library detaches. Destroying the connection may wait for bytes to
 * be taken and for locks, and goes to the pool. The link is gone when that is done, the library
 * has said "detached" and "closed" (no callback comes after that), and libuv has closed the
 * handles.
 */
#include "clients/libchat/nats_link.h"

#include "base/handshake.h"
#include "base/side_thread.h"
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TEXT_BYTES 256
/* Published in one turn of the loop; past it they are written at once, so that the broker can
 * begin. */
#define EARLY_BYTES ((size_t)16 * 1024)
/* A TLS handshake may take one to two of them. */
#define HANDSHAKE_CHECK_MS 3000
#define HANDSHAKE_END_MS 1000

/* What other threads have to say. */
struct posted {
    int socket; /* ours; -1: not attached yet */
    bool want_read;
    bool want_write;
    bool detached;
    bool closed;
    bool denied;
    char denied_text[TEXT_BYTES];
    /* The loop does not wait for the attempt: nobody wakes it, and so many have the link still. */
    bool left;
    bool held_until_closed;
    unsigned holders;
};

struct nats_link {
    uv_loop_t *loop;
    uv_thread_t thread; /* of the loop */
    struct nats_link_handlers handlers;
    struct connection_options *options;
    struct side_thread *connecting; /* NULL: not now */
    struct handshake handshake;
    natsConnection *connection;
    uv_async_t wake;
    uv_prepare_t prepare; /* before the loop waits */
    uv_idle_t idle;       /* while bytes are unwritten: the loop does not wait */
    uv_timer_t timer;     /* looks after the handshake */
    uv_poll_t poll;
    uv_work_t work;
    uv_mutex_t lock; /* over `posted`; a leaf */
    struct posted posted;

    /* The loop's. */
    natsStatus status; /* of connecting */
    char reason[TEXT_BYTES];
    bool open;
    bool close_wanted;
    bool polling;      /* `poll` is a handle of the loop */
    int polled_events; /* what it is polled for */
    bool poll_writes;  /* what is unwritten is polled for */
    size_t published;  /* bytes since the last write */
    bool working;      /* the pool has `work` */
    bool destroyed;    /* the connection is, or there never was one */
    unsigned handles;  /* that have not been closed */
};

static void settle(struct nats_link *link);

/* ---- What the library calls ---- */

/* Under the lock: once the loop has parted from the link, nobody uses the handle. */
static void wake(struct nats_link *link)
{
    if (!link->posted.left)
        uv_async_send(&link->wake);
}

static void free_link(struct nats_link *link)
{
    if (link->posted.socket >= 0)
        close(link->posted.socket);
    uv_mutex_destroy(&link->lock);
    handshake_destroy(&link->handshake);
    connection_options_release(link->options);
    free(link);
}

/* Of a link that was left. */
static void let_go(struct nats_link *link)
{
    bool last;

    uv_mutex_lock(&link->lock);
    last = --link->posted.holders == 0;
    uv_mutex_unlock(&link->lock);
    if (last)
        free_link(link);
}

static natsStatus on_attach(void **user_data, void *loop, natsConnection *connection,
                            natsSock socket)
{
    struct nats_link *link = loop;
    int own = fcntl(socket, F_DUPFD_CLOEXEC, 0);

    (void)connection;
    if (own < 0)
        return NATS_SYS_ERROR;
    *user_data = link;
    uv_mutex_lock(&link->lock);
    /* Of an attempt with another address that failed after all. */
    if (link->posted.socket >= 0)
        close(link->posted.socket);
    link->posted.socket = own;
    link->posted.want_read = true;
    link->posted.detached = false;
    uv_mutex_unlock(&link->lock);
    return NATS_OK;
}

static void poll_as_wanted(struct nats_link *link);

static void on_idle(uv_idle_t *idle)
{
    (void)idle; /* its being active is all that is wanted */
}

static natsStatus on_read(void *user_data, bool add)
{
    struct nats_link *link = user_data;

    uv_mutex_lock(&link->lock);
    link->posted.want_read = add;
    wake(link);
    uv_mutex_unlock(&link->lock);
    return NATS_OK;
}

/* What the loop's thread publishes, and that is nearly all, is written before the loop waits. Other
 * threads have the loop poll for it. */
static natsStatus on_write(void *user_data, bool add)
{
    struct nats_link *link = user_data;
    uv_thread_t self = uv_thread_self();
    bool here = uv_thread_equal(&self, &link->thread) != 0;

    uv_mutex_lock(&link->lock);
    link->posted.want_write = add;
    if (!here)
        wake(link);
    uv_mutex_unlock(&link->lock);
    if (here && add && !link->poll_writes)
        uv_idle_start(&link->idle, on_idle);
    return NATS_OK;
}

/* Sent under the lock: once the loop has seen it, nobody else uses the handle. */
static natsStatus on_detach(void *user_data)
{
    struct nats_link *link = user_data;

    uv_mutex_lock(&link->lock);
    link->posted.detached = true;
    wake(link);
    uv_mutex_unlock(&link->lock);
    return NATS_OK;
}

static void on_closed(natsConnection *connection, void *closure)
{
    struct nats_link *link = closure;
    bool held;

    (void)connection;
    uv_mutex_lock(&link->lock);
    link->posted.closed = true;
    held = link->posted.held_until_closed;
    wake(link);
    uv_mutex_unlock(&link->lock);
    if (held)
        let_go(link);
}

static void on_error(natsConnection *connection, natsSubscription *subscription, natsStatus status,
                     void *closure)
{
    struct nats_link *link = closure;
    const char *text = NULL;

    (void)subscription;
    if (status != NATS_NOT_PERMITTED)
        return;
    (void)natsConnection_GetLastError(connection, &text);
    uv_mutex_lock(&link->lock);
    link->posted.denied = true;
    snprintf(link->posted.denied_text, TEXT_BYTES, "%s", text == NULL ? "" : text);
    wake(link);
    uv_mutex_unlock(&link->lock);
}

/* ---- Polling ---- */

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct nats_link *link = poll->data;

    if (status < 0 || (events & UV_READABLE) != 0) {
        natsConnection_ProcessReadEvent(link->connection);
        link->handlers.readable(link->handlers.data);
    }
    if (status >= 0 && (events & UV_WRITABLE) != 0 && link->polling) {
        natsConnection_ProcessWriteEvent(link->connection);
        poll_as_wanted(link);
    }
    /* libuv stops polling a socket with an error. The library has to read up to that error, and
     * then detaches. */
    if (status < 0) {
        link->polled_events = 0;
        poll_as_wanted(link);
    }
}

/* An error here is one of memory or of a socket that is closed; the library cannot go on then. */
static void give_up_polling(struct nats_link *link)
{
    link->close_wanted = true;
    uv_async_send(&link->wake);
}

static void poll_as_wanted(struct nats_link *link)
{
    int events;

    if (!link->polling)
        return;
    uv_mutex_lock(&link->lock);
    link->poll_writes = link->poll_writes && link->posted.want_write;
    events = (link->posted.want_read ? UV_READABLE : 0) | (link->poll_writes ? UV_WRITABLE : 0);
    uv_mutex_unlock(&link->lock);
    if (events == link->polled_events)
        return;
    link->polled_events = events;
    if (events == 0)
        uv_poll_stop(&link->poll);
    else if (uv_poll_start(&link->poll, events, on_poll) != 0)
        give_up_polling(link);
}

/* What the socket does not take is polled for. */
static void write_now(struct nats_link *link)
{
    uv_idle_stop(&link->idle);
    link->published = 0;
    if (!link->open || link->poll_writes)
        return;
    natsConnection_ProcessWriteEvent(link->connection);
    link->poll_writes = true;
    poll_as_wanted(link);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct nats_link *link = prepare->data;

    if (uv_is_active((uv_handle_t *)&link->idle))
        write_now(link);
}

void nats_link_published(struct nats_link *link, size_t size)
{
    link->published += size;
    if (link->published >= EARLY_BYTES && uv_is_active((uv_handle_t *)&link->idle))
        write_now(link);
}

static void start_polling(struct nats_link *link)
{
    if (uv_poll_init(link->loop, &link->poll, link->posted.socket) != 0) {
        give_up_polling(link);
        return;
    }
    link->poll.data = link;
    link->polling = true;
    link->poll_writes = true; /* maybe unwritten since it was attached */
    link->handles++;
    poll_as_wanted(link);
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct nats_link *link = handle->data;

    link->handles--;
    settle(link);
}

static void stop_polling(struct nats_link *link)
{
    if (!link->polling)
        return;
    link->polling = false;
    uv_close((uv_handle_t *)&link->poll, on_handle_closed);
}

/* ---- Ending ---- */

static void destroy_work(uv_work_t *work)
{
    struct nats_link *link = work->data;

    natsConnection_Destroy(link->connection);
    nats_ReleaseThreadMemory();
}

static void after_destroy(uv_work_t *work, int cancelled)
{
    struct nats_link *link = work->data;

    (void)cancelled;
    link->working = false;
    link->destroyed = true;
    link->connection = NULL;
    settle(link);
}

static void destroy(struct nats_link *link)
{
    if (link->working || link->destroyed)
        return;
    link->open = false; /* the connection is the pool thread's now */
    link->working = true;
    uv_queue_work(link->loop, &link->work, destroy_work, after_destroy);
}

static void end(struct nats_link *link)
{
    struct nats_link_handlers handlers = link->handlers;
    natsStatus status = link->status;
    char reason[TEXT_BYTES];

    memcpy(reason, link->reason, sizeof reason);
    free_link(link);
    handlers.ended(handlers.data, status, reason);
}

static void close_handles(struct nats_link *link)
{
    uv_close((uv_handle_t *)&link->wake, on_handle_closed);
    uv_close((uv_handle_t *)&link->prepare, on_handle_closed);
    uv_close((uv_handle_t *)&link->idle, on_handle_closed);
    uv_close((uv_handle_t *)&link->timer, on_handle_closed);
}

/* The loop's part of a link that was left. */
static void part(struct nats_link *link)
{
    struct nats_link_handlers handlers = link->handlers;

    if (link->handles > 0)
        return;
    let_go(link);
    handlers.ended(handlers.data, NATS_OK, "");
}

/* Takes the next step towards the end, if it is time for one. */
static void settle(struct nats_link *link)
{
    bool detached;
    bool closed;

    if (link->posted.left) { /* set by this thread */
        part(link);
        return;
    }
    uv_mutex_lock(&link->lock);
    detached = link->posted.detached || link->posted.socket < 0;
    closed = link->posted.closed || link->status != NATS_OK;
    uv_mutex_unlock(&link->lock);
    if (link->working)
        return;
    if (detached)
        stop_polling(link);
    if (!link->destroyed && (detached || link->close_wanted))
        destroy(link);
    if (!link->destroyed || !detached || !closed)
        return;
    if (!uv_is_closing((uv_handle_t *)&link->wake))
        close_handles(link);
    else if (link->handles == 0)
        end(link);
}

static void on_wake(uv_async_t *wake)
{
    struct nats_link *link = wake->data;
    char text[TEXT_BYTES];
    bool denied;

    uv_mutex_lock(&link->lock);
    denied = link->posted.denied;
    link->posted.denied = false;
    memcpy(text, link->posted.denied_text, sizeof text);
    uv_mutex_unlock(&link->lock);
    link->poll_writes = true;
    poll_as_wanted(link);
    if (denied && link->open)
        link->handlers.denied(link->handlers.data, text);
    settle(link);
}

natsConnection *nats_link_connection(const struct nats_link *link)
{
    return link->open ? link->connection : NULL;
}

static void leave(struct nats_link *link)
{
    uv_mutex_lock(&link->lock);
    link->posted.left = true;
    link->posted.holders = 2; /* the loop, and who connects */
    uv_mutex_unlock(&link->lock);
    side_thread_leave(link->connecting);
    link->connecting = NULL;
    close_handles(link);
}

static void leave_or_wait(struct nats_link *link);

static void on_handshake_ended(uv_timer_t *timer)
{
    leave_or_wait(timer->data);
}

/* What is in a handshake ends at once when it is told to, and with the last address the attempt
 * does: that is waited for, since OpenSSL must not have a thread left that works when the process
 * exits. With another address, it is left there, a little later. */
static void leave_or_wait(struct nats_link *link)
{
    if (handshake_end(&link->handshake))
        uv_timer_start(&link->timer, on_handshake_ended, HANDSHAKE_END_MS, 0);
    else
        leave(link);
}

void nats_link_close(struct nats_link *link)
{
    link->close_wanted = true;
    if (link->connecting != NULL)
        leave_or_wait(link);
    else
        uv_async_send(&link->wake);
}

/* ---- Beginning ---- */

/* What the library says of its last failure on this thread, without the place in its source. */
static void copy_reason(char reason[TEXT_BYTES], natsStatus status)
{
    const char *text = nats_GetLastError(NULL);
    const char *after = text != NULL && text[0] == '(' ? strstr(text, "): ") : NULL;

    if (after != NULL)
        text = after + strlen("): ");
    if (text == NULL || text[0] == '\0')
        text = natsStatus_GetText(status);
    snprintf(reason, TEXT_BYTES, "%s", text);
}

static void connect_work(void *data)
{
    struct nats_link *link = data;

    handshake_watch(&link->handshake);
    link->status =
        natsConnection_Connect(&link->connection, connection_options_nats(link->options));
    handshake_unwatch();
    if (link->status != NATS_OK)
        copy_reason(link->reason, link->status);
    nats_ReleaseThreadMemory();
}

static void connect_done(void *data)
{
    struct nats_link *link = data;

    link->connecting = NULL;
    link->working = false;
    uv_timer_stop(&link->timer);
    if (link->status != NATS_OK) {
        link->connection = NULL;
        link->destroyed = true;
    } else {
        start_polling(link);
        link->open = true;
        if (!link->close_wanted)
            link->handlers.opened(link->handlers.data);
    }
    settle(link);
}

/* Nobody wants the connection any more. */
static void connect_left(void *data)
{
    struct nats_link *link = data;

    if (link->status == NATS_OK) {
        uv_mutex_lock(&link->lock);
        link->posted.held_until_closed = !link->posted.closed;
        link->posted.holders += link->posted.held_until_closed;
        uv_mutex_unlock(&link->lock);
        natsConnection_Destroy(link->connection);
        nats_ReleaseThreadMemory();
    }
    let_go(link);
}

static natsStatus set_callbacks(struct nats_link *link)
{
    natsOptions *options = connection_options_nats(link->options);
    natsStatus status =
        natsOptions_SetEventLoop(options, link, on_attach, on_read, on_write, on_detach);

    if (status == NATS_OK)
        status = natsOptions_SetClosedCB(options, on_closed, link);
    if (status == NATS_OK)
        status = natsOptions_SetErrorHandler(options, on_error, link);
    return status;
}

static void start_handles(struct nats_link *link)
{
    link->wake.data = link;
    uv_prepare_init(link->loop, &link->prepare);
    link->prepare.data = link;
    uv_prepare_start(&link->prepare, on_prepare);
    uv_idle_init(link->loop, &link->idle);
    link->idle.data = link;
    uv_timer_init(link->loop, &link->timer);
    link->timer.data = link;
    link->handles = 4;
}

static void on_timer(uv_timer_t *timer)
{
    struct nats_link *link = timer->data;

    handshake_check(&link->handshake);
}

/* Without a thread it is an attempt that failed. */
static void connect_now(struct nats_link *link)
{
    const struct side_job job = {
        .data = link, .work = connect_work, .done = connect_done, .left = connect_left};

    link->connecting = side_thread_start(link->loop, &job);
    link->working = link->connecting != NULL;
    if (link->working) {
        uv_timer_start(&link->timer, on_timer, HANDSHAKE_CHECK_MS, HANDSHAKE_CHECK_MS);
        return;
    }
    link->status = NATS_SYS_ERROR;
    snprintf(link->reason, TEXT_BYTES, "no thread to connect with");
    link->destroyed = true;
    uv_async_send(&link->wake);
}

int nats_link_open(struct nats_link **result, uv_loop_t *loop, struct connection_options *options,
                   const struct nats_link_handlers *handlers)
{
    struct nats_link *link = calloc(1, sizeof *link);

    if (link == NULL)
        return -1;
    *link = (struct nats_link){.loop = loop,
                               .thread = uv_thread_self(),
                               .handlers = *handlers,
                               .options = connection_options_hold(options),
                               .posted.socket = -1};
    if (set_callbacks(link) != NATS_OK || handshake_init(&link->handshake) != 0)
        goto err_after_link;
    if (uv_mutex_init(&link->lock) != 0)
        goto err_after_handshake;
    if (uv_async_init(loop, &link->wake, on_wake) != 0)
        goto err_after_lock;
    link->work.data = link;
    start_handles(link);
    connect_now(link);
    *result = link;
    return 0;

err_after_lock:
    uv_mutex_destroy(&link->lock);
err_after_handshake:
    handshake_destroy(&link->handshake);
err_after_link:
    connection_options_release(options);
    free(link);
    return -1;
}
