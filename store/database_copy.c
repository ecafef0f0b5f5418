/*
 * Copying the database to another file. LMDB writes the copy from a read transaction, page by page
 * and without those that are free; with that option it does not lock out the writer, not even for
 * the moment of its beginning.
 */
#include "store/database_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int sync_file(const char *path)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    int error = file < 0 ? errno : 0;

    if (error == 0 && fsync(file) != 0)
        error = errno;
    if (file >= 0)
        close(file);
    return error;
}

int database_copy(struct database *database, const char *path, struct store_failure *failure)
{
    int rc = mdb_env_copy2(database->env, path, MDB_CP_COMPACT);

    if (rc != 0)
        return store_fail(failure, database_status(rc), "copy the database to %s: %s", path,
                          mdb_strerror(rc));
    rc = sync_file(path);
    return rc == 0 ? 0
                   : store_fail(failure, database_status(rc), "sync %s: %s", path, strerror(rc));
}
