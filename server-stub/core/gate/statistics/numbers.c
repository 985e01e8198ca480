/* Numbers: computes normal, beta and Poisson distributions in logarithms, and
 * bounds by bisection. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/statistics/numbers.h"

#define LN_E_MAX 700.0
#define LN_20 2.995732273553991 /* 95 % */
#define LN_2_PI 1.8378770664093453
#define ALPHA_OF_LOOKS 0.05
#define HALVINGS 200
#define TERMS_MAX 20000
#define CLOSE 1e-14
#define TINY 1e-300

/* ---- normal ---- */

double flo_ln_phi(double x)
{
    if (x > -8) {
        return log(0.5 * erfc(-x / M_SQRT2));
    }
    double square = x * x;
    return -0.5 * square - log(-x) - 0.5 * LN_2_PI + log1p(-1 / square + 3 / (square * square));
}

double flo_ln_cut(double x)
{
    return fmax(-LN_E_MAX, fmin(LN_E_MAX, x));
}

double flo_change_pct(double ln_ratio)
{
    return isinf(ln_ratio) ? ln_ratio : 100 * expm1(fmin(ln_ratio, 50));
}

/* ---- looks ---- */

double flo_look_alpha(uint32_t look)
{
    assert(look < FLO_LOOKS_MAX);
    return ALPHA_OF_LOOKS / (double)(1u << (look + 1));
}

double flo_look_z(uint32_t look)
{
    static const double quantiles[FLO_LOOKS_MAX] = {1.959964, 2.241403, 2.497705, 2.734369,
                                                    2.955167, 3.162818, 3.359354, 3.546338};

    assert(look < FLO_LOOKS_MAX);
    return quantiles[look];
}

/* Computes three terms of Cornish and Fisher's expansion. */
double flo_student_quantile(double z, double freedom)
{
    double z3 = z * z * z;
    double z5 = z3 * z * z;
    double z7 = z5 * z * z;

    assert(freedom >= 1);
    return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom * freedom) +
           (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom * freedom * freedom);
}

/* The bound is exact for no event; otherwise it is Wilson and Hilferty's cube
 * approximation. */
double flo_poisson_upper(double events, double z, double alpha)
{
    double next = events + 1;

    assert(events >= 0 && alpha > 0);
    return events < 1e-9 ? -log(alpha) : next * pow(1 - 1 / (9 * next) + z / (3 * sqrt(next)), 3);
}

/* ---- beta ---- */

static double ln_beta(double a, double b)
{
    assert(a > 0 && b > 0);
    return lgamma(a) + lgamma(b) - lgamma(a + b);
}

static double no_zero(double x)
{
    return fabs(x) < TINY ? TINY : x;
}

/* Computes the continued fraction of the incomplete beta function by Lentz's
 * method, for x where it converges fast. */
static double fraction(double a, double b, double x)
{
    double c = 1;
    double d = 1 / no_zero(1 - (a + b) * x / (a + 1));
    double h = d;
    double change = 0;

    assert(x > 0 && x < 1);
    for (int i = 1; i <= TERMS_MAX && fabs(change - 1) >= CLOSE; i++) {
        const double terms[] = {i * (b - i) * x / ((a + 2 * i - 1) * (a + 2 * i)),
                                -(a + i) * (a + b + i) * x / ((a + 2 * i) * (a + 2 * i + 1))};
        for (size_t k = 0; k < FLO_COUNT(terms); k++) {
            d = 1 / no_zero(1 + terms[k] * d);
            c = no_zero(1 + terms[k] / c);
            change = c * d;
            h *= change;
        }
    }
    return h;
}

static struct flo_ln_sides near_side(double x, double a, double b)
{
    double below = a * log(x) + b * log1p(-x) - ln_beta(a, b) - log(a) + log(fraction(a, b, x));

    assert(x > 0 && x < 1);
    below = fmin(below, 0);
    return (struct flo_ln_sides){.below = below,
                                 .above = below < 0 ? log(-expm1(below)) : -INFINITY};
}

struct flo_ln_sides flo_ln_incomplete_beta(double x, double a, double b)
{
    assert(a > 0 && b > 0);
    if (x <= 0) {
        return (struct flo_ln_sides){.below = -INFINITY, .above = 0};
    }
    if (x >= 1) {
        return (struct flo_ln_sides){.below = 0, .above = -INFINITY};
    }
    if (x <= (a + 1) / (a + b + 2)) {
        return near_side(x, a, b);
    }
    struct flo_ln_sides other = near_side(1 - x, b, a);
    return (struct flo_ln_sides){.below = other.above, .above = other.below};
}

/* ---- Student ---- */

/* Returns ln of the two-sided e-value of a t statistic.  See Lindon, Ham,
 * Tingley and Bojinov, "Anytime-valid inference in linear models". */
static double both_sides(double t, double r, double nu)
{
    double square = t * t;

    return -0.5 * log1p(r) + (nu + 1) / 2 * (log1p(square / nu) - log1p(square / (nu * (1 + r))));
}

double flo_student_off(double t, double r, double nu)
{
    assert(nu > 0 && r > 0);
    return flo_ln_cut(both_sides(t, r, nu));
}

double flo_student_above(double t, double r, double nu)
{
    assert(nu > 0 && r > 0);
    return flo_ln_cut(both_sides(t, r, nu) + M_LN2 + flo_ln_phi(t * sqrt(r / (1 + r))));
}

/* ---- mixtures ---- */

/* Computes the part of `against` that does not depend on p, which is the costly
 * part. */
static double base_of(const struct flo_beta_mixture *mixture)
{
    assert(mixture->a > 0 && mixture->b > 0);
    assert(mixture->hits >= 0 && mixture->misses >= 0);
    return ln_beta(mixture->a + mixture->hits, mixture->b + mixture->misses) -
           ln_beta(mixture->a, mixture->b);
}

/* Returns ln of the two-sided e-value against the hypothesis that the share is
 * exactly p. */
static double against(const struct flo_beta_mixture *mixture, double base, double p)
{
    double hits = mixture->hits;
    double misses = mixture->misses;

    assert(p > 0 && p < 1);
    return base - (hits > 0 ? hits * log(p) : 0) - (misses > 0 ? misses * log1p(-p) : 0);
}

double flo_mixture_above(const struct flo_beta_mixture *mixture, double p)
{
    double with =
        flo_ln_incomplete_beta(p, mixture->a + mixture->hits, mixture->b + mixture->misses).above;

    return against(mixture, base_of(mixture), p) + with -
           flo_ln_incomplete_beta(p, mixture->a, mixture->b).above;
}

/* Finds the end of the interval by bisection: `inside` is in the interval,
 * `outside` is not. */
static double interval_end(const struct flo_beta_mixture *mixture, double inside, double outside)
{
    double base = base_of(mixture);

    for (int i = 0; i < HALVINGS; i++) {
        double middle = (inside + outside) / 2;
        if (middle == inside || middle == outside) {
            break; /* neighbouring doubles */
        }
        if (against(mixture, base, middle) < LN_20) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    return inside;
}

struct flo_interval flo_mixture_interval(const struct flo_beta_mixture *mixture, double centre)
{
    double all = mixture->hits + mixture->misses;
    double middle = all > 0 ? mixture->hits / all : centre;

    assert(centre >= 0 && centre <= 1);
    return (struct flo_interval){.low = mixture->hits > 0 ? interval_end(mixture, middle, 0) : 0,
                                 .high =
                                     mixture->misses > 0 ? interval_end(mixture, middle, 1) : 1};
}

/* Finds the p where ln I_p(a, b) is `level`. */
static double share_at(double a, double b, double level)
{
    double low = 0;
    double high = 1;

    assert(a > 0 && b > 0 && level <= 0);
    for (int i = 0; i < HALVINGS; i++) {
        double middle = (low + high) / 2;
        if (middle == low || middle == high) {
            break;
        }
        if (flo_ln_incomplete_beta(middle, a, b).below < level) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return (low + high) / 2;
}

double flo_share_lower(double hits, double misses, double alpha)
{
    assert(alpha > 0 && alpha < 1);
    assert(hits >= 0 && misses >= 0);
    return hits > 0 ? share_at(hits, misses + 1, log(alpha)) : 0;
}

double flo_share_upper(double hits, double misses, double alpha)
{
    assert(alpha > 0 && alpha < 1);
    assert(hits >= 0 && misses >= 0);
    return misses > 0 ? share_at(hits + 1, misses, log1p(-alpha)) : 1;
}
