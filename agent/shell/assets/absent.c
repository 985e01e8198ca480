/* Assets stand-in: takes the place of assets in a build without them.  A
 * configuration that asks for them is refused. */
#include "agent/shell/assets/assets.h"
#include "base/left_out.h"

int flo_assets_open(struct flo_shell *shell, struct flo_err *err)
{
    return flo_config_texts_count(shell->settings.config, "assets_models") == 0
               ? 0
               : flo_left_out(err, "assets", "FLOTILLA_ASSETS");
}

void flo_assets_route(const struct flo_shell *shell, const struct flo_release *release,
                      const struct flo_release_variant *variant, struct flo_serve_route *route)
{
    (void)shell, (void)release, (void)variant, (void)route;
}

void flo_assets_routed(struct flo_shell *shell, uint32_t model, const struct flo_serve_route *route,
                       int rv)
{
    (void)shell, (void)model, (void)route, (void)rv;
}

void flo_assets_unrouted(struct flo_shell *shell, uint32_t model)
{
    (void)shell, (void)model;
}

void flo_assets_begin(struct flo_shell *shell)
{
    (void)shell;
}

void flo_assets_close(struct flo_shell *shell)
{
    (void)shell;
}
