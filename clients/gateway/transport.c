/*
 *     transport_write ─▶ queue ──(before the loop waits)──▶ try to write ─▶ the kernel
 *                                                             │ it is full
 *                                                             └─▶ libuv writes, and tells ─▶ on
 *
 * With TLS the queue is sealed, up to SEAL_BYTES at a time, into one block that goes the same way;
 * more is sealed when it has gone.
 *
 * A connection that fails is told once, by `ended`, from the loop: at a failed read at once, at a
 * failed write by the read that follows it.
 */
#include "clients/gateway/transport.h"

#include "clients/gateway/tls.h"
#include <stdlib.h>
#include <string.h>

#define BUFS_MAX 64
#define SEAL_BYTES ((size_t)64 * 1024)
/* What the kernel holds for a client that does not read; it doubles that. Left alone it would let
 * it grow to megabytes, for each of them. */
#define KERNEL_BYTES (256 * 1024)

static void flush(struct transport *transport);

static void mark_dirty(struct transport *transport)
{
    if (transport->is_dirty || transport->closing)
        return;
    transport->is_dirty = true;
    transport->next_dirty = transport->pool->dirty;
    transport->pool->dirty = transport;
}

/* ---- The queue ---- */

static struct shared_bytes **queue_at(const struct transport *transport, size_t i)
{
    return &transport->queue[(transport->queue_first + i) & (transport->queue_capacity - 1)];
}

static void queue_grow(struct transport *transport)
{
    size_t capacity = transport->queue_capacity == 0 ? 4 : transport->queue_capacity * 2;
    struct shared_bytes **queue = malloc(capacity * sizeof(struct shared_bytes *));

    if (queue == NULL)
        abort();
    for (size_t i = 0; i < transport->queue_count; i++)
        queue[i] = *queue_at(transport, i);
    free(transport->queue);
    transport->queue = queue;
    transport->queue_first = 0;
    transport->queue_capacity = capacity;
}

/* So many bytes of the queue's front are done with. */
static void queue_advance(struct transport *transport, size_t bytes)
{
    transport->pending -= bytes;
    bytes += transport->offset;
    while (transport->queue_count > 0 && bytes >= (*queue_at(transport, 0))->size) {
        bytes -= (*queue_at(transport, 0))->size;
        shared_bytes_drop(*queue_at(transport, 0));
        transport->queue_first = (transport->queue_first + 1) & (transport->queue_capacity - 1);
        transport->queue_count--;
    }
    transport->offset = bytes;
}

static void queue_clear(struct transport *transport)
{
    for (size_t i = 0; i < transport->queue_count; i++)
        shared_bytes_drop(*queue_at(transport, i));
    free(transport->queue);
    shared_bytes_drop(transport->sealed);
    transport->queue = NULL;
    transport->sealed = NULL;
    transport->queue_count = 0;
    transport->queue_capacity = 0;
    transport->pending = 0;
}

static unsigned queue_bufs(const struct transport *transport, uv_buf_t bufs[BUFS_MAX])
{
    size_t count = transport->queue_count < BUFS_MAX ? transport->queue_count : BUFS_MAX;

    for (size_t i = 0; i < count; i++) {
        struct shared_bytes *bytes = *queue_at(transport, i);
        size_t skip = i == 0 ? transport->offset : 0;
        bufs[i] = uv_buf_init((char *)bytes->data + skip, (unsigned)(bytes->size - skip));
    }
    return (unsigned)count;
}

/* ---- Writing ---- */

static void note_progress(struct transport *transport, size_t bytes)
{
    transport->pool->sent_bytes += bytes;
    transport->progress_ms = uv_now(transport->pool->loop);
}

static bool has_output(const struct transport *transport)
{
    return transport->queue_count > 0 || transport->sealed != NULL;
}

/* What cannot be written any more will not be read either: the next read tells. */
static void fail(struct transport *transport)
{
    transport->failed = true;
}

static void on_written(uv_write_t *write, int status)
{
    struct transport *transport = write->data;
    size_t bytes = 0;

    if (transport->sealed != NULL) {
        bytes = transport->sealed->size - transport->sealed_offset;
        shared_bytes_drop(transport->sealed);
        transport->sealed = NULL;
    } else {
        for (size_t i = 0; i < transport->in_flight; i++)
            bytes += (*queue_at(transport, i))->size - (i == 0 ? transport->offset : 0);
        queue_advance(transport, bytes);
    }
    transport->in_flight = 0;
    if (transport->closing)
        return;
    if (status != 0) {
        fail(transport);
        transport->handlers->ended(transport->data, status);
        return;
    }
    note_progress(transport, bytes);
    flush(transport);
}

/* Hands the buffers to libuv, which tells when they are written. */
static void write_slowly(struct transport *transport, const uv_buf_t *bufs, unsigned count)
{
    transport->write.data = transport;
    transport->in_flight = count;
    if (uv_write(&transport->write, (uv_stream_t *)&transport->tcp, bufs, count, on_written) != 0) {
        transport->in_flight = 0;
        fail(transport);
    }
}

/* Returns how many bytes the kernel took; 0 also after an error. */
static size_t write_at_once(struct transport *transport, const uv_buf_t *bufs, unsigned count)
{
    int written = uv_try_write((uv_stream_t *)&transport->tcp, bufs, count);

    if (written == UV_EAGAIN)
        return 0;
    if (written < 0) {
        fail(transport);
        return 0;
    }
    note_progress(transport, (size_t)written);
    return (size_t)written;
}

static void flush_plain(struct transport *transport)
{
    uv_buf_t bufs[BUFS_MAX];

    while (transport->queue_count > 0 && !transport->failed && transport->in_flight == 0) {
        unsigned count = queue_bufs(transport, bufs);
        size_t wanted = 0;
        size_t written = write_at_once(transport, bufs, count);
        for (unsigned i = 0; i < count; i++)
            wanted += bufs[i].len;
        queue_advance(transport, written);
        if (written < wanted && !transport->failed)
            write_slowly(transport, bufs, queue_bufs(transport, bufs));
    }
}

static void seal_queue(struct transport *transport)
{
    size_t sealed = 0;

    while (transport->queue_count > 0 && sealed < SEAL_BYTES) {
        struct shared_bytes *bytes = *queue_at(transport, 0);
        size_t size = bytes->size - transport->offset;
        size = size < SEAL_BYTES ? size : SEAL_BYTES;
        if (tls_session_seal(transport->tls, bytes->data + transport->offset, size) != 0) {
            fail(transport);
            return;
        }
        queue_advance(transport, size);
        sealed += size;
    }
}

static void flush_tls(struct transport *transport)
{
    while (!transport->failed && transport->in_flight == 0) {
        size_t written;
        uv_buf_t buf;
        if (transport->sealed == NULL) {
            if (tls_session_is_ready(transport->tls))
                seal_queue(transport);
            if (transport->finishing && transport->queue_count == 0)
                tls_session_finish(transport->tls);
            transport->sealed = tls_session_take(transport->tls);
            transport->sealed_offset = 0;
        }
        if (transport->sealed == NULL)
            return;
        buf = uv_buf_init((char *)transport->sealed->data + transport->sealed_offset,
                          (unsigned)(transport->sealed->size - transport->sealed_offset));
        written = write_at_once(transport, &buf, 1);
        transport->sealed_offset += written;
        if (written < buf.len && !transport->failed) {
            buf.base += written;
            buf.len -= written;
            write_slowly(transport, &buf, 1);
        } else if (!transport->failed) {
            shared_bytes_drop(transport->sealed);
            transport->sealed = NULL;
        }
    }
}

static void on_shut(uv_shutdown_t *request, int status)
{
    (void)request;
    (void)status;
}

static void flush(struct transport *transport)
{
    if (transport->closing)
        return;
    if (transport->tls != NULL)
        flush_tls(transport);
    else
        flush_plain(transport);
    if (transport->failed) {
        transport->handlers->ended(transport->data, UV_ECONNRESET);
        return;
    }
    if (has_output(transport))
        return;
    if (transport->finishing && !transport->shut) {
        transport->shut = true;
        (void)uv_shutdown(&transport->shutdown, (uv_stream_t *)&transport->tcp, on_shut);
    }
    transport->handlers->drained(transport->data);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct transport_pool *pool = prepare->data;

    while (pool->dirty != NULL) {
        struct transport *transport = pool->dirty;
        pool->dirty = transport->next_dirty;
        transport->is_dirty = false;
        flush(transport);
    }
}

void transport_write(struct transport *transport, struct shared_bytes *bytes)
{
    if (transport->closing || transport->finishing || transport->failed || bytes->size == 0) {
        shared_bytes_drop(bytes);
        return;
    }
    if (transport->queue_count == transport->queue_capacity)
        queue_grow(transport);
    if (!has_output(transport))
        transport->progress_ms = uv_now(transport->pool->loop);
    *queue_at(transport, transport->queue_count) = bytes;
    transport->queue_count++;
    transport->pending += bytes->size;
    mark_dirty(transport);
}

void transport_finish(struct transport *transport)
{
    transport->finishing = true;
    mark_dirty(transport);
}

/* ---- Reading ---- */

static void on_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct transport *transport = handle->data;

    (void)suggested;
    *buf = uv_buf_init(transport->pool->input, sizeof transport->pool->input);
}

static void read_tls(struct transport *transport, const char *bytes, size_t size)
{
    char opened[16 * 1024];
    int count;

    if (tls_session_feed(transport->tls, bytes, size) != 0) {
        transport->handlers->ended(transport->data, UV_ENOMEM);
        return;
    }
    mark_dirty(transport);
    while (!transport->closing &&
           (count = tls_session_open(transport->tls, opened, sizeof opened)) != 0) {
        if (count < 0) {
            flush(transport); /* the alert */
            if (!transport->closing)
                transport->handlers->ended(transport->data,
                                           tls_session_is_ready(transport->tls) ? 0 : UV_EPROTO);
            return;
        }
        transport->handlers->read(transport->data, opened, (size_t)count);
    }
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct transport *transport = stream->data;

    if (size < 0) {
        transport->failed = transport->failed || size != UV_EOF;
        transport->handlers->ended(transport->data, size == UV_EOF ? 0 : (int)size);
        return;
    }
    transport->pool->received_bytes += (size_t)size;
    if (transport->tls != NULL)
        read_tls(transport, buf->base, (size_t)size);
    else if (size > 0)
        transport->handlers->read(transport->data, buf->base, (size_t)size);
}

void transport_pause(struct transport *transport)
{
    uv_read_stop((uv_stream_t *)&transport->tcp);
}

void transport_resume(struct transport *transport)
{
    if (!transport->closing)
        (void)uv_read_start((uv_stream_t *)&transport->tcp, on_allocate, on_read);
}

/* ---- Beginning and end ---- */

int transport_accept(struct transport *transport, struct transport_pool *pool,
                     uv_stream_t *listener, struct tls_session *tls,
                     const struct transport_handlers *handlers, void *data)
{
    int kernel_bytes = KERNEL_BYTES;
    int error;

    transport->pool = pool;
    transport->handlers = handlers;
    transport->data = data;
    transport->tls = tls;
    transport->progress_ms = uv_now(pool->loop);
    uv_tcp_init(pool->loop, &transport->tcp);
    transport->tcp.data = transport;
    error = uv_accept(listener, (uv_stream_t *)&transport->tcp);
    if (error == 0)
        error = uv_tcp_nodelay(&transport->tcp, 1);
    if (error == 0)
        error = uv_send_buffer_size((uv_handle_t *)&transport->tcp, &kernel_bytes);
    if (error == 0)
        error = uv_read_start((uv_stream_t *)&transport->tcp, on_allocate, on_read);
    if (error != 0)
        transport_close(transport);
    return error;
}

static void on_closed(uv_handle_t *handle)
{
    struct transport *transport = handle->data;

    queue_clear(transport);
    tls_session_destroy(transport->tls);
    transport->handlers->closed(transport->data);
}

static void forget_dirty(struct transport *transport)
{
    struct transport **link = &transport->pool->dirty;

    if (!transport->is_dirty)
        return;
    while (*link != transport)
        link = &(*link)->next_dirty;
    *link = transport->next_dirty;
    transport->is_dirty = false;
}

void transport_close(struct transport *transport)
{
    if (transport->closing)
        return;
    forget_dirty(transport);
    transport->closing = true;
    uv_close((uv_handle_t *)&transport->tcp, on_closed);
}

int transport_pool_start(struct transport_pool *pool, uv_loop_t *loop)
{
    pool->loop = loop;
    pool->dirty = NULL;
    pool->flush.data = pool;
    uv_prepare_init(loop, &pool->flush);
    return uv_prepare_start(&pool->flush, on_prepare);
}

static void on_pool_closed(uv_handle_t *handle)
{
    struct transport_pool *pool = handle->data;

    pool->closed(pool->closed_data);
}

void transport_pool_stop(struct transport_pool *pool, void (*closed)(void *data), void *data)
{
    pool->closed = closed;
    pool->closed_data = data;
    uv_close((uv_handle_t *)&pool->flush, on_pool_closed);
}
