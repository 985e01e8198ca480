/* Inside the memory planner: sets of models and their costs. */
#ifndef FLOTILLA_PROTO_MEMORY_INSIDE_H
#define FLOTILLA_PROTO_MEMORY_INSIDE_H

#include "proto/memory/memory.h"

/* Some of the models. */
struct flo_memory_set {
    const struct flo_memory_model *models;
    size_t count;
    bool is_in[FLO_MEMORY_MODELS_MAX];
};

/* A sum that stays at the greatest number: such a plan fits nowhere. */
uint64_t flo_memory_add(uint64_t a, uint64_t b);
/* These and its private bytes. */
uint64_t flo_memory_cost_new(const struct flo_memory_set *set, const struct flo_memory_model *model,
                             uint32_t rung);
/* FLO_E_MEMORY_BUDGET, with every model's bytes. */
int flo_memory_refuse(const struct flo_memory_set *resident, const struct flo_memory_plan *plan,
                      struct flo_err *err);

#endif
