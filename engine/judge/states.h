/* States: the hidden states of a model, before its first layer and after each.
 *
 * A state is what the next layer reads, before any norm: the residual stream of
 * a token, or all streams of a model that has several (Gemma 3n).  A
 * product of each layer is watched (tap.h), but only while tokens are
 * computed here. */
#ifndef FLOTILLA_ENGINE_STATES_H
#define FLOTILLA_ENGINE_STATES_H

#include "engine/tools/common.h"

/* Most tokens of a call, which bound the memory: a model of 32 layers with 4096
 * values needs 17 MB. */
#define FLO_STATES_TOKENS_MAX 32u

struct flo_states;

struct flo_states_shape {
    uint32_t places; /* number of layers, and 1 for the embedding */
    uint32_t width;  /* values of a state */
};

/* Prepares an open model.
 *
 * FLO_E_NOT_BUILT  another filler than this engine computes the model, it is an
 *                  encoder, or a layer has no product that reads the state
 *                  before it
 * FLO_E_MEMORY */
FLO_MUST_USE int flo_states_open(const struct flo_tool_model *model, struct flo_states **out,
                                 struct flo_err *err);
void flo_states_close(struct flo_states *states); /* NULL is fine; before the model's close */
struct flo_states_shape flo_states_shape(const struct flo_states *states);
/* Appends 1 to FLO_STATES_TOKENS_MAX tokens to the model's session.  *values
 * [places][count][width] are borrowed until the next call.  Only one
 * call may run at a time in a process.  Errors of flo_session_decode();
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_states_run(struct flo_states *states, const int32_t *tokens, uint32_t count,
                                const float **values, struct flo_err *err);

#endif
