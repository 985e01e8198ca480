/* Assets: which files of releases other programs may read, and the folder in
 * which they have their names.
 *
 * A model's list of assets belongs to its route, so the local API changes both
 * at once.  A thread keeps the folder (updater/store/assets.c), because copies
 * and syncs take time, in which neither requests nor the agent's loop may wait. */
#ifndef FLOTILLA_AGENT_ASSETS_H
#define FLOTILLA_AGENT_ASSETS_H

#include "agent/shell/shell.h"

/* Reads the configuration, and starts the thread if there is a folder and this
 * process is the agent.  A folder
 * that cannot be used is only logged, and tried again each minute.
 * FLO_E_CFG_...  the configuration is invalid
 * FLO_E_NOT_BUILT, FLO_E_MEMORY */
FLO_MUST_USE int flo_assets_open(struct flo_shell *shell, struct flo_err *err);
/* Adds the release's assets to a route whose model is set, if the owner lets
 * other programs read that model's.  flo_assets_routed() must follow. */
void flo_assets_route(const struct flo_shell *shell, const struct flo_release *release,
                      const struct flo_release_variant *variant, struct flo_serve_route *route);
/* Takes the assets of a route: `rv` is 0 if it is the model's route from now on,
 * else they are freed.  The folder follows. */
void flo_assets_routed(struct flo_shell *shell, uint32_t model, const struct flo_serve_route *route,
                       int rv);
/* The model has no route any more, so the folder has none of its assets. */
void flo_assets_unrouted(struct flo_shell *shell, uint32_t model);
/* All models have their routes, at the agent's start: the folder shows no
 * others. */
void flo_assets_begin(struct flo_shell *shell);
/* Ends the thread, and frees the lists of all models. */
void flo_assets_close(struct flo_shell *shell);

#endif
