/* Pass: one garbage collection over the artifacts.  Private to this folder. */
#ifndef FLOTILLA_SERVER_STATE_ARTIFACTS_PASS_H
#define FLOTILLA_SERVER_STATE_ARTIFACTS_PASS_H

#include "server-stub/state/artifacts/artifacts.h"

/* Suffix of the empty marker file that a collected delta leaves. */
#define FLO_COLLECTED_ENDING ".collected"

/* Removes the artifact's file, after a marker was written. */
FLO_MUST_USE int flo_artifact_collect(const struct flo_controller *controller,
                                      const struct flo_digest *digest, bool leaves_mark,
                                      struct flo_err *err);

/* Creates a pass, which the caller frees.  `fn` may be NULL.  Returns NULL with
 * FLO_E_MEMORY. */
struct flo_collect_pass *flo_pass_new(struct flo_controller *controller, bool is_dry,
                                      flo_collect_fn fn, void *context, struct flo_err *err);
/* Processes one document or one file.  The caller repeats the call until the
 * pass is done.  Errors are those of flo_collect_all. */
FLO_MUST_USE int flo_pass_step(struct flo_collect_pass *pass, struct flo_err *err);
bool flo_pass_is_done(const struct flo_collect_pass *pass);
const struct flo_artifact_counts *flo_pass_counts(const struct flo_collect_pass *pass);
void flo_pass_free(struct flo_collect_pass *pass);

#endif
