/* Delta plan: pairs each new tensor with a similar old one.
 *
 * Two tensors of one name are paired if their values are similar.  A tensor
 * without such a pair may have been renamed or moved to another layer, so
 * tensors of the same shape are compared.  Similar means: the sum of
 * differences of some samples is less than half the sum of their magnitudes. */
#include "updater/delta/publish/plan.h"

#include <stdlib.h>
#include <string.h>

#include "updater/delta/publish/ranges.h"

#define SAMPLES 16
#define SAMPLE_VALUES 256

/* ---- tensors ---- */

struct planner {
    const struct delta_input *input;
    const struct tensor_ranges *old;
    const struct tensor_ranges *fresh;
    struct tensor_match *match;
    struct tensor_plan *plan;
};

static uint64_t rows_of(const struct tensor_range *tensor)
{
    return tensor->values / tensor->columns;
}

/* Returns the relative difference of two tensors' samples; tensors with more
 * than 1 are no pair. */
static double difference_of(const struct planner *planner, const struct tensor_range *old,
                            const struct tensor_range *fresh)
{
    uint64_t values = old->values < fresh->values ? old->values : fresh->values;
    uint64_t units = values / SAMPLE_VALUES;
    double apart = 0;
    double sizes = 1e-9;

    for (uint64_t i = 0; i < SAMPLES && i <= units; i++) {
        int64_t a[SAMPLE_VALUES];
        int64_t b[SAMPLE_VALUES];
        uint64_t first = units < SAMPLES ? i : units / SAMPLES * i;
        first *= SAMPLE_VALUES;
        uint64_t left = values - first;
        size_t count = left < SAMPLE_VALUES ? (size_t)left : SAMPLE_VALUES;
        flo_tensor_values(old->type, planner->input->old + old->offset, first, count, a);
        flo_tensor_values(fresh->type, planner->input->new + fresh->offset, first, count, b);
        for (size_t k = 0; k < count; k++) {
            apart += (double)(a[k] > b[k] ? a[k] - b[k] : b[k] - a[k]);
            sizes += (double)(a[k] < 0 ? -a[k] : a[k]) + (double)(b[k] < 0 ? -b[k] : b[k]);
        }
    }
    return apart / sizes;
}

/* Tells whether the rows of both tensors have the same length, and the codec
 * supports both types. */
static bool can_explain(const struct tensor_range *old, const struct tensor_range *fresh)
{
    return old->columns == fresh->columns && old->type != NULL && fresh->type != NULL &&
           fresh->columns <= UINT32_MAX &&
           flo_tensor_part_is_sound(old->type, fresh->type, BLOCK_VALUES_MAX, BLOCK_VALUES_MAX);
}

static const struct tensor_range *find_old(const struct planner *planner,
                                           const struct tensor_range *fresh)
{
    const struct tensor_range *best =
        flo_tensor_ranges_find(planner->old, fresh->name, fresh->name_bytes);
    double least = 0.5;

    if (best != NULL && can_explain(best, fresh) && difference_of(planner, best, fresh) < least) {
        return best;
    }
    best = NULL;
    for (size_t i = 0; i < planner->old->count; i++) {
        const struct tensor_range *old = &planner->old->all[i];
        if (!can_explain(old, fresh) || old->values != fresh->values) {
            continue;
        }
        double difference = difference_of(planner, old, fresh);
        if (difference < least) {
            least = difference;
            best = old;
        }
    }
    return best;
}

/* Plans one part of a tensor that is paired with a tensor of the old file: as a
 * copy if the old bytes are equal. */
static void plan_part(struct planner *planner, struct tensor_entry part)
{
    const struct delta_input *input = planner->input;

    if (part.old_id == part.new_id &&
        memcmp(input->old + part.old_at, input->new + part.new_at, (size_t)part.new_bytes) == 0) {
        flo_tensor_plan_copy(planner->plan, part.new_at, part.old_at, part.new_bytes);
    } else {
        flo_tensor_plan_add(planner->plan, &part);
    }
}

/* Plans the rows that both tensors have; the block matcher plans the rest. */
static void plan_pair(struct planner *planner, const struct tensor_range *old,
                      const struct tensor_range *fresh)
{
    const struct block_type *old_type = old->type;
    const struct block_type *new_type = fresh->type;
    uint64_t rows = rows_of(old) < rows_of(fresh) ? rows_of(old) : rows_of(fresh);
    uint64_t values = rows * fresh->columns;
    uint64_t unit = fresh->columns; /* values per part */
    uint64_t block = old_type->values > new_type->values ? old_type->values : new_type->values;
    uint64_t per_mib = TENSOR_PART_BYTES_MAX / old_type->bytes;
    uint64_t most = per_mib * old_type->values;

    per_mib = TENSOR_PART_BYTES_MAX / new_type->bytes * new_type->values;
    most = (most < per_mib ? most : per_mib) / block * block;
    unit = unit <= most ? most / unit * unit : most;
    for (uint64_t first = 0; first < values; first += unit) {
        uint64_t left = values - first;
        struct tensor_entry part = {.op = TENSOR_TYPED,
                                    .old_id = old_type->id,
                                    .new_id = new_type->id,
                                    .columns = (uint32_t)fresh->columns,
                                    .values = left < unit ? left : unit};
        part.new_at = fresh->offset + flo_tensor_bytes(new_type, first);
        part.new_bytes = flo_tensor_bytes(new_type, part.values);
        part.old_at = old->offset + flo_tensor_bytes(old_type, first);
        part.old_bytes = flo_tensor_bytes(old_type, part.values);
        plan_part(planner, part);
    }
    uint64_t made = flo_tensor_bytes(new_type, values);
    flo_tensor_match_plan(planner->match, planner->plan, fresh->offset + made, fresh->bytes - made,
                          old->offset + flo_tensor_bytes(old_type, values));
}

static uint64_t old_end_of(const struct tensor_plan *plan)
{
    const struct tensor_entry *last = plan->count > 0 ? &plan->parts[plan->count - 1] : NULL;

    return last == NULL ? 0 : last->old_at + last->old_bytes;
}

/* Returns the offset in the old file where a tensor with an unsupported type is
 * expected. */
static uint64_t near_of(const struct planner *planner, const struct tensor_range *fresh)
{
    const struct tensor_range *old =
        flo_tensor_ranges_find(planner->old, fresh->name, fresh->name_bytes);

    return old != NULL ? old->offset : old_end_of(planner->plan);
}

static void plan_tensors(struct planner *planner)
{
    uint64_t at = 0;

    for (size_t i = 0; i < planner->fresh->count; i++) {
        const struct tensor_range *fresh = &planner->fresh->all[i];
        /* The block matcher plans the header, and the bytes between two
         * tensors. */
        flo_tensor_match_plan(planner->match, planner->plan, at, fresh->offset - at,
                              old_end_of(planner->plan));
        const struct tensor_range *old = find_old(planner, fresh);
        if (old != NULL) {
            plan_pair(planner, old, fresh);
        } else {
            flo_tensor_match_plan(planner->match, planner->plan, fresh->offset, fresh->bytes,
                                  near_of(planner, fresh));
        }
        at = fresh->offset + fresh->bytes;
    }
    flo_tensor_match_plan(planner->match, planner->plan, at, planner->input->new_bytes - at,
                          old_end_of(planner->plan));
}

/* ---- files ---- */

int flo_tensor_plan_make(const struct delta_input *input, struct tensor_plan *plan,
                         struct flo_err *err)
{
    struct planner planner = {
        .input = input, .old = input->old_ranges, .fresh = input->new_ranges, .plan = plan};
    int rv = flo_tensor_match_open(input, &planner.match, err);

    plan->input = input;
    FLO_TRY(rv);
    if (planner.old != NULL && planner.old->count > 0) {
        plan_tensors(&planner);
    } else {
        flo_tensor_match_plan(planner.match, plan, 0, input->new_bytes, 0);
    }
    flo_tensor_match_close(planner.match);
    return plan->failed ? flo_fail(err, FLO_E_MEMORY, "no memory to compare files") : 0;
}
