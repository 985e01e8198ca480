/* Likelihood of a golden answer: see likelihood.h. */
#include "agent/core/likelihood.h"

#include <assert.h>
#include <math.h>
#include <string.h>

void flo_likelihood_init(struct flo_likelihood *likelihood, const char *answer, size_t bytes)
{
    assert(answer != NULL || bytes == 0);
    *likelihood =
        (struct flo_likelihood){.answer = answer, .bytes = bytes, .has_ended = bytes == 0};
}

/* Returns how many bytes of the golden answer the token covers; 0: it differs
 * from that answer.  A first token may begin with a blank that the golden
 * answer lacks. */
static size_t covers(const struct flo_likelihood *likelihood, const struct flo_likely *token)
{
    const char *text = token->text;
    size_t bytes = token->bytes;

    if (!likelihood->has_begun && bytes > 1 && text[0] == ' ' && likelihood->answer[0] != ' ') {
        text++;
        bytes--;
    }
    return bytes > 0 && bytes <= likelihood->bytes && memcmp(text, likelihood->answer, bytes) == 0
               ? bytes
               : 0;
}

static double loss_of(double logprob)
{
    return !(logprob > -FLO_LIKELIHOOD_LOSS_MAX) ? FLO_LIKELIHOOD_LOSS_MAX
           : logprob > 0                         ? 0
                                                 : -logprob;
}

/* Returns the loss (-ln of the probability) of the next token of the golden
 * answer, when the model has chosen another token.  It is the lowest loss among
 * the reported alternatives that continue the golden answer.  If none does, it
 * is the highest reported loss, as a lower bound. */
static double departure(const struct flo_likelihood *likelihood, const struct flo_likely *tokens,
                        size_t count)
{
    double golden = INFINITY;
    double last = 0;

    for (size_t i = 1; i < count; i++) {
        double loss = loss_of(tokens[i].logprob);
        last = fmax(last, loss);
        golden = covers(likelihood, &tokens[i]) > 0 ? fmin(golden, loss) : golden;
    }
    return isinf(golden) ? (count > 1 ? last : FLO_LIKELIHOOD_LOSS_MAX) : golden;
}

void flo_likelihood_token(struct flo_likelihood *likelihood, const struct flo_likely *tokens,
                          size_t count)
{
    assert(count > 0);
    assert(likelihood->loss >= 0);
    if (likelihood->has_ended) {
        return;
    }
    size_t bytes = covers(likelihood, &tokens[0]);
    if (bytes == 0) {
        likelihood->loss += departure(likelihood, tokens, count);
        likelihood->has_ended = true;
        return;
    }
    likelihood->loss += loss_of(tokens[0].logprob);
    likelihood->answer += bytes;
    likelihood->bytes -= bytes;
    likelihood->has_begun = true;
    likelihood->has_ended = likelihood->bytes == 0;
}

int64_t flo_likelihood_ppm(double loss_sum, uint32_t answers)
{
    double loss = answers > 0 ? loss_sum / answers : 0;

    assert(loss_sum >= 0);
    return answers == 0 ? 0 : (int64_t)llround(1e6 * exp(fmin(loss, FLO_LIKELIHOOD_LOSS_MAX)));
}
