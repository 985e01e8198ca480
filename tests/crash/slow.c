/* slow: a preloaded library with which each sync of the disk takes long, as on
 * a worn flash card: FLO_SLOW_MS milliseconds, or 20.
 *
 * FLO_SLOW_HOLD=FILE names a part of a path: while FILE is there, the agent's
 * and the controller's syncs of files with that part in their path do not end.
 * FILE.held is there while one waits; who removes it lets that one go, and the
 * next one waits.
 * Other programs (engines, the updater) go on: their sandboxes forbid to look.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static void pass(unsigned long ms)
{
    const struct timespec time = {.tv_sec = (time_t)(ms / 1000),
                                  .tv_nsec = (long)(ms % 1000 * 1000000)};

    nanosleep(&time, NULL);
}

static bool is_held(const char *hold, int fd)
{
    char self[40], path[4096], part[256] = "";
    FILE *file = fopen(hold, "re");

    if (file == NULL) {
        return false;
    }
    bool is_named = fscanf(file, "%255s", part) == 1;
    fclose(file);
    snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
    ssize_t chars = readlink(self, path, sizeof(path) - 1);
    path[chars < 0 ? 0 : chars] = '\0';
    return is_named && strstr(path, part) != NULL;
}

static void hold(int fd)
{
    const char *name = getenv("FLO_SLOW_HOLD");
    char held[4096];
    const char *program = program_invocation_short_name;
    bool is_ours =
        strcmp(program, "flotilla-agent") == 0 || strcmp(program, "flotilla-controller") == 0;
    int made = -1;

    if (name == NULL || !is_ours || !is_held(name, fd)) {
        return;
    }
    snprintf(held, sizeof(held), "%s.held", name);
    made = open(held, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    while (made >= 0 && is_held(name, fd) && access(held, F_OK) == 0) {
        pass(5);
    }
    if (made >= 0) {
        unlink(held);
        close(made);
    }
}

static int slowly(const char *name, int fd)
{
    const char *ms = getenv("FLO_SLOW_MS");
    int (*real)(int);

    *(void **)&real = dlsym(RTLD_NEXT, name);
    pass(ms == NULL ? 20 : strtoul(ms, NULL, 10));
    hold(fd);
    return real(fd);
}

int fsync(int fd)
{
    return slowly("fsync", fd);
}

int fdatasync(int fd)
{
    return slowly("fdatasync", fd);
}
