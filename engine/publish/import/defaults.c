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
    static const struct {
        const char *kind, *settings;
    } classes[] = {
#define DEFAULTS(kind, settings) {kind, settings},
#include "engine/publish/import/defaults.def"
#undef DEFAULTS
    };
    const struct flo_tree_node *kind = flo_tree_member(config->inner, "model_type");
    size_t i = 0, bad;
    kind = kind != NULL ? kind : flo_tree_member(config->root, "model_type");
    while (i < FLO_COUNT(classes) && !flo_tree_is(kind, classes[i].kind)) {
        i++;
    }
    if (i == FLO_COUNT(classes)) {
        return 0;
    }
    config->defaults_text = strdup(classes[i].settings);
    if (config->defaults_text == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "the settings of a class");
    }
    FLO_TRY(flo_tree_read(&config->defaults, config->defaults_text, strlen(config->defaults_text),
                          FLO_CONFIG_VALUES_MAX, 0, &bad, err));
    for (struct flo_tree_node **at = &config->defaults.nodes->first; *at != NULL;) {
        if (is_given(config, (*at)->key)) {
            *at = (*at)->next;
        } else {
            at = &(*at)->next;
        }
    }
    return 0;
}
