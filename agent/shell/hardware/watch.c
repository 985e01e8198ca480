/* The watch: once a second the sensors are read, and the pure rules of
 * agent/core/memory say what the device gives up (strain.h).
 *
 * A model that stepped down is loaded again, smaller, while nobody asks it
 * anything.  Updates wait while the rules forbid them. */
#include <event2/event.h>
#include <string.h>

#include "agent/shell/hardware/hardware.h"

#define TICK_MS 1000

/* ---- busy or idle ---- */

static bool is_busy(const struct flo_shell *shell)
{
    if (shell->job != NULL || shell->waiting_job != 0) {
        return true;
    }
    for (unsigned i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &shell->agent.models[i];
        struct flo_serve_status status = {0};
        if (model->name[0] == '\0') {
            continue;
        }
        flo_serve_get_status(shell->serve, i, &status);
        if (model->has_execution || status.held > 0 ||
            (status.is_live && status.roles[status.live].requests > 0) ||
            model->engines[FLO_AGENT_CURRENT].state == FLO_ENGINE_LOADING) {
            return true;
        }
    }
    return false;
}

static void look_at_bench(struct flo_shell *shell, uint64_t now)
{
    struct flo_watch *watch = &shell->watch;
    uint64_t after = flo_config_u64(shell->settings.config, "benchmark_after");

    if (is_busy(shell)) {
        watch->busy_ms = now;
        flo_bench_cancel(shell);
    } else if (after != 0 && watch->bench == NULL &&
               shell->machine.bench.memory_bytes_per_s == 0 &&
               now - watch->busy_ms >= after && now >= watch->bench_again_ms) {
        flo_bench_start(shell);
    }
}

/* ---- heat and battery ---- */

static void tell(struct flo_shell *shell, const char *what)
{
    struct flo_err err = {0};

    flo_fail(&err, FLO_E_DEVICE_STRAIN, "%s", what);
    flo_shell_note(shell, "note", &err);
    shell->agent.revision++;
    flo_queue_wake(&shell->queue);
}

static void look_at_power(struct flo_shell *shell, uint64_t now)
{
    struct flo_watch *watch = &shell->watch;
    const struct flo_sensed *s = &watch->sensed;
    struct flo_power_sample sample = {.now_ms = now,
                                      .zone_mc = s->has_zone ? s->zone_mc : 0,
                                      .trip_mc = s->trip_mc,
                                      .is_discharging = s->is_discharging,
                                      .battery_pct = s->battery_pct};
    char what[200];

    uint32_t threads = watch->limits.threads_max;
    bool is_new = flo_power_sample(&watch->power, &sample);
    watch->limits = flo_power_limits(&watch->power, flo_cpus_allowed());
    watch->is_slowed = watch->power.is_hot || watch->power.is_low;
    if (is_new) {
        snprintf(what, sizeof(what),
                 "%s: %lld m°C, battery %d %%: at most %u threads, updates %s",
                 watch->power.is_hot   ? "heat"
                 : watch->power.is_low ? "battery"
                                       : "cool and powered again",
                 (long long)sample.zone_mc, s->battery_pct,
                 watch->limits.threads_max,
                 watch->limits.allows_updates ? "go on" : "wait");
        tell(shell, what);
    }
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        watch->is_due[i] =
            watch->is_due[i] || (threads != watch->limits.threads_max &&
                                 shell->agent.models[i].live >= 0);
    }
}

/* ---- what updates wait for ---- */

static bool answers(const struct flo_serve_status *status, uint64_t now,
                    uint64_t idle_after)
{
    uint32_t requests = status->held;

    for (size_t i = 0; i < FLO_ROLE_COUNT; i++) {
        requests += status->roles[i].requests;
    }
    return requests > 0 ||
           (status->used_ms != 0 && now - status->used_ms < idle_after);
}

static bool is_asked(const struct flo_shell *shell, uint64_t now)
{
    uint64_t after = flo_config_u64(shell->settings.config, "idle_after");

    for (unsigned i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_serve_status status = {0};

        if (shell->agent.models[i].name[0] != '\0') {
            flo_serve_get_status(shell->serve, i, &status);
            if (answers(&status, now, after)) {
                return true;
            }
        }
    }
    return false;
}

static uint32_t bit(enum flo_wait wait, bool is_set)
{
    return is_set ? FLO_WAIT_BIT(wait) : 0;
}

static uint32_t look_around(struct flo_shell *shell, uint64_t now)
{
    struct flo_watch *watch = &shell->watch;

    return bit(FLO_WAIT_BATTERY, !watch->limits.allows_updates) |
           bit(FLO_WAIT_MAINS, watch->sensed.is_discharging) |
           bit(FLO_WAIT_COOL, watch->power.is_hot) |
           bit(FLO_WAIT_IDLE, is_asked(shell, now)) |
           bit(FLO_WAIT_UNMETERED,
               flo_metered_look(&watch->metered, shell->settings.config, now));
}

static void look_at_waits(struct flo_shell *shell, uint64_t now)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_CONDITIONS,
                                    .lacks = look_around(shell, now)};

    if (event.lacks != shell->watch.lacks &&
        flo_queue_offer(&shell->queue, &event)) {
        shell->watch.lacks = event.lacks; /* else in a second */
    }
}

/* ---- memory ---- */

/* Rungs of the models as they are here now. */
static size_t gather(struct flo_shell *shell,
                     struct flo_memory_model models[FLO_AGENT_MODELS_MAX],
                     uint32_t places[FLO_AGENT_MODELS_MAX])
{
    size_t count = 0;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &shell->agent.models[i];
        if (model->name[0] == '\0' || model->live < 0) {
            continue;
        }
        memset(&models[count], 0, sizeof(models[count]));
        memcpy(models[count].name, model->name, sizeof(models[count].name));
        models[count].is_pinned = true; /* none becomes on-demand here */
        models[count].weight = FLO_MEMORY_WEIGHT_STANDARD;
        models[count].rungs = FLO_MEMORY_RUNGS;
        models[count].rung_min = shell->watch.rungs[i];
        places[count++] = i;
    }
    return count;
}

static void step(struct flo_shell *shell, uint32_t model, uint32_t rung,
                 enum flo_strain_step step_taken)
{
    struct flo_watch *watch = &shell->watch;
    char what[200];

    watch->rungs[model] = rung;
    watch->is_due[model] = true;
    snprintf(what, sizeof(what), "%s (%s %u.%02u %%): %s goes to rung %u",
             step_taken == FLO_STRAIN_UP ? "memory is calm again"
                                         : "memory is short",
             flo_strain_cause_word(watch->strain.cause),
             watch->sensed.psi_memory / 100, watch->sensed.psi_memory % 100,
             shell->agent.models[model].name, rung);
    tell(shell, what);
}

static void look_at_memory(struct flo_shell *shell, uint64_t now)
{
    struct flo_watch *watch = &shell->watch;
    const struct flo_strain_facts facts = {0};
    struct flo_memory_model models[FLO_AGENT_MODELS_MAX];
    uint32_t places[FLO_AGENT_MODELS_MAX];
    struct flo_strain_sample sample = {
        .now_ms = now,
        .psi_centipercent = watch->sensed.psi_memory,
        .cgroup_bytes = watch->sensed.cgroup_bytes,
        .cgroup_bytes_max = watch->sensed.cgroup_bytes_max};
    size_t count = gather(shell, models, places);
    size_t which = 0;
    enum flo_strain_step taken;

    if (count == 0) {
        return;
    }
    taken = flo_strain_sample(&watch->strain, &sample, &facts, models, count,
                              shell->machine.memory_bytes, &which);
    if (taken == FLO_STRAIN_RUNG || taken == FLO_STRAIN_UP) {
        step(shell, places[which], models[which].rung_min, taken);
    }
}

/* An engine's cache and sessions are fixed when it opens: it is loaded again,
 * while it has no request and its model no execution. */
static void load_again(struct flo_shell *shell, uint32_t i)
{
    const struct flo_agent_model *model = &shell->agent.models[i];
    struct flo_agent_event event = {
        .kind = FLO_AGENT_LOST, .model = i, .role = FLO_AGENT_CURRENT};
    struct flo_serve_status status = {0};

    flo_serve_get_status(shell->serve, i, &status);
    if (model->has_execution || model->live != FLO_AGENT_CURRENT ||
        !status.is_live || status.held > 0 ||
        status.roles[status.live].requests > 0 ||
        flo_queue_has_lost(&shell->queue, i, FLO_AGENT_CURRENT)) {
        return;
    }
    shell->watch.is_due[i] = false;
    flo_serve_unload(shell->serve, i, FLO_ROLE_CURRENT, true);
    event.error.code = FLO_E_DEVICE_STRAIN;
    snprintf(event.error.what, sizeof(event.error.what),
             "loaded again at rung %u", shell->watch.rungs[i]);
    flo_queue_post(&shell->queue, &event);
}

/* ---- the tick ---- */

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;
    uint64_t now = flo_now_ms();

    (void)fd, (void)events;
    flo_sensors_read(flo_sensors_root(), &shell->watch.sensed);
    look_at_power(shell, now);
    look_at_memory(shell, now);
    look_at_waits(shell, now);
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (shell->watch.is_due[i]) {
            load_again(shell, i);
        }
    }
    look_at_bench(shell, now);
}

int flo_watch_open(struct flo_shell *shell, struct flo_err *err)
{
    struct flo_watch *watch = &shell->watch;
    struct timeval second = {.tv_sec = TICK_MS / 1000};

    watch->busy_ms = flo_now_ms();
    watch->limits = flo_power_limits(&watch->power, flo_cpus_allowed());
    flo_sensors_read(flo_sensors_root(), &watch->sensed);
    look_at_power(shell, watch->busy_ms);
    watch->lacks = look_around(shell, watch->busy_ms);
    flo_bench_load(shell);
    watch->tick = event_new(shell->base, -1, EV_PERSIST, on_tick, shell);
    return watch->tick != NULL && event_add(watch->tick, &second) == 0
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "watch");
}

void flo_watch_close(struct flo_shell *shell)
{
    flo_bench_cancel(shell);
    flo_metered_end(&shell->watch.metered);
    if (shell->watch.tick != NULL) {
        event_free(shell->watch.tick);
        shell->watch.tick = NULL;
    }
}
