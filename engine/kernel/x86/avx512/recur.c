/* AVX-512 kernel: steps of a recurrent state. */
#define FLO_RECUR_LANES 16
#define FLO_RECUR_PARTS 2
#include "engine/kernel/recur.h"
#include "engine/kernel/x86/avx512/avx512.h"

void flo_avx512_recur(const struct flo_recurrence *recurrence, const float *added, float *out)
{
    flo_recur_step(recurrence, added, out);
}

void flo_avx512_recall(const struct flo_recurrence *recurrence, float *out)
{
    flo_recur_recall(recurrence, out);
}
