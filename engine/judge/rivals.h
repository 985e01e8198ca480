/* Rivals: the likeliest tokens at each token of golden answers, and how far their
 * losses are apart between plays of good kernels and caches. */
#ifndef FLOTILLA_ENGINE_RIVALS_H
#define FLOTILLA_ENGINE_RIVALS_H

#include <flotilla/base.h>

#define FLO_RIVALS_EACH 8       /* rivals of each token */
#define FLO_RIVALS_PLAYS_MAX 20 /* most plays whose losses are kept */

/* Losses of a case's rivals in each play.  Zero-initialise. */
struct flo_rivals {
    /* [count]; NaN after the token where a play chose another one */
    float *plays[FLO_RIVALS_PLAYS_MAX];
    uint32_t n_plays;
    uint32_t n_own; /* the first plays, which are of the model itself */
    uint32_t count; /* number of losses of each play */
};
/* Adds a play, of which the first `heard` losses are known.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_rivals_add(struct flo_rivals *rivals, const float *losses, uint32_t heard,
                                bool is_own, struct flo_err *err);
void flo_rivals_deinit(struct flo_rivals *rivals);

/* Sums of the squared differences of each play, over cases.  Zero-initialise. */
struct flo_rivals_spread {
    double squares[1 + FLO_RIVALS_PLAYS_MAX]; /* the first is of the play that made the cases */
    uint64_t counts[1 + FLO_RIVALS_PLAYS_MAX];
};
/* Replaces the first `count` of `losses` by the mean of them and the model's own
 * plays.  Adds how far each play is from the mean of the other own ones.  Pure. */
void flo_rivals_settle(const struct flo_rivals *rivals, uint32_t count, float *losses,
                       struct flo_rivals_spread *spread);
/* Returns the root mean square of the differences that a good device may show. */
double flo_rivals_slack(const struct flo_rivals_spread *spread);

#endif
