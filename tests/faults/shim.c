/*
 * A shim in front of libc, for LD_PRELOAD: makes calls on files in one directory fail, slows or
 * leaves out syncs, moves the wall clock, and lets allocations fail. It covers the program and the
 * libraries under it alike, LMDB above all.
 *
 * CHAT_SHIM_DIRECTORY is the directory (no link in its name), CHAT_SHIM_CONTROL the file with a
 * struct shim_control. Without them it does nothing. What is let through goes to the kernel
 * directly, so that the shim needs nothing from libc that it replaces.
 */
#include "tests/faults/shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define BILLION 1000000000

static struct shim_control *control;
static const char *directory;
static size_t directory_size;

/* The memory is the other side's, too, and other threads'. */
#define SHARED(field) __atomic_load_n(&control->field, __ATOMIC_SEQ_CST)
#define INCREMENT(field) __atomic_add_fetch(&control->field, 1, __ATOMIC_SEQ_CST)

__attribute__((constructor)) static void shim_start(void)
{
    const char *path = getenv("CHAT_SHIM_CONTROL");
    void *page = MAP_FAILED;
    int file;

    directory = getenv("CHAT_SHIM_DIRECTORY");
    if (path == NULL || directory == NULL)
        return;
    directory_size = strlen(directory);
    file = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (file >= 0)
        page = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (page == MAP_FAILED) {
        fprintf(stderr, "shim: cannot map %s: %s\n", path, strerror(errno));
        _exit(98);
    }
    close(file);
    control = page;
}

/* --- which calls are meant --- */

static bool is_ours(const char *path)
{
    return strncmp(path, directory, directory_size) == 0 &&
           (path[directory_size] == '/' || path[directory_size] == '\0');
}

static bool descriptor_is_ours(int fd)
{
    char link[64];
    char path[PATH_MAX];
    ssize_t size;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return false;
    path[size] = '\0';
    return is_ours(path);
}

static bool path_is_ours(int directory_fd, const char *path)
{
    return path[0] == '/' ? is_ours(path)
                          : directory_fd != AT_FDCWD && descriptor_is_ours(directory_fd);
}

static bool due(uint64_t number, uint64_t first, uint64_t count)
{
    return first != 0 && number >= first && number - first < count;
}

/* Counts the call, and returns the errno it fails with, or 0. */
static int count_call(enum shim_call call)
{
    if ((SHARED(calls) & (uint64_t)call) == 0)
        return 0;
    if (!due(INCREMENT(counted), SHARED(fail_at), SHARED(fail_count)))
        return 0;
    INCREMENT(failed);
    return (int)SHARED(fail_error);
}

static int fd_error(enum shim_call call, int fd)
{
    return control != NULL && descriptor_is_ours(fd) ? count_call(call) : 0;
}

static int path_error(enum shim_call call, int directory_fd, const char *path)
{
    return control != NULL && path_is_ours(directory_fd, path) ? count_call(call) : 0;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* --- writing --- */

EXPORT ssize_t write(int fd, const void *bytes, size_t size)
{
    int error = fd_error(SHIM_WRITE, fd);
    return error != 0 ? fail(error) : (ssize_t)syscall(SYS_write, fd, bytes, size);
}

EXPORT ssize_t writev(int fd, const struct iovec *parts, int count)
{
    int error = fd_error(SHIM_WRITE, fd);
    return error != 0 ? fail(error) : (ssize_t)syscall(SYS_writev, fd, parts, count);
}

EXPORT ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset)
{
    int error = fd_error(SHIM_WRITE, fd);
    return error != 0 ? fail(error) : (ssize_t)syscall(SYS_pwrite64, fd, bytes, size, offset);
}

EXPORT ssize_t pwrite64(int fd, const void *bytes, size_t size, off_t offset)
{
    return pwrite(fd, bytes, size, offset);
}

EXPORT ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset)
{
    int error = fd_error(SHIM_WRITE, fd);
    return error != 0 ? fail(error) : (ssize_t)syscall(SYS_pwritev, fd, parts, count, offset, 0);
}

EXPORT ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset)
{
    return pwritev(fd, parts, count, offset);
}

EXPORT int ftruncate(int fd, off_t size)
{
    int error = fd_error(SHIM_TRUNCATE, fd);
    return error != 0 ? fail(error) : (int)syscall(SYS_ftruncate, fd, size);
}

EXPORT int ftruncate64(int fd, off_t size)
{
    return ftruncate(fd, size);
}

EXPORT int truncate(const char *path, off_t size)
{
    int error = path_error(SHIM_TRUNCATE, AT_FDCWD, path);
    return error != 0 ? fail(error) : (int)syscall(SYS_truncate, path, size);
}

EXPORT int truncate64(const char *path, off_t size)
{
    return truncate(path, size);
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t size)
{
    int error = fd_error(SHIM_ALLOCATE, fd);
    return error != 0 ? fail(error) : (int)syscall(SYS_fallocate, fd, mode, offset, size);
}

EXPORT int fallocate64(int fd, int mode, off_t offset, off_t size)
{
    return fallocate(fd, mode, offset, size);
}

/* The file systems of the tests all know fallocate. */
EXPORT int posix_fallocate(int fd, off_t offset, off_t size)
{
    return fallocate(fd, 0, offset, size) == 0 ? 0 : errno;
}

EXPORT int posix_fallocate64(int fd, off_t offset, off_t size)
{
    return posix_fallocate(fd, offset, size);
}

/* --- syncing --- */

static int sync_fd(enum shim_call call, int fd, long number)
{
    bool ours = control != NULL && descriptor_is_ours(fd);
    int error = ours ? count_call(call) : 0;
    int result = 0;

    if (error != 0)
        return fail(error);
    if (!ours)
        return (int)syscall(number, fd);
    INCREMENT(syncs);
    /* In small steps: setting it to 0 lets go at once. */
    for (uint64_t waited_us = 0; waited_us < SHARED(sync_delay_us); waited_us += 1000)
        usleep(1000);
    if (SHARED(drop_syncs) == 0)
        result = (int)syscall(number, fd);
    INCREMENT(syncs_done);
    return result;
}

EXPORT int fdatasync(int fd)
{
    return sync_fd(SHIM_DATASYNC, fd, SYS_fdatasync);
}

EXPORT int fsync(int fd)
{
    return sync_fd(SHIM_SYNC, fd, SYS_fsync);
}

EXPORT int msync(void *memory, size_t size, int flags)
{
    int error = control != NULL ? count_call(SHIM_SYNC) : 0;

    if (error != 0)
        return fail(error);
    return control != NULL && SHARED(drop_syncs) != 0
               ? 0
               : (int)syscall(SYS_msync, memory, size, flags);
}

/* --- opening and renaming --- */

/* Where syncs are left out, a descriptor does not sync with each write either. */
static int open_at(int directory_fd, const char *path, int flags, mode_t mode)
{
    int error = (flags & O_CREAT) != 0 ? path_error(SHIM_OPEN, directory_fd, path) : 0;

    if (error != 0)
        return fail(error);
    if (control != NULL && SHARED(no_direct) != 0 && (flags & O_DIRECT) != 0)
        return fail(EINVAL);
    if (control != NULL && SHARED(drop_syncs) != 0)
        flags &= ~(O_DSYNC | O_SYNC);
    return (int)syscall(SYS_openat, directory_fd, path, flags, mode);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

#define DEFINE_OPEN(name)                                                                          \
    EXPORT int name(const char *path, int flags, ...)                                              \
    {                                                                                              \
        va_list arguments;                                                                         \
        mode_t mode;                                                                               \
                                                                                                   \
        va_start(arguments, flags);                                                                \
        mode = mode_of(flags, arguments);                                                          \
        va_end(arguments);                                                                         \
        return open_at(AT_FDCWD, path, flags, mode);                                               \
    }
#define DEFINE_OPENAT(name)                                                                        \
    EXPORT int name(int directory_fd, const char *path, int flags, ...)                            \
    {                                                                                              \
        va_list arguments;                                                                         \
        mode_t mode;                                                                               \
                                                                                                   \
        va_start(arguments, flags);                                                                \
        mode = mode_of(flags, arguments);                                                          \
        va_end(arguments);                                                                         \
        return open_at(directory_fd, path, flags, mode);                                           \
    }
DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

EXPORT int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    int error = path_error(SHIM_RENAME, from_fd, from);
    return error != 0 ? fail(error) : (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

EXPORT int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

/* --- the wall clock --- */

static int64_t clock_offset(void)
{
    return control == NULL ? 0 : __atomic_load_n(&control->clock_offset_ns, __ATOMIC_SEQ_CST);
}

static void move_time(struct timespec *time, int64_t by_ns)
{
    int64_t nanoseconds = time->tv_nsec + by_ns % BILLION;

    time->tv_sec += by_ns / BILLION;
    if (nanoseconds < 0) {
        nanoseconds += BILLION;
        time->tv_sec--;
    } else if (nanoseconds >= BILLION) {
        nanoseconds -= BILLION;
        time->tv_sec++;
    }
    time->tv_nsec = nanoseconds;
}

EXPORT int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int)syscall(SYS_clock_gettime, clock, now);

    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        move_time(now, clock_offset());
    return result;
}

EXPORT int gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec time;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

EXPORT time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL)
        *out = now.tv_sec;
    return now.tv_sec;
}

/*
 * The kernel waits by its own clock: what was computed from ours is moved back. Times that wait by
 * the monotonic clock count from the machine's start and are far smaller.
 */
EXPORT int pthread_cond_timedwait(pthread_cond_t *restrict condition,
                                  pthread_mutex_t *restrict mutex,
                                  const struct timespec *restrict until)
{
    static int (*_Atomic real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec moved = *until;

    /* The plain name may mean an older version of the function. */
    if (real == NULL) {
        void *found = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        if (found == NULL)
            found = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        real = (int (*)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *))found;
    }
    if (until->tv_sec > BILLION)
        move_time(&moved, -clock_offset());
    return real(condition, mutex, &moved);
}

/* --- memory --- */

/* glibc's own names for what this file replaces. */
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *memory, size_t size);

static bool allocation_fails(void)
{
    if (control == NULL || SHARED(allocations_watched) == 0)
        return false;
    if (!due(INCREMENT(allocations), SHARED(allocation_fail_at), SHARED(allocation_fail_count)))
        return false;
    INCREMENT(allocations_failed);
    errno = ENOMEM;
    return true;
}

EXPORT void *malloc(size_t size)
{
    return allocation_fails() ? NULL : __libc_malloc(size);
}

EXPORT void *calloc(size_t count, size_t size)
{
    return allocation_fails() ? NULL : __libc_calloc(count, size);
}

EXPORT void *realloc(void *memory, size_t size)
{
    return allocation_fails() ? NULL : __libc_realloc(memory, size);
}
