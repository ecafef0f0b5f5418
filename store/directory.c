#include "store/directory.h"

#include "store/disk.h"
#include <dirent.h>
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

/* Where nothing can be written, what is there is locked as it is, for who only reads: the file, or
 * the directory itself, since a backup has no such file. */
static int open_lock(const char *path, const char *name)
{
    int descriptor = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (descriptor >= 0 || errno != EROFS)
        return descriptor;
    descriptor = open(name, O_RDONLY | O_CLOEXEC);
    return descriptor >= 0 ? descriptor : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
    descriptor = open_lock(path, name);
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

static bool is_there(const char *path, const char *name)
{
    char full[PATH_MAX];
    struct stat status;

    snprintf(full, sizeof full, "%s/%s", path, name);
    return stat(full, &status) == 0 || errno != ENOENT;
}

static bool has_segments(const char *path)
{
    char journal[PATH_MAX];
    const struct dirent *entry;
    DIR *directory;
    bool found = false;

    snprintf(journal, sizeof journal, "%s/journal", path);
    directory = opendir(journal);
    while (directory != NULL && !found && (entry = readdir(directory)) != NULL)
        found = strstr(entry->d_name, ".seg") != NULL;
    if (directory != NULL)
        closedir(directory);
    return found;
}

/* The parent may be one that we may not read: then whoever made this directory has to sync it. */
static int sync_name(const char *path, struct store_failure *failure)
{
    int directory = disk_open(AT_FDCWD, path, O_RDONLY | O_DIRECTORY);
    int parent = directory < 0 ? directory : disk_open(directory, "..", O_RDONLY | O_DIRECTORY);
    int error = parent < 0 ? 0 : disk_fsync(parent);

    if (parent >= 0)
        close(parent);
    if (directory >= 0)
        close(directory);
    return error == 0 ? 0
                      : store_fail(failure, STORE_IO, "cannot sync the folder that %s is in: %s",
                                   path, disk_error_text(error));
}

int directory_check_database(const char *path, struct store_failure *failure)
{
    if (is_there(path, "chats.mdb"))
        return 0;
    if (!has_segments(path))
        return sync_name(path, failure);
    return store_fail(failure, STORE_CORRUPT,
                      "data directory %s has a journal and no chats.mdb: nothing was changed; "
                      "restore the directory from a backup, or give an empty one to begin anew",
                      path);
}

int directory_check_journal(const char *path, struct store_failure *failure)
{
    if (is_there(path, "journal"))
        return 0;
    return store_fail(failure, STORE_CORRUPT,
                      "data directory %s has a chats.mdb and no journal, which had the newest "
                      "messages: nothing was changed; put it back or restore the directory from a "
                      "backup; to go on without what it held, make %s/journal, empty: that will do "
                      "unless the database was being written to when it stopped",
                      path, path);
}

uint64_t directory_free_bytes(const char *path)
{
    struct statvfs figures;

    if (statvfs(path, &figures) != 0)
        return UINT64_MAX;
    return (uint64_t)figures.f_bavail * figures.f_frsize;
}
