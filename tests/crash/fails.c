/* fails: a preloaded library with which some calls of the agent or the
 * controller fail with EIO or another error, or find no room.
 *
 * FLO_FAILS=FILE names a line "<call> <part of the path> <times> [<errno>]",
 * read again at every pread, pwrite and fdatasync: that call, or each of
 * "pread,pwrite", fails on files with that part in their path, so many times;
 * what is left is written back.  With the call fstatvfs the disk of a
 * descriptor has no free byte.  Other programs (engines, the updater) are left
 * alone: their sandboxes forbid to look. */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

static bool is_of(int fd, const char *part)
{
    char self[40], path[4096];
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    ssize_t chars = readlink(self, path, sizeof(path) - 1);

    path[chars < 0 ? 0 : chars] = '\0';
    return strstr(path, part) != NULL;
}

/* The line stays as long as it is: who reads it meanwhile sees the one number
 * or the other. */
static void write_back(FILE *file, const char *line, const char *call, const char *part,
                       unsigned long times, int number)
{
    char text[128], more[16] = "";

    rewind(file);
    if (number != EIO) {
        snprintf(more, sizeof(more), " %d", number);
    }
    snprintf(text, sizeof(text), "%s %s %lu%s", call, part, times, more);
    fprintf(file, "%-*s\n", (int)strcspn(line, "\n"), text);
}

/* The file that was read is written, and none is made: a test may remove it or
 * put another one in its place meanwhile. */
static bool fails(const char *call, int fd)
{
    const char *name = getenv("FLO_FAILS");
    const char *program = program_invocation_short_name;
    bool is_ours =
        strcmp(program, "flotilla-agent") == 0 || strcmp(program, "flotilla-controller") == 0;
    FILE *file = name == NULL || !is_ours ? NULL : fopen(name, "r+e");
    char line[128] = "", word[16], part[64];
    unsigned long times = 0;
    int number = EIO;

    if (file == NULL) {
        return false;
    }
    bool is_it = fgets(line, sizeof(line), file) != NULL &&
                 sscanf(line, "%15s %63s %lu %d", word, part, &times, &number) >= 3 && times > 0 &&
                 strstr(word, call) != NULL && is_of(fd, part);
    if (is_it) {
        write_back(file, line, word, part, times - 1, number);
    }
    fclose(file);
    errno = number;
    return is_it;
}

#define FAILING(type, name, call, parameters, arguments)                                           \
    type name parameters                                                                           \
    {                                                                                              \
        static type(*next) parameters;                                                             \
        if (next == NULL) {                                                                        \
            void *found = dlsym(RTLD_NEXT, #name);                                                 \
            memcpy(&next, &found, sizeof(next));                                                   \
        }                                                                                          \
        return fails(call, fd) ? -1 : next arguments;                                              \
    }

FAILING(ssize_t, pread, "pread", (int fd, void *data, size_t bytes, off_t at),
        (fd, data, bytes, at))
FAILING(ssize_t, pread64, "pread", (int fd, void *data, size_t bytes, off64_t at),
        (fd, data, bytes, at))
FAILING(ssize_t, pwrite, "pwrite", (int fd, const void *data, size_t bytes, off_t at),
        (fd, data, bytes, at))
FAILING(ssize_t, pwrite64, "pwrite", (int fd, const void *data, size_t bytes, off64_t at),
        (fd, data, bytes, at))
FAILING(int, fdatasync, "fdatasync", (int fd), (fd))

#define ROOMLESS(name, type)                                                                       \
    int name(int fd, struct type *out)                                                             \
    {                                                                                              \
        static int (*next)(int fd, struct type *out);                                              \
        if (next == NULL) {                                                                        \
            void *found = dlsym(RTLD_NEXT, #name);                                                 \
            memcpy(&next, &found, sizeof(next));                                                   \
        }                                                                                          \
        bool is_full = fails("fstatvfs", fd);                                                      \
        int rv = next(fd, out);                                                                    \
        out->f_bavail = is_full ? 0 : out->f_bavail;                                               \
        return rv;                                                                                 \
    }

ROOMLESS(fstatvfs, statvfs)
ROOMLESS(fstatvfs64, statvfs64)
