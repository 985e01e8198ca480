/* Sequential test (bet): finds out whether a share is certainly above, or
 * certainly below, a limit.
 *
 * The test bets against the claim that the share equals the limit, with a stake
 * of 1.  Its bet on each answer follows Laplace's rule, (yes + 1) / (count +
 * 2), which needs no prior knowledge.  If the claim is true, the stake grows to
 * N with a probability of at most 1/N, after any number of answers (Ville's
 * inequality).  The same holds if the share is on the wrong side of the limit.
 * So a stake of N, read after any answer, means odds of N against the claim. */
#include <flotilla/agent.h>

#include <assert.h>
#include <math.h>

void flo_bet_add(struct flo_bet *bet, double limit, bool is_yes)
{
    double guess = (double)(bet->yes + 1) / (double)(bet->count + 2);

    assert(limit > 0 && limit < 1);
    assert(bet->yes <= bet->count);
    bet->log_odds += is_yes ? log(guess / limit) : log((1 - guess) / (1 - limit));
    bet->count++;
    bet->yes += is_yes ? 1 : 0;
}

static bool is_sure(const struct flo_bet *bet, double odds)
{
    assert(odds > 1);
    return bet->log_odds >= log(odds);
}

bool flo_bet_is_above(const struct flo_bet *bet, double limit, double odds)
{
    return is_sure(bet, odds) && (double)bet->yes > limit * (double)bet->count;
}

bool flo_bet_is_below(const struct flo_bet *bet, double limit, double odds)
{
    return is_sure(bet, odds) && (double)bet->yes < limit * (double)bet->count;
}
