/* slow: a preloaded library with which each sync of the disk takes 20 ms, as on
 * a worn flash card. */
#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

static int slowly(const char *name, int fd)
{
    int (*real)(int);

    *(void **)&real = dlsym(RTLD_NEXT, name);
    nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
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
