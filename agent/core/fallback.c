/* Fallback: chooses the target of a route; see fallback.h. */
#include "agent/core/fallback.h"

#include <assert.h>
#include <string.h>

static const char *const words[FLO_FALLBACK_REASONS] = {
#define FLO_FALLBACK(name, word, meaning) [FLO_FALLBACK_##name] = word,
#include "agent/core/fallback.def"
#undef FLO_FALLBACK
};

const char *flo_fallback_word(enum flo_fallback_reason reason)
{
    assert(reason < FLO_FALLBACK_REASONS);
    return words[reason];
}

bool flo_fallback_parse(const char *word, enum flo_fallback_reason *out)
{
    for (int i = 0; i < FLO_FALLBACK_REASONS; i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (enum flo_fallback_reason)i;
            return true;
        }
    }
    return false;
}

const char *flo_fallback_refusal_words(enum flo_fallback_refusal refusal)
{
    static const char *const sentences[] = {
        [FLO_REFUSAL_NONE] = "it takes the request",
        [FLO_REFUSAL_TRIED] = "it was tried",
        [FLO_REFUSAL_NOT_READY] = "it is not ready",
        [FLO_REFUSAL_TOKEN] = "the token may not use it",
        [FLO_REFUSAL_ABILITY] = "it lacks an ability that the request needs",
        [FLO_REFUSAL_OFF] = "an order keeps prompts on the device",
        [FLO_REFUSAL_SITE] = "the request came from another device",
        [FLO_REFUSAL_APP] = "`apps` of the route does not list the client",
        [FLO_REFUSAL_PRIORITY] = "`never` of the route lists the request's priority",
        [FLO_REFUSAL_BUDGET] = "the day's budget is used",
        [FLO_REFUSAL_MEDIA] = "its redaction command reads text alone",
    };

    assert(refusal < FLO_COUNT(sentences));
    return sentences[refusal];
}

/* Returns the reason why the prompt may not leave the device for this target.
 * Returns FLO_REFUSAL_NONE when it may. */
static enum flo_fallback_refusal judge_leaving(const struct flo_fallback_ask *ask,
                                               const struct flo_fallback_target *target)
{
    if (ask->is_off) {
        return FLO_REFUSAL_OFF;
    }
    if (ask->is_from_site) {
        return FLO_REFUSAL_SITE;
    }
    if (!ask->is_app_allowed) {
        return FLO_REFUSAL_APP;
    }
    if (ask->is_never) {
        return FLO_REFUSAL_PRIORITY;
    }
    if (ask->needs_redaction && ask->has_media) {
        return FLO_REFUSAL_MEDIA;
    }
    return target->kind == FLO_TARGET_ENDPOINT && !target->fits_budget ? FLO_REFUSAL_BUDGET
                                                                       : FLO_REFUSAL_NONE;
}

static enum flo_fallback_refusal judge(const struct flo_fallback_ask *ask,
                                       const struct flo_fallback_target *target)
{
    enum flo_fallback_refusal refusal = FLO_REFUSAL_NONE;

    assert(ask->reason < FLO_FALLBACK_REASONS);
    assert(target->kind <= FLO_TARGET_ENDPOINT);
    if (target->was_tried || target->is_named) {
        return FLO_REFUSAL_TRIED;
    }
    if (target->kind == FLO_TARGET_MODEL) {
        refusal = target->is_allowed ? FLO_REFUSAL_NONE : FLO_REFUSAL_TOKEN;
    } else {
        refusal = judge_leaving(ask, target);
    }
    if (refusal != FLO_REFUSAL_NONE) {
        return refusal;
    }
    if (!target->is_able) {
        return FLO_REFUSAL_ABILITY;
    }
    return target->is_ready ? FLO_REFUSAL_NONE : FLO_REFUSAL_NOT_READY;
}

uint32_t flo_fallback_choose(const struct flo_fallback_ask *ask,
                             const struct flo_fallback_target *targets, uint32_t count,
                             enum flo_fallback_refusal refusals[FLO_FALLBACK_TARGETS_MAX])
{
    uint32_t found = count;

    assert(count > 0 && count <= FLO_FALLBACK_TARGETS_MAX);
    assert(refusals != NULL);
    for (uint32_t i = count; i-- > 0;) {
        refusals[i] = judge(ask, &targets[i]);
        found = refusals[i] == FLO_REFUSAL_NONE ? i : found;
    }
    return found;
}
