/* Likelihood: computes how likely a model finds a golden answer (the answer
 * that a test case expects).
 *
 * The model answers greedily and reports for each token its log-probability and
 * those of the most likely alternatives.  While its answer equals the golden
 * one, the probabilities of its tokens are multiplied.  Where it differs, the
 * golden token's probability is the last factor, because later tokens follow a
 * text that is not the golden one.  So a small change of a model shows before
 * an answer is wrong.  Answers are compared as bytes, so releases with
 * different tokenizers are comparable.  Pure. */
#ifndef FLOTILLA_AGENT_CORE_LIKELIHOOD_H
#define FLOTILLA_AGENT_CORE_LIKELIHOOD_H

#include <flotilla/agent.h>

/* largest loss of one token, for a token that is practically impossible */
#define FLO_LIKELIHOOD_LOSS_MAX 20

struct flo_likelihood {
    const char *answer; /* part of the golden answer that the model has not given yet; borrowed */
    size_t bytes;
    double loss; /* -ln of the probability of the golden answer up to here */
    bool has_begun;
    bool has_ended; /* the golden answer is complete, or the model's answer differed */
};
/* `answer` is borrowed. */
void flo_likelihood_init(struct flo_likelihood *likelihood, const char *answer, size_t bytes);

/* A token that the model chose, or an alternative that it reported. */
struct flo_likely {
    const char *text; /* text of the token; 0 bytes: the end of the answer */
    size_t bytes;
    double logprob;
};
/* Adds one step of the model's answer.  tokens[0] is the chosen token; the most
 * likely alternatives follow in any order. */
void flo_likelihood_token(struct flo_likelihood *likelihood, const struct flo_likely *tokens,
                          size_t count);

/* Returns the perplexity of `answers` golden answers in millionths, for
 * telemetry; 0: there were no answers. */
int64_t flo_likelihood_ppm(double loss_sum, uint32_t answers);

#endif
