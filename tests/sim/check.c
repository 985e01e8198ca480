/* Checks: what must hold at each step of a device. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "agent/core/startup.h"
#include "agent/shell/device/device.h"
#include "tests/sim/sim.h"

const char *sim_rule_word(enum sim_rule rule)
{
    static const char *const words[SIM_RULES] = {
#define SIM_RULE(name, word, meaning) [SIM_RULE_##name] = word,
#include "tests/sim/rules.def"
#undef SIM_RULE
    };
    return words[rule];
}

/* The first one counts: what follows may come of it. */
void sim_violated(enum sim_rule rule, const struct sim_device *device, const char *format, ...)
{
    va_list arguments;
    int bytes = 0;

    if (sim->has_failed) {
        return;
    }
    sim->has_failed = true;
    sim->rule = rule;
    if (device != NULL) {
        bytes = snprintf(sim->what, sizeof(sim->what), "%s: ", sim_name(device));
    }
    va_start(arguments, format);
    vsnprintf(sim->what + bytes, sizeof(sim->what) - (size_t)bytes, format, arguments);
    va_end(arguments);
    sim_trace("check", "%s violated: %s", sim_rule_word(rule), sim->what);
}

static bool is_denied(const struct sim_device *device, uint32_t model,
                      const struct flo_digest *release)
{
    int number = sim_release_find(release);

    return flo_slots_is_denied(&device->disk.slots[model], release,
                               number < 0 ? 0 : sim->releases[number].number);
}

/* A start finds no way to what the record denies.  Where the way back was refused,
 * the current release serves on; an enrolment after that changes the outcome. */
void sim_check_start(const struct sim_device *device, const struct flo_slots *slots)
{
    bool is_refused = slots->stated.op == FLO_ORDER_ROLLBACK &&
                      (slots->stated.outcome == FLO_STATED_REFUSED ||
                       slots->stated.outcome == flo_startup_outcome(FLO_STATED_REFUSED));

    if (flo_slots_is_denied(slots, &slots->candidate, slots->candidate_number) ||
        (!is_refused && !flo_digest_is_zero(&slots->previous) &&
         flo_slots_is_denied(slots, &slots->current, slots->current_number))) {
        sim_violated(SIM_RULE_DENIED, device, "it starts with a %s of %s that it denies",
                     flo_digest_is_zero(&slots->candidate) ? "current release" : "candidate",
                     slots->model);
    }
}

/* ---- updates ---- */

static bool is_paused(const struct sim_device *device, const char *rollout, uint64_t number)
{
    return rollout[0] != '\0' &&
           flo_device_rollout(&device->disk.record, rollout, number) == FLO_ROLLOUT_PAUSED_BY_ORDER;
}

static bool is_frozen(const struct sim_device *device)
{
    return device->disk.record.is_frozen || device->disk.record.is_frozen_emergency;
}

void sim_check_job(struct sim_device *device, const struct flo_agent_execution *execution)
{
    uint32_t model = sim_model_of(execution->release.model);

    if (is_frozen(device)) {
        sim_violated(SIM_RULE_FROZEN, device, "%s downloads while frozen", execution->id);
    }
    if (execution->state == FLO_EXECUTION_ACCEPTED &&
        is_paused(device, execution->rollout, execution->seq)) {
        sim_violated(SIM_RULE_PAUSED, device, "%s starts while paused", execution->id);
    }
    /* A repair of what runs: a doubtful release beats none. */
    bool is_repair =
        flo_digest_equal(&execution->release.digest, &device->disk.slots[model].current);
    if (!is_repair && is_denied(device, model, &execution->release.digest)) {
        sim_violated(SIM_RULE_DENIED, device, "%s downloads a denied release", execution->id);
    }
}

/* By orders that the device kept, whatever its records say of them. */
static void check_history(struct sim_device *device, uint32_t model)
{
    const struct flo_slots *slots = &device->disk.slots[model];
    int release = sim_release_find(&slots->candidate);

    if (release < 0) {
        return;
    }
    if (device->seen.taken_back[release] > device->seen.lifted[release]) {
        sim_violated(SIM_RULE_DENIED, device, "number %llu activates, order %llu took it back",
                     (unsigned long long)slots->candidate_number,
                     (unsigned long long)device->seen.taken_back[release]);
    }
    if (device->seen.is_stopped[release]) {
        sim_violated(SIM_RULE_DENIED, device,
                     "number %llu activates, an emergency key took it back",
                     (unsigned long long)slots->candidate_number);
    }
    if (sim_trust_forbids(sim_trust_of(device), slots->model, &slots->candidate,
                          slots->candidate_number)) {
        sim_violated(SIM_RULE_TRUSTED, device, "number %llu activates, statement %llu forbids it",
                     (unsigned long long)slots->candidate_number,
                     (unsigned long long)flo_trust_number(sim_trust_of(device)));
    }
    if (device->seen.has_failed[release]) {
        sim_violated(SIM_RULE_DENIED, device, "number %llu activates, it failed here before",
                     (unsigned long long)slots->candidate_number);
    }
}

void sim_check_kept(struct sim_device *device, const struct flo_order *order)
{
    int release;

    if (sim->plays_clocks && device->skew_ms == 0 && flo_shell_clock_is_good(device->shell) &&
        order->expires_at_ms < SIM_WALL_MS + sim->now_ms) {
        sim_violated(SIM_RULE_CLOCKS, device, "order %s had expired, and its clock was good",
                     order->id);
    }
    for (uint32_t i = 0; order->op == FLO_ORDER_ROLLBACK && i < order->from_count; i++) {
        release = sim_release_find(&order->from[i]);
        if (release >= 0 && order->is_emergency) {
            device->seen.is_stopped[release] = true;
        } else if (release >= 0 && order->seq > device->seen.taken_back[release]) {
            device->seen.taken_back[release] = order->seq;
        }
    }
    release = sim_release_find(&order->release);
    if (order->op == FLO_ORDER_DEPLOY && release >= 0 &&
        order->lift > device->seen.lifted[release]) {
        device->seen.lifted[release] = order->lift;
    }
}

/* The begin of a trial counts its first start. */
void sim_check_load(struct sim_device *device, const struct flo_agent_action *action)
{
    uint32_t model = sim_model_of(action->release.model);
    const struct flo_slots *slots = &device->disk.slots[model];

    if (action->role != FLO_AGENT_BESIDE || slots->phase != FLO_SLOT_TRIAL ||
        !flo_digest_equal(&action->release.digest, &slots->candidate)) {
        return;
    }
    if (++device->seen.starts[model] > device->seen.tries[model]) {
        sim_violated(SIM_RULE_TRIES, device, "start %u of %u", device->seen.starts[model],
                     device->seen.tries[model]);
    }
}

void sim_check_untry(struct sim_device *device, uint32_t model)
{
    device->seen.starts[model] -= device->seen.starts[model] > 0 ? 1 : 0;
}

/* The trial of a candidate was written. */
void sim_check_trial(struct sim_device *device, uint32_t model)
{
    device->seen.starts[model] = 1;
    device->seen.tries[model] = (unsigned)sim_agent_of(device, model)->execution.policy.tries;
    check_history(device, model);

    const struct flo_slots *slots = &device->disk.slots[model];
    const struct flo_stated *stated = &slots->stated;
    unsigned long long number = (unsigned long long)slots->candidate_number;
    bool is_named = stated->below_floor && flo_digest_equal(&stated->target, &slots->candidate);
    bool is_held = flo_digest_equal(&slots->candidate, &slots->previous);
    uint64_t floor =
        slots->floor > device->seen.committed[model] ? slots->floor : device->seen.committed[model];

    if (is_frozen(device)) {
        sim_violated(SIM_RULE_FROZEN, device,
                     "number %llu activates while "
                     "frozen",
                     number);
    }
    if (is_denied(device, model, &slots->candidate)) {
        sim_violated(SIM_RULE_DENIED, device,
                     "number %llu is denied and "
                     "activates",
                     number);
    }
    if (!is_held && (slots->candidate_number < slots->floor_hard ||
                     (slots->candidate_number < floor && !is_named))) {
        sim_violated(SIM_RULE_FLOOR, device, "number %llu, floor %llu", number,
                     (unsigned long long)floor);
    }
}

/* New requests go there from now on. */
void sim_check_flip(struct sim_device *device, const struct sim_engine *engine,
                    enum flo_agent_role role, const struct flo_release_ref *release)
{
    uint32_t model = sim_model_of(release->model);
    const struct flo_slots *slots = &device->disk.slots[model];

    if (engine->release < 0 || (device->disk.blobs >> engine->release & 1) == 0) {
        sim_violated(SIM_RULE_VERIFIED, device,
                     "%s@%s serves, nobody staged "
                     "it",
                     release->model, release->version);
        return;
    }
    if (sim_behaviour(device, engine->release) == SIM_NAN) {
        sim_violated(SIM_RULE_VERIFIED, device,
                     "%s@%s serves numbers that are "
                     "none",
                     release->model, release->version);
    }
    if (role == FLO_AGENT_BESIDE && flo_digest_equal(&release->digest, &slots->candidate) &&
        is_denied(device, model, &release->digest)) {
        sim_violated(SIM_RULE_DENIED, device, "%s@%s is denied and serves", release->model,
                     release->version);
    }
}

/* An execution goes on by an order that this identity took. */
static void check_identity(const struct sim_device *device,
                           const struct flo_agent_execution *execution)
{
    size_t i = 0;

    while (i < SIM_JUDGED_MAX && strcmp(device->seen.judged[i], execution->order) != 0) {
        i++;
    }
    if (device->enrolments > 0 && i == SIM_JUDGED_MAX) {
        sim_violated(SIM_RULE_SCOPE, device, "%s goes on, order %s came to an identity before this",
                     execution->id, execution->order);
    }
}

void sim_check_order(struct sim_device *device, const struct flo_order *order)
{
    memcpy(device->seen.judged[device->seen.judged_next++ % SIM_JUDGED_MAX], order->id,
           sizeof(order->id));

    bool is_mine = strcmp(order->scope.device, device->id) == 0;
    bool is_ours = strcmp(order->scope.group, "all") == 0 ||
                   (strcmp(order->scope.group, "lab") == 0 && device->was_in_lab);
    uint32_t bucket = order->scope.salt[0] == '\0' ? 0 : flo_bucket(order->scope.salt, device->id);

    if (!is_mine &&
        !(is_ours && (order->scope.salt[0] == '\0' ||
                      (bucket >= order->scope.bucket_from && bucket < order->scope.bucket_to)))) {
        sim_violated(SIM_RULE_SCOPE, device, "order %s is not for it", order->id);
    }
}

/* ---- records ---- */

static bool goes_back(uint64_t *seen, uint64_t now)
{
    bool is_less = now < *seen;

    *seen = now;
    return is_less;
}

static bool slots_go_back(struct sim_device *device, uint32_t i)
{
    const struct flo_slots *slots = &device->disk.slots[i];
    bool is_less = goes_back(&device->seen.floor[i], slots->floor);

    is_less = goes_back(&device->seen.floor_hard[i], slots->floor_hard) || is_less;
    if (slots->current_number > device->seen.committed[i]) {
        device->seen.committed[i] = slots->current_number;
    }
    if (slots->era != device->seen.slots_era[i]) {
        device->seen.slots_era[i] = slots->era;
        device->seen.stated[i] = slots->stated.number;
        device->seen.emergency[i] = slots->emergency.number;
        return is_less;
    }
    is_less = goes_back(&device->seen.emergency[i], slots->emergency.number) || is_less;
    return goes_back(&device->seen.stated[i], slots->stated.number) || is_less;
}

void sim_check_written(struct sim_device *device)
{
    const struct flo_device *record = &device->disk.record;
    bool is_less = record->epoch < device->seen.epoch || record->era < device->seen.era;

    if (record->era > device->seen.era) {
        device->seen.top = 0;
        device->seen.freeze_emergency = 0;
    }
    device->seen.epoch = record->epoch;
    device->seen.era = record->era;
    is_less = goes_back(&device->seen.top, record->top) || is_less;
    is_less = goes_back(&device->seen.trust_number, record->trust_number) || is_less;
    is_less = goes_back(&device->seen.freeze_emergency, record->freeze_emergency.number) || is_less;
    for (uint32_t i = 0; i < sim->model_count; i++) {
        is_less = slots_go_back(device, i) || is_less;
    }
    if (is_less) {
        sim_violated(SIM_RULE_MONOTONE, device, "a record went back");
    }
}

/* It is the one of that number that the root key signed, after the one before
 * it. */
void sim_check_trust(struct sim_device *device)
{
    const struct flo_trust *trust = sim_trust_of(device);
    uint64_t number = flo_trust_number(trust);

    if (sim->statement_count == 0) {
        return; /* another world */
    }
    if (number > sim->statement_count ||
        !flo_digest_equal(flo_trust_digest(trust),
                          flo_trust_digest(sim->statements[number - 1].trust)) ||
        number != device->seen.statement + 1) {
        sim_violated(SIM_RULE_TRUSTED, device, "statement %llu was taken after %llu",
                     (unsigned long long)number, (unsigned long long)device->seen.statement);
    }
    device->seen.statement = number;
}

uint64_t sim_rollout_bit(const char *id)
{
    return strncmp(id, "r-", 2) == 0 ? UINT64_C(1) << strtoul(id + 2, NULL, 10) % 64 : 0;
}

void sim_check_end(struct sim_device *device, const struct sim_story *story)
{
    int release = sim_release_find(&story->execution.release.digest);

    device->seen.rollouts |= sim_rollout_bit(story->execution.rollout);
    device->seen.own_rollouts |= sim_rollout_bit(story->execution.rollout);
    if (story->execution.order[0] != '\0') {
        check_identity(device, &story->execution);
    }
    if (release >= 0 && story->has_ended && story->execution.state == FLO_EXECUTION_ROLLED_BACK &&
        story->execution.error.code != 0 &&
        story->execution.error.code != FLO_E_DISK_FULL) { /* not its fault */
        device->seen.has_failed[release] = true;
    }
    if (story->ends > 1 || (story->ends == 1 && !story->has_ended)) {
        sim_violated(SIM_RULE_ONCE, device, "%s ended, and then was %s", story->execution.id,
                     flo_execution_word(story->execution.state));
    }
}
