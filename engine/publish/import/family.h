/* Family: the architectures that a folder may have, as a table.
 *
 * A plain family is one row.  A family with settings or tensors of its own adds
 * a function for its keys and a table of its tensors. */
#ifndef FLOTILLA_ENGINE_IMPORT_FAMILY_H
#define FLOTILLA_ENGINE_IMPORT_FAMILY_H

#include "engine/publish/import/plan.h"

enum {
    FLO_FAMILY_PAIRS = 1,      /* rows of Q and K become pairs (2i, 2i+1) */
    FLO_FAMILY_VOCAB_SIZE = 2, /* has the key vocab_size */
    FLO_FAMILY_ROPE_DIMS = 4,  /* has the key rope.dimension_count, a head's size */
    FLO_FAMILY_ENCODER = 8,    /* reads a text both ways; makes vectors or scores */
    FLO_FAMILY_WINDOWS = 16,   /* has the keys of windows, by layer_types */
    FLO_FAMILY_POOLED = 32,    /* has pooling_type where modules.json says it */
};

struct flo_import_family {
    const char *theirs; /* names in "architectures" of config.json, separated by blanks */
    const char *arch;   /* name in the file */
    unsigned flags;
    const struct flo_import_row *rows; /* searched before flo_import_rows; NULL: none */
    /* Sets the keys that the common ones lack, or changes them, and adds
     * outputs that the folder lacks; NULL: none. */
    int (*finish)(struct flo_import *import, struct flo_err *err);
};

/* Tensors that many families share; ends with NULL. */
extern const struct flo_import_row flo_import_rows[];

/* Finds the family of config.json, and sets the keys that all families have.
 *
 * FLO_E_MODEL_ARCH     the family is not known, or only code of the folder is
 * FLO_E_MODEL_FOLDER   a setting is out of range, or the folder is quantised */
FLO_MUST_USE int flo_family_find(struct flo_import *import, struct flo_err *err);
FLO_MUST_USE int flo_family_keys(struct flo_import *import, struct flo_err *err);

/* Sets an array of a bool for each layer: whether layer_types says `type`. */
FLO_MUST_USE int flo_family_layers(struct flo_import *import, const char *key, const char *type,
                                   struct flo_err *err);
/* Sets an array of an i32 for each layer: `value` where layer_types says
 * `type`, else `other`. */
FLO_MUST_USE int flo_family_numbers(struct flo_import *import, const char *key, const char *type,
                                    uint32_t value, uint32_t other, struct flo_err *err);
/* Sets a key by a setting of config.json, if it is there. */
FLO_MUST_USE int flo_family_u32(struct flo_import *import, const char *key, const char *names,
                                struct flo_err *err);
FLO_MUST_USE int flo_family_f32(struct flo_import *import, const char *key, const char *names,
                                struct flo_err *err);
/* Reads a small JSON file of the folder; *text is NULL when it is absent. */
FLO_MUST_USE int flo_family_json(const struct flo_import *import, const char *name, char **text,
                                 struct flo_tree *tree, struct flo_err *err);
/* Tells whether the type of a module (modules.json) has this end. */
bool flo_module_is(const struct flo_tree_node *module, const char *end);
/* Returns the folder of a module, or NULL when it is none inside ours. */
const char *flo_module_folder(const struct flo_tree_node *module);
/* Sets pooling_type as modules.json says it. */
FLO_MUST_USE int flo_family_pooling(struct flo_import *import, struct flo_err *err);
/* Sets how the chosen experts are weighted, where it is not the family's way. */
void flo_family_experts(struct flo_import *import);
/* Sets which layers have windows, where it is not the family's way. */
FLO_MUST_USE int flo_family_windows(struct flo_import *import, struct flo_err *err);
/* Sets the end tokens that generation_config.json or config.json names. */
FLO_MUST_USE int flo_family_ends(struct flo_import *import, struct flo_err *err);
/* Joins the chat template with that for tools, and names its tokens. */
FLO_MUST_USE int flo_family_templates(struct flo_import *import, struct flo_err *err);
/* Adds the matrices behind the pooling that modules.json names. */
FLO_MUST_USE int flo_family_dense(struct flo_import *import, struct flo_err *err);
/* Adds rope_freqs.weight that turns only the first `part` of a head's pairs. */
FLO_MUST_USE int flo_family_proportional(struct flo_import *import, uint32_t size, double part,
                                         struct flo_err *err);
/* Adds rope_freqs.weight if the rotation is scaled as in Llama 3. */
FLO_MUST_USE int flo_family_llama3(struct flo_import *import, struct flo_err *err);

/* Parts of families that have their own files. */
extern const struct flo_import_row flo_rows_phi[], flo_rows_granite[], flo_rows_lfm[],
    flo_rows_qwen_next[], flo_rows_qwen35[], flo_rows_gemma3[], flo_rows_gemma3n[],
    flo_rows_gemma4[], flo_rows_falcon[], flo_rows_nemotron[], flo_rows_gpt_oss[], flo_rows_bert[],
    flo_rows_modern_bert[], flo_rows_after[], flo_rows_hunyuan[];
int flo_finish_phi(struct flo_import *import, struct flo_err *err);
int flo_finish_smollm(struct flo_import *import, struct flo_err *err);
int flo_finish_olmo(struct flo_import *import, struct flo_err *err);
int flo_finish_hunyuan(struct flo_import *import, struct flo_err *err);
int flo_finish_minicpm(struct flo_import *import, struct flo_err *err);
int flo_finish_ministral(struct flo_import *import, struct flo_err *err);
int flo_finish_granite(struct flo_import *import, struct flo_err *err);
int flo_finish_granite_swa(struct flo_import *import, struct flo_err *err);
int flo_finish_granite_hybrid(struct flo_import *import, struct flo_err *err);
int flo_finish_lfm2(struct flo_import *import, struct flo_err *err);
int flo_finish_lfm2_moe(struct flo_import *import, struct flo_err *err);
int flo_finish_lfm3(struct flo_import *import, struct flo_err *err);
int flo_finish_experts(struct flo_import *import, struct flo_err *err);
int flo_finish_qwen_next(struct flo_import *import, struct flo_err *err);
int flo_finish_qwen35(struct flo_import *import, struct flo_err *err);
int flo_finish_gemma2(struct flo_import *import, struct flo_err *err);
int flo_finish_gemma3(struct flo_import *import, struct flo_err *err);
int flo_finish_gemma3n(struct flo_import *import, struct flo_err *err);
int flo_finish_gemma4(struct flo_import *import, struct flo_err *err);
int flo_finish_embeddinggemma(struct flo_import *import, struct flo_err *err);
int flo_finish_falcon(struct flo_import *import, struct flo_err *err);
int flo_finish_nemotron(struct flo_import *import, struct flo_err *err);
int flo_finish_gpt_oss(struct flo_import *import, struct flo_err *err);
int flo_finish_bert(struct flo_import *import, struct flo_err *err);
int flo_finish_modern_bert(struct flo_import *import, struct flo_err *err);

#endif
