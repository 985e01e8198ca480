/* clock: a preloaded library with which the wall clock is another one.
 *
 * FLO_CLOCK_SHIFT=SECONDS is added to what time, gettimeofday and clock_gettime
 * say of CLOCK_REALTIME; nobody keeps that clock right (adjtimex).  Timers go
 * on as they are.  FLO_CLOCK_FILE=PATH names a file of eight bytes, the
 * milliseconds since 1970: that clock stands still until the file changes, and
 * the kernel says that it is right.  In
 * a mosquitto only certificates are checked by it: 2.0.21 counts its clients'
 * patience by this clock too, and would end all of them when it is set on.
 * Waits for a condition until a time of this clock last as long as they should:
 * without that, a library that waits in turns of a second would never sleep. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

static _Atomic(int64_t) *held;
static bool is_broker;

static void __attribute__((constructor)) hold(void)
{
    const char *path = getenv("FLO_CLOCK_FILE");
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(*held), PROT_READ, MAP_SHARED, fd, 0);

    if (fd >= 0) {
        close(fd);
    }
    held = page == MAP_FAILED ? NULL : page;
    is_broker = strcmp(program_invocation_short_name, "mosquitto") == 0;
    if (path != NULL && held == NULL) {
        abort(); /* a test would read another clock than it holds */
    }
}

static long long shift(void)
{
    const char *text = getenv("FLO_CLOCK_SHIFT");

    return text == NULL ? 0 : atoll(text);
}

static int real_time(clockid_t id, struct timespec *out)
{
    static int (*real)(clockid_t, struct timespec *);

    if (real == NULL) {
        *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    }
    return real(id, out);
}

/* Does the code at this address go by the held clock? */
static bool has_held_clock(void *caller)
{
    Dl_info found;

    return held != NULL && (!is_broker || (dladdr(caller, &found) != 0 &&
                                           strstr(found.dli_fname, "libcrypto") != NULL));
}

static int time_for(void *caller, clockid_t id, struct timespec *out)
{
    int rv = real_time(id, out);

    if (rv == 0 && id == CLOCK_REALTIME && has_held_clock(caller)) {
        int64_t ms = *held;
        out->tv_sec = (time_t)(ms / 1000);
        out->tv_nsec = (long)(ms % 1000) * 1000000;
    } else if (rv == 0 && id == CLOCK_REALTIME) {
        out->tv_sec += shift();
    }
    return rv;
}

int clock_gettime(clockid_t id, struct timespec *out)
{
    return time_for(__builtin_return_address(0), id, out);
}

time_t time(time_t *out)
{
    struct timespec now;

    time_for(__builtin_return_address(0), CLOCK_REALTIME, &now);
    if (out != NULL) {
        *out = now.tv_sec;
    }
    return now.tv_sec;
}

int gettimeofday(struct timeval *out, void *zone)
{
    struct timespec now;

    (void)zone;
    time_for(__builtin_return_address(0), CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int64_t ns_until(const struct timespec *then, const struct timespec *now)
{
    return (int64_t)(then->tv_sec - now->tv_sec) * 1000000000 + then->tv_nsec - now->tv_nsec;
}

/* The condition may count by CLOCK_MONOTONIC: the clock that is nearer. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *end)
{
    struct timespec wall, real, steady, until = *end;

    time_for(__builtin_return_address(0), CLOCK_REALTIME, &wall);
    real_time(CLOCK_REALTIME, &real);
    real_time(CLOCK_MONOTONIC, &steady);
    int64_t left = ns_until(end, &wall), other = ns_until(end, &steady);
    if (llabs(other) < llabs(left)) {
        return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, end);
    }
    until.tv_sec = real.tv_sec + left / 1000000000;
    until.tv_nsec = real.tv_nsec + left % 1000000000;
    if (until.tv_nsec < 0) {
        until.tv_sec -= 1;
        until.tv_nsec += 1000000000;
    } else if (until.tv_nsec >= 1000000000) {
        until.tv_sec += 1;
        until.tv_nsec -= 1000000000;
    }
    return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &until);
}

int adjtimex(struct timex *kernel)
{
    kernel->status = held != NULL ? 0 : STA_UNSYNC;
    return held != NULL ? TIME_OK : TIME_ERROR;
}
