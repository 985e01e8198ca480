/* Does a model on a pinned grid answer as its update wants it?
 *
 * Four models read one text: the new floats, the release before, the new floats
 * quantized freely, and the pinned model.  Each one's distance from the floats
 * is the mean KL divergence of its next token's probabilities.  An update
 * brings the free model nearer than the release before; a pin loses what the
 * pinned model is farther than the free one.
 *
 *   the text shows the update   the pinned model keeps 0.93 of what it brings,
 *                               and is at most twice as far as the free one
 *   it does not, since rounding the pinned model is at most 1.05 times as far,
 *   hides more                  and 0.90 of the weights' change are kept
 *
 * Shares and distances stand two standard errors from their limits. */
#ifndef FLOTILLA_ENGINE_PINNED_H
#define FLOTILLA_ENGINE_PINNED_H

#include <flotilla/base.h>

#define FLO_PINNED_KEPT_MIN 0.93   /* share of what the update brings */
#define FLO_PINNED_HIDDEN_MIN 0.90 /* share of a change not shown */
#define FLO_PINNED_FARTHER_MAX 2.0
#define FLO_PINNED_HIDDEN_FARTHER_MAX 1.05

struct flo_pinned_files {
    const char *floats, *old, *free, *pinned; /* models that can be opened */
    const char *text;
    uint64_t threads;
};

/* Distances in nats per token from the floats; errors are standard errors over
 * chunks of the text. */
struct flo_pinned_verdict {
    uint64_t tokens; /* that were scored */
    uint64_t chunks;
    double kl_old, kl_free, kl_pinned;
    bool is_shown;           /* the update, by the text */
    double kept, kept_error; /* share of its gain, where it is shown */
    /* Distance of the pinned model beyond what it may have; the least share of
     * the weights' change. */
    double excess, excess_error;
    double weights_min;
};

/* FLO_E_USAGE: the text is too short, or a vocabulary differs; errors of
 * opening the models. */
FLO_MUST_USE int flo_pinned_judge(const struct flo_pinned_files *files,
                                  struct flo_pinned_verdict *verdict, struct flo_err *err);
/* FLO_E_MODEL_UPDATE_LOST.  weights_kept: of the weights' change. */
FLO_MUST_USE int flo_pinned_check(const struct flo_pinned_verdict *verdict, double weights_kept,
                                  struct flo_err *err);

#endif
