/* Plain rule: compares the shares of devices that are above their own past. */
#include <assert.h>
#include <math.h>

#include "server-stub/core/gate/slices/plain.h"
#include "server-stub/core/gate/statistics/series.h"

#define DEVICES_MIN 10
#define EVENTS_MIN 3
#define RATIO_MIN 1.5
#define POINT 0.01

static void add(struct flo_plain_arm *arm, bool is_above)
{
    arm->devices++;
    arm->above += is_above ? 1 : 0;
}

bool flo_plain_add(struct flo_plain_arm *arm, double d, uint32_t before, uint32_t after)
{
    if (before < 1 || after < 2) {
        return true;
    }
    if (!isfinite(d)) {
        return false;
    }
    add(arm, flo_difference_is_slow(d));
    return true;
}

bool flo_plain_add_errors(struct flo_plain_arm *arm, double events, double requests,
                          double past_events, double past_requests)
{
    if (!isfinite(events) || !isfinite(requests) || !isfinite(past_events) ||
        !isfinite(past_requests) || events < 0 || past_events < 0) {
        return false;
    }
    if (requests <= 0 || past_requests <= 0) {
        return true;
    }
    double rate = events / requests;
    double past = past_events / past_requests;
    add(arm, events >= EVENTS_MIN && rate >= RATIO_MIN * past && rate >= past + POINT);
    return true;
}

/* Tells whether at least `fifths` fifths of the arm's devices are far worse
 * than their own past. */
static bool is_share(const struct flo_plain_arm *arm, uint32_t fifths)
{
    assert(arm->above <= arm->devices && fifths <= 5);
    return (uint64_t)5 * arm->above >= (uint64_t)fifths * arm->devices;
}

enum flo_plain_verdict flo_plain_judge(const struct flo_plain_arm *updated,
                                       const struct flo_plain_arm *controls)
{
    if (updated->devices < DEVICES_MIN || !is_share(updated, 4)) {
        return FLO_PLAIN_OPEN;
    }
    if (controls->devices < DEVICES_MIN) {
        return FLO_PLAIN_PAUSE;
    }
    return is_share(controls, 1) ? FLO_PLAIN_EVERYWHERE : FLO_PLAIN_FAIL;
}
