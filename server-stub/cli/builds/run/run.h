/* Run of a build: declarations that the files of this folder share.
 *
 *   work.c     the work folder, and the results that are kept there
 *   inputs.c   digests of the files that a specification names
 *   steps.c    runs the steps whose results are not there
 *   release.c  the release by `release create`, and the draft of a rollout */
#ifndef FLOTILLA_CLI_BUILDS_RUN_H
#define FLOTILLA_CLI_BUILDS_RUN_H

#include "server-stub/cli/builds/verdict.h"
#include "server-stub/cli/cli.h"

#define FLO_BUILD_REPORT_BYTES_MAX (8u << 20)

/* ---- inputs.c ---- */

/* Computes the digests of all files that the specification names, and of the
 * program that makes models.  FLO_E_ABSENT, FLO_E_IO_OPEN: a file is not
 * there. */
FLO_MUST_USE int flo_build_inputs(const struct flo_build_spec *spec, struct flo_build_digests *out,
                                  struct flo_err *err);

/* ---- work.c ---- */

struct flo_build_work {
    const char *path;
    int lock_fd; /* -1: the folder is not locked */
};

/* Makes and locks the work folder.  FLO_E_STATE_LOCKED: another build uses it.
 * flo_build_work_close() accepts a half-made one. */
FLO_MUST_USE int flo_build_work_open(const char *path, struct flo_build_work *out,
                                     struct flo_err *err);
void flo_build_work_close(struct flo_build_work *work);
/* Tells whether a step's result is there, complete. */
bool flo_build_is_done(const struct flo_build_step *step);
/* Notes that a step's result is complete.  After a power loss the note is there
 * with the result, or not at all. */
FLO_MUST_USE int flo_build_note_done(const struct flo_build_step *step, uint64_t ms,
                                     struct flo_err *err);
/* Removes the results that no step of the plan has. */
void flo_build_work_prune(const struct flo_build_work *work, const struct flo_build_plan *plan);

/* ---- steps.c ---- */

/* A build that runs, and its answer. */
struct flo_build_run {
    struct flo_cli *cli;
    const struct flo_build_spec *spec;
    struct flo_build_plan plan;
    struct flo_build_work work;
    json_t *steps;    /* array: {"step", "state", "seconds", "result"} */
    json_t *verdicts; /* array of flo_build_judge() */
    json_t *report;   /* report of the evaluation; NULL: there is none */
};

/* Runs the steps in their order, and judges after the evaluation and after the
 * golden prompts.  FLO_E_MODEL_GATE: a gate failed, and no later step ran. */
FLO_MUST_USE int flo_build_steps(struct flo_build_run *run, struct flo_err *err);

/* ---- release.c ---- */

/* Checks all that only later steps need, before the first: the key, and that
 * the controller answers. */
FLO_MUST_USE int flo_build_release_check(struct flo_build_run *run, struct flo_err *err);
/* Makes the release by the code of `release create`.  *release is the
 * controller's answer, which the caller frees. */
FLO_MUST_USE int flo_build_release(struct flo_build_run *run, json_t **release,
                                   struct flo_err *err);
/* Writes the draft of the rollout below the work folder, and its path.  Without
 * a draft in the specification the path is "". */
FLO_MUST_USE int flo_build_rollout(const struct flo_build_run *run, char *path, size_t bytes,
                                   struct flo_err *err);

#endif
