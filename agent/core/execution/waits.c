/* Waits: an update waits for conditions of the device (waits.def).
 *
 * The policy of an order, or the device's own configuration, asks for a wait.
 * Every update waits while the battery is low.  An urgent order does not wait:
 * a rollback sends such orders to devices that lack its target.  A repair of a
 * model that cannot serve does not wait either.  A bundle that an operator
 * installs waits for the battery only.  Rollback orders fetch nothing and have
 * no execution here. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/device/step.h"

static const struct {
    const char *word, *text;
    uint32_t states;
    bool is_ending;
} waits[FLO_WAIT_COUNT] = {
#define FLO_WAIT(name, word, is_asked, states, is_ending, text)                                    \
    [FLO_WAIT_##name] = {word, text, states, is_ending},
#include "agent/core/execution/waits.def"
};

const char *flo_wait_word(enum flo_wait wait)
{
    assert(wait < FLO_WAIT_COUNT);
    return waits[wait].word;
}

/* Returns the set of conditions that the policy asks for. */
static uint32_t asked_by(const struct flo_policy *policy)
{
    uint32_t set = 0;

#define FLO_WAIT(name, word, is_asked, states, is_ending, text)                                    \
    set |= (is_asked) ? FLO_WAIT_BIT(FLO_WAIT_##name) : 0;
#include "agent/core/execution/waits.def"
    return set;
}

/* Returns the set of conditions for which this execution must wait in one of
 * its states. */
static uint32_t asked_of(const struct flo_agent *agent, const struct flo_agent_model *model)
{
    const struct flo_agent_execution *execution = &model->execution;

    if (execution->policy.urgent != 0) {
        return 0;
    }
    if (execution->bundle[0] != '\0') {
        return FLO_WAIT_BIT(FLO_WAIT_BATTERY);
    }
    if (flo_execution_is_own(execution) && model->live == -1 && !flo_agent_is_resting(model)) {
        return 0;
    }
    return asked_by(&execution->policy) | agent->waits;
}

/* Returns the time until the maintenance window of the execution opens, by the
 * wall clock of this step; 0: it is open, or the clock is unknown. */
static uint64_t closed_for_ms(const struct flo_agent *agent, const struct flo_agent_model *model)
{
    uint64_t wait_ms = 0;

    if (agent->wall_ms != 0) {
        (void)flo_policy_is_open(&model->execution.policy, agent->wall_ms, &wait_ms);
    }
    return wait_ms;
}

static uint32_t lacking(const struct flo_agent *agent, const struct flo_agent_model *model)
{
    uint32_t closed = closed_for_ms(agent, model) > 0 ? FLO_WAIT_BIT(FLO_WAIT_WINDOW) : 0;
    uint32_t set = asked_of(agent, model) & (agent->lacks | closed);
    uint32_t left = 0;

    assert(model->has_execution);
    for (uint32_t i = 0; i < FLO_WAIT_COUNT; i++) {
        left |= flo_is_in(model->execution.state, waits[i].states) ? set & FLO_WAIT_BIT(i) : 0;
    }
    return left;
}

bool flo_wait_is_needed(const struct flo_agent *agent, const struct flo_agent_model *model)
{
    return lacking(agent, model) != 0;
}

uint64_t flo_wait_until(const struct flo_agent *agent, const struct flo_agent_model *model,
                        uint64_t now_ms)
{
    uint64_t wait_ms = closed_for_ms(agent, model);

    return (lacking(agent, model) & FLO_WAIT_BIT(FLO_WAIT_WINDOW)) == 0 ||
                   wait_ms > UINT64_MAX - now_ms
               ? 0
               : now_ms + wait_ms;
}

bool flo_agent_is_waiting(const struct flo_agent *agent, uint32_t model)
{
    const struct flo_agent_model *of = &agent->models[model];

    assert(model < FLO_AGENT_MODELS_MAX);
    return of->has_execution && of->execution.job == 0 && !of->execution.is_writing &&
           flo_wait_is_needed(agent, of);
}

/* Returns whether the text of the waiting reason names this condition.  The
 * text for a low battery asks for mains already, so mains is then not named
 * again. */
static bool is_told(uint32_t set, uint32_t wait)
{
    return (set & FLO_WAIT_BIT(wait)) != 0 &&
           (wait != FLO_WAIT_MAINS || (set & FLO_WAIT_BIT(FLO_WAIT_BATTERY)) == 0);
}

void flo_wait_reason(const struct flo_agent *agent, const struct flo_agent_model *model,
                     char out[FLO_WAIT_REASON])
{
    uint32_t set = lacking(agent, model);
    size_t bytes = 0;

    out[0] = '\0';
    for (uint32_t i = 0; i < FLO_WAIT_COUNT; i++) {
        if (is_told(set, i)) {
            bytes += (size_t)snprintf(out + bytes, FLO_WAIT_REASON - bytes, "%s%s",
                                      bytes == 0 ? "waiting for " : ", ", waits[i].text);
            assert(bytes < FLO_WAIT_REASON);
        }
    }
}

static bool ends_job(const struct flo_agent *agent, const struct flo_agent_model *model)
{
    uint32_t set = model->has_execution ? lacking(agent, model) : 0;

    for (uint32_t i = 0; i < FLO_WAIT_COUNT; i++) {
        if ((set & FLO_WAIT_BIT(i)) != 0 && waits[i].is_ending) {
            return true;
        }
    }
    return false;
}

/* Checks each model. */
void flo_wait_changed(struct step *s)
{
    struct flo_agent_model *model = s->model;

    if (model->has_execution && model->execution.job != 0 && ends_job(s->agent, model)) {
        flo_execution_cancel_job(s);
        model->execution.deadline_ms = 0;
        model->execution.retry_at_ms = 0;
    }
}
