/* Running: the listeners, the broker, MQTT, timers and signals of a
 * controller. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/crash.h"
#include "base/host/service.h"
#include "server-stub/core/tick.h"
#include "server-stub/core/timers.h"
#include "server-stub/mqtt/batches.h"
#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/mqtt/evidence.h"
#include "server-stub/mqtt/telemetry_feed.h"
#include "server-stub/rest/live.h"
#include "server-stub/rest/rest.h"
#include "server-stub/rest/walks.h"
#include "server-stub/run/depot.h"
#include "server-stub/run/disk.h"
#include "server-stub/run/login/login.h"
#include "server-stub/run/run.h"
#include "server-stub/run/watching/watching.h"
#include "server-stub/state/addresses.h"
#include "server-stub/state/artifacts/artifacts.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/groups/groups.h"
#include "server-stub/state/membership/membership.h"
#include "server-stub/state/orders/making.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/outgoing.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"
#include "server-stub/state/rollouts/rollouts.h"
#include "server-stub/store/seals.h"

#define TICK_MS 1000
#define BEAT_MS 200    /* interval at which the state's thread reports that it runs */
#define FACTS_MS 15000 /* interval between two rounds that write changed facts */
#define FACTS_TICK 1000
#define PROOFS_MS 300000  /* interval at which the numbers of proofs are written */
#define GROUPS_MS 200     /* delay from a change of devices until the devices are evaluated */
#define GROUPS_PAUSE_MS 5 /* pause between two batches of changed devices */
#define MAKING_MS 100     /* delay from an order until its missing rows are made */
#define MAKING_PAUSE_MS 5 /* pause between two batches of missing rows */
#define PRUNE_PAUSE_MS 20 /* pause between two batches of deletions, in which other work runs */
#define COLLECT_MS 10000  /* interval of checks whether an hourly pass is due */

struct flo_run {
    struct flo_controller *controller;
    struct event_base *base;
    struct flo_disk disk;
    struct flo_watching watching;
    struct flo_oidc_file *oidc;
    /* Client of the identity provider; NULL: none is configured. */
    struct flo_asker *asker;
    struct flo_depot_threads *depot; /* threads that copy artifacts; NULL: there is no depot */
    struct flo_rest rest; /* REST state, which includes the listeners, the broker and MQTT */
    const char *host_names[FLO_CONTROLLER_HOST_NAMES_MAX + 5]; /* ends with NULL */
    bool ends_broker; /* the broker ends, too, instead of waiting for the next controller */
    struct event *tick, *beat;
    struct event *prune;
    struct event *groups; /* handles changed devices */
    struct event *making; /* timer that makes missing rows of large orders and rollouts */
    struct event *collect;
    struct event *signals[3];
    struct flo_tick ticks;
    uint64_t orders_from;    /* number of the next order that is checked for deletion */
    size_t facts_from;       /* number of the next device whose facts are written */
    uint64_t renewals_at_ms; /* next time at which devices are asked to renew their certificates */
    uint64_t facts_at_ms;    /* time at which the next round of writing facts begins */
    uint64_t proofs_at_ms;   /* next time at which the numbers of proofs are written */
};

/* ---- certificates ---- */

static void on_committed(void *context, const struct flo_outgoing *outgoing)
{
    struct flo_run *run = context;
    struct flo_err err = {0};

    for (size_t i = 0; outgoing->has_retired && i < outgoing->cleared.count; i++) {
        flo_httpd_peer_end(run->rest.httpd, outgoing->cleared.items[i]);
    }
    if (outgoing->has_authorities &&
        (flo_httpd_tls_again(run->rest.httpd, FLO_TAG_PEOPLE, false, &err) < 0 ||
         flo_httpd_tls_again(run->rest.httpd, FLO_TAG_DEVICES, outgoing->lost_authority, &err) <
             0)) {
        flo_log_err(FLO_LOG_ERROR, "rest", &err);
    }
}

/* Renews the controller's own certificates long before they expire.  No
 * connection is closed by this. */
static int renew_leaves(struct flo_run *run, struct flo_err *err)
{
    struct flo_controller *controller = run->controller;
    struct flo_httpd *httpd = run->rest.httpd;

    if (!flo_pki_leaves_are_due(controller->pki, flo_wall_ms())) {
        return 0;
    }
    flo_log(FLO_LOG_INFO, "pki", "the controller's certificates are renewed");
    FLO_TRY(flo_pki_leaves(controller, err));
    FLO_TRY(flo_httpd_tls_again(httpd, FLO_TAG_PEOPLE, false, err));
    FLO_TRY(flo_httpd_tls_again(httpd, FLO_TAG_DEVICES, false, err));
    return run->rest.broker != NULL ? flo_broker_again(run->rest.broker, err) : 0;
}

static int ask_to_renew(struct flo_run *run, uint64_t now_ms, struct flo_err *err)
{
    struct flo_controller *controller = run->controller;

    if (now_ms < run->renewals_at_ms || !flo_batches_listens(run->rest.batches)) {
        return 0;
    }
    run->renewals_at_ms = now_ms + flo_pki_ask_pause_ms(controller);
    FLO_TRY(flo_controller_begin(controller, err));
    return flo_controller_end(controller, flo_pki_ask(controller, flo_wall_ms(), err), err);
}

/* ---- timers ---- */

/* Writes the facts of some devices in each tick, and from time to time the
 * numbers of their proofs. */
static int write_facts(struct flo_run *run, uint64_t now_ms, struct flo_err *err)
{
    struct flo_controller *controller = run->controller;
    bool is_done = false;

    if (now_ms < run->facts_at_ms && now_ms < run->proofs_at_ms) {
        return 0;
    }
    int rv = flo_controller_begin(controller, err);
    FLO_TRY(rv);
    if (now_ms >= run->facts_at_ms) {
        rv = flo_fleet_facts_write(controller->store, FACTS_TICK, &run->facts_from, err);
        if (rv < 0 || run->facts_from == SIZE_MAX) {
            run->facts_from = 0;
            run->facts_at_ms = now_ms + FACTS_MS;
        }
    }
    if (rv == 0 && now_ms >= run->proofs_at_ms) {
        rv = flo_proofs_write(controller, FACTS_TICK, &is_done, err);
        run->proofs_at_ms = rv < 0 || is_done ? now_ms + PROOFS_MS : now_ms;
    }
    return flo_controller_end(controller, rv, err);
}

struct hearing {
    struct flo_controller *controller;
    struct flo_err *err;
};

static int hear_one(void *context, const char *device)
{
    struct hearing *hearing = context;

    return flo_rollouts_step_all(
        hearing->controller,
        (struct flo_rollout_event){.kind = FLO_ROLLOUT_EVENT_HEARD, .device = device},
        hearing->err);
}

/* Counts connected devices as heard, even if they report rarely. */
static int hear_connected(struct flo_run *run, uint64_t now_ms, struct flo_err *err)
{
    struct hearing hearing = {.controller = run->controller, .err = err};

    flo_tick_heard(&run->ticks, now_ms);
    return flo_fleet_online_each(run->controller->store, hear_one, &hearing);
}

/* Deletes those certificates that can no longer be renewed. */
static int prune_certificates(struct flo_controller *controller, struct flo_err *err)
{
    uint64_t now_ms = flo_wall_ms();
    uint64_t kept_ms = controller->options.certificate_grace_ms;

    return now_ms <= kept_ms
               ? 0
               : flo_fleet_certificate_prune(controller->store, now_ms - kept_ms, err);
}

static int tick(struct flo_run *run, struct flo_err *err)
{
    struct flo_controller *controller = run->controller;
    const struct flo_tick_now now = {.now_ms = flo_now_ms(),
                                     .wall_ms = flo_wall_ms(),
                                     .listens = flo_batches_listens(run->rest.batches),
                                     .has_active = flo_rollouts_any_active(controller),
                                     .is_making = flo_making_is_open(controller)};
    struct flo_tick_due due;
    uint64_t right, wrong;
    int rv;

    flo_tick_next(&run->ticks, &now, &due);
    if (!due.is_hourly && !due.steps) {
        return 0;
    }
    rv = flo_controller_begin(controller, err);
    FLO_TRY(rv);
    if (due.steps) {
        rv = flo_rollouts_calendar(controller, err);
    }
    if (rv == 0 && due.steps) {
        rv = flo_rollouts_step_all(
            controller,
            (struct flo_rollout_event){.kind = due.is_stalled ? FLO_ROLLOUT_EVENT_LISTENING
                                                              : FLO_ROLLOUT_EVENT_TICK},
            err);
    }
    if (rv == 0 && due.steps && due.hears) {
        rv = hear_connected(run, now.now_ms, err);
    }
    if (rv == 0 && due.steps && flo_orders_are_overtaken(controller->orders)) {
        rv = flo_orders_overtaken(controller, err);
    }
    if (rv == 0 && due.is_hourly) {
        flo_tick_took_hour(&run->ticks, now.wall_ms);
        run->orders_from = 0;
        event_active(run->prune, EV_TIMEOUT, 0);
        rv = flo_orders_renew(controller, err);
        if (rv == 0) {
            rv = flo_fleet_token_prune(controller->store, flo_wall_ms(), err);
        }
        if (rv == 0) { /* checking all seals finds rows with an invalid one */
            rv = flo_fleet_seals_count(controller->store, &right, &wrong, err);
        }
        if (rv == 0) {
            rv = flo_fleet_report_prune(controller->store, flo_wall_ms(), err);
        }
        if (rv == 0) {
            rv = flo_fleet_evidence_prune(controller->store, flo_wall_ms(), err);
        }
        if (rv == 0) {
            rv = prune_certificates(controller, err);
        }
    }
    return flo_controller_end(controller, rv, err);
}

static void on_tick(evutil_socket_t fd, short what, void *context)
{
    struct flo_run *run = context;
    struct flo_err err = {0};

    (void)fd, (void)what;
    flo_disk_tick(&run->disk);
    flo_batches_tick(run->rest.batches);
    flo_audit_head_tick(run->controller, flo_now_ms());
    flo_foreign_unproved(run->controller);
    flo_foreign_single(run->controller);
    if (flo_foreign_unsealed(run->controller, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
    flo_clock_tick(run->controller);
    bool is_right = !flo_clock_is_leapt(run->controller);
    if (is_right && tick(run, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "tick", &err);
    }
    flo_rest_used_write(&run->rest, flo_now_ms());
    if (is_right && (renew_leaves(run, &err) < 0 || ask_to_renew(run, flo_now_ms(), &err) < 0)) {
        flo_log_err(FLO_LOG_ERROR, "pki", &err);
    }
    if (is_right) {
        flo_evidence_tick(run->controller, flo_now_ms());
    }
    flo_watching_tick(&run->watching, flo_now_ms());
    if (write_facts(run, flo_now_ms(), &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "tick", &err);
    }
}

static void on_beat(evutil_socket_t fd, short what, void *context)
{
    struct flo_run *run = context;
    const struct flo_controller_options *options = &run->controller->options;

    (void)fd, (void)what;
    if (options->on_tick != NULL) {
        options->on_tick(options->on_tick_context);
    }
}

static void on_prune(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval pause = {.tv_usec = PRUNE_PAUSE_MS * 1000};
    struct flo_run *run = context;
    struct flo_err err = {0};

    (void)fd, (void)what;
    if (run->orders_from == FLO_FLEET_ALL || flo_clock_is_leapt(run->controller)) {
        return;
    }
    if (flo_fleet_order_prune(run->controller->store, flo_wall_ms(), &run->orders_from, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
        run->orders_from = FLO_FLEET_ALL; /* the next pass, in an hour, continues */
    }
    if (run->orders_from != FLO_FLEET_ALL) {
        event_add(run->prune, &pause);
    }
}

static void on_groups(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval more = {.tv_usec = GROUPS_PAUSE_MS * 1000};
    static const struct timeval none = {.tv_usec = GROUPS_MS * 1000};
    struct flo_run *run = context;

    (void)fd, (void)what;
    bool has_more =
        !flo_clock_is_leapt(run->controller) && flo_groups_turn(run->controller, flo_now_ms());
    event_add(run->groups, has_more ? &more : &none);
}

static void on_making(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval more = {.tv_usec = MAKING_PAUSE_MS * 1000};
    static const struct timeval none = {.tv_usec = MAKING_MS * 1000};
    struct flo_run *run = context;

    (void)fd, (void)what;
    bool has_more = false;
    if (!flo_clock_is_leapt(run->controller)) {
        has_more = flo_making_turn(run->controller);
        has_more = flo_rollouts_drafted_turn(run->controller) || has_more;
    }
    event_add(run->making, has_more ? &more : &none);
}

static void on_collect(evutil_socket_t fd, short what, void *context)
{
    static const struct timeval more = {.tv_usec = PRUNE_PAUSE_MS * 1000};
    static const struct timeval none = {.tv_sec = COLLECT_MS / 1000};
    struct flo_run *run = context;

    (void)fd, (void)what;
    bool has_more =
        !flo_clock_is_leapt(run->controller) && flo_collect_turn(run->controller, flo_now_ms());
    event_add(run->collect, has_more ? &more : &none);
}

static void on_signal(evutil_socket_t number, short what, void *context)
{
    struct flo_run *run = context;

    (void)what;
    /* Ctrl-C at a terminal ends the broker, too. */
    run->ends_broker = number == SIGINT;
    flo_log(FLO_LOG_INFO, "controller", "%s: stopping", strsignal((int)number));
    event_base_loopbreak(run->base);
}

static int timers_open(struct flo_run *run, struct flo_err *err)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct timeval every = {.tv_sec = TICK_MS / 1000};
    struct timeval beat = {.tv_usec = BEAT_MS * 1000};
    struct event_base *base = run->base;

    run->tick = event_new(base, -1, EV_PERSIST, on_tick, run);
    run->beat = event_new(base, -1, EV_PERSIST, on_beat, run);
    run->prune = event_new(base, -1, 0, on_prune, run);
    run->groups = event_new(base, -1, 0, on_groups, run);
    run->making = event_new(base, -1, 0, on_making, run);
    run->collect = event_new(base, -1, 0, on_collect, run);
    if (run->tick == NULL || run->beat == NULL || run->prune == NULL || run->groups == NULL ||
        run->making == NULL || run->collect == NULL || event_add(run->tick, &every) < 0 ||
        event_add(run->beat, &beat) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "timer");
    }
    event_active(run->groups, EV_TIMEOUT, 0);
    event_active(run->making, EV_TIMEOUT, 0);
    event_active(run->collect, EV_TIMEOUT, 0);
    for (size_t i = 0; i < FLO_COUNT(numbers); i++) {
        run->signals[i] = evsignal_new(base, numbers[i], on_signal, run);
        if (run->signals[i] == NULL || event_add(run->signals[i], NULL) < 0) {
            return flo_fail(err, FLO_E_MEMORY, "signals");
        }
    }
    return 0;
}

/* ---- listeners ---- */

static bool is_loopback(const char *host)
{
    return strcmp(host, "localhost") == 0 || strcmp(host, "::1") == 0 ||
           strncmp(host, "127.", 4) == 0;
}

/* Tells whether the people's listener uses HTTP without TLS: on loopback,
 * unless options say otherwise. */
static bool is_plain(const struct flo_controller *controller)
{
    return is_loopback(controller->addresses.people) && !controller->options.is_tls;
}

/* Chooses the devices' port once and stores it, because enrolled devices know
 * the port. */
static int devices_address(struct flo_controller *controller, char *out, size_t out_bytes,
                           struct flo_err *err)
{
    char kept[16];
    int rv = 0;

    if (controller->options.listen_devices != NULL) {
        const char *colon = strrchr(controller->options.listen_devices, ':');
        snprintf(kept, sizeof(kept), "%.8s", colon + 1);
    }
    if (controller->options.listen_devices == NULL || atoi(kept) == 0) {
        rv = flo_fleet_setting_get(controller->store, "devices_port", kept, sizeof(kept), err);
    }
    if (rv == 0 && kept[0] == '\0') {
        snprintf(kept, sizeof(kept), "%u", flo_address_standard_port(controller, 8443));
    }
    snprintf(out, out_bytes,
             strchr(controller->addresses.devices, ':') != NULL ? "[%s]:%s" : "%s:%s",
             controller->addresses.devices, kept);
    return rv;
}

static int keep_devices_port(struct flo_controller *controller, struct flo_err *err)
{
    char text[16];

    snprintf(text, sizeof(text), "%u", controller->addresses.port_devices);
    FLO_TRY(flo_controller_begin(controller, err));
    return flo_controller_end(
        controller, flo_fleet_setting_set(controller->store, "devices_port", text, err), err);
}

/* Lists the host names that a request may name.  With DNS rebinding another
 * site's name leads to this controller.  Browsers then send that name, which is
 * not listed. */
static void host_names(const struct flo_controller *controller, const char **out)
{
    const char *const own[] = {"localhost", controller->addresses.people,
                               controller->addresses.devices, controller->addresses.public};
    size_t count = 0;

    for (size_t i = 0; i < FLO_COUNT(own); i++) {
        if (own[i][0] != '\0') {
            out[count++] = own[i];
        }
    }
    for (size_t i = 0; i < controller->options.host_name_count; i++) {
        out[count++] = controller->options.host_names[i];
    }
    out[count] = NULL;
}

static void say_listening(struct flo_run *run, int tag, const struct flo_httpd_tls *tls_or_null)
{
    const struct flo_controller_options *options = &run->controller->options;
    int fd = options->on_listening != NULL ? flo_httpd_listener_copy(run->rest.httpd, tag) : -1;

    if (fd >= 0) {
        options->on_listening(options->on_tick_context, fd, tls_or_null);
    }
}

static int listeners_open(struct flo_run *run, struct flo_err *err)
{
    struct flo_controller *controller = run->controller;
    struct flo_httpd **httpd = &run->rest.httpd;
    static const char *const spare[] = {"/healthz", "/readyz", "/metrics", NULL};
    struct flo_httpd_options options = {.connections_max = 2048,
                                        .spare_paths = spare,
                                        .paths_fix = "/openapi.json of the "
                                                     "controller and "
                                                     "docs/reference/api.md "
                                                     "list the paths",
                                        .server_name = "flotilla",
                                        .hosts = run->host_names,
                                        .admits_addresses = true};
    const struct flo_pki *pki = controller->pki;
    struct flo_httpd_tls people = {.cert_file = flo_pki_files(pki)->server_cert_file,
                                   .key_file = flo_pki_files(pki)->server_key_file};
    struct flo_httpd_tls devices = people;
    char address[320];
    host_names(controller, run->host_names);
    int rv = flo_httpd_open(run->base, &options, httpd, err);

    devices.client_ca_file = flo_pki_files(pki)->ca_file;
    devices.admits_out_of_date = true; /* only for renewal */
    FLO_TRY(rv);
    FLO_TRY(flo_rest_open(&run->rest, err));
    FLO_TRY(flo_metrics_open(&run->rest, err));
    FLO_TRY(flo_httpd_listen(*httpd, controller->options.listen,
                             is_plain(controller) ? NULL : &people, FLO_TAG_PEOPLE,
                             &controller->addresses.port, err));
    FLO_TRY(devices_address(controller, address, sizeof(address), err));
    FLO_TRY(flo_httpd_listen(*httpd, address, &devices, FLO_TAG_DEVICES,
                             &controller->addresses.port_devices, err));
    say_listening(run, FLO_TAG_PEOPLE, is_plain(controller) ? NULL : &people);
    say_listening(run, FLO_TAG_DEVICES, &devices);
    return keep_devices_port(controller, err);
}

/* ---- how the process before this one ended ---- */

static int audit_crash(struct flo_controller *controller, const struct flo_crash *crash,
                       struct flo_err *err)
{
    char detail[sizeof(crash->signal) + sizeof(crash->text) + 32];

    FLO_TRY(flo_controller_begin(controller, err));
    snprintf(detail, sizeof(detail), "%s %s this: %s", crash->signal,
             crash->is_after ? "after" : "during", crash->text);
    int rv = flo_controller_audit(controller, crash->who[0] != '\0' ? crash->who : "controller",
                                  "controller.crash", crash->what, "crashed", detail, err);
    return flo_controller_end(controller, rv, err);
}

/* Writes an audit record about the crash note of an earlier process, then
 * deletes the note. */
static int crash_open(struct flo_controller *controller, struct flo_err *err)
{
    char path[sizeof(controller->dir) + 16];
    struct flo_crash crash;

    snprintf(path, sizeof(path), "%s/crash.note", controller->dir);
    if (flo_crash_read(path, &crash)) {
        flo_log(FLO_LOG_ERROR, "controller",
                "the process before ended by %s %s a request of %s: %s", crash.signal,
                crash.is_after ? "after" : "during", crash.who, crash.what);
        int rv = audit_crash(controller, &crash, err);
        FLO_TRY(rv);
        unlink(path);
    }
    flo_crash_open(path);
    return 0;
}

/* ---- the whole ---- */

static void say(const struct flo_run *run)
{
    const struct flo_controller *controller = run->controller;
    char rest[512];
    char devices[512];
    char fingerprint[65];

    flo_address_url(rest, is_plain(controller) ? "http" : "https",
                    flo_address_is_any(controller->addresses.people) ? controller->addresses.public
                                                                     : controller->addresses.people,
                    controller->addresses.port);
    flo_hex_encode(flo_pki_oldest(controller->pki)->fingerprint.bytes, FLO_DIGEST_BYTES,
                   fingerprint);
    flo_address_url(devices, "https", controller->addresses.public,
                    controller->addresses.port_devices);
    printf("fleet    %s\n"
           "rest     %s\n"
           "devices  %s\n"
           "broker   %s%s\n"
           "data     %s\n"
           "ca       %s (SHA-256 of pki/ca.pem: flotilla login --fingerprint)\n"
           "token    %s/admin.token (role admin)\n",
           controller->fleet, rest, devices, controller->addresses.mqtt,
           run->rest.broker != NULL ? " (mosquitto, started here)" : "", controller->dir,
           fingerprint, controller->dir);
    fflush(stdout);
}

static int login_open(struct flo_run *run, struct flo_err *err)
{
    const char *path = run->controller->options.oidc;

    if (path == NULL) {
        return 0;
    }
    FLO_TRY(flo_oidc_file_open(path, &run->oidc, err));
    FLO_TRY(flo_asker_open(run->oidc, run->base, is_plain(run->controller), &run->asker, err));
    run->rest.login = flo_asker_desk(run->asker);
    return 0;
}

static int depot_open(struct flo_run *run, struct flo_err *err)
{
    const struct flo_controller_options *given = &run->controller->options;
    const struct flo_depot_options options = {.url = given->blobs_store,
                                              .ca_file = given->blobs_ca,
                                              .keys_or_null = given->blobs_keys,
                                              .dir = run->controller->dir};

    if (given->blobs_store == NULL) {
        return 0;
    }
    FLO_TRY(flo_depot_open(&options, run->base, &run->depot, err));
    run->controller->depot = flo_depot_of(run->depot);
    return 0;
}

static int open_all(struct flo_run *run, struct flo_err *err)
{
    struct flo_controller *controller = run->controller;
    struct flo_rest *rest = &run->rest;
    const char *broker = controller->options.broker;
    uint16_t port;
    int rv = crash_open(controller, err);

    if (rv == 0) {
        rv = flo_disk_open(controller, run->base, &run->disk, err);
    }
    if (rv == 0) {
        rv = login_open(run, err);
    }
    if (rv == 0) {
        rv = depot_open(run, err);
    }
    if (rv == 0) {
        rv = listeners_open(run, err);
    }
    if (rv == 0 && flo_address_is_embedded(broker, &port)) {
        rv = flo_broker_open(controller, run->base, &rest->broker, err);
    } else if (rv == 0) {
        snprintf(controller->addresses.mqtt, sizeof(controller->addresses.mqtt), "%s", broker);
        snprintf(controller->addresses.mqtt_own, sizeof(controller->addresses.mqtt_own), "%s",
                 broker);
        rv = flo_broker_external(controller, err);
    }
    FLO_TRY(rv);
    FLO_TRY(flo_live_open(controller, run->base, &rest->live, err));
    FLO_TRY(flo_batches_open(controller, run->base, rest->broker, &rest->batches, err));
    FLO_TRY(flo_telemetry_feed_start(controller, run->base, rest->broker != NULL, err));
    FLO_TRY(flo_watching_open(rest, run->base, &run->watching, err));
    flo_outgoing_subscribe(controller, (struct flo_subscriber){run, on_committed, NULL});
    return timers_open(run, err);
}

/* Writes the numbers of proofs at the end, so that old messages are not
 * accepted again after a restart. */
static void write_proofs(struct flo_controller *controller)
{
    struct flo_err err = {0};
    bool is_done = false;
    int rv = flo_controller_begin(controller, &err);

    if (rv == 0) {
        rv = flo_controller_end(controller, flo_proofs_write(controller, SIZE_MAX, &is_done, &err),
                                &err);
    }
    if (rv < 0) {
        flo_log_err(FLO_LOG_WARN, "proof", &err);
    }
}

static void close_all(struct flo_run *run)
{
    struct flo_controller *controller = run->controller;

    flo_outgoing_unsubscribe(controller, run);
    flo_watching_close(&run->watching);
    flo_disk_close(&run->disk);
    flo_lane_stop(controller->lane);
    if (run->tick != NULL && flo_controller_may_act(controller)) {
        write_proofs(controller);
    }
    flo_batches_close(run->rest.batches);
    flo_broker_close(run->rest.broker, run->ends_broker);
    flo_asker_close(run->asker);
    controller->depot = NULL;
    flo_depot_close(run->depot);
    flo_httpd_close(run->rest.httpd);
    flo_oidc_file_close(run->oidc);
    flo_rest_held_close(&run->rest);
    flo_rest_checks_close(&run->rest);
    flo_rest_plans_close(&run->rest);
    flo_walks_close(&run->rest);
    flo_live_close(run->rest.live);
    if (run->tick != NULL) {
        event_free(run->tick);
    }
    if (run->beat != NULL) {
        event_free(run->beat);
    }
    if (run->prune != NULL) {
        event_free(run->prune);
    }
    if (run->collect != NULL) {
        event_free(run->collect);
    }
    if (run->groups != NULL) {
        event_free(run->groups);
    }
    if (run->making != NULL) {
        event_free(run->making);
    }
    for (size_t i = 0; i < FLO_COUNT(run->signals); i++) {
        if (run->signals[i] != NULL) {
            event_free(run->signals[i]);
        }
    }
    event_base_free(run->base);
}

int flo_controller_run(struct flo_controller *controller, struct flo_service *service,
                       struct flo_err *err)
{
    struct flo_run run = {
        .controller = controller, .base = event_base_new(), .rest = {.controller = controller}};

    if (run.base == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "event loop");
    }
    run.rest.base = run.base;
    int rv = open_all(&run, err);
    if (rv == 0) {
        say(&run);
        flo_service_ready(service, run.base);
        event_base_dispatch(run.base);
    }
    flo_service_stop(service);
    close_all(&run);
    return rv;
}
