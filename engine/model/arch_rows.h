/* Short words for the tensor tables of arch_*.c. */
#ifndef FLOTILLA_ENGINE_ARCH_ROWS_H
#define FLOTILLA_ENGINE_ARCH_ROWS_H

#include <stddef.h>

#include "engine/model/arch.h"
#include "engine/model/weights.h"

#define MODEL(member) offsetof(struct flo_weights, member)
#define LAYER(member) offsetof(struct flo_layer, member)

#define MATRIX FLO_TENSOR_MATRIX
#define VECTOR FLO_TENSOR_VECTOR

#define EMBD FLO_DIM_EMBD
#define HEAD FLO_DIM_HEAD
#define Q FLO_DIM_Q
#define KV FLO_DIM_KV
#define QKV FLO_DIM_QKV
#define FF FLO_DIM_FF
#define FF_TWICE FLO_DIM_FF_TWICE
#define VOCAB FLO_DIM_VOCAB
#define HALF_ROPE FLO_DIM_HALF_ROPE
#define NONE FLO_DIM_NONE

#define NEEDED FLO_NEEDED
#define OPTIONAL FLO_OPTIONAL
#define UNLESS_FUSED FLO_UNLESS_FUSED

#define TENSOR_LIST(list, specs)                                               \
    const struct flo_tensor_list list = {specs, FLO_COUNT(specs)}

#endif
