#include "engine/publish/import/plan.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/family.h"
#include "engine/publish/import/packed.h"

/* ---- names ---- */

static const char *bare(const char *name)
{
    static const char *const fronts[] = {"model.language_model.",
                                         "language_model.model.",
                                         "language_model.",
                                         "model.",
                                         "backbone.",
                                         "bert.",
                                         "roberta.",
                                         "ernie."};
    for (size_t i = 0; i < FLO_COUNT(fronts); i++) {
        size_t bytes = strlen(fronts[i]);
        if (strncmp(name, fronts[i], bytes) == 0) {
            return name + bytes;
        }
    }
    return name;
}

/* Compares the first `bytes` of a name with a pattern, and reads its
 * numbers. */
static bool fits(const char *pattern, const char *name, size_t bytes, int *layer, int *expert)
{
    const char *end = name + bytes;
    *layer = *expert = -1;
    for (; *pattern != '\0' && name < end; pattern++) {
        if (*pattern == '*') {
            return true;
        }
        if (*pattern == '#' || *pattern == '%') {
            const char *first = name;
            int number = 0;
            while (name < end && *name >= '0' && *name <= '9' && name - first < 7) {
                number = number * 10 + (*name++ - '0');
            }
            *(*pattern == '#' ? layer : expert) = number;
            if (name == first) {
                return false;
            }
        } else if (*pattern != *name++) {
            return false;
        }
    }
    return name == end && (*pattern == '\0' || *pattern == '*');
}

/* Finds the row of a tensor.  *end is the part of its name that the new name
 * gets, too. */
static const struct flo_import_row *row_of(const struct flo_import_row *rows, const char *name,
                                           struct flo_import_match *match, const char **end)
{
    static const char *const ends[] = {".weight", ".bias"};
    for (; rows != NULL && rows->theirs != NULL; rows++) {
        size_t bytes = strlen(name);
        *end = "";
        if (fits(rows->theirs, name, bytes, &match->layer, &match->expert)) {
            return rows;
        }
        for (size_t i = 0; i < FLO_COUNT(ends); i++) {
            size_t less = strlen(ends[i]);
            *end = ends[i];
            if (bytes > less && strcmp(name + bytes - less, ends[i]) == 0 &&
                fits(rows->theirs, name, bytes - less, &match->layer, &match->expert)) {
                return rows;
            }
        }
    }
    return NULL;
}

int flo_import_map_tensor(struct flo_import *import, const struct flo_folder_tensor *tensor,
                          struct flo_err *err)
{
    struct flo_import_match match = {.tensor = tensor};
    char ours[2 * FLO_GGUF_NAME_BYTES_MAX];
    const char *end = "";
    const char *name = bare(tensor->packed != NULL ? tensor->packed->name : tensor->at.name);
    const struct flo_import_row *row = row_of(import->family->rows, name, &match, &end);
    if (row == NULL) {
        row = row_of(flo_import_rows, name, &match, &end);
    }
    if (row == NULL) {
        flo_match_fail(&match, err, "the family does not know it");
        return flo_err_fix(err, "take the folder of the model itself, without adapters or heads of "
                                "its training");
    }
    if (row->ours == NULL) {
        return 0;
    }
    if (match.layer >= (int)import->layers) {
        return flo_match_fail(&match, err, "config.json has fewer layers");
    }
    snprintf(ours, sizeof(ours), "%s%s", row->ours, end);
    match.ours = ours;
    match.with = row->with;
    int rv = (row->make != NULL          ? row->make
              : strchr(row->theirs, '%') ? flo_make_expert
                                         : flo_make_plain)(import, &match, err);
    return rv < 0 ? flo_wrap(err, rv, "tensor '%.64s'", tensor->at.name) : 0;
}

/* ---- the whole ---- */

/* Dimensions that config.json fixes, of tensors with these names, or names that
 * end so behind a dot or a line. */
static const struct {
    const char *end;
    int dim; /* the one that is the width of the model */
} widths[] = {
    {"token_embd.weight", 0}, {"output_norm.weight", 0},  {".attn_norm.weight", 0},
    {".attn_q.weight", 0},    {".attn_k.weight", 0},      {".attn_v.weight", 0},
    {".attn_qkv.weight", 0},  {".attn_output.weight", 1}, {".ffn_norm.weight", 0},
    {".ffn_gate.weight", 0},  {".ffn_up.weight", 0},      {".ffn_down.weight", 1},
    {"_gate_exps.weight", 0}, {"_up_exps.weight", 0},     {"_down_exps.weight", 1},
};

static bool is_named(const char *name, const char *end)
{
    size_t a = strlen(name), b = strlen(end);
    bool is_part = end[0] == '.' || end[0] == '_';
    return is_part ? a >= b && strcmp(name + a - b, end) == 0 : strcmp(name, end) == 0;
}

static int check_width(const struct flo_import *import, const struct flo_gguf_tensor *head,
                       struct flo_err *err)
{
    for (size_t i = 0; i < FLO_COUNT(widths); i++) {
        if (is_named(head->name, widths[i].end) && head->dims[widths[i].dim] != import->embedding) {
            return flo_folder_fail(err, "tensor '%s' is %" PRIu64 " wide, config.json says %u",
                                   head->name, head->dims[widths[i].dim], import->embedding);
        }
    }
    if (strcmp(head->name, "token_embd.weight") == 0 && head->dims[1] < import->vocabulary) {
        return flo_folder_fail(err, "the embedding has %" PRIu64 " tokens, config.json says %u",
                               head->dims[1], import->vocabulary);
    }
    return 0;
}

/* Checks the rows of heads.  Queries may have a gate of their own size. */
static int check_heads(const struct flo_import *import, const struct flo_gguf_tensor *head,
                       struct flo_err *err)
{
    uint64_t rows =
        is_named(head->name, ".attn_q.weight") ? import->heads
        : is_named(head->name, ".attn_k.weight") || is_named(head->name, ".attn_v.weight")
            ? import->heads_kv
            : 0;
    uint64_t wanted = rows * import->head_dim;
    bool has_sizes = strcmp(import->family->arch, "gemma4") == 0; /* two sizes of heads */
    bool has_gate = is_named(head->name, ".attn_q.weight") && head->dims[1] == 2 * wanted;
    return rows == 0 || has_sizes || has_gate || head->dims[1] == wanted
               ? 0
               : flo_folder_fail(err,
                                 "tensor '%s' has %" PRIu64 " rows, config.json says %" PRIu64
                                 " heads of %u",
                                 head->name, head->dims[1], rows, import->head_dim);
}

/* Checks the size of a feed-forward, which may be fused of two, by the key that
 * says it for all layers. */
static int check_forward(const struct flo_import *import, const struct flo_gguf_tensor *head,
                         struct flo_err *err)
{
    bool is_expert = is_named(head->name, "_up_exps.weight");
    const struct flo_gguf_edit *edit = flo_keys_find(
        &import->keys, is_expert ? ".expert_feed_forward_length" : ".feed_forward_length");
    if ((!is_expert && !is_named(head->name, ".ffn_up.weight")) || edit == NULL ||
        edit->type != FLO_GGUF_U32 || head->dims[1] == edit->u32 ||
        head->dims[1] == 2 * (uint64_t)edit->u32) {
        return 0;
    }
    return flo_folder_fail(err, "tensor '%s' has %" PRIu64 " rows, config.json says %u", head->name,
                           head->dims[1], edit->u32);
}

static int check_stack(const struct flo_output *output, struct flo_err *err)
{
    for (uint32_t i = 0; i < output->part_count; i++) {
        if (output->parts[i].source == NULL && output->is_stack) {
            return flo_folder_fail(err, "expert %u of '%s' is missing", i, output->head.name);
        }
    }
    return 0;
}

static int check_layers(const struct flo_import *import, struct flo_err *err)
{
    bool is_there[FLO_IMPORT_LAYERS_MAX] = {false};
    for (size_t i = 0; i < import->output_count; i++) {
        if (import->outputs[i].layer >= 0) {
            is_there[import->outputs[i].layer] = true;
        }
    }
    for (uint32_t i = 0; i < import->layers; i++) {
        if (!is_there[i]) {
            return flo_folder_fail(err, "no tensor of layer %u of %u", i, import->layers);
        }
    }
    if (flo_output_find(import, "token_embd.weight") == NULL) {
        return flo_folder_fail(err, "the embedding is missing");
    }
    return 0;
}

/* Checks that a model which continues texts has its last matrix, unless that is
 * the embedding. */
static int check_last(const struct flo_import *import, struct flo_err *err)
{
    const struct flo_tree_node *tied =
        flo_config_find(&import->config, "tie_word_embeddings tie_embedding");
    bool makes_vectors = (import->family->flags & FLO_FAMILY_ENCODER) != 0 ||
                         flo_keys_find(&import->keys, ".pooling_type") != NULL;
    bool is_apart = flo_tree_says(tied, false);
    return !is_apart || makes_vectors || flo_output_find(import, "output.weight") != NULL
               ? 0
               : flo_folder_fail(err, "lm_head.weight is missing, and config.json does not tie it "
                                      "to the embedding");
}

/* Returns a tensor's name behind its layer: "attn_q.weight". */
static const char *kind_of(const struct flo_output *output)
{
    const char *dot = strchr(output->head.name, '.');
    dot = dot != NULL ? strchr(dot + 1, '.') : NULL;
    return dot != NULL ? dot + 1 : output->head.name;
}

/* Checks that all layers have the same tensors, in a family of one kind of
 * layer. */
static int check_even(const struct flo_import *import, struct flo_err *err)
{
    bool is_even = import->family->rows == NULL && import->experts == 0;
    for (size_t i = 0; is_even && i < import->output_count; i++) {
        const struct flo_output *one = &import->outputs[i];
        uint32_t count = 0;
        for (size_t k = 0; one->layer >= 0 && k < import->output_count; k++) {
            const struct flo_output *other = &import->outputs[k];
            count += other->layer >= 0 && strcmp(kind_of(one), kind_of(other)) == 0 ? 1 : 0;
        }
        if (one->layer >= 0 && count != import->layers) {
            return flo_folder_fail(err, "%u of %u layers have '%s'", count, import->layers,
                                   kind_of(one));
        }
    }
    return 0;
}

static int by_order(const void *a, const void *b)
{
    const struct flo_output *x = a, *y = b;
    return x->order != y->order ? (x->order > y->order) - (x->order < y->order)
                                : strcmp(x->head.name, y->head.name);
}

int flo_import_map(struct flo_import *import, struct flo_err *err)
{
    for (size_t i = 0; i < import->folder.count; i++) {
        const struct flo_folder_tensor *tensor = &import->folder.tensors[i];
        FLO_TRY(tensor->is_part ? 0 : flo_import_map_tensor(import, tensor, err));
    }
    for (size_t i = 0; i < import->output_count; i++) {
        FLO_TRY(check_width(import, &import->outputs[i].head, err));
        FLO_TRY(check_heads(import, &import->outputs[i].head, err));
        FLO_TRY(check_forward(import, &import->outputs[i].head, err));
        FLO_TRY(check_stack(&import->outputs[i], err));
    }
    FLO_TRY(check_layers(import, err));
    FLO_TRY(check_last(import, err));
    FLO_TRY(check_even(import, err));
    qsort(import->outputs, import->output_count, sizeof(*import->outputs), by_order);
    return 0;
}
