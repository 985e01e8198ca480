/* Pulse: serves a few paths on a thread of its own. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include <flotilla/errors/lead.h>

#include "base/host/httpd.h"
#include "server-stub/core/exposition/exposition.h"
#include "server-stub/run/program/pulse.h"

#define STALE_MS 5000
#define DEAD_MS 60000
#define LOOK_MS 50
/* time without a report of the state's thread after which it counts as blocked,
 * if the database is unreachable */
#define STILL_MS 500
#define GUARDS_MAX 2
#define TAG_GUARD 7

/* A listener of the state's thread, which the pulse can take over. */
struct guard {
    int fd;
    bool is_tls;
    char cert_file[4096], key_file[4096];
};

struct flo_pulse {
    pthread_t thread;
    struct event_base *base;
    struct flo_httpd *httpd;
    struct event *look;
    bool is_running;
    atomic_bool ends;
    atomic_int state;
    atomic_uint_least64_t told_ms, epoch;
    pthread_mutex_t mutex; /* guards all below */
    struct guard guards[GUARDS_MAX];
    size_t guard_count, opened; /* number of guards; the first `opened` of them
                                   listen already */
    bool (*is_heard)(void *context);
    void *is_heard_context;
    struct flo_err lacks; /* reason why the controller cannot lead; code 0: it can */
    bool is_on;           /* the pulse accepts the connections of the guards now */
};

static const char *const words[] = {
    [FLO_PULSE_WAITS] = "waits",
    [FLO_PULSE_STANDS] = "stands-by",
    [FLO_PULSE_LEADS] = "leads",
};

void flo_pulse_tell(struct flo_pulse *pulse, enum flo_pulse_state state, uint64_t epoch)
{
    if (pulse != NULL) {
        atomic_store(&pulse->epoch, epoch);
        atomic_store(&pulse->state, (int)state);
        atomic_store(&pulse->told_ms, flo_now_ms());
    }
}

void flo_pulse_lacks(struct flo_pulse *pulse, const struct flo_err *lacks)
{
    pthread_mutex_lock(&pulse->mutex);
    pulse->lacks = *lacks;
    pthread_mutex_unlock(&pulse->mutex);
}

static struct flo_err lacks_of(struct flo_pulse *pulse)
{
    pthread_mutex_lock(&pulse->mutex);
    struct flo_err lacks = pulse->lacks;
    pthread_mutex_unlock(&pulse->mutex);
    return lacks;
}

static uint64_t silence_ms(struct flo_pulse *pulse)
{
    return flo_now_ms() - atomic_load(&pulse->told_ms);
}

/* Tells whether the state's thread waits for a database that cannot be
 * reached. */
static bool is_stuck(struct flo_pulse *pulse)
{
    if (atomic_load(&pulse->state) != FLO_PULSE_LEADS || silence_ms(pulse) < STILL_MS) {
        return false;
    }
    pthread_mutex_lock(&pulse->mutex);
    bool is_stuck = pulse->is_heard != NULL && !pulse->is_heard(pulse->is_heard_context);
    pthread_mutex_unlock(&pulse->mutex);
    return is_stuck;
}

static void answer_state(struct flo_pulse *pulse, struct flo_httpd_request *request,
                         const char *status, int state)
{
    FLO_CLEANUP(flo_buf_deinit) struct flo_buf body = {0};
    struct flo_err lacks = lacks_of(pulse), full = {0};
    uint64_t refused;

    flo_buf_printf(&body, "{\"status\":\"%s\",\"lease\":\"%s\"", status, words[state]);
    if (lacks.code != 0) {
        flo_buf_printf(&body, ",\"lacks\":\"%s: ", flo_error_id(lacks.code));
        flo_buf_json_text(&body, lacks.what, strlen(lacks.what));
        flo_buf_text(&body, "\"");
    }
    if (flo_httpd_room(pulse->httpd, &refused, &full) < 0) {
        flo_buf_printf(&body, ",\"listeners\":\"%s\"", flo_error_id(full.code));
    }
    flo_buf_text(&body, "}");
    flo_httpd_answer(request, body.failed ? 500 : 200, "application/json", body.data, body.bytes);
}

static void on_health(void *context, struct flo_httpd_request *request)
{
    struct flo_pulse *pulse = context;
    struct flo_err err = {0};

    if (silence_ms(pulse) < DEAD_MS) {
        answer_state(pulse, request, "ok", atomic_load(&pulse->state));
        return;
    }
    flo_fail(&err, FLO_E_LEAD_NONE, "this controller has done nothing for %llu s",
             (unsigned long long)silence_ms(pulse) / 1000);
    flo_httpd_answer_err(request, &err);
}

static void refuse(struct flo_pulse *pulse, struct flo_httpd_request *request)
{
    struct flo_err lacks = lacks_of(pulse), err = {0};

    if (lacks.code != 0) {
        flo_fail(&err, FLO_E_LEAD_NONE, "nobody leads, and this controller cannot: %s: %.300s",
                 flo_error_id(lacks.code), lacks.what);
        flo_err_fix(&err, "%s", lacks.fix);
    } else if (silence_ms(pulse) >= STALE_MS || atomic_load(&pulse->state) == FLO_PULSE_LEADS) {
        flo_fail(&err, FLO_E_LEAD_NONE, "this controller waits for its database or its disk");
    } else {
        flo_fail(&err, FLO_E_LEAD_NONE, "this controller stands by and knows no leader");
    }
    flo_httpd_answer_err(request, &err);
}

static void on_ready(void *context, struct flo_httpd_request *request)
{
    struct flo_pulse *pulse = context;
    int state = atomic_load(&pulse->state);

    if (state != FLO_PULSE_WAITS && silence_ms(pulse) < STALE_MS && !is_stuck(pulse)) {
        answer_state(pulse, request, "ready", state);
    } else {
        refuse(pulse, request);
    }
}

/* Handles /metrics of the pulse, which is about this process alone.  Metrics of
 * the fleet are at the leader's listener for people. */
static void on_metrics(void *context, struct flo_httpd_request *request)
{
    struct flo_pulse *pulse = context;
    struct flo_samples FLO_CLEANUP(flo_samples_deinit) samples = {0};
    struct flo_buf FLO_CLEANUP(flo_buf_deinit) text = {0};
    bool leads = atomic_load(&pulse->state) == FLO_PULSE_LEADS && silence_ms(pulse) < STALE_MS;
    struct flo_err full = {0};
    uint64_t refused;

    flo_samples_add(&samples, FLO_EXPOSED_LEADER, NULL, leads ? 1 : 0);
    flo_samples_add(&samples, FLO_EXPOSED_LEADER_EPOCH, NULL, (double)atomic_load(&pulse->epoch));
    flo_samples_add(&samples, FLO_EXPOSED_BUILD, (const char *const[]){FLO_VERSION}, 1);
    (void)flo_httpd_room(pulse->httpd, &refused, &full);
    flo_samples_add(&samples, FLO_EXPOSED_HTTP_REFUSED, NULL, (double)refused);
    flo_exposition_text(&samples, &text);
    flo_httpd_answer(request, text.failed || flo_samples_failed(&samples) ? 500 : 200,
                     "text/plain; version=0.0.4; charset=utf-8", text.data, text.bytes);
}

static void on_other(void *context, struct flo_httpd_request *request)
{
    refuse(context, request);
}

/* ---- for a thread that stands still ---- */

void flo_pulse_guard(struct flo_pulse *pulse, int fd, const struct flo_httpd_tls *tls_or_null)
{
    pthread_mutex_lock(&pulse->mutex);
    bool fits = pulse->guard_count < GUARDS_MAX;
    if (fits) {
        struct guard *one = &pulse->guards[pulse->guard_count++];
        one->fd = fd;
        one->is_tls = tls_or_null != NULL;
        if (one->is_tls) {
            snprintf(one->cert_file, sizeof(one->cert_file), "%s", tls_or_null->cert_file);
            snprintf(one->key_file, sizeof(one->key_file), "%s", tls_or_null->key_file);
        }
    }
    pthread_mutex_unlock(&pulse->mutex);
    if (!fits) {
        close(fd);
    }
}

void flo_pulse_mind(struct flo_pulse *pulse, bool (*is_heard)(void *context), void *context)
{
    pthread_mutex_lock(&pulse->mutex);
    pulse->is_heard = is_heard;
    pulse->is_heard_context = context;
    pthread_mutex_unlock(&pulse->mutex);
}

static void open_guard(struct flo_pulse *pulse, struct guard *one)
{
    struct flo_httpd_tls tls = {.cert_file = one->cert_file, .key_file = one->key_file};
    struct flo_err err = {0};
    char address[24];
    uint16_t port;

    snprintf(address, sizeof(address), "fd:%d", one->fd);
    if (flo_httpd_listen(pulse->httpd, address, one->is_tls ? &tls : NULL, TAG_GUARD, &port, &err) <
        0) {
        flo_log_err(FLO_LOG_WARN, "pulse", &err);
        close(one->fd);
    }
    one->fd = -1;
}

/* Switches the guards on or off.  Certificates are read again, because they may
 * have changed since the last time. */
static void turn_guards(struct flo_pulse *pulse)
{
    struct flo_err err = {0};
    bool is_on = is_stuck(pulse);

    pthread_mutex_lock(&pulse->mutex);
    bool is_new = pulse->opened < pulse->guard_count;
    while (pulse->opened < pulse->guard_count) {
        open_guard(pulse, &pulse->guards[pulse->opened++]);
    }
    pthread_mutex_unlock(&pulse->mutex);
    if (!is_new && is_on == pulse->is_on) {
        return;
    }
    if (is_on && flo_httpd_tls_again(pulse->httpd, TAG_GUARD, false, &err) < 0) {
        flo_log_err(FLO_LOG_WARN, "pulse", &err);
    }
    flo_httpd_listener_turn(pulse->httpd, TAG_GUARD, is_on);
    pulse->is_on = is_on;
}

/* ---- the thread ---- */

static void on_look(evutil_socket_t fd, short what, void *context)
{
    struct flo_pulse *pulse = context;

    (void)fd, (void)what;
    if (atomic_load(&pulse->ends)) {
        event_base_loopbreak(pulse->base);
    }
    turn_guards(pulse);
}

static void *run(void *context)
{
    struct flo_pulse *pulse = context;

    event_base_dispatch(pulse->base);
    return NULL;
}

void flo_pulse_close(struct flo_pulse *pulse)
{
    if (pulse == NULL) {
        return;
    }
    if (pulse->is_running) {
        atomic_store(&pulse->ends, true);
        pthread_join(pulse->thread, NULL);
    }
    for (size_t i = pulse->opened; i < pulse->guard_count; i++) {
        close(pulse->guards[i].fd);
    }
    flo_httpd_close(pulse->httpd);
    pthread_mutex_destroy(&pulse->mutex);
    if (pulse->look != NULL) {
        event_free(pulse->look);
    }
    if (pulse->base != NULL) {
        event_base_free(pulse->base);
    }
    free(pulse);
}

static int routes_open(struct flo_pulse *pulse, struct flo_err *err)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    struct flo_httpd *httpd = pulse->httpd;

    FLO_TRY(flo_httpd_route(httpd, "GET", "/health", 0, on_health, pulse, err));
    FLO_TRY(flo_httpd_route(httpd, "GET", "/ready", 0, on_ready, pulse, err));
    FLO_TRY(flo_httpd_route(httpd, "GET", "/metrics", 0, on_metrics, pulse, err));
    FLO_TRY(flo_httpd_route(httpd, "GET", "/healthz", 0, on_health, pulse, err));
    for (size_t i = 0; i < FLO_COUNT(methods); i++) {
        FLO_TRY(flo_httpd_route(httpd, methods[i], "/...", 1 << 20, on_other, pulse, err));
    }
    return 0;
}

int flo_pulse_open(const char *listen, struct flo_pulse **out, struct flo_err *err)
{
    static const char *const spare[] = {"/health", "/healthz", "/ready", "/metrics", NULL};
    static const struct flo_httpd_options options = {
        .connections_max = 64, .spare_paths = spare, .server_name = "flotilla"};
    struct flo_pulse *pulse = calloc(1, sizeof(*pulse));
    uint16_t port;

    if (pulse == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "pulse");
    }
    pthread_mutex_init(&pulse->mutex, NULL);
    if ((pulse->base = event_base_new()) == NULL) {
        flo_pulse_close(pulse);
        return flo_fail(err, FLO_E_MEMORY, "event loop");
    }
    flo_pulse_tell(pulse, FLO_PULSE_WAITS, 0);
    int rv = flo_httpd_open(pulse->base, &options, &pulse->httpd, err);
    if (rv == 0) {
        rv = routes_open(pulse, err);
    }
    if (rv == 0 && listen != NULL) {
        rv = flo_httpd_listen(pulse->httpd, listen, NULL, 0, &port, err);
    }
    if (rv < 0) {
        flo_pulse_close(pulse);
        return rv;
    }
    *out = pulse;
    return 0;
}

int flo_pulse_listen(struct flo_pulse *pulse, const struct flo_httpd_tls *tls, uint16_t *port,
                     struct flo_err *err)
{
    return flo_httpd_listen(pulse->httpd, "127.0.0.1:0", tls, 0, port, err);
}

int flo_pulse_start(struct flo_pulse *pulse, struct flo_err *err)
{
    static const struct timeval every = {.tv_usec = LOOK_MS * 1000};

    pulse->look = event_new(pulse->base, -1, EV_PERSIST, on_look, pulse);
    if (pulse->look == NULL || event_add(pulse->look, &every) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "event loop");
    }
    pulse->is_running = pthread_create(&pulse->thread, NULL, run, pulse) == 0;
    return pulse->is_running ? 0 : flo_fail(err, FLO_E_MEMORY, "thread");
}
