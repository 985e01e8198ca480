/* Importance: how much each column of a model's matrices matters on a text.
 *
 * An error of a weight changes a product by the error times the input of its
 * column.  So the mean square of that input over a text is the importance of the
 * column's errors.  The model computes the text here, and every product adds the
 * squares of its inputs. */
#ifndef FLOTILLA_ENGINE_IMPORTANCE_H
#define FLOTILLA_ENGINE_IMPORTANCE_H

#include "engine/judge/chunks.h"

#define FLO_CALIBRATION_BUILT_IN "builtin"

struct flo_importance;

/* Tokenises the text at `path`, or the built-in one if the path is
 * FLO_CALIBRATION_BUILT_IN, and cuts it into chunks of at most `length` tokens.
 * flo_chunks_free() is needed also after a failure. */
FLO_MUST_USE int flo_calibration_cut(const struct flo_tool_model *model, const char *path,
                                     uint32_t length, struct flo_chunks *chunks,
                                     struct flo_err *err);
/* Computes the chunks with an open model, and gathers the importance of all
 * matrices that products read.  Only one call may run at a time in a process.
 *
 * FLO_E_NOT_BUILT        another filler than this engine computes the model
 * FLO_E_MODEL_NONFINITE  an input of a product is not finite
 * FLO_E_MEMORY, and the errors of a prefill */
FLO_MUST_USE int flo_importance_measure(const struct flo_tool_model *model,
                                        struct flo_chunks *chunks, struct flo_importance **out,
                                        struct flo_err *err);
/* Opens the model at `path`, computes the text (flo_calibration_cut()) and
 * closes it again. */
FLO_MUST_USE int flo_importance_of_text(const char *path, const char *text, uint64_t threads,
                                        struct flo_importance **out, struct flo_err *err);
void flo_importance_free(struct flo_importance *importance); /* NULL is fine */

/* Returns the importance of a tensor's columns, [planes][columns] with a plane
 * for each expert; borrowed.  The mean of all is 1 and none is 0.  Returns NULL
 * if no product read the tensor. */
const float *flo_importance_find(const struct flo_importance *importance, const char *tensor);
/* Returns how many tokens of the text were computed. */
uint64_t flo_importance_tokens(const struct flo_importance *importance);

#endif
