/* AVX2 kernel: steps of a recurrent state. */
#define FLO_RECUR_LANES 8
#define FLO_RECUR_PARTS 4
#include "engine/kernel/recur.h"
#include "engine/kernel/x86/avx2/avx2.h"

void flo_avx2_recur(const struct flo_recurrence *recurrence, const float *added, float *out)
{
    flo_recur_step(recurrence, added, out);
}

void flo_avx2_recall(const struct flo_recurrence *recurrence, float *out)
{
    flo_recur_recall(recurrence, out);
}
