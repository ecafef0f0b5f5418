/*
 *   published ─▶ on_write(add) ─▶ unwritten ─▶ broker_adapter_write ─▶ all taken: on_write(remove)
 *                    │ another thread's             │ not all
 *                    └──────────────▶ polled ◀──────┘     writable ─▶ … ─▶ on_write(remove)
 *
 * A connection is made on a thread that is not the loop's, and attached there. The library's
 * adapter wants that to be on the loop: so the socket is noted, and the adapter attached when the
 * loop uses the connection. What comes between, waits.
 *
 * The library's adapter counts on the connection's lock, which its callbacks are called with, and
 * which we do not have in broker_adapter_write: our own is held over all calls of it.
 */
#include "service/broker_adapter.h"

#include "service/broker_libuv.h"

#define NO_SOCKET (-1)

static natsStatus on_attach(void **user_data, void *loop, natsConnection *connection,
                            natsSock socket)
{
    struct broker_adapter *adapter = loop;

    (void)connection;
    uv_mutex_lock(&adapter->lock);
    adapter->inner = NULL;
    adapter->socket = socket;
    adapter->unwritten = false;
    adapter->polled = false;
    uv_mutex_unlock(&adapter->lock);
    *user_data = adapter;
    return NATS_OK;
}

static natsStatus on_read(void *user_data, bool add)
{
    struct broker_adapter *adapter = user_data;
    natsStatus status = NATS_OK;

    uv_mutex_lock(&adapter->lock);
    if (adapter->inner != NULL)
        status = broker_libuv.read(adapter->inner, add);
    uv_mutex_unlock(&adapter->lock);
    return status;
}

/* Its being active is all that is wanted. */
static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

/* Bytes that were published by the loop's thread wait until they are written from there; others are
 * polled for at once, since the loop may be waiting. */
static natsStatus on_write(void *user_data, bool add)
{
    struct broker_adapter *adapter = user_data;
    uv_thread_t self = uv_thread_self();
    bool here = uv_thread_equal(&self, &adapter->thread) != 0;
    bool poll = add && (!here || adapter->closed);
    natsStatus status = NATS_OK;

    uv_mutex_lock(&adapter->lock);
    adapter->unwritten = add;
    if (adapter->inner != NULL && poll != adapter->polled) {
        adapter->polled = poll;
        status = broker_libuv.write(adapter->inner, poll);
    }
    uv_mutex_unlock(&adapter->lock);
    if (here && add && !poll)
        uv_idle_start(&adapter->idle, on_idle);
    return status;
}

static natsStatus on_detach(void *user_data)
{
    struct broker_adapter *adapter = user_data;
    natsStatus status = NATS_OK;

    uv_mutex_lock(&adapter->lock);
    if (adapter->inner != NULL)
        status = broker_libuv.detach(adapter->inner);
    adapter->inner = NULL;
    adapter->socket = NO_SOCKET;
    adapter->unwritten = false;
    uv_mutex_unlock(&adapter->lock);
    return status;
}

static bool is_unwritten(struct broker_adapter *adapter)
{
    bool unwritten;

    uv_mutex_lock(&adapter->lock);
    unwritten = adapter->unwritten;
    uv_mutex_unlock(&adapter->lock);
    return unwritten;
}

/* What is not taken is polled for. */
static void poll_for_rest(struct broker_adapter *adapter)
{
    uv_mutex_lock(&adapter->lock);
    if (adapter->unwritten && !adapter->polled && adapter->inner != NULL)
        adapter->polled = broker_libuv.write(adapter->inner, true) == NATS_OK;
    uv_mutex_unlock(&adapter->lock);
}

void broker_adapter_write(struct broker_adapter *adapter)
{
    if (!uv_is_active((uv_handle_t *)&adapter->idle))
        return;
    uv_idle_stop(&adapter->idle);
    if (adapter->connection == NULL || !is_unwritten(adapter))
        return;
    natsConnection_ProcessWriteEvent(adapter->connection);
    poll_for_rest(adapter);
}

static void on_prepare(uv_prepare_t *prepare)
{
    broker_adapter_write(prepare->data);
}

natsStatus broker_adapter_use(struct broker_adapter *adapter, natsConnection *connection)
{
    natsStatus status = NATS_OK;

    adapter->connection = connection;
    if (connection == NULL)
        return NATS_OK;
    uv_mutex_lock(&adapter->lock);
    /* Detached again, or the socket is still the library's to close: not while we have the lock. */
    if (adapter->socket == NO_SOCKET)
        status = NATS_CONNECTION_CLOSED;
    else
        status = broker_libuv.attach(&adapter->inner, adapter->loop, connection, adapter->socket);
    uv_mutex_unlock(&adapter->lock);
    if (status == NATS_OK)
        poll_for_rest(adapter);
    return status;
}

int broker_adapter_init(struct broker_adapter *adapter, uv_loop_t *loop)
{
    *adapter =
        (struct broker_adapter){.loop = loop, .thread = uv_thread_self(), .socket = NO_SOCKET};
    if (uv_mutex_init(&adapter->lock) != 0)
        return -1;
    uv_idle_init(loop, &adapter->idle);
    uv_prepare_init(loop, &adapter->prepare);
    adapter->prepare.data = adapter;
    uv_prepare_start(&adapter->prepare, on_prepare);
    return 0;
}

void broker_adapter_close(struct broker_adapter *adapter)
{
    broker_adapter_write(adapter);
    adapter->closed = true;
    uv_close((uv_handle_t *)&adapter->idle, NULL);
    uv_close((uv_handle_t *)&adapter->prepare, NULL);
}

void broker_adapter_free(struct broker_adapter *adapter)
{
    uv_mutex_destroy(&adapter->lock);
}

natsStatus broker_adapter_install(struct broker_adapter *adapter, natsOptions *options)
{
    broker_libuv.init();
    broker_libuv.set_thread_loop(adapter->loop);
    return natsOptions_SetEventLoop(options, adapter, on_attach, on_read, on_write, on_detach);
}
