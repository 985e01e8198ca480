/* Golden: plays golden cases on a model in several ways, for the commands
 * `golden create` and `golden play`. */
#ifndef FLOTILLA_ENGINE_GOLDEN_H
#define FLOTILLA_ENGINE_GOLDEN_H

#include <flotilla/golden.h>

#include "base/ticker.h"
#include "engine/judge/rivals.h"
#include "engine/tools/common.h"

/* difference of a loss between two plays that is too large for a case */
#define FLO_GOLDEN_UNSTEADY 0.5
/* least difference between the two largest logits at which every device chooses
 * the same token */
#define FLO_GOLDEN_SURE_GAP 1.0

/* An answer with what the model knows of each token.  Zero-initialise. */
struct flo_golden_heard {
    int32_t tokens[FLO_GOLDEN_TOKENS_MAX];
    /* largest logit minus the second largest, for each token; then for the end
     * token, if the answer ended */
    float gaps[FLO_GOLDEN_TOKENS_MAX + 1];
    float losses[FLO_GOLDEN_TOKENS_MAX + 1]; /* -ln of each token's probability */
    /* number of tokens before the first where the answer might have ended
     * instead */
    uint32_t open_count;
    uint32_t count;
    bool has_ended;
    /* The likeliest tokens of each step, and the losses of the case's rivals up to
     * the last compared token.  If the case has none, of the likeliest tokens. */
    int32_t rivals[(FLO_GOLDEN_TOKENS_MAX + 1) * FLO_RIVALS_EACH];
    float rival_losses[(FLO_GOLDEN_TOKENS_MAX + 1) * FLO_RIVALS_EACH];
    struct flo_golden_follow follow;
    uint32_t steady_count; /* number of tokens before the first with another loss than expected */
    double worst;          /* largest difference of a loss among these tokens */
    struct flo_buf text;
};
/* Length of an answer. */
struct flo_golden_length {
    uint32_t tokens_max;
    /* most tokens of an answer that has an uncertain token; it ends there, or
     * with the first uncertain token after them */
    uint32_t unsure_max;
};
/* Lets the model answer a case greedily.  `prompt` has room for the model's
 * context.  FLO_E_PROBE_NONFINITE and others. */
FLO_MUST_USE int flo_golden_hear(struct flo_tool_answer *a, const struct flo_golden_case *c,
                                 struct flo_golden_length length, int32_t *prompt,
                                 struct flo_golden_heard *heard, struct flo_err *err);
/* Converts the first `count` tokens of the answer to text, with a NUL behind
 * it. */
FLO_MUST_USE int flo_golden_text(const struct flo_tool_answer *a, uint32_t count,
                                 struct flo_golden_heard *heard, struct flo_err *err);

/* Result of a case in all plays. */
struct flo_golden_played {
    char why[256]; /* reason why the case failed; empty: it is good */
    /* least number of tokens, in any play, before the first whose loss differs
     * by more than FLO_GOLDEN_UNSTEADY; the answer never ended before */
    uint32_t steady_count;
    double worst;             /* largest difference of a loss among these tokens */
    bool is_passed_over;      /* no model alone can play the case */
    struct flo_rivals rivals; /* losses in each play; freed by the caller */
};
/* Plays all cases with different threads, kernels and caches, from play number
 * `from` on; the first play is as `tool` says, and with `is_once` the only one.  Then plays them on
 * the models `others`, up to NULL.  A case that failed is played again only if `from` is not 0.
 * results[n_cases + 1] must be zero at first; the last is of all cases together. */
FLO_MUST_USE int flo_golden_play(const struct flo_tool *tool, const struct flo_golden *golden,
                                 size_t from, bool is_once, const char *const *others,
                                 struct flo_golden_played *results, struct flo_ticker *ticker,
                                 struct flo_err *err);

#endif
