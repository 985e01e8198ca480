/* Order admission: checks that an order is for this device and has not expired,
 * and sorts errors by their cause. */
#include <assert.h>
#include <string.h>

#include <flotilla/agent.h>
#include <flotilla/errors/cmd.h>
#include <flotilla/errors/engine.h>
#include <flotilla/errors/infer.h>
#include <flotilla/errors/io.h>
#include <flotilla/errors/probe.h>
#include <flotilla/errors/rest.h>
#include <flotilla/plural.h>

int flo_agent_order_admit(const struct flo_order *order, const char *device,
                          const char (*groups)[FLO_NAME_MAX + 1], size_t group_count,
                          const struct flo_agent_time *time, struct flo_err *err)
{
    uint64_t ahead_ms_max =
        time->is_synchronised ? FLO_ORDER_AHEAD_SYNCHRONISED_MS : FLO_ORDER_AHEAD_MS;

    assert(group_count == 0 || groups != NULL);
    if (!flo_scope_holds(&order->scope, device, groups, group_count)) {
        return flo_fail(err, FLO_E_CMD_SCOPE, "order %s: this device is not in its scope",
                        order->id);
    }
    if (order->op == FLO_ORDER_DEPLOY && flo_digest_is_zero(&order->release)) {
        return flo_fail(err, FLO_E_CMD_FORMAT, "order %s: its release is a digest of zeros",
                        order->id);
    }
    if (order->expires_at_ms <= time->trusted_ms) {
        return flo_fail(err, FLO_E_CMD_EXPIRED, "order %s: expired %llu s ago", order->id,
                        (unsigned long long)((time->trusted_ms - order->expires_at_ms) / 1000));
    }
    if (time->clock_ms != 0 && order->issued_at_ms > time->clock_ms &&
        order->issued_at_ms - time->clock_ms > ahead_ms_max) {
        uint64_t days = (order->issued_at_ms - time->clock_ms) / 86400000;
        return flo_fail(err, FLO_E_CMD_FUTURE, "order %s: issued %llu day%s from now", order->id,
                        (unsigned long long)days, flo_s(days));
    }
    return 0;
}

static bool is_in(int code, const char *const *groups, size_t count)
{
    const char *id = flo_error_id(code);

    for (size_t i = 0; i < count; i++) {
        if (strncmp(id, groups[i], strlen(groups[i])) == 0) {
            return true;
        }
    }
    return false;
}

bool flo_agent_is_verdict(int code)
{
    static const char *const groups[] = {"cmd.", "sig.", "meta.", "target.", "not."};

    return is_in(code, groups, FLO_COUNT(groups));
}

enum flo_denial_cause flo_agent_denial_cause(int code)
{
    static const char *const groups[] = {"probe.", "model.", "gguf.", "engine.", "soak."};

    switch (code) {
    case 0:
    case FLO_E_PROBE_UNSURE:
        return FLO_DENIAL_ALLOWED;
    case FLO_E_PROBE_SPEED:
        return FLO_DENIAL_SPEED;
    case FLO_E_PROBE_MEMORY:
    case FLO_E_ENGINE_KILLED: /* a killed engine counts as one that needs too much memory */
        return FLO_DENIAL_MEMORY;
    default:
        break;
    }
    return is_in(code, groups, FLO_COUNT(groups)) ? FLO_DENIAL_FAULT : FLO_DENIAL_ALLOWED;
}

bool flo_agent_is_runtimes_fault(int code)
{
    return code != 0 && strncmp(flo_error_id(code), "runtime.", 8) == 0;
}

bool flo_agent_lacks(int code)
{
    return code == FLO_E_MEMORY || code == FLO_E_DESCRIPTORS;
}

bool flo_agent_blames_serving(int code)
{
    switch (code) {
    case 0:
    case FLO_E_INFER_PARAM:
    case FLO_E_INFER_TOO_LONG:
    case FLO_E_INFER_BUSY:
    case FLO_E_INFER_MODEL:
    case FLO_E_INFER_NO_API:
    case FLO_E_INFER_CANCELLED:
    case FLO_E_INFER_QUOTA:
    case FLO_E_INFER_GUARD:
    case FLO_E_INFER_GUARD_FAILED:
    case FLO_E_REST_TOO_LARGE:
        return false; /* such a result does not count against the release on trial */
    default:
        return true;
    }
}
