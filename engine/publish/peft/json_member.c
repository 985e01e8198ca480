/* JSON of a PEFT folder: see json_member.h. */
#include "engine/publish/peft/json_member.h"

#include <string.h>

int flo_json_read(struct flo_tree *tree, char *text, size_t bytes,
                  uint32_t values_max, struct flo_err *err)
{
    size_t bad = 0;
    int rv = flo_tree_read(tree, text, bytes, values_max, 0, &bad, err);
    return rv == FLO_E_INFER_PARAM
               ? flo_fail(err, FLO_E_MODEL_ADAPTER, "no JSON at byte %zu", bad)
               : rv;
}

const struct flo_tree_node *flo_json_member(const struct flo_tree_node *object,
                                            const char *key)
{
    const struct flo_tree_node *node = flo_tree_first(object);
    while (node != NULL && (node->key == NULL || strcmp(node->key, key) != 0)) {
        node = node->next;
    }
    return node;
}
