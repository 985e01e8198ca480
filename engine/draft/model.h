/* Draft model: a smaller model with the same vocabulary guesses the next
 * tokens, greedily. */
#ifndef FLOTILLA_ENGINE_DRAFT_MODEL_H
#define FLOTILLA_ENGINE_DRAFT_MODEL_H

#include <flotilla/drafter.h>

struct flo_draft_model;

/* Opens the model for an engine with a larger one.  Errors as of
 * flo_drafter_open_fd(). */
FLO_MUST_USE int flo_draft_model_open(int fd, const struct flo_engine *large,
                                      const struct flo_drafter_options *options,
                                      struct flo_draft_model **model, struct flo_err *err);
FLO_MUST_USE int flo_draft_model_plan(int fd, uint32_t context,
                                      const struct flo_drafter_options *options, uint64_t *bytes,
                                      struct flo_err *err);
void flo_draft_model_close(struct flo_draft_model *model);
/* Returns the memory of the model's plan. */
uint64_t flo_draft_model_bytes(const struct flo_draft_model *model);
/* flo_drafter_guess(), flo_drafter_forget() and flo_drafter_lag() */
uint32_t flo_draft_model_guess(struct flo_draft_model *model, uint32_t sequence,
                               const int32_t *tokens, uint32_t count, int32_t *out, uint32_t most);
void flo_draft_model_forget(struct flo_draft_model *model, uint32_t sequence);
uint32_t flo_draft_model_lag(const struct flo_draft_model *model, uint32_t sequence,
                             const int32_t *tokens, uint32_t count);

#endif
