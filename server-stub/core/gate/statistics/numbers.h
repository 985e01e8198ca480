/* Numbers of the statistical gates: distribution functions in logarithms.
 *
 * All take doubles and never return NaN for finite input.  Where a value is
 * unbounded the result is INFINITY; the record writes it as null. */
#ifndef FLOTILLA_SERVER_STATISTICS_NUMBERS_H
#define FLOTILLA_SERVER_STATISTICS_NUMBERS_H

#include <flotilla/base.h>

/* Returns ln of the normal distribution function. */
double flo_ln_phi(double x);
/* ln I_x(a, b) and ln (1 - I_x(a, b)), the regularised incomplete beta function
 * and its complement; a, b > 0. */
struct flo_ln_sides {
    double below;
    double above;
};
struct flo_ln_sides flo_ln_incomplete_beta(double x, double a, double b);

/* Limits evidence to between e^-700 and e^700. */
double flo_ln_cut(double x);
/* Returns the change in % for a logarithm of a ratio: 100 (e^x - 1). */
double flo_change_pct(double ln_ratio);

/* Maximum number of evaluations of a phase at which it may pass. They share 5
 * %: evaluation k has 5 % / 2^(k+1). */
#define FLO_LOOKS_MAX 8
double flo_look_alpha(uint32_t look);
/* Returns the normal quantile of 1 - flo_look_alpha(look). */
double flo_look_z(uint32_t look);
/* Returns the Student quantile for a normal one; freedom >= 8. */
double flo_student_quantile(double z, double freedom);
/* Returns the upper bound of a Poisson mean after `events` (a real), at level
 * `alpha`, whose normal quantile is z. */
double flo_poisson_upper(double events, double z, double alpha);

/* The share of hits among hits + misses (reals), under a beta(a, b) prior.  A
 * share is tested with a = b = 1. */
struct flo_beta_mixture {
    double a, b;
    double hits, misses;
};
/* Returns ln of the e-value for a share above p. */
double flo_mixture_above(const struct flo_beta_mixture *mixture, double p);
/* 95 % interval that holds at any time.  `centre` is a share inside it when
 * nothing was counted. */
struct flo_interval {
    double low;
    double high;
};
struct flo_interval flo_mixture_interval(const struct flo_beta_mixture *mixture, double centre);
/* ln of the e-value of a t statistic with nu degrees of freedom: the effect
 * over the standard deviation of one device has a normal prior of variance
 * FLO_EFFECT_PRIOR, r is that times the pooled variance over the variance of
 * the effect.  One-sided: the prior's upper half counts. */
#define FLO_EFFECT_PRIOR 0.5
double flo_student_above(double t, double r, double nu);
double flo_student_off(double t, double r, double nu);

/* Returns Clopper-Pearson's lower bound: the share p with I_p(hits, misses + 1)
 * = alpha. 0 without hits. */
double flo_share_lower(double hits, double misses, double alpha);
/* Returns Clopper-Pearson's upper bound: the share p with I_p(hits + 1, misses)
 * = 1 - alpha. 1 without misses. */
double flo_share_upper(double hits, double misses, double alpha);

#endif
