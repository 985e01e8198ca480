/* The running agent: open everything, boot the core, turn the loop, stop
 * within seconds.  The order matters: lock, records, engines, local API, and
 * the network last, so that a device without one serves all the same. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "agent/shell/link/link.h"
#include "agent/shell/local/local.h"
#include "agent/shell/queue/timers.h"
#include "agent/shell/run.h"
#include "base/host/service.h"

/* ---- what the disk says ------------------------------------------------- */

/* A write that fails at the start can wait for the next one: the record in
 * memory serves. */
static void write_slots(struct flo_shell *shell)
{
    struct flo_err err = {0};

    if (flo_store_slots_write(shell->store, &shell->models[0].slots, &err) <
        0) {
        flo_log_err(FLO_LOG_ERROR, "store", &err);
    }
}

/* Both slot records are gone: find a whole release whose signature holds. */
static int recover(struct flo_shell *shell, const char *model,
                   struct flo_err *err)
{
    static struct flo_release_verified verified; /* large */
    struct flo_buf text = {.bytes_max = FLO_ENVELOPE_BYTES_MAX};
    int rv = flo_store_slots_recover(shell->store, model,
                                     &shell->models[0].slots, err);

    if (rv == 0) {
        rv = flo_store_envelope_load(
            shell->store, &shell->models[0].slots.current, &text, err);
    }
    if (rv == 0 && shell->identity.trust == NULL) {
        rv = flo_fail(err, FLO_E_SIG_UNKNOWN_KEY, "no trusted keys");
    }
    if (rv == 0) {
        rv = flo_release_verify(text.data, text.bytes, shell->identity.trust,
                                &verified, err);
    }
    flo_buf_deinit(&text);
    if (rv == 0 &&
        !flo_digest_equal(&verified.digest, &shell->models[0].slots.current)) {
        rv = flo_fail(err, FLO_E_TARGET_HASH,
                      "the envelope on disk is of another release");
    }
    flo_release_verified_deinit(&verified);
    if (rv == 0) {
        memset(&shell->models[0].slots.previous, 0,
               sizeof(shell->models[0].slots.previous));
        shell->models[0].slots.previous_number = 0;
        flo_log(FLO_LOG_WARN, "store", "slots of %s were damaged, recovered",
                model);
        write_slots(shell);
    }
    return rv;
}

/* Choose among several records: the model that serves here, else a damaged one
 * that may have served, else the one with the newest order.  A record that only
 * keeps statements about another model takes nothing away. */
static size_t choose_model(struct flo_shell *shell, size_t count,
                           char (*models)[FLO_NAME_MAX + 1])
{
    struct flo_slots slots;
    uint64_t newest = 0;
    size_t damaged = count;
    size_t best = 0;

    for (size_t i = 0; i < count; i++) {
        int rv = flo_store_slots_read(shell->store, models[i], &slots, NULL);
        if (rv < 0) {
            damaged = damaged < count ? damaged : i;
        } else if (!flo_digest_is_zero(&slots.current) ||
                   !flo_digest_is_zero(&slots.candidate)) {
            return i;
        } else if (slots.stated.number > newest) {
            newest = slots.stated.number;
            best = i;
        }
    }
    return damaged < count ? damaged : best;
}

static int read_records(struct flo_shell *shell, struct flo_err *err)
{
    char models[FLO_MODELS_KEPT_MAX + 1][FLO_NAME_MAX + 1];
    struct flo_err why = {0};
    const char *model;
    size_t count;
    int rv = flo_shell_device_read(shell, err);

    if (rv < 0 && shell->is_local) {
        return rv;
    }
    count = flo_store_models(shell->store, models, FLO_COUNT(models));
    if (count == 0) {
        return 0;
    }
    model = models[choose_model(shell, count, models)];
    rv =
        flo_store_slots_read(shell->store, model, &shell->models[0].slots, err);
    if (rv == FLO_E_STATE_SLOT) {
        rv = recover(shell, model, &why);
        if (rv < 0) {
            flo_log_err(FLO_LOG_ERROR, "store", &why);
            memset(&shell->models[0].slots, 0, sizeof(shell->models[0].slots));
            return 0; /* serves nothing until the next release */
        }
    }
    if (rv == 0 && shell->models[0].slots.model[0] == '\0') {
        memcpy(shell->models[0].slots.model, model,
               sizeof(shell->models[0].slots.model));
    }
    if (rv == 0 && flo_slots_heal(&shell->models[0].slots)) {
        write_slots(shell);
    }
    return rv;
}

/* The device was enrolled again, perhaps in another fleet: earlier rollouts do
 * not mean it any more.  A candidate on trial serves on, and gives way to any
 * order.  A candidate that only waits is dropped. */
static void enrolled_again(struct flo_shell *shell)
{
    struct flo_slots *slots = &shell->models[0].slots;

    flo_log(FLO_LOG_INFO, "agent", "enrolled again as device %s, fleet %s",
            shell->identity.device, shell->identity.fleet);
    if (slots->stated.outcome != FLO_STATED_DONE) { /* told again */
        slots->stated.outcome = FLO_STATED_OPEN;
    }
    if (slots->phase == FLO_SLOT_STAGED) {
        flo_slots_clear_candidate(slots);
        write_slots(shell);
    } else if (slots->phase == FLO_SLOT_TRIAL) {
        snprintf(slots->rollout, sizeof(slots->rollout), "enroll");
        slots->order[0] = '\0';
        slots->order_seq = 0;
        write_slots(shell);
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
        enrolled_again(shell);
    }
    flo_outbox_db_enrolled(shell->db, identity->device);
    flo_shell_device_move(shell);
}

/* ---- boot --------------------------------------------------------------- */

/* The candidate's execution, as far as the slot record knows it. */
static void execution_of_slots(const struct flo_slots *slots,
                               struct flo_agent_execution *out)
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
    out->state = slots->phase == FLO_SLOT_TRIAL ? FLO_EXECUTION_SOAKING
                                                : FLO_EXECUTION_STAGED;
    memcpy(out->rollout, slots->rollout, sizeof(out->rollout));
    memcpy(out->order, slots->order, sizeof(out->order));
    snprintf(out->id, sizeof(out->id), "%s.%u", out->rollout, out->attempt);
}

/* The trial of the record succeeded, as was told: only the newer record, now
 * damaged, named it current. */
static bool commit_again(struct flo_slots *slots, bool has_ended,
                         enum flo_execution end)
{
    return has_ended && end == FLO_EXECUTION_SUCCEEDED &&
           flo_slots_commit(slots, NULL) == 0;
}

static void boot_execution(struct flo_shell *shell,
                           struct flo_agent_booted *booted,
                           struct flo_agent_execution *open)
{
    struct flo_slots *slots = &shell->models[0].slots;
    bool has_candidate = !flo_digest_is_zero(&slots->candidate);
    bool has_open = flo_stories_open(shell->db, open);
    enum flo_execution end;
    uint32_t attempts;

    if (has_open && has_candidate &&
        !flo_digest_equal(&open->release.digest, &slots->candidate)) {
        flo_slots_clear_candidate(slots); /* of one that was superseded */
        write_slots(shell);
        has_candidate = false;
    }
    if (!has_open && has_candidate) {
        execution_of_slots(slots, open);
        flo_shell_ref(shell, &slots->candidate, &open->release);
        (void)flo_stories_last(shell->db, open->rollout, &attempts,
                               &booted->has_ended, &end);
        has_open = !commit_again(slots, booted->has_ended, end);
        if (!has_open) {
            booted->has_ended = false;
            write_slots(shell);
        }
    }
    booted->open = has_open ? open : NULL;
}

static void boot_model(struct flo_shell *shell, struct flo_agent_booted *booted,
                       struct flo_agent_execution *open)
{
    struct flo_agent_slots *slots = &booted->slots;
    const struct flo_slots *record = &shell->models[0].slots;

    memcpy(booted->name, record->model, sizeof(booted->name));
    boot_execution(shell, booted, open);
    flo_shell_ref(shell, &record->current, &slots->current);
    flo_shell_ref(shell, &record->previous, &slots->previous);
    flo_shell_ref(shell, &record->candidate, &slots->candidate);
    slots->is_trial = record->phase == FLO_SLOT_TRIAL;
    slots->tries_left = record->tries_left;
    booted->fits_both =
        flo_shell_fits_both(shell, &record->current, &record->candidate);
    shell->models[0].telemetry.release = slots->current;
}

void flo_shell_boot(struct flo_shell *shell)
{
    static struct flo_agent_execution open;
    struct flo_agent_booted booted = {0};
    struct flo_agent_pauses pauses;
    struct flo_agent_event event = {.kind = FLO_AGENT_BOOT};

    if (shell->models[0].slots.model[0] != '\0') {
        boot_model(shell, &booted, &open);
        event.boot.model_count = 1;
    }
    event.boot.models = &booted;
    event.boot.is_frozen = shell->device.is_frozen;
    flo_shell_pauses(shell, &pauses);
    event.boot.pauses = &pauses;
    flo_random(&event.boot.seed, sizeof(event.boot.seed));
    flo_loop_event(shell, &event);
}

/* ---- open --------------------------------------------------------------- */

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
    flo_shell_link_flush(shell);
}

static void on_collect(evutil_socket_t fd, short events, void *context)
{
    (void)fd;
    (void)events;
    flo_loop_collect(context);
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
    if (!shell->device.is_frozen) {
        flo_loop_event(shell, &event);
    }
    flo_shell_clock_tell(shell);
    if (shell->identity.is_there && flo_shell_link_open(shell, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "mqtt", &err);
    }
}

static void on_heartbeat(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)fd;
    (void)events;
    if (flo_digest_is_zero(&shell->models[0].telemetry.release.digest)) {
        flo_shell_link_reported(shell); /* no window tells that it lives */
    }
    flo_telemetry_close(shell);
    device_again(shell);
    flo_shell_records_write(shell);
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
    shell->heartbeat =
        event_new(shell->base, -1, EV_PERSIST, on_heartbeat, shell);
    shell->flush = evtimer_new(shell->base, on_flush, shell);
    shell->collect = evtimer_new(shell->base, on_collect, shell);
    if (shell->timer == NULL || shell->heartbeat == NULL ||
        shell->flush == NULL || shell->collect == NULL ||
        flo_loop_open(shell, err) < 0) {
        return flo_fail(err, FLO_E_MEMORY, "timers");
    }
    for (i = 0; i < FLO_COUNT(signals); i++) {
        shell->signals[i] =
            evsignal_new(shell->base, signals[i], on_signal, shell);
        if (shell->signals[i] == NULL ||
            event_add(shell->signals[i], NULL) != 0) {
            return flo_fail(err, FLO_E_MEMORY, "signals");
        }
    }
    flo_shell_set_heartbeat(shell, first_heartbeat_ms(shell));
    return 0;
}

static void read_boot_id(struct flo_shell *shell)
{
    FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

    if (file == NULL ||
        fgets(shell->boot_id, sizeof(shell->boot_id), file) == NULL) {
        flo_uuid_make(shell->boot_id);
    }
    if (file != NULL) {
        fclose(file);
    }
    shell->boot_id[36] = '\0';
}

int flo_shell_open(struct flo_shell *shell, const struct flo_settings *settings,
                   bool is_local, struct flo_err *err)
{
    int rv;

    shell->settings = *settings;
    shell->is_local = is_local;
    shell->models[0].telemetry.begin_ms = flo_now_ms();
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
        rv = flo_outbox_db_open(
            shell->settings.state_dir,
            flo_config_u64(shell->settings.config, "outbox_limit"), &shell->db,
            err);
    }
    if (rv == 0) {
        check_past(shell);
        flo_shell_clock_start(shell);
        rv = open_events(shell, err);
    }
    if (rv == 0) {
        rv = flo_shell_serve_open(shell, err);
    }
    if (rv == 0 && !is_local) {
        rv = flo_control_open(shell, err);
    }
    if (rv == 0 && !is_local && shell->identity.is_there &&
        !shell->device_is_unread) {
        rv = flo_shell_link_open(shell, err);
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

    flo_shell_job_cancel(shell, 0);
    for (i = 0; i < FLO_AGENT_ROLES; i++) {
        flo_shell_load_cancel(shell, (enum flo_agent_role)i);
    }
    if (shell->mqtt != NULL) {
        flo_mqtt_close(shell->mqtt, "{\"v\":1,\"online\":false}");
        shell->mqtt = NULL;
    }
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
    flo_queue_close(&shell->queue);
    flo_identity_deinit(&shell->identity);
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
                             flo_args_text(args, "state-dir", NULL), settings,
                             err);
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
    signal(SIGPIPE, SIG_IGN);
    setrlimit(RLIMIT_CORE, &no_core); /* it could hold a prompt */
    service = flo_service_open();
    rv = flo_shell_open(shell, &settings, false, err);
    if (rv == 0) {
        flo_log(FLO_LOG_INFO, "agent", "flotilla-agent %s, device %s, fleet %s",
                FLO_VERSION,
                shell->identity.is_there ? shell->identity.device
                                         : "(not enrolled)",
                shell->identity.fleet);
        flo_shell_boot(shell);
        flo_service_ready(service, shell->base);
        while (!shell->is_stopping &&
               event_base_loop(shell->base, EVLOOP_NO_EXIT_ON_EMPTY) >= 0 &&
               !shell->is_stopping) {
        }
        flo_loop_event(shell, &stop);
        flo_telemetry_close(shell);
    }
    flo_service_stop(service);
    flo_shell_close(shell);
    free(shell);
    return rv;
}
