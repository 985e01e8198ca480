/* Routes: sets under which names requests reach a model, and which release
 * answers. */
#include <string.h>

#include "agent/shell/assets/assets.h"
#include "agent/shell/device/runtimes.h"
#include "agent/shell/serving/serving.h"

static uint64_t created_s(struct flo_shell *shell, const struct flo_digest *release)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *document = NULL;

    return flo_digest_is_zero(release) || flo_shell_release_get(shell, release, &document, NULL) < 0
               ? 0
               : document->created_at_ms / 1000;
}

/* Tells whether a variant is for a runtime that answers no requests. */
static bool is_silent(const struct flo_shell *shell, const struct flo_release_variant *variant)
{
    struct flo_device_runtime runtime;
    bool is_linked;

    if (flo_release_is_native(variant) ||
        flo_runtimes_read(&shell->settings, variant->runtime, &runtime, NULL) < 0) {
        return false;
    }
    is_linked = runtime.is_linked;
    flo_runtimes_deinit(&runtime);
    return is_linked;
}

static void make_route(struct flo_shell *shell, uint32_t model,
                       const struct flo_release_ref *release, enum flo_serve_route_state state,
                       struct flo_serve_route *out)
{
    struct flo_serve_route route = {.release = release->digest, .state = state};
    struct flo_shell_files files;
    const struct flo_model_spec *spec =
        flo_spec_of(&shell->settings, shell->models[model].slots.model);

    if (spec != NULL) {
        route.n_aliases = spec->n_aliases;
        memcpy(route.aliases, spec->aliases, sizeof(route.aliases));
        route.n_tokens = spec->n_tokens;
        memcpy(route.tokens, spec->tokens, sizeof(route.tokens));
    }
    memcpy(route.model, shell->models[model].slots.model, sizeof(route.model));
    if (release->version[0] != '\0') {
        memcpy(route.version, release->version, sizeof(route.version));
    } else { /* the release's document was missing at the start; a repair has
              * brought it back, so its version is known now */
        struct flo_release_ref named;
        flo_shell_ref(shell, &release->digest, &named);
        memcpy(route.version, named.version, sizeof(route.version));
    }
    route.created_s = created_s(shell, &release->digest);
    if (flo_shell_files_get(shell, &release->digest, &files, NULL) == 0) {
        memcpy(route.adapter, files.adapter_name, sizeof(files.adapter_name));
        route.adapter_scale = files.adapter_scale;
        route.is_silent = is_silent(shell, files.variant);
        memcpy(route.split_of, files.release->serve.split_of, sizeof(route.split_of));
        route.split_pct = files.release->serve.split_pct;
        route.has_defaults = flo_shell_defaults(shell, files.release, &route.defaults);
        flo_assets_route(shell, files.release, files.variant, &route);
        flo_shell_files_free(&files);
    }
    *out = route;
}

void flo_shell_route(struct flo_shell *shell, uint32_t model, const struct flo_release_ref *release,
                     enum flo_serve_route_state state)
{
    struct flo_serve_route route;
    struct flo_err err = {0};

    make_route(shell, model, release, state, &route);
    int rv = flo_serve_route_set(shell->serve, model, &route, &err);
    if (rv < 0) {
        flo_log_err(FLO_LOG_ERROR, "serve", &err);
    }
    flo_assets_routed(shell, model, &route, rv);
}

int flo_shell_flip(struct flo_shell *shell, uint32_t model, enum flo_agent_role role,
                   const struct flo_release_ref *release, struct flo_err *err)
{
    struct flo_serve_route route;

    make_route(shell, model, release, FLO_ROUTE_READY, &route);
    int rv = flo_serve_route_flip(shell->serve, model,
                                  role == FLO_AGENT_CURRENT ? FLO_ROLE_CURRENT : FLO_ROLE_CANDIDATE,
                                  &route, err);
    flo_assets_routed(shell, model, &route, rv);
    return rv;
}
