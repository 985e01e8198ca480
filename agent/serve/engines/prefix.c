/* Prefix: opens the files in which engines store prefixes of prompts.  A
 * release has one such file, of a fixed size.  Its disk space is allocated at
 * once, so that a full disk is found here, and not in an engine's mapping. */
#include "agent/serve/serve.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/errors/state.h>

#define SUFFIX ".prefix"
#define DIGEST_CHARS (FLO_DIGEST_TEXT - 1)
#define NAME_BYTES (DIGEST_CHARS + sizeof(SUFFIX))

/* "sha256-<hex>.prefix" */
static void name_of(const struct flo_digest *release, char *out)
{
    flo_digest_text(release, out);
    out[strlen("sha256")] = '-';
    memcpy(out + DIGEST_CHARS, SUFFIX, sizeof(SUFFIX));
}

static bool is_name(const char *name)
{
    return strlen(name) == NAME_BYTES - 1 && memcmp(name, "sha256-", strlen("sha256-")) == 0 &&
           strcmp(name + DIGEST_CHARS, SUFFIX) == 0;
}

/* Finds the file that was not used for the longest time, other than `kept`.
 * Returns the number of files. */
static size_t find_oldest(int dir_fd, const char *kept, char *oldest)
{
    struct timespec least = {0};
    size_t count = 0;
    int fd = dup(dir_fd);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        flo_fd_cleanup(&fd);
        return 0;
    }
    rewinddir(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        struct stat st;
        if (!is_name(entry->d_name) || strcmp(entry->d_name, kept) == 0 ||
            fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            continue;
        }
        if (count == 0 || st.st_mtim.tv_sec < least.tv_sec ||
            (st.st_mtim.tv_sec == least.tv_sec && st.st_mtim.tv_nsec < least.tv_nsec)) {
            least = st.st_mtim;
            memcpy(oldest, entry->d_name, NAME_BYTES);
        }
        count++;
    }
    closedir(dir);
    return count;
}

/* Deletes old files until there is room for one more.  An engine that has
 * opened a deleted file can still use it. */
static void make_room(int dir_fd, const char *kept)
{
    char oldest[NAME_BYTES];
    while (find_oldest(dir_fd, kept, oldest) >= FLO_SERVE_PREFIXES_MAX) {
        if (unlinkat(dir_fd, oldest, 0) < 0) {
            return;
        }
    }
}

static int lock(int fd, struct flo_err *err)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "not a regular file");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        return flo_fail(err, FLO_E_STATE_LOCKED, "another engine keeps its prefix there");
    }
    return 0;
}

/* Allocates the disk space of the file, unless the disk is nearly full. */
static int reserve(int fd, struct flo_err *err)
{
    uint64_t free_bytes = flo_fd_disk_free(fd);
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "room on the disk");
    }
    uint64_t has = (uint64_t)st.st_blocks * 512;
    if (has < FLO_SERVE_PREFIX_BYTES &&
        FLO_SERVE_PREFIX_BYTES - has + FLO_DISK_SPARE_BYTES > free_bytes) {
        return flo_fail(err, FLO_E_DISK_FULL, "%u bytes and %u to spare, %llu free",
                        FLO_SERVE_PREFIX_BYTES, FLO_DISK_SPARE_BYTES,
                        (unsigned long long)free_bytes);
    }
    errno = posix_fallocate(fd, 0, FLO_SERVE_PREFIX_BYTES);
    if (errno != 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%u bytes", FLO_SERVE_PREFIX_BYTES);
    }
    return 0;
}

int flo_serve_prefix_open(const char *dir, const struct flo_digest *release, int *out,
                          struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int dir_fd = -1;
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    char name[NAME_BYTES];
    FLO_TRY(flo_dir_make(dir, 0700, err));
    dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", dir);
    }
    name_of(release, name);
    make_room(dir_fd, name);
    fd = openat(dir_fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s/%s", dir, name);
    }
    int rv = lock(fd, err);
    if (rv == 0) {
        rv = reserve(fd, err);
        if (rv < 0) { /* the file is of no use without all of its space */
            unlinkat(dir_fd, name, 0);
        }
    }
    if (rv < 0) {
        return flo_wrap(err, rv, "%s/%s", dir, name);
    }
    (void)futimens(fd, NULL); /* sets the time of the last use; a failure does no harm */
    *out = fd;
    fd = -1;
    return 0;
}
