/* Plan parts: appends parts to the list of a plan. */
#include "updater/delta/publish/plan.h"

#include <stdlib.h>

/* Estimated bytes of an index entry, without the two hashes that a decoded part
 * also has. */
#define ENTRY_BYTES 12

void flo_tensor_plan_deinit(struct tensor_plan *plan)
{
    free(plan->parts);
    plan->parts = NULL;
}

void flo_tensor_plan_add(struct tensor_plan *plan, const struct tensor_entry *part)
{
    if (plan->count == plan->room && !plan->failed) {
        size_t room = plan->room == 0 ? 256 : plan->room * 2;
        struct tensor_entry *parts = realloc(plan->parts, room * sizeof *parts);
        plan->failed = parts == NULL;
        if (parts != NULL) {
            plan->parts = parts;
            plan->room = room;
        }
    }
    bool has_hashes = part->op != TENSOR_COPY && part->op != TENSOR_ZERO;
    plan->index_bytes += ENTRY_BYTES + (has_hashes ? 2 * TENSOR_HASH_BYTES : 0);
    if (!plan->failed) {
        plan->parts[plan->count++] = *part;
    }
}

void flo_tensor_plan_copy(struct tensor_plan *plan, uint64_t new_at, uint64_t old_at,
                          uint64_t bytes)
{
    struct tensor_entry *last = plan->count > 0 ? &plan->parts[plan->count - 1] : NULL;

    if (last != NULL && last->op == TENSOR_COPY && last->old_at + last->new_bytes == old_at) {
        last->new_bytes += bytes;
        last->old_bytes += bytes;
        return;
    }
    flo_tensor_plan_add(plan, &(struct tensor_entry){.op = TENSOR_COPY,
                                                     .new_at = new_at,
                                                     .new_bytes = bytes,
                                                     .old_at = old_at,
                                                     .old_bytes = bytes});
}
