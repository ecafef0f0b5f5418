/*
 * As a journal does it: the file has its size and its blocks before, so that a sync has no metadata
 * to write, and what is written goes behind what was written, round and round. The file has no
 * name, so that nothing is left behind whatever happens.
 */
#include "clients/bench/sync.h"

#include "clients/bench/engine.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_BYTES ((size_t)8 * 1024 * 1024)

static void say_why(const struct sync_settings *settings, FILE *err)
{
    fprintf(err, BENCH_PROGRAM ": %s: %s\n", settings->directory, strerror(errno));
}

static int write_at(int file, const uint8_t *bytes, size_t size, size_t offset)
{
    ssize_t written = pwrite(file, bytes, size, (off_t)offset);

    if (written >= 0 && (size_t)written < size)
        errno = ENOSPC;
    return written == (ssize_t)size ? 0 : -1;
}

static int measure(int file, const uint8_t *bytes, const struct sync_settings *settings,
                   struct histogram *latency)
{
    size_t size = (size_t)settings->bytes;
    size_t offset = 0;

    if (write_at(file, bytes, FILE_BYTES, 0) != 0 || fsync(file) != 0)
        return -1;
    for (uint64_t i = 0; i < settings->count; i++) {
        if (offset + size > FILE_BYTES)
            offset = 0;
        uint64_t write_began_ns = engine_now_ns();
        if (write_at(file, bytes + offset, size, offset) != 0)
            return -1;
        uint64_t sync_began_ns = engine_now_ns();
        if (fdatasync(file) != 0)
            return -1;
        histogram_record(latency,
                         engine_now_ns() - (settings->direct ? write_began_ns : sync_began_ns));
        offset += size;
    }
    return 0;
}

static int open_file(const struct sync_settings *settings)
{
    int flags = O_TMPFILE | O_RDWR | O_CLOEXEC | (settings->direct ? O_DIRECT : 0);

    return open(settings->directory, flags, 0600);
}

int sync_measure(const struct sync_settings *settings, struct histogram *latency, FILE *err)
{
    uint8_t *bytes = aligned_alloc(BENCH_SYNC_BLOCK_BYTES, FILE_BYTES);
    int file = open_file(settings);
    int status = -1;

    if (bytes != NULL && file >= 0) {
        memset(bytes, 0x5a, FILE_BYTES);
        status = measure(file, bytes, settings, latency);
    }
    if (status != 0)
        say_why(settings, err);
    if (file >= 0)
        close(file);
    free(bytes);
    return status;
}
