/* Actions: adds actions to a step, and has small helpers that all files of the
 * core use. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "agent/core/device/step.h"

struct flo_agent_action *flo_do(struct step *s, enum flo_agent_action_kind kind)
{
    struct flo_agent_actions *actions = s->actions;
    struct flo_agent_action *action;

    assert(kind < FLO_DO_COUNT);
    assert(actions->count < FLO_AGENT_ACTIONS_MAX);
    action = &actions->list[actions->count++];
    memset(action, 0, sizeof(*action));
    action->kind = kind;
    action->model = flo_step_model(s);
    return action;
}

void flo_do_release(struct step *s, enum flo_agent_action_kind kind,
                    const struct flo_release_ref *release)
{
    flo_do(s, kind)->release = *release;
}

void flo_do_ack(struct step *s, const char *order, const char *outcome,
                const struct flo_agent_error *error)
{
    struct flo_agent_action *action = flo_do(s, FLO_DO_ACK);

    assert(order != NULL && outcome != NULL);
    assert(strlen(order) <= FLO_NAME_MAX);
    snprintf(action->order, sizeof(action->order), "%s", order);
    action->word = outcome;
    if (error != NULL) {
        action->error = *error;
    }
}

void flo_do_serving(struct step *s, const char *word, const struct flo_release_ref *release)
{
    struct flo_agent_action *action = flo_do(s, FLO_DO_SERVING);

    assert(word != NULL);
    action->word = word;
    action->release = *release;
    s->agent->revision++;
}

void flo_do_note(struct step *s, const char *format, ...)
{
    struct flo_agent_action *action = flo_do(s, FLO_DO_NOTE);
    va_list args;

    va_start(args, format);
    vsnprintf(action->error.what, sizeof(action->error.what), format, args);
    va_end(args);
}

const char *flo_ref_text(const struct flo_release_ref *ref, char out[FLO_REF_TEXT])
{
    if (flo_ref_is(ref)) {
        snprintf(out, FLO_REF_TEXT, "%s@%s", ref->model, ref->version);
    } else {
        snprintf(out, FLO_REF_TEXT, "nothing");
    }
    return out;
}

/* Returns the next random number of splitmix64.  Its seed comes with the event
 * FLO_AGENT_BOOT, so a step can be repeated exactly. */
uint64_t flo_agent_random(struct flo_agent *agent)
{
    uint64_t z = (agent->random += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

bool flo_ref_is(const struct flo_release_ref *ref)
{
    return !flo_digest_is_zero(&ref->digest);
}

bool flo_ref_equal(const struct flo_release_ref *a, const struct flo_release_ref *b)
{
    return flo_digest_equal(&a->digest, &b->digest);
}

void flo_agent_turn(struct flo_agent_model *model, enum flo_slot_turn turn)
{
    struct flo_agent_slots *slots = &model->slots;
    const struct flo_places places = {&slots->current, &slots->previous, &slots->candidate,
                                      sizeof(slots->current)};

    flo_slots_turn(turn, &places);
    slots->is_trial = false;
    slots->tries_left = 0;
}

void flo_agent_error_set(struct flo_agent_error *error, int code, const char *step,
                         const char *format, ...)
{
    va_list args;

    assert(strlen(step) < sizeof(error->step));
    error->code = code;
    snprintf(error->step, sizeof(error->step), "%s", step);
    va_start(args, format);
    vsnprintf(error->what, sizeof(error->what), format, args);
    va_end(args);
}

bool flo_agent_is_paused(const struct flo_agent *agent, const char *rollout)
{
    size_t i = 0;

    assert(strlen(rollout) <= FLO_NAME_MAX);
    if (rollout[0] == '\0') {
        return false;
    }
    while (i < FLO_AGENT_PAUSED_MAX && strcmp(agent->pauses.rollouts[i], rollout) != 0) {
        i++;
    }
    return i < FLO_AGENT_PAUSED_MAX || agent->pauses.all;
}

bool flo_agent_is_idle(const struct flo_agent *agent, uint32_t index)
{
    const struct flo_agent_model *model = &agent->models[index];

    assert(index < FLO_AGENT_MODELS_MAX);
    return !flo_ref_is(&model->slots.current) && !flo_ref_is(&model->slots.candidate) &&
           !model->has_execution && !model->going_back.is_active && !model->removal.is_active;
}
