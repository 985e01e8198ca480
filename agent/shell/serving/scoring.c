/* Scoring: measures how likely a live release finds its own golden answers, and
 * those of the previous release.
 *
 * Both scores are measured once after each change of releases, and sent in
 * every telemetry window.  The controller compares the second score with the
 * first score of the previous release (docs/internals/gates.md). */
#include <string.h>

#include "agent/shell/serving/state.h"

#define AGAIN_MS 30000 /* pause before a measurement that was interrupted begins again */

static void begin(struct flo_shell *shell);

/* Returns the release that served before the live one.  During a trial that is
 * the current release. */
static struct flo_digest former_of(const struct flo_slots *slots, const struct flo_digest *live)
{
    return flo_digest_equal(live, &slots->current) ? slots->previous : slots->current;
}

static void end(struct flo_shell *shell, uint64_t again_ms)
{
    struct flo_shell_model *model = &shell->models[shell->serving->scoring.model];

    shell->serving->scoring.is_on = false;
    model->golden.release = shell->serving->scoring.release;
    model->golden.former = shell->serving->scoring.former;
    model->golden.again_ms = again_ms;
}

static void scored(void *context, const struct flo_serve_scored *result)
{
    struct flo_shell *shell = context;
    struct flo_shell_model *model = &shell->models[shell->serving->scoring.model];

    if (result->error != 0) {
        end(shell, flo_now_ms() + AGAIN_MS);
        return;
    }
    *(shell->serving->scoring.is_former ? &model->golden.former_ppm : &model->golden.own_ppm) =
        result->ppm;
    flo_log(FLO_LOG_INFO, "probe", "%s: %u golden answers of %s, perplexity %.4f",
            model->slots.model, result->answers,
            shell->serving->scoring.is_former ? "the release before" : "its own",
            (double)result->ppm / 1e6);
    if (shell->serving->scoring.is_former || flo_digest_is_zero(&shell->serving->scoring.former)) {
        end(shell, 0);
        return;
    }
    shell->serving->scoring.is_former = true;
    begin(shell);
}

static void begin(struct flo_shell *shell)
{
    const struct flo_digest *release = shell->serving->scoring.is_former
                                           ? &shell->serving->scoring.former
                                           : &shell->serving->scoring.release;
    struct flo_golden golden = {0};
    struct flo_err err = {0};
    int rv = flo_shell_golden_read(shell, release, &golden, &err);

    if (rv == 0) {
        rv = flo_serve_score(shell->serve, shell->serving->scoring.model, &golden, scored, shell,
                             &err);
    }
    if (rv < 0) {
        flo_log(FLO_LOG_DEBUG, "probe", "no score: %s", err.what);
        end(shell, rv == FLO_E_STATE ? flo_now_ms() + AGAIN_MS : 0);
    }
}

/* Tells whether a score of this model has to be measured now. */
static bool wants(struct flo_shell *shell, uint32_t place)
{
    struct flo_shell_model *model = &shell->models[place];
    const struct flo_digest *live = &model->telemetry.release.digest;
    struct flo_digest former = former_of(&model->slots, live);
    bool is_same = flo_digest_equal(live, &model->golden.release) &&
                   flo_digest_equal(&former, &model->golden.former);

    if (flo_digest_is_zero(live) ||
        (is_same && (model->golden.again_ms == 0 || flo_now_ms() < model->golden.again_ms))) {
        return false;
    }
    if (!is_same) {
        memset(&model->golden, 0, sizeof(model->golden));
    }
    shell->serving->scoring.model = place;
    shell->serving->scoring.is_former = false;
    shell->serving->scoring.release = *live;
    shell->serving->scoring.former = former;
    return true;
}

void flo_shell_score_look(struct flo_shell *shell)
{
    for (uint32_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        if (!shell->serving->scoring.is_on && wants(shell, i)) {
            shell->serving->scoring.is_on = true;
            begin(shell);
        }
    }
}
