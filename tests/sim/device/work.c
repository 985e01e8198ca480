/* The work of a device: its updater and its engines, as they may behave; below the
 * calls of update/jobs.c, serving/ and agent/serve. */
#include <string.h>

#include <flotilla/errors/probe.h>
#include <flotilla/errors/target.h>

#include "agent/shell/update/update.h"
#include "tests/sim/device/device.h"

#define JOB_STEPS 4

/* ---- updater ---- */

static void on_job(const struct sim_call *call);

struct failure {
    int code;
    bool is_passing;
};

static uint64_t takes_ms(struct sim_device *device, uint64_t from_ms, uint64_t to_ms)
{
    return sim_between(&device->random, from_ms, to_ms) * device->pace / 1000;
}

/* The end of a job: by the release, its mirror and the disk. */
static struct failure failure_of(struct sim_device *device, int release)
{
    if (release < 0 || sim->mirror.is_down || device->is_alone) {
        return (struct failure){FLO_E_NET_UNREACHABLE, true};
    }
    if (device->disk_is_full) {
        return (struct failure){FLO_E_DISK_FULL, true};
    }
    if (sim->mirror.lies) {
        return (struct failure){FLO_E_TARGET_HASH, false};
    }
    if (flo_trust_is_release_revoked(sim_trust_of(device), &sim->releases[release].ref.digest)) {
        return (struct failure){FLO_E_TARGET_REVOKED, false};
    }
    if (sim_behaviour(device, release) == SIM_NAN) {
        return (struct failure){FLO_E_MODEL_NONFINITE, false};
    }
    return (struct failure){0, false};
}

static void job_ends(struct sim_device *device, uint32_t model, uint32_t job, int release,
                     struct failure failure)
{
    struct flo_agent_event event = {.kind =
                                        failure.code == 0 ? FLO_AGENT_STAGED : FLO_AGENT_JOB_FAILED,
                                    .model = model,
                                    .job = job,
                                    .is_passing = failure.is_passing,
                                    .fits_both = device->fits_both};

    event.error.code = failure.code;
    if (failure.code == 0) {
        device->disk.blobs |= 1u << release; /* each synced, before its name */
        device->disk.damaged &= ~(1u << release);
    } else {
        snprintf(event.error.what, sizeof(event.error.what), "as simulated");
    }
    device->job = 0;
    sim_device_post(device, 0, &event);
}

void sim_job_failed(struct sim_device *device, uint32_t model, uint32_t job, int code)
{
    if (device->job == job) {
        job_ends(device, model, job, -1, (struct failure){code, true});
    }
}

void sim_job_next(struct sim_device *device, uint32_t model, uint32_t job, uint64_t step)
{
    static const enum flo_execution states[JOB_STEPS] = {
        FLO_EXECUTION_ACCEPTED, FLO_EXECUTION_DOWNLOADING, FLO_EXECUTION_APPLYING,
        FLO_EXECUTION_VERIFYING};
    struct flo_agent_event event = {.kind = FLO_AGENT_PROGRESS, .model = model, .job = job};

    if (device->job != job) {
        return;
    }
    const struct flo_agent_execution *execution = &device->shell->agent.models[model].execution;
    int release = sim_release_find(&execution->release.digest);
    if (step == JOB_STEPS) {
        job_ends(device, model, job, release, failure_of(device, release));
        return;
    }
    event.state = states[step];
    sim_device_post(device, 0, &event);
    if (states[step] == FLO_EXECUTION_DOWNLOADING) {
        sim_mirror_fetch(device, model, job);
        return;
    }
    sim_device_later(
        device, takes_ms(device, 100, 2000),
        (struct sim_call){.fn = on_job, .a = (uint64_t)model << 32 | job, .b = step + 1});
}

static void on_job(const struct sim_call *call)
{
    sim_job_next(call->device, (uint32_t)(call->a >> 32), (uint32_t)call->a, call->b);
}

void flo_shell_job_start(struct flo_shell *shell, uint32_t model, uint32_t job)
{
    struct sim_device *device = sim_of(shell);

    if (device->runs) {
        sim_check_job(device, &shell->agent.models[model].execution);
    }
    device->job = job;
    sim_device_later(device, takes_ms(device, 10, 300),
                     (struct sim_call){.fn = on_job, .a = (uint64_t)model << 32 | job});
}

void flo_shell_job_cancel(struct flo_shell *shell, uint32_t job)
{
    struct sim_device *device = sim_of(shell);

    device->job = device->job == job ? 0 : device->job;
}

bool flo_shell_job_again(struct flo_shell *shell)
{
    (void)shell;
    return false; /* none waits for a process to end */
}

bool flo_shell_job_is_open(const struct flo_shell *shell)
{
    (void)shell;
    return false; /* the core knows of each */
}

/* ---- engines ---- */

static enum flo_agent_role role_of(enum flo_serve_role role)
{
    return role == FLO_ROLE_CURRENT ? FLO_AGENT_CURRENT : FLO_AGENT_BESIDE;
}

static void lose(struct sim_device *device, uint32_t model, uint64_t engine, uint64_t in_ms,
                 int code)
{
    struct flo_agent_event event = {.kind = FLO_AGENT_LOST, .model = model};

    event.error.code = code;
    snprintf(event.error.what, sizeof(event.error.what), "as simulated");
    sim_device_post_engine(device, in_ms, engine, &event);
}

/* The bytes are hashed before an engine gets them. */
static int load_error(const struct sim_device *device, int release, enum flo_agent_role role)
{
    if (release < 0 || (device->disk.blobs >> release & 1) == 0) {
        return FLO_E_BLOB_ABSENT;
    }
    if ((device->disk.damaged >> release & 1) != 0) {
        return FLO_E_TARGET_HASH;
    }
    return role == FLO_AGENT_BESIDE && sim_behaviour(device, release) == SIM_UNLOADABLE
               ? FLO_E_ENGINE_CRASH
               : 0;
}

static void on_loaded(const struct sim_call *call)
{
    struct sim_device *device = call->device;
    uint32_t model = (uint32_t)call->b;
    struct flo_agent_event event = {.kind = FLO_AGENT_LOADED, .model = model};

    for (int role = 0; role < FLO_AGENT_ROLES; role++) {
        struct sim_engine *engine = &device->engines[model][role];
        if (engine->number != call->a) {
            continue;
        }
        int code = load_error(device, engine->release, (enum flo_agent_role)role);
        if (code != 0) {
            engine->state = SIM_ENGINE_NONE;
            lose(device, model, engine->number, 0, code);
        } else {
            engine->state = SIM_ENGINE_RUNS;
            sim_device_post_engine(device, 0, engine->number, &event);
        }
    }
}

void flo_shell_pending(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct sim_device *device = sim_of(shell);
    struct sim_engine *engine = &device->engines[action->model][action->role];

    if (device->runs) {
        sim_check_load(device, action);
    }
    *engine = (struct sim_engine){.state = SIM_ENGINE_LOADS,
                                  .number = ++device->engine_number,
                                  .release = sim_release_find(&action->release.digest)};
    sim_device_later(device, takes_ms(device, 100, 3000),
                     (struct sim_call){.fn = on_loaded, .a = engine->number, .b = action->model});
}

void flo_serve_unload(struct flo_serve *serve, unsigned model, enum flo_serve_role role, bool drain)
{
    const struct flo_agent_event drained = {.kind = FLO_AGENT_DRAINED, .model = model};
    struct sim_device *device = (struct sim_device *)serve;

    device->engines[model][role_of(role)] = (struct sim_engine){.state = SIM_ENGINE_NONE};
    if (role == FLO_ROLE_CURRENT && drain) {
        sim_device_post(device, takes_ms(device, 1, 200), &drained);
    }
}

void flo_serve_promote(struct flo_serve *serve, unsigned model)
{
    struct sim_engine *engines = ((struct sim_device *)serve)->engines[model];

    engines[FLO_AGENT_CURRENT] = engines[FLO_AGENT_BESIDE];
    engines[FLO_AGENT_BESIDE] = (struct sim_engine){.state = SIM_ENGINE_NONE};
}

void sim_engine_kill(struct sim_device *device, uint32_t model, enum flo_agent_role role)
{
    struct sim_engine *engine = &device->engines[model][role];

    if (engine->state != SIM_ENGINE_NONE) {
        engine->state = SIM_ENGINE_NONE;
        lose(device, model, engine->number, 0, FLO_E_ENGINE_CRASH);
    }
}

static void on_crash(const struct sim_call *call)
{
    struct sim_device *device = call->device;
    uint32_t model = (uint32_t)call->b;

    for (int role = 0; role < FLO_AGENT_ROLES; role++) {
        if (device->engines[model][role].number == call->a) {
            sim_engine_kill(device, model, (enum flo_agent_role)role);
        }
    }
}

/* Requests, as far as they count: those that a bad release fails. */
static void send_requests(struct sim_device *device, uint32_t model, int release)
{
    struct flo_agent_event event = {
        .kind = FLO_AGENT_REQUEST, .model = model, .release = sim->releases[release].ref.digest};

    for (unsigned i = 0; i < 12; i++) {
        event.error.code = FLO_E_INTERNAL;
        sim_device_post(device, 500 + 200 * i, &event);
    }
}

static void misbehave(struct sim_device *device, uint32_t model, const struct sim_engine *engine)
{
    switch (sim_behaviour(device, engine->release)) {
    case SIM_CRASHING:
        sim_device_later(device, sim_between(&device->random, 50, 3000),
                         (struct sim_call){.fn = on_crash, .a = engine->number, .b = model});
        break;
    case SIM_ERRING:
        send_requests(device, model, engine->release);
        break;
    default:
        break;
    }
}

/* Requests go to that engine now. */
int flo_shell_flip(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                   const struct flo_release_ref *release, struct flo_err *err)
{
    struct sim_device *device = sim_of(shell);
    const struct sim_engine *engine = &device->engines[model][role];

    if (engine->state != SIM_ENGINE_RUNS) {
        return flo_fail(err, FLO_E_ENGINE_CRASH, "as simulated");
    }
    if (device->runs) {
        sim_check_flip(device, engine, role, release);
    }
    if (engine->release >= 0) {
        misbehave(device, model, engine);
    }
    return 0;
}

static int probe_error(struct sim_device *device, int release)
{
    switch (sim_behaviour(device, release)) {
    case SIM_WRONG:
        return FLO_E_PROBE_GOLDEN;
    case SIM_SLOW:
        return FLO_E_PROBE_SPEED;
    case SIM_UNSURE:
        return sim_chance(&device->random, 300) ? FLO_E_PROBE_UNSURE : 0;
    default:
        return 0;
    }
}

void flo_shell_probe(struct flo_shell *shell, const struct flo_agent_action *action)
{
    struct sim_device *device = sim_of(shell);
    const struct sim_engine *engine = &device->engines[action->model][FLO_AGENT_BESIDE];
    struct flo_agent_event event = {.kind = FLO_AGENT_PROBED, .model = action->model};

    if (engine->release < 0) {
        return;
    }
    event.error.code = probe_error(device, engine->release);
    snprintf(event.error.what, sizeof(event.error.what), "as simulated");
    event.detail.cases = event.detail.passed = 10;
    sim_device_post_engine(device, takes_ms(device, 200, 5000), engine->number, &event);
}

int flo_serve_room(const struct flo_serve *serve, uint64_t *refused, struct flo_err *err)
{
    (void)serve;
    (void)err;
    *refused = 0; /* a simulated device has no listener */
    return 0;
}
