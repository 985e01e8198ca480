#include "updater/plan/chain.h"

#include <assert.h>

bool flo_plan_holds(const struct flo_digest *list, size_t count, const struct flo_digest *digest)
{
    for (size_t i = 0; i < count; i++) {
        if (flo_digest_equal(&list[i], digest)) {
            return true;
        }
    }
    return false;
}

bool flo_plan_is_present(const struct flo_plan_input *input, const struct flo_digest *digest)
{
    assert(input->present_count == 0 || input->present != NULL);
    return flo_plan_holds(input->present, input->present_count, digest);
}

bool flo_plan_can_decode(const struct flo_plan_input *input, const struct flo_way *way)
{
    uint64_t memory_max =
        input->memory_bytes_max != 0 ? input->memory_bytes_max : FLO_PLAN_MEMORY_BYTES;

    return flo_delta_codec_is_built(way->codec) && way->memory_bytes <= memory_max &&
           (input->offered == NULL ||
            flo_plan_holds(input->offered, input->offered_count, &way->digest));
}

static bool is_better(const struct flo_chain *a, const struct flo_chain *b)
{
    return a->bytes != b->bytes ? a->bytes < b->bytes : a->count < b->count;
}

static bool find(const struct flo_plan_input *input, const struct flo_digest *base,
                 uint32_t steps_max, struct flo_chain *out);

/* Finds the chain of patches whose last patch is the delta number `way` of the
 * intermediate file `file`. */
static bool by_way(const struct flo_plan_input *input, uint32_t file, uint32_t way,
                   uint32_t steps_max, struct flo_chain *out)
{
    const struct flo_way *facts = &input->release->files[file].ways[way];
    struct flo_chain chain = {0};

    if ((input->ways_failed[file] >> way & 1) != 0 || flo_digest_is_zero(&facts->base) ||
        !flo_plan_can_decode(input, facts) ||
        (!flo_plan_is_present(input, &facts->base) &&
         !find(input, &facts->base, steps_max - 1, &chain)) ||
        !flo_add_u64(chain.bytes, facts->bytes, &chain.bytes)) {
        return false;
    }
    chain.steps[chain.count].file = (uint8_t)file;
    chain.steps[chain.count].way = (uint8_t)way;
    chain.count++;
    *out = chain;
    return true;
}

/* Finds the best chain that makes `base`.  The recursion depth is bounded, so a
 * cycle of intermediate files gives no chain. */
static bool find(const struct flo_plan_input *input, const struct flo_digest *base,
                 uint32_t steps_max, struct flo_chain *out)
{
    const struct flo_release *release = input->release;
    bool is_found = false;

    for (uint32_t i = 0; steps_max > 0 && i < release->file_count; i++) {
        const struct flo_release_file *file = &release->files[i];
        struct flo_chain chain;
        if (!flo_release_is_step(file) || !flo_digest_equal(&file->digest, base)) {
            continue;
        }
        for (uint32_t w = 0; w < file->way_count; w++) {
            if (by_way(input, i, w, steps_max, &chain) && (!is_found || is_better(&chain, out))) {
                *out = chain;
                is_found = true;
            }
        }
    }
    return is_found;
}

bool flo_chain_find(const struct flo_plan_input *input, const struct flo_digest *base,
                    struct flo_chain *out)
{
    return find(input, base, FLO_CHAIN_STEPS_MAX, out);
}
