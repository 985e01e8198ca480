/* Verdicts: the figures of a build against its gates.  Pure. */
#ifndef FLOTILLA_CLI_BUILDS_VERDICT_H
#define FLOTILLA_CLI_BUILDS_VERDICT_H

#include "server-stub/cli/builds/plan.h"

/* Appends a verdict for each gate of each variant, by the report of
 * `flotilla-model compare --json`.  A figure that the report has not fails its
 * gate.
 *
 * {"variant", "gate", "measure", "limit", "measured", "passed", "verdict",
 *  "short_by", "limit_text", "measured_text"}
 * limit and measured are numbers (measured null: it was not measured), with texts
 * for a table, and
 * short_by is the text that says by how much the gate failed, or "". */
FLO_MUST_USE int flo_build_judge(const struct flo_build_spec *spec,
                                 const struct flo_build_plan *plan, const json_t *report,
                                 json_t *verdicts, struct flo_err *err);
/* Appends the verdict on the golden prompts. */
FLO_MUST_USE int flo_build_judge_golden(const struct flo_build_spec *spec, uint64_t kept,
                                        json_t *verdicts, struct flo_err *err);
/* FLO_E_MODEL_GATE: a gate failed.  The sentence has the first one and the
 * number of all. */
FLO_MUST_USE int flo_build_check(const json_t *verdicts, struct flo_err *err);

/* Sets the error of a step whose program failed, and told why: `end` is "exit
 * code" or "signal".  Returns its code, which is that of a gate for a size or
 * loss that cannot be reached. */
int flo_build_fail_step(const struct flo_build_step *step, const char *end, int number,
                        struct flo_err *err);

/* Writes the figures of all variants for the release's text `quality`, as many as
 * it holds. */
void flo_build_quality(const struct flo_build_spec *spec, const struct flo_build_plan *plan,
                       const json_t *report, char *out, size_t out_bytes);

#endif
