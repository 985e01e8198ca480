/* Likelihood: how likely a golden answer is to a model.
 *
 * The model answers greedily and tells of each token its log-probability and
 * those of the likeliest others.  As long as its answer is the golden one, the
 * likelihoods of its tokens multiply.  Where it departs, the golden token's
 * likelihood is the last factor: the rest of the answer would follow from a
 * text that the model did not write.  A small change of a model shows before an
 * answer is wrong.  Answers are compared as bytes, so releases with other
 * tokens have the same measure.  Pure. */
#ifndef FLOTILLA_AGENT_CORE_LIKELIHOOD_H
#define FLOTILLA_AGENT_CORE_LIKELIHOOD_H

#include <flotilla/agent.h>

#define FLO_LIKELIHOOD_LOSS_MAX 20 /* a token: as good as impossible */

struct flo_likelihood {
    const char *answer; /* borrowed: what is left of it */
    size_t bytes;
    double loss; /* -ln of the likelihood so far */
    bool has_begun;
    bool has_ended; /* all of it was told, or the model departed */
};
/* `answer` stays the caller's. */
void flo_likelihood_init(struct flo_likelihood *likelihood, const char *answer, size_t bytes);

/* A token that the model chose, and those that it could have chosen. */
struct flo_likely {
    const char *text; /* the bytes it stands for; none: an end */
    size_t bytes;
    double logprob;
};
/* chosen: first; then the likeliest, in any order. */
void flo_likelihood_token(struct flo_likelihood *likelihood, const struct flo_likely *tokens,
                          size_t count);

/* Losses of answers to a number for telemetry: the mean answer's perplexity in
 * millionths.  0: there is none. */
int64_t flo_likelihood_ppm(double loss_sum, uint32_t answers);

#endif
