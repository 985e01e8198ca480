/* Mutants: calls between files of the cores that the linker hands over, so that
 * one rule at a time can be broken without another build. */
#include "tests/sim/world/mutants.h"

#include <string.h>

#include "agent/core/device/step.h"
#include "agent/core/refusal.h"
#include "agent/core/silence.h"
#include "agent/core/startup.h"
#include "server-stub/core/orders/renewal.h"
#include "server-stub/core/tick.h"
#include "server-stub/mqtt/message.h"
#include "server-stub/state/audit/audit.h"
#include "server-stub/state/controller.h"
#include "server-stub/state/membership/tell.h"

static enum sim_mutant present;

static const char *const words[SIM_MUTANTS] = {
    "none",
#define SIM_MUTANT(name, word, seed, meaning) word,
#include "tests/sim/mutants.def"
#undef SIM_MUTANT
};

static const uint32_t seeds[SIM_MUTANTS] = {
    1,
#define SIM_MUTANT(name, word, seed, meaning) seed,
#include "tests/sim/mutants.def"
#undef SIM_MUTANT
};

void sim_mutant_set(enum sim_mutant mutant)
{
    present = mutant;
}

uint32_t sim_mutant_seed(enum sim_mutant mutant)
{
    return seeds[mutant];
}

const char *sim_mutant_word(enum sim_mutant mutant)
{
    return words[mutant];
}

bool sim_mutant_find(const char *word, enum sim_mutant *out)
{
    for (int i = 0; i < SIM_MUTANTS; i++) {
        if (strcmp(words[i], word) == 0) {
            *out = (enum sim_mutant)i;
            return true;
        }
    }
    return false;
}

/* REAL(type, name, (parameters)) declares both names of a call. */
#define HANDED(type, name, parameters)                                                             \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters

/* ---- the device ---- */

HANDED(bool, flo_slots_deny, (struct flo_slots * slots, const struct flo_denial *said))
{
    return present != SIM_MUTANT_DENY && __real_flo_slots_deny(slots, said);
}

HANDED(int, flo_statement_look,
       (const struct flo_device *device, const struct flo_slots *slots,
        const struct flo_order *order, const struct flo_digest *body, enum flo_standing *out,
        uint64_t *by, struct flo_err *err))
{
    int rv = __real_flo_statement_look(device, slots, order, body, out, by, err);

    if (present == SIM_MUTANT_NEWEST && rv == 0 && *out == FLO_STATEMENT_SUPERSEDED) {
        *out = FLO_STATEMENT_NEW;
    }
    return rv;
}

HANDED(int, flo_slots_permit,
       (const struct flo_slots *slots, const struct flo_digest *release, uint64_t number,
        struct flo_err *err))
{
    return __real_flo_slots_permit(slots, release, present == SIM_MUTANT_FLOOR ? 0 : number, err);
}

HANDED(int, flo_slots_admit,
       (const struct flo_slots *slots, const struct flo_digest *release, uint64_t number,
        struct flo_err *err))
{
    return present == SIM_MUTANT_FLOOR ? 0 : __real_flo_slots_admit(slots, release, number, err);
}

HANDED(bool, flo_silence_look, (struct flo_silence * silence, bool is_online, uint64_t awake_ms))
{
    return present != SIM_MUTANT_DEAF &&
           __real_flo_silence_look(silence, is_online || present == SIM_MUTANT_HASTY, awake_ms);
}

HANDED(uint64_t, flo_time_needed, (uint64_t from_ms, uint64_t until_ms))
{
    return present == SIM_MUTANT_LED ? 0 : __real_flo_time_needed(from_ms, until_ms);
}

HANDED(int, flo_slots_count_try, (struct flo_slots * slots, struct flo_err *err))
{
    return present == SIM_MUTANT_TRIES ? 0 : __real_flo_slots_count_try(slots, err);
}

HANDED(bool, flo_scope_holds,
       (const struct flo_scope *scope, const char *device, const char (*groups)[FLO_NAME_MAX + 1],
        size_t group_count))
{
    return present == SIM_MUTANT_SCOPE ||
           __real_flo_scope_holds(scope, device, groups, group_count);
}

HANDED(bool, flo_agent_is_paused, (const struct flo_agent *agent, const char *rollout))
{
    return present != SIM_MUTANT_PAUSE && __real_flo_agent_is_paused(agent, rollout);
}

HANDED(void, flo_execution_freeze, (struct step * s))
{
    if (present != SIM_MUTANT_FREEZE) {
        __real_flo_execution_freeze(s);
    }
}

HANDED(enum flo_denial_cause, flo_agent_denial_cause, (int code))
{
    return present == SIM_MUTANT_FAULT ? FLO_DENIAL_ALLOWED : __real_flo_agent_denial_cause(code);
}

HANDED(void, flo_outbox_sent, (struct flo_outbox * outbox, uint64_t sequence, uint64_t now_ms))
{
    __real_flo_outbox_sent(outbox, sequence, now_ms);
    if (present == SIM_MUTANT_OUTBOX) {
        outbox->acked = sequence;
    }
}

HANDED(bool, flo_slots_heal, (struct flo_slots * slots))
{
    return present != SIM_MUTANT_HEAL && __real_flo_slots_heal(slots);
}

HANDED(void, flo_startup_execution,
       (const struct flo_startup_execution *facts, struct flo_startup_verdict *out))
{
    __real_flo_startup_execution(facts, out);
    if (present == SIM_MUTANT_STARTUP) {
        out->source = FLO_STARTUP_NONE;
    }
}

HANDED(enum flo_startup_enrolled, flo_startup_enrolled, (bool has_candidate, bool is_trial))
{
    return present == SIM_MUTANT_ENROLLED ? FLO_STARTUP_STAYS
                                          : __real_flo_startup_enrolled(has_candidate, is_trial);
}

HANDED(void, flo_agent_refuse, (const struct flo_refusal_facts *facts, struct flo_refusal *out))
{
    __real_flo_agent_refuse(facts, out);
    out->comes_again = out->comes_again && present != SIM_MUTANT_REFUSAL;
}

HANDED(void, flo_orders_repair,
       (struct flo_shell * shell, uint32_t model, const struct flo_release_ref *release))
{
    if (present != SIM_MUTANT_REPAIR) {
        __real_flo_orders_repair(shell, model, release);
    }
}

/* ---- trust ---- */

HANDED(int, flo_trust_follows,
       (const struct flo_trust *held, const struct flo_trust *next, enum flo_trust_standing *out,
        struct flo_err *err))
{
    int rv = __real_flo_trust_follows(held, next, out, err);

    if (present == SIM_MUTANT_TRUST_OLDER && rv == 0 && *out == FLO_TRUST_OLDER) {
        *out = FLO_TRUST_NEXT;
    }
    return rv;
}

HANDED(bool, flo_trust_is_release_revoked,
       (const struct flo_trust *trust, const struct flo_digest *release))
{
    return present != SIM_MUTANT_TRUST_REVOKED &&
           __real_flo_trust_is_release_revoked(trust, release);
}

HANDED(uint64_t, flo_trust_floor, (const struct flo_trust *trust, const char *model))
{
    return present == SIM_MUTANT_TRUST_FLOOR ? 0 : __real_flo_trust_floor(trust, model);
}

bool sim_trust_forbids(const struct flo_trust *trust, const char *model,
                       const struct flo_digest *release, uint64_t number)
{
    return __real_flo_trust_is_release_revoked(trust, release) ||
           number < __real_flo_trust_floor(trust, model);
}

/* ---- the controller ---- */

HANDED(void, flo_tick_next,
       (struct flo_tick * tick, const struct flo_tick_now *now, struct flo_tick_due *out))
{
    __real_flo_tick_next(tick, now, out);
    out->steps = out->steps && present != SIM_MUTANT_TICK;
}

HANDED(bool, flo_rollout_member_stays, (const struct flo_rollout_member *member))
{
    return present != SIM_MUTANT_BACK && __real_flo_rollout_member_stays(member);
}

HANDED(enum flo_verdict, flo_rollout_verdict,
       (const struct flo_rollout *rollout, uint32_t phase, uint32_t *worst,
        struct flo_gate_result *result))
{
    enum flo_verdict verdict = __real_flo_rollout_verdict(rollout, phase, worst, result);

    return present == SIM_MUTANT_GATE ? FLO_VERDICT_PASS : verdict;
}

HANDED(enum flo_renewal_why, flo_renewal_next,
       (struct flo_renewal * renewal, const struct flo_renewal_order *order))
{
    enum flo_renewal_why why = __real_flo_renewal_next(renewal, order);

    return present == SIM_MUTANT_RENEWAL ? FLO_RENEWAL_NOT : why;
}

HANDED(int, flo_ingest_forgotten,
       (const struct flo_message *message, const json_t *models, struct flo_err *err))
{
    return present == SIM_MUTANT_FORGET ? 0 : __real_flo_ingest_forgotten(message, models, err);
}

HANDED(int, flo_fleet_event_add,
       (struct flo_fleet_store * store, const char *device, const char *boot, uint64_t seq,
        uint64_t from, uint64_t at_ms, uint64_t received_at_ms, const char *json, bool *is_new,
        uint64_t *mark, struct flo_err *err))
{
    return __real_flo_fleet_event_add(store, device, boot, seq,
                                      present == SIM_MUTANT_MARK ? 0 : from, at_ms, received_at_ms,
                                      json, is_new, mark, err);
}

HANDED(int, flo_groups_tell,
       (struct flo_controller * controller, const char *device, struct flo_err *err))
{
    return present == SIM_MUTANT_GROUPS ? 0 : __real_flo_groups_tell(controller, device, err);
}

HANDED(int, flo_controller_audit,
       (struct flo_controller * controller, const char *who, const char *what, const char *object,
        const char *result, const char *detail, struct flo_err *err))
{
    return present == SIM_MUTANT_AUDIT
               ? 0
               : __real_flo_controller_audit(controller, who, what, object, result, detail, err);
}
