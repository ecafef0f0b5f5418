/*
 * An LMDB file begins with two meta pages; a commit writes the older one of them, so that the one
 * with the larger transaction id counts. Of LMDB 0.9 on 64-bit machines, each, in the byte order of
 * the machine, from the beginning of its page:
 *
 *     offset   16  u32 magic, 0xBEEFC0DE
 *              20  u32 version, 1
 *              40  u32 page size
 *             136  u64 number of the last page in use
 *             144  u64 transaction id
 *
 * The second page is at the offset that the first gives as page size.
 */
#include "store/database_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define META_BYTES 152
#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1
#define PAGE_BYTES_MIN 512
#define PAGE_BYTES_MAX 65536

_Static_assert(sizeof(size_t) == 8, "LMDB lays its pages out differently on 32-bit machines");

struct meta_page {
    uint32_t magic;
    uint32_t version;
    uint32_t page_bytes;
    uint64_t page_last;
    uint64_t transaction;
};

static int fail_system(struct store_failure *failure, const char *path, const char *what)
{
    return store_fail(failure, STORE_IO, "%s: %s: %s", path, what, strerror(errno));
}

static int read_meta_page(int file, const char *path, uint64_t offset, struct meta_page *meta,
                          struct store_failure *failure)
{
    uint8_t bytes[META_BYTES];
    ssize_t size = pread(file, bytes, sizeof bytes, (off_t)offset);

    if (size < 0)
        return fail_system(failure, path, "read");
    if (size != sizeof bytes)
        return store_fail(failure, STORE_CORRUPT,
                          "%s ends inside its first two pages: it was cut short; restore it from a "
                          "backup",
                          path);
    memcpy(&meta->magic, bytes + 16, sizeof meta->magic);
    memcpy(&meta->version, bytes + 20, sizeof meta->version);
    memcpy(&meta->page_bytes, bytes + 40, sizeof meta->page_bytes);
    memcpy(&meta->page_last, bytes + 136, sizeof meta->page_last);
    memcpy(&meta->transaction, bytes + 144, sizeof meta->transaction);
    return 0;
}

static int check_meta_page(const char *path, const struct meta_page *meta,
                           struct store_failure *failure)
{
    if (meta->magic != META_MAGIC)
        return store_fail(failure, STORE_CORRUPT,
                          "%s does not begin like a database: it is damaged, or no database of "
                          "this machine's byte order",
                          path);
    if (meta->version != META_VERSION)
        return store_fail(failure, STORE_FORMAT,
                          "%s is in version %u of LMDB's format, and this program reads %d", path,
                          meta->version, META_VERSION);
    if (meta->page_bytes < PAGE_BYTES_MIN || meta->page_bytes > PAGE_BYTES_MAX ||
        (meta->page_bytes & (meta->page_bytes - 1)) != 0)
        return store_fail(failure, STORE_CORRUPT, "%s gives its page size as %u: it is damaged",
                          path, meta->page_bytes);
    return 0;
}

static int check_open_file(int file, const char *path, struct database_file *found,
                           struct store_failure *failure)
{
    const struct meta_page *newer;
    struct meta_page pages[2] = {0};
    struct stat status;
    int rc;

    if (fstat(file, &status) != 0)
        return fail_system(failure, path, "status");
    for (unsigned i = 0; i < 2; i++) {
        rc = read_meta_page(file, path, i == 0 ? 0 : pages[0].page_bytes, &pages[i], failure);
        if (rc == 0)
            rc = check_meta_page(path, &pages[i], failure);
        if (rc != 0)
            return rc;
    }
    if (pages[0].page_bytes != pages[1].page_bytes)
        return store_fail(failure, STORE_CORRUPT, "%s gives two page sizes: it is damaged", path);
    newer = &pages[pages[1].transaction > pages[0].transaction];
    if (newer->page_last == 0 || newer->page_last >= UINT64_MAX / PAGE_BYTES_MAX)
        return store_fail(failure, STORE_CORRUPT, "%s gives its last page as %llu: it is damaged",
                          path, (unsigned long long)newer->page_last);
    found->page_bytes = newer->page_bytes;
    found->bytes = (uint64_t)status.st_size;
    found->pages_present = found->bytes / newer->page_bytes;
    found->pages_used = newer->page_last + 1;
    return 0;
}

int database_file_check(const char *path, struct database_file *found,
                        struct store_failure *failure)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    if (file < 0 && errno == ENOENT)
        return store_fail(failure, STORE_NOT_FOUND, "%s does not exist", path);
    if (file < 0)
        return fail_system(failure, path, "open");
    rc = check_open_file(file, path, found, failure);
    close(file);
    return rc;
}
