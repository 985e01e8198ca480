/* Metrics: the controller's own health. */
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/host/crypto.h"
#include "proto/lifetime.h"
#include "server-stub/mqtt/batches.h"
#include "server-stub/mqtt/broker/broker.h"
#include "server-stub/rest/lead/controllers.h"
#include "server-stub/rest/live.h"
#include "server-stub/rest/metrics/metrics.h"
#include "server-stub/state/artifacts/artifacts.h"
#include "server-stub/state/artifacts/depot.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/audit/head.h"
#include "server-stub/state/clock/clock.h"
#include "server-stub/state/foreign.h"
#include "server-stub/state/orders/orders.h"
#include "server-stub/state/pki/pki.h"
#include "server-stub/state/proofs/proofs.h"

#define CERTIFICATES_MS 60000 /* interval between two checks of the certificate files */
#define SHARES_MS 3600000

static double cpu_seconds(void)
{
    struct rusage usage;

    if (getrusage(RUSAGE_SELF, &usage) < 0) {
        return 0;
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* ---- certificates ---- */

static uint64_t end_of(const char *path)
{
    struct flo_certificate certificate;
    char *pem = NULL;
    size_t bytes;
    uint64_t end_ms = 0;

    if (path[0] != '\0' && flo_file_read(path, FLO_PEM_BYTES_MAX, &pem, &bytes, NULL) == 0 &&
        flo_certificate_read(pem, bytes, &certificate, NULL) == 0) {
        end_ms = certificate.not_after_ms;
    }
    free(pem);
    return end_ms;
}

static void add_certificates(struct flo_rest *rest, struct flo_samples *samples)
{
    static const char *const names[FLO_REST_CERTIFICATES] = {"ca", "server", "mqtt", "telemetry"};
    const struct flo_pki *pki = rest->controller->pki;
    const char *const paths[FLO_REST_CERTIFICATES] = {
        flo_pki_files(pki)->ca_file, flo_pki_files(pki)->server_cert_file,
        flo_pki_files(pki)->mqtt_cert_file, flo_pki_files(pki)->lane_cert_file};
    uint64_t now_ms = flo_now_ms();
    bool is_due = now_ms >= rest->certificates_at_ms;

    for (size_t i = 0; i < FLO_REST_CERTIFICATES; i++) {
        if (is_due) {
            rest->certificate_ends_ms[i] = end_of(paths[i]);
        }
        if (rest->certificate_ends_ms[i] > 0) {
            flo_samples_add(samples, FLO_EXPOSED_CERTIFICATE, (const char *const[]){names[i]},
                            (double)(rest->certificate_ends_ms[i] / 1000));
        }
    }
    if (is_due) {
        rest->certificates_at_ms = now_ms + CERTIFICATES_MS;
    }
}

/* Adds samples about the certificates of devices, and about authorities. */
static void add_held(const struct flo_rest *rest, struct flo_samples *samples)
{
    struct flo_controller *controller = rest->controller;
    uint64_t now_ms = flo_wall_ms();
    uint64_t life_ms = controller->options.certificate_life_ms;
    uint64_t soon_ms = now_ms + life_ms - flo_lifetime_ending_ms(life_ms);
    const struct {
        const char *state;
        uint64_t after_ms, to_ms;
    } rows[] = {{"ending", now_ms, soon_ms}, {"ended", 0, now_ms}};
    struct flo_err err = {0};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        uint64_t count = 0;
        if (flo_fleet_certificate_ending(controller->store, FLO_CERTIFICATE_HELD, rows[i].after_ms,
                                         rows[i].to_ms, &count, &err) < 0) {
            flo_log_err(FLO_LOG_WARN, "metrics", &err);
            continue;
        }
        flo_samples_add(samples, FLO_EXPOSED_DEVICE_CERTIFICATES,
                        (const char *const[]){rows[i].state}, (double)count);
    }
    flo_samples_add(samples, FLO_EXPOSED_AUTHORITIES, NULL,
                    (double)flo_pki_authority_count(controller->pki));
    flo_samples_add(samples, FLO_EXPOSED_RENEWALS, NULL, (double)rest->renewals);
}

/* ---- what is not ours ---- */

static void add_foreign(const struct flo_controller *controller, struct flo_samples *samples)
{
    enum flo_foreign_kind kind;
    const char *what;

    for (size_t i = 0; flo_foreign_at(controller, i, flo_wall_ms(), &kind, &what); i++) {
        flo_samples_add(samples, FLO_EXPOSED_FOREIGN,
                        (const char *const[]){flo_foreign_word(kind), what}, 1);
    }
}

static void add_proofs(struct flo_controller *controller, struct flo_samples *samples)
{
    struct flo_fleet_device_count count = {0};
    struct flo_err err = {0};

    for (int i = 0; i < FLO_PROOF_WORDS; i++) {
        const char *word = flo_proof_word((enum flo_proof_word)i);
        flo_samples_add(samples, FLO_EXPOSED_PROOFS, &word,
                        (double)flo_proofs_count(controller->proofs, (enum flo_proof_word)i));
    }
    if (flo_fleet_device_counts(controller->store, &count, &err) == 0) {
        flo_samples_add(samples, FLO_EXPOSED_UNPROVED, NULL,
                        (double)flo_proofs_missing(controller->proofs, count.devices));
    }
}

static void add_share(void *context, const char *device, const char *share)
{
    flo_samples_add(context, FLO_EXPOSED_OVER_SHARE, (const char *const[]){device, share}, 1);
}

/* ---- numbers ---- */

static void add_lane(const struct flo_controller *controller, struct flo_samples *samples)
{
    struct flo_lane_counters lane;

    flo_lane_count(controller->lane, &lane);
    const struct {
        enum flo_exposed metric;
        uint64_t value;
    } rows[] = {{FLO_EXPOSED_TELEMETRY, lane.listens ? 1 : 0},
                {FLO_EXPOSED_TELEMETRY_WINDOWS, lane.windows},
                {FLO_EXPOSED_TELEMETRY_REPEATED, lane.repeated},
                {FLO_EXPOSED_TELEMETRY_DROPPED, lane.dropped},
                {FLO_EXPOSED_TELEMETRY_SHED, lane.shed},
                {FLO_EXPOSED_TELEMETRY_MISSING, lane.missing},
                {FLO_EXPOSED_TELEMETRY_LIMITED, lane.limited},
                {FLO_EXPOSED_TELEMETRY_LOST, lane.lost},
                {FLO_EXPOSED_TELEMETRY_QUERIES, lane.queries}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        flo_samples_add(samples, rows[i].metric, NULL, (double)rows[i].value);
    }
}

static void add_store(struct flo_controller *controller, struct flo_samples *samples)
{
    struct flo_fleet_store *store = controller->store;
    struct flo_err failed = {0};
    uint64_t durable = flo_fleet_durable(store, NULL);
    struct flo_artifact_removed removed = flo_collector_removed(controller->collector);
    bool is_disk = strcmp(controller->dir, ":memory:") != 0;
    const struct {
        enum flo_exposed metric;
        uint64_t value;
    } rows[] = {{FLO_EXPOSED_STATEMENTS, flo_fleet_statements(store)},
                {FLO_EXPOSED_COMMITS_FAILED, controller->commits_failed},
                {FLO_EXPOSED_COMMITS_WAITING, flo_fleet_committed(store) - durable},
                {FLO_EXPOSED_STORE_FAILED, flo_controller_takes_changes(controller, &failed) < 0},
                {FLO_EXPOSED_BLOBS_FAILED, flo_depot_is_failing(controller->depot)},
                {FLO_EXPOSED_DISK_FREE, is_disk ? flo_disk_free(controller->dir) : 0},
                {FLO_EXPOSED_ARTIFACT_BYTES, flo_collector_found(controller->collector)->bytes},
                {FLO_EXPOSED_COLLECTED, removed.files},
                {FLO_EXPOSED_COLLECTED_BYTES, removed.bytes}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        flo_samples_add(samples, rows[i].metric, NULL, (double)rows[i].value);
    }
}

static void add_lead(const struct flo_rest *rest, struct flo_samples *samples)
{
    struct flo_lead_view view;
    uint64_t counts[FLO_LEASE_PLACES] = {0};

    flo_controllers_view(rest, &view);
    for (size_t i = 0; i < view.member_count; i++) {
        counts[flo_controllers_place(&view, &view.members[i], flo_wall_ms())]++;
    }
    flo_samples_add(samples, FLO_EXPOSED_LEADER, NULL, view.leads ? 1 : 0);
    flo_samples_add(samples, FLO_EXPOSED_LEADER_EPOCH, NULL, (double)view.epoch);
    flo_samples_add(samples, FLO_EXPOSED_LEADER_CHANGES, NULL, (double)view.changes_hour);
    for (int place = 0; place < FLO_LEASE_PLACES; place++) {
        flo_samples_add(samples, FLO_EXPOSED_CONTROLLERS,
                        (const char *const[]){flo_lease_place_word((enum flo_lease_place)place)},
                        (double)counts[place]);
    }
}

void flo_metrics_controller(struct flo_rest *rest, struct flo_samples *samples)
{
    struct flo_controller *controller = rest->controller;
    struct flo_batches_counters messages = flo_batches_count(rest->batches);
    uint64_t rss = 0, refused;
    struct flo_err full = {0};

    (void)flo_process_memory(getpid(), &rss, NULL, NULL);
    (void)flo_httpd_room(rest->httpd, &refused, &full);
    const struct {
        enum flo_exposed metric;
        uint64_t value;
    } rows[] = {{FLO_EXPOSED_BROKER, messages.is_connected ? 1 : 0},
                {FLO_EXPOSED_BROKER_STARTS, flo_broker_starts(rest->broker)},
                {FLO_EXPOSED_LIVE_CLIENTS, flo_live_clients(rest->live)},
                {FLO_EXPOSED_MESSAGES, messages.messages},
                {FLO_EXPOSED_MESSAGES_DROPPED, messages.dropped},
                {FLO_EXPOSED_BATCHES, messages.batches},
                {FLO_EXPOSED_ORDERS_SIGNED, flo_orders_signed(controller->orders)},
                {FLO_EXPOSED_HTTP_REQUESTS, rest->requests},
                {FLO_EXPOSED_HTTP_REFUSED, refused},
                {FLO_EXPOSED_AUDIT_BROKEN, flo_audit_is_broken(controller->audit) ? 1 : 0},
                {FLO_EXPOSED_CLOCK_LEAPT, flo_clock_is_leapt(controller) ? 1 : 0},
                {FLO_EXPOSED_AUDIT_SIGNED, flo_audit_head_newest(controller).number},
                {FLO_EXPOSED_STRANGERS, rest->strangers_refused},
                {FLO_EXPOSED_PROCESS_MEMORY, rss}};

    for (size_t i = 0; i < FLO_COUNT(rows); i++) {
        flo_samples_add(samples, rows[i].metric, NULL, (double)rows[i].value);
    }
    flo_samples_add(samples, FLO_EXPOSED_BUILD, (const char *const[]){FLO_VERSION}, 1);
    flo_samples_add(samples, FLO_EXPOSED_PROCESS_CPU, NULL, cpu_seconds());
    flo_samples_add(samples, FLO_EXPOSED_PROCESS_START, NULL, (double)(rest->started_at_ms / 1000));
    add_lead(rest, samples);
    add_lane(controller, samples);
    add_store(controller, samples);
    add_certificates(rest, samples);
    add_held(rest, samples);
    add_foreign(rest->controller, samples);
    add_proofs(rest->controller, samples);
    flo_broker_shares(controller, flo_wall_ms() - SHARES_MS, add_share, samples);
}
