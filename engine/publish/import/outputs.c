/* Outputs: the tensors of a plan, and the loops over their sources' rows. */
#include "engine/publish/import/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

uint64_t flo_nest_at(const struct flo_nest *nest, uint64_t index)
{
    uint64_t at = nest->first;
    int last = 0;
    while (last < FLO_IMPORT_NEST && nest->counts[last] != 0) {
        last++;
    }
    if (last == 0) {
        return at + index;
    }
    for (int i = last - 1; i >= 0; i--) {
        at += index % nest->counts[i] * nest->strides[i];
        index /= nest->counts[i];
    }
    return at;
}

int flo_match_fail(const struct flo_import_match *match, struct flo_err *err, const char *why)
{
    return flo_folder_fail(err, "tensor '%.64s': %s", match->tensor->at.name, why);
}

/* ---- outputs ---- */

int flo_match_name(const struct flo_import_match *match, unsigned index, char *out,
                   struct flo_err *err)
{
    const char *from = match->ours;
    size_t at = 0;
    for (; index > 0 && from != NULL; index--) {
        from = strchr(from, '|');
        from += from != NULL;
    }
    for (; from != NULL && *from != '\0' && *from != '|'; from++) {
        char number[16] = {*from, '\0'};
        if (*from == '#' || *from == '%') {
            snprintf(number, sizeof(number), "%d", *from == '#' ? match->layer : match->expert);
        }
        size_t bytes = strlen(number);
        if (at + bytes > FLO_GGUF_NAME_BYTES_MAX) {
            return flo_match_fail(match, err, "its new name is too long");
        }
        memcpy(out + at, number, bytes + 1);
        at += bytes;
    }
    return at > 0 ? 0 : flo_match_fail(match, err, "it has no new name");
}

struct flo_output *flo_output_find(const struct flo_import *import, const char *name)
{
    for (size_t i = import->output_count; i > 0; i--) {
        if (strcmp(import->outputs[i - 1].head.name, name) == 0) {
            return &import->outputs[i - 1];
        }
    }
    return NULL;
}

int flo_output_parts(struct flo_output *output, uint32_t count, struct flo_err *err)
{
    struct flo_part *parts = calloc(count, sizeof(*parts));
    if (parts == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%u parts of a tensor", count);
    }
    free(output->parts);
    output->parts = parts;
    output->part_count = count;
    return 0;
}

static int grow(struct flo_import *import, struct flo_err *err)
{
    if (import->output_count == import->output_capacity) {
        size_t capacity = import->output_capacity * 2 + 64;
        struct flo_output *outputs = realloc(import->outputs, capacity * sizeof(*outputs));
        if (outputs == NULL) {
            return flo_fail(err, FLO_E_MEMORY, "%zu tensors", capacity);
        }
        import->outputs = outputs;
        import->output_capacity = capacity;
    }
    return 0;
}

static int set_dims(struct flo_gguf_tensor *head, uint32_t dim_count, const uint64_t *dims,
                    struct flo_err *err)
{
    bool fits = dim_count >= 1 && dim_count <= FLO_GGUF_DIMS_MAX;
    head->values = 1;
    head->dim_count = (uint8_t)dim_count;
    for (uint32_t i = 0; i < FLO_GGUF_DIMS_MAX; i++) {
        head->dims[i] = i < dim_count ? dims[i] : 1;
        fits = fits && head->dims[i] > 0 && flo_mul_u64(head->values, head->dims[i], &head->values);
    }
    return fits ? 0
                : flo_folder_fail(err, "tensor '%s' has no shape of 1 to 4 numbers", head->name);
}

int flo_output_add(struct flo_import *import, const char *name, uint32_t dim_count,
                   const uint64_t *dims, const struct flo_import_match *match,
                   struct flo_output **out, struct flo_err *err)
{
    struct flo_output output = {.layer = match != NULL ? match->layer : -1};
    if (flo_output_find(import, name) != NULL) {
        return flo_folder_fail(err, "two tensors become '%s'", name);
    }
    snprintf(output.head.name, sizeof(output.head.name), "%s", name);
    FLO_TRY(set_dims(&output.head, dim_count, dims, err));
    if (output.head.dims[0] > FLO_IMPORT_WIDTH_MAX) {
        return flo_folder_fail(err, "tensor '%s' has rows of %" PRIu64 " values", name,
                               output.head.dims[0]);
    }
    output.width = output.head.dims[0];
    output.order = match != NULL ? match->tensor->order + 1 : 0;
    FLO_TRY(grow(import, err));
    FLO_TRY(flo_output_parts(&output, 1, err));
    output.parts[0].source = match != NULL ? match->tensor : NULL;
    output.parts[0].rows = output.head.values / output.width;
    *out = &import->outputs[import->output_count++];
    **out = output;
    return 0;
}

int flo_output_give(struct flo_import *import, const char *name, const float *values,
                    uint64_t count, struct flo_err *err)
{
    struct flo_output *output;
    FLO_TRY(flo_output_add(import, name, 1, &count, NULL, &output, err));
    output->value = FLO_VALUE_GIVEN;
    output->given = malloc((size_t)count * sizeof(float));
    if (output->given == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "tensor '%s'", name);
    }
    memcpy(output->given, values, (size_t)count * sizeof(float));
    return 0;
}

void flo_plan_deinit(struct flo_import *import)
{
    for (size_t i = 0; i < import->output_count; i++) {
        free(import->outputs[i].parts);
        free(import->outputs[i].given);
    }
    free(import->outputs);
    import->outputs = NULL;
    import->output_count = import->output_capacity = 0;
}
