/* A device for tests of the agent's core. */
#include "unit/agent/core/world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/hook.h>
#include <flotilla/errors/probe.h>
#include <flotilla/errors/runtime.h>
#include <flotilla/errors/soak.h>
#include <flotilla/errors/target.h>

static const char *const names[WORLD_MODELS_MAX] = {"tiny", "alarm", "site"};

/* A version of another model counts from there: 100, 200. */
int world_of(unsigned model, int version)
{
    return (int)model * 100 + version;
}

static unsigned model_of(const struct flo_digest *digest)
{
    return digest->bytes[1];
}

static int version_of(const struct flo_digest *digest)
{
    return world_of(digest->bytes[1], digest->bytes[0]);
}

static struct flo_release_ref ref_of(const struct flo_digest *digest)
{
    struct flo_release_ref ref = {.digest = *digest};

    if (!flo_digest_is_zero(digest)) {
        snprintf(ref.model, sizeof(ref.model), "%s", names[model_of(digest)]);
        snprintf(ref.version, sizeof(ref.version), "%d.0.0", digest->bytes[0]);
    }
    return ref;
}

struct flo_digest world_digest(int version)
{
    struct flo_digest digest = {{0}};

    digest.bytes[0] = (uint8_t)(version % 100);
    digest.bytes[1] = (uint8_t)(version / 100);
    return digest;
}

void world_init(struct world *world, int current, int previous)
{
    memset(world, 0, sizeof(*world));
    world->now_ms = 1000000;
    snprintf(world->slots.model, sizeof(world->slots.model), "tiny");
    world->slots.current = world_digest(current);
    world->slots.previous = world_digest(previous);
}

void world_deinit(struct world *world)
{
    flo_buf_deinit(&world->trace);
}

struct world_story *world_story(struct world *world, const char *id)
{
    size_t i;

    for (i = 0; i < world->story_count; i++) {
        if (strcmp(world->stories[i].id, id) == 0) {
            return &world->stories[i];
        }
    }
    if (world->story_count == WORLD_STORIES_MAX) {
        abort();
    }
    snprintf(world->stories[i].id, sizeof(world->stories[i].id), "%s", id);
    world->story_count++;
    return &world->stories[i];
}

/* ---- what comes later ---- */

static struct flo_agent_event *later(struct world *world, uint64_t in_ms,
                                     enum flo_agent_event_kind kind)
{
    struct world_pending *place;

    if (world->pending_count == WORLD_QUEUE_MAX) {
        abort();
    }
    place = &world->pending[world->pending_count++];
    memset(place, 0, sizeof(*place));
    place->at_ms = world->now_ms + in_ms;
    place->order = world->next_order++;
    place->event.kind = kind;
    return &place->event;
}

static void forget_engine(struct world *world, uint32_t model, enum flo_agent_role role)
{
    size_t i = 0;

    while (i < world->pending_count) {
        struct flo_agent_event *event = &world->pending[i].event;
        bool is_its = (event->kind == FLO_AGENT_LOADED || event->kind == FLO_AGENT_LOST) &&
                      event->role == role;

        if (event->model == model &&
            (is_its || (event->kind == FLO_AGENT_DRAINED && role == FLO_AGENT_CURRENT) ||
             (event->kind == FLO_AGENT_PROBED && role == FLO_AGENT_BESIDE))) {
            world->pending[i] = world->pending[--world->pending_count];
        } else {
            i++;
        }
    }
}

static void forget_job(struct world *world, uint32_t job)
{
    size_t i = 0;

    while (i < world->pending_count) {
        if (world->pending[i].event.job == job) {
            world->pending[i] = world->pending[--world->pending_count];
        } else {
            i++;
        }
    }
}

static void tell_job(struct world *world, uint32_t model, uint32_t job, uint64_t in_ms,
                     enum flo_agent_event_kind kind, enum flo_execution state,
                     struct flo_agent_event **out)
{
    *out = later(world, in_ms, kind);
    (*out)->model = model;
    (*out)->job = job;
    (*out)->state = state;
}

static void run_job(struct world *world, uint32_t model, uint32_t job, int version)
{
    struct flo_agent_event *event;
    bool fails = world->job_error.code != 0 && (!world->job_is_passing || world->job_failures > 0);

    if (world->job_is_silent) {
        return;
    }
    tell_job(world, model, job, 100, FLO_AGENT_PROGRESS, FLO_EXECUTION_DOWNLOADING, &event);
    snprintf(event->detail.codec, sizeof(event->detail.codec), "bsdiff40");
    event->detail.bytes = 311795;
    event->detail.full_bytes = 1734464;
    if (fails) {
        tell_job(world, model, job, 200, FLO_AGENT_JOB_FAILED, 0, &event);
        event->error = world->job_error;
        event->is_passing = world->job_is_passing;
        world->job_failures -= world->job_failures > 0 ? 1 : 0;
        return;
    }
    if (version == world->damaged) {
        world->damaged = 0;
    }
    tell_job(world, model, job, 200, FLO_AGENT_PROGRESS, FLO_EXECUTION_APPLYING, &event);
    tell_job(world, model, job, 300, FLO_AGENT_PROGRESS, FLO_EXECUTION_VERIFYING, &event);
    tell_job(world, model, job, 400, FLO_AGENT_STAGED, 0, &event);
    event->fits_both = !world->fits_one_only;
    if (world->staged_error != 0) {
        event->error.code = world->staged_error;
        snprintf(event->error.what, sizeof(event->error.what), "all models need 90 MB, at most 80");
    }
}

static bool is_up(const struct flo_agent_engine *engine)
{
    return engine->state == FLO_ENGINE_LOADING || engine->state == FLO_ENGINE_READY;
}

static bool is_draining(const struct world *world, uint32_t model)
{
    size_t i = 0;

    while (i < world->pending_count && (world->pending[i].event.kind != FLO_AGENT_DRAINED ||
                                        world->pending[i].event.model != model)) {
        i++;
    }
    return i < world->pending_count;
}

/* No memory for two engines: the kernel ends the other one. */
static bool is_crowded(const struct world *world, uint32_t model)
{
    return world->fits_one_only && is_up(&world->agent.models[model].engines[FLO_AGENT_CURRENT]) &&
           is_up(&world->agent.models[model].engines[FLO_AGENT_BESIDE]);
}

static void load(struct world *world, uint32_t model, enum flo_agent_role role, int version)
{
    int code = role == FLO_AGENT_BESIDE ? world->candidate_load_error : world->current_load_error;
    struct flo_agent_event *event;

    if (version == world->unreadable) {
        code = flo_error_code("model.arch");
    }
    if (version == world->damaged) {
        code = FLO_E_TARGET_HASH;
    }
    event = later(world, world->load_ms == 0 ? 300 : world->load_ms,
                  code == 0 ? FLO_AGENT_LOADED : FLO_AGENT_LOST);

    event->model = model;
    event->role = role;
    event->is_linked = world->has_links;
    event->error.code = code;
    if (code != 0) {
        snprintf(event->error.what, sizeof(event->error.what), "cannot load");
    }
    if (role == FLO_AGENT_CURRENT) {
        world->current_load_error = 0;
    }
    if (is_crowded(world, model) || (world->fits_one_only && is_draining(world, model))) {
        event = later(world, 100, FLO_AGENT_LOST);
        event->model = model;
        event->role = is_crowded(world, model) ? FLO_AGENT_BESIDE : role;
        event->error.code = FLO_E_ENGINE_CRASH;
        snprintf(event->error.what, sizeof(event->error.what), "signal 9");
    }
}

static void probe(struct world *world, uint32_t model)
{
    struct flo_agent_event *event = later(world, 500, FLO_AGENT_PROBED);

    event->model = model;
    world->probes++;
    event->detail.cases = 26;
    event->detail.passed = world->probe_error == 0 ? 26 : 24;
    event->detail.ratio = world->is_incomparable ? 0 : 1.02;
    event->error.code = world->probe_error;
    if (world->probe_error != 0) {
        snprintf(event->error.what, sizeof(event->error.what),
                 "24 of 26 cases passed, digest-2 failed");
    }
    if (world->probes_unsure > 0) {
        world->probes_unsure--;
        event->detail.passed = 26;
        event->error.code = FLO_E_PROBE_UNSURE;
        snprintf(event->error.what, sizeof(event->error.what), "no sure verdict");
    }
    if (world->runtime_failures > 0) {
        world->runtime_failures--;
        event->detail.passed = 2;
        event->error.code = FLO_E_RUNTIME_CRASH;
        snprintf(event->error.what, sizeof(event->error.what),
                 "case digest-3 cannot run: the runtime ended by signal 11");
    }
}

static void live_candidate(struct world *world, uint32_t model)
{
    struct flo_agent_event *event;
    unsigned i;

    if (world->candidate_crashes > 0) {
        world->candidate_crashes--;
        event = later(world, 50, FLO_AGENT_LOST);
        event->model = model;
        event->role = FLO_AGENT_BESIDE;
        event->error.code = FLO_E_ENGINE_CRASH;
        snprintf(event->error.what, sizeof(event->error.what), "signal 11 on a request");
    }
    for (i = 0; i < world->requests_fail; i++) {
        event = later(world, 20 + i, FLO_AGENT_REQUEST);
        event->model = model;
        event->release = world->models[model].slots.candidate;
        event->error.code = FLO_E_INTERNAL;
    }
}

/* ---- links ---- */

static void forget_hook(struct world *world, uint32_t model)
{
    size_t i = 0;

    while (i < world->pending_count) {
        const struct flo_agent_event *event = &world->pending[i].event;
        if (event->model == model &&
            (event->kind == FLO_AGENT_ACTIVATED || event->kind == FLO_AGENT_ILL)) {
            world->pending[i] = world->pending[--world->pending_count];
        } else {
            i++;
        }
    }
}

/* The link first, then the hook, then it is known that the hook ran. */
static void link_to(struct world *world, const struct flo_agent_action *action)
{
    struct world_model *model = &world->models[action->model];
    int version = version_of(&action->release.digest);
    bool needs_hook = model->hooked != version || action->flag;
    bool is_bad = needs_hook && version == world->hook_fails;
    struct flo_agent_event *event;

    forget_hook(world, action->model);
    model->link = version;
    model->hooked = needs_hook ? 0 : version;
    world->hooks_run += needs_hook;
    event = later(world,
                  !needs_hook           ? 0
                  : world->hook_ms == 0 ? 200
                                        : world->hook_ms,
                  is_bad ? FLO_AGENT_ILL : FLO_AGENT_ACTIVATED);
    event->model = action->model;
    event->release = action->release.digest;
    if (is_bad) {
        event->error.code = FLO_E_HOOK_FAILED;
        snprintf(event->error.what, sizeof(event->error.what), "the hook ended with status 1");
    } else if (version == world->ill) {
        event = later(world, 5000, FLO_AGENT_ILL);
        event->model = action->model;
        event->release = action->release.digest;
        event->error.code = FLO_E_SOAK_HEALTH;
        snprintf(event->error.what, sizeof(event->error.what),
                 "3 looks at its health failed in a row");
    }
}

static void unlink_it(struct world *world, const struct flo_agent_action *action)
{
    struct world_model *model = &world->models[action->model];

    forget_hook(world, action->model);
    model->link = model->hooked = 0;
    world->hooks_run++;
    world->links_removed++;
}

/* ---- carry out ---- */

static void write_slots(struct world *world, const struct flo_agent_action *action, bool answers)
{
    uint32_t model = action->model;
    struct flo_slots *slots = &world->models[model].slots;
    struct flo_err err = {0};
    struct flo_agent_event *event;
    int rv = 0;

    if (world->slots_fail) {
        rv = flo_fail(&err, FLO_E_DISK_FULL, "slots: no room");
    } else {
        switch (action->kind) {
        case FLO_DO_SLOT_STAGE:
            rv = flo_slots_stage(slots, &action->release.digest, NULL, &err);
            break;
        case FLO_DO_SLOT_TRIAL:
            rv = flo_slots_begin_trial(
                slots, (uint32_t)world->agent.models[model].execution.policy.tries, &err);
            if (rv == 0) {
                rv = flo_slots_count_try(slots, &err);
            }
            break;
        case FLO_DO_SLOT_TRY:
            rv = flo_slots_count_try(slots, &err);
            break;
        case FLO_DO_SLOT_UNTRY:
            flo_slots_return_try(slots);
            break;
        case FLO_DO_SLOT_COMMIT:
            rv = flo_slots_commit(slots, &err);
            break;
        case FLO_DO_SLOT_CLEAR:
            flo_slots_clear_candidate(slots);
            break;
        case FLO_DO_SLOT_REMOVE:
            memset(slots, 0, sizeof(*slots));
            break;
        default:
            rv = flo_slots_roll_back(slots, &err);
            break;
        }
    }
    if (world->lost_in_write &&
        (action->kind == FLO_DO_SLOT_COMMIT || action->kind == FLO_DO_SLOT_BACK)) {
        event = later(world, 0, FLO_AGENT_LOST);
        event->model = model;
        event->role = FLO_AGENT_BESIDE;
        event->error.code = FLO_E_ENGINE_CRASH;
    }
    if (answers || rv < 0) {
        event = later(world, world->write_ms, rv == 0 ? FLO_AGENT_WRITTEN : FLO_AGENT_UNWRITTEN);
        event->model = model;
        event->error.code = rv;
        memcpy(event->error.what, err.what, sizeof(event->error.what) - 1);
    }
}

static void store_report(struct world *world, struct world_model *model,
                         const struct flo_agent_execution *execution)
{
    if (flo_execution_is_end(execution->state)) {
        struct world_story *story = world_story(world, execution->id);
        story->ends++;
        story->end = execution->state;
        model->has_open = false;
    } else {
        model->open = *execution;
        model->has_open = true;
    }
}

static void count_ack(struct world *world, const struct flo_agent_action *action)
{
    world->acks_done += strcmp(action->word, "done") == 0;
    world->acks_refused += strcmp(action->word, "refused") == 0;
    world->acks_ignored += strcmp(action->word, "ignored") == 0;
    world->acks_running += strcmp(action->word, "running") == 0;
}

/* As the shell does: an execution of its own, without an order. */
static void repair(struct world *world, uint32_t model, const struct flo_release_ref *release)
{
    struct flo_agent_event *event = later(world, 0, FLO_AGENT_DEPLOY);
    int version = version_of(&release->digest);

    world->models[model].repair = world_execution(version, 0);
    world->models[model].repair.release = *release;
    world->models[model].repair.order[0] = '\0';
    snprintf(world->models[model].repair.rollout, sizeof(world->models[model].repair.rollout),
             "repair.%02d", version);
    snprintf(world->models[model].repair.id, sizeof(world->models[model].repair.id),
             "repair.%02d.%u", version, ++world->repairs);
    event->model = model;
    event->deploy.execution = &world->models[model].repair;
}

static void exchange(struct world *world, const char *variant, bool is_measured)
{
    struct world_model *model = &world->models[0];
    struct flo_agent_event *event = later(world, 0, FLO_AGENT_DEPLOY);

    repair(world, 0, &world->agent.models[0].slots.current);
    world->pending_count--; /* the repair's */
    model->repair.bundle[0] = '\0';
    snprintf(model->repair.rollout, sizeof(model->repair.rollout), "variant.%.8s", variant);
    snprintf(model->repair.id, sizeof(model->repair.id), "variant.%.8s.%u", variant,
             world->repairs);
    snprintf(model->repair.variant, sizeof(model->repair.variant), "%s", variant);
    model->repair.policy.soak_ms = 20000;
    model->repair.is_measured = is_measured;
    event->deploy.execution = &model->repair;
    world_run(world, 0);
}

void world_exchange(struct world *world, const char *variant)
{
    exchange(world, variant, false);
}

void world_measure(struct world *world, const char *variant)
{
    exchange(world, variant, true);
}

static void keep_variant(struct world *world, uint32_t model)
{
    snprintf(world->variant, sizeof(world->variant), "%s",
             world->agent.models[model].execution.variant);
    later(world, 0, world->slots_fail ? FLO_AGENT_UNWRITTEN : FLO_AGENT_WRITTEN)->model = model;
}

static void deny(struct world *world, const struct flo_agent_action *action)
{
    struct flo_denial said = {
        .release = action->release.digest, .statement = action->number, .cause = action->cause};

    (void)flo_slots_deny(&world->models[action->model].slots, &said);
}

static void unload(struct world *world, const struct flo_agent_action *action)
{
    forget_engine(world, action->model, action->role);
    if (action->role == FLO_AGENT_CURRENT && action->flag) {
        later(world, world->drain_ms == 0 ? 40 : world->drain_ms, FLO_AGENT_DRAINED)->model =
            action->model;
    }
}

static void carry_out(struct world *world, const struct flo_agent_action *action,
                      const struct flo_agent_execution *reported)
{
    struct world_model *model = &world->models[action->model];
    int version = version_of(&action->release.digest);

    switch (action->kind) {
    case FLO_DO_JOB:
        run_job(world, action->model, action->job, version);
        break;
    case FLO_DO_CANCEL_JOB:
        forget_job(world, action->job);
        break;
    case FLO_DO_SLOT_STAGE:
    case FLO_DO_SLOT_TRIAL:
    case FLO_DO_SLOT_COMMIT:
    case FLO_DO_SLOT_BACK:
    case FLO_DO_SLOT_REMOVE:
        write_slots(world, action, true);
        break;
    case FLO_DO_SLOT_TRY:
    case FLO_DO_SLOT_UNTRY:
    case FLO_DO_SLOT_CLEAR:
        write_slots(world, action, false);
        break;
    case FLO_DO_DENY:
        deny(world, action);
        break;
    case FLO_DO_VARIANT:
        keep_variant(world, action->model);
        break;
    case FLO_DO_REPAIR:
        repair(world, action->model, &action->release);
        break;
    case FLO_DO_FREEZE:
        world->device.is_frozen = action->flag;
        break;
    case FLO_DO_LOAD:
        load(world, action->model, action->role, version);
        break;
    case FLO_DO_UNLOAD:
        unload(world, action);
        break;
    case FLO_DO_FLIP:
        model->live_version = version;
        if (world->has_links) {
            link_to(world, action);
        }
        if (action->role == FLO_AGENT_BESIDE) {
            live_candidate(world, action->model);
        }
        break;
    case FLO_DO_UNLINK:
        unlink_it(world, action);
        break;
    case FLO_DO_HOLD:
        model->held++;
        model->live_version = 0;
        break;
    case FLO_DO_CLOSE:
        model->live_version = 0;
        break;
    case FLO_DO_PROBE:
        probe(world, action->model);
        break;
    case FLO_DO_EVENT:
        store_report(world, model, reported);
        break;
    case FLO_DO_ACK:
        count_ack(world, action);
        break;
    default:
        break;
    }
}

void world_event(struct world *world, const struct flo_agent_event *event)
{
    static struct flo_agent_actions actions;
    struct flo_agent_event timed = *event;
    bool is_uncounted = false; /* as in the shell: it is not started then */
    size_t reports = 0;
    size_t i;

    if (world->is_off) {
        return;
    }
    if (timed.kind == FLO_AGENT_ACTIVATED) { /* its hook ended */
        world->models[timed.model].hooked = world->models[timed.model].link;
    }
    timed.now_ms = world->now_ms;
    timed.wall_ms = world->wall_ahead_ms > 0 ? world->now_ms + world->wall_ahead_ms : 0;
    timed.slept_ms = world->slept_ms;
    world->slept_ms = 0;
    world->steps++;
    flo_agent_step(&world->agent, &timed, &actions);
    flo_agent_trace(&world->agent, &timed, &actions, &world->trace);
    for (i = 0; i < actions.count; i++) {
        const struct flo_agent_action *action = &actions.list[i];
        const struct flo_agent_execution *reported =
            action->kind == FLO_DO_EVENT ? &actions.reports[reports++] : NULL;

        if (is_uncounted && action->kind == FLO_DO_LOAD && action->role == FLO_AGENT_BESIDE) {
            continue;
        }
        carry_out(world, action, reported);
        is_uncounted = is_uncounted || (action->kind == FLO_DO_SLOT_TRY && world->slots_fail);
        if (action->kind != FLO_DO_TIMER && action->kind != FLO_DO_NOTE &&
            ++world->actions_done == world->cut_after) {
            world->is_off = true;
            world->pending_count = 0;
            for (size_t m = 0; m < WORLD_MODELS_MAX; m++) {
                world->models[m].live_version = 0;
            }
            return;
        }
    }
}

/* ---- life ---- */

static void pauses_of(const struct world *world, struct flo_agent_pauses *out)
{
    size_t count = 0;

    memset(out, 0, sizeof(*out));
    out->all = world->device.all_paused;
    for (size_t i = 0; i < FLO_PAUSES_MAX; i++) {
        const struct flo_pause *pause = &world->device.pauses[i];
        if (pause->said == FLO_ROLLOUT_PAUSED_BY_ORDER) {
            memcpy(out->rollouts[count++], pause->rollout, sizeof(pause->rollout));
        }
    }
}

static bool is_here(const struct world_model *model)
{
    return !flo_digest_is_zero(&model->slots.current) ||
           !flo_digest_is_zero(&model->slots.candidate) || model->has_open;
}

static void forget_names(struct flo_release_ref *ref)
{
    memset(ref->model, 0, sizeof(ref->model));
    memset(ref->version, 0, sizeof(ref->version));
}

static void boot_model(const struct world *world, uint32_t index, struct flo_agent_booted *booted,
                       struct flo_agent_execution *open)
{
    const struct world_model *model = &world->models[index];

    *booted = (struct flo_agent_booted){.model = index};
    memcpy(booted->name, names[index], strlen(names[index]) + 1);
    booted->slots.current = ref_of(&model->slots.current);
    booted->slots.previous = ref_of(&model->slots.previous);
    booted->slots.candidate = ref_of(&model->slots.candidate);
    if (world->documents_are_gone) {
        forget_names(&booted->slots.current);
        forget_names(&booted->slots.previous);
        forget_names(&booted->slots.candidate);
    }
    booted->slots.is_trial = model->slots.phase == FLO_SLOT_TRIAL;
    booted->slots.tries_left = model->slots.tries_left;
    booted->fits_both = !world->fits_one_only;
    booted->is_linked = model->link != 0;
    if (model->has_open) {
        *open = model->open;
        booted->open = open;
        booted->denial = flo_slots_denial(&model->slots, &open->release.digest, 0);
    }
}

void world_boot(struct world *world)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_BOOT};
    struct flo_agent_booted booted[WORLD_MODELS_MAX];
    static struct flo_agent_execution open[WORLD_MODELS_MAX];
    struct flo_agent_pauses pauses;

    world->is_off = false;
    world->pending_count = 0;
    for (uint32_t i = 0; i < WORLD_MODELS_MAX; i++) {
        world->models[i].live_version = 0;
        (void)flo_slots_heal(&world->models[i].slots);
        if (i == 0 || is_here(&world->models[i])) {
            boot_model(world, i, &booted[event.boot.model_count], &open[i]);
            event.boot.model_count++;
        }
    }
    event.boot.models = booted;
    event.boot.models_max = world->models_max;
    event.boot.is_frozen = world->device.is_frozen;
    pauses_of(world, &pauses);
    event.boot.pauses = &pauses;
    event.boot.seed = 7;
    world_event(world, &event);
}

struct flo_agent_execution world_execution(int version, uint64_t seq)
{
    struct flo_agent_execution execution = {.attempt = 1, .epoch = 1};
    struct flo_digest digest = world_digest(version);

    execution.release = ref_of(&digest);
    execution.seq = seq;
    snprintf(execution.rollout, sizeof(execution.rollout), "r-%04u", (unsigned)seq);
    snprintf(execution.order, sizeof(execution.order), "o-%04u", (unsigned)seq);
    snprintf(execution.id, sizeof(execution.id), "r-%04u.1", (unsigned)seq);
    flo_policy_default(&execution.policy);
    execution.policy.soak_ms = 10000;
    execution.policy.step_timeout_ms = 60000;
    return execution;
}

void world_desire(struct world *world, int version, uint64_t seq)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_DEPLOY};
    struct flo_agent_execution execution = world_execution(version, seq);

    if (world_story(world, execution.id)->ends > 0) {
        return; /* the shell answers with the stored outcome */
    }
    event.model = model_of(&execution.release.digest);
    event.deploy.execution = &execution;
    if (flo_slots_is_denied(&world->models[event.model].slots, &execution.release.digest, 0)) {
        event.deploy.refusal.code = FLO_E_TARGET_DENIED;
        snprintf(event.deploy.refusal.what, sizeof(event.deploy.refusal.what),
                 "the release failed or was taken back on this device before");
    }
    world_event(world, &event);
}

void world_order(struct world *world, enum flo_order_op op, int from)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_ORDER};
    struct flo_order order = {.op = op, .to_previous = true};
    struct flo_digest body = {{(uint8_t)op}};
    struct flo_agent_pauses pauses;

    snprintf(order.id, sizeof(order.id), "o-9000");
    snprintf(order.rollout, sizeof(order.rollout), "r-0001");
    if (from != 0) {
        order.from_count = 1;
        order.from[0] = world_digest(from);
        event.model = model_of(&order.from[0]);
    }
    order.seq = 9000 + ++world->seq;
    if (from == 0) { /* as the shell keeps it before it acts */
        (void)flo_statement_keep(&world->device, NULL, &order, &body);
    }
    pauses_of(world, &pauses);
    event.pauses = &pauses;
    event.order = &order;
    event.fits_both = !world->fits_one_only;
    event.is_split = world->is_split;
    world_event(world, &event);
}

void world_rollback_many(struct world *world, int from)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_ORDER};
    struct flo_order order = {
        .op = FLO_ORDER_ROLLBACK, .to_previous = true, .from_count = FLO_ORDER_FROM_MAX};

    memset(order.id, 'o', sizeof(order.id) - 1);
    for (int i = 0; i < FLO_ORDER_FROM_MAX; i++) {
        order.from[i] = world_digest(from + i);
    }
    order.seq = 9000 + ++world->seq;
    event.order = &order;
    event.fits_both = !world->fits_one_only;
    world_event(world, &event);
}

void world_sleep(struct world *world, uint64_t ms)
{
    size_t i;

    world->now_ms += ms;
    world->slept_ms += ms;
    for (i = 0; i < world->pending_count; i++) {
        world->pending[i].at_ms += ms;
    }
}

void world_run(struct world *world, uint64_t ms)
{
    uint64_t end_ms = world->now_ms + ms;

    while (!world->is_off) {
        struct flo_agent_event event = {.kind = FLO_AGENT_TIMER};
        uint64_t at_ms = world->agent.timer_ms;
        size_t best = SIZE_MAX;
        size_t i;

        for (i = 0; i < world->pending_count; i++) {
            const struct world_pending *one = &world->pending[i];
            if (at_ms == 0 || one->at_ms < at_ms ||
                (one->at_ms == at_ms &&
                 (best == SIZE_MAX || one->order < world->pending[best].order))) {
                at_ms = one->at_ms;
                best = i;
            }
        }
        if (at_ms == 0 || at_ms > end_ms) {
            break;
        }
        world->now_ms = at_ms > world->now_ms ? at_ms : world->now_ms;
        if (best != SIZE_MAX) {
            event = world->pending[best].event;
            world->pending[best] = world->pending[--world->pending_count];
        }
        world_event(world, &event);
    }
    if (!world->is_off) {
        world->now_ms = end_ms;
    }
}
