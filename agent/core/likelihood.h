/* Likelihood: computes how likely a model finds a golden answer.
 *
 * The model answers greedily and reports for each token its log-probability and
 * those of the most likely alternatives.  While its answer equals the golden
 * one, the token probabilities are multiplied.  Where it differs, the golden
 * token's probability is the last factor, because the rest depends on text that
 * the model did not write.  So a small change of a model shows before an answer
 * is wrong.  Answers are compared as bytes, so releases with different
 * tokenizers are comparable.  Pure. */
#ifndef FLOTILLA_AGENT_CORE_LIKELIHOOD_H
#define FLOTILLA_AGENT_CORE_LIKELIHOOD_H

#include <flotilla/agent.h>

#define FLO_LIKELIHOOD_LOSS_MAX 20 /* largest loss of a token: practically impossible */

struct flo_likelihood {
    const char *answer; /* rest of the golden answer, borrowed */
    size_t bytes;
    double loss; /* -ln of the probability of the answer so far */
    bool has_begun;
    bool has_ended; /* the answer is complete, or the model differed */
};
/* `answer` is borrowed. */
void flo_likelihood_init(struct flo_likelihood *likelihood, const char *answer, size_t bytes);

/* A token that the model chose, or could have chosen. */
struct flo_likely {
    const char *text; /* text of the token; none: the end of the answer */
    size_t bytes;
    double logprob;
};
/* Adds one step of the answer. The chosen token comes first, then the most
 * likely other tokens in any order. */
void flo_likelihood_token(struct flo_likelihood *likelihood, const struct flo_likely *tokens,
                          size_t count);

/* Returns the perplexity of the mean answer in millionths, for telemetry; 0:
 * there is none. */
int64_t flo_likelihood_ppm(double loss_sum, uint32_t answers);

#endif
