/* Engine: one engine process as the agent sees it: its start, calls, watchdog
 * and end.
 *
 * The process is not trusted: an invalid frame kills it, and so does a ping
 * that it does not answer within hang_ms_max.  Ticks of the agent's own timer
 * count that time, so that a suspended machine does not look like a hang. */
#include "agent/serve/engines/engines.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <flotilla/errors/engine.h>
#include <flotilla/errors/model.h>
#include <flotilla/errors/worker.h>

#define USER_SESSIONS 4 /* number of sessions that is assumed for an engine that reports none */
#define SESSIONS_MAX 16
#define REAP_TICK_MS 10
/* number of ticks that a runtime gets to end, in addition to its own stop
 * time */
#define REAP_TICKS_MAX 20

/* ---- roles ---- */

struct serve_engine *flo_serve_engine_live(const struct serve_place *place)
{
    if (!place->is_live) {
        return NULL;
    }
    struct serve_engine *engine = place->roles[place->live];
    return engine != NULL && engine->state == ENGINE_READY ? engine : NULL;
}

struct serve_engine *flo_serve_engine_dead(const struct serve_place *place,
                                           enum flo_serve_role role)
{
    struct serve_engine *engine = place->serve->engines;
    while (engine != NULL &&
           !(engine->state == ENGINE_DYING && engine->has_role && engine->place == place &&
             (engine->role == role || engine->is_shared) && !engine->is_expected)) {
        engine = engine->next;
    }
    return engine;
}

int flo_serve_engine_loss(const struct serve_place *place, enum flo_serve_role role,
                          struct flo_err *err)
{
    const struct serve_engine *dead = flo_serve_engine_dead(place, role);
    if (dead == NULL) {
        return flo_news_find_lost(place->serve->news, place->model, role, err);
    }
    if (dead->end.code != 0 && dead->end.code != FLO_E_ENGINE_CRASH) {
        *err = dead->end;
        return err->code;
    }
    return flo_fail(err, FLO_E_ENGINE_CRASH, "the engine of %s ended before it was live",
                    dead->name);
}

/* ---- change of an adapter, cancel ---- */

static void close_change(struct serve_engine *engine)
{
    if (engine->change.fd > 0) {
        close(engine->change.fd);
    }
    engine->change.fd = 0;
}

/* Tells whether an earlier request that still waits to be sent needs the
 * adapter that the change would remove. */
static bool is_too_early(const struct serve_engine *engine)
{
    const struct serve_call *call = engine->calls;
    while (call != &engine->change.call &&
           !(flo_serve_call_waits(call) && strcmp(call->adapter, engine->change.name) == 0)) {
        call = call->next;
    }
    return call != &engine->change.call;
}

/* Sends the change of adapters when nothing else is queued, because a
 * descriptor must not overtake earlier bytes or be inside them.  Otherwise it
 * is tried again when bytes were sent, or at the watchdog's next tick. */
static void send_change(struct serve_engine *engine)
{
    struct flo_wire_message message = {.type =
                                           engine->change.is_load ? FLO_WIRE_LOAD : FLO_WIRE_DROP,
                                       .request = engine->change.call.id};
    struct flo_err err = {0};
    if (engine->change.fd == 0 || evbuffer_get_length(bufferevent_get_output(engine->bev)) > 0 ||
        is_too_early(engine)) {
        return;
    }
    message.adapter.name = (struct flo_wire_text){engine->change.name, strlen(engine->change.name)};
    errno = 0;
    int rv = engine->change.is_load ? flo_serve_engine_send(bufferevent_getfd(engine->bev),
                                                            &message, &engine->change.fd, 1, &err)
                                    : flo_serve_engine_say(engine, &message, &err);
    if (rv < 0 && (errno == EAGAIN || errno == ETOOMANYREFS)) {
        return;
    }
    close_change(engine);
    if (rv < 0) {
        flo_serve_engine_kill(engine, &err);
    }
}

static void on_written(struct bufferevent *bev, void *context)
{
    (void)bev;
    send_change(context);
}

int flo_serve_engine_call_change(struct serve_engine *engine, int fd, struct flo_err *err)
{
    if (engine->state != ENGINE_READY || engine->change.fd != 0) {
        flo_fd_cleanup(&fd);
        return flo_fail(err, FLO_E_INFER_BUSY, "the engine is not ready");
    }
    engine->change.fd = fd;
    flo_serve_call_list(engine, &engine->change.call, ++engine->next_id);
    bufferevent_trigger(engine->bev, EV_WRITE, BEV_OPT_DEFER_CALLBACKS);
    return 0;
}

/* Handles a frame of a cancelled call, which stays in the list until the engine
 * ends it. */
static void orphan_on_frame(void *context, const struct flo_wire_message *message)
{
    if (message->type != FLO_WIRE_TOKEN && message->type != FLO_WIRE_EMBEDDING) {
        free(context);
    }
}

static void orphan_on_lost(void *context, const struct flo_err *err)
{
    (void)err;
    free(context);
}

void flo_serve_engine_cancel(struct serve_call *call)
{
    struct serve_engine *engine = call->engine;
    if (engine == NULL) {
        return;
    }
    if (flo_serve_call_waits(call)) {
        flo_serve_call_unlist(engine, call);
        return;
    }
    struct flo_wire_message message = {.type = FLO_WIRE_CANCEL, .request = call->id};
    struct flo_err err = {0};
    struct serve_call *orphan = malloc(sizeof(*orphan));
    if (orphan == NULL || flo_serve_engine_say(engine, &message, &err) < 0) {
        free(orphan);
        flo_serve_call_unlist(engine, call);
        flo_fail(&err, FLO_E_MEMORY, "a request cannot be cancelled");
        flo_serve_engine_kill(engine, &err);
        return;
    }
    *orphan = *call;
    orphan->context = orphan;
    orphan->on_frame = orphan_on_frame;
    orphan->on_lost = orphan_on_lost;
    *flo_serve_call_place(engine, call->id) = orphan;
    call->engine = NULL;
    call->next = NULL;
}

/* ---- the end ---- */

static void tick_after(struct serve_engine *engine, uint64_t ms)
{
    struct timeval tv = {.tv_sec = (time_t)(ms / 1000), .tv_usec = (suseconds_t)(ms % 1000 * 1000)};
    event_add(engine->tick, &tv);
}

static void engine_free(struct serve_engine *engine)
{
    struct serve_engine **place = &engine->serve->engines;
    while (*place != engine) {
        place = &(*place)->next;
    }
    *place = engine->next;
    event_free(engine->tick);
    if (engine->bev != NULL) {
        bufferevent_free(engine->bev);
    }
    close_change(engine);
    free(engine);
}

static void calls_lose(struct serve_engine *engine)
{
    while (engine->calls != NULL) {
        struct serve_call *call = engine->calls;
        flo_serve_call_unlist(engine, call);
        call->on_lost(call->context, &engine->end);
    }
}

/* Closes the engine's socket and reports the loss to all of its calls.  The
 * process is reaped later. */
static void engine_fall(struct serve_engine *engine)
{
    if (engine->state == ENGINE_DYING) {
        return;
    }
    engine->state = ENGINE_DYING;
    bufferevent_free(engine->bev);
    engine->bev = NULL;
    engine->events->gone(engine);
    calls_lose(engine);
    engine->reap_ticks = 0;
    tick_after(engine, REAP_TICK_MS);
}

/* Kills the process, and records that the agent did so. */
static void end_process(struct serve_engine *engine)
{
    engine->is_killed = true;
    kill(engine->pid, SIGKILL);
}

void flo_serve_engine_kill(struct serve_engine *engine, const struct flo_err *err)
{
    if (err != NULL && engine->end.code == 0) {
        engine->end = *err;
    }
    /* The process has not been reaped, so its pid is still valid.  A runtime
     * with a stop time is not killed here: its proxy ends it when the socket is
     * closed. */
    if (engine->stop_ms == 0) {
        end_process(engine);
    }
    engine_fall(engine);
}

static void describe_end(struct serve_engine *engine, int status)
{
    if (engine->is_end_told || (engine->end.code != 0 && engine->end.code != FLO_E_ENGINE_CRASH)) {
        return; /* the reason for the end is already known */
    }
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && !engine->is_killed) {
        flo_fail(&engine->end, FLO_E_ENGINE_KILLED,
                 "the engine of %s was killed by signal 9, which this agent "
                 "did not send: a person, or the kernel for want of memory",
                 engine->name);
    } else if (WIFSIGNALED(status)) {
        flo_fail(&engine->end, FLO_E_ENGINE_CRASH, "the engine of %s was killed by signal %d (%s)",
                 engine->name, WTERMSIG(status), strsignal(WTERMSIG(status)));
        if (WTERMSIG(status) == SIGBUS) { /* a page of a mapped file could not be read */
            flo_fail(&engine->end, FLO_E_IO_READ,
                     "the engine of %s ended: the disk does not give the "
                     "bytes of its files (signal %d)",
                     engine->name, WTERMSIG(status));
        }
        if (WTERMSIG(status) == SIGSYS) {
            flo_err_why(&engine->end, "it did what its sandbox forbids");
        }
    } else {
        flo_fail(&engine->end, FLO_E_ENGINE_CRASH, "the engine of %s ended with status %d",
                 engine->name, WEXITSTATUS(status));
    }
}

/* Returns after how many ticks an ending process is killed: 5 s by default.  A
 * large process ends slowly.  A kill too early would hide the signal that
 * really ended it. */
static uint64_t reap_ticks_max(const struct serve_engine *engine)
{
    return engine->stop_ms > 0 ? REAP_TICKS_MAX + engine->stop_ms / REAP_TICK_MS
                               : engine->serve->hang_ms_max / 12 / REAP_TICK_MS + 1;
}

static void reap(struct serve_engine *engine)
{
    int status = 0;
    if (waitpid(engine->pid, &status, WNOHANG) == 0) {
        if (++engine->reap_ticks == reap_ticks_max(engine)) {
            end_process(engine);
        }
        tick_after(engine, REAP_TICK_MS);
        return;
    }
    describe_end(engine, status);
    engine->events->ended(engine);
    engine_free(engine);
}

void flo_serve_engine_free_all(struct flo_serve *serve)
{
    while (serve->engines != NULL) {
        struct serve_engine *engine = serve->engines;
        engine->is_expected = true;
        flo_fail(&engine->end, FLO_E_INFER_BUSY, "the agent stops");
        flo_serve_engine_kill(engine, NULL);
        flo_serve_kill(serve, engine->pid);
        engine_free(engine);
    }
}

/* ---- watchdog ---- */

static uint64_t tick_ms(const struct serve_engine *engine)
{
    return flo_watchdog_tick_ms(engine->serve->hang_ms_max);
}

static void ping(struct serve_engine *engine)
{
    const struct flo_wire_message message = {.type = FLO_WIRE_PING};
    struct flo_err err = {0};
    engine->watchdog.has_ping = flo_serve_engine_say(engine, &message, &err) == 0;
    if (engine->runtime[0] != '\0') {
        flo_serve_engine_ask_stats(engine);
    }
}

static void watch(struct serve_engine *engine)
{
    const struct flo_watchdog_limits limits = {.hang_ms_max = engine->serve->hang_ms_max,
                                               .ready_ms = engine->ready_ms,
                                               .is_loading = engine->state == ENGINE_LOADING};
    struct flo_err err = {0};
    switch (flo_watchdog_tick(&engine->watchdog, &limits)) {
    case FLO_WATCHDOG_KILLS:
        flo_fail(&err, FLO_E_ENGINE_HANG, "the engine of %s gave no sign of life for %llu ms",
                 engine->name, (unsigned long long)flo_watchdog_ms_max(&limits));
        flo_serve_engine_kill(engine, &err);
        return;
    case FLO_WATCHDOG_PINGS:
        ping(engine);
        break;
    case FLO_WATCHDOG_WAITS:
        break;
    }
    tick_after(engine, tick_ms(engine));
    send_change(engine);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    struct serve_engine *engine = context;
    if (engine->state == ENGINE_DYING) {
        reap(engine);
    } else {
        watch(engine);
    }
}

/* ---- frames ---- */

static void text_take(char *out, size_t size, struct flo_wire_text text)
{
    flo_text_clean(text.data != NULL ? text.data : "", text.bytes, out, size);
}

int flo_serve_engine_failure(const struct flo_wire_failed *failed, struct flo_err *err)
{
    int code = flo_wire_failed_code(failed);
    char id[64], what[400], why[200];
    text_take(id, sizeof(id), failed->id);
    text_take(what, sizeof(what), failed->what);
    text_take(why, sizeof(why), failed->why);
    if (code == 0) { /* the frame has no known error id: the engine program has another version */
        code = flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s: %s", id[0] != '\0' ? id : "no id", what);
    } else {
        flo_fail(err, code, "%s", what);
    }
    if (why[0] != '\0') {
        flo_err_why(err, "%s", why);
    }
    return code;
}

static int on_open_answer(struct serve_engine *engine, const struct flo_wire_message *message,
                          struct flo_err *err)
{
    if (message->type == FLO_WIRE_FAILED) {
        int rv = flo_serve_engine_failure(&message->failed, err);
        engine->is_end_told = true;
        if (rv == FLO_E_PACKED && !engine->has_packed) {
            rv = flo_fail(err, FLO_E_WORKER_PROTOCOL,
                          "it refuses packed weights that it was not given");
        }
        return flo_wrap(err, rv, "%s", engine->name);
    }
    if (message->type != FLO_WIRE_READY || message->ready.context == 0) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s before READY",
                        flo_wire_type_name((int)message->type));
    }
    engine->state = ENGINE_READY;
    engine->loaded_at_ms = flo_now_ms();
    engine->context = message->ready.context;
    uint32_t sessions = message->ready.sessions;
    engine->sessions = sessions > 0 && sessions <= SESSIONS_MAX ? sessions : USER_SESSIONS;
    engine->abilities = flo_wire_abilities(&message->ready);
    text_take(engine->kernel, sizeof(engine->kernel), message->ready.kernel);
    text_take(engine->runtime, sizeof(engine->runtime), message->ready.runtime);
    engine->is_packed = message->ready.is_packed;
    flo_serve_draft_ready(engine, &message->ready);
    if (message->ready.prefix_tokens > 0) {
        flo_log(FLO_LOG_INFO, "serve", "%s: a prefix of %u tokens was kept", engine->name,
                message->ready.prefix_tokens);
    }
    if (!message->ready.is_sandboxed) {
        flo_log(FLO_LOG_WARN, "serve", "the engine of %s runs without a system call filter",
                engine->name);
    }
    engine->events->ready(engine);
    return 0;
}

/* Tells whether the frame of the call has been sent. */
static bool was_sent(const struct serve_engine *engine, const struct serve_call *call)
{
    return !flo_serve_call_waits(call) && (call != &engine->change.call || engine->change.fd == 0);
}

/* Handles a frame for a call.  The call must be in progress, and the frame must
 * have its next index. */
static int on_call_frame(struct serve_engine *engine, const struct flo_wire_message *message,
                         struct flo_err *err)
{
    struct serve_call *call = *flo_serve_call_place(engine, message->request);
    const char *name = flo_wire_type_name((int)message->type);
    if (call == NULL || !was_sent(engine, call)) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s for request %u, which is not under way",
                        name, message->request);
    }
    if (message->type == FLO_WIRE_DONE && call->may_guess) {
        flo_serve_draft_count(engine, &message->done);
    }
    if (message->type != FLO_WIRE_TOKEN && message->type != FLO_WIRE_EMBEDDING) {
        flo_serve_call_unlist(engine, call);
        call->on_frame(call->context, message);
        if (engine->state != ENGINE_DYING && engine->n_calls == 0) {
            engine->events->idle(engine);
        }
        return 0;
    }
    uint32_t index = 0;
    if (message->type == FLO_WIRE_TOKEN) {
        flo_serve_call_begun(engine, call);
    }
    if (!flo_serve_call_part_fits(call, message, &index)) {
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s %u of request %u out of order", name, index,
                        message->request);
    }
    call->on_frame(call->context, message);
    return 0;
}

static int on_frame(struct serve_engine *engine, const struct flo_wire_message *message,
                    struct flo_err *err)
{
    engine->watchdog.ticks = 0;
    if (engine->state == ENGINE_LOADING) {
        return on_open_answer(engine, message, err);
    }
    switch (message->type) {
    case FLO_WIRE_PONG:
        engine->watchdog.has_ping = false;
        return 0;
    case FLO_WIRE_FAILED:
        /* a FAILED frame without a request is the last frame of a process, and
         * says why the process ends */
        if (message->request == 0) {
            engine->is_end_told = true;
            return flo_wrap(err, flo_serve_engine_failure(&message->failed, err), "%s",
                            engine->name);
        }
        return on_call_frame(engine, message, err);
    case FLO_WIRE_STATS_ANSWER:
        if (message->request == 0) {
            flo_serve_engine_take_stats(engine, &message->stats);
            return 0;
        }
        return on_call_frame(engine, message, err);
    case FLO_WIRE_TOKEN:
    case FLO_WIRE_DONE:
    case FLO_WIRE_TOKENS:
    case FLO_WIRE_TEXT:
    case FLO_WIRE_EMBEDDING:
    case FLO_WIRE_ADAPTER:
        return on_call_frame(engine, message, err);
    default:
        return flo_fail(err, FLO_E_WORKER_PROTOCOL, "%s in between",
                        flo_wire_type_name((int)message->type));
    }
}

static void on_read(struct bufferevent *bev, void *context)
{
    static struct flo_wire_message message;
    struct serve_engine *engine = context;
    struct evbuffer *input = bufferevent_get_input(bev);
    while (engine->state != ENGINE_DYING) {
        struct flo_err err = {0};
        uint8_t head[FLO_WIRE_HEAD_BYTES];
        size_t bytes = FLO_WIRE_HEAD_BYTES;
        if (evbuffer_copyout(input, head, sizeof(head)) != (ev_ssize_t)sizeof(head)) {
            return;
        }
        /* A frame of an impossible size is not awaited, because flo_wire_read()
         * refuses its head. */
        uint32_t payload = flo_get_u32(head + 4);
        bytes += payload <= FLO_WIRE_PAYLOAD_BYTES_MAX ? payload : 0;
        if (evbuffer_get_length(input) < bytes) {
            if (payload <= FLO_WIRE_PAYLOAD_BYTES_MAX &&
                flo_wire_read(head, sizeof(head), &message, &err) >= 0) {
                return; /* the rest of the frame has not arrived yet */
            }
        }
        const void *data = err.code != 0 ? NULL : evbuffer_pullup(input, (ev_ssize_t)bytes);
        ptrdiff_t used = data == NULL ? -1 : flo_wire_read(data, bytes, &message, &err);
        if (used <= 0 || on_frame(engine, &message, &err) < 0) {
            if (err.code == 0) {
                flo_fail(&err, FLO_E_WORKER_PROTOCOL, "an impossible frame");
            }
            if (engine->state != ENGINE_DYING) {
                flo_serve_engine_kill(engine, &err);
            }
            return;
        }
        if (engine->state != ENGINE_DYING) {
            evbuffer_drain(input, (size_t)used);
        }
    }
}

static void on_event(struct bufferevent *bev, short what, void *context)
{
    struct serve_engine *engine = context;
    /* If the agent lacks memory, the engine may be healthy: it exits with 0
     * when its socket is closed. */
    bool is_ours = (what & BEV_EVENT_ERROR) != 0 && errno == ENOMEM;
    (void)bev;
    if (engine->end.code == 0 && is_ours) {
        flo_fail(&engine->end, FLO_E_MEMORY, "what the engine of %s says cannot be read",
                 engine->name);
    } else if (engine->end.code == 0) {
        flo_fail(&engine->end, FLO_E_ENGINE_CRASH, "the engine of %s ended", engine->name);
    }
    engine_fall(engine);
}

/* ---- start ---- */

int flo_serve_engine_start(struct serve_place *place, enum flo_serve_role role,
                           const struct flo_serve_model *model,
                           const struct serve_engine_events *events, struct serve_engine **out,
                           struct flo_err *err)
{
    struct flo_wire_message message = {.type = FLO_WIRE_OPEN};
    struct flo_serve *serve = place->serve;
    struct serve_engine *engine = calloc(1, sizeof(*engine));
    int fd = -1;
    if (engine == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "no memory for an engine");
    }
    engine->serve = serve;
    engine->place = place;
    engine->events = events;
    engine->role = role;
    engine->has_role = true;
    engine->started_ms = flo_now_ms();
    flo_serve_engine_describe(engine, model, &message.open);
    int fds[SERVE_DESCRIPTORS_MAX] = {model->fd, model->packed_fd};
    size_t n_fds = model->packed_fd > 0 ? 2 : 1;
    for (uint32_t i = 0; i < model->n_adapters; i++) {
        fds[n_fds++] = model->adapters[i].fd;
    }
    if (model->draft_fd > 0) {
        fds[n_fds++] = model->draft_fd;
    }
    if (model->prefix_fd > 0) {
        fds[n_fds++] = model->prefix_fd;
    }
    int rv = flo_serve_engine_spawn(serve, model->runtime != NULL ? "proxy" : "worker",
                                    &engine->pid, &fd, err);
    if (rv < 0) {
        free(engine);
        return rv;
    }
    rv = flo_serve_engine_send(fd, &message, fds, n_fds, err);
    /* the start of the process may wait for a disk, so serving is paused only
     * from here on */
    FLO_INSIDE(serve);
    if (rv == 0) {
        evutil_make_socket_nonblocking(fd);
        engine->bev = bufferevent_socket_new(serve->base, fd, BEV_OPT_CLOSE_ON_FREE);
        engine->tick = evtimer_new(serve->base, on_tick, engine);
    }
    if (rv < 0 || engine->bev == NULL || engine->tick == NULL) {
        flo_serve_kill(serve, engine->pid);
        if (engine->bev != NULL) {
            bufferevent_free(engine->bev);
        } else {
            close(fd);
        }
        flo_event_drop(&engine->tick);
        free(engine);
        FLO_TRY(rv);
        return flo_fail(err, FLO_E_MEMORY, "no event");
    }
    bufferevent_setcb(engine->bev, on_read, on_written, on_event, engine);
    bufferevent_setwatermark(engine->bev, EV_READ, 0, 2 * FLO_WIRE_PAYLOAD_BYTES_MAX);
    bufferevent_enable(engine->bev, EV_READ | EV_WRITE);
    engine->next = serve->engines;
    serve->engines = engine;
    tick_after(engine, tick_ms(engine));
    *out = engine;
    return 0;
}
