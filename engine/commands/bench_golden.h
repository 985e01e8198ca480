/* Bench golden: plays one golden case on the model that a bench measures. */
#ifndef FLOTILLA_ENGINE_BENCH_GOLDEN_H
#define FLOTILLA_ENGINE_BENCH_GOLDEN_H

#include <flotilla/golden.h>

#include "engine/tools/common.h"

enum flo_bench_case {
    FLO_BENCH_WRONG,
    FLO_BENCH_RIGHT,
    FLO_BENCH_PASSED_OVER, /* no model alone can play the case, or it has no room for it */
};

/* Lets the model answer the case greedily, and judges the answer with the
 * matchers that need no probabilities. */
FLO_MUST_USE int flo_bench_golden(struct flo_tool_answer *answer,
                                  const struct flo_golden_case *golden_case,
                                  enum flo_bench_case *out, struct flo_err *err);

#endif
