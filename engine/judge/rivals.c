/* Rivals: from the losses of several plays to the expected ones, and to the
 * difference that good devices may show.
 *
 * Kernels add in different orders, and caches round: both move each loss by
 * chance.  The mean over the plays is nearer to any good device than one play
 * is.  A damaged layer moves the losses of all devices, so the smaller the
 * allowed difference, the more damage is seen. */
#include "engine/judge/rivals.h"

#include <math.h>
#include <stdlib.h>

/* Allowed difference: so many times what the worst play showed, or so much at
 * least (docs/benchmarks.md). */
#define SLACK_TIMES 1.3
#define SLACK_LEAST 0.06

int flo_rivals_add(struct flo_rivals *rivals, const float *losses, uint32_t heard, bool is_own,
                   struct flo_err *err)
{
    if (rivals->n_plays == FLO_RIVALS_PLAYS_MAX) {
        return 0;
    }
    float *play = malloc((rivals->count + 1) * sizeof(*play));
    if (play == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the losses of a play");
    }
    for (uint32_t i = 0; i < rivals->count; i++) {
        play[i] = i < heard ? losses[i] : NAN;
    }
    rivals->plays[rivals->n_plays++] = play;
    rivals->n_own = is_own ? rivals->n_plays : rivals->n_own;
    return 0;
}

void flo_rivals_deinit(struct flo_rivals *rivals)
{
    for (uint32_t i = 0; i < rivals->n_plays; i++) {
        free(rivals->plays[i]);
    }
    *rivals = (struct flo_rivals){0};
}

/* Returns the loss in an own play: number 0 is the one that made the cases. */
static double own_loss(const struct flo_rivals *rivals, const float *losses, uint32_t play,
                       uint32_t index)
{
    return (double)(play == 0 ? losses[index] : rivals->plays[play - 1][index]);
}

/* Sums a loss over the model's own plays.  *n_heard is the number of plays that
 * heard it. */
static double sum_own(const struct flo_rivals *rivals, const float *losses, uint32_t index,
                      uint32_t *n_heard)
{
    double sum = 0;

    *n_heard = 0;
    for (uint32_t i = 0; i <= rivals->n_own; i++) {
        double loss = own_loss(rivals, losses, i, index);
        sum += isnan(loss) ? 0 : loss;
        *n_heard += !isnan(loss);
    }
    return sum;
}

void flo_rivals_settle(const struct flo_rivals *rivals, uint32_t count, float *losses,
                       struct flo_rivals_spread *spread)
{
    for (uint32_t i = 0; i < count && i < rivals->count; i++) {
        uint32_t n_heard;
        double sum = sum_own(rivals, losses, i, &n_heard);
        for (uint32_t k = 0; k <= rivals->n_plays && n_heard > 1; k++) {
            double loss = own_loss(rivals, losses, k, i);
            double rest = k <= rivals->n_own ? (sum - loss) / (n_heard - 1) : sum / n_heard;
            if (!isnan(loss)) {
                spread->squares[k] += (loss - rest) * (loss - rest);
                spread->counts[k]++;
            }
        }
        losses[i] = (float)(sum / n_heard);
    }
}

double flo_rivals_slack(const struct flo_rivals_spread *spread)
{
    double worst = 0;

    for (size_t i = 0; i < FLO_COUNT(spread->counts); i++) {
        if (spread->counts[i] > 0) {
            worst = fmax(worst, sqrt(spread->squares[i] / (double)spread->counts[i]));
        }
    }
    return fmax(SLACK_LEAST, SLACK_TIMES * worst);
}
