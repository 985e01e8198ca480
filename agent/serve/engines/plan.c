/* Plan: starts an engine process that computes how much memory a model needs,
 * for each of several settings (context, sessions and cache).  The process is
 * not trusted: it is killed if it does not answer in time. */
#include "agent/serve/engines/engines.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/worker.h>

#define ANSWER_BYTES_MAX 4096

_Static_assert((int)FLO_SERVE_CACHE_AUTO == (int)FLO_WIRE_CACHE_AUTO &&
                   (int)FLO_SERVE_CACHE_F16 == (int)FLO_WIRE_CACHE_F16 &&
                   (int)FLO_SERVE_CACHE_Q8_0 == (int)FLO_WIRE_CACHE_Q8_0 &&
                   (int)FLO_SERVE_CACHE_F32 == (int)FLO_WIRE_CACHE_F32 &&
                   (int)FLO_SERVE_CACHE_Q4_0 == (int)FLO_WIRE_CACHE_Q4_0,
               "the words of the wire");

struct serve_planner {
    struct flo_serve *serve;
    struct flo_serve_planning planning;
    pid_t pid;
    int fd;
    struct event *readable, *deadline;
    uint32_t n_plans;
    struct flo_serve_planned plans[FLO_SERVE_PLANS_MAX];
    size_t got;
    char answer[ANSWER_BYTES_MAX];
};

static void close_files(const struct flo_serve_planning *planning)
{
    const int fds[] = {planning->fd, planning->packed_fd, planning->draft_fd};

    for (size_t i = 0; i < FLO_COUNT(fds); i++) {
        if (fds[i] > 0) {
            close(fds[i]);
        }
    }
}

void flo_serve_plan_cancel(struct serve_planner *planner)
{
    if (planner == NULL) {
        return;
    }
    flo_event_drop(&planner->readable);
    flo_event_drop(&planner->deadline);
    flo_fd_cleanup(&planner->fd);
    if (planner->pid > 0) {
        flo_serve_kill(planner->serve, planner->pid);
    }
    close_files(&planner->planning);
    free(planner);
}

static void end(struct serve_planner *planner, const struct flo_err *err)
{
    struct flo_serve_planned plans[FLO_SERVE_PLANS_MAX];
    struct flo_serve_planning planning = planner->planning;

    for (uint32_t i = 0; i < FLO_SERVE_PLANS_MAX; i++) {
        plans[i] = planner->plans[i];
    }
    flo_serve_plan_cancel(planner);
    planning.done(planning.context, err == NULL ? plans : NULL, err);
}

/* Asks the process how much memory the model needs with the next settings:
 * context, sessions and cache. */
static int ask(struct serve_planner *planner, struct flo_err *err)
{
    const struct flo_serve_planning *planning = &planner->planning;
    int fds[] = {planning->fd, planning->packed_fd, 0};
    size_t count = planning->packed_fd > 0 ? 2 : 1;
    struct flo_wire_message message = {.type = FLO_WIRE_PLAN};

    message.open.context = planning->ways[planner->n_plans].context;
    message.open.sessions = planning->ways[planner->n_plans].sessions;
    message.open.cache = (uint32_t)planning->ways[planner->n_plans].cache;
    message.open.threads = 1;
    message.open.adapter_bytes = planning->adapter_bytes;
    message.open.has_draft = planning->draft_fd > 0 && planning->ways[planner->n_plans].has_draft;
    if (message.open.has_draft) {
        fds[count++] = planning->draft_fd;
    }
    return flo_serve_engine_send(planner->fd, &message, fds, count, err);
}

/* Handles an answer of the process.  Returns 1 when it was the last one. */
static int take_answer(struct serve_planner *planner, const struct flo_wire_message *message,
                       struct flo_err *err)
{
    if (message->type == FLO_WIRE_FAILED) {
        return flo_serve_engine_failure(&message->failed, err);
    }
    if (message->type != FLO_WIRE_PLANNED) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s in answer to PLAN",
                        flo_wire_type_name((int)message->type));
    }
    planner->plans[planner->n_plans++] =
        (struct flo_serve_planned){.weights_bytes = message->planned.weights_bytes,
                                   .private_bytes = message->planned.private_bytes,
                                   .context = message->planned.context,
                                   .sessions = message->planned.sessions};
    return planner->n_plans == planner->planning.count ? 1 : ask(planner, err);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    static struct flo_wire_message message;
    struct serve_planner *planner = context;
    struct flo_err err = {0};
    ssize_t n = recv(fd, planner->answer + planner->got, sizeof(planner->answer) - planner->got,
                     MSG_DONTWAIT);
    (void)what;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    planner->got += n > 0 ? (size_t)n : 0;
    ptrdiff_t used = flo_wire_read(planner->answer, planner->got, &message, &err);
    int rv = used > 0 ? take_answer(planner, &message, &err) : (int)used;
    if (used == 0 && (n <= 0 || planner->got == sizeof(planner->answer))) {
        rv = flo_fail(&err, FLO_E_ENGINE_CRASH, "the engine ended while it planned");
    }
    if (rv != 0) {
        end(planner, rv < 0 ? &err : NULL);
    } else if (used > 0) {
        planner->got = 0;
    }
}

static void on_deadline(evutil_socket_t fd, short what, void *context)
{
    struct serve_planner *planner = context;
    struct flo_err err = {0};
    (void)fd, (void)what;

    flo_fail(&err, FLO_E_ENGINE_HANG, "planning took more than %llu ms",
             (unsigned long long)planner->serve->hang_ms_max);
    end(planner, &err);
}

static int start(struct serve_planner *planner, struct flo_err *err)
{
    struct flo_serve *serve = planner->serve;
    uint64_t ms = serve->hang_ms_max;
    const struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                               .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    FLO_TRY(flo_serve_engine_spawn(serve, "worker", &planner->pid, &planner->fd, err));
    evutil_make_socket_nonblocking(planner->fd);
    planner->readable =
        event_new(serve->home, planner->fd, EV_READ | EV_PERSIST, on_readable, planner);
    planner->deadline = evtimer_new(serve->home, on_deadline, planner);
    if (planner->readable == NULL || planner->deadline == NULL ||
        event_add(planner->readable, NULL) != 0 || event_add(planner->deadline, &tv) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "no event");
    }
    return ask(planner, err);
}

int flo_serve_plan(struct flo_serve *serve, const struct flo_serve_planning *planning,
                   struct serve_planner **out, struct flo_err *err)
{
    struct serve_planner *planner = calloc(1, sizeof(*planner));

    assert(planning->count >= 1 && planning->count <= FLO_SERVE_PLANS_MAX);
    if (planner == NULL) {
        close_files(planning);
        return flo_fail(err, FLO_E_MEMORY, "no memory to plan a model");
    }
    planner->serve = serve;
    planner->planning = *planning;
    planner->pid = -1;
    planner->fd = -1;
    int rv = start(planner, err);
    if (rv < 0) {
        flo_serve_plan_cancel(planner);
        return rv;
    }
    *out = planner;
    return 0;
}
