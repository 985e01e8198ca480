/* JSON of a PEFT folder: reading it, and members of its objects. */
#ifndef FLOTILLA_ENGINE_JSON_MEMBER_H
#define FLOTILLA_ENGINE_JSON_MEMBER_H

#include "engine/grammar/schema/json.h"

/* As flo_tree_read(), but FLO_E_MODEL_ADAPTER for what is no JSON. */
FLO_MUST_USE int flo_json_read(struct flo_tree *tree, char *text, size_t bytes,
                               uint32_t values_max, struct flo_err *err);
/* NULL: `object` is none, or has no such member. */
const struct flo_tree_node *flo_json_member(const struct flo_tree_node *object,
                                            const char *key);

#endif
