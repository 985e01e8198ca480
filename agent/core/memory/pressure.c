/* Pressure: decides which degradation steps to take under memory pressure, and
 * when to undo them; see pressure.h. */
#include "agent/core/memory/pressure.h"

#include <assert.h>
#include <stdio.h>

#define PSI_MIN 1000 /* 10 % */
#define CGROUP_PERCENT 95
#define SAMPLES_MIN 2
#define DOWN_MS 5000
#define UP_MS 300000
#define UP_MS_MAX 3600000
#define REGRET_MS 1800000
/* time for which memory still counts as short after the pressure has ended */
#define SHORT_MS 30000

const char *flo_pressure_word(enum flo_pressure_step step)
{
    static const char *const words[] = {
        "none",
#define FLO_PRESSURE_STEP(name, word, meaning) word,
#include "agent/core/memory/pressure.def"
    };
    assert(step < FLO_PRESSURE_STEP_COUNT);
    return words[step];
}

const char *flo_pressure_cause_word(enum flo_pressure_cause cause)
{
    static const char *const words[] = {
        [FLO_PRESSURE_CALM] = "", [FLO_PRESSURE_PSI] = "psi", [FLO_PRESSURE_CGROUP] = "cgroup"};
    return words[cause];
}

static enum flo_pressure_cause cause_of(const struct flo_pressure_sample *sample)
{
    if (sample->psi_centipercent >= PSI_MIN) {
        return FLO_PRESSURE_PSI;
    }
    if (sample->cgroup_bytes_max > 0 &&
        sample->cgroup_bytes >= sample->cgroup_bytes_max / 100 * CGROUP_PERCENT) {
        return FLO_PRESSURE_CGROUP;
    }
    return FLO_PRESSURE_CALM;
}

/* ---- down ---- */

/* Takes one model one degradation level down.  All models reach a level before
 * any model goes below it, and the least important model goes first. */
static bool rung_down(struct flo_memory_model *models, size_t count,
                      const struct flo_memory_plan *plan, const size_t *order, size_t *model)
{
    for (uint32_t rung = 1; rung < FLO_MEMORY_RUNGS; rung++) {
        for (size_t i = count; i-- > 0;) {
            size_t at = order[i];
            if (plan->models[at].is_resident && plan->models[at].rung < rung &&
                rung <= flo_memory_last_rung(&models[at])) {
                models[at].rung_min = rung;
                *model = at;
                return true;
            }
        }
    }
    return false;
}

static bool demote(struct flo_memory_model *models, size_t count,
                   const struct flo_memory_plan *plan, const size_t *order, size_t *model)
{
    for (size_t i = count; i-- > 0;) {
        size_t at = order[i];
        if (plan->models[at].is_resident && !models[at].is_pinned) {
            models[at].is_demoted = true;
            *model = at;
            return true;
        }
    }
    return false;
}

/* Chooses the least important model that has a smaller variant.  This is the
 * last resort, because its answers get worse. */
static bool shrink(const struct flo_pressure_facts *facts, size_t count,
                   const struct flo_memory_plan *plan, const size_t *order, size_t *model)
{
    for (size_t i = count; i-- > 0;) {
        size_t at = order[i];
        if (plan->models[at].is_resident && facts->variants[at].may_shrink) {
            *model = at;
            return true;
        }
    }
    return false;
}

static enum flo_pressure_step down(const struct flo_pressure_facts *facts,
                                   struct flo_memory_model *models, size_t count, uint64_t budget,
                                   size_t *model)
{
    struct flo_memory_plan plan;
    size_t order[FLO_MEMORY_MODELS_MAX];
    if (facts->has_idle) {
        return FLO_PRESSURE_EVICT;
    }
    if (facts->has_previous) {
        return FLO_PRESSURE_PREVIOUS;
    }
    if (flo_memory_plan(models, count, budget, &plan, NULL) < 0) {
        return FLO_PRESSURE_NONE;
    }
    flo_memory_order(models, count, order);
    if (rung_down(models, count, &plan, order, model)) {
        return FLO_PRESSURE_RUNG;
    }
    if (demote(models, count, &plan, order, model)) {
        return FLO_PRESSURE_DEMAND;
    }
    return shrink(facts, count, &plan, order, model) ? FLO_PRESSURE_SMALLER : FLO_PRESSURE_NONE;
}

/* ---- up ---- */

static bool has_room(const struct flo_memory_model *models, size_t count, uint64_t budget,
                     uint64_t more_bytes)
{
    struct flo_memory_plan plan;
    uint64_t planned;

    return flo_memory_plan(models, count, budget, &plan, NULL) == 0 &&
           flo_add_u64(plan.planned, more_bytes, &planned) && planned <= budget / 10 * 9;
}

/* Takes a model one degradation level up, or lets it stay in memory again.
 * Returns false when memory does not allow it. */
static bool recall(struct flo_memory_model *models, size_t count, uint64_t budget, size_t at)
{
    struct flo_memory_model *one = &models[at];
    struct flo_memory_model before = *one;

    if (one->is_demoted) {
        one->is_demoted = false;
    } else if (one->rung_min > 0) {
        one->rung_min--;
    } else {
        return false;
    }
    if (!has_room(models, count, budget, 0)) {
        *one = before;
        return false;
    }
    return true;
}

/* Undoes one step for the most important degraded model, if a tenth of the
 * memory budget stays free. */
static enum flo_pressure_step up(const struct flo_pressure_facts *facts,
                                 struct flo_memory_model *models, size_t count, uint64_t budget,
                                 size_t *model)
{
    size_t order[FLO_MEMORY_MODELS_MAX];

    flo_memory_order(models, count, order);
    for (size_t i = 0; i < count; i++) {
        size_t at = order[i];
        *model = at;
        if (facts->variants[at].may_grow &&
            has_room(models, count, budget, facts->variants[at].more_bytes)) {
            return FLO_PRESSURE_LARGER;
        }
        if (recall(models, count, budget, at)) {
            return FLO_PRESSURE_UP;
        }
    }
    return FLO_PRESSURE_NONE;
}

/* ---- samples ---- */

static void went_down(struct flo_pressure *pressure, uint64_t now_ms)
{
    uint64_t wait_ms = pressure->wait_ms > 0 ? pressure->wait_ms : UP_MS;
    if (pressure->up_ms > 0 && now_ms - pressure->up_ms < REGRET_MS) {
        wait_ms *= 2;
        pressure->wait_ms = wait_ms < UP_MS_MAX ? wait_ms : UP_MS_MAX;
    }
    pressure->down_ms = now_ms;
    pressure->samples = 0;
}

static bool is_full_again(const struct flo_pressure_facts *facts,
                          const struct flo_memory_model *models, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (models[i].rung_min > 0 || models[i].is_demoted || facts->variants[i].is_smaller) {
            return false;
        }
    }
    return true;
}

/* Returns whether it is time to undo one reduction.  That may also be a smaller
 * variant that an earlier run of the agent left, without any pressure in this
 * run. */
static bool is_up_due(const struct flo_pressure *pressure, uint64_t now_ms, bool is_full)
{
    uint64_t wait_ms = pressure->wait_ms > 0 ? pressure->wait_ms : UP_MS;
    return (pressure->cause != FLO_PRESSURE_CALM || !is_full) &&
           now_ms - pressure->calm_ms >= wait_ms && now_ms - pressure->up_ms >= wait_ms;
}

static enum flo_pressure_step go_up(struct flo_pressure *pressure,
                                    const struct flo_pressure_facts *facts,
                                    struct flo_memory_model *models, size_t count, uint64_t budget,
                                    uint64_t now_ms, size_t *model)
{
    enum flo_pressure_step step = up(facts, models, count, budget, model);

    if (step != FLO_PRESSURE_NONE) {
        pressure->up_ms = now_ms;
    } else {
        *model = FLO_MEMORY_MODELS_MAX;
    }
    if (is_full_again(facts, models, count)) {
        pressure->cause = FLO_PRESSURE_CALM;
    }
    return step;
}

enum flo_pressure_step flo_pressure_sample(struct flo_pressure *pressure,
                                           const struct flo_pressure_sample *sample,
                                           const struct flo_pressure_facts *facts,
                                           struct flo_memory_model *models, size_t count,
                                           uint64_t budget, size_t *model)
{
    enum flo_pressure_cause cause = cause_of(sample);
    uint64_t now_ms = sample->now_ms;
    if (cause == FLO_PRESSURE_CALM) {
        pressure->calm_ms =
            pressure->samples > 0 || pressure->calm_ms == 0 ? now_ms : pressure->calm_ms;
        pressure->samples = 0;
        pressure->is_short = pressure->is_short && now_ms - pressure->calm_ms < SHORT_MS;
        return is_up_due(pressure, now_ms, is_full_again(facts, models, count))
                   ? go_up(pressure, facts, models, count, budget, now_ms, model)
                   : FLO_PRESSURE_NONE;
    }
    pressure->calm_ms = 0;
    pressure->samples++;
    pressure->is_short = pressure->is_short || pressure->samples >= SAMPLES_MIN;
    if (pressure->samples < SAMPLES_MIN ||
        (pressure->down_ms > 0 && now_ms - pressure->down_ms < DOWN_MS)) {
        return FLO_PRESSURE_NONE;
    }
    enum flo_pressure_step step = down(facts, models, count, budget, model);
    if (step != FLO_PRESSURE_NONE) {
        pressure->cause = cause;
        went_down(pressure, now_ms);
    }
    return step;
}

/* ---- in words ---- */

static void say_model(enum flo_pressure_step step, const struct flo_memory_model *model,
                      char out[FLO_PRESSURE_TEXT / 2])
{
    static const char *const before[FLO_PRESSURE_STEP_COUNT] = {
        [FLO_PRESSURE_RUNG] = "goes", [FLO_PRESSURE_UP] = "is back"};

    if (step == FLO_PRESSURE_SMALLER || step == FLO_PRESSURE_LARGER) {
        snprintf(out, FLO_PRESSURE_TEXT / 2, "%.40s gets the %s variant", model->name,
                 flo_pressure_word(step));
    } else if (step == FLO_PRESSURE_DEMAND) {
        snprintf(out, FLO_PRESSURE_TEXT / 2, "%.40s is on demand", model->name);
    } else {
        snprintf(out, FLO_PRESSURE_TEXT / 2, "%.40s %s to rung %u%s", model->name, before[step],
                 model->rung_min, model->is_demoted ? ", on demand" : "");
    }
}

void flo_pressure_say(const struct flo_pressure_sample *sample, enum flo_pressure_step step,
                      const struct flo_memory_model *model, char out[FLO_PRESSURE_TEXT])
{
    char why[60] = "", what[FLO_PRESSURE_TEXT / 2] = "nothing to give up";

    if (sample->psi_centipercent >= PSI_MIN) {
        snprintf(why, sizeof(why), " (psi %u.%02u %%)", sample->psi_centipercent / 100,
                 sample->psi_centipercent % 100);
    } else if (cause_of(sample) == FLO_PRESSURE_CGROUP) {
        snprintf(why, sizeof(why), " (cgroup %llu of %llu bytes)",
                 (unsigned long long)sample->cgroup_bytes,
                 (unsigned long long)sample->cgroup_bytes_max);
    }
    if (model != NULL) {
        say_model(step, model, what);
    } else if (step == FLO_PRESSURE_EVICT) {
        snprintf(what, sizeof(what), "models on demand leave");
    } else if (step == FLO_PRESSURE_PREVIOUS) {
        snprintf(what, sizeof(what), "the release before a trial leaves");
    }
    snprintf(out, FLO_PRESSURE_TEXT, "memory is %s%s: %s",
             step == FLO_PRESSURE_UP || step == FLO_PRESSURE_LARGER ? "calm again" : "short", why,
             what);
}
