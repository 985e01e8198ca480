/* Chance: xoshiro256**, and what is made of it.
 *
 * Normal numbers come from a ziggurat of 128 layers (Marsaglia and Tsang; the
 * layer and the place in it from one draw, as Doornik has them): scenes draw a
 * million of them, and a logarithm each was a third of their time. */
#include <math.h>

#include "tests/bench/chance.h"

static uint64_t mix(uint64_t *x)
{
    uint64_t z = (*x += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* ---- layers ---- */

#define LAYERS 128
#define TAIL 3.442619855899      /* where the last layer's tail begins */
#define AREA 9.91256303526217e-3 /* of a layer */

static struct {
    double edge[LAYERS + 1]; /* of each layer, the widest first */
    double sure[LAYERS];     /* share of it that needs no second look */
} layers;

static void draw_layers(void)
{
    double height = exp(-0.5 * TAIL * TAIL);

    layers.edge[0] = AREA / height;
    layers.edge[1] = TAIL;
    for (size_t i = 2; i < LAYERS; i++) {
        double below = layers.edge[i - 1];
        layers.edge[i] = sqrt(-2 * log(AREA / below + height));
        height = exp(-0.5 * layers.edge[i] * layers.edge[i]);
    }
    for (size_t i = 0; i < LAYERS; i++) {
        layers.sure[i] = layers.edge[i + 1] / layers.edge[i];
    }
}

/* ---- draws ---- */

void chance_init(struct chance *chance, uint64_t seed)
{
    if (layers.edge[0] == 0) {
        draw_layers();
    }
    for (size_t i = 0; i < 4; i++) {
        chance->s[i] = mix(&seed);
    }
}

static uint64_t rotated(uint64_t x, int bits)
{
    return x << bits | x >> (64 - bits);
}

static uint64_t next(struct chance *chance)
{
    uint64_t *s = chance->s;
    uint64_t result = rotated(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotated(s[3], 45);
    return result;
}

static double part_of_one(uint64_t bits)
{
    return ((double)(bits >> 11) + 0.5) / 9007199254740992.0;
}

double chance_uniform(struct chance *chance)
{
    return part_of_one(next(chance));
}

/* Marsaglia's: exponential, and thinned. */
static double beyond(struct chance *chance)
{
    for (;;) {
        double x = log(chance_uniform(chance)) / TAIL;
        double y = log(chance_uniform(chance));
        if (-2 * y >= x * x) {
            return TAIL - x;
        }
    }
}

double chance_normal(struct chance *chance)
{
    for (;;) {
        uint64_t bits = next(chance);
        size_t i = bits % LAYERS;
        double share = 2 * part_of_one(bits) - 1;
        double x = share * layers.edge[i];
        if (fabs(share) < layers.sure[i]) {
            return x;
        }
        if (i == 0) {
            return share < 0 ? -beyond(chance) : beyond(chance);
        }
        double outer = layers.edge[i];
        double inner = layers.edge[i + 1];
        double low = exp(-0.5 * (outer * outer - x * x));
        double high = exp(-0.5 * (inner * inner - x * x));
        if (low + chance_uniform(chance) * (high - low) < 1) {
            return x;
        }
    }
}

double chance_student3(struct chance *chance)
{
    double z = chance_normal(chance);
    double a = chance_normal(chance);
    double b = chance_normal(chance);
    double c = chance_normal(chance);

    return z / sqrt(a * a + b * b + c * c);
}

double chance_gamma(struct chance *chance, double shape)
{
    if (shape < 1) {
        return chance_gamma(chance, shape + 1) * pow(chance_uniform(chance), 1 / shape);
    }
    double d = shape - 1.0 / 3;
    for (;;) {
        double x = chance_normal(chance);
        double v = 1 + x / sqrt(9 * d);
        if (v > 0) {
            v = v * v * v;
            if (log(chance_uniform(chance)) < x * x / 2 + d - d * v + d * log(v)) {
                return d * v;
            }
        }
    }
}

double chance_poisson(struct chance *chance, double mean)
{
    double k = 0;
    double product = 1;

    while (mean > 30) { /* in parts */
        double n = floor(mean * 0.875);
        double x = chance_gamma(chance, n);
        if (x > mean) {
            double hits = 0;
            for (double i = 0; i < n - 1; i++) {
                hits += chance_uniform(chance) < mean / x ? 1 : 0;
            }
            return k + hits;
        }
        k += n;
        mean -= x;
    }
    double limit = exp(-mean);
    while ((product *= chance_uniform(chance)) > limit) {
        k++;
    }
    return k;
}

size_t chance_below(struct chance *chance, size_t n)
{
    return (size_t)(chance_uniform(chance) * (double)n);
}

void chance_shuffle(struct chance *chance, uint32_t *items, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = chance_below(chance, i);
        uint32_t swap = items[i - 1];
        items[i - 1] = items[j];
        items[j] = swap;
    }
}
