/* Trees stand-in: takes the place of release trees in a build without runtimes,
 * which alone open them.  No tree is made, so none is removed. */
#include "base/left_out.h"
#include "updater/store/store.h"

int flo_store_tree_open(struct flo_store *store, const struct flo_digest *digest,
                        const struct flo_release *release,
                        const struct flo_release_variant *variant, int *fd, struct flo_err *err)
{
    (void)store, (void)digest, (void)release, (void)variant, (void)fd;
    return flo_left_out(err, "runtimes", "FLOTILLA_RUNTIMES");
}

void flo_store_trees_sweep(struct flo_store *store,
                           bool (*is_kept)(const void *context, const struct flo_digest *digest),
                           const void *context)
{
    (void)store, (void)is_kept, (void)context;
}
