#include "store/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* The holder writes its process id into the lock file, for people only: the lock itself decides.
 * Not being able to leave that note (on a full disk, say) is no reason not to start. */
static void holder_write(int descriptor)
{
    char text[32];
    int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    bool written =
        ftruncate(descriptor, 0) == 0 && pwrite(descriptor, text, (size_t)size, 0) == (ssize_t)size;
    (void)written;
}

static void holder_read(int descriptor, char *holder, size_t size)
{
    ssize_t got = pread(descriptor, holder, size - 1, 0);

    holder[got > 0 ? got : 0] = '\0';
    holder[strspn(holder, "0123456789")] = '\0';
}

static int locked_by_another(const char *path, int descriptor, struct store_failure *failure)
{
    char holder[32];

    holder_read(descriptor, holder, sizeof holder);
    return store_fail(failure, STORE_LOCKED,
                      "data directory %s is in use by another process%s%s: stop that one, or give "
                      "this one a directory of its own",
                      path, holder[0] != '\0' ? ", pid " : "", holder);
}

int directory_lock(const char *path, struct store_failure *failure)
{
    char name[PATH_MAX];
    int descriptor;

    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return store_fail(failure, STORE_IO, "cannot make data directory %s: %s", path,
                          strerror(errno));
    if ((size_t)snprintf(name, sizeof name, "%s/lock", path) >= sizeof name)
        return store_fail(failure, STORE_IO, "the name of data directory %s is too long", path);
    descriptor = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (descriptor < 0)
        return store_fail(failure, STORE_IO, "cannot open %s: %s", name, strerror(errno));
    if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
        int status = errno == EWOULDBLOCK ? locked_by_another(path, descriptor, failure)
                                          : store_fail(failure, STORE_IO, "cannot lock %s: %s",
                                                       name, strerror(errno));
        close(descriptor);
        return status;
    }
    holder_write(descriptor);
    return descriptor;
}

void directory_unlock(int descriptor)
{
    close(descriptor);
}

uint64_t directory_free_bytes(const char *path)
{
    struct statvfs figures;

    if (statvfs(path, &figures) != 0)
        return UINT64_MAX;
    return (uint64_t)figures.f_bavail * figures.f_frsize;
}
