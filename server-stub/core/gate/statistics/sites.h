/* Sites: updated devices that stand together.
 *
 * A shock of a site (its network, its heat, its shift) moves all its devices.
 * Where updated devices stand at few sites and the controls at others, such a
 * shock looks like the release.  When whole sites were updated, a site counts
 * as one device.  Pure. */
#ifndef FLOTILLA_SERVER_STATISTICS_SITES_H
#define FLOTILLA_SERVER_STATISTICS_SITES_H

#include "server-stub/core/gate/statistics/series.h"

#define FLO_SITES_MIN 5 /* in each arm, when sites count as devices */

enum flo_sites {
    FLO_SITES_SPREAD, /* devices are compared, as they came */
    FLO_SITES_JOINED, /* one difference for each site and arm is left */
    FLO_SITES_FEW     /* no comparison: nothing is left */
};
/* Look at the differences of a segment, whose `site` is set, and order them by
 * it. */
enum flo_sites flo_sites_look(struct flo_difference *items, size_t count);
/* One difference for each site and arm, of ordered ones; those without a site
 * stay.  Returns how many are left. */
size_t flo_sites_merge(struct flo_difference *items, size_t count);
/* Both: reorder them, and join them where whole sites were updated. */
enum flo_sites flo_sites_join(struct flo_difference *items, size_t *count);

#endif
