/* Evidence: is a share surely above, or surely below, a limit?
 *
 * Somebody who knows nothing bets on each answer by Laplace's rule, (yes + 1) /
 * (count + 2), against a claim that the share is the limit.  Stakes of 1 grow
 * to N with a probability of 1/N at most while the claim holds, however often
 * one looks (Ville's inequality); the same is true of a claim that the share
 * lies on the other side.  So the odds may be read after every answer. */
#include <flotilla/agent.h>

#include <assert.h>
#include <math.h>

void flo_evidence_add(struct flo_evidence *evidence, double limit, bool is_yes)
{
    double guess = (double)(evidence->yes + 1) / (double)(evidence->count + 2);

    assert(limit > 0 && limit < 1);
    assert(evidence->yes <= evidence->count);
    evidence->log_odds +=
        is_yes ? log(guess / limit) : log((1 - guess) / (1 - limit));
    evidence->count++;
    evidence->yes += is_yes ? 1 : 0;
}

static bool is_sure(const struct flo_evidence *evidence, double odds)
{
    assert(odds > 1);
    return evidence->log_odds >= log(odds);
}

bool flo_evidence_is_above(const struct flo_evidence *evidence, double limit,
                           double odds)
{
    return is_sure(evidence, odds) &&
           (double)evidence->yes > limit * (double)evidence->count;
}

bool flo_evidence_is_below(const struct flo_evidence *evidence, double limit,
                           double odds)
{
    return is_sure(evidence, odds) &&
           (double)evidence->yes < limit * (double)evidence->count;
}
