/* Cached prefixes: files written by engines in the store's folder, one per
 * release.
 *
 * The process that starts an engine makes the file for it (contracts/device.md
 * section 12) and holds a lock on the file while the engine runs.  The store
 * only counts these files, and removes them when an update needs the space. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "updater/store/store.h"

#define SUFFIX ".prefix"
#define NAME_BYTES (FLO_BLOB_NAME - 1 + sizeof(SUFFIX))

bool flo_store_prefix_ending(const char *ending)
{
    return strcmp(ending, SUFFIX) == 0;
}

int flo_store_prefixes_open(struct flo_store *store, int *dir_fd, struct flo_err *err)
{
    return flo_file_open_beneath(store->dir_fd, "prefix", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0,
                                 dir_fd, err);
}

bool flo_store_prefix_has(struct flo_store *store, const struct flo_digest *release)
{
    FLO_CLEANUP(flo_fd_cleanup) int dir_fd = -1;
    char name[NAME_BYTES];
    struct stat st;

    flo_store_blob_name(release, name);
    strcat(name, SUFFIX);
    return flo_store_prefixes_open(store, &dir_fd, NULL) == 0 && flo_store_stat(dir_fd, name, &st);
}

struct scan {
    int dir_fd;
    uint64_t bytes;          /* bytes of all files that may be removed */
    char oldest[NAME_BYTES]; /* name of the file that was not used for longest; empty: none */
    struct timespec used;    /* time of the last use of `oldest` */
};

static bool is_older(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec < b->tv_sec || (a->tv_sec == b->tv_sec && a->tv_nsec < b->tv_nsec);
}

static int look(void *context, const char *name)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    struct scan *scan = context;
    struct flo_digest release;
    const char *ending = flo_store_name_read(name, &release);
    struct stat st;

    if (ending == NULL || !flo_store_prefix_ending(ending) ||
        flo_file_open_beneath(scan->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK, 0, &fd, NULL) <
            0 ||
        fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return 0;
    }
    scan->bytes += (uint64_t)st.st_blocks * 512;
    if (scan->oldest[0] == '\0' || is_older(&st.st_mtim, &scan->used)) {
        memcpy(scan->oldest, name, NAME_BYTES);
        scan->used = st.st_mtim;
    }
    return 0;
}

uint64_t flo_store_prefixes_bytes(struct flo_store *store)
{
    FLO_CLEANUP(flo_fd_cleanup) int dir_fd = -1;
    struct scan scan = {0};

    if (flo_store_prefixes_open(store, &dir_fd, NULL) == 0) {
        scan.dir_fd = dir_fd;
        (void)flo_store_each_name(dir_fd, look, &scan);
    }
    return scan.bytes;
}

void flo_store_prefixes_drop(struct flo_store *store, uint64_t bytes,
                             struct flo_collected *collected)
{
    FLO_CLEANUP(flo_fd_cleanup) int dir_fd = -1;
    struct flo_collected dropped = {0};

    if (flo_store_prefixes_open(store, &dir_fd, NULL) < 0) {
        return;
    }
    while (dropped.bytes < bytes) {
        struct scan scan = {.dir_fd = dir_fd};
        uint32_t before = dropped.files;

        (void)flo_store_each_name(dir_fd, look, &scan);
        flo_store_remove(dir_fd, scan.oldest, &dropped);
        if (dropped.files == before) {
            break; /* no file is left, or removing one failed */
        }
    }
    collected->files += dropped.files;
    collected->bytes += dropped.bytes;
}
