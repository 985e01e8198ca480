/* Update lane: decides which execution may continue now.
 *
 * Only one execution at a time has the lane, which stands for the use of
 * network, disk and a second engine.  Its order is computed at each step and
 * never stored; no two executions have the same rank.  Rollbacks and removals
 * need no lane.  A soak needs no lane either: an execution that soaks gives it
 * to the next one.
 *
 * A repair of a model that cannot serve takes the lane from an update, but not
 * from another such repair.  Nothing else takes the lane from an execution that
 * has it. */
#include <assert.h>
#include <string.h>

#include "agent/core/device/step.h"

/* Ranks of the executions, of which only one at a time may continue.  The first
 * rank goes first. */
enum place {
    /* the shell writes a record for the execution, or switches engines for it,
     * which takes milliseconds */
    PLACE_WRITING,
    PLACE_REPAIR_DOWN, /* the execution repairs a model that cannot serve */
    PLACE_UNDER_WAY,   /* the execution has a job, a probe or the like in progress */
    PLACE_FIRST,       /* the model of the execution has no release yet */
    PLACE_DEPLOY,      /* an order started the execution; the lowest order number is first */
    PLACE_REPAIR,      /* the execution repairs a model that serves */
    PLACE_NONE
};

static enum place place_of(const struct flo_agent_model *model)
{
    const struct flo_agent_execution *execution = &model->execution;
    bool is_repair = !flo_variant_is_exchanged(model) &&
                     flo_ref_equal(&execution->release, &model->slots.current);

    if (!model->has_execution || execution->state == FLO_EXECUTION_SOAKING) {
        return PLACE_NONE;
    }
    if (execution->is_writing || execution->state == FLO_EXECUTION_ACTIVATING) {
        return PLACE_WRITING;
    }
    if (is_repair && model->live == -1 && execution->state != FLO_EXECUTION_STAGED) {
        return PLACE_REPAIR_DOWN;
    }
    if (flo_execution_is_busy(model)) {
        return PLACE_UNDER_WAY;
    }
    if (is_repair || flo_execution_is_own(execution)) {
        return PLACE_REPAIR;
    }
    return flo_ref_is(&model->slots.current) ? PLACE_DEPLOY : PLACE_FIRST;
}

/* Returns whether the execution of model `a` goes before that of model `b`.
 * One of the two always does, because the names of the models differ. */
static bool comes_before(const struct flo_agent_model *a, const struct flo_agent_model *b)
{
    enum place place_a = place_of(a);
    enum place place_b = place_of(b);

    if (place_a != place_b) {
        return place_a < place_b;
    }
    if (flo_execution_is_busy(a) != flo_execution_is_busy(b)) {
        /* an execution with a job, a probe or a write in progress goes first */
        return flo_execution_is_busy(a);
    }
    if (a->execution.seq != b->execution.seq) {
        return a->execution.seq < b->execution.seq;
    }
    return strcmp(a->name, b->name) < 0;
}

size_t flo_queue_order(const struct flo_agent *agent, uint32_t order[FLO_AGENT_MODELS_MAX])
{
    size_t count = 0;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        size_t at = count;

        if (place_of(&agent->models[i]) == PLACE_NONE) {
            continue;
        }
        while (at > 0 && comes_before(&agent->models[i], &agent->models[order[at - 1]])) {
            order[at] = order[at - 1];
            at--;
        }
        order[at] = i;
        count++;
    }
    return count;
}

/* Returns the first model, in the order of their ranks, whose execution can
 * continue.  Returns NULL when no execution can. */
static struct flo_agent_model *first_in_lane(struct step *s)
{
    uint32_t order[FLO_AGENT_MODELS_MAX];
    size_t count = flo_queue_order(s->agent, order);

    for (size_t i = 0; i < count; i++) {
        s->model = &s->agent->models[order[i]];
        if (flo_execution_is_busy(s->model) || flo_execution_may_move(s)) {
            return s->model;
        }
    }
    return NULL;
}

/* Sets the waiting reason of every execution except that of `first`, which is
 * the only one that may continue. */
static void settle(struct step *s, const struct flo_agent_model *first)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        s->model = &s->agent->models[i];
        if (s->model == first || !s->model->has_execution) {
            continue;
        }
        if (place_of(s->model) == PLACE_UNDER_WAY) {
            assert(first != NULL);
            flo_execution_yield(s, first->name);
        }
        flo_execution_consider(s, first == NULL ? NULL : first->name);
    }
}

/* Lets one execution continue.  If it ends in the same step, the next one
 * continues too. */
void flo_queue_consider(struct step *s)
{
    struct flo_agent_model *before = s->model;
    struct flo_agent_model *first;
    uint32_t rounds = 0;

    do {
        first = first_in_lane(s);
        settle(s, first);
        if (first != NULL) {
            s->model = first;
            flo_execution_consider(s, NULL);
        }
        assert(rounds <= FLO_AGENT_MODELS_MAX);
        rounds++;
    } while (first != NULL && !first->has_execution);
    s->model = before;
}

bool flo_queue_is_sound(const struct flo_agent *agent)
{
    uint32_t moving = 0;

    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        const struct flo_agent_model *model = &agent->models[i];

        moving +=
            flo_execution_is_busy(model) && model->execution.state != FLO_EXECUTION_ACTIVATING;
        if (agent->is_frozen && model->has_execution && model->execution.job != 0) {
            return false;
        }
    }
    return moving <= 1;
}
