/* Pack: starts an engine process that packs a model into a file, and watches
 * it.
 *
 * The process is not trusted with the size, and the caller hashes the file.  A
 * process that makes no progress is soon killed. */
#include "agent/serve/engines/engines.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/worker.h>

#define NICENESS 10
#define ANSWER_BYTES_MAX 4096
#define END_LOOK_MS 10
#define END_LOOKS 200

struct serve_packer {
    struct flo_serve *serve;
    struct flo_serve_packing packing;
    pid_t pid;
    int fd;
    struct event *readable, *tick;
    struct flo_work work;
    /* the packer's first answer has arrived, and the file has been given its
     * size */
    bool has_room;
    bool is_silent; /* the packer closed its socket without an answer */
    unsigned end_looks;
    uint64_t bytes;
    size_t got;
    char answer[ANSWER_BYTES_MAX];
};

void flo_serve_pack_cancel(struct serve_packer *packer)
{
    if (packer == NULL) {
        return;
    }
    flo_event_drop(&packer->readable);
    flo_event_drop(&packer->tick);
    flo_fd_cleanup(&packer->fd);
    if (packer->pid > 0) {
        flo_serve_kill(packer->serve, packer->pid);
    }
    flo_fd_cleanup(&packer->packing.fd);
    free(packer);
}

static void end(struct serve_packer *packer, const struct flo_err *err)
{
    struct flo_serve_packing packing = packer->packing;

    flo_serve_pack_cancel(packer);
    packing.done(packing.context, err);
}

/* ---- answers ---- */

static int give_file(struct serve_packer *packer, uint64_t bytes, struct flo_err *err)
{
    const struct flo_wire_message message = {.type = FLO_WIRE_PACK};
    int fd = -1;
    int rv = packer->packing.reserve(packer->packing.context, bytes, &fd, err);

    packer->bytes = bytes;
    packer->has_room = true;
    FLO_TRY(rv);
    return flo_serve_engine_send(packer->fd, &message, &fd, 1, err);
}

/* Handles an answer of the packer.  Returns 1 when it was the last one, or the
 * error that ended the packing. */
static int take_answer(struct serve_packer *packer, const struct flo_wire_message *message,
                       struct flo_err *err)
{
    if (message->type == FLO_WIRE_FAILED) {
        return flo_serve_engine_failure(&message->failed, err);
    }
    if (message->type != FLO_WIRE_PACKED ||
        (packer->has_room && message->packed.bytes != packer->bytes)) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s in answer to PACK",
                        flo_wire_type_name((int)message->type));
    }
    return packer->has_room ? 1 : give_file(packer, message->packed.bytes, err);
}

/* Finds out how a packer ended that closed its socket without an answer.  The
 * process may still be running, and is reaped elsewhere. */
static void look_how_it_ended(struct serve_packer *packer)
{
    struct flo_err err = {0};
    siginfo_t info = {0};

    if (waitid(P_PID, (id_t)packer->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == 0 && packer->end_looks++ < END_LOOKS) {
        return;
    }
    if (info.si_pid == packer->pid && info.si_code == CLD_KILLED && info.si_status == SIGKILL) {
        flo_fail(&err, FLO_E_ENGINE_KILLED,
                 "the engine was killed by signal 9 while it packed, which "
                 "this agent did not send");
    } else {
        flo_fail(&err, FLO_E_ENGINE_CRASH, "the engine ended while it packed");
    }
    end(packer, &err);
}

static void end_unasked(struct serve_packer *packer)
{
    static const struct timeval soon = {.tv_usec = END_LOOK_MS * 1000};

    packer->is_silent = true;
    event_del(packer->readable);
    event_add(packer->tick, &soon);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    static struct flo_wire_message message;
    struct serve_packer *packer = context;
    struct flo_err err = {0};
    ssize_t n =
        recv(fd, packer->answer + packer->got, sizeof(packer->answer) - packer->got, MSG_DONTWAIT);
    (void)what;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    packer->got += n > 0 ? (size_t)n : 0;
    ptrdiff_t used = flo_wire_read(packer->answer, packer->got, &message, &err);
    int rv = used > 0 ? take_answer(packer, &message, &err) : (int)used;
    if (used == 0 && (n <= 0 || packer->got == sizeof(packer->answer))) {
        end_unasked(packer);
        return;
    }
    if (rv != 0) {
        end(packer, rv < 0 ? &err : NULL);
    } else if (used > 0) {
        packer->got = 0;
    }
}

/* ---- supervision ---- */

/* Returns a time that stands still while the machine is suspended, because
 * nothing is packed then. */
static uint64_t awake_ms(void)
{
    return flo_now_us() / 1000;
}

static enum flo_work_verdict look(struct serve_packer *packer, uint64_t now)
{
    const struct flo_work_limits limits = {.spent_ms_max = packer->packing.timeout_ms,
                                           .total_ms_max = packer->packing.total_ms_max,
                                           .idle_ms_max = packer->packing.idle_ms_max};
    bool waits_for_disk = false;
    uint64_t cpu_ms = 0;
    bool is_told = flo_process_work(packer->pid, &cpu_ms, &waits_for_disk);

    return flo_work_look(&packer->work, &limits, now, is_told, cpu_ms, waits_for_disk);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    struct serve_packer *packer = context;
    const struct flo_serve_packing *packing = &packer->packing;
    uint64_t now = awake_ms();
    struct flo_err err = {0};
    (void)fd, (void)what;

    if (packer->is_silent) {
        look_how_it_ended(packer);
        return;
    }
    switch (look(packer, now)) {
    case FLO_WORK_GOES_ON:
        break;
    case FLO_WORK_SPENT_TOO_MUCH:
        flo_fail(&err, FLO_E_ENGINE_HANG,
                 "packing took more than %llu ms without its waits for the "
                 "disk",
                 (unsigned long long)packing->timeout_ms);
        break;
    case FLO_WORK_TAKES_TOO_LONG:
        flo_fail(&err, FLO_E_ENGINE_HANG, "packing took more than %llu ms",
                 (unsigned long long)packing->total_ms_max);
        break;
    case FLO_WORK_STANDS_STILL:
        flo_fail(&err, FLO_E_ENGINE_HANG, "packing stood still for %llu ms",
                 (unsigned long long)(now - packer->work.worked_ms));
        break;
    }
    if (err.code != 0) {
        end(packer, &err);
    }
}

/* Starts the timer that checks the packer.  Its period is about an eighth of
 * the packer's shorter limit, timeout_ms or idle_ms_max. */
static int start_ticks(struct serve_packer *packer)
{
    const struct flo_serve_packing *packing = &packer->packing;
    uint64_t least =
        packing->timeout_ms < packing->idle_ms_max ? packing->timeout_ms : packing->idle_ms_max;
    uint64_t ms = least / 8 + 1;
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    flo_work_begin(&packer->work, awake_ms());
    return event_add(packer->tick, &tv);
}

/* ---- start ---- */

static int start(struct serve_packer *packer, struct flo_err *err)
{
    struct flo_serve *serve = packer->serve;
    const struct flo_wire_message message = {.type = FLO_WIRE_PACK};

    FLO_TRY(flo_serve_engine_spawn(serve, "worker", &packer->pid, &packer->fd, err));
    (void)setpriority(PRIO_PROCESS, (id_t)packer->pid, NICENESS);
    evutil_make_socket_nonblocking(packer->fd);
    packer->readable =
        event_new(serve->home, packer->fd, EV_READ | EV_PERSIST, on_readable, packer);
    packer->tick = event_new(serve->home, -1, EV_PERSIST, on_tick, packer);
    if (packer->readable == NULL || packer->tick == NULL ||
        event_add(packer->readable, NULL) != 0 || start_ticks(packer) != 0) {
        return flo_fail(err, FLO_E_MEMORY, "no event");
    }
    return flo_serve_engine_send(packer->fd, &message, &packer->packing.fd, 1, err);
}

int flo_serve_pack(struct flo_serve *serve, const struct flo_serve_packing *packing,
                   struct serve_packer **out, struct flo_err *err)
{
    struct serve_packer *packer = calloc(1, sizeof(*packer));
    int model = packing->fd;

    if (packer == NULL) {
        close(model);
        return flo_fail(err, FLO_E_MEMORY, "no memory to pack a model");
    }
    packer->serve = serve;
    packer->packing = *packing;
    packer->pid = -1;
    packer->fd = -1;
    int rv = start(packer, err);
    if (rv < 0) {
        flo_serve_pack_cancel(packer);
        return rv;
    }
    *out = packer;
    return 0;
}
