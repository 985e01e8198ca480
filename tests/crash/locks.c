/* locks: a preloaded library that ends a process which closes a file that
 * SQLite has open in it.  POSIX then drops all locks of the process on that
 * file, and whoever reads the database next deletes its log.  It stands first
 * in LD_PRELOAD, and programs that the process starts do not have it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILES_MAX = 1024 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    pid_t pid; /* a child that closes what it inherits drops no lock */
    dev_t dev;
    ino_t ino;
} files[FILES_MAX]; /* that SQLite opened; pid 0: none */

__attribute__((constructor)) static void keep_to_this_process(void)
{
    const char *others = getenv("LD_PRELOAD");

    others = others == NULL ? NULL : strchr(others, ':');
    if (others != NULL) {
        setenv("LD_PRELOAD", others + 1, 1);
    } else {
        unsetenv("LD_PRELOAD");
    }
}

static bool is_sqlite(const void *caller)
{
    Dl_info info;

    return dladdr(caller, &info) != 0 && info.dli_fname != NULL &&
           strstr(info.dli_fname, "libsqlite3") != NULL;
}

static void *real(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

static bool ends_in(const char *path, const char *end)
{
    size_t chars = strlen(path), tail = strlen(end);

    return chars >= tail && strcmp(path + chars - tail, end) == 0;
}

/* No lock is on a log. */
static int opened(int fd, const char *path, const void *caller)
{
    struct stat st;

    if (fd >= 0 && fd < FILES_MAX && is_sqlite(caller) && !ends_in(path, "-wal") &&
        fstat(fd, &st) == 0) {
        pthread_mutex_lock(&lock);
        files[fd].pid = getpid();
        files[fd].dev = st.st_dev;
        files[fd].ino = st.st_ino;
        pthread_mutex_unlock(&lock);
    }
    return fd;
}

static bool is_held(const struct stat *st)
{
    for (size_t i = 0; i < FILES_MAX; i++) {
        if (files[i].pid == getpid() && files[i].dev == st->st_dev && files[i].ino == st->st_ino) {
            return true;
        }
    }
    return false;
}

#define OPENS(name)                                                                                \
    int name(const char *path, int flags, ...)                                                     \
    {                                                                                              \
        int (*call)(const char *, int, ...);                                                       \
        va_list more;                                                                              \
                                                                                                   \
        *(void **)&call = real(#name);                                                             \
        va_start(more, flags);                                                                     \
        mode_t mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(more, mode_t) : 0;             \
        va_end(more);                                                                              \
        return opened(call(path, flags, mode), path, __builtin_return_address(0));                 \
    }
OPENS(open)
OPENS(open64)

int close(int fd)
{
    int (*call)(int);
    struct stat st;

    *(void **)&call = real("close");
    if (fd < 0 || fd >= FILES_MAX) {
        return call(fd);
    }
    bool is_own = is_sqlite(__builtin_return_address(0));
    pthread_mutex_lock(&lock);
    if (is_own) {
        files[fd].pid = 0;
    }
    bool is_wrong = !is_own && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_held(&st);
    pthread_mutex_unlock(&lock);
    if (is_wrong) {
        dprintf(STDERR_FILENO, "locks: descriptor %d of a file that SQLite holds is closed\n", fd);
        abort();
    }
    return call(fd);
}
