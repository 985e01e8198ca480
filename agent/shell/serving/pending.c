/* Pending loads: lets a load wait until the memory plan is known and memory is
 * free.
 *
 * The plan is made for the releases on the device, and again when they change.
 * A model that stays in memory has its own part of the memory.  On-demand
 * models share the rest, the pool: a requested one makes others leave
 * (agent/core/memory), in the order of the requests. */
#include <assert.h>
#include <string.h>

#include "agent/shell/queue/timers.h"
#include "agent/shell/serving/state.h"

/* time between two checks whether an engine that ends has freed its memory */
#define ENDING_MS 5
#define BUSY_MS 50 /* time between two checks whether a model can be unloaded */

static void look_in(struct flo_shell *shell, unsigned ms)
{
    if (shell->serving->memory.timer != NULL &&
        !evtimer_pending(shell->serving->memory.timer, NULL)) {
        flo_shell_later(shell->serving->memory.timer, ms);
    }
}

static void on_timer(evutil_socket_t fd, short events, void *context)
{
    struct flo_shell *shell = context;

    (void)fd, (void)events;
    flo_queue_wake(&shell->queue);
}

/* ---- the plan ---- */

static void post(struct flo_shell *shell, uint32_t model, enum flo_agent_event_kind kind,
                 bool is_on_demand, bool is_other_rung)
{
    const struct flo_agent_event event = {
        .kind = kind, .model = model, .is_on_demand = is_on_demand, .is_other_rung = is_other_rung};

    if (!flo_queue_offer(&shell->queue, &event)) {
        look_in(shell, BUSY_MS); /* the queue is full, so the event is sent again later */
    }
}

/* Tells whether the current engine was loaded at another degradation level than
 * the plan has. */
static bool is_at_other_rung(const struct flo_shell *shell, size_t index)
{
    uint32_t place = shell->serving->memory.known.places[index];
    const struct flo_agent_model *model = &shell->agent.models[place];

    return shell->serving->memory.known.count > 1 && model->live == FLO_AGENT_CURRENT &&
           !model->has_execution && flo_agent_may_rest(&shell->agent, place) &&
           shell->models[place].pending[FLO_AGENT_CURRENT].rung !=
               shell->serving->memory.known.plan.models[index].rung;
}

static void tell(struct flo_shell *shell, size_t index)
{
    uint32_t place = shell->serving->memory.known.places[index];
    const struct flo_agent_model *model = &shell->agent.models[place];
    bool is_on_demand = !shell->serving->memory.known.plan.models[index].is_resident;
    bool is_other = is_at_other_rung(shell, index);

    if (model->name[0] == '\0') {
        return;
    }
    if (model->is_on_demand != is_on_demand || (is_other && !is_on_demand)) {
        post(shell, place, FLO_AGENT_PLACED, is_on_demand, is_other);
    } else if (is_other) {
        post(shell, place, FLO_AGENT_EVICT, false, false);
    }
}

static void keep_resident(struct flo_memory_plan *plan)
{
    plan->models[0].is_resident = true;
    plan->models[0].rung = 0;
}

static void log_plan(const struct flo_shell_memory *memory)
{
    for (size_t i = 0; i < memory->known.count; i++) {
        const struct flo_memory_model *model = &memory->known.models[i];
        uint32_t rung = memory->known.plan.models[i].rung;
        flo_log(FLO_LOG_INFO, "memory", "%s %s, rung %u: %llu bytes of its own, %llu mapped",
                model->name, memory->known.plan.models[i].is_resident ? "stays" : "is on demand",
                rung, (unsigned long long)model->private_bytes[rung],
                (unsigned long long)model->files[0].bytes);
    }
    flo_log(FLO_LOG_INFO, "memory", "%llu of %llu bytes planned, %llu of them for models on demand",
            (unsigned long long)memory->known.plan.planned,
            (unsigned long long)memory->known.plan.budget,
            (unsigned long long)memory->known.plan.pool);
}

/* Makes the memory plan.  Returns false when some model has not been measured
 * yet. */
static bool plan(struct flo_shell *shell)
{
    struct flo_shell_memory *memory = &shell->serving->memory;
    struct flo_err err = {0};

    memory->known.is_planned = flo_shell_memory_inputs(shell);
    if (!memory->known.is_planned) {
        return false;
    }
    if (flo_memory_plan(memory->known.models, memory->known.count,
                        shell->watch->machine.memory_bytes, &memory->known.plan, &err) < 0 &&
        memory->known.count > 1) {
        flo_log_err(FLO_LOG_WARN, "memory", &err);
    }
    if (memory->known.count == 1) {
        keep_resident(&memory->known.plan);
    }
    flo_shell_memory_judge(shell, &err);
    log_plan(memory);
    shell->agent.revision++;
    return true;
}

/* Tells whether the releases have changed since the last call. */
static bool is_changed(struct flo_shell *shell)
{
    bool is_other = false;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_digest *here = flo_shell_memory_release(&shell->models[i].slots);
        if (!flo_digest_equal(here, &shell->serving->memory.seen[i])) {
            shell->serving->memory.seen[i] = *here;
            is_other = true;
        }
    }
    return is_other;
}

static bool is_planned(struct flo_shell *shell)
{
    return shell->is_local || (!is_changed(shell) && shell->serving->memory.known.is_planned) ||
           plan(shell);
}

/* ---- room ---- */

static bool is_pending(const struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    const struct flo_agent_engine *engine = &shell->agent.models[model].engines[role];

    return (engine->state == FLO_ENGINE_LOADING || engine->state == FLO_ENGINE_READY) &&
           !shell->models[model].pending[role].is_waiting;
}

static void look_at_host(const struct flo_shell *shell, uint32_t model, struct flo_memory_host *out)
{
    const struct flo_agent_model *agent = &shell->agent.models[model];
    struct flo_serve_status status;

    flo_serve_get_status(shell->serve, model, &status);
    *out = (struct flo_memory_host){
        .is_loaded = is_pending(shell, model, FLO_AGENT_CURRENT) ||
                     is_pending(shell, model, FLO_AGENT_BESIDE),
        .requests = status.held + status.roles[FLO_ROLE_CURRENT].requests +
                    status.roles[FLO_ROLE_CANDIDATE].requests,
        .loaded_ms = status.loaded_ms,
        .used_ms = status.used_ms,
        .load_ms = status.load_ms,
    };
    if (agent->live == -1 || !flo_agent_may_rest(&shell->agent, model)) {
        /* counted as if a request were running, so that the model is not
         * unloaded now */
        out->requests++;
    }
}

/* Tells whether the load is for a second engine next to the model's current
 * one.  Such an engine does not use the memory that on-demand models share. */
static bool is_beside(const struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    const struct flo_agent_model *agent = &shell->agent.models[model];

    return role == FLO_AGENT_BESIDE && agent->has_execution && agent->execution.fits_both;
}

/* Returns the bytes that a model needs at its last degradation level. */
static uint64_t least_bytes(const struct flo_memory_model *model)
{
    return model->files[0].bytes + model->private_bytes[model->rungs - 1];
}

/* Tells whether the memory of the release to load is known.  If not, an engine
 * is asked to measure it. */
static bool is_known(struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    const struct flo_digest *release = &shell->models[model].pending[role].release.digest;
    struct flo_memory_model candidate;

    if (flo_shell_measured(shell, release) != NULL ||
        !flo_shell_memory_candidate(shell, model, release, &candidate) || candidate.n_files == 0) {
        return true;
    }
    flo_shell_measure(shell, release);
    return flo_shell_measured(shell, release) != NULL;
}

/* Tells whether memory for a pending load is free now.  If it is not, asks the
 * core to unload other models. */
static bool has_room(struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    const struct flo_shell_memory *memory = &shell->serving->memory;
    struct flo_memory_model models[FLO_MEMORY_MODELS_MAX];
    struct flo_memory_host hosts[FLO_MEMORY_MODELS_MAX];
    struct flo_memory_plan plan = memory->known.plan;
    struct flo_serve_status status;
    struct flo_memory_room room;
    size_t own = flo_shell_memory_index(shell, model);

    if (!shell->is_local && memory->known.count > 1 && !is_known(shell, model, role)) {
        look_in(shell, ENDING_MS);
        return false;
    }
    if (shell->is_local || memory->known.count < 2 || own == FLO_MEMORY_MODELS_MAX ||
        memory->known.plan.models[own].is_resident || is_beside(shell, model, role)) {
        return true;
    }
    memcpy(models, memory->known.models, memory->known.count * sizeof(*models));
    if (flo_shell_memory_candidate(shell, model, &shell->models[model].pending[role].release.digest,
                                   &models[own])) {
        /* A candidate may need more memory than its current release.  The
         * difference is then added to the memory that on-demand models
         * share. */
        uint64_t before = least_bytes(&memory->known.models[own]);
        uint64_t after = least_bytes(&models[own]);
        plan.pool += after > before ? after - before : 0;
    }
    for (size_t i = 0; i < memory->known.count; i++) {
        look_at_host(shell, memory->known.places[i], &hosts[i]);
    }
    flo_serve_get_status(shell->serve, model, &status);
    flo_memory_room(models, memory->known.count, &plan, hosts, own, status.is_wanted_softly,
                    flo_now_ms(), &room);
    for (uint32_t i = 0; i < room.n_evict; i++) {
        post(shell, memory->known.places[room.evict[i]], FLO_AGENT_EVICT, false, false);
    }
    if (room.has_room && room.n_evict == 0 && !flo_serve_is_ending(shell->serve)) {
        return true;
    }
    look_in(shell, room.has_room ? ENDING_MS : BUSY_MS);
    return false;
}

/* ---- pending loads ---- */

static void sit(struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    const struct flo_agent_action action = {.kind = FLO_DO_LOAD,
                                            .model = model,
                                            .role = role,
                                            .release = shell->models[model].pending[role].release};

    shell->models[model].pending[role].is_waiting = false;
    flo_shell_load(shell, &action);
}

/* Reports to the core from time to time that a load waits, so that the core's
 * time limit begins again. */
static void tell_waits(struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    const struct flo_agent_event event = {.kind = FLO_AGENT_LOADING, .model = model, .role = role};
    uint64_t *since_ms = &shell->models[model].pending[role].since_ms;

    if (flo_now_ms() - *since_ms > 10000 && flo_queue_offer(&shell->queue, &event)) {
        *since_ms += 10000;
    }
}

/* Finds the load that has waited longest and is not in `is_seen`.  Returns
 * false when there is none. */
static bool first_waiting(const struct flo_shell *shell, uint32_t *model, enum flo_agent_role *role,
                          const bool *is_seen)
{
    uint64_t since_ms = UINT64_MAX;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX * FLO_AGENT_ROLES; i++) {
        uint32_t at = i / FLO_AGENT_ROLES, in = i % FLO_AGENT_ROLES;
        if (!is_seen[i] && shell->models[at].pending[in].is_waiting &&
            shell->models[at].pending[in].since_ms < since_ms) {
            since_ms = shell->models[at].pending[in].since_ms;
            *model = at;
            *role = (enum flo_agent_role)in;
        }
    }
    return since_ms != UINT64_MAX;
}

static void pending_all(struct flo_shell *shell)
{
    bool is_seen[FLO_AGENT_MODELS_MAX * FLO_AGENT_ROLES] = {false};
    bool is_behind = false; /* an earlier load waits for the memory that on-demand models share */
    enum flo_agent_role role;
    uint32_t model;

    while (first_waiting(shell, &model, &role, is_seen)) {
        size_t own = flo_shell_memory_index(shell, model);
        bool is_free = own == FLO_MEMORY_MODELS_MAX ||
                       shell->serving->memory.known.plan.models[own].is_resident;

        is_seen[model * FLO_AGENT_ROLES + role] = true;
        if ((is_free || !is_behind) && has_room(shell, model, role)) {
            sit(shell, model, role);
        } else {
            is_behind = true;
            tell_waits(shell, model, role);
        }
    }
}

void flo_shell_pending_look(struct flo_shell *shell)
{
    struct flo_shell_memory *memory = &shell->serving->memory;

    if (shell->is_local || memory->is_looking) {
        return;
    }
    memory->is_looking = true;
    if (memory->timer == NULL) {
        memory->timer = evtimer_new(shell->base, on_timer, shell);
    }
    if (is_planned(shell)) {
        for (size_t i = 0; i < memory->known.count; i++) {
            tell(shell, i);
        }
        pending_all(shell);
    }
    memory->is_looking = false;
}

void flo_shell_pending(struct flo_shell *shell, const struct flo_agent_action *action)
{
    flo_shell_pending_leave(shell, action->model, action->role);
    shell->models[action->model].pending[action->role].release = action->release;
    shell->models[action->model].pending[action->role].since_ms = flo_now_ms();
    shell->models[action->model].pending[action->role].is_waiting = true;
    if (shell->is_local) {
        sit(shell, action->model, action->role);
    } /* in a running agent, the load begins at the end of this turn of the event loop */
}

void flo_shell_pending_leave(struct flo_shell *shell, uint32_t model, enum flo_agent_role role)
{
    shell->models[model].pending[role].is_waiting = false;
    flo_shell_load_cancel(shell, model, role);
}

void flo_shell_pending_promote(struct flo_shell *shell, uint32_t model)
{
    flo_shell_pending_leave(shell, model, FLO_AGENT_CURRENT);
    shell->models[model].pending[FLO_AGENT_CURRENT] =
        shell->models[model].pending[FLO_AGENT_BESIDE];
}

void flo_shell_pending_close(struct flo_shell *shell)
{
    flo_serve_plan_cancel(shell->serving->memory.planner);
    shell->serving->memory.planner = NULL;
    flo_event_drop(&shell->serving->memory.timer);
}
