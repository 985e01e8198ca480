/* record: a preloaded library that writes down what a process does to files.
 *
 * power.py plays the record back and asks which states a disk may show after a
 * power cut at any point of it.
 *
 *   FLO_RECORD=FILE          records are appended (made by power.py)
 *   FLO_RECORD_KILL=NAME:N   the program NAME dies before its N-th sync
 *
 * Each record is one write: struct head, a name, a second name, bytes.  Files
 * and folders stand for themselves by their inode numbers, because a sandboxed
 * process may not ask for paths.  Bytes that an engine stores through a mapping
 * are written down when its file, still without a name, is synced.  A way of
 * writing that cannot be followed is written down as LOST, and power.py fails.
 * It also fails when a program imports a call that changes a disk and has no
 * wrapper here. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum op {
    OPEN,
    NAMELESS,
    WRITE,
    CUT,
    GROW,
    SYNC,
    LINK,
    RENAME,
    UNLINK,
    MKDIR,
    SYMLINK,
    MODE,
    LOST
};

struct head {
    uint32_t magic;
    uint32_t op;
    uint64_t inode;  /* of the file or folder that it is done to; 0: by name */
    uint64_t folder; /* of the name; 0: the name is a whole path */
    uint64_t other;  /* of the second name; the mode of a file that is opened */
    uint64_t offset; /* of the bytes; the new size or mode; 1: a folder is opened */
    uint32_t name_bytes;
    uint32_t other_bytes;
    uint64_t data_bytes;
};
_Static_assert(sizeof(struct head) == 56, "power.py reads it");

#define MAGIC 0x44524c46u /* FLRD */
#define LOG_FD 200
#define MAPPED_BYTES_MAX (8 << 20)

static int log_fd = -1;
static dev_t log_dev; /* the file system that is cut off; others have the same inode numbers */

#define NEXT(type, parameters, name)                                                               \
    static type(*next) parameters;                                                                 \
    if (next == NULL) {                                                                            \
        void *found = dlsym(RTLD_NEXT, name);                                                      \
        memcpy(&next, &found, sizeof(next));                                                       \
    }

/* Past the functions below. */
static long direct(long number, long a, long b, long c, long d)
{
    NEXT(long, (long, ...), "syscall")
    return next(number, a, b, c, d);
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FLO_RECORD");

    /* An engine may not even ask what a descriptor is. */
    if (path == NULL || strcmp(program_invocation_short_name, "flotilla-engine") == 0) {
        return;
    }
    int fd = (int)direct(SYS_openat, AT_FDCWD, (long)path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
    if (fd >= 0) {
        struct stat st;
        log_dev = direct(SYS_fstat, fd, (long)&st, 0, 0) == 0 ? st.st_dev : 0;
        log_fd = fcntl(fd, F_DUPFD_CLOEXEC, LOG_FD);
        close(fd);
    }
}

static void put(struct head head, const char *name, const char *other, const void *data)
{
    union {
        const void *given;
        void *wanted;
    } parts[3] = {{name}, {other}, {data}};
    int keep = errno;

    head.magic = MAGIC;
    head.name_bytes = name == NULL ? 0 : (uint32_t)strlen(name);
    head.other_bytes = other == NULL ? 0 : (uint32_t)strlen(other);
    struct iovec vector[4] = {{&head, sizeof(head)},
                              {parts[0].wanted, head.name_bytes},
                              {parts[1].wanted, head.other_bytes},
                              {parts[2].wanted, head.data_bytes}};
    (void)direct(SYS_writev, log_fd, (long)vector, 4, 0);
    errno = keep;
}

/* Calls whose effect can outlive the process; false: nobody listens. */
static bool lasts(int fd, struct stat *st)
{
    int keep = errno;
    bool is = log_fd >= 0 && direct(SYS_fstat, fd, (long)st, 0, 0) == 0 && st->st_dev == log_dev &&
              (S_ISREG(st->st_mode) || S_ISDIR(st->st_mode));

    errno = keep;
    return is;
}

static uint64_t folder_of(int dir)
{
    struct stat st;

    return dir != AT_FDCWD && lasts(dir, &st) ? st.st_ino : 0;
}

/* ---- bytes ---- */

static void wrote(int fd, const void *data, ssize_t bytes, off_t at)
{
    struct stat st;

    if (bytes > 0 && lasts(fd, &st)) {
        off_t offset = at >= 0 ? at : lseek(fd, 0, SEEK_CUR) - bytes;
        put((struct head){.op = WRITE,
                          .inode = st.st_ino,
                          .offset = (uint64_t)offset,
                          .data_bytes = (uint64_t)bytes},
            NULL, NULL, data);
    }
}

ssize_t write(int fd, const void *data, size_t bytes)
{
    NEXT(ssize_t, (int, const void *, size_t), "write")
    ssize_t rv = next(fd, data, bytes);
    wrote(fd, data, rv, -1);
    return rv;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    NEXT(ssize_t, (int, const void *, size_t, off_t), "pwrite")
    ssize_t rv = next(fd, data, bytes, at);
    wrote(fd, data, rv, at);
    return rv;
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at)
{
    NEXT(ssize_t, (int, const void *, size_t, off64_t), "pwrite64")
    ssize_t rv = next(fd, data, bytes, at);
    wrote(fd, data, rv, at);
    return rv;
}

/* The bytes are read from where they came from: the target may be open for
 * writing alone. */
ssize_t sendfile(int to, int from, off_t *at, size_t bytes)
{
    NEXT(ssize_t, (int, int, off_t *, size_t), "sendfile")
    ssize_t rv = next(to, from, at, bytes);
    struct stat st;
    if (rv > 0 && lasts(to, &st)) {
        char *data = malloc((size_t)rv);
        off_t end = at == NULL ? lseek(from, 0, SEEK_CUR) : *at;
        wrote(to, data, data == NULL ? -1 : pread(from, data, (size_t)rv, end - rv), -1);
        free(data);
    }
    return rv;
}

static void lost(int fd, const char *what)
{
    struct stat st;

    if (lasts(fd, &st) && S_ISREG(st.st_mode) && st.st_nlink > 0) {
        put((struct head){.op = LOST, .inode = st.st_ino}, what, NULL, NULL);
    }
}

void *mmap(void *at, size_t bytes, int access, int how, int fd, off_t offset)
{
    NEXT(void *, (void *, size_t, int, int, int, off_t), "mmap")
    if ((access & PROT_WRITE) != 0 && (how & MAP_TYPE) != MAP_PRIVATE && fd >= 0) {
        lost(fd, "mmap");
    }
    return next(at, bytes, access, how, fd, offset);
}

void *mmap64(void *at, size_t bytes, int access, int how, int fd, off64_t offset)
{
    return mmap(at, bytes, access, how, fd, offset);
}

#define STREAMING(name, parameters, arguments)                                                     \
    FILE *name parameters                                                                          \
    {                                                                                              \
        NEXT(FILE *, parameters, #name)                                                            \
        FILE *rv = next arguments;                                                                 \
        if (rv != NULL && strpbrk(how, "wa+") != NULL) {                                           \
            lost(fileno(rv), #name);                                                               \
        }                                                                                          \
        return rv;                                                                                 \
    }
STREAMING(fopen, (const char *path, const char *how), (path, how))
STREAMING(fopen64, (const char *path, const char *how), (path, how))
STREAMING(fdopen, (int fd, const char *how), (fd, how))

static void resized(enum op op, int fd, off_t bytes)
{
    struct stat st;

    if (lasts(fd, &st)) {
        put((struct head){.op = op, .inode = st.st_ino, .offset = (uint64_t)bytes}, NULL, NULL,
            NULL);
    }
}

#define RESIZING(name, op, zero, parameters, arguments, bytes)                                     \
    int name parameters                                                                            \
    {                                                                                              \
        NEXT(int, parameters, #name)                                                               \
        int rv = next arguments;                                                                   \
        if (rv == zero) {                                                                          \
            resized(op, fd, bytes);                                                                \
        }                                                                                          \
        return rv;                                                                                 \
    }
RESIZING(fchmod, MODE, 0, (int fd, mode_t n), (fd, n), (off_t)n)
RESIZING(ftruncate, CUT, 0, (int fd, off_t n), (fd, n), n)
RESIZING(ftruncate64, CUT, 0, (int fd, off64_t n), (fd, n), n)
RESIZING(posix_fallocate, GROW, 0, (int fd, off_t at, off_t n), (fd, at, n), at + n)
RESIZING(posix_fallocate64, GROW, 0, (int fd, off64_t at, off64_t n), (fd, at, n), at + n)

/* ---- syncs ---- */

static void die_if_told(void)
{
    static unsigned long syncs;
    const char *told = getenv("FLO_RECORD_KILL");
    const char *name = program_invocation_short_name;
    size_t chars = strlen(name);

    if (told != NULL && strncmp(told, name, chars) == 0 && told[chars] == ':' &&
        ++syncs == strtoul(told + chars + 1, NULL, 10)) {
        (void)direct(SYS_tgkill, getpid(), gettid(), SIGKILL, 0);
    }
}

/* Bytes that came through a mapping: those of a file that has no name yet. */
static void tell_mapped(int fd, const struct stat *st)
{
    if (!S_ISREG(st->st_mode) || st->st_nlink != 0 || st->st_size > MAPPED_BYTES_MAX) {
        return;
    }
    char *data = malloc((size_t)st->st_size + 1);
    ssize_t bytes = data == NULL ? -1 : pread(fd, data, (size_t)st->st_size, 0);
    wrote(fd, data, bytes, 0);
    free(data);
}

/* Who asks for it: program and place, for the report. */
static void synced(int fd, const void *caller)
{
    struct stat st;
    Dl_info info;
    char site[256] = "?";

    if (!lasts(fd, &st)) {
        return;
    }
    if (dladdr(caller, &info) != 0 && info.dli_fname != NULL) {
        const char *slash = strrchr(info.dli_fname, '/');
        snprintf(site, sizeof(site), "%s+%tx", slash == NULL ? info.dli_fname : slash + 1,
                 (const char *)caller - (const char *)info.dli_fbase);
    }
    put((struct head){.op = SYNC, .inode = st.st_ino}, site, NULL, NULL);
}

#define SYNCING(name)                                                                              \
    int name(int fd)                                                                               \
    {                                                                                              \
        struct stat st;                                                                            \
        NEXT(int, (int), #name)                                                                    \
        if (lasts(fd, &st)) {                                                                      \
            die_if_told();                                                                         \
            tell_mapped(fd, &st);                                                                  \
        }                                                                                          \
        int rv = next(fd);                                                                         \
        if (rv == 0) {                                                                             \
            synced(fd, __builtin_return_address(0));                                               \
        }                                                                                          \
        return rv;                                                                                 \
    }
SYNCING(fsync)
SYNCING(fdatasync)

/* ---- names ---- */

static void named(enum op op, uint64_t inode, int dir, const char *name, int other_dir,
                  const char *other)
{
    if (log_fd >= 0) {
        put(
            (struct head){
                .op = op, .inode = inode, .folder = folder_of(dir), .other = folder_of(other_dir)},
            name, other, NULL);
    }
}

#define NAMING(name, op, parameters, arguments, dir, path, other_dir, other)                       \
    int name parameters                                                                            \
    {                                                                                              \
        NEXT(int, parameters, #name)                                                               \
        int rv = next arguments;                                                                   \
        if (rv == 0) {                                                                             \
            named(op, 0, dir, path, other_dir, other);                                             \
        }                                                                                          \
        return rv;                                                                                 \
    }
NAMING(rename, RENAME, (const char *a, const char *b), (a, b), AT_FDCWD, a, AT_FDCWD, b)
NAMING(renameat, RENAME, (int d, const char *a, int e, const char *b), (d, a, e, b), d, a, e, b)
NAMING(renameat2, RENAME, (int d, const char *a, int e, const char *b, unsigned how),
       (d, a, e, b, how), d, a, e, b)
NAMING(link, LINK, (const char *a, const char *b), (a, b), AT_FDCWD, a, AT_FDCWD, b)
NAMING(symlink, SYMLINK, (const char *a, const char *b), (a, b), AT_FDCWD, b, AT_FDCWD, a)
NAMING(symlinkat, SYMLINK, (const char *a, int e, const char *b), (a, e, b), e, b, AT_FDCWD, a)
NAMING(remove, UNLINK, (const char *a), (a), AT_FDCWD, a, AT_FDCWD, NULL)
NAMING(rmdir, UNLINK, (const char *a), (a), AT_FDCWD, a, AT_FDCWD, NULL)
NAMING(unlink, UNLINK, (const char *a), (a), AT_FDCWD, a, AT_FDCWD, NULL)
NAMING(unlinkat, UNLINK, (int d, const char *a, int how), (d, a, how), d, a, AT_FDCWD, NULL)

/* A folder is known by its number once it is opened. */
NAMING(mkdir, MKDIR, (const char *a, mode_t how), (a, how), AT_FDCWD, a, AT_FDCWD, NULL)
NAMING(mkdirat, MKDIR, (int d, const char *a, mode_t how), (d, a, how), d, a, AT_FDCWD, NULL)

int chmod(const char *path, mode_t mode)
{
    NEXT(int, (const char *, mode_t), "chmod")
    int rv = next(path, mode);
    if (rv == 0 && log_fd >= 0) {
        put((struct head){.op = MODE, .offset = mode}, path, NULL, NULL);
    }
    return rv;
}

char *mkdtemp(char *path)
{
    NEXT(char *, (char *), "mkdtemp")
    char *rv = next(path);
    if (rv != NULL) {
        named(MKDIR, 0, AT_FDCWD, rv, AT_FDCWD, NULL);
    }
    return rv;
}

/* A nameless file gets its name from /proc/self/fd/<number>. */
int linkat(int d, const char *a, int e, const char *b, int how)
{
    static const char own[] = "/proc/self/fd/";
    NEXT(int, (int, const char *, int, const char *, int), "linkat")
    int rv = next(d, a, e, b, how);
    struct stat st;

    if (rv == 0 && strncmp(a, own, sizeof(own) - 1) != 0) {
        named(LINK, 0, d, a, e, b);
    } else if (rv == 0 && lasts(atoi(a + sizeof(own) - 1), &st)) {
        named(LINK, st.st_ino, e, b, AT_FDCWD, NULL);
    }
    return rv;
}

/* ---- opening ---- */

static void opened(int fd, int dir, const char *path, int flags)
{
    struct stat st;

    if (fd < 0 || !lasts(fd, &st)) {
        return;
    }
    if ((flags & O_TMPFILE) == O_TMPFILE) {
        put((struct head){.op = NAMELESS, .inode = st.st_ino, .other = st.st_mode & 07777}, NULL,
            NULL, NULL);
        return;
    }
    if ((flags & O_CREAT) != 0 || S_ISDIR(st.st_mode)) {
        put((struct head){.op = OPEN,
                          .inode = st.st_ino,
                          .folder = folder_of(dir),
                          .other = st.st_mode & 07777,
                          .offset = S_ISDIR(st.st_mode)},
            path, NULL, NULL);
    }
    if ((flags & O_TRUNC) != 0) {
        resized(CUT, fd, 0);
    }
}

static mode_t mode_of(int flags, va_list list)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE ? va_arg(list, mode_t) : 0;
}

#define OPENING(name)                                                                              \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        NEXT(int, (const char *, int, ...), #name)                                                 \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t how = mode_of(flags, list);                                                         \
        va_end(list);                                                                              \
        int rv = next(path, flags, how);                                                           \
        opened(rv, AT_FDCWD, path, flags);                                                         \
        return rv;                                                                                 \
    }
#define OPENING_AT(name)                                                                           \
    int name(int dir, const char *path, int flags, ...)                                            \
    {                                                                                              \
        NEXT(int, (int, const char *, int, ...), #name)                                            \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t how = mode_of(flags, list);                                                         \
        va_end(list);                                                                              \
        int rv = next(dir, path, flags, how);                                                      \
        opened(rv, dir, path, flags);                                                              \
        return rv;                                                                                 \
    }
OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)

/* The fortified ones never make a file, but open folders. */
int __open_2(const char *path, int flags)
{
    return open(path, flags);
}

int __openat_2(int dir, const char *path, int flags)
{
    return openat(dir, path, flags);
}

int mkostemp(char *path, int flags)
{
    NEXT(int, (char *, int), "mkostemp")
    int rv = next(path, flags);
    opened(rv, AT_FDCWD, path, O_CREAT);
    return rv;
}

/* openat2 has no wrapper in this libc: programs use syscall(). */
long syscall(long number, ...)
{
    NEXT(long, (long, ...), "syscall")
    long a[6];
    va_list list;

    va_start(list, number);
    for (int i = 0; i < 6; i++) {
        a[i] = va_arg(list, long);
    }
    va_end(list);
    long rv = next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (number == SYS_openat2 && rv >= 0) {
        struct open_how how;
        union {
            long number;
            const void *from;
        } path = {a[1]}, given = {a[2]};
        memcpy(&how, given.from, sizeof(how));
        opened((int)rv, (int)a[0], path.from, (int)how.flags);
    }
    return rv;
}
