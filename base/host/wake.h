/* Wake: an eventfd with which one thread wakes another's event loop. */
#ifndef FLOTILLA_HOST_WAKE_H
#define FLOTILLA_HOST_WAKE_H

#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* < 0: errno says why. */
static inline int flo_wake_open(void)
{
    return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
}

/* From any thread; readable until it is calmed. */
static inline void flo_wake_poke(int fd)
{
    uint64_t one = 1;
    ssize_t put = write(fd, &one, sizeof(one));

    (void)put; /* EAGAIN: it is poked already */
}

static inline void flo_wake_calm(int fd)
{
    uint64_t count;
    ssize_t got = read(fd, &count, sizeof(count));

    (void)got; /* EAGAIN: it was calm */
}

#endif
