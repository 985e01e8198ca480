/* Config: the settings of a model's folder (config.json), in the spelling of
 * any year.
 *
 * A setting is searched in the settings of the text model first (text_config of
 * multimodal folders), then in the file itself.  A setting that is null counts
 * as absent; one that is not there at all has the value of the model's class
 * (defaults.c). */
#ifndef FLOTILLA_ENGINE_IMPORT_CONFIG_H
#define FLOTILLA_ENGINE_IMPORT_CONFIG_H

#include "base/tree/tree.h"

#define FLO_CONFIG_BYTES_MAX (4u << 20)
#define FLO_CONFIG_VALUES_MAX (1u << 18)

/* Zero-initialise. */
struct flo_config {
    struct flo_tree tree;
    const struct flo_tree_node *root;
    const struct flo_tree_node *inner; /* settings of the text model; NULL: `root` has them */
    struct flo_tree classes;           /* settings of all classes */
    char *classes_text;
    struct flo_tree_node *defaults; /* those of the file's class that the file lacks, or NULL */
};

/* Fails with FLO_E_MODEL_FOLDER. */
int flo_folder_fail(struct flo_err *err, const char *format, ...) FLO_PRINTF(2, 3);
/* Fails with FLO_E_MODEL_ARCH and the architecture's name.  `has_code`: the
 * folder brings a program for it. */
int flo_folder_unknown(struct flo_err *err, const char *name, bool has_code);
/* Reads JSON whose numbers may also be NaN or Infinity, which are no numbers.
 * `text` has room for one more byte, is changed, and must outlive the tree.
 * FLO_E_MODEL_FOLDER: no JSON object.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_folder_tree(char *text, size_t bytes, uint32_t values_max,
                                 struct flo_tree *tree, struct flo_err *err);
/* Reads config.json, as flo_folder_tree() does. */
FLO_MUST_USE int flo_config_read(char *text, size_t bytes, struct flo_config *out,
                                 struct flo_err *err);
void flo_config_deinit(struct flo_config *config);
/* Settings of each class by model_type, texts/classes.json. */
extern const uint8_t flo_text_classes[];
extern const size_t flo_text_classes_count;
/* Reads the defaults of the class, by the file's model_type (defaults.c).  A class without
 * a row has none.  FLO_E_MEMORY. */
FLO_MUST_USE int flo_config_defaults(struct flo_config *config, struct flo_err *err);

/* Finds the first of several names, which are separated by blanks.  Returns
 * NULL when all are absent. */
const struct flo_tree_node *flo_config_find(const struct flo_config *config, const char *names);
/* Tells whether a setting is there, and null. */
bool flo_config_is_null(const struct flo_config *config, const char *name);
/* Reads a whole number of at most `most`.  An absent one leaves *out unchanged.
 * FLO_E_MODEL_FOLDER: another value. */
FLO_MUST_USE int flo_config_u32(const struct flo_config *config, const char *names, uint32_t most,
                                uint32_t *out, struct flo_err *err);
/* Returns a number, or `absent`. */
double flo_config_number(const struct flo_config *config, const char *names, double absent);
/* Returns the whole part of a number of a folder: 0 below it, UINT32_MAX above that. */
uint32_t flo_config_whole(double number);
/* Tells whether a setting is `true`. */
bool flo_config_is(const struct flo_config *config, const char *names);
/* Returns item `index` of an array of texts, or of an array of numbers. */
const struct flo_tree_node *flo_config_item(const struct flo_tree_node *list, uint32_t index);

/* Returns the rotation's settings for layers with a window or for all others
 * (rope_parameters, or rope_scaling of older files), or NULL. */
const struct flo_tree_node *flo_config_rope(const struct flo_config *config, bool is_windowed);
/* Returns a number of these settings, or `absent`. */
double flo_config_rope_number(const struct flo_config *config, bool is_windowed, const char *name,
                              double absent);
/* Returns the base of the rotation's frequencies, or 0. */
double flo_config_rope_base(const struct flo_config *config, bool is_windowed);
/* Returns the kind of the rotation's scaling: "yarn", "llama3", … or "". */
const char *flo_config_rope_kind(const struct flo_config *config);

#endif
