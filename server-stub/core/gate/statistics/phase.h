/* Phase: derives the verdict of a phase from those of its gates.
 *
 * A failed gate fails the phase.  Missing evidence is no success: a critical
 * gate that did not pass holds the phase, and after the longest soak a person
 * is asked.  Pure. */
#ifndef FLOTILLA_SERVER_STATISTICS_PHASE_H
#define FLOTILLA_SERVER_STATISTICS_PHASE_H

#include <flotilla/base.h>

#include "server-stub/core/gate/share.h"

struct flo_phase_gate {
    enum flo_verdict verdict;
    double ln_e;
    double weight; /* share of the rollout's error level; 0: the gate has no share and is a hard
                      stop */
    bool is_critical;
};
enum flo_phase_verdict { FLO_PHASE_UNDECIDED, FLO_PHASE_PASSES, FLO_PHASE_FAILS, FLO_PHASE_HOLDS };
#define FLO_PHASE_NO_GATE SIZE_MAX

const char *flo_phase_verdict_word(enum flo_phase_verdict verdict);
/* Derives the verdict.  *gate is the gate that fails, or the first for which
 * the phase waits. */
enum flo_phase_verdict flo_phase_judge(const struct flo_phase_gate *gates, size_t count,
                                       double soaked_s, double soak_s, double soak_s_max,
                                       size_t *gate);

#endif
