#include "engine/publish/import/adapter.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/quant/quant.h"
#include "engine/publish/import/family.h"
#include "engine/publish/import/run.h"
#include "engine/publish/peft/peft.h"

/* ---- pairs ---- */

/* Cuts "base_model.model." off the front of a name. */
static const char *module_of(const char *name)
{
    static const char front[] = "base_model.model.";
    size_t bytes = strlen(front);
    return strncmp(name, front, bytes) == 0 ? name + bytes : name;
}

/* Finds the B of an A; NULL: there is none. */
static const struct flo_safetensor *other_half(const struct flo_safetensors *file, const char *a)
{
    size_t at = (size_t)(strstr(a, ".lora_A") - a) + strlen(".lora_");
    for (size_t i = 0; i < flo_safetensors_count(file); i++) {
        const struct flo_safetensor *b = flo_safetensors_at(file, i);
        if (strncmp(a, b->name, at) == 0 && b->name[at] == 'B' &&
            strcmp(a + at + 1, b->name + at + 1) == 0) {
            return b;
        }
    }
    return NULL;
}

static int check_half(const struct flo_safetensor *half, struct flo_err *err)
{
    if (half->type->id == FLO_SAFETENSORS_NO_ID) {
        return flo_fail(err, FLO_E_NOT_BUILT, "'%.96s' is %s, and no F32, F16 or BF16", half->name,
                        half->type->name);
    }
    return half->dim_count == 2 && half->bytes > 0
               ? 0
               : flo_folder_fail(err, "'%.96s': its shape is no matrix's", half->name);
}

static int add_pair(struct flo_import_adapter *adapter, const struct flo_safetensors *file,
                    const struct flo_safetensor *a, struct flo_err *err)
{
    struct flo_import_pair *pair = &adapter->pairs[adapter->pair_count];
    const char *module = module_of(a->name);
    int bytes = (int)(strstr(module, ".lora_A") - module);
    pair->a = a;
    pair->b = other_half(file, a->name);
    if (pair->b == NULL || snprintf(pair->name, sizeof(pair->name), "%.*s.weight", bytes, module) >=
                               (int)sizeof(pair->name)) {
        return flo_folder_fail(err, "'%.96s' has no other half", a->name);
    }
    FLO_TRY(check_half(pair->a, err));
    FLO_TRY(check_half(pair->b, err));
    pair->rank = a->dims[0];
    if (pair->b->dims[1] != pair->rank || pair->rank > FLO_PEFT_RANK_MAX) {
        return flo_folder_fail(
            err, "'%.96s' has rank %" PRIu64 ", its other half %" PRIu64 "; at most %d", a->name,
            pair->rank, pair->b->dims[1], FLO_PEFT_RANK_MAX);
    }
    pair->weight =
        (struct flo_folder_tensor){.at = *a, .fd = -1, .order = (uint32_t)adapter->pair_count};
    pair->weight.at.name = pair->name;
    pair->weight.at.dims[0] = pair->b->dims[0];
    pair->weight.values = pair->b->dims[0] * a->dims[1];
    adapter->pair_count++;
    return 0;
}

static int read_pairs(struct flo_import_adapter *adapter, const struct flo_safetensors *file,
                      struct flo_err *err)
{
    size_t count = flo_safetensors_count(file), halves = 0;
    adapter->pairs = calloc(count + 1, sizeof(*adapter->pairs));
    if (adapter->pairs == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", count);
    }
    for (size_t i = 0; i < count; i++) {
        const struct flo_safetensor *half = flo_safetensors_at(file, i);
        const char *end = strstr(half->name, ".lora_");
        bool is_half = end != NULL && (end[6] == 'A' || end[6] == 'B') &&
                       (strcmp(end + 7, ".weight") == 0 || strcmp(end + 7, ".default.weight") == 0);
        if (!is_half) {
            return flo_folder_fail(err, "'%.96s' is no half of a LoRA pair", half->name);
        }
        halves += end[6] == 'B' ? 1 : 0;
        FLO_TRY(end[6] == 'A' ? add_pair(adapter, file, half, err) : 0);
    }
    return halves == adapter->pair_count
               ? 0
               : flo_folder_fail(err, "%zu halves A, %zu halves B", adapter->pair_count, halves);
}

/* ---- plan ---- */

/* Returns the pair of a part, or NULL. */
static const struct flo_import_pair *pair_of(const struct flo_part *part)
{
    return (const struct flo_import_pair *)(const void *)part->source;
}
_Static_assert(offsetof(struct flo_import_pair, weight) == 0, "a part's source is a pair");

/* Returns the first pair of an output.  An adapter may leave some experts as
 * they are. */
static const struct flo_import_pair *first_pair(const struct flo_output *output)
{
    uint32_t i = 0;
    while (i < output->part_count && output->parts[i].source == NULL) {
        i++;
    }
    return i < output->part_count ? pair_of(&output->parts[i]) : NULL;
}

/* Checks that an output is a matrix, or one of each expert, of one rank. */
static int check_output(const struct flo_output *output, struct flo_err *err)
{
    const struct flo_import_pair *pair = first_pair(output);
    bool fits = pair != NULL && output->value == FLO_VALUE_SAME &&
                output->width == output->head.dims[0] && output->head.dim_count >= 2;
    for (uint32_t i = 0; fits && i < output->part_count; i++) {
        const struct flo_import_pair *other = pair_of(&output->parts[i]);
        fits = other == NULL ? output->is_stack
                             : other->rank == pair->rank && (output->is_stack || other == pair);
    }
    return fits ? 0
                : flo_folder_fail(err, "'%s' is no linear layer, or has several ranks",
                                  output->head.name);
}

static int set_heads(struct flo_import_adapter *adapter, struct flo_err *err)
{
    const struct flo_import *import = &adapter->import;
    adapter->heads = calloc(2 * import->output_count + 1, sizeof(*adapter->heads));
    if (adapter->heads == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "%zu tensors", import->output_count);
    }
    for (size_t i = 0; i < import->output_count; i++) {
        const struct flo_output *output = &import->outputs[i];
        FLO_TRY(check_output(output, err));
        for (int half = 0; half < 2; half++) {
            const struct flo_import_pair *pair = first_pair(output);
            struct flo_gguf_tensor *head = &adapter->heads[adapter->head_count++];
            *head = output->head;
            if (snprintf(head->name, sizeof(head->name), "%s.lora_%c", output->head.name,
                         half == 0 ? 'a' : 'b') >= (int)sizeof(head->name)) {
                return flo_folder_fail(err, "'%s' is too long", output->head.name);
            }
            head->type = half == 1 && output->parts[0].factor_count > 0
                             ? FLO_QUANT_F32
                             : (half == 0 ? pair->a : pair->b)->type->id;
            head->dims[half == 0 ? 1 : 0] = pair->rank;
            head->values = head->dims[0] * head->dims[1] * head->dims[2];
        }
    }
    return 0;
}

static bool is_source(const struct flo_import *import, const struct flo_import_pair *pair)
{
    for (size_t i = 0; i < import->output_count; i++) {
        for (uint32_t k = 0; k < import->outputs[i].part_count; k++) {
            if (import->outputs[i].parts[k].source == &pair->weight) {
                return true;
            }
        }
    }
    return false;
}

int flo_import_adapter_open(struct flo_import_adapter *adapter, const char *folder,
                            const struct flo_safetensors *file, const char *arch,
                            struct flo_err *err)
{
    struct flo_import *import = &adapter->import;
    import->folder.path = folder;
    FLO_TRY(flo_import_config(import, err));
    FLO_TRY(flo_family_find(import, err));
    if (strcmp(import->family->arch, arch) != 0) {
        return flo_folder_fail(err, "the base is '%s', its folder says '%s'", arch,
                               import->family->arch);
    }
    FLO_TRY(flo_family_keys(import, err));
    flo_plan_deinit(import); /* what the family adds by its settings */
    FLO_TRY(read_pairs(adapter, file, err));
    for (size_t i = 0; i < adapter->pair_count; i++) {
        FLO_TRY(flo_import_map_tensor(import, &adapter->pairs[i].weight, err));
        if (!is_source(import, &adapter->pairs[i])) {
            return flo_folder_fail(err, "'%.96s' is of a part that is not imported",
                                   adapter->pairs[i].a->name);
        }
    }
    return set_heads(adapter, err);
}

/* ---- values ---- */

static float *decoded(const struct flo_safetensor *half, struct flo_err *err)
{
    size_t count = (size_t)(half->dims[0] * half->dims[1]);
    float *values = malloc(count * sizeof(*values));
    FLO_CLEANUP(flo_free_cleanup) void *aligned = malloc((size_t)half->bytes);
    if (values != NULL && aligned != NULL) {
        memcpy(aligned, half->data, (size_t)half->bytes);
        flo_quant_type(half->type->id)->decode(aligned, values, count);
    } else {
        (void)flo_fail(err, FLO_E_MEMORY, "'%.64s'", half->name);
        free(values);
        values = NULL;
    }
    return values;
}

/* Writes A: its columns in the order of the file's. */
static int make_a(const struct flo_output *output, const struct flo_import_pair *pair, float *out,
                  struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *memory = (char *)decoded(pair->a, err);
    const float *a = (const float *)(void *)memory;
    uint64_t columns = output->width;
    if (a == NULL) {
        return FLO_E_MEMORY;
    }
    for (uint64_t r = 0; r < pair->rank; r++) {
        for (uint64_t c = 0; c < columns; c++) {
            uint64_t from = flo_nest_at(&output->columns, c);
            out[r * columns + c] = from < columns ? a[r * columns + from] : 0;
        }
    }
    return 0;
}

/* Writes the rows of B that a part takes, scaled as the weights are. */
static int make_b(const struct flo_part *part, float *out, struct flo_err *err)
{
    const struct flo_import_pair *pair = pair_of(part);
    FLO_CLEANUP(flo_free_cleanup) char *memory = (char *)decoded(pair->b, err);
    const float *b = (const float *)(void *)memory;
    if (b == NULL) {
        return FLO_E_MEMORY;
    }
    for (uint64_t i = 0; i < part->rows; i++) {
        uint64_t from = flo_nest_at(&part->nest, i);
        if (from >= pair->b->dims[0]) {
            return flo_folder_fail(err, "'%.96s' has %" PRIu64 " rows", pair->b->name,
                                   pair->b->dims[0]);
        }
        for (uint64_t r = 0; r < pair->rank; r++) {
            float value = b[from * pair->rank + r];
            for (unsigned f = 0; f < part->factor_count; f++) {
                value *= part->factors[f];
            }
            out[i * pair->rank + r] = value;
        }
    }
    return 0;
}

static int make_half(const struct flo_output *output, bool is_a, const struct flo_gguf_tensor *head,
                     float *out, struct flo_err *err)
{
    uint64_t matrix = head->dims[0] * head->dims[1], at = 0;
    if (is_a && !output->is_stack) {
        return make_a(output, first_pair(output), out, err);
    }
    for (uint32_t i = 0; i < output->part_count; i++) {
        const struct flo_part *part = &output->parts[i];
        uint64_t values = output->is_stack ? matrix : part->rows * head->dims[0];
        if (values > head->values - at) {
            return flo_folder_fail(err, "'%s' has too many rows", head->name);
        }
        if (part->source != NULL) {
            FLO_TRY(is_a ? make_a(output, pair_of(part), out + at, err)
                         : make_b(part, out + at, err));
        }
        at += values;
    }
    return 0;
}

int flo_import_adapter_give(struct flo_import_adapter *adapter, size_t index, const void **data,
                            struct flo_err *err)
{
    const struct flo_gguf_tensor *head = &adapter->heads[index];
    size_t count = (size_t)head->values;
    free(adapter->values);
    free(adapter->encoded);
    adapter->values = calloc(count, sizeof(float));
    adapter->encoded = malloc(count * sizeof(float));
    if (adapter->values == NULL || adapter->encoded == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "'%s'", head->name);
    }
    FLO_TRY(
        make_half(&adapter->import.outputs[index / 2], index % 2 == 0, head, adapter->values, err));
    flo_quant_type(head->type)->encode(adapter->values, adapter->encoded, count);
    *data = adapter->encoded;
    return 0;
}

void flo_import_adapter_close(struct flo_import_adapter *adapter)
{
    flo_import_close(&adapter->import);
    free(adapter->pairs);
    free(adapter->heads);
    free(adapter->values);
    free(adapter->encoded);
    *adapter = (struct flo_import_adapter){0};
}
