/* inject: a preloaded library that ends a process at its k-th change to disk,
 * or lets the disk be full from there on.
 *
 * Every call that creates, changes, names, removes, syncs or locks a file is
 * counted, over all processes of a run (the count lives in a mapped file).  At
 * call FLO_INJECT_AT the process is killed with SIGKILL, as FLO_INJECT_MODE
 * says: `before` the call, `torn` (half of a write is done), or `after` it.
 * In mode `full` nobody is killed: from that call on, what takes room (bytes,
 * reservations, new files and folders) fails with ENOSPC, the first write with
 * half of it done.
 * In mode `stop` the process stops before the call (SIGSTOP), and goes on when
 * somebody lets it (tests/lanes/interrupts.py).
 * With FLO_INJECT_GROUP the whole process group dies, as in a power cut.
 *
 *   FLO_INJECT_COUNT=FILE   16 bytes: the counter, and whether the group is
 *                           dead (made by power.py)
 *   FLO_INJECT_LOG=FILE     appends "<k> <call>" per counted call
 *
 * Sockets, pipes and devices do not count.  stdio's own writes and stores to
 * mapped files are not seen. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum mode { OFF, BEFORE, TORN, AFTER, FULL, STOP };

static atomic_ulong *counter;
static unsigned long kill_at;
static enum mode mode;
static bool is_group;
static int log_fd = -1;

/* The kernel itself: none of the functions below. */
static long raw(long number, long a, long b, long c, long d)
{
    long result = 0;
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    result = x0;
#else
#error "no system call for this machine"
#endif
    return result;
}

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FLO_INJECT_COUNT");
    const char *at = getenv("FLO_INJECT_AT");
    const char *word = getenv("FLO_INJECT_MODE");
    const char *log_path = getenv("FLO_INJECT_LOG");

    if (path == NULL) {
        return;
    }
    int fd = (int)raw(SYS_openat, AT_FDCWD, (long)path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    void *map = mmap(NULL, 2 * sizeof(*counter), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED) {
        return;
    }
    counter = map;
    kill_at = at != NULL ? strtoul(at, NULL, 10) : 0;
    is_group = getenv("FLO_INJECT_GROUP") != NULL;
    if (word != NULL) {
        mode = strcmp(word, "before") == 0  ? BEFORE
               : strcmp(word, "torn") == 0  ? TORN
               : strcmp(word, "after") == 0 ? AFTER
               : strcmp(word, "full") == 0  ? FULL
               : strcmp(word, "stop") == 0  ? STOP
                                            : OFF;
    }
    if (log_path != NULL) {
        int opened =
            (int)raw(SYS_openat, AT_FDCWD, (long)log_path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
        /* Out of the way of programs that count on descriptor 3. */
        log_fd = opened < 0 ? -1 : fcntl(opened, F_DUPFD_CLOEXEC, 200);
        if (opened >= 0) {
            close(opened);
        }
    }
}

/* A sandboxed process may kill itself alone.  Then the others of its group
 * find the mark after the counter before their next change to the disk: as
 * far as that tells, all died at once. */
static void die(void)
{
    if (is_group) {
        atomic_store(&counter[1], 1);
        if (raw(SYS_prctl, PR_GET_SECCOMP, 0, 0, 0) == 0) {
            raw(SYS_kill, 0, SIGKILL, 0, 0);
        }
    }
    raw(SYS_tgkill, getpid(), raw(SYS_gettid, 0, 0, 0, 0), SIGKILL, 0);
    for (;;) {
        raw(SYS_exit_group, 1, 0, 0, 0);
    }
}

/* The fates of a call. */
enum fate { PASSES, IS_IT, FAILS };

/* One more change is about to happen. */
static enum fate counts(const char *name)
{
    if (counter == NULL) {
        return PASSES;
    }
    if (atomic_load(&counter[1]) != 0) {
        die();
    }
    unsigned long k = atomic_fetch_add(counter, 1) + 1;

    if (log_fd >= 0) {
        char line[64];
        int chars = snprintf(line, sizeof(line), "%lu %s\n", k, name);
        raw(SYS_write, log_fd, (long)line, chars, 0);
    }
    if (mode == FULL && k > kill_at) {
        return FAILS;
    }
    if (k != kill_at || mode == OFF) {
        return PASSES;
    }
    if (mode == BEFORE) {
        die();
    }
    if (mode == STOP) {
        raw(SYS_kill, getpid(), SIGSTOP, 0, 0);
        return PASSES;
    }
    return IS_IT;
}

static void done(enum fate fate)
{
    if (fate == IS_IT && mode != FULL) {
        die();
    }
}

/* Of a call that takes room: does it find the disk full? */
static bool finds_no_room(enum fate fate)
{
    if (mode == FULL && fate != PASSES) {
        errno = ENOSPC;
        return true;
    }
    return false;
}

/* Of a write: does half of it still fit? */
static bool is_half(enum fate fate)
{
    return fate == IS_IT && (mode == TORN || mode == FULL);
}

/* Only what can outlive the process: files and folders. */
static bool lasts(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
}

#define NEXT(type, parameters, name)                                                               \
    static type(*next) parameters;                                                                 \
    if (next == NULL) {                                                                            \
        void *found = dlsym(RTLD_NEXT, name);                                                      \
        memcpy(&next, &found, sizeof(next));                                                       \
    }

/* ---- bytes ---- */

ssize_t write(int fd, const void *data, size_t bytes)
{
    NEXT(ssize_t, (int, const void *, size_t), "write")
    if (!lasts(fd)) {
        return next(fd, data, bytes);
    }
    enum fate fate = counts("write");
    bool half = is_half(fate) && bytes > 1;
    if (!half && finds_no_room(fate)) {
        return -1;
    }
    ssize_t rv = next(fd, data, half ? bytes / 2 : bytes);
    done(fate);
    return rv;
}

static ssize_t pwrite_any(int fd, const void *data, size_t bytes, off_t offset)
{
    NEXT(ssize_t, (int, const void *, size_t, off_t), "pwrite")
    if (!lasts(fd)) {
        return next(fd, data, bytes, offset);
    }
    enum fate fate = counts("pwrite");
    bool half = is_half(fate) && bytes > 1;
    if (!half && finds_no_room(fate)) {
        return -1;
    }
    ssize_t rv = next(fd, data, half ? bytes / 2 : bytes, offset);
    done(fate);
    return rv;
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    return pwrite_any(fd, data, bytes, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset)
{
    return pwrite_any(fd, data, bytes, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    NEXT(ssize_t, (int, const struct iovec *, int), "writev")
    enum fate fate = lasts(fd) ? counts("writev") : PASSES;
    bool half = is_half(fate) && count > 1;
    if (!half && finds_no_room(fate)) {
        return -1;
    }
    ssize_t rv = next(fd, parts, half ? count / 2 : count);
    done(fate);
    return rv;
}

/* A file that is there needs no room to be opened or made. */
static bool makes_new(int dir, const char *path)
{
    /* A sandbox does not tell: then its bytes find no room, not its name. */
    return raw(SYS_faccessat, dir, (long)path, F_OK, 0) == -ENOENT;
}

/* ---- one call, one change ---- */

#define CHANGE(type, name, condition, parameters, arguments)                                       \
    type name parameters                                                                           \
    {                                                                                              \
        NEXT(type, parameters, #name)                                                              \
        enum fate fate = (condition) ? counts(#name) : PASSES;                                     \
        type rv = next arguments;                                                                  \
        done(fate);                                                                                \
        return rv;                                                                                 \
    }
/* The same for what takes room; `full` is how it fails. */
#define TAKING(type, name, condition, room, full, parameters, arguments)                           \
    type name parameters                                                                           \
    {                                                                                              \
        NEXT(type, parameters, #name)                                                              \
        enum fate fate = (condition) ? counts(#name) : PASSES;                                     \
        if (fate != PASSES && (room) && finds_no_room(fate)) {                                     \
            return full;                                                                           \
        }                                                                                          \
        type rv = next arguments;                                                                  \
        done(fate);                                                                                \
        return rv;                                                                                 \
    }

CHANGE(int, ftruncate, lasts(fd), (int fd, off_t bytes), (fd, bytes))
CHANGE(int, ftruncate64, lasts(fd), (int fd, off64_t bytes), (fd, bytes))
CHANGE(int, truncate, true, (const char *path, off_t bytes), (path, bytes))
TAKING(int, fallocate, lasts(fd), true, -1, (int fd, int how, off_t at, off_t bytes),
       (fd, how, at, bytes))
TAKING(int, fallocate64, lasts(fd), true, -1, (int fd, int how, off64_t at, off64_t bytes),
       (fd, how, at, bytes))
TAKING(int, posix_fallocate, lasts(fd), true, ENOSPC, (int fd, off_t at, off_t bytes),
       (fd, at, bytes))
TAKING(int, posix_fallocate64, lasts(fd), true, ENOSPC, (int fd, off64_t at, off64_t bytes),
       (fd, at, bytes))
CHANGE(int, fsync, lasts(fd), (int fd), (fd))
CHANGE(int, fdatasync, lasts(fd), (int fd), (fd))
CHANGE(int, flock, lasts(fd), (int fd, int how), (fd, how))
CHANGE(int, fchmod, lasts(fd), (int fd, mode_t how), (fd, how))
CHANGE(int, chmod, true, (const char *path, mode_t how), (path, how))
TAKING(int, mkdir, true, makes_new(AT_FDCWD, path), -1, (const char *path, mode_t how), (path, how))
TAKING(int, mkdirat, true, makes_new(dir, path), -1, (int dir, const char *path, mode_t how),
       (dir, path, how))
CHANGE(int, rmdir, true, (const char *path), (path))
CHANGE(int, rename, true, (const char *from, const char *to), (from, to))
CHANGE(int, renameat, true, (int from_dir, const char *from, int to_dir, const char *to),
       (from_dir, from, to_dir, to))
CHANGE(int, renameat2, true,
       (int from_dir, const char *from, int to_dir, const char *to, unsigned flags),
       (from_dir, from, to_dir, to, flags))
CHANGE(int, link, true, (const char *from, const char *to), (from, to))
CHANGE(int, linkat, true, (int from_dir, const char *from, int to_dir, const char *to, int flags),
       (from_dir, from, to_dir, to, flags))
CHANGE(int, symlink, true, (const char *from, const char *to), (from, to))
CHANGE(int, unlink, true, (const char *path), (path))
CHANGE(int, unlinkat, true, (int dir, const char *path, int flags), (dir, path, flags))

/* ---- opening that creates ---- */

static bool creates(int flags)
{
    return (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
}

static mode_t mode_of(int flags, va_list list)
{
    return creates(flags) ? va_arg(list, mode_t) : 0;
}

#define OPENING(name)                                                                              \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        NEXT(int, (const char *, int, ...), #name)                                                 \
        va_list list;                                                                              \
        va_start(list, flags);                                                                     \
        mode_t how = mode_of(flags, list);                                                         \
        va_end(list);                                                                              \
        enum fate fate = creates(flags) ? counts(#name) : PASSES;                                  \
        if (makes_new(AT_FDCWD, path) && finds_no_room(fate)) {                                    \
            return -1;                                                                             \
        }                                                                                          \
        int rv = next(path, flags, how);                                                           \
        done(fate);                                                                                \
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
        enum fate fate = creates(flags) ? counts(#name) : PASSES;                                  \
        if (makes_new(dir, path) && finds_no_room(fate)) {                                         \
            return -1;                                                                             \
        }                                                                                          \
        int rv = next(dir, path, flags, how);                                                      \
        done(fate);                                                                                \
        return rv;                                                                                 \
    }

OPENING(open)
OPENING(open64)
OPENING_AT(openat)
OPENING_AT(openat64)

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
    enum fate fate = PASSES;
    if (number == SYS_openat2) {
        struct open_how how;
        void *from;
        memcpy(&from, &a[2], sizeof(from));
        memcpy(&how, from, sizeof(how));
        fate = creates((int)how.flags) ? counts("openat2") : PASSES;
    }
    if (number == SYS_openat2 && makes_new((int)a[0], (const char *)a[1]) && finds_no_room(fate)) {
        return -1;
    }
    long rv = next(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    done(fate);
    return rv;
}
