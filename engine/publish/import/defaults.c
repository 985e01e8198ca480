/* Defaults: what the class of a model takes for a setting that config.json lacks. */
#include <stdlib.h>
#include <string.h>

#include "engine/publish/import/config.h"

static bool is_there(const struct flo_config *config, const char *name)
{
    return flo_tree_member(config->inner, name) != NULL ||
           flo_tree_member(config->root, name) != NULL;
}

/* Tells whether the file has the setting, in the spelling of any year. */
static bool is_given(const struct flo_config *config, const char *name)
{
    static const char *const older[] = {"rope_theta",           "rope_scaling",
                                        "rope_local_base_freq", "partial_rotary_factor",
                                        "global_rope_theta",    "local_rope_theta"};
    bool is_given = is_there(config, name);
    for (size_t i = 0; i < FLO_COUNT(older) && strcmp(name, "rope_parameters") == 0; i++) {
        is_given = is_given || is_there(config, older[i]);
    }
    return is_given;
}

int flo_config_defaults(struct flo_config *config, struct flo_err *err)
{
    const struct flo_tree_node *kind = flo_tree_member(config->inner, "model_type");
    size_t bytes = flo_text_classes_count, bad;
    kind = kind != NULL ? kind : flo_tree_member(config->root, "model_type");
    config->classes_text = malloc(bytes + 1);
    if (config->classes_text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the settings of classes");
    }
    memcpy(config->classes_text, flo_text_classes, bytes);
    config->classes_text[bytes] = '\0';
    FLO_TRY(flo_tree_read(&config->classes, config->classes_text, bytes, FLO_CONFIG_VALUES_MAX, 0,
                          &bad, err));
    struct flo_tree_node *class = config->classes.nodes->first;
    while (class != NULL && !flo_tree_is(kind, class->key)) {
        class = class->next;
    }
    config->defaults = class;
    for (struct flo_tree_node **at = class != NULL ? &class->first : NULL;
         at != NULL && *at != NULL;) {
        if (is_given(config, (*at)->key)) {
            *at = (*at)->next;
        } else {
            at = &(*at)->next;
        }
    }
    return 0;
}
