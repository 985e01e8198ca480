/* The running agent: open everything, boot the core, turn the loop, stop
 * within seconds.  The order matters: lock, records, engines, local API, and
 * the network last, so that a device without one serves all the same. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <flotilla/errors/sig.h>
#include <flotilla/errors/state.h>

#include "agent/core/checkup/checkup.h"
#include "agent/shell/hardware/hardware.h"
#include "agent/shell/hooks/hooks.h"
#include "agent/shell/identity/identity.h"
#include "agent/shell/link/link.h"
#include "agent/shell/local/local.h"
#include "agent/shell/neighbours/neighbours.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/renewal/renewal.h"
#include "agent/shell/run.h"
#include "agent/shell/trust/trust.h"
#include "base/cgroup.h"
#include "base/host/service.h"

/* ---- what the disk says ---- */

/* A write that fails at the start can wait for the next one: the record in
 * memory serves. */
static void write_slots(struct flo_shell *shell, struct flo_slots *slots)
{
    struct flo_err err = {0};

    if (flo_store_slots_write(shell->store, slots, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
}

/* Both slot records are gone: find a whole release whose signature holds. */
static int recover(struct flo_shell *shell, const char *name, struct flo_slots *slots,
                   struct flo_err *err)
{
    static struct flo_release_verified verified; /* large */
    struct flo_buf text = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    int rv = flo_store_slots_recover(shell->store, name, slots, err);

    if (rv == 0) {
        rv = flo_store_envelope_load(shell->store, &slots->current, &text, err);
    }
    if (rv == 0 && shell->identity.trust == NULL) {
        rv = flo_fail(err, FLO_E_SIG_UNKNOWN_KEY, "no trusted keys");
    }
    if (rv == 0) {
        rv = flo_release_verify(text.data, text.bytes, shell->identity.trust, &verified, err);
    }
    flo_buf_deinit(&text);
    if (rv == 0 && !flo_digest_equal(&verified.digest, &slots->current)) {
        rv = flo_fail(err, FLO_E_TARGET_HASH, "the envelope on disk is of another release");
    }
    flo_release_verified_deinit(&verified);
    if (rv == 0) {
        memset(&slots->previous, 0, sizeof(slots->previous));
        slots->previous_number = 0;
        flo_log(FLO_LOG_WARN, "store", "slots of %s were damaged, recovered", name);
        write_slots(shell, slots);
    }
    return rv;
}

/* Does a model with this record need a place?  One that is only spoken about
 * does where a release of it is assigned, so that its drift is told. */
static bool needs_place(const struct flo_slots *slots)
{
    return !flo_digest_is_zero(&slots->current) || !flo_digest_is_zero(&slots->candidate) ||
           (!slots->is_removed && !flo_digest_is_zero(&slots->stated.target));
}

/* The record in the next free place; one of an idle model gives way. */
static void place(struct flo_shell *shell, struct flo_slots *slots)
{
    bool is_here = !flo_digest_is_zero(&slots->current) || !flo_digest_is_zero(&slots->candidate);

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_slots *there = &shell->models[i].slots;
        if (there->model[0] == '\0' || (is_here && flo_digest_is_zero(&there->current) &&
                                        flo_digest_is_zero(&there->candidate))) {
            *there = *slots;
            return;
        }
    }
    flo_log(FLO_LOG_ERROR, "store", "model %s has no place: %d are taken", slots->model,
            FLO_AGENT_MODELS_MAX);
}

/* A record that cannot be recovered serves nothing until the next release; the
 * others start all the same. */
static int read_record(struct flo_shell *shell, const char *name, struct flo_err *err)
{
    struct flo_slots *slots = &shell->other;
    struct flo_err why = {0};
    int rv = flo_store_slots_read(shell->store, name, slots, err);

    if (rv == FLO_E_STATE_SLOT) {
        rv = recover(shell, name, slots, &why);
        if (rv < 0) {
            flo_log_err(FLO_LOG_ERROR, "store", &why);
            return 0;
        }
    }
    if (rv < 0) {
        return rv;
    }
    snprintf(slots->model, sizeof(slots->model), "%.64s", name);
    if (flo_slots_heal(slots)) {
        write_slots(shell, slots);
    }
    flo_slots_raise_floor(slots, shell->identity.trust);
    flo_slots_forget(slots, shell->identity.trust);
    if (needs_place(slots)) {
        place(shell, slots);
    }
    return 0;
}

/* Two more tries where the disk fails. */
static int read_at_last(struct flo_shell *shell, const char *name, struct flo_err *err)
{
    int rv = read_record(shell, name, err);

    for (int tries = 2; tries > 0 && rv < 0; tries--) {
        rv = read_record(shell, name, err);
    }
    return rv;
}

static bool has_models(const struct flo_shell *shell)
{
    size_t i = 0;

    while (i < FLO_COUNT(shell->models) && shell->models[i].slots.model[0] == '\0') {
        i++;
    }
    return i < FLO_COUNT(shell->models);
}

/* One that the disk does not give is left out while others serve; the next
 * start reads it.  Where it was the only one, this start fails. */
static int read_records(struct flo_shell *shell, struct flo_err *err)
{
    char names[FLO_MODELS_KEPT_MAX + 1][FLO_NAME_MAX + 1];
    size_t count = 0;
    int rv = flo_shell_device_read(shell, err);

    if (rv < 0 && shell->is_local) {
        return rv;
    }
    rv = flo_store_models(shell->store, names, FLO_COUNT(names), &count, err);
    if (rv < 0) { /* a start that knows no models would serve none */
        return rv;
    }
    for (size_t i = 0; i < count; i++) {
        struct flo_err why = {0};
        if (read_at_last(shell, names[i], &why) < 0) {
            flo_log_err(FLO_LOG_ERROR, "store", &why);
            *err = why;
            rv = why.code;
        }
    }
    return shell->is_local || !has_models(shell) ? rv : 0;
}

/* A bundle of a model without a record was under way. */
static void read_stories(struct flo_shell *shell)
{
    char names[FLO_AGENT_MODELS_MAX][FLO_NAME_MAX + 1];
    size_t count = flo_stories_models(shell->db, names, FLO_COUNT(names));
    struct flo_err err = {0};
    uint32_t model;

    for (size_t i = 0; i < count; i++) {
        if (flo_shell_model_take(shell, names[i], &model, &err) < 0) {
            flo_log_err(FLO_LOG_ERROR, "store", &err);
        }
    }
}

/* The device was enrolled again, perhaps in another fleet: earlier rollouts do
 * not mean it any more.  A candidate on trial serves on, and gives way to any
 * order.  A candidate that only waits is dropped. */
static void enrolled_again(struct flo_shell *shell, struct flo_slots *slots)
{
    if (slots->stated.outcome != FLO_STATED_DONE) { /* told again */
        slots->stated.outcome = FLO_STATED_OPEN;
    }
    if (slots->phase == FLO_SLOT_STAGED) {
        flo_slots_clear_candidate(slots);
        write_slots(shell, slots);
    } else if (slots->phase == FLO_SLOT_TRIAL) {
        snprintf(slots->rollout, sizeof(slots->rollout), "enroll");
        slots->order[0] = '\0';
        slots->order_seq = 0;
        write_slots(shell, slots);
    }
}

static void check_past(struct flo_shell *shell)
{
    const struct flo_identity *identity = &shell->identity;
    FLO_CLEANUP(flo_free_cleanup)
    char *device = flo_values_get(shell->db, "device");

    if (!identity->is_there) {
        return;
    }
    if (device != NULL && strcmp(device, identity->device) != 0) {
        flo_log(FLO_LOG_INFO, "agent", "enrolled again as device %s, fleet %s", identity->device,
                identity->fleet);
        for (size_t i = 0; i < FLO_COUNT(shell->models); i++) {
            enrolled_again(shell, &shell->models[i].slots);
        }
    }
    flo_outbox_db_enrolled(shell->db, identity->device);
    flo_shell_device_move(shell);
}

/* ---- boot ---- */

/* The candidate's execution, as far as the slot record knows it. */
static void execution_of_slots(const struct flo_slots *slots, struct flo_agent_execution *out)
{
    memset(out, 0, sizeof(*out));
    flo_policy_default(&out->policy);
    out->attempt = slots->attempt == 0 ? 1 : slots->attempt;
    out->seq = slots->order_seq;
    out->phase = slots->rollout_phase;
    out->policy.soak_ms = slots->soak_ms;
    out->policy.soak_requests = slots->soak_requests;
    out->policy.soak_errors_ppm = slots->soak_errors_ppm;
    out->policy.soak_crashes_max = slots->soak_crashes_max;
    out->state = slots->phase == FLO_SLOT_TRIAL ? FLO_EXECUTION_SOAKING : FLO_EXECUTION_STAGED;
    memcpy(out->rollout, slots->rollout, sizeof(out->rollout));
    memcpy(out->order, slots->order, sizeof(out->order));
    snprintf(out->id, sizeof(out->id), "%s.%u", out->rollout, out->attempt);
}

/* The trial of the record succeeded, as was told: only the newer record, now
 * damaged, named it current. */
static bool commit_again(struct flo_slots *slots, bool has_ended, enum flo_execution end)
{
    return has_ended && end == FLO_EXECUTION_SUCCEEDED && flo_slots_commit(slots, NULL) == 0;
}

static void boot_execution(struct flo_shell *shell, struct flo_slots *slots,
                           struct flo_agent_booted *booted, struct flo_agent_execution *open)
{
    bool has_candidate = !flo_digest_is_zero(&slots->candidate);
    bool has_open = flo_stories_open(shell->db, slots->model, open);
    enum flo_execution end;
    uint32_t attempts;

    if (has_open && has_candidate && !flo_digest_equal(&open->release.digest, &slots->candidate)) {
        flo_slots_clear_candidate(slots); /* the candidate was superseded */
        write_slots(shell, slots);
        has_candidate = false;
    }
    if (!has_open && has_candidate) {
        execution_of_slots(slots, open);
        flo_shell_ref(shell, &slots->candidate, &open->release);
        (void)flo_stories_last(shell->db, open->rollout, &attempts, &booted->has_ended, &end);
        has_open = !commit_again(slots, booted->has_ended, end);
        if (!has_open) {
            booted->has_ended = false;
            write_slots(shell, slots);
        }
    }
    if (has_open) {
        booted->denial = flo_slots_denial(slots, &open->release.digest, 0);
    }
    booted->open = has_open ? open : NULL;
}

static void boot_model(struct flo_shell *shell, uint32_t index, struct flo_agent_booted *booted,
                       struct flo_agent_execution *open)
{
    struct flo_agent_slots *slots = &booted->slots;
    struct flo_shell_model *model = &shell->models[index];
    struct flo_slots *record = &model->slots;

    *booted = (struct flo_agent_booted){.model = index};
    memcpy(booted->name, record->model, sizeof(booted->name));
    boot_execution(shell, record, booted, open);
    flo_shell_ref(shell, &record->current, &slots->current);
    flo_shell_ref(shell, &record->previous, &slots->previous);
    flo_shell_ref(shell, &record->candidate, &slots->candidate);
    slots->is_trial = record->phase == FLO_SLOT_TRIAL;
    slots->tries_left = record->tries_left;
    booted->is_linked = flo_hooks_has_link(shell, record->model);
    booted->fits_both = flo_shell_fits_both(shell, index, &record->candidate);
    model->telemetry.release = slots->current;
}

void flo_shell_boot(struct flo_shell *shell)
{
    static struct flo_agent_execution open[FLO_AGENT_MODELS_MAX];
    static struct flo_agent_booted booted[FLO_AGENT_MODELS_MAX];
    struct flo_agent_pauses pauses;
    struct flo_agent_event event = {.kind = FLO_AGENT_BOOT};

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_agent_booted *model = &booted[event.boot.model_count];
        if (shell->models[i].slots.model[0] == '\0') {
            continue;
        }
        boot_model(shell, i, model, &open[i]);
        event.boot.model_count++;
        if (!flo_digest_is_zero(&model->slots.current.digest)) {
            flo_shell_route(shell, i, &model->slots.current, FLO_ROUTE_LOADING);
        }
    }
    event.boot.models = booted;
    event.boot.models_max = (uint32_t)flo_config_u64(shell->settings.config, "models_max");
    event.boot.is_frozen = shell->device.is_frozen || shell->device.is_frozen_emergency;
    event.boot.waits = shell->settings.waits;
    event.boot.lacks = shell->watch.lacks;
    flo_shell_pauses(shell, &pauses);
    event.boot.pauses = &pauses;
    flo_random(&event.boot.seed, sizeof(event.boot.seed));
    flo_hooks_start(shell);
    flo_loop_event(shell, &event);
}

/* ---- open ---- */

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_TIMER};
    struct flo_shell *shell = context;

    (void)fd;
    (void)events;
    flo_queue_post(&shell->queue, &event);
}

static void on_flush(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)fd;
    (void)events;
    flo_events_flush(shell->db);
    flo_loop_flush_later(shell);
    flo_shell_link_flush(shell);
}

static void on_collect(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    flo_loop_collect(context);
}

static void on_report(evutil_socket_t fd, short events, void *context)
{
    (void)fd, (void)events;
    flo_shell_link_reported(context);
    flo_shell_link_flush(context);
}

static void device_again(struct flo_shell *shell)
{
    const struct flo_order order = {.op = FLO_ORDER_UNFREEZE};
    struct flo_agent_event event = {.kind = FLO_AGENT_ORDER, .order = &order};
    struct flo_err err = {0};

    if (!shell->device_is_unread || flo_shell_device_read(shell, &err) < 0) {
        return;
    }
    flo_log(FLO_LOG_INFO, "store", "the device's record can be read again");
    flo_shell_device_move(shell);
    if (!shell->device.is_frozen && !shell->device.is_frozen_emergency) {
        flo_loop_event(shell, &event);
    }
    flo_shell_clock_tell(shell);
    if (shell->identity.is_there &&
        (flo_shell_link_open(shell, &err) < 0 || flo_renewal_open(shell, &err) < 0)) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
    }
}

/* An update waits for what any release would need. */
static const struct flo_agent_error *lacking(const struct flo_agent *agent)
{
    for (size_t i = 0; i < FLO_COUNT(agent->models); i++) {
        const struct flo_agent_model *model = &agent->models[i];
        if (model->has_execution && !flo_execution_is_end(model->execution.state) &&
            flo_agent_lacks(model->execution.error.code)) {
            return &model->execution.error;
        }
    }
    return NULL;
}

/* A cause that shows without a try. */
static bool is_degraded(const struct flo_shell *shell, struct flo_err *err)
{
    const struct flo_err *outbox = flo_outbox_db_failure(shell->db);

    if (shell->device_is_unread) {
        return flo_fail(err, FLO_E_IO_READ, "the device's record cannot be read") < 0;
    }
    if (outbox != NULL) {
        *err = *outbox;
        return true;
    }
    if (shell->reading.code != 0) {
        return flo_fail(err, shell->reading.code, "%s", shell->reading.what) < 0;
    }
    const struct flo_agent_error *lack = lacking(&shell->agent);
    if (lack != NULL) {
        return flo_fail(err, lack->code, "%s", lack->what) < 0;
    }
    return flo_checkup_room(flo_store_disk_free(shell->store), err) < 0;
}

/* Orders that were not kept come again with a heartbeat, and say so before the
 * next one where they fail once more. */
static void degraded_look(struct flo_shell *shell)
{
    struct flo_err err = {0};

    flo_trouble_look(&shell->reading);
    if (is_degraded(shell, &err)) {
        (void)flo_shell_degrade(shell, &err);
        shell->agent.is_disk_gone =
            shell->device_is_unread || flo_outbox_db_failure(shell->db) != NULL;
    } else if (shell->degraded.error.code != 0 && !shell->has_unkept && flo_shell_writes(shell)) {
        flo_log(FLO_LOG_INFO, "degraded", "over: %s", shell->degraded.error.what);
        memset(&shell->degraded, 0, sizeof(shell->degraded));
        shell->degraded.is_news = true;
        flo_serve_degraded(shell->serve, NULL);
    }
    if (shell->degraded.is_news) {
        flo_shell_link_reported(shell);
    }
    shell->degraded.is_news = false;
}

/* Windows of telemetry tell that it lives, and not of its disk: selectors and
 * alerts look at the report. */
#define FREE_TOLD_SHARE 16 /* a change of so small a part is no news */
static bool has_other_room(struct flo_shell *shell)
{
    uint64_t now = flo_store_disk_free(shell->store);
    uint64_t told = shell->free_bytes_told;
    uint64_t differs = now > told ? now - told : told - now;

    if (differs <= told / FREE_TOLD_SHARE) {
        return false;
    }
    shell->free_bytes_told = now;
    return true;
}

static void on_heartbeat(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)fd;
    (void)events;
    flo_shell_score_look(shell);
    bool has_room_news = has_other_room(shell);
    if (!flo_telemetry_close_all(shell) || has_room_news) {
        flo_shell_link_reported(shell); /* no window tells this */
    }
    device_again(shell);
    flo_shell_records_write(shell);
    flo_outbox_db_again(shell->db, shell->identity.is_there ? shell->identity.device : "");
    degraded_look(shell);
    shell->has_unkept = flo_shell_clock_was_set(shell) || shell->has_unkept;
    flo_shell_link_ask_again(shell);
    flo_shell_link_flush(shell);
}

static void on_signal(evutil_socket_t number, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)events;
    flo_log(FLO_LOG_INFO, "agent", "signal %d, stopping", (int)number);
    shell->is_stopping = true;
    event_base_loopbreak(shell->base);
}

/* The device's own word, else an order's from before this start. */
static uint64_t first_heartbeat_ms(const struct flo_shell *shell)
{
    bool is_own = flo_config_is_set(shell->settings.config, "heartbeat");

    return is_own || shell->device.heartbeat_ms == 0
               ? flo_config_u64(shell->settings.config, "heartbeat")
               : shell->device.heartbeat_ms;
}

static int open_events(struct flo_shell *shell, struct flo_err *err)
{
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    size_t i;

    shell->timer = evtimer_new(shell->base, on_timer, shell);
    shell->heartbeat = event_new(shell->base, -1, EV_PERSIST, on_heartbeat, shell);
    shell->flush = evtimer_new(shell->base, on_flush, shell);
    shell->collect = evtimer_new(shell->base, on_collect, shell);
    shell->report = evtimer_new(shell->base, on_report, shell);
    if (shell->timer == NULL || shell->heartbeat == NULL || shell->flush == NULL ||
        shell->collect == NULL || shell->report == NULL || flo_loop_open(shell, err) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "timers");
    }
    for (i = 0; i < FLO_COUNT(signals); i++) {
        shell->signals[i] = evsignal_new(shell->base, signals[i], on_signal, shell);
        if (shell->signals[i] == NULL || event_add(shell->signals[i], NULL) != 0) {
            return flo_fail(err, FLO_E_MEMORY, "signals");
        }
    }
    flo_shell_set_heartbeat(shell, first_heartbeat_ms(shell));
    return 0;
}

static void read_boot_id(struct flo_shell *shell)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (file == NULL || fgets(shell->boot_id, sizeof(shell->boot_id), file) == NULL) {
        flo_uuid_make(shell->boot_id);
    }
    if (file != NULL) {
        fclose(file);
    }
    shell->boot_id[36] = '\0';
}

int flo_shell_open(struct flo_shell *shell, const struct flo_settings *settings, bool is_local,
                   struct flo_err *err)
{
    int rv;

    shell->settings = *settings;
    shell->is_local = is_local;
    for (size_t i = 0; i < FLO_COUNT(shell->models); i++) {
        shell->models[i].telemetry.begin_ms = flo_now_ms();
    }
    read_boot_id(shell);
    shell->base = event_base_new();
    if (shell->base == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "event loop");
    }
    rv = flo_store_open(shell->settings.state_dir, true, &shell->store, err);
    if (rv == 0) {
        rv = flo_identity_load(&shell->settings, &shell->identity, err);
    }
    if (rv == 0) {
        flo_machine_look(&shell->settings, &shell->machine);
        rv = read_records(shell, err);
    }
    if (rv == 0) {
        rv = flo_outbox_db_open(shell->settings.state_dir,
                                flo_config_u64(shell->settings.config, "outbox_limit"), &shell->db,
                                err);
    }
    if (rv == 0) {
        check_past(shell);
        read_stories(shell);
        flo_shell_clock_start(shell);
        rv = open_events(shell, err);
    }
    if (rv == 0) {
        rv = flo_shell_serve_open(shell, err);
    }
    if (rv == 0 && !is_local) {
        rv = flo_control_open(shell, err);
        rv = rv < 0 ? rv : flo_watch_open(shell, err);
        rv = rv < 0 ? rv : flo_shell_trust_open(shell, err);
        rv = rv < 0 ? rv : flo_neighbours_open(shell, err);
    }
    if (rv == 0 && !is_local && shell->identity.is_there && !shell->device_is_unread) {
        rv = flo_shell_link_open(shell, err);
        rv = rv < 0 ? rv : flo_renewal_open(shell, err);
    }
    return rv;
}

static void event_drop(struct event *event)
{
    if (event != NULL) {
        event_free(event);
    }
}

void flo_shell_close(struct flo_shell *shell)
{
    size_t i;

    flo_renewal_close(shell);
    flo_shell_job_cancel(shell, 0);
    flo_shell_seats_close(shell);
    flo_hooks_close(shell);
    for (i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        flo_shell_load_cancel(shell, (uint32_t)i, FLO_AGENT_CURRENT);
        flo_shell_load_cancel(shell, (uint32_t)i, FLO_AGENT_BESIDE);
    }
    if (shell->mqtt != NULL) {
        flo_mqtt_close(shell->mqtt, "{\"v\":1,\"online\":false}");
        shell->mqtt = NULL;
    }
    flo_upload_cancel(shell);
    flo_neighbours_close(shell);
    flo_shell_trust_close(shell);
    flo_watch_close(shell);
    flo_control_close(shell->control);
    shell->control = NULL;
    if (shell->serve != NULL) {
        flo_serve_close(shell->serve);
    }
    flo_outbox_db_close(shell->db);
    for (i = 0; i < FLO_COUNT(shell->signals); i++) {
        event_drop(shell->signals[i]);
    }
    event_drop(shell->timer);
    event_drop(shell->heartbeat);
    event_drop(shell->flush);
    event_drop(shell->collect);
    event_drop(shell->report);
    flo_queue_close(&shell->queue);
    flo_identity_deinit(&shell->identity);
    flo_secret_wipe(&shell->proof, sizeof(shell->proof));
    flo_store_close(shell->store);
    flo_settings_deinit(&shell->settings);
    json_decref(shell->local_answer);
    if (shell->base != NULL) {
        event_base_free(shell->base);
    }
}

/* ---- flotilla-agent run ---- */

int flo_run_settings(const struct flo_args *args, struct flo_settings *settings,
                     struct flo_err *err)
{
    return flo_settings_load(flo_args_text(args, "config", NULL),
                             flo_args_text(args, "state-dir", NULL), settings, err);
}

/* Limits for runtimes of the device, where its group was given to us. */
static void prepare_cgroup(void)
{
    struct flo_cgroup own;
    struct flo_err err = {0};
    bool is_leaf;
    int rv = flo_cgroup_own(&own, &is_leaf, &err);

    rv = rv < 0 ? rv : flo_cgroup_prepare(&own, &err);
    flo_log(rv == 0 ? FLO_LOG_INFO : FLO_LOG_DEBUG, "agent",
            rv == 0 ? "runtimes get a memory cgroup each below %s"
                    : "runtimes get no memory cgroup: %s",
            rv == 0 ? own.folder : err.what);
}

int flo_run(void *line, struct flo_err *err)
{
    const struct flo_args *args = line;
    const struct flo_agent_event stop = {.kind = FLO_AGENT_STOP};
    const struct rlimit no_core = {0, 0};
    struct flo_shell *shell = calloc(1, sizeof(*shell));
    struct flo_service *service;
    struct flo_settings settings;
    int rv = shell == NULL ? flo_fail(err, FLO_E_MEMORY, "agent")
                           : flo_run_settings(args, &settings, err);

    if (rv < 0) {
        free(shell);
        return rv;
    }
    if (flo_args_has(args, "check-config")) {
        flo_settings_deinit(&settings);
        free(shell);
        printf("%s is fine\n", flo_args_text(args, "config", FLO_CONFIG_PATH));
        return 0;
    }
    flo_lines_begin();
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &no_core); /* a core could hold a prompt */
    prepare_cgroup();                 /* before there is another process */
    service = flo_service_open();
    rv = flo_shell_open(shell, &settings, false, err);
    if (rv == 0) {
        flo_log(FLO_LOG_INFO, "agent", "flotilla-agent %s, device %s, fleet %s", FLO_VERSION,
                shell->identity.is_there ? shell->identity.device : "(not enrolled)",
                shell->identity.fleet);
        flo_shell_boot(shell);
        flo_service_ready(service, shell->base);
        while (!shell->is_stopping && event_base_loop(shell->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0 &&
               !shell->is_stopping) {
        }
        flo_loop_event(shell, &stop);
        (void)flo_telemetry_close_all(shell);
    }
    flo_service_stop(service);
    flo_shell_close(shell);
    free(shell);
    return rv;
}
