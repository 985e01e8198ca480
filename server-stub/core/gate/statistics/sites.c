/* Sites: see sites.h. */
#include <assert.h>
#include <stdlib.h>

#include "server-stub/core/gate/statistics/sites.h"

/* whole sites are compared from this mean number of updated devices per site
 * on */
#define TOGETHER 2

/* Compares two devices by site; at a site, updated devices come first. */
static int by_site(const void *a, const void *b)
{
    const struct flo_difference *one = a;
    const struct flo_difference *other = b;

    if (one->site != other->site) {
        return one->site < other->site ? -1 : 1;
    }
    return (int)other->is_treated - (int)one->is_treated;
}

/* Sorts by site.  The input is often sorted already. */
static void sort_by_site(struct flo_difference *items, size_t count)
{
    size_t at = 1;

    while (at < count && by_site(&items[at - 1], &items[at]) <= 0) {
        at++;
    }
    if (at < count) {
        qsort(items, count, sizeof(*items), by_site);
    }
}

struct counters {
    size_t treated;       /* number of updated devices that have a site */
    size_t treated_alone; /* number of updated devices at sites without a control */
    size_t sites_treated;
    size_t sites_control;
    size_t sites_other; /* number of sites that have only controls */
};

static void add_site(struct counters *counters, size_t treated, size_t controls)
{
    assert(treated + controls > 0);
    counters->treated += treated;
    counters->treated_alone += controls == 0 ? treated : 0;
    counters->sites_treated += treated > 0 ? 1 : 0;
    counters->sites_control += controls > 0 ? 1 : 0;
    counters->sites_other += treated == 0 ? 1 : 0;
}

/* Returns the index after the run of items that begins at `from`.  A run is all
 * devices of a site or, if is_arm, those of one arm of a site. */
static size_t end_of(const struct flo_difference *items, size_t count, size_t from, bool is_arm)
{
    size_t end = from + 1;

    assert(from < count);
    while (end < count && items[end].site == items[from].site &&
           (!is_arm || items[end].is_treated == items[from].is_treated)) {
        end++;
    }
    return end;
}

static struct counters counters_of(const struct flo_difference *items, size_t count)
{
    struct counters counters = {0};

    for (size_t at = 0; at < count;) {
        size_t end = end_of(items, count, at, false);
        size_t treated = 0;
        for (size_t i = at; i < end; i++) {
            treated += items[i].is_treated ? 1 : 0;
        }
        if (items[at].site != 0) {
            add_site(&counters, treated, end - at - treated);
        }
        at = end;
    }
    return counters;
}

/* Returns true if sites are to be compared.  That is so if the updated devices
 * are at few sites, with several each, and controls are at others.  It is also
 * so if most updated devices have no control at their site. */
static bool is_by_site(const struct counters *counters)
{
    bool is_few = counters->sites_treated < FLO_SITES_MIN &&
                  counters->treated >= TOGETHER * counters->sites_treated &&
                  counters->sites_other > 0;

    return counters->treated > 0 && counters->sites_other > 0 &&
           (is_few || (2 * counters->treated_alone > counters->treated &&
                       counters->treated >= TOGETHER * counters->sites_treated));
}

size_t flo_sites_merge(struct flo_difference *items, size_t count)
{
    size_t used = 0;

    for (size_t at = 0; at < count;) {
        size_t end = items[at].site == 0 ? at + 1 : end_of(items, count, at, true);
        double sum = 0;
        for (size_t i = at; i < end; i++) {
            sum += items[i].d;
        }
        items[used] = items[at];
        items[used++].d = sum / (double)(end - at);
        at = end;
    }
    return used;
}

enum flo_sites flo_sites_look(struct flo_difference *items, size_t count)
{
    assert(items != NULL || count == 0);
    if (count == 0) {
        return FLO_SITES_SPREAD;
    }
    sort_by_site(items, count);
    struct counters counters = counters_of(items, count);
    if (!is_by_site(&counters)) {
        return FLO_SITES_SPREAD;
    }
    return counters.sites_treated < FLO_SITES_MIN || counters.sites_control < FLO_SITES_MIN
               ? FLO_SITES_FEW
               : FLO_SITES_JOINED;
}

enum flo_sites flo_sites_join(struct flo_difference *items, size_t *count)
{
    enum flo_sites sites = flo_sites_look(items, *count);

    *count = sites == FLO_SITES_FEW      ? 0
             : sites == FLO_SITES_JOINED ? flo_sites_merge(items, *count)
                                         : *count;
    return sites;
}
