/* Inside the memory planner: sets of models and their costs. */
#ifndef FLOTILLA_AGENT_CORE_MEMORY_INSIDE_H
#define FLOTILLA_AGENT_CORE_MEMORY_INSIDE_H

#include "agent/core/memory/memory.h"

/* Some of the models. */
struct flo_memory_set {
    const struct flo_memory_model *models;
    size_t count;
    bool is_in[FLO_MEMORY_MODELS_MAX];
};

/* A sum that stays at the greatest number: such a plan fits nowhere. */
uint64_t flo_memory_add(uint64_t a, uint64_t b);
uint32_t flo_memory_last_rung(const struct flo_memory_model *model);
/* Bytes of its files that no model of the set maps. */
uint64_t flo_memory_files_new(const struct flo_memory_set *set,
                              const struct flo_memory_model *model);
/* These and its private bytes. */
uint64_t flo_memory_cost_new(const struct flo_memory_set *set,
                             const struct flo_memory_model *model,
                             uint32_t rung);
/* Most important first. */
void flo_memory_order(const struct flo_memory_model *models, size_t count,
                      size_t order[FLO_MEMORY_MODELS_MAX]);
/* FLO_E_MEMORY_BUDGET, with every model's bytes. */
int flo_memory_refuse(const struct flo_memory_set *resident,
                      const struct flo_memory_plan *plan, struct flo_err *err);

#endif
