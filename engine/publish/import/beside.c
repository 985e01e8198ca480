#include "engine/publish/import/beside.h"

#include <string.h>

#include "engine/publish/import/family.h"

/* Keeps the first error; later files are read for the report. */
static void keep(int *rv, int next, const struct flo_err *said, struct flo_err *err)
{
    if (*rv == 0 && next < 0) {
        *rv = next;
        if (err != NULL) {
            *err = *said;
        }
    }
}

static int read_file(struct flo_import *import, const char *rows, const char *name,
                     struct flo_err *err)
{
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    FLO_TRY(flo_family_json(import, name, &text, &tree, err));
    return text == NULL ? 0 : flo_reading_file(&import->reading, rows, name, tree.nodes, err);
}

/* Reads modules.json, and the settings of its modules. */
static int read_modules(struct flo_import *import, struct flo_err *err)
{
    static const char *const kinds[][2] = {{"Pooling", "Pooling/config.json"},
                                           {"Dense", "Dense/config.json"}};
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    FLO_TRY(flo_family_json(import, "modules.json", &text, &tree, err));
    if (text == NULL) {
        return 0;
    }
    FLO_TRY(flo_reading_file(&import->reading, "modules.json", "modules.json", tree.nodes, err));
    for (const struct flo_tree_node *module = flo_tree_first(tree.nodes); module != NULL;
         module = module->next) {
        const char *folder = flo_module_folder(module);
        for (size_t i = 0; folder != NULL && i < FLO_COUNT(kinds); i++) {
            char name[96];
            snprintf(name, sizeof(name), "%s/config.json", folder);
            FLO_TRY(flo_module_is(module, kinds[i][0]) ? read_file(import, kinds[i][1], name, err)
                                                       : 0);
        }
    }
    return 0;
}

/* Reads what the class takes for absent keys, as if the file had it. */
static int read_defaults(struct flo_import *import, struct flo_err *err)
{
    const struct flo_tree_node *all = import->config.defaults;
    for (const struct flo_tree_node *node = flo_tree_first(all); node != NULL; node = node->next) {
        if (node->kind == FLO_TREE_NULL) {
            return flo_folder_fail(err,
                                   "config.json lacks \"%s\", which its class makes as this "
                                   "program does not",
                                   node->key);
        }
    }
    return all == NULL ? 0
                       : flo_reading_file(&import->reading, "config.json",
                                          "config.json, by its class", all, err);
}

int flo_beside_read(struct flo_import *import, struct flo_err *err)
{
    static const char *const names[] = {"generation_config.json", "preprocessor_config.json",
                                        "sentence_bert_config.json",
                                        "config_sentence_transformers.json"};
    struct flo_err said = {0};
    int rv = 0;
    import->reading.arch = import->family->arch;
    import->reading.inner = import->config.inner;
    keep(&rv,
         flo_reading_file(&import->reading, "config.json", "config.json", import->config.root,
                          &said),
         &said, err);
    keep(&rv, read_defaults(import, &said), &said, err);
    for (size_t i = 0; i < FLO_COUNT(names); i++) {
        keep(&rv, read_file(import, names[i], names[i], &said), &said, err);
    }
    keep(&rv, read_modules(import, &said), &said, err);
    return rv;
}
