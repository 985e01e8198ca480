/* Envelopes: each device fetches and verifies the one of its update, with its
 * own certificate.  Threads make the calls; the loop takes the answers. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include <flotilla/errors/target.h>

#include "agent/shell/shell.h"
#include "base/host/http_client.h"
#include "base/host/wake.h"
#include "tests/fleet/fleet.h"

#define THREADS 4
#define STEP_APPLYING 2

struct ask {
    struct ask *next;
    uint32_t device, life, model, job;
    struct flo_digest release;
    struct flo_err err; /* code 0: it is there */
    struct flo_buf envelope;
};
struct list {
    struct ask *first, *last;
};

static struct {
    struct list asked, answered;
    pthread_mutex_t mutex;
    pthread_cond_t some;
    pthread_t threads[THREADS];
    struct event *event;
    int wake;
    bool is_over;
} room = {.mutex = PTHREAD_MUTEX_INITIALIZER, .some = PTHREAD_COND_INITIALIZER, .wake = -1};

static void put(struct list *list, struct ask *ask)
{
    ask->next = NULL;
    if (list->last == NULL) {
        list->first = ask;
    } else {
        list->last->next = ask;
    }
    list->last = ask;
}

static struct ask *take(struct list *list)
{
    struct ask *ask = list->first;

    if (ask != NULL) {
        list->first = ask->next;
        list->last = list->first == NULL ? NULL : list->last;
    }
    return ask;
}

/* ---- threads ---- */

static void fetch(struct ask *ask)
{
    char url[700];
    char cert[4300];
    char digest[FLO_DIGEST_TEXT];
    const struct flo_http_options options = {.ca_file = fleet.ca_file,
                                             .cert_file = cert,
                                             .key_file = fleet.key_file,
                                             .timeout_ms = 60000};
    struct flo_http_request request = {.url = url};
    struct flo_http_answer answer = {0};
    struct flo_http *http = NULL;

    snprintf(cert, sizeof(cert), "%s/%05u.pem", fleet.folder, ask->device);
    flo_digest_text(&ask->release, digest);
    snprintf(url, sizeof(url), "%s/v1/envelopes/%s", fleet.api, digest);
    int rv = flo_http_open(&options, &http, &ask->err);
    rv = rv < 0 ? rv : flo_http_call(http, &request, &answer, &ask->err);
    if (rv == 0 && answer.status != 200) {
        (void)flo_http_fail(&answer, "envelope", &ask->err);
    }
    ask->envelope = answer.body;
    flo_http_close(http);
}

static void *work(void *unused)
{
    pthread_mutex_lock(&room.mutex);
    while (!room.is_over) {
        struct ask *ask = take(&room.asked);
        if (ask == NULL) {
            pthread_cond_wait(&room.some, &room.mutex);
            continue;
        }
        pthread_mutex_unlock(&room.mutex);
        fetch(ask);
        pthread_mutex_lock(&room.mutex);
        put(&room.answered, ask);
        flo_wake_poke(room.wake);
    }
    pthread_mutex_unlock(&room.mutex);
    return unused;
}

/* ---- the loop ---- */

static int place_of(const char *model)
{
    int i = 0;

    while (i < SIM_MODELS_MAX && strcmp(sim_models[i], model) != 0) {
        i++;
    }
    return i;
}

static int learn(const struct ask *ask, struct flo_err *err)
{
    struct sim_release *release = &sim->releases[sim->release_count];
    struct flo_release_verified verified = {0};
    int rv = flo_release_verify(ask->envelope.data, ask->envelope.bytes, sim->controller.trust,
                                &verified, err);

    if (rv < 0) {
        return rv;
    }
    int place = place_of(verified.release.model);
    if (!flo_digest_equal(&verified.digest, &ask->release)) {
        rv = flo_fail(err, FLO_E_TARGET_HASH, "another release's envelope");
    } else if (place == SIM_MODELS_MAX || sim->release_count == SIM_RELEASES_MAX) {
        rv = flo_fail(err, FLO_E_TARGET_LIMIT, "no place for model %s", verified.release.model);
    } else {
        *release = (struct sim_release){.model = (uint32_t)place,
                                        .number = verified.release.number,
                                        .floor = verified.release.floor,
                                        .is_published = true};
        release->ref.digest = verified.digest;
        snprintf(release->ref.model, sizeof(release->ref.model), "%s", verified.release.model);
        snprintf(release->ref.version, sizeof(release->ref.version), "%s",
                 verified.release.version);
        flo_buf_add(&release->envelope, ask->envelope.data, ask->envelope.bytes);
        sim->release_count++;
    }
    flo_release_verified_deinit(&verified);
    return rv;
}

static void answered(struct ask *ask)
{
    struct sim_device *device = &sim->devices[ask->device];

    fleet.figures.envelopes++;
    if (ask->err.code == 0 && sim_release_find(&ask->release) < 0) {
        (void)learn(ask, &ask->err);
    }
    if (ask->err.code != 0) {
        fleet.figures.envelopes_failed++;
        flo_log_err(FLO_LOG_WARN, "fleet", &ask->err);
    }
    if (device->life == ask->life) {
        if (ask->err.code == 0) {
            sim_job_next(device, ask->model, ask->job, STEP_APPLYING);
        } else {
            sim_job_failed(device, ask->model, ask->job, FLO_E_NET_UNREACHABLE);
        }
    }
    flo_buf_deinit(&ask->envelope);
    free(ask);
}

static void on_answers(evutil_socket_t fd, short what, void *context)
{
    struct ask *ask;

    (void)what, (void)context;
    flo_wake_calm(fd);
    fleet_turn();
    do {
        pthread_mutex_lock(&room.mutex);
        ask = take(&room.answered);
        pthread_mutex_unlock(&room.mutex);
        if (ask != NULL) {
            answered(ask);
        }
    } while (ask != NULL);
}

void sim_mirror_fetch(struct sim_device *device, uint32_t model, uint32_t job)
{
    struct ask *ask = calloc(1, sizeof(*ask));

    if (ask == NULL) {
        abort();
    }
    ask->device = device->index;
    ask->life = device->life;
    ask->model = model;
    ask->job = job;
    ask->release = device->shell->agent.models[model].execution.release.digest;
    pthread_mutex_lock(&room.mutex);
    put(&room.asked, ask);
    pthread_cond_signal(&room.some);
    pthread_mutex_unlock(&room.mutex);
}

int fleet_envelopes_open(struct flo_err *err)
{
    room.wake = flo_wake_open();
    room.event = room.wake < 0
                     ? NULL
                     : event_new(fleet.base, room.wake, EV_READ | EV_PERSIST, on_answers, NULL);
    if (room.event == NULL) {
        return flo_fail_errno(err, FLO_E_MEMORY, "eventfd");
    }
    event_add(room.event, NULL);
    for (size_t i = 0; i < THREADS; i++) {
        if (pthread_create(&room.threads[i], NULL, work, NULL) != 0) {
            abort();
        }
    }
    return 0;
}

void fleet_envelopes_close(void)
{
    if (room.event == NULL) {
        return;
    }
    pthread_mutex_lock(&room.mutex);
    room.is_over = true;
    pthread_cond_broadcast(&room.some);
    pthread_mutex_unlock(&room.mutex);
    for (size_t i = 0; i < THREADS; i++) {
        pthread_join(room.threads[i], NULL);
    }
    event_free(room.event);
    close(room.wake);
}
