/* One step of the device: passes the event to the file in charge, checks the
 * deadlines, then continues waiting executions.
 *
 * Deadlines are checked on every event, so a late timer changes nothing. */
#include <assert.h>
#include <string.h>

#include "agent/core/device/step.h"

/* Calls `each` for every model as the step's model, and restores the step's
 * model afterwards. */
static void for_each_model(struct step *s, void (*each)(struct step *s))
{
    struct flo_agent_model *before = s->model;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        s->model = &s->agent->models[i];
        if (s->model->name[0] != '\0') {
            each(s);
        }
    }
    s->model = before;
}

/* ---- orders ---- */

static void set_frozen(struct step *s, bool is_frozen)
{
    s->agent->is_frozen = is_frozen;
    s->agent->revision++;
    flo_do(s, FLO_DO_FREEZE)->flag = is_frozen;
    if (is_frozen) {
        for_each_model(s, flo_execution_freeze);
    }
}

/* Returns the model that has an execution of the order's rollout; NULL: no
 * model has one. */
static struct flo_agent_model *model_of_rollout(struct step *s, const struct flo_order *order)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        struct flo_agent_model *model = &s->agent->models[i];
        if (model->has_execution && strcmp(model->execution.rollout, order->rollout) == 0) {
            return model;
        }
    }
    return NULL;
}

static void abort_rollout(struct step *s, const struct flo_order *order)
{
    struct flo_agent_model *model = model_of_rollout(s, order);

    if (model == NULL) {
        flo_do_note(s, "ignored: nothing of it is under way");
        return;
    }
    s->model = model;
    if (flo_execution_has_served(model)) {
        flo_do_note(s, "ignored: it serves already, a rollback ends it");
    } else {
        flo_execution_end(s, FLO_MOVE_CANCEL, 0, "order %s: abort", order->id);
    }
}

/* Notes in the trace that the pause does not stop an execution that is under
 * way. */
static void note_pause(struct step *s, const struct flo_order *order)
{
    const struct flo_agent_model *model = model_of_rollout(s, order);

    if (model != NULL && model->execution.state != FLO_EXECUTION_ACCEPTED) {
        flo_do_note(s, "ignored by %s: it is %s already", model->execution.id,
                    flo_execution_word(model->execution.state));
    }
}

static void take_order(struct step *s)
{
    const struct flo_order *order = s->event->order;

    if (order == NULL) {
        return;
    }
    if (s->event->pauses != NULL) {
        s->agent->pauses = *s->event->pauses;
    }
    switch (order->op) {
    case FLO_ORDER_ROLLBACK:
        flo_back_order(s);
        return;           /* the order is answered later, when the rollback is finished */
    case FLO_ORDER_PAUSE: /* the paused rollouts were copied above, so nothing is left to do */
        note_pause(s, order);
        break;
    case FLO_ORDER_RESUME:
        break;
    case FLO_ORDER_ABORT:
        abort_rollout(s, order);
        break;
    case FLO_ORDER_FREEZE:
    case FLO_ORDER_UNFREEZE:
        set_frozen(s, order->op == FLO_ORDER_FREEZE || s->event->stays_frozen);
        break;
    case FLO_ORDER_PROMPTS: /* the shell tells agent/serve; a report says it */
        s->agent->revision++;
        break;
    case FLO_ORDER_CONFIG: /* the shell applies the new pacing, so the core does nothing */
    case FLO_ORDER_ALLOW:  /* the shell stores it in the record, so the core does nothing */
    case FLO_ORDER_GROUPS:
        break;
    case FLO_ORDER_REMOVE:
        flo_remove_order(s);
        return;
    case FLO_ORDER_DEPLOY: /* the release comes in an event FLO_AGENT_DEPLOY, not in this one */
    case FLO_ORDER_LOGS:   /* the shell answers the order; no state of the core changes */
    case FLO_ORDER_DOCTOR:
    case FLO_ORDER_BENCHMARK:
    case FLO_ORDER_COUNT:
        return;
    }
    /* the device may have caused this step itself; only an order gets an
     * answer */
    if (order->id[0] != '\0') {
        flo_do_ack(s, order->id, "done", NULL);
    }
}

/* ---- start ---- */

/* Sets the model's name in a release.  The name is missing when the release's
 * document is missing. */
static void name_release(const struct flo_agent_model *model, struct flo_release_ref *ref)
{
    if (flo_ref_is(ref)) {
        memcpy(ref->model, model->name, sizeof(ref->model));
    }
}

static void boot_model(struct step *s, const struct flo_agent_booted *booted)
{
    struct flo_agent_model *model = s->model;

    assert(booted->name[0] != '\0' && model->name[0] == '\0');
    memcpy(model->name, booted->name, sizeof(model->name));
    model->slots = booted->slots;
    model->is_linked = booted->is_linked;
    name_release(model, &model->slots.current);
    name_release(model, &model->slots.previous);
    name_release(model, &model->slots.candidate);
    model->slots.is_trial = model->slots.is_trial && flo_ref_is(&model->slots.candidate);
    flo_execution_boot(s, booted);
}

static void boot(struct step *s)
{
    struct flo_agent *agent = s->agent;

    memset(agent, 0, sizeof(*agent));
    agent->is_booted = true;
    agent->origin_ms = s->now;
    agent->random = s->event->boot.seed;
    agent->is_frozen = s->event->boot.is_frozen;
    if (s->event->boot.pauses != NULL) {
        agent->pauses = *s->event->boot.pauses;
    }
    agent->models_max =
        s->event->boot.models_max == 0 ? FLO_AGENT_MODELS_MAX : s->event->boot.models_max;
    agent->waits = s->event->boot.waits;
    agent->lacks = s->event->boot.lacks;
    agent->revision = 1;
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        agent->models[i].live = -1;
    }
    for (size_t i = 0; i < s->event->boot.model_count; i++) {
        const struct flo_agent_booted *booted = &s->event->boot.models[i];
        assert(booted->model < FLO_AGENT_MODELS_MAX);
        s->model = &agent->models[booted->model];
        boot_model(s, booted);
    }
    s->model = &agent->models[0];
}

/* Writes the name of the model to deploy into the step's entry.  The entry is
 * free, or its former model has nothing on the device. */
static void name_model(struct step *s)
{
    const struct flo_agent_execution *wanted = s->event->deploy.execution;
    struct flo_agent_model *model = s->model;

    if (s->event->kind != FLO_AGENT_DEPLOY || wanted == NULL ||
        strcmp(model->name, wanted->release.model) == 0) {
        return;
    }
    assert(flo_agent_is_idle(s->agent, flo_step_model(s)));
    memset(model, 0, sizeof(*model));
    model->live = -1;
    memcpy(model->name, wanted->release.model, sizeof(model->name));
}

/* ---- the clock ---- */

static void earlier(uint64_t *next, uint64_t at_ms)
{
    if (at_ms != 0 && (*next == 0 || at_ms < *next)) {
        *next = at_ms;
    }
}

/* Lowers *next, the time of the next step, to `at_ms` if that time is in the
 * future.  A past time is ignored, because the execution then waits for
 * something else. */
static void to_come(const struct step *s, uint64_t *next, uint64_t at_ms)
{
    if (at_ms > s->now) {
        earlier(next, at_ms);
    }
}

static void next_of_model(const struct step *s, const struct flo_agent_model *model, uint64_t *next)
{
    const struct flo_agent_execution *execution = &model->execution;

    for (size_t i = 0; i < FLO_AGENT_ROLES; i++) {
        earlier(next, model->engines[i].retry_at_ms);
    }
    if (model->has_execution) {
        earlier(next, execution->deadline_ms);
        to_come(s, next, execution->retry_at_ms);
        to_come(s, next, execution->start_at_ms);
        to_come(s, next, execution->soak_end_ms);
        earlier(next, flo_wait_until(s->agent, model, s->now));
    }
    earlier(next, model->going_back.due_ms);
    earlier(next, model->removal.due_ms);
}

static void set_timer(struct step *s)
{
    struct flo_agent *agent = s->agent;
    uint64_t next = 0;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        next_of_model(s, &agent->models[i], &next);
    }
    if (next != 0 && next <= s->now) {
        next = s->now + 1; /* something is due already: the next step is in 1 ms */
    }
    /* A timer that fired is no longer set, even if it fired slightly early. */
    if (next != agent->timer_ms || s->event->kind == FLO_AGENT_TIMER) {
        agent->timer_ms = next;
        flo_do(s, FLO_DO_TIMER)->at_ms = next;
    }
}

static void put_off(uint64_t *at_ms, uint64_t by_ms)
{
    if (*at_ms != 0) {
        *at_ms += by_ms;
    }
}

/* Moves all deadlines of the step's model by the time that the machine was
 * suspended.  They count only time in which it runs. */
static void wake(struct step *s)
{
    struct flo_agent_model *model = s->model;
    uint64_t slept_ms = s->event->slept_ms;
    size_t i;

    for (i = 0; i < FLO_AGENT_ROLES; i++) {
        if (model->engines[i].state == FLO_ENGINE_LOADING) {
            model->engines[i].retry_at_ms += slept_ms;
        }
    }
    if (model->has_execution) {
        struct flo_agent_execution *execution = &model->execution;

        put_off(&execution->since_ms, slept_ms);
        put_off(&execution->deadline_ms, slept_ms);
        put_off(&execution->retry_at_ms, slept_ms);
        put_off(&execution->soak_end_ms, slept_ms);
    }
    put_off(&model->going_back.due_ms, slept_ms);
    put_off(&model->removal.due_ms, slept_ms);
}

/* ---- which file is in charge ---- */

static void take_written(struct step *s)
{
    if (!flo_remove_written(s) && !flo_back_written(s)) {
        flo_execution_written(s);
    }
}

static void take_unwritten(struct step *s)
{
    if (!flo_remove_written(s) && !flo_back_written(s)) {
        flo_execution_unwritten(s);
    }
}

static void take_drained(struct step *s)
{
    flo_back_drained(s);
    flo_execution_drained(s);
    flo_remove_drained(s);
}

static void take_conditions(struct step *s)
{
    s->agent->lacks = s->event->lacks;
    for_each_model(s, flo_wait_changed);
}

static void take_stop(struct step *s)
{
    for_each_model(s, flo_execution_stop);
}

static void (*const in_charge[FLO_AGENT_EVENT_COUNT])(struct step *s) = {
    [FLO_AGENT_BOOT] = NULL, /* handled before */
    [FLO_AGENT_DEPLOY] = flo_execution_deploy,
    [FLO_AGENT_ORDER] = take_order,
    [FLO_AGENT_GO_BACK] = flo_back_by_hand,
    [FLO_AGENT_REMOVE] = flo_remove_by_hand,
    [FLO_AGENT_PROGRESS] = flo_execution_progress,
    [FLO_AGENT_STAGED] = flo_execution_staged,
    [FLO_AGENT_JOB_FAILED] = flo_execution_job_failed,
    [FLO_AGENT_WRITTEN] = take_written,
    [FLO_AGENT_UNWRITTEN] = take_unwritten,
    [FLO_AGENT_LOADING] = flo_engine_loading,
    [FLO_AGENT_LOADED] = flo_engine_loaded,
    [FLO_AGENT_ACTIVATED] = flo_linked_activated,
    [FLO_AGENT_ILL] = flo_linked_ill,
    [FLO_AGENT_LOST] = flo_engine_lost,
    [FLO_AGENT_DRAINED] = take_drained,
    [FLO_AGENT_PROBED] = flo_execution_probed,
    [FLO_AGENT_REQUEST] = flo_execution_request,
    [FLO_AGENT_PLACED] = flo_rest_placed,
    [FLO_AGENT_WANTED] = flo_rest_wanted,
    [FLO_AGENT_EVICT] = flo_rest_evict,
    [FLO_AGENT_PRESSURE] = flo_rest_pressure,
    [FLO_AGENT_CONDITIONS] = take_conditions,
    [FLO_AGENT_TRUST] = flo_trust_changed,
    [FLO_AGENT_STOP] = take_stop,
    [FLO_AGENT_TIMER] = NULL, /* each step looks at the clock */
};

static void look_at_clock(struct step *s)
{
    flo_engine_due(s);
    flo_back_due(s);
    flo_remove_due(s);
    flo_execution_due(s);
}

/* Checks the invariants of a model, which hold between two steps.  The name of
 * each variable states one invariant. */
static bool is_model_sound(const struct flo_agent_model *model)
{
    const struct flo_agent_execution *execution = &model->execution;
    const struct flo_agent_return *back = &model->going_back;
    bool is_live_ready = model->live == -1 ||
                         flo_engine_is(model, (enum flo_agent_role)model->live, FLO_ENGINE_READY);
    bool is_rest_on_demand =
        !flo_agent_is_resting(model) || (model->is_on_demand && model->live == -1);
    bool has_its_candidate = !model->slots.is_trial || flo_ref_is(&model->slots.candidate);
    bool is_execution_open = !model->has_execution || !flo_execution_is_end(execution->state);
    bool is_job_fetching =
        !model->has_execution || execution->job == 0 || flo_execution_is_fetching(execution);
    bool is_return_open = back->is_active || (!back->is_draining && !back->is_writing);
    bool is_switch_linked = !model->is_switching || (model->live >= 0 && model->is_linked &&
                                                     model->engines[model->live].is_linked);
    bool is_current_ill = !model->is_ill || model->live == FLO_AGENT_CURRENT;

    return is_live_ready && is_rest_on_demand && has_its_candidate && is_execution_open &&
           is_job_fetching && is_return_open && is_switch_linked && is_current_ill;
}

static bool is_sound(const struct flo_agent *agent)
{
    if (!flo_queue_is_sound(agent)) {
        return false;
    }
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (!is_model_sound(&agent->models[i])) {
            return false;
        }
    }
    return true;
}

int flo_agent_step(struct flo_agent *agent, const struct flo_agent_event *event,
                   struct flo_agent_actions *actions)
{
    struct step s = {.agent = agent,
                     .model = &agent->models[event->model],
                     .event = event,
                     .actions = actions,
                     .now = event->now_ms};

    assert(event->kind < FLO_AGENT_EVENT_COUNT);
    assert(event->model < FLO_AGENT_MODELS_MAX);
    assert(event->role < FLO_AGENT_ROLES);
    assert(event->state < FLO_EXECUTION_COUNT);
    actions->count = 0;
    actions->report_count = 0;
    agent->wall_ms = event->wall_ms;
    if (event->kind == FLO_AGENT_BOOT) {
        boot(&s);
        agent->wall_ms = event->wall_ms;
    } else if (!agent->is_booted) {
        return 0; /* no event before FLO_AGENT_BOOT has an effect */
    } else {
        assert(event->now_ms >= agent->origin_ms);
        assert(is_sound(agent));
        for_each_model(&s, wake);
        name_model(&s);
    }
    if (event->kind == FLO_AGENT_TIMER) {
        agent->timer_ms = 0; /* the timer is not set any more, even if it fired slightly early */
    }
    if (in_charge[event->kind] != NULL) {
        in_charge[event->kind](&s);
    }
    for_each_model(&s, look_at_clock);
    for_each_model(&s, flo_linked_look);
    flo_queue_consider(&s);
    set_timer(&s);
    assert(is_sound(agent));
    return (int)actions->count;
}
