#include "store/journal_writer.h"

#include "store/disk.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What file systems and devices ask for at most, hardly ever more: those get the page cache. */
#define BLOCK_BYTES 4096

int journal_writer_init(struct journal_writer *writer)
{
    *writer = (struct journal_writer){.fd = -1};
    writer->staging = aligned_alloc(BLOCK_BYTES, JOURNAL_WRITER_STAGING_BYTES);
    return writer->staging == NULL ? -ENOMEM : 0;
}

static void close_file(struct journal_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    writer->fd = -1;
}

void journal_writer_free(struct journal_writer *writer)
{
    close_file(writer);
    free(writer->staging);
    writer->staging = NULL;
}

/* From now on through the page cache. */
static int leave_direct(struct journal_writer *writer)
{
    int flags = fcntl(writer->fd, F_GETFL);

    if (flags < 0 || fcntl(writer->fd, F_SETFL, flags & ~O_DIRECT) < 0)
        return -errno;
    writer->direct = false;
    return 0;
}

/* The block that will be written again. */
static int load_block(struct journal_writer *writer)
{
    size_t filled = (size_t)(writer->offset % BLOCK_BYTES);
    size_t got;
    int error = 0;

    if (!writer->direct || filled == 0)
        return 0;
    error = disk_pread(writer->fd, writer->staging, BLOCK_BYTES, writer->offset - filled, &got);
    if (error == -EINVAL)
        return leave_direct(writer);
    return error == 0 && got < filled ? -EIO : error;
}

int journal_writer_open(struct journal_writer *writer, int directory_fd, const char *name,
                        uint64_t offset)
{
    close_file(writer);
    writer->offset = offset;
    writer->direct = true;
    writer->fd = disk_open(directory_fd, name, O_RDWR | O_DIRECT);
    if (writer->fd == -EINVAL) {
        writer->direct = false;
        writer->fd = disk_open(directory_fd, name, O_RDWR);
    }
    return writer->fd < 0 ? writer->fd : load_block(writer);
}

/* A file system that takes the flag may still want other blocks than ours; it has written nothing
 * when it says so. */
static int write_blocks(struct journal_writer *writer, size_t size, uint64_t offset)
{
    int error = disk_pwrite(writer->fd, writer->staging, size, offset);

    if (error != -EINVAL || !writer->direct)
        return error;
    error = leave_direct(writer);
    return error != 0 ? error : disk_pwrite(writer->fd, writer->staging, size, offset);
}

/* Writes as much as the staging holds, and returns how much that is in *written. */
static int write_staged(struct journal_writer *writer, const uint8_t *bytes, size_t size,
                        size_t *written)
{
    size_t filled = (size_t)(writer->offset % BLOCK_BYTES);
    size_t room = JOURNAL_WRITER_STAGING_BYTES - filled;
    size_t part = size < room ? size : room;
    size_t end = filled + part;
    size_t blocks = (end + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    size_t begun = end % BLOCK_BYTES;
    int error;

    memcpy(writer->staging + filled, bytes, part);
    memset(writer->staging + end, 0, blocks - end);
    error = write_blocks(writer, blocks, writer->offset - filled);
    /* What the last block holds is at the front of the next write. */
    memmove(writer->staging, writer->staging + end - begun, begun);
    *written = part;
    return error;
}

int journal_writer_write(struct journal_writer *writer, const uint8_t *bytes, size_t size)
{
    size_t written = size;
    int error = 0;

    for (; size > 0 && error == 0; size -= written) {
        if (writer->direct)
            error = write_staged(writer, bytes, size, &written);
        else
            error = disk_pwrite(writer->fd, bytes, written = size, writer->offset);
        writer->offset += written;
        bytes += written;
    }
    return error;
}

int journal_writer_sync(struct journal_writer *writer)
{
    return disk_fdatasync(writer->fd);
}
