/* Cache of packed weights: a bounded folder for people's own commands.
 *
 * Every file in it can be made again, so no command waits for one.  When other
 * users can write to the folder, the disk is full or another process is
 * packing, the model is used unpacked.  A file has no name until it is complete
 * and synced.  One link() names it, so a killed command leaves no file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <flotilla/base.h>
#include <flotilla/errors/cfg.h>
#include <flotilla/errors/model.h>
#include <flotilla/errors/state.h>

#define SUFFIX ".packed"
#define FILES_MAX 4096 /* most files that a search looks at */

struct flo_packs {
    int dir_fd;
    uint64_t bytes_max;
    char path[3072];
    char name[160]; /* name of the file under construction */
};

/* ---- the folder ---- */

int flo_packs_folder(char *out, size_t bytes, struct flo_err *err)
{
    const char *named = getenv("FLOTILLA_PACK_CACHE");
    const char *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int chars = -1;

    if (named != NULL && strcmp(named, "off") == 0) {
        out[0] = '\0';
        return 0;
    }
    if (named != NULL && named[0] == '/') {
        chars = snprintf(out, bytes, "%s", named);
    } else if (xdg != NULL && xdg[0] == '/') {
        chars = snprintf(out, bytes, "%s/flotilla/packed", xdg);
    } else if (home != NULL && home[0] == '/') {
        chars = snprintf(out, bytes, "%s/.cache/flotilla/packed", home);
    }
    if (chars < 0 || (size_t)chars >= bytes) {
        out[0] = '\0';
        return flo_fail(err, FLO_E_ABSENT,
                        "no folder for packed weights: neither "
                        "XDG_CACHE_HOME nor HOME names one");
    }
    return 0;
}

/* Checks that no other user has write access, because that user could plant
 * weights in a model. */
static int check_ours(int dir_fd, const char *path, struct flo_err *err)
{
    struct stat st;

    if (fstat(dir_fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
    }
    if (st.st_uid != geteuid() || (st.st_mode & 022) != 0) {
        flo_fail(err, FLO_E_CFG_PERM,
                 "%s belongs to user %u with mode %04o; others may write there", path,
                 (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777));
        flo_err_fix(err, "name a folder of your own in FLOTILLA_PACK_CACHE, "
                         "or use --no-pack");
        return FLO_E_CFG_PERM;
    }
    return 0;
}

int flo_packs_open(const char *path, uint64_t bytes_max, struct flo_packs **out,
                   struct flo_err *err)
{
    struct flo_packs *cache = calloc(1, sizeof(*cache));
    int rv;

    if (cache == NULL || strlen(path) >= sizeof(cache->path)) {
        free(cache);
        return flo_fail(err, FLO_E_MEMORY, "a cache of packed weights");
    }
    strcpy(cache->path, path);
    cache->bytes_max = bytes_max;
    cache->dir_fd = -1;
    rv = flo_dir_make(path, 0700, err);
    if (rv == 0) {
        cache->dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        rv = cache->dir_fd < 0 ? flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path)
                               : check_ours(cache->dir_fd, path, err);
    }
    if (rv < 0) {
        flo_packs_close(cache);
        return rv;
    }
    *out = cache;
    return 0;
}

void flo_packs_close(struct flo_packs *cache)
{
    if (cache != NULL) {
        flo_fd_cleanup(&cache->dir_fd);
        free(cache);
    }
}

/* ---- a file ---- */

/* Writes the name of a packed file: device, inode, size and times of the model
 * file.  A model file that was written, replaced or touched since has another
 * name. */
static int name_of(int model_fd, char *out, size_t bytes, struct flo_err *err)
{
    struct stat st;

    if (fstat(model_fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "a model");
    }
    snprintf(out, bytes,
             "%" PRIx64 "-%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%09ld-%" PRIx64 ".%09ld" SUFFIX,
             (uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
             (uint64_t)st.st_mtim.tv_sec, st.st_mtim.tv_nsec, (uint64_t)st.st_ctim.tv_sec,
             st.st_ctim.tv_nsec);
    return 0;
}

int flo_packs_find(const struct flo_packs *cache, int model_fd, int *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup) int fd = -1;
    char name[160];
    struct stat st;

    FLO_TRY(name_of(model_fd, name, sizeof(name), err));
    fd = openat(cache->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0) {
        return flo_fail_errno(err, errno == ENOENT ? FLO_E_ABSENT : FLO_E_IO_OPEN, "%s/%s",
                              cache->path, name);
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 022) != 0) {
        return flo_fail(err, FLO_E_CFG_PERM, "%s/%s is not ours alone", cache->path, name);
    }
    /* marks the file as used, because least recently used files are removed
     * first */
    (void)futimens(fd, NULL);
    *out = fd;
    fd = -1;
    return 0;
}

void flo_packs_remove(const struct flo_packs *cache, int model_fd)
{
    char name[160];

    if (name_of(model_fd, name, sizeof(name), NULL) == 0) {
        (void)unlinkat(cache->dir_fd, name, 0);
    }
}

/* ---- its room ---- */

struct oldest {
    char name[256];
    struct timespec used;
    uint64_t bytes;
};

static bool is_before(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec < b->tv_sec : a->tv_nsec < b->tv_nsec;
}

/* Returns the bytes of all files together, and finds the file that was not used
 * for longest. */
static uint64_t look(int dir_fd, struct oldest *oldest)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    uint64_t bytes = 0;
    size_t count = 0;

    *oldest = (struct oldest){.bytes = 0};
    if (dir == NULL) {
        flo_fd_cleanup(&fd);
        return 0;
    }
    for (struct dirent *entry; count < FILES_MAX && (entry = readdir(dir)) != NULL;) {
        size_t chars = strlen(entry->d_name), suffix = strlen(SUFFIX);
        struct stat st;

        if (chars <= suffix || chars >= sizeof(oldest->name) ||
            strcmp(entry->d_name + chars - suffix, SUFFIX) != 0 ||
            fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            continue;
        }
        count++;
        bytes += (uint64_t)st.st_size;
        if (oldest->name[0] == '\0' || is_before(&st.st_mtim, &oldest->used)) {
            strcpy(oldest->name, entry->d_name);
            oldest->used = st.st_mtim;
            oldest->bytes = (uint64_t)st.st_size;
        }
    }
    closedir(dir);
    return bytes;
}

static int no_room(const struct flo_packs *cache, uint64_t bytes, uint64_t has, struct flo_err *err)
{
    return flo_fail(err, FLO_E_DISK_FULL,
                    "%" PRIu64 " bytes packed and %u to spare, %" PRIu64 " can be had in %s", bytes,
                    FLO_DISK_SPARE_BYTES, has, cache->path);
}

/* Removes the least recently used files until `bytes` more fit under the limit
 * and on the disk.  If that cannot be reached, no file is removed.  An engine
 * that has a file open can still use it. */
static int make_room(const struct flo_packs *cache, uint64_t bytes, struct flo_err *err)
{
    struct oldest oldest;
    uint64_t used = look(cache->dir_fd, &oldest);
    uint64_t free_bytes = flo_fd_disk_free(cache->dir_fd);

    if (bytes > cache->bytes_max) {
        return flo_fail(err, FLO_E_DISK_FULL, "%" PRIu64 " bytes packed, the cache has %" PRIu64,
                        bytes, cache->bytes_max);
    }
    if (bytes + FLO_DISK_SPARE_BYTES > free_bytes + used) {
        return no_room(cache, bytes, free_bytes + used, err);
    }
    while (used > cache->bytes_max - bytes || bytes + FLO_DISK_SPARE_BYTES > free_bytes) {
        if (oldest.name[0] == '\0' || unlinkat(cache->dir_fd, oldest.name, 0) < 0) {
            return no_room(cache, bytes, free_bytes, err);
        }
        used = look(cache->dir_fd, &oldest);
        free_bytes = flo_fd_disk_free(cache->dir_fd);
    }
    return 0;
}

static int new_file(const struct flo_packs *cache, uint64_t bytes, int *out, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = openat(cache->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "a new file in %s", cache->path);
    }
    errno = posix_fallocate(fd, 0, (off_t)bytes);
    if (errno != 0) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%" PRIu64 " bytes in %s", bytes, cache->path);
    }
    *out = fd;
    fd = -1;
    return 0;
}

int flo_packs_begin(struct flo_packs *cache, int model_fd, uint64_t bytes, int *out,
                    struct flo_err *err)
{
    if (flock(cache->dir_fd, LOCK_EX | LOCK_NB) < 0) {
        return flo_fail(err, FLO_E_STATE_LOCKED, "another start packs into %s just now",
                        cache->path);
    }
    int rv = name_of(model_fd, cache->name, sizeof(cache->name), err);
    if (rv == 0) {
        rv = make_room(cache, bytes, err);
    }
    if (rv == 0) {
        rv = new_file(cache, bytes, out, err);
    }
    if (rv < 0) {
        (void)flock(cache->dir_fd, LOCK_UN);
    }
    return rv;
}

int flo_packs_commit(struct flo_packs *cache, int fd, int model_fd, struct flo_err *err)
{
    char name[160], self[64];
    int rv = name_of(model_fd, name, sizeof(name), err);

    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    if (rv == 0 && strcmp(name, cache->name) != 0) {
        rv = flo_fail(err, FLO_E_PACKED, "the model changed meanwhile");
    }
    if (rv == 0 && fsync(fd) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", cache->path);
    }
    if (rv == 0 && linkat(AT_FDCWD, self, cache->dir_fd, name, AT_SYMLINK_FOLLOW) < 0 &&
        errno != EEXIST) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s/%s", cache->path, name);
    }
    (void)flock(cache->dir_fd, LOCK_UN);
    return rv;
}
