/* Files: bounded reads, writes that survive power loss, and paths that follow
 * no symbolic link. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <flotilla/base.h>
#include <flotilla/errors/core.h>
#include <flotilla/errors/io.h>

#include "base/given.h"
#include "base/scratch.h"
#include "base/small.h"

int flo_given_fail(const char *path, struct flo_err *err)
{
    int code = errno == ENOENT || errno == ENOTDIR ? FLO_E_ABSENT
               : errno == ELOOP                    ? FLO_E_IO_SYMLINK
                                                   : FLO_E_IO_OPEN;

    return flo_fail_errno(err, code, "%s", path);
}

static int fail_size(struct flo_err *err, const char *path, size_t bytes_max)
{
    return flo_fail(err, FLO_E_META_TOO_LARGE, "%s: larger than %zu bytes", path, bytes_max);
}

/* Reads a file to its end, whatever size fstat gives (files in /proc have size
 * 0). */
static int read_to_end(int fd, const char *path, size_t capacity, size_t bytes_max, char **data,
                       size_t *bytes, struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    size_t used = 0;
    size_t room = 0;

    for (;;) {
        if (used + 1 >= room) {
            size_t next = room == 0 ? capacity + 2 : 2 * room;
            char *grown = realloc(text, next);
            if (grown == NULL) {
                return flo_fail(err, FLO_E_MEMORY, "%s: %zu bytes", path, next);
            }
            text = grown;
            room = next;
        }
        ssize_t got = read(fd, text + used, room - used - 1);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return flo_fail_errno(err, FLO_E_IO_READ, "%s", path);
        }
        if (got == 0) {
            break;
        }
        used += (size_t)got;
        if (used > bytes_max) {
            return fail_size(err, path, bytes_max);
        }
    }
    text[used] = '\0';
    *data = text;
    *bytes = used;
    text = NULL;
    return 0;
}

int flo_given_read_open(int fd, const char *path, size_t bytes_max, char **data, size_t *bytes,
                        struct flo_err *err)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_READ, "%s", path);
    }
    if (st.st_size < 0 || (uint64_t)st.st_size > bytes_max) {
        return fail_size(err, path, bytes_max);
    }
    return read_to_end(fd, path, (size_t)st.st_size, bytes_max, data, bytes, err);
}

int flo_fd_write_all(int fd, const void *data, size_t bytes, struct flo_err *err)
{
    const char *p = data;

    while (bytes > 0) {
        ssize_t put = write(fd, p, bytes);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return flo_fail_errno(err, FLO_E_IO_WRITE, "write %zu bytes", bytes);
        }
        p += put;
        bytes -= (size_t)put;
    }
    return 0;
}

int flo_fd_pwrite_all(int fd, const void *data, size_t bytes, uint64_t offset, struct flo_err *err)
{
    const char *p = data;

    while (bytes > 0) {
        ssize_t put = pwrite(fd, p, bytes, (off_t)offset);
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put < 0) {
            return flo_fail_errno(err, FLO_E_IO_WRITE, "write at %llu", (unsigned long long)offset);
        }
        p += put;
        offset += (size_t)put;
        bytes -= (size_t)put;
    }
    return 0;
}

int flo_fd_pread_all(int fd, void *data, size_t bytes, uint64_t offset, struct flo_err *err)
{
    char *p = data;

    if (offset > INT64_MAX || bytes > (uint64_t)INT64_MAX - offset) {
        return flo_fail(err, FLO_E_IO_READ, "offset %llu is out of range",
                        (unsigned long long)offset);
    }
    while (bytes > 0) {
        ssize_t got = pread(fd, p, bytes, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return flo_fail_errno(err, FLO_E_IO_READ, "read %zu bytes at offset %llu", bytes,
                                  (unsigned long long)offset);
        }
        if (got == 0) {
            return flo_fail(err, FLO_E_IO_READ, "the file ends at %llu, %zu bytes missing",
                            (unsigned long long)offset, bytes);
        }
        p += got;
        bytes -= (size_t)got;
        offset += (uint64_t)got;
    }
    return 0;
}

/* Writes the folder of a path: "a/b" -> "a", "b" -> ".", "/b" -> "/". */
static bool folder_of(const char *path, char *out, size_t out_bytes)
{
    const char *slash = strrchr(path, '/');
    size_t chars = slash == NULL ? 1 : (size_t)(slash - path);

    if (slash == NULL) {
        path = ".";
    } else if (chars == 0) {
        chars = 1;
    }
    if (chars >= out_bytes) {
        return false;
    }
    memcpy(out, path, chars);
    out[chars] = '\0';
    return true;
}

int flo_dir_sync(const char *path, struct flo_err *err)
{
    FLO_CLEANUP(flo_fd_cleanup)
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return flo_given_fail(path, err);
    }
    /* EINVAL is no error, because some file systems cannot sync a folder. */
    if (fsync(fd) < 0 && errno != EINVAL) {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "sync %s", path);
    }
    return 0;
}

static int write_whole(const char *path, const void *data, size_t bytes, mode_t mode, bool is_new,
                       struct flo_err *err)
{
    char named[PATH_MAX];
    char folder[PATH_MAX];
    FLO_CLEANUP(flo_fd_cleanup) int fd = flo_naming_open(path, mode & 0700, named);

    if (fd < 0 || !folder_of(path, folder, sizeof(folder))) {
        return flo_fail_errno(err, errno == ENOENT ? FLO_E_ABSENT : FLO_E_IO_OPEN, "%s", path);
    }
    int rv = flo_fd_write_all(fd, data, bytes, err);
    if (rv < 0) {
        rv = flo_wrap(err, rv, "%s", path);
    } else if (fchmod(fd, mode) < 0 || fdatasync(fd) < 0) {
        rv = flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    } else if (flo_naming_end(fd, path, is_new)) {
        return flo_dir_sync(folder, err);
    } else if (is_new && errno == EEXIST) {
        flo_fail(err, FLO_E_STATE, "%s exists already", path);
        return flo_err_fix(err, "choose another name or folder");
    } else {
        return flo_fail_errno(err, FLO_E_IO_WRITE, "%s", path);
    }
    int keep = errno;
    unlink(named); /* "" has no file */
    errno = keep;
    return rv;
}

int flo_file_write(const char *path, const void *data, size_t bytes, mode_t mode,
                   struct flo_err *err)
{
    return write_whole(path, data, bytes, mode, false, err);
}

int flo_file_write_new(const char *path, const void *data, size_t bytes, mode_t mode,
                       struct flo_err *err)
{
    return write_whole(path, data, bytes, mode, true, err);
}

/* Opens one component of a path after the other, refusing symbolic links and
 * "..".  Kernels before 5.6 and user-mode emulators need it. */
static int open_by_steps(int dir_fd, const char *path, int flags, mode_t mode)
{
    FLO_CLEANUP(flo_fd_cleanup) int here = -1;
    char name[NAME_MAX + 1];
    int at = dir_fd;

    if (path[0] == '/' || path[0] == '\0') {
        errno = path[0] == '/' ? EXDEV : ENOENT;
        return -1;
    }
    for (;;) {
        size_t chars = strcspn(path, "/");
        const char *rest = path + chars + strspn(path + chars, "/");
        if (chars > NAME_MAX) {
            errno = ENAMETOOLONG;
            return -1;
        }
        memcpy(name, path, chars);
        name[chars] = '\0';
        if (strcmp(name, "..") == 0) {
            errno = EXDEV;
            return -1;
        }
        /* finds a symbolic link first, because O_NOFOLLOW with O_DIRECTORY
         * would give ENOTDIR for it */
        struct stat st;
        if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISLNK(st.st_mode)) {
            errno = ELOOP;
            return -1;
        }
        if (*rest == '\0') {
            return openat(at, name, flags | O_NOFOLLOW, mode);
        }
        int next = openat(at, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (next < 0) {
            return -1;
        }
        flo_fd_cleanup(&here);
        here = next;
        at = next;
        path = rest;
    }
}

int flo_given_open_at(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve)
{
    struct open_how how = {.resolve = resolve};
    long opened;
    unsigned tries = 0;

    flags |= O_CLOEXEC;
    how.flags = (uint64_t)(unsigned)flags;
    bool makes = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
    how.mode = makes ? mode & 07777 : 0;
    do { /* EAGAIN means a rename along the path, so the call is repeated */
        opened = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
    } while (opened < 0 && (errno == EINTR || (errno == EAGAIN && ++tries < 16)));
    return opened < 0 && errno == ENOSYS ? open_by_steps(dir_fd, path, flags, mode) : (int)opened;
}

int flo_file_open_beneath(int dir_fd, const char *path, int flags, mode_t mode, int *fd,
                          struct flo_err *err)
{
    int opened = flo_given_open_at(dir_fd, path, flags, mode,
                                   RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

    if (opened < 0) {
        return flo_given_fail(path, err);
    }
    *fd = opened;
    return 0;
}

int flo_dir_make(const char *path, mode_t mode, struct flo_err *err)
{
    char part[PATH_MAX];
    char parent[PATH_MAX];
    size_t chars = strlen(path);
    struct stat st;

    if (chars == 0 || chars >= sizeof(part)) {
        return flo_fail(err, FLO_E_IO_OPEN, "folder path of %zu characters", chars);
    }
    for (size_t i = 1; i <= chars; i++) {
        if (path[i] != '/' && path[i] != '\0') {
            continue;
        }
        memcpy(part, path, i);
        part[i] = '\0';
        if (mkdir(part, mode) == 0) {
            /* A parent that cannot be opened for reading cannot be synced; then
             * the sync is skipped. */
            if (folder_of(part, parent, sizeof(parent)) &&
                flo_dir_sync(parent, err) == FLO_E_IO_WRITE) {
                return FLO_E_IO_WRITE;
            }
        } else if (errno != EEXIST) {
            /* A folder that exists already in a read-only parent is no error:
             * mkdir() fails with EROFS or EACCES then. */
            int keep = errno;
            if (stat(part, &st) < 0) {
                errno = keep;
                return flo_fail_errno(err, FLO_E_IO_OPEN, "make folder %s", part);
            }
        }
    }
    if (stat(path, &st) < 0) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "make folder %s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return flo_fail(err, FLO_E_IO_OPEN, "%s: not a folder", path);
    }
    return 0;
}

static uint64_t free_of(const struct statvfs *vfs)
{
    uint64_t bytes = 0;

    return flo_mul_u64(vfs->f_bavail, vfs->f_frsize, &bytes) ? bytes : 0;
}

uint64_t flo_disk_free(const char *path)
{
    struct statvfs vfs;

    return statvfs(path, &vfs) < 0 ? 0 : free_of(&vfs);
}

uint64_t flo_fd_disk_free(int fd)
{
    struct statvfs vfs;

    return fstatvfs(fd, &vfs) < 0 ? 0 : free_of(&vfs);
}

bool flo_fd_is_older(int fd, int than_fd)
{
    struct stat one, other;

    return fstat(fd, &one) < 0 || fstat(than_fd, &other) < 0 ||
           one.st_mtim.tv_sec < other.st_mtim.tv_sec;
}

bool flo_path_join(char *out, size_t out_bytes, const char *dir, const char *name)
{
    size_t chars = strlen(dir);
    const char *between = chars > 0 && dir[chars - 1] == '/' ? "" : "/";
    int need = snprintf(out, out_bytes, "%s%s%s", dir, between, name);

    return need >= 0 && (size_t)need < out_bytes;
}

size_t flo_small_read(const char *path, char *out, size_t out_bytes)
{
    FILE *file = fopen(path, "re");
    size_t got = file == NULL ? 0 : fread(out, 1, out_bytes - 1, file);

    if (file != NULL) {
        (void)fclose(file);
    }
    out[got] = '\0';
    return got;
}
