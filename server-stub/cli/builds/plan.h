/* Plan: the steps of a build, each with the words of flotilla-model and the
 * digest of all that its result depends on.
 *
 * A result is kept in a folder below the work folder, whose name has that
 * digest.  A step whose inputs and options are as before is not done again.
 * Pure: the caller computes the digests of the files. */
#ifndef FLOTILLA_CLI_BUILDS_PLAN_H
#define FLOTILLA_CLI_BUILDS_PLAN_H

#include "server-stub/cli/builds/spec.h"

/* import, a model for each variant, evaluation, golden prompts */
#define FLO_BUILD_STEPS_MAX (FLO_BUILD_VARIANTS_MAX + 3)
#define FLO_BUILD_WORDS_MAX 28

enum flo_build_step_kind {
    FLO_BUILD_IMPORT,
    FLO_BUILD_QUANTIZE,
    FLO_BUILD_EVALUATE,
    FLO_BUILD_GOLDEN,
};

/* Digests of the files that a specification names; zero: it names none, or the
 * word `builtin`. */
struct flo_build_digests {
    struct flo_digest program; /* digest of flotilla-model, which does the steps */
    struct flo_digest from, calibrate, suite, golden;
    bool is_folder; /* `from` is a folder */
};

struct flo_build_step {
    enum flo_build_step_kind kind;
    const char *name; /* "quantize small" */
    char key[FLO_DIGEST_TEXT];
    const char *folder; /* folder of the result */
    const char *result; /* path of the file that the step makes */
    /* path of the file that takes the command's stdout; NULL: a person reads it */
    const char *stdout_path;
    const char *words[FLO_BUILD_WORDS_MAX + 1]; /* NULL ends them */
};

struct flo_build_plan {
    struct flo_build_step steps[FLO_BUILD_STEPS_MAX];
    size_t count;
    const char *original;                       /* path of the model in floats */
    const char *models[FLO_BUILD_VARIANTS_MAX]; /* path of each variant's model */
    /* place of each variant's model in the evaluation's report; 0: the original */
    size_t places[FLO_BUILD_VARIANTS_MAX];
    const char *report, *page; /* files of the evaluation; NULL: there is none */
    const char *golden;
    json_t *texts; /* the texts above */
};

/* Plans the steps below the work folder.  The plan borrows texts of `spec`.
 * FLO_E_MEMORY.  The caller ends it with flo_build_plan_deinit(). */
FLO_MUST_USE int flo_build_plan(const struct flo_build_spec *spec,
                                const struct flo_build_digests *digests, const char *work,
                                struct flo_build_plan *out, struct flo_err *err);
void flo_build_plan_deinit(struct flo_build_plan *plan);

#endif
