/* Routes: under which names requests reach a model, and what answers them. */
#include <string.h>

#include "agent/shell/serving/serving.h"

static uint64_t created_s(struct flo_shell *shell,
                          const struct flo_digest *release)
{
    FLO_CLEANUP(flo_shell_release_free) struct flo_release *document = NULL;

    return flo_digest_is_zero(release) ||
                   flo_shell_release_get(shell, release, &document, NULL) < 0
               ? 0
               : document->created_at_ms / 1000;
}

void flo_shell_route(struct flo_shell *shell, uint32_t model,
                     const struct flo_release_ref *release,
                     enum flo_serve_route_state state)
{
    struct flo_serve_route route = {.release = release->digest, .state = state};
    const struct flo_model_wish *wish =
        flo_wish_of(&shell->settings, shell->models[model].slots.model);
    struct flo_err err = {0};

    if (wish != NULL) {
        route.n_aliases = wish->n_aliases;
        memcpy(route.aliases, wish->aliases, sizeof(route.aliases));
        route.n_tokens = wish->n_tokens;
        memcpy(route.tokens, wish->tokens, sizeof(route.tokens));
    }
    memcpy(route.model, shell->models[model].slots.model, sizeof(route.model));
    memcpy(route.version, release->version, sizeof(route.version));
    route.created_s = created_s(shell, &release->digest);
    if (flo_serve_route_set(shell->serve, model, &route, &err) < 0) {
        flo_log_err(FLO_LOG_ERROR, "serve", &err);
    }
}
