/* Golden cases: follows an answer token by token and compares how likely the
 * model finds the expected tokens with what the publisher's model found.
 *
 * Two good engines may choose different tokens where two are nearly as likely.
 * Their probabilities are close all the same, so these are compared.  Pure. */
#include <flotilla/golden.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#include <flotilla/errors/probe.h>

void flo_golden_follow(struct flo_golden_follow *follow, const struct flo_golden_case *c)
{
    *follow = (struct flo_golden_follow){0};
    for (uint32_t i = 0; i < c->n_expect; i++) {
        if (c->expect[i].kind == FLO_GOLDEN_LOSSES) {
            follow->match = &c->expect[i];
        }
    }
}

/* Returns the loss of the expected token, or the largest one that was reported:
 * the expected token then has at least so much. */
static double loss_of(const struct flo_golden_likely *tokens, size_t count, int32_t expected)
{
    double most = 0;

    for (size_t i = 0; i < count; i++) {
        if (tokens[i].token == expected) {
            return tokens[i].loss;
        }
        most = fmax(most, tokens[i].loss);
    }
    return most;
}

void flo_golden_follow_token(struct flo_golden_follow *follow,
                             const struct flo_golden_likely *tokens, size_t count)
{
    const struct flo_golden_match *match = follow->match;

    assert(count > 0);
    if (match == NULL || follow->has_departed || follow->count == match->n_tokens) {
        return;
    }
    int32_t expected = match->tokens[follow->count];
    double loss = loss_of(tokens, count, expected);
    double difference = fabs(loss - (double)match->losses[follow->count]);
    difference = isnan(difference) ? INFINITY : difference;
    follow->last = difference;
    if (difference > follow->worst) {
        follow->worst = difference;
        follow->worst_at = follow->count;
        follow->worst_loss = loss;
    }
    follow->count++;
    follow->has_departed = tokens[0].token != expected;
}

int flo_golden_judge_losses(const struct flo_golden_match *match,
                            const struct flo_golden_follow *follow, struct flo_err *err)
{
    if (follow == NULL || follow->match != match) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN, "there are no probabilities");
    }
    if (follow->worst > match->high) {
        return flo_fail(err, FLO_E_PROBE_GOLDEN,
                        "token %u has a loss of %.2f, expected is %.2f, %.2f more or less are "
                        "allowed",
                        follow->worst_at, follow->worst_loss,
                        (double)match->losses[follow->worst_at], match->high);
    }
    return follow->has_departed || follow->count == match->n_tokens
               ? 0
               : flo_fail(err, FLO_E_PROBE_GOLDEN, "the answer ends after %u of %u tokens",
                          follow->count, match->n_tokens);
}
