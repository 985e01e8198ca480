/* Sensitivity: how far a model moves when some of its matrices are rounded.
 *
 * Two files of one model are open: in floats, and rounded.  The model in floats
 * computes the text once more for each group, and meanwhile reads that group's
 * matrices from the rounded file.  The mean divergence of its next tokens is
 * what rounding the group costs. */
#ifndef FLOTILLA_ENGINE_SENSITIVITY_H
#define FLOTILLA_ENGINE_SENSITIVITY_H

#include "base/gguf/gguf.h"
#include "engine/judge/chunks.h"

#define FLO_NO_GROUP SIZE_MAX

struct flo_sensitivity {
    const char *floats, *rounded; /* paths of the two files */
    const char *text;             /* as of flo_calibration_cut() */
    uint64_t threads;
};

/* Measures each group.  `groups` [tensors of `gguf`] has the group of each
 * tensor, or FLO_NO_GROUP; `gguf` is the file in floats.  kls [group_count] gets
 * the mean divergences in nats per token, over a part of the text.  Errors of
 * opening the files, of flo_calibration_cut() and flo_distance_mean(). */
FLO_MUST_USE int flo_sensitivity_measure(const struct flo_sensitivity *s,
                                         const struct flo_gguf *gguf, const size_t *groups,
                                         size_t group_count, double *kls, struct flo_err *err);
/* Measures the mean divergence of the whole rounded file, over more of the text.
 * *positions gets the number of compared tokens. */
FLO_MUST_USE int flo_sensitivity_of_file(const struct flo_sensitivity *s, double *kl,
                                         uint64_t *positions, struct flo_err *err);

#endif
