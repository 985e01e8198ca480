/* Pipelines: reads entries of agent.yaml, each with a name and the models that
 * a request passes through in turn. */
#include <string.h>

#include <flotilla/errors/cfg.h>
#include <flotilla/rows.h>

#include "agent/shell/device/device.h"

static bool is_spec_name(const struct flo_settings *settings, const char *name)
{
    for (size_t i = 0; i < settings->spec_count; i++) {
        const struct flo_model_spec *spec = &settings->specs[i];
        if (strcmp(spec->name, name) == 0 || flo_rows_find(name, spec->aliases, spec->n_aliases,
                                                           sizeof(spec->aliases[0]), 0) != NULL) {
            return true;
        }
    }
    return false;
}

static int read_pipeline(const struct flo_settings *settings, const char *name, const json_t *list,
                         struct flo_serve_pipeline *out, struct flo_err *err)
{
    size_t count = json_array_size(list);

    if (!flo_name_is_valid(name) || count < 2 || count > FLO_SERVE_STAGES_MAX) {
        return flo_fail(err, FLO_E_CFG_TYPE,
                        "pipelines.%.64s: a name with a list of 2 to %d models", name,
                        FLO_SERVE_STAGES_MAX);
    }
    if (is_spec_name(settings, name)) {
        return flo_fail(err, FLO_E_CFG_RANGE, "pipelines.%s: a model has this name or alias", name);
    }
    strcpy(out->name, name);
    for (size_t i = 0; i < count; i++) {
        const char *model = json_string_value(json_array_get(list, i));
        if (model == NULL || !flo_name_is_valid(model) || strcmp(model, name) == 0) {
            return flo_fail(err, FLO_E_CFG_TYPE, "pipelines.%s: element %zu is no name of a model",
                            name, i + 1);
        }
        strcpy(out->stages[out->n_stages++], model);
    }
    return 0;
}

int flo_pipelines_read(struct flo_settings *settings, struct flo_err *err)
{
    const json_t *tree = flo_config_tree(settings->config, "pipelines");
    const char *name;
    json_t *value;
    int rv = 0;

    json_object_foreach((json_t *)(uintptr_t)tree, name, value)
    {
        if (rv == 0) {
            rv = read_pipeline(settings, name, value,
                               &settings->pipelines[settings->pipeline_count++], err);
        }
    }
    return rv;
}
