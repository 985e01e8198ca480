/* Bundle reader, stand-in for a build without bundles. */
#include <flotilla/release.h>

#include "base/left_out.h"

int flo_bundle_read(const char *path, const struct flo_trust *trust,
                    const struct flo_bundle_handlers *handlers, struct flo_bundle_facts *facts,
                    struct flo_err *err)
{
    (void)path, (void)trust, (void)handlers, (void)facts;
    return flo_left_out(err, "bundles", "FLOTILLA_BUNDLES");
}
