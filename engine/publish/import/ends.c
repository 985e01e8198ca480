/* Ends: the tokens that end an answer.  generation_config.json decides before
 * config.json; each names one token, or a list. */
#include <string.h>

#include "engine/publish/import/family.h"

#define ENDS_MAX 64

static int read_ends(const struct flo_import *import, const char *file,
                     const struct flo_tree_node *node, uint8_t *items, uint32_t *count,
                     struct flo_err *err)
{
    bool is_list = node->kind == FLO_TREE_ARRAY;
    for (node = is_list ? node->first : node; node != NULL; node = is_list ? node->next : NULL) {
        int64_t id;
        if (*count == ENDS_MAX || !flo_tree_whole(node, 0, (int64_t)import->vocabulary - 1, &id)) {
            return flo_folder_fail(err, "%s: \"eos_token_id\" is no id below %u, and no list of %d",
                                   file, import->vocabulary, ENDS_MAX);
        }
        flo_put_u32(items + 4 * *count, (uint32_t)id);
        ++*count;
    }
    return 0;
}

int flo_family_ends(struct flo_import *import, struct flo_err *err)
{
    static const char file[] = "generation_config.json";
    FLO_CLEANUP(flo_free_cleanup) char *text = NULL;
    FLO_CLEANUP(flo_tree_deinit) struct flo_tree tree = {0};
    const struct flo_tree_node *ends;
    uint8_t items[4 * ENDS_MAX];
    uint32_t count = 0;
    FLO_TRY(flo_family_json(import, file, &text, &tree, err));
    ends = text != NULL ? flo_tree_member(tree.nodes, "eos_token_id") : NULL;
    bool is_generation = ends != NULL && ends->kind != FLO_TREE_NULL;
    ends = is_generation ? ends : flo_config_find(&import->config, "eos_token_id");
    if (ends == NULL) {
        return 0;
    }
    FLO_TRY(read_ends(import, is_generation ? file : "config.json", ends, items, &count, err));
    flo_keys_array(&import->keys, "flotilla.end_token_ids", FLO_GGUF_U32, count, items,
                   (size_t)count * 4);
    return 0;
}
