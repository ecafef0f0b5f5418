/*
 * The disk: thin wrappers around the system calls that make files durable, with one seam for
 * tests, so that the Nth call can be made to fail, a write to be cut short, and all writes to be
 * watched.
 *
 * All functions return 0 (disk_open: a descriptor) or a negative errno value. They go on after
 * EINTR and after short reads and writes. Any thread may call.
 */
#ifndef STORE_DISK_H
#define STORE_DISK_H

#include <stddef.h>
#include <stdint.h>

/* Names are taken in `directory_fd`. `flags` are those of open(2); a new file gets mode 0600. */
int disk_open(int directory_fd, const char *name, int flags);
/* Reads until `size` bytes are there or the file ends; *got says how many. */
int disk_pread(int fd, void *bytes, size_t size, uint64_t offset, size_t *got);
/* Writes all `size` bytes, or fails after any part of them. */
int disk_pwrite(int fd, const void *bytes, size_t size, uint64_t offset);
int disk_fdatasync(int fd);
int disk_fsync(int fd);
/* Reserves `size` bytes from the beginning of the file, and makes it that long. */
int disk_allocate(int fd, uint64_t size);
int disk_rename(int directory_fd, const char *from, const char *to);
int disk_unlink(int directory_fd, const char *name);
/* Mode 0700. */
int disk_mkdir(const char *path);

/* The text of a negative errno value; borrowed for ever. */
const char *disk_error_text(int error);

/* --- for tests --- */

enum disk_call {
    DISK_OPEN,
    DISK_READ,
    DISK_WRITE,
    DISK_DATASYNC,
    DISK_SYNC,
    DISK_ALLOCATE,
    DISK_RENAME,
    DISK_UNLINK,
    DISK_MKDIR,
};

struct disk_event {
    enum disk_call call;
    int fd;            /* READ, WRITE, DATASYNC, SYNC, ALLOCATE */
    const char *name;  /* OPEN, RENAME (from), UNLINK, MKDIR */
    const char *to;    /* RENAME */
    const void *bytes; /* WRITE */
    uint64_t offset;   /* READ, WRITE */
    size_t size;       /* READ, WRITE: the hook may lower it, not to 0 */
};

/*
 * Called before each system call. Returns 0 to let it happen, or the errno value that it is to
 * fail with instead.
 */
typedef int (*disk_hook_fn)(void *data, struct disk_event *event);

/* Set while no other thread uses the disk; NULL takes the hook away. */
void disk_set_hook(disk_hook_fn hook, void *data);

#endif
