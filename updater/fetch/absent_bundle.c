/* Bundle fetch, stand-in for an updater without bundles. */
#include "base/left_out.h"
#include "updater/fetch/fetch.h"

static int left_out(struct flo_err *err)
{
    return flo_left_out(err, "bundles", "FLOTILLA_BUNDLES");
}

int flo_fetch_bundle_look(const char *path, const struct flo_trust *trust,
                          const struct flo_digest *release, struct flo_offer *out,
                          struct flo_err *err)
{
    (void)path, (void)trust, (void)release, (void)out;
    return left_out(err);
}

int flo_fetch_bundle_take(struct flo_fetch *fetch, const char *path, const struct flo_trust *trust,
                          const struct flo_artifact *wanted, size_t wanted_count,
                          struct flo_err *err)
{
    (void)fetch, (void)path, (void)trust, (void)wanted, (void)wanted_count;
    return left_out(err);
}
