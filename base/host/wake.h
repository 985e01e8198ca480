/* Wake: an eventfd with which one thread wakes another's event loop. */
#ifndef FLOTILLA_HOST_WAKE_H
#define FLOTILLA_HOST_WAKE_H

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Opens the eventfd.  Returns the descriptor, or < 0 with the error in
 * errno. */
static inline int flo_wake_open(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/* Wakes the event loop, from any thread.  The descriptor is readable until
 * flo_wake_calm(). */
static inline void flo_wake_poke(int fd)
{
    uint64_t one = 1;
    ssize_t put = write(fd, &one, sizeof(one));

    (void)put; /* EAGAIN is no error: a wake is pending already */
}

static inline void flo_wake_calm(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof(count));

    (void)got; /* EAGAIN is no error: no wake was pending */
}

#endif
