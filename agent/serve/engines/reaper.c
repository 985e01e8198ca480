/* Reaper: waits for killed processes without blocking the agent.
 *
 * SIGKILL ends a process only when it returns from the kernel.  A process that
 * syncs a gigabyte to a slow card ends tens of seconds later.  A timer checks
 * for its end: often in the first second, then once a second. */
#include "agent/serve/engines/engines.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define TICK_MS 10
#define TICKS_OFTEN 100
/* number of ticks for which the agent, when it ends, waits for killed
 * processes; init reaps the rest */
#define CLOSE_TICKS_MAX 300

struct serve_killed {
    struct serve_killed *next;
    pid_t pid;
};

static void reap(struct flo_serve *serve)
{
    struct serve_killed **place = &serve->killed;

    while (*place != NULL) {
        struct serve_killed *killed = *place;

        if (waitpid(killed->pid, NULL, WNOHANG) == 0) {
            place = &killed->next;
        } else {
            *place = killed->next;
            free(killed);
        }
    }
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval seldom = {.tv_sec = 1};
    struct flo_serve *serve = context;
    (void)fd, (void)what;

    reap(serve);
    if (serve->killed == NULL) {
        event_del(serve->reaper);
    } else if (++serve->reaper_ticks == TICKS_OFTEN) {
        event_add(serve->reaper, &seldom);
    }
}

int flo_reaper_open(struct flo_serve *serve, struct flo_err *err)
{
    serve->reaper = event_new(serve->home, -1, EV_PERSIST, on_tick, serve);
    return serve->reaper == NULL ? flo_fail(err, FLO_E_MEMORY, "no event") : 0;
}

void flo_serve_kill(struct flo_serve *serve, pid_t pid)
{
    const struct timeval period = {.tv_usec = TICK_MS * 1000};
    struct serve_killed *killed = malloc(sizeof(*killed));

    kill(pid, SIGKILL);
    if (killed == NULL) { /* no memory for an entry, so the agent waits here and leaves no zombie */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
        return;
    }
    *killed = (struct serve_killed){.next = serve->killed, .pid = pid};
    serve->killed = killed;
    serve->reaper_ticks = 0;
    event_add(serve->reaper, &period);
}

pid_t flo_serve_killed_pid(const struct flo_serve *serve)
{
    return serve->killed == NULL ? 0 : serve->killed->pid;
}

void flo_reaper_close(struct flo_serve *serve)
{
    for (int i = 0; i < CLOSE_TICKS_MAX && serve->killed != NULL; i++) {
        reap(serve);
        if (serve->killed != NULL) {
            usleep(TICK_MS * 1000);
        }
    }
    while (serve->killed != NULL) {
        struct serve_killed *killed = serve->killed;

        serve->killed = killed->next;
        free(killed);
    }
    flo_event_drop(&serve->reaper);
}
