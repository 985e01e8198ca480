#include "engine/judge/layer_errors.h"

#include <math.h>

/* Returns the squared error of a token.  Equal states have none, also if they
 * are 0. */
static double square_of(const float *from, const float *other, uint32_t width)
{
    double difference = 0, length = 0;

    for (uint32_t i = 0; i < width; i++) {
        double x = (double)from[i], d = (double)other[i] - x;
        difference += d * d;
        length += x * x;
    }
    return difference == 0 ? 0 : difference / length;
}

void flo_layer_errors_add(struct flo_layer_errors *errors, const float *from, const float *other,
                          uint32_t count, uint32_t width)
{
    for (uint32_t p = 0; p < errors->places; p++) {
        for (uint32_t t = 0; t < count; t++) {
            size_t at = ((size_t)p * count + t) * width;
            double square = square_of(from + at, other + at, width);
            if (isfinite(square)) {
                errors->squares[p] += square;
            } else {
                errors->nonfinite[p]++;
            }
        }
    }
    errors->tokens += count;
}

double flo_layer_errors_at(const struct flo_layer_errors *errors, uint32_t place)
{
    if (errors->nonfinite[place] > 0 || errors->tokens == 0) {
        return NAN;
    }
    return sqrt(errors->squares[place] / (double)errors->tokens);
}

double flo_layer_errors_step(const struct flo_layer_errors *errors, uint32_t place)
{
    double before = place == 0 ? 0 : flo_layer_errors_at(errors, place - 1);

    return flo_layer_errors_at(errors, place) - before;
}

uint32_t flo_layer_errors_jump(const struct flo_layer_errors *errors)
{
    uint32_t best = FLO_NO_PLACE;
    double most = 0;

    for (uint32_t p = 0; p < errors->places; p++) {
        double step = flo_layer_errors_step(errors, p);
        if (isnan(step)) {
            return p;
        }
        if (step > most) {
            most = step;
            best = p;
        }
    }
    return best;
}
