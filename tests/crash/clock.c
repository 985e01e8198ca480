/* clock: a preloaded library with which the wall clock is another one.
 *
 * FLO_CLOCK_SHIFT=SECONDS is added to what time, gettimeofday and clock_gettime
 * say of CLOCK_REALTIME; nobody keeps that clock right (adjtimex).  Timers go
 * on as they are.  FLO_CLOCK_FILE=PATH names a file of eight bytes, the
 * milliseconds since 1970: that clock stands still until the file changes. */
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static _Atomic(int64_t) *held;

static void __attribute__((constructor)) hold(void)
{
    const char *path = getenv("FLO_CLOCK_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *page = fd < 0
                     ? MAP_FAILED
                     : mmap(NULL, sizeof(*held), PROT_READ, MAP_SHARED, fd, 0);

    if (fd >= 0) {
        close(fd);
    }
    held = page == MAP_FAILED ? NULL : page;
    if (path != NULL && held == NULL) {
        abort(); /* a test would read another clock than it holds */
    }
}

static long long shift(void)
{
    const char *text = getenv("FLO_CLOCK_SHIFT");

    return text == NULL ? 0 : atoll(text);
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);

    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    }
    int rv = real(id, out);
    if (rv == 0 && id == CLOCK_REALTIME && held != NULL) {
        int64_t ms = *held;
        out->tv_sec = (time_t)(ms / 1000);
        out->tv_nsec = (long)(ms % 1000) * 1000000;
    } else if (rv == 0 && id == CLOCK_REALTIME) {
        out->tv_sec += shift();
    }
    return rv;
}

time_t time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

int gettimeofday(struct timeval *out, void *zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

int adjtimex(struct timex *kernel)
{
    kernel->status = STA_UNSYNC;
    return TIME_ERROR;
}
