/* Activate: functions between the matrices of a feed-forward part. */
#include <math.h>

#include "engine/model/pass/pass.h"

/* largest size of gate and up, and the gate's slope, of FLO_SWIGLU_CLAMPED */
#define CLAMP 7.0f
#define CLAMPED_SLOPE 1.702f

void flo_pass_scale(float *values, size_t count, float by)
{
    for (size_t i = 0; by != 1 && i < count; i++) {
        values[i] *= by;
    }
}

static void multiply_clamped(float *gate, const float *up, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        float g = fminf(gate[i], CLAMP), u = fminf(fmaxf(up[i], -CLAMP), CLAMP);

        gate[i] = g / (1 + expf(-CLAMPED_SLOPE * g)) * (u + 1);
    }
}

void flo_pass_activate(const struct flo_engine *e, float *gate, const float *up, size_t count)
{
    switch (e->arch->activation) {
    case FLO_SILU:
        e->kernel->silu_multiply(gate, up, count);
        return;
    case FLO_GELU:
        e->kernel->gelu_multiply(gate, up, count);
        return;
    case FLO_SWIGLU_CLAMPED:
        multiply_clamped(gate, up, count);
        return;
    case FLO_GELU_ERF:
        for (size_t i = 0; i < count; i++) {
            float x = 0.5f * gate[i] * (1 + erff(gate[i] * 0.70710678f));
            gate[i] = up == NULL ? x : x * up[i];
        }
        return;
    case FLO_RELU2:
        for (size_t i = 0; i < count; i++) {
            float x = gate[i] > 0 ? gate[i] : 0;
            gate[i] = up == NULL ? x * x : x * x * up[i];
        }
        return;
    }
}
