/* Rope: rotary position embedding.  It computes by which angle each pair turns
 * per position, and tables of sines and cosines for the positions of a batch.
 * The plain angle is base^(-2i / n).  If the file has a table of factors, each
 * angle is divided by its own factor.  Llama 3.1 has one such table, Phi-3 one
 * for short and one for long contexts.  Linear scaling divides all angles by
 * one factor.  YaRN (arXiv 2309.00071) divides those of slow pairs and keeps
 * those of fast ones.  Pairs between two given numbers of turns in the original
 * context get a mixture. */
#include <math.h>

#include "engine/model/pass/pass.h"

/* Returns the pair, as a real number, that makes `turns` turns in the original
 * context. */
static double pair_of_turns(const struct flo_hparams *h, uint32_t n_rope, double base, double turns)
{
    static const double pi = 3.14159265358979323846;
    double context = h->rope.original_context;

    return n_rope * log(context / (turns * 2 * pi)) / (2 * log(base));
}

/* Returns the share of its angle that a pair keeps.  It is 1 for fast pairs,
 * and 0 for slow ones, whose angle is divided by the factor. */
static double kept_share(const struct flo_hparams *h, double base, uint32_t i)
{
    double low = pair_of_turns(h, h->n_rope, base, (double)h->rope.beta_fast);
    double high = pair_of_turns(h, h->n_rope, base, (double)h->rope.beta_slow);

    if (h->rope.rounds_corners) {
        low = floor(low);
        high = ceil(high);
    }
    low = fmax(0, low);
    high = fmin(h->n_rope - 1, high);
    return 1 - fmin(1, fmax(0, (i - low) / fmax(0.001, high - low)));
}

static const float *factors_of(const struct flo_engine *e)
{
    const struct flo_weights *w = &e->weights;

    if (w->rope_factors != NULL) {
        return w->rope_factors;
    }
    return e->sizes.context > e->hparams.rope.original_context ? w->rope_long : w->rope_short;
}

/* Makes the rates of one kind of layers.  Plain rates ignore the file's factors
 * and scaling. */
static void make_rates(const struct flo_engine *e, double base, bool is_plain, uint32_t n_rope,
                       double *rates)
{
    const struct flo_hparams *h = &e->hparams;
    const float *factors = is_plain ? NULL : factors_of(e);
    double factor = is_plain ? 1 : (double)h->rope.factor;
    double step = log(base) * -2.0 / n_rope;

    for (uint32_t i = 0; i < n_rope / 2; i++) {
        double kept = h->rope.is_yarn && !is_plain ? kept_share(h, base, i) : 0;
        double rate = exp(step * i);

        if (factors != NULL) {
            rate /= (double)factors[i];
        }
        rates[i] = rate / factor * (1 - kept) + rate * kept;
    }
}

void flo_rope_make_rates(struct flo_engine *e)
{
    const struct flo_rope *rope = &e->hparams.rope;

    make_rates(e, (double)rope->base, false, e->hparams.n_rope, e->scratch.global.rates);
    make_rates(e, (double)rope->local_base, rope->is_local_plain, e->hparams.n_rope_local,
               e->scratch.local.rates);
}

static void make_table(const struct flo_engine *e, size_t row, uint32_t position, uint32_t count,
                       double magnitude, size_t n, const struct flo_rotations *out)
{
    bool is_pairs = e->arch->rotation == FLO_ROTATE_PAIRS;

    for (size_t t = 0; t < count; t++) {
        for (size_t i = 0; i < n / 2; i++) {
            double angle = (double)(position + t) * out->rates[i];
            float cosine = (float)(cos(angle) * magnitude);
            float sine = (float)(sin(angle) * magnitude);
            size_t first = (row + t) * n + (is_pairs ? 2 * i : i);
            size_t second = first + (is_pairs ? 1 : n / 2);

            out->cosines[first] = out->cosines[second] = cosine;
            out->sines[first] = -sine;
            out->sines[second] = sine;
        }
    }
}

void flo_rope_make_tables(struct flo_engine *e, uint32_t row, uint32_t position, uint32_t count)
{
    double magnitude = (double)e->hparams.rope.magnitude;

    make_table(e, row, position, count, magnitude, e->hparams.n_rope, &e->scratch.global);
    if (e->hparams.window > 0) {
        make_table(e, row, position, count, e->hparams.rope.is_local_plain ? 1 : magnitude,
                   e->hparams.n_rope_local, &e->scratch.local);
    }
}
