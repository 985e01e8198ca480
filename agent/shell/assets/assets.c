/* Assets: decides which models' assets may be read; see assets.h. */
#include "agent/shell/assets/assets.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cfg.h>

#include "agent/shell/assets/folder.h"
#include "base/host/config.h"

struct flo_assets {
    char blobs[4200];
    struct flo_assets_folder *folder; /* NULL: none */
};

static bool is_offered(const struct flo_config *config, const char *model)
{
    size_t count = flo_config_texts_count(config, "assets_models");

    for (size_t i = 0; i < count; i++) {
        const char *name = flo_config_texts_get(config, "assets_models", i);
        if (strcmp(name, "*") == 0 || strcmp(name, model) == 0) {
            return true;
        }
    }
    return false;
}

static int check(const struct flo_config *config, struct flo_err *err)
{
    size_t count = flo_config_texts_count(config, "assets_models");
    const char *folder = flo_config_text(config, "assets_folder");

    for (size_t i = 0; i < count; i++) {
        const char *name = flo_config_texts_get(config, "assets_models", i);
        if (strcmp(name, "*") != 0 && !flo_name_is_valid(name)) {
            return flo_fail(err, FLO_E_CFG_RANGE, "assets_models: `%.64s` is neither a name nor *",
                            name);
        }
    }
    if (folder != NULL && count == 0) {
        flo_fail(err, FLO_E_CFG_KEY, "assets_folder: no model in assets_models");
        return flo_err_fix(err, "write assets_models: [\"*\"] for all models");
    }
    return folder == NULL || folder[0] == '/'
               ? 0
               : flo_fail(err, FLO_E_CFG_RANGE, "assets_folder: `%.200s` is no absolute path",
                          folder);
}

void flo_assets_route(const struct flo_shell *shell, const struct flo_release *release,
                      const struct flo_release_variant *variant, struct flo_serve_route *route)
{
    if (shell->assets == NULL || !is_offered(shell->settings.config, route->model)) {
        return;
    }
    struct flo_asset_list *list = malloc(sizeof(*list));
    if (list == NULL) {
        flo_log(FLO_LOG_ERROR, "assets", "%s: no memory", route->model);
        return;
    }
    flo_release_assets(release, variant, list);
    route->assets = list;
    route->blobs = shell->assets->blobs;
}

/* Replaces the list of a model, which its route has had until now. */
static void keep(struct flo_shell *shell, uint32_t model, const char *name,
                 const struct flo_asset_list *list)
{
    free((void *)(uintptr_t)shell->models[model].assets);
    shell->models[model].assets = list;
    if (shell->assets != NULL && shell->assets->folder != NULL) {
        flo_assets_folder_show(shell->assets->folder, name, list);
    }
}

void flo_assets_routed(struct flo_shell *shell, uint32_t model, const struct flo_serve_route *route,
                       int rv)
{
    if (rv < 0) {
        free((void *)(uintptr_t)route->assets);
    } else {
        keep(shell, model, route->model, route->assets);
    }
}

void flo_assets_unrouted(struct flo_shell *shell, uint32_t model)
{
    keep(shell, model, shell->models[model].slots.model, NULL);
}

void flo_assets_begin(struct flo_shell *shell)
{
    if (shell->assets != NULL && shell->assets->folder != NULL) {
        flo_assets_folder_begin(shell->assets->folder);
    }
}

int flo_assets_open(struct flo_shell *shell, struct flo_err *err)
{
    const struct flo_config *config = shell->settings.config;
    const char *folder = flo_config_text(config, "assets_folder");

    FLO_TRY(check(config, err));
    if (flo_config_texts_count(config, "assets_models") == 0) {
        return 0;
    }
    shell->assets = calloc(1, sizeof(*shell->assets));
    if (shell->assets == NULL) {
        return flo_fail(err, FLO_E_MEMORY, "assets");
    }
    if (!flo_path_join(shell->assets->blobs, sizeof(shell->assets->blobs),
                       shell->settings.state_dir, "blobs")) {
        return flo_fail(err, FLO_E_CFG_RANGE, "state_dir is too long");
    }
    return folder == NULL || shell->is_local
               ? 0
               : flo_assets_folder_open(shell->store, folder, &shell->assets->folder, err);
}

void flo_assets_close(struct flo_shell *shell)
{
    if (shell->assets != NULL && shell->assets->folder != NULL) {
        flo_assets_folder_close(shell->assets->folder);
    }
    for (size_t i = 0; i < FLO_AGENT_MODELS_MAX; i++) {
        free((void *)(uintptr_t)shell->models[i].assets);
        shell->models[i].assets = NULL;
    }
    free(shell->assets);
    shell->assets = NULL;
}
