/* Numbers of the statistical gates: distribution functions in logarithms.
 *
 * The functions take doubles and never return NaN for finite input.  Where a
 * value is unbounded the result is INFINITY; the record writes it as null. */
#ifndef FLOTILLA_SERVER_STATISTICS_NUMBERS_H
#define FLOTILLA_SERVER_STATISTICS_NUMBERS_H

#include <flotilla/base.h>

/* Returns ln of the normal distribution function. */
double flo_ln_phi(double x);
/* Logarithms of the regularised incomplete beta function I_x(a, b) and of its
 * complement; a, b > 0. */
struct flo_ln_sides {
    double below;
    double above;
};
struct flo_ln_sides flo_ln_incomplete_beta(double x, double a, double b);

/* Limits a logarithm of evidence to the range -700 to 700. */
double flo_ln_cut(double x);
/* Converts the logarithm of a ratio to a change in %: 100 (e^x - 1). */
double flo_change_pct(double ln_ratio);

/* Largest number of looks of a phase: evaluations at which it may pass.  They
 * share an error of 5 %: look k, from 0, has 5 % / 2^(k+1). */
#define FLO_LOOKS_MAX 8
double flo_look_alpha(uint32_t look);
/* Returns the normal quantile of 1 - flo_look_alpha(look). */
double flo_look_z(uint32_t look);
/* Converts a normal quantile z to the Student quantile of the same probability;
 * freedom >= 8. */
double flo_student_quantile(double z, double freedom);
/* Returns the upper bound of a Poisson mean after `events` (a real), at level
 * `alpha`, whose normal quantile is z. */
double flo_poisson_upper(double events, double z, double alpha);

/* Evidence about a share: `hits` and `misses` (real numbers), and a beta(a, b)
 * prior.  A share is tested with a = b = 1. */
struct flo_beta_mixture {
    double a, b;
    double hits, misses;
};
/* Returns ln of the e-value for the hypothesis that the share is above p. */
double flo_mixture_above(const struct flo_beta_mixture *mixture, double p);
/* 95 % interval of a share, valid at every check, however often it is made.
 * `centre`, an argument below, is a share inside the interval when nothing was
 * counted. */
struct flo_interval {
    double low;
    double high;
};
struct flo_interval flo_mixture_interval(const struct flo_beta_mixture *mixture, double centre);
/* Variance of an effect's normal prior, as a multiple of the variance of one
 * device. */
#define FLO_EFFECT_PRIOR 0.5
/* Returns ln of the one-sided e-value of a t statistic with nu degrees of
 * freedom.  Only the upper half of the prior counts.  r is the prior's variance
 * divided by the variance of the effect. */
double flo_student_above(double t, double r, double nu);
/* Returns ln of the two-sided e-value of a t statistic; r and nu are those of
 * flo_student_above. */
double flo_student_off(double t, double r, double nu);

/* Returns Clopper-Pearson's lower bound: the share p with I_p(hits, misses + 1)
 * = alpha.  It is 0 without hits. */
double flo_share_lower(double hits, double misses, double alpha);
/* Returns Clopper-Pearson's upper bound: the share p with I_p(hits + 1, misses)
 * = 1 - alpha. It is 1 without misses. */
double flo_share_upper(double hits, double misses, double alpha);

#endif
