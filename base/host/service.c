/* Service notification: sends READY, WATCHDOG and STOPPING as datagrams to
 * NOTIFY_SOCKET. */
#include "base/host/service.h"
#include "base/host/event.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/base.h>

struct flo_service {
    struct sockaddr_un address;
    socklen_t address_bytes;
    int fd;
    struct event *alive;
};

/* Accepts a path, or an abstract name that begins with '@'. */
static bool read_address(const char *name, struct flo_service *service)
{
    size_t bytes = strlen(name);

    if ((name[0] != '/' && name[0] != '@') || bytes < 2 ||
        bytes >= sizeof(service->address.sun_path)) {
        return false;
    }
    service->address.sun_family = AF_UNIX;
    memcpy(service->address.sun_path, name, bytes);
    if (name[0] == '@') {
        service->address.sun_path[0] = '\0';
    }
    service->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    return true;
}

static void say(const struct flo_service *service, const char *state)
{
    if (sendto(service->fd, state, strlen(state), MSG_NOSIGNAL,
               (const struct sockaddr *)&service->address, service->address_bytes) < 0) {
        flo_log(FLO_LOG_WARN, "service", "the service manager took no %s: %s", state,
                strerror(errno));
    }
}

static void on_alive(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    say(context, "WATCHDOG=1");
}

/* Returns the watchdog period of this process in microseconds, or 0 when it has
 * none. */
static uint64_t watchdog_us(void)
{
    const char *pid = getenv("WATCHDOG_PID");
    const char *period = getenv("WATCHDOG_USEC");

    if (period == NULL || (pid != NULL && strtoull(pid, NULL, 10) != (uint64_t)getpid())) {
        return 0;
    }
    return strtoull(period, NULL, 10);
}

static int watch(struct flo_service *service, struct event_base *base)
{
    uint64_t half = watchdog_us() / 2;
    struct timeval every = {.tv_sec = (time_t)(half / 1000000),
                            .tv_usec = (suseconds_t)(half % 1000000)};

    if (half == 0) {
        return 0;
    }
    service->alive = event_new(base, -1, EV_PERSIST, on_alive, service);
    return service->alive == NULL ? -1 : event_add(service->alive, &every);
}

struct flo_service *flo_service_open(void)
{
    const char *name = getenv("NOTIFY_SOCKET");
    struct flo_service *service = calloc(1, sizeof(*service));

    if (service == NULL || name == NULL || !read_address(name, service)) {
        free(service);
        return NULL;
    }
    unsetenv("NOTIFY_SOCKET");
    service->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (service->fd < 0) {
        free(service);
        return NULL;
    }
    return service;
}

void flo_service_ready(struct flo_service *service, struct event_base *base)
{
    if (service == NULL) {
        return;
    }
    if (watch(service, base) < 0) {
        flo_log(FLO_LOG_WARN, "service", "no memory for the watchdog");
    }
    say(service, "READY=1");
}

void flo_service_pause(struct flo_service *service)
{
    if (service != NULL && service->alive != NULL) {
        event_free(service->alive);
        service->alive = NULL;
    }
}

void flo_service_stop(struct flo_service *service)
{
    if (service == NULL) {
        return;
    }
    flo_event_drop(&service->alive);
    say(service, "STOPPING=1");
    close(service->fd);
    free(service);
}
