/* plug: a preloaded library that kills a program right after a commit.
 *
 * FLO_PLUG="<part of the path> <word>": the program writes the word to a file
 * with that part in its path.  The next fdatasync of such a file still reaches
 * the disk; then the plug is pulled (SIGKILL).  Whatever the program does after
 * a commit is thus never done. */
#include <dlfcn.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_written; /* the word, and not yet synced */

static bool read_plug(char part[64], char word[64])
{
    const char *plug = getenv("FLO_PLUG");

    return plug != NULL && sscanf(plug, "%63s %63s", part, word) == 2;
}

static bool is_of(int fd, const char *part)
{
    char self[40], path[4096];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    ssize_t chars = readlink(self, path, sizeof(path) - 1);

    path[chars < 0 ? 0 : chars] = '\0';
    return strstr(path, part) != NULL;
}

static void look(int fd, const void *data, size_t bytes)
{
    char part[64], word[64];

    if (read_plug(part, word) && memmem(data, bytes, word, strlen(word)) != NULL &&
        is_of(fd, part)) {
        is_written = true;
    }
}

static void *next(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

ssize_t pwrite(int fd, const void *data, size_t bytes, off_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off_t);

    if (real == NULL) {
        *(void **)&real = next("pwrite");
    }
    look(fd, data, bytes);
    return real(fd, data, bytes, at);
}

ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t at)
{
    static ssize_t (*real)(int, const void *, size_t, off64_t);

    if (real == NULL) {
        *(void **)&real = next("pwrite64");
    }
    look(fd, data, bytes);
    return real(fd, data, bytes, at);
}

int fdatasync(int fd)
{
    static int (*real)(int);
    char part[64], word[64];

    if (real == NULL) {
        *(void **)&real = next("fdatasync");
    }
    int rv = real(fd);
    if (rv == 0 && is_written && read_plug(part, word) && is_of(fd, part)) {
        kill(getpid(), SIGKILL);
    }
    return rv;
}
