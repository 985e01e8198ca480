/* LoRA file: checks an adapter's file against its base model, and finds its
 * matrices. */
#include "engine/model/adapter/lora_file.h"

#include <inttypes.h>
#include <string.h>

#include <flotilla/errors/model.h>

#include "base/quant/quant.h"

static const struct flo_gguf_tensor *half_of(const struct flo_gguf *adapter, const char *tensor,
                                             const char *tail)
{
    char name[FLO_GGUF_NAME_BYTES_MAX + 1];
    int chars = snprintf(name, sizeof(name), "%s%s", tensor, tail);
    return chars < (int)sizeof(name) ? flo_gguf_tensor_find(adapter, name) : NULL;
}

enum { SHAPE_BYTES = 96 };

/* Writes a shape such as "64 x 32 x 8", and returns it. */
static const char *shape_of(const struct flo_gguf_tensor *tensor, char out[SHAPE_BYTES])
{
    int chars =
        snprintf(out, SHAPE_BYTES, "%" PRIu64 " x %" PRIu64, tensor->dims[0], tensor->dims[1]);

    if (tensor->dims[2] != 1 || tensor->dims[3] != 1) {
        snprintf(out + chars, SHAPE_BYTES - (size_t)chars, " x %" PRIu64 " x %" PRIu64,
                 tensor->dims[2], tensor->dims[3]);
    }
    return out;
}

/* Tells whether both tensors are one matrix, or both a matrix for each of as
 * many experts. */
static bool is_like(const struct flo_gguf_tensor *base, const struct flo_gguf_tensor *half)
{
    return base->dim_count >= 2 && half->dim_count == base->dim_count &&
           half->dims[2] == base->dims[2] && half->dims[3] == 1 && base->dims[3] == 1;
}

static int check_pair(const struct flo_gguf_tensor *base, const struct flo_gguf_tensor *a,
                      const struct flo_gguf_tensor *b, struct flo_err *err)
{
    uint64_t rank = a->dims[1];
    if (!is_like(base, a) || !is_like(base, b) || a->dims[0] != base->dims[0] ||
        b->dims[1] != base->dims[1] || b->dims[0] != rank) {
        char sizes[3][SHAPE_BYTES];
        return flo_fail(err, FLO_E_MODEL_ADAPTER,
                        "tensor '%s' is %s; the adapter's halves are %s and %s", base->name,
                        shape_of(base, sizes[0]), shape_of(a, sizes[1]), shape_of(b, sizes[2]));
    }
    if (rank > FLO_LORA_RANK_MAX) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "tensor '%s' has rank %" PRIu64 ", at most %d",
                        base->name, rank, FLO_LORA_RANK_MAX);
    }
    if (flo_quant_type(a->type)->decode == NULL || flo_quant_type(b->type)->decode == NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT, "reading an adapter of type %s is not built yet",
                        flo_quant_type(a->type)->name);
    }
    return 0;
}

/* Finds the tensor of the base model that the name of an adapter's tensor
 * refers to, and whether it is A or B. */
static int find_base(const struct flo_gguf *base, const struct flo_gguf_tensor *half,
                     const struct flo_gguf_tensor **out, bool *is_a, struct flo_err *err)
{
    char name[FLO_GGUF_NAME_BYTES_MAX + 1];
    snprintf(name, sizeof(name), "%s", half->name);
    size_t chars = strlen(name);
    const char *tail = chars > 7 ? name + chars - 7 : "";
    *is_a = strcmp(tail, ".lora_a") == 0;
    if (!*is_a && strcmp(tail, ".lora_b") != 0) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "tensor '%s' is no half of a LoRA pair", name);
    }
    name[chars - 7] = '\0';
    *out = flo_gguf_tensor_find(base, name);
    return *out != NULL ? 0
                        : flo_fail(err, FLO_E_MODEL_ADAPTER, "the base has no tensor '%s'", name);
}

static int check_kind(const struct flo_gguf *adapter, const struct flo_gguf *base,
                      struct flo_err *err)
{
    struct flo_gguf_text kind = {"", 0};
    struct flo_gguf_text arch = {"", 0};
    struct flo_gguf_text base_arch = {"", 0};
    FLO_TRY(flo_gguf_string(adapter, "adapter.type", &kind, err));
    FLO_TRY(flo_gguf_string(adapter, "general.architecture", &arch, err));
    FLO_TRY(flo_gguf_string(base, "general.architecture", &base_arch, err));
    if (!flo_gguf_text_is(kind, "lora")) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "adapter.type is '%.*s', 'lora' is needed",
                        kind.bytes < 32 ? (int)kind.bytes : 32, kind.data);
    }
    if (flo_gguf_find(adapter, "adapter.alora.invocation_tokens") != NULL) {
        return flo_fail(err, FLO_E_NOT_BUILT,
                        "an adapter that begins at certain tokens is not "
                        "built yet");
    }
    if (arch.bytes != base_arch.bytes || memcmp(arch.data, base_arch.data, arch.bytes) != 0) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER, "the adapter is for '%.*s', the base is '%.*s'",
                        arch.bytes < 32 ? (int)arch.bytes : 32, arch.data,
                        base_arch.bytes < 32 ? (int)base_arch.bytes : 32, base_arch.data);
    }
    return 0;
}

static int check_pairs(const struct flo_gguf *adapter, const struct flo_gguf *base, size_t *count,
                       struct flo_err *err)
{
    *count = 0;
    for (size_t i = 0; i < flo_gguf_tensor_count(adapter); i++) {
        const struct flo_gguf_tensor *half = flo_gguf_tensor_at(adapter, i);
        const struct flo_gguf_tensor *tensor = NULL;
        const struct flo_gguf_tensor *other;
        bool is_a = false;
        int rv = find_base(base, half, &tensor, &is_a, err);
        FLO_TRY(rv);
        other = half_of(adapter, tensor->name, is_a ? ".lora_b" : ".lora_a");
        if (other == NULL) {
            return flo_fail(err, FLO_E_MODEL_ADAPTER, "'%s' has no other half", half->name);
        }
        if (is_a) {
            rv = check_pair(tensor, half, other, err);
            *count += 1;
        }
        FLO_TRY(rv);
    }
    return *count > 0 ? 0 : flo_fail(err, FLO_E_MODEL_ADAPTER, "the adapter holds no tensors");
}

int flo_lora_check(const struct flo_gguf *adapter, const struct flo_gguf *base,
                   struct flo_lora *out, struct flo_err *err)
{
    struct flo_lora lora = {.gguf = adapter, .alpha = 0};
    FLO_TRY(check_kind(adapter, base, err));
    FLO_TRY(flo_gguf_f32(adapter, "adapter.lora.alpha", &lora.alpha, err));
    if (!(lora.alpha >= 0x1p-16f && lora.alpha <= 0x1p20f)) {
        return flo_fail(err, FLO_E_MODEL_ADAPTER,
                        "adapter.lora.alpha is %g, 2^-16 to 2^20 are allowed", (double)lora.alpha);
    }
    FLO_TRY(check_pairs(adapter, base, &lora.pair_count, err));
    *out = lora;
    return 0;
}

bool flo_lora_halves(const struct flo_lora *lora, const char *tensor,
                     const struct flo_gguf_tensor **a, const struct flo_gguf_tensor **b)
{
    *a = half_of(lora->gguf, tensor, ".lora_a");
    *b = half_of(lora->gguf, tensor, ".lora_b");
    return *a != NULL && *b != NULL;
}
