/* Slow: counts much slower devices; each is compared with its wave and its
 * site. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "server-stub/core/gate/slices/slow.h"
#include "server-stub/core/gate/statistics/numbers.h"
#include "server-stub/core/gate/statistics/robust.h"
#include "server-stub/core/gate/statistics/series.h"

#define CONTROLS_MIN 20
#define NEIGHBOURS_MIN 2
#define UPDATED_MIN 5
#define POINT 0.01
#define SITE_SMALL 64 /* up to this many devices are sorted by insertion */

/* ---- one wave ---- */

/* Compares two devices by site.  At a site, compared controls come first, in
 * the order of their differences. */
static int by_site(const void *a, const void *b)
{
    const struct flo_slow_device *one = a;
    const struct flo_slow_device *other = b;
    bool is_control = one->is_compared && !one->is_updated;
    bool is_other_control = other->is_compared && !other->is_updated;

    if (one->value != other->value) {
        return one->value < other->value ? -1 : 1;
    }
    if (is_control != is_other_control) {
        return is_control ? -1 : 1;
    }
    return is_control ? (one->d > other->d) - (one->d < other->d) : 0;
}

/* Returns the index after the devices of the site that begins at `from`. */
static size_t end_of_site(const struct flo_slow_device *devices, size_t count, size_t from)
{
    size_t end = from + 1;

    assert(from < count);
    while (end < count && devices[end].value == devices[from].value) {
        end++;
    }
    return end;
}

/* Insertion sort, for few devices or a nearly sorted array. */
static void insert(struct flo_slow_device *devices, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        struct flo_slow_device one = devices[i];
        size_t at = i;
        while (at > 0 && by_site(&devices[at - 1], &one) > 0) {
            devices[at] = devices[at - 1];
            at--;
        }
        devices[at] = one;
    }
}

/* Sorts by site.  Devices of a site are often adjacent; then each site is
 * sorted alone. */
static void sort_by_site(struct flo_slow_device *devices, size_t count)
{
    size_t at = 1;
    size_t end;

    while (at < count && devices[at - 1].value <= devices[at].value) {
        at++;
    }
    if (at < count) {
        qsort(devices, count, sizeof(*devices), by_site);
        return;
    }
    for (at = 0; at < count; at = end) {
        end = end_of_site(devices, count, at);
        if (end - at <= SITE_SMALL) {
            insert(&devices[at], end - at);
        } else {
            qsort(&devices[at], end - at, sizeof(*devices), by_site);
        }
    }
}

/* Returns the median of `count` sorted controls.  The control at index `except`
 * is left out; `except` = `count` leaves out none. */
static double middle_without(const struct flo_slow_device *sorted, size_t count, size_t except)
{
    size_t left = except < count ? count - 1 : count;
    size_t upper = left / 2;
    size_t lower = left % 2 == 1 ? upper : upper - 1;

    assert(left >= 1);
    upper += upper >= except ? 1 : 0;
    lower += lower >= except ? 1 : 0;
    return 0.5 * (sorted[lower].d + sorted[upper].d);
}

static void add(struct flo_slow_arm *arm, bool is_slow)
{
    arm->devices++;
    arm->slow += is_slow ? 1 : 0;
}

/* Counts the compared devices of one site.  Its compared controls come first in
 * `site`. */
static void add_site(struct flo_slow *slow, struct flo_slow_arm *last, uint32_t segment,
                     const struct flo_slow_device *site, size_t count, double centre)
{
    size_t controls = 0;

    assert(count > 0);
    while (controls < count && site[controls].is_compared && !site[controls].is_updated) {
        controls++;
    }
    for (size_t i = 0; i < count; i++) {
        size_t others = i < controls ? controls - 1 : controls;
        double level = centre;
        if (!site[i].is_compared || site[i].segment != segment) {
            continue;
        }
        if (site[i].value != 0 && others >= NEIGHBOURS_MIN) {
            level = fmax(centre, middle_without(site, controls, i < controls ? i : controls));
        }
        bool is_slow = flo_difference_is_slow(site[i].d - level);
        if (i < controls) {
            add(last, is_slow);
        } else {
            add(&slow->updated, is_slow);
        }
    }
}

bool flo_slow_add_wave(struct flo_slow *slow, uint32_t segment, struct flo_slow_device *devices,
                       size_t count, double *numbers)
{
    size_t controls = 0;

    for (size_t i = 0; i < count; i++) {
        if (devices[i].is_compared && !isfinite(devices[i].d)) {
            return false;
        }
        if (devices[i].is_compared && !devices[i].is_updated && devices[i].segment == segment) {
            numbers[controls++] = devices[i].d;
        }
    }
    if (controls < CONTROLS_MIN) {
        return true;
    }
    double centre = flo_median(numbers, controls);
    struct flo_slow_arm last = {0};
    sort_by_site(devices, count);
    for (size_t at = 0; at < count;) {
        size_t end = end_of_site(devices, count, at);
        add_site(slow, &last, segment, &devices[at], end - at, centre);
        at = end;
    }
    slow->controls.devices += last.devices;
    slow->controls.slow += last.slow;
    slow->last = last;
    return true;
}

/* ---- verdict ---- */

double flo_slow_share_now(const struct flo_slow *slow)
{
    assert(slow->last.slow <= slow->last.devices);
    return (double)(slow->last.slow + 1) / (double)(slow->last.devices + 1);
}

void flo_slow_judge(const struct flo_slow *slow, double alpha, double weight,
                    struct flo_slow_result *out)
{
    double updated = (double)slow->updated.devices;
    double controls = (double)slow->controls.devices;
    struct flo_beta_mixture mixture = {.a = 0.5,
                                       .b = 0.5,
                                       .hits = (double)slow->updated.slow,
                                       .misses = (double)slow->controls.slow};

    assert(alpha > 0 && weight > 0);
    assert(slow->updated.slow <= slow->updated.devices);
    assert(slow->controls.slow <= slow->controls.devices);
    *out = (struct flo_slow_result){.verdict = FLO_VERDICT_INCONCLUSIVE};
    if (slow->updated.devices == 0 || slow->controls.devices == 0) {
        return;
    }
    out->ln_e = flo_ln_cut(flo_mixture_above(&mixture, updated / (updated + controls)));
    double share = mixture.hits / updated;
    double others = mixture.misses / controls;
    double now = flo_slow_share_now(slow);
    if (slow->updated.devices >= UPDATED_MIN && slow->controls.devices >= CONTROLS_MIN &&
        out->ln_e >= -log(alpha * weight) && share - others >= POINT &&
        share >= FLO_SLOW_RATIO_MIN * others && share >= FLO_SLOW_RATIO_MIN * now) {
        out->verdict = FLO_VERDICT_FAIL;
    }
}
