/* Golden cases: follows an answer token by token and compares how likely the
 * model finds the expected tokens with what the publisher's model found.
 *
 * Two good engines may choose different tokens where two are nearly as likely.
 * Their probabilities are close all the same, so these are compared.  A damaged
 * layer moves the probabilities of all tokens a little.  So the likeliest ones of
 * each step, the rivals, are compared over all cases: in the mean of thousands of
 * differences, rounding is steady and damage is larger.  Pure. */
#include <flotilla/golden.h>

#include <assert.h>
#include <math.h>
#include <string.h>

#include <flotilla/errors/probe.h>

void flo_golden_follow(struct flo_golden_follow *follow, const struct flo_golden_case *c)
{
    *follow = (struct flo_golden_follow){.squares = follow->squares, .allowed = follow->allowed};
    for (uint32_t i = 0; i < c->n_expect; i++) {
        const struct flo_golden_match *match = &c->expect[i];
        follow->match = match->kind == FLO_GOLDEN_LOSSES ? match : follow->match;
        follow->rivals = match->kind == FLO_GOLDEN_RIVALS ? match : follow->rivals;
    }
}

double flo_golden_loss(const struct flo_golden_match *match, uint32_t index,
                       const struct flo_golden_likely *tokens, size_t count)
{
    double most = (double)match->losses[index];

    for (size_t i = 0; i < count; i++) {
        if (tokens[i].token == match->tokens[index]) {
            return tokens[i].loss;
        }
        most = fmax(most, tokens[i].loss);
    }
    return most;
}

static void compare_rivals(struct flo_golden_follow *follow, const struct flo_golden_likely *tokens,
                           size_t count)
{
    const struct flo_golden_match *rivals = follow->rivals;
    uint32_t each = rivals != NULL ? rivals->n_tokens / follow->match->n_tokens : 0;

    for (uint32_t i = follow->count * each; i < (follow->count + 1) * each; i++) {
        double difference = flo_golden_loss(rivals, i, tokens, count) - (double)rivals->losses[i];
        follow->squares += difference * difference;
        follow->allowed += rivals->high * rivals->high;
    }
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
    double loss = flo_golden_loss(match, follow->count, tokens, count);
    double difference = fabs(loss - (double)match->losses[follow->count]);
    difference = isnan(difference) ? INFINITY : difference;
    follow->last = difference;
    compare_rivals(follow, tokens, count);
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

int flo_golden_judge_rivals(const struct flo_golden_follow *follow, const char *kernel,
                            struct flo_err *err)
{
    return follow->squares <= follow->allowed || strcmp(kernel, "llama.cpp") == 0
               ? 0
               : flo_fail(err, FLO_E_PROBE_GOLDEN,
                          "the probabilities of likely tokens differ %.2f times as much as is "
                          "allowed, over all cases",
                          sqrt(follow->squares / follow->allowed));
}
