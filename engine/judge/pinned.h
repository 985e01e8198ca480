/* Pinned: decides whether an update survives if the model's quantization grid
 * is pinned to the release before.
 *
 * Four models read one text: the new model in floats, the old release, the new
 * model quantized freely, and the pinned one.  The distance of a model from the
 * floats is the mean KL divergence of its next-token probabilities.  The gain
 * of an update is how much nearer the free model is than the old release.  The
 * loss by pinning is how much farther the pinned model is than the free one.
 *
 *   the text shows the update   the pinned model keeps 0.93 of the gain and is
 *                               at most twice as far as the free one
 *   rounding hides the update   the pinned model is at most 1.05 times as far,
 *                               and 0.90 of the weights' change are kept
 *
 * Shares and distances must be two standard errors away from their limits. */
#ifndef FLOTILLA_ENGINE_PINNED_H
#define FLOTILLA_ENGINE_PINNED_H

#include <flotilla/base.h>

/* smallest share of the gain that the pinned model must keep */
#define FLO_PINNED_KEPT_MIN 0.93
/* smallest share of the weights' change to be kept if rounding hides the
 * update */
#define FLO_PINNED_HIDDEN_MIN 0.90
#define FLO_PINNED_FARTHER_MAX 2.0
#define FLO_PINNED_HIDDEN_FARTHER_MAX 1.05

struct flo_pinned_files {
    const char *floats, *old, *free, *pinned; /* paths of the four models */
    const char *text;
    uint64_t threads;
};

/* Distances from the model in floats, in nats per token.  Errors are standard
 * errors over the chunks of the text. */
struct flo_pinned_verdict {
    uint64_t tokens; /* scored tokens */
    uint64_t chunks;
    double kl_old, kl_free, kl_pinned;
    bool is_shown;           /* the text shows the gain of the update */
    double kept, kept_error; /* share of the gain that the pinned model keeps; set if is_shown */
    /* Distance by which the pinned model is above its limit, with its error. */
    double excess, excess_error;
    double weights_min;
};

/* Computes the verdict.  FLO_E_USAGE: the text is too short, or the
 * vocabularies differ.  Returns also the errors of opening the models. */
FLO_MUST_USE int flo_pinned_judge(const struct flo_pinned_files *files,
                                  struct flo_pinned_verdict *verdict, struct flo_err *err);
/* Checks the verdict against the limits.  `weights_kept` is the share of the
 * weights' change that pinning keeps.  FLO_E_MODEL_UPDATE_LOST: a limit is
 * missed. */
FLO_MUST_USE int flo_pinned_check(const struct flo_pinned_verdict *verdict, double weights_kept,
                                  struct flo_err *err);

#endif
