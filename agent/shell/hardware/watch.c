/* Watch: reads the sensors once a second.  The pure rules of agent/core/memory
 * decide what the device gives up (pressure.h).
 *
 * A model at a new degradation level is loaded again while it has no requests.
 * Updates wait while the rules forbid them. */
#include <event2/event.h>
#include <string.h>

#include <flotilla/errors/device.h>

#include "agent/shell/hardware/memory.h"

#define TICK_MS 1000

/* ---- busy or idle ---- */

void flo_hardware_look(struct flo_shell *shell)
{
    struct flo_machine *machine = &shell->hardware->watch.machine;

    flo_machine_look(&shell->settings, machine);
    flo_accelerators_look(flo_sensors_root(), machine);
}

void flo_hardware_benchmarks(struct flo_shell *shell, bool is_benchmarking)
{
    shell->hardware->is_benchmarking = is_benchmarking;
}

static bool is_busy(const struct flo_shell *shell)
{
    if (flo_shell_job_is_open(shell) || shell->hardware->is_benchmarking) {
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
    uint64_t after = flo_config_u64(shell->settings.config, "benchmark_after");

    if (is_busy(shell)) {
        shell->hardware->busy_ms = now;
        flo_bench_cancel(shell);
    } else if (after != 0 && shell->hardware->bench == NULL &&
               shell->hardware->watch.machine.bench.memory_bytes_per_s == 0 &&
               now - shell->hardware->busy_ms >= after && now >= shell->hardware->bench_again_ms) {
        flo_bench_start(shell);
    }
}

/* Measures a variant that may be faster than the one that serves.  That needs
 * memory and heat to spare, and must not disturb a request. */
static void look_at_speeds(struct flo_shell *shell, uint64_t now)
{
    const struct flo_watch *watch = &shell->hardware->watch;
    uint64_t after = flo_config_u64(shell->settings.config, "benchmark_after");
    bool is_calm = watch->pressure.cause == FLO_PRESSURE_CALM && !watch->pressure.is_short &&
                   watch->limits.set == 0;
    bool has_begun = after == 0 || !is_calm || shell->hardware->bench != NULL ||
                     now - shell->hardware->busy_ms < after;

    for (uint32_t i = 0; !has_begun && i < FLO_AGENT_MODELS_MAX; i++) {
        has_begun = flo_variants_measure(shell, i, now);
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

static void say_power(struct flo_shell *shell, int64_t zone_mc)
{
    const struct flo_watch *watch = &shell->hardware->watch;
    char what[200], battery[24] = "none";

    if (watch->sensed.battery_pct >= 0) {
        snprintf(battery, sizeof(battery), "%d %%", watch->sensed.battery_pct);
    }
    snprintf(what, sizeof(what), "%s: %lld m°C, battery %s: at most %u threads, updates %s",
             watch->power.is_hot   ? "heat"
             : watch->power.is_low ? "battery"
                                   : "cool and powered again",
             (long long)zone_mc, battery, watch->limits.threads_max,
             flo_pressure_holds(&watch->limits, FLO_PRESSURE_LIMIT_UPDATES) ? "wait" : "go on");
    tell(shell, what);
}

static void look_at_power(struct flo_shell *shell, uint64_t now)
{
    struct flo_watch *watch = &shell->hardware->watch;
    const struct flo_sensed *s = &watch->sensed;
    struct flo_power_sample sample = {.now_ms = now,
                                      .zone_mc = s->has_zone ? s->zone_mc : 0,
                                      .trip_mc = s->trip_mc,
                                      .is_discharging = s->is_discharging,
                                      .battery_pct = s->battery_pct};
    uint32_t threads = watch->limits.threads_max;
    bool is_new = flo_power_sample(&watch->power, &sample);

    watch->limits = flo_pressure_limits(&watch->pressure, &watch->power, flo_cpus_allowed());
    if (is_new) {
        say_power(shell, sample.zone_mc);
    }
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        shell->hardware->is_due[i] =
            shell->hardware->is_due[i] ||
            (threads != watch->limits.threads_max && shell->agent.models[i].live >= 0);
    }
}

/* ---- limits ---- */

void flo_watch_limits(struct flo_shell *shell)
{
    struct flo_watch *watch = &shell->hardware->watch;
    struct flo_serve_limits limits = {
        .holds_batch = flo_pressure_holds(&watch->limits, FLO_PRESSURE_LIMIT_BATCH),
        .refuses_loads = flo_pressure_holds(&watch->limits, FLO_PRESSURE_LIMIT_LOADS),
        .keeps_prompts = flo_shell_prompts_stay(shell),
        .has_zone = watch->sensed.has_zone,
        .zone_mc = watch->sensed.zone_mc,
        .trip_mc = watch->sensed.trip_mc,
        .has_battery = watch->sensed.battery_pct >= 0,
        .is_discharging = watch->sensed.is_discharging,
        .battery_pct = watch->sensed.battery_pct};

    _Static_assert(sizeof(limits.text) == FLO_PRESSURE_LIMITS_TEXT, "it holds every text");
    flo_pressure_limits_text(&watch->limits, limits.text);
    flo_serve_limit(shell->serve, &limits);
    if (watch->limits.set != shell->hardware->limits_told) {
        shell->hardware->limits_told = watch->limits.set;
        shell->agent.revision++;
        flo_queue_wake(&shell->queue);
    }
}

/* ---- what updates wait for ---- */

static bool answers(const struct flo_serve_status *status, uint64_t now, uint64_t idle_after)
{
    uint32_t requests = status->held;

    for (size_t i = 0; i < FLO_ROLE_COUNT; i++) {
        requests += status->roles[i].requests;
    }
    return requests > 0 || (status->used_ms != 0 && now - status->used_ms < idle_after);
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
    struct flo_watch *watch = &shell->hardware->watch;

    return bit(FLO_WAIT_BATTERY, flo_pressure_holds(&watch->limits, FLO_PRESSURE_LIMIT_UPDATES)) |
           bit(FLO_WAIT_MAINS, watch->sensed.is_discharging) |
           bit(FLO_WAIT_COOL, watch->power.is_hot) | bit(FLO_WAIT_IDLE, is_asked(shell, now)) |
           bit(FLO_WAIT_NEWEST, shell->stale[0] != '\0') |
           bit(FLO_WAIT_UNMETERED,
               flo_metered_look(&shell->hardware->metered, shell->settings.config, now));
}

static void look_at_waits(struct flo_shell *shell, uint64_t now)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_CONDITIONS, .lacks = look_around(shell, now)};

    if (event.lacks != shell->hardware->watch.lacks && flo_queue_offer(&shell->queue, &event)) {
        /* If the queue is full, the next second tries again. */
        shell->hardware->watch.lacks = event.lacks;
    }
}

/* ---- memory ---- */

/* Collects the only model of a device, for which no memory plan exists.  The
 * model may be degraded but never leaves memory. */
static size_t gather_one(const struct flo_shell *shell, struct flo_memory_model *models,
                         uint32_t *places)
{
    size_t count = 0;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &shell->agent.models[i];
        if (model->name[0] == '\0' || model->live < 0) {
            continue;
        }
        memset(&models[count], 0, sizeof(models[count]));
        memcpy(models[count].name, model->name, sizeof(models[count].name));
        models[count].is_pinned = true;
        models[count].weight = FLO_MEMORY_WEIGHT_STANDARD;
        models[count].rungs = FLO_MEMORY_RUNGS;
        models[count].rung_min = shell->hardware->watch.rungs[i];
        places[count++] = i;
    }
    return count;
}

static bool has_plan(const struct flo_shell *shell)
{
    return shell->plan->count > 1 && shell->plan->is_planned;
}

/* Collects the models on the device with their numbers for the planner.
 * Returns how many there are. */
static size_t gather(const struct flo_shell *shell,
                     struct flo_memory_model models[FLO_MEMORY_MODELS_MAX],
                     uint32_t places[FLO_MEMORY_MODELS_MAX])
{
    const struct flo_shell_plan *plan = shell->plan;

    if (plan->count < 2) {
        return gather_one(shell, models, places);
    }
    if (!plan->is_planned) {
        return 0; /* the first memory plan comes soon */
    }
    for (size_t i = 0; i < plan->count; i++) {
        models[i] = plan->models[i];
        places[i] = plan->places[i];
        models[i].rung_min = shell->hardware->watch.rungs[places[i]];
        models[i].is_demoted = shell->hardware->watch.is_demoted[places[i]];
    }
    return plan->count;
}

/* Tells whether an on-demand model is in memory without a request. */
static bool is_idle(const struct flo_shell *shell, uint32_t i)
{
    const struct flo_agent_model *model = &shell->agent.models[i];
    struct flo_serve_status status;

    if (!model->is_on_demand || model->live == -1 || !flo_agent_may_rest(&shell->agent, i)) {
        return false;
    }
    flo_serve_get_status(shell->serve, i, &status);
    return status.held == status.held_batch && status.roles[FLO_ROLE_CURRENT].requests == 0 &&
           status.roles[FLO_ROLE_CANDIDATE].requests == 0;
}

static bool is_warm(const struct flo_shell *shell, uint32_t i)
{
    return flo_agent_has_warm(&shell->agent.models[i]) && !shell->models[i].hosting.is_shared;
}

typedef bool chooser(const struct flo_shell *shell, uint32_t i);

static bool is_any(const struct flo_shell *shell, chooser *is_it)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (is_it(shell, i)) {
            return true;
        }
    }
    return false;
}

static void post_all(struct flo_shell *shell, chooser *is_it, enum flo_agent_event_kind kind)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_agent_event event = {.kind = kind, .model = i};

        event.error.code = FLO_E_DEVICE_STRAIN;
        if (is_it(shell, i) && !flo_queue_offer(&shell->queue, &event)) {
            return; /* the queue is full, so the next call tries again */
        }
    }
}

static void carry_out(struct flo_shell *shell, enum flo_pressure_step step,
                      const struct flo_memory_model *model, uint32_t place)
{
    struct flo_watch *watch = &shell->hardware->watch;

    if (step == FLO_PRESSURE_EVICT) {
        post_all(shell, is_idle, FLO_AGENT_EVICT);
    } else if (step == FLO_PRESSURE_PREVIOUS) {
        post_all(shell, is_warm, FLO_AGENT_PRESSURE);
    } else if (step == FLO_PRESSURE_SMALLER || step == FLO_PRESSURE_LARGER) {
        flo_variants_ask(shell, place, step == FLO_PRESSURE_SMALLER);
    } else {
        watch->rungs[place] = model->rung_min;
        watch->is_demoted[place] = model->is_demoted;
        if (has_plan(shell)) {
            flo_shell_plan_again(shell);
        } else {
            shell->hardware->is_due[place] = true;
        }
    }
}

static void look_at_memory(struct flo_shell *shell, uint64_t now)
{
    struct flo_watch *watch = &shell->hardware->watch;
    struct flo_pressure_facts facts = {.has_idle = is_any(shell, is_idle),
                                       .has_previous = is_any(shell, is_warm)};
    struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
    uint32_t places[FLO_MEMORY_MODELS_MAX];
    struct flo_pressure_sample sample = {.now_ms = now,
                                         .psi_centipercent = watch->sensed.psi_memory,
                                         .cgroup_bytes = watch->sensed.cgroup_bytes,
                                         .cgroup_bytes_max = watch->sensed.cgroup_bytes_max};
    size_t count = gather(shell, models, places);
    size_t which = FLO_MEMORY_MODELS_MAX;
    enum flo_pressure_step step;
    bool is_about_one;
    char what[FLO_PRESSURE_TEXT];

    flo_variants_look(shell, places, count, now, &facts);
    step = flo_pressure_sample(&watch->pressure, &sample, &facts, models, count,
                               shell->hardware->watch.machine.memory_bytes, &which);
    is_about_one = which < count;
    if (step != FLO_PRESSURE_NONE) {
        carry_out(shell, step, is_about_one ? &models[which] : NULL,
                  is_about_one ? places[which] : 0);
        flo_pressure_say(&sample, step, is_about_one ? &models[which] : NULL, what);
        tell(shell, what);
    }
}

/* Loads a model again, because an engine's cache and sessions are fixed when it
 * opens.  The model must have no request and no execution. */
static void load_again(struct flo_shell *shell, uint32_t i)
{
    const struct flo_agent_model *model = &shell->agent.models[i];
    struct flo_agent_event event = {.kind = FLO_AGENT_LOST, .model = i, .role = FLO_AGENT_CURRENT};
    struct flo_serve_status status = {0};

    flo_serve_get_status(shell->serve, i, &status);
    if (model->has_execution || model->live != FLO_AGENT_CURRENT || !status.is_live ||
        status.held > status.held_batch || status.roles[status.live].requests > 0 ||
        flo_queue_has_lost(&shell->queue, i, FLO_AGENT_CURRENT)) {
        return;
    }
    shell->hardware->is_due[i] = false;
    flo_serve_unload(shell->serve, i, FLO_ROLE_CURRENT, true);
    event.error.code = FLO_E_DEVICE_STRAIN;
    snprintf(event.error.what, sizeof(event.error.what), "loaded again at rung %u",
             shell->hardware->watch.rungs[i]);
    flo_queue_post(&shell->queue, &event);
}

/* ---- the tick ---- */

static void on_tick(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;
    uint64_t now = flo_now_ms();

    (void)fd, (void)events;
    flo_sensors_read(flo_sensors_root(), &shell->hardware->watch.sensed);
    look_at_memory(shell, now);
    look_at_power(shell, now);
    flo_watch_limits(shell);
    look_at_waits(shell, now);
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (shell->hardware->is_due[i]) {
            load_again(shell, i);
        }
    }
    look_at_bench(shell, now);
    look_at_speeds(shell, now);
}

int flo_watch_open(struct flo_shell *shell, struct flo_err *err)
{
    struct flo_watch *watch = &shell->hardware->watch;
    struct timeval second = {.tv_sec = TICK_MS / 1000};

    shell->hardware->busy_ms = flo_now_ms();
    watch->limits.threads_max = flo_cpus_allowed();
    flo_sensors_read(flo_sensors_root(), &watch->sensed);
    look_at_power(shell, shell->hardware->busy_ms);
    watch->lacks = look_around(shell, shell->hardware->busy_ms);
    flo_bench_load(shell);
    flo_speeds_load(shell);
    shell->hardware->tick = event_new(shell->base, -1, EV_PERSIST, on_tick, shell);
    watch->is_on = shell->hardware->tick != NULL;
    return watch->is_on && event_add(shell->hardware->tick, &second) == 0
               ? 0
               : flo_fail(err, FLO_E_MEMORY, "watch");
}

void flo_watch_close(struct flo_shell *shell)
{
    flo_bench_cancel(shell);
    flo_metered_end(&shell->hardware->metered);
    flo_event_drop(&shell->hardware->tick);
}
