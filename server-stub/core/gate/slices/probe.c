/* Probe: which sites ask for more devices, and which devices follow. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "server-stub/core/gate/slices/probe.h"
#include "server-stub/core/gate/statistics/series.h"

#define UPDATED_MAX 2
#define CONTROLS_MIN 2

/* By site; of a site the controls first, by their difference. */
static int by_site(const void *a, const void *b)
{
    const struct flo_probe_device *one = a;
    const struct flo_probe_device *other = b;

    if (one->site != other->site) {
        return one->site < other->site ? -1 : 1;
    }
    if (one->is_updated != other->is_updated) {
        return one->is_updated - other->is_updated;
    }
    return one->d < other->d ? -1
           : one->d > other->d
               ? 1
               : (one->device > other->device) - (one->device < other->device);
}

static double median(const struct flo_probe_device *sorted, size_t count)
{
    return count % 2 == 1 ? sorted[count / 2].d
                          : (sorted[count / 2 - 1].d + sorted[count / 2].d) / 2;
}

/* The devices of a site, sorted. */
static bool is_far(const struct flo_probe_device *devices, size_t count,
                   struct flo_probe_wish *out)
{
    size_t controls = 0;

    while (controls < count && !devices[controls].is_updated) {
        controls++;
    }
    size_t updated = count - controls;
    if (updated < 1 || updated > UPDATED_MAX || controls < CONTROLS_MIN) {
        return false;
    }
    *out = (struct flo_probe_wish){.site = devices->site,
                                   .device = devices[controls].device,
                                   .least = devices[controls].d -
                                            median(devices, controls)};
    return flo_difference_is_slow(out->least);
}

static void add(struct flo_probe_wish *out, size_t *count,
                const struct flo_probe_wish *one)
{
    size_t at = *count;

    while (at > 0 && out[at - 1].least < one->least) {
        at--;
    }
    if (at == FLO_SCAN_PROBES_MAX) {
        return;
    }
    *count += *count < FLO_SCAN_PROBES_MAX ? 1 : 0;
    memmove(&out[at + 1], &out[at], (*count - 1 - at) * sizeof(*out));
    out[at] = *one;
}

size_t flo_probe_find(struct flo_probe_device *devices, size_t count,
                      struct flo_probe_wish *out)
{
    size_t found = 0;

    qsort(devices, count, sizeof(*devices), by_site);
    for (size_t at = 0; at < count;) {
        struct flo_probe_wish one;
        size_t end = at;
        while (end < count && devices[end].site == devices[at].site) {
            assert(isfinite(devices[end].d));
            end++;
        }
        if (devices[at].site != 0 && is_far(&devices[at], end - at, &one)) {
            add(out, &found, &one);
        }
        at = end;
    }
    return found;
}

size_t flo_probe_pick(flo_probe_rank *rank, const void *context, size_t count,
                      uint32_t take, size_t *out)
{
    uint32_t ranks[FLO_SCAN_PROBE_DEVICES];
    size_t used = 0;

    assert(take <= FLO_SCAN_PROBE_DEVICES);
    for (size_t i = 0; i < count; i++) {
        uint32_t mine = rank(context, i);
        size_t at = used;
        while (at > 0 && ranks[at - 1] > mine) {
            at--;
        }
        if (mine == FLO_PROBE_NOT || at == take) {
            continue;
        }
        used += used < take ? 1 : 0;
        for (size_t k = used - 1; k > at; k--) {
            ranks[k] = ranks[k - 1];
            out[k] = out[k - 1];
        }
        ranks[at] = mine;
        out[at] = i;
    }
    return used;
}
