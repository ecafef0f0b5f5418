#include "store/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static disk_hook_fn disk_hook;
static void *disk_hook_data;

void disk_set_hook(disk_hook_fn hook, void *data)
{
    disk_hook = hook;
    disk_hook_data = data;
}

static int ask_hook(struct disk_event *event)
{
    return disk_hook == NULL ? 0 : disk_hook(disk_hook_data, event);
}

/* For calls that give -1 and errno: the hook's error looks just like the system's. */
static int hook_fails(struct disk_event *event)
{
    int error = ask_hook(event);

    if (error != 0)
        errno = error;
    return error;
}

int disk_open(int directory_fd, const char *name, int flags)
{
    struct disk_event event = {.call = DISK_OPEN, .fd = -1, .name = name};
    int fd;

    do {
        fd = hook_fails(&event) ? -1 : openat(directory_fd, name, flags | O_CLOEXEC, 0600);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

int disk_pread(int fd, void *bytes, size_t size, uint64_t offset, size_t *got)
{
    *got = 0;
    while (*got < size) {
        struct disk_event event = {
            .call = DISK_READ, .fd = fd, .offset = offset + *got, .size = size - *got};
        ssize_t done = hook_fails(&event)
                           ? -1
                           : pread(fd, (uint8_t *)bytes + *got, event.size, (off_t)event.offset);

        if (done == 0)
            break;
        if (done < 0 && errno != EINTR)
            return -errno;
        if (done > 0)
            *got += (size_t)done;
    }
    return 0;
}

int disk_pwrite(int fd, const void *bytes, size_t size, uint64_t offset)
{
    const uint8_t *next = bytes;

    while (size > 0) {
        struct disk_event event = {
            .call = DISK_WRITE, .fd = fd, .bytes = next, .offset = offset, .size = size};
        ssize_t done = hook_fails(&event) ? -1 : pwrite(fd, next, event.size, (off_t)offset);

        /* A device that takes nothing and reports no error would keep this loop for ever. */
        if (done == 0)
            return -EIO;
        if (done < 0 && errno != EINTR)
            return -errno;
        if (done > 0) {
            next += done;
            offset += (uint64_t)done;
            size -= (size_t)done;
        }
    }
    return 0;
}

int disk_fdatasync(int fd)
{
    struct disk_event event = {.call = DISK_DATASYNC, .fd = fd};
    int result;

    do {
        result = hook_fails(&event) ? -1 : fdatasync(fd);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int disk_fsync(int fd)
{
    struct disk_event event = {.call = DISK_SYNC, .fd = fd};
    int result;

    do {
        result = hook_fails(&event) ? -1 : fsync(fd);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

int disk_allocate(int fd, uint64_t size)
{
    struct disk_event event = {.call = DISK_ALLOCATE, .fd = fd};
    int error;

    /* posix_fallocate returns the error and leaves errno alone. */
    do {
        error = ask_hook(&event);
        if (error == 0)
            error = posix_fallocate(fd, 0, (off_t)size);
    } while (error == EINTR);
    return -error;
}

int disk_rename(int directory_fd, const char *from, const char *to)
{
    struct disk_event event = {.call = DISK_RENAME, .fd = -1, .name = from, .to = to};

    if (hook_fails(&event) || renameat(directory_fd, from, directory_fd, to) < 0)
        return -errno;
    return 0;
}

int disk_unlink(int directory_fd, const char *name)
{
    struct disk_event event = {.call = DISK_UNLINK, .fd = -1, .name = name};

    if (hook_fails(&event) || unlinkat(directory_fd, name, 0) < 0)
        return -errno;
    return 0;
}

int disk_mkdir(const char *path)
{
    struct disk_event event = {.call = DISK_MKDIR, .fd = -1, .name = path};

    if (hook_fails(&event) || mkdir(path, 0700) < 0)
        return -errno;
    return 0;
}

const char *disk_error_text(int error)
{
    const char *text = strerrordesc_np(-error);

    return text == NULL ? "unknown error" : text;
}
