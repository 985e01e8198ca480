/* Endpoints: keeps a process for each endpoint, and starts it again when it
 * ends. */
#include <event2/event.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <flotilla/errors/infer.h>

#include "agent/serve/fallback/endpoint.h"
#include "proto/memory/memory.h"

static void start_later(struct endpoint *endpoint)
{
    uint64_t ms = flo_memory_backoff_ms(endpoint->failures);
    const struct timeval tv = {.tv_sec = (time_t)(ms / 1000),
                               .tv_usec = (suseconds_t)(ms % 1000 * 1000)};

    event_add(endpoint->start, &tv);
}

/* ---- events of the process ---- */

static void on_ready(struct serve_engine *engine)
{
    struct flo_serve *serve = engine->serve;

    engine->place->is_live = true;
    serve->fallbacks->router->ready(serve);
}

static void on_gone(struct serve_engine *engine)
{
    engine->place->roles[FLO_ROLE_CURRENT] = NULL;
    engine->place->is_live = false;
}

static void on_idle(struct serve_engine *engine)
{
    (void)engine; /* the process stays, whether it has work or not */
}

static struct endpoint *endpoint_of(const struct serve_engine *engine)
{
    struct fallbacks *fallbacks = engine->serve->fallbacks;
    uint32_t i = 0;

    while (engine->place != &fallbacks->endpoints[i].place) {
        i++;
    }
    return &fallbacks->endpoints[i];
}

static void on_ended(struct serve_engine *engine)
{
    if (engine->serve->is_closing) {
        return;
    }
    struct endpoint *endpoint = endpoint_of(engine);
    flo_log_err(FLO_LOG_WARN, "routes", &engine->end);
    endpoint->failures++;
    start_later(endpoint);
}

static const struct serve_engine_events events = {
    .ready = on_ready, .gone = on_gone, .idle = on_idle, .ended = on_ended};

/* ---- start ---- */

/* Opens the folder that the proxy passes on as a release's files: the one of the
 * programs, which the relay may read anyway. */
static int open_folder(const struct flo_serve *serve, struct flo_err *err)
{
    char path[sizeof(serve->engine_path)];
    char *end;

    memcpy(path, serve->engine_path, sizeof(path));
    end = strrchr(path, '/');
    if (end != NULL) {
        *end = '\0';
    }
    int fd = open(end == NULL ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : flo_fail_errno(err, FLO_E_IO_OPEN, "%s", path);
}

void flo_endpoint_start(struct endpoint *endpoint)
{
    struct serve_place *place = &endpoint->place;
    struct flo_err err = {0};
    struct flo_serve_model model = {
        .runtime = endpoint->is.runtime,
        .entry = "",
        .ready_ms = FLO_ENDPOINT_READY_MS,
        .stop_ms = FLO_ENDPOINT_STOP_MS,
        .context = endpoint->is.context,
        .sessions = endpoint->is.sessions,
        .threads = 1,
    };

    strcpy(model.model, endpoint->is.name);
    int rv = model.fd = open_folder(place->serve, &err);
    if (rv >= 0) {
        rv = flo_serve_engine_start(place, FLO_ROLE_CURRENT, &model, &events,
                                    &place->roles[FLO_ROLE_CURRENT], &err);
        close(model.fd);
    }
    if (rv < 0) {
        flo_wrap(&err, rv, "endpoint %s", endpoint->is.name);
        flo_log_err(FLO_LOG_WARN, "routes", &err);
        endpoint->failures++;
        start_later(endpoint);
        return;
    }
    strcpy(place->roles[FLO_ROLE_CURRENT]->name, endpoint->is.name);
}

bool flo_endpoint_is_ready(const struct endpoint *endpoint)
{
    return flo_serve_engine_live(&endpoint->place) != NULL && flo_now_ms() >= endpoint->next_ms;
}

/* Tells whether an error is the request's own: what it asked for, its form, its
 * length, or that its client left. */
static bool is_requests(int error)
{
    return error == FLO_E_INFER_PARAM || error == FLO_E_INFER_SCHEMA || error == FLO_E_INFER_FORM ||
           error == FLO_E_INFER_TOO_LONG || error == FLO_E_INFER_CANCELLED;
}

void flo_endpoint_ended(struct endpoint *endpoint, int error)
{
    if (is_requests(error)) {
        return;
    }
    endpoint->failures = error != 0 ? endpoint->failures + 1 : 0;
    endpoint->next_ms = error != 0 ? flo_now_ms() + flo_memory_backoff_ms(endpoint->failures) : 0;
}

static void on_start(evutil_socket_t fd, short what, void *context)
{
    (void)fd, (void)what;
    flo_endpoint_start(context);
}

struct event *flo_endpoint_timer(struct endpoint *endpoint)
{
    return evtimer_new(endpoint->place.serve->base, on_start, endpoint);
}
