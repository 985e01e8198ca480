/* Assets folder: keeps the owner's folder of assets, on a thread of its own
 * (updater/store/assets.c).  A folder that cannot be used is logged, and tried
 * again each minute. */
#ifndef FLOTILLA_AGENT_ASSETS_FOLDER_H
#define FLOTILLA_AGENT_ASSETS_FOLDER_H

#include <flotilla/updater.h>

struct flo_assets_folder;

/* Starts the thread.  `path` and `store` are borrowed until the close.
 * FLO_E_MEMORY. */
FLO_MUST_USE int flo_assets_folder_open(struct flo_store *store, const char *path,
                                        struct flo_assets_folder **out, struct flo_err *err);
/* A model has these assets from now on; NULL: it has none. */
void flo_assets_folder_show(struct flo_assets_folder *folder, const char *model,
                            const struct flo_asset_list *assets);
/* Each model of the device was shown once, so the others leave the folder. */
void flo_assets_folder_begin(struct flo_assets_folder *folder);
/* Ends the thread after the change that it makes.  Changes that wait are made at
 * the next start. */
void flo_assets_folder_close(struct flo_assets_folder *folder);

#endif
