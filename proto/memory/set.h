/* Sets of models and their memory costs. */
#ifndef FLOTILLA_PROTO_MEMORY_SET_H
#define FLOTILLA_PROTO_MEMORY_SET_H

#include "proto/memory/memory.h"

/* A subset of the models of a plan. */
struct flo_memory_set {
    const struct flo_memory_model *models;
    size_t count;
    bool is_in[FLO_MEMORY_MODELS_MAX];
};

/* Adds with saturation, so that an overflow gives a plan that fits nowhere. */
uint64_t flo_memory_add(uint64_t a, uint64_t b);
/* Returns the bytes that adding `model` costs: its private bytes, and its files
 * that no model of the set maps yet. */
uint64_t flo_memory_cost_new(const struct flo_memory_set *set, const struct flo_memory_model *model,
                             uint32_t rung);
/* Fails with FLO_E_MEMORY_BUDGET and the bytes of each model. */
int flo_memory_refuse(const struct flo_memory_set *resident, const struct flo_memory_plan *plan,
                      struct flo_err *err);

#endif
