/* Sites: comparison by site, for updated devices that are at few sites.
 *
 * A shock of a site (its network, its heat, its shift) moves all its devices.
 * Where updated devices are at few sites and the controls at others, such a
 * shock looks like the release.  When whole sites were updated, a site counts
 * as one device.  Pure. */
#ifndef FLOTILLA_SERVER_STATISTICS_SITES_H
#define FLOTILLA_SERVER_STATISTICS_SITES_H

#include "server-stub/core/gate/statistics/series.h"

#define FLO_SITES_MIN 5 /* sites that each arm needs when sites count as devices */

enum flo_sites {
    FLO_SITES_SPREAD, /* devices are compared, not sites; nothing changes */
    /* sites are compared: one difference remains for each site and arm */
    FLO_SITES_JOINED,
    FLO_SITES_FEW /* there are too few sites to compare, so no difference remains */
};
/* Decides how a segment's differences are compared, and sorts them by
 * `site`. */
enum flo_sites flo_sites_look(struct flo_difference *items, size_t count);
/* Merges sorted differences into one for each site and arm.  Differences
 * without a site stay.  Returns how many remain. */
size_t flo_sites_merge(struct flo_difference *items, size_t count);
/* Sorts the differences, and merges them where whole sites were updated.
 * *count gets the number of differences that remain. */
enum flo_sites flo_sites_join(struct flo_difference *items, size_t *count);

#endif
