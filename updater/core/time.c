/* Trusted time and epoch: how far a signed order may advance them.  Pure; both
 * are stored in the device record.
 *
 * Time.  If trusted time is too early, an old order passes the time check, but
 * its sequence number refuses it.  If it is too late, all later orders are
 * expired, forever.  So one claim alone changes nothing.  Trusted time is the
 * second highest claim, from different orders or the peer's certificate.  An
 * order dated a year ahead is only noted, and the next honest one counts.  The
 * second highest value does not depend on the order of arrival.  No claim
 * counts beyond the limit of a second source: a synchronised clock, or the end
 * of the peer's certificate.
 *
 * Epoch.  It advances by one, and only when the document of trusted keys says
 * so.  Otherwise one order of a stolen key could invalidate all later ones. */
#include <flotilla/errors/cmd.h>
#include <flotilla/updater.h>

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t flo_time_limit(const struct flo_time_sources *sources)
{
    if (sources->is_synchronised) {
        return sources->clock_ms;
    }
    return sources->peer_until_ms != 0 ? sources->peer_until_ms : UINT64_MAX;
}

bool flo_time_claim(uint64_t *trusted_ms, uint64_t *claimed_ms, uint64_t at_ms, uint64_t limit_ms)
{
    uint64_t second = at_ms;
    bool is_new = false;

    if (at_ms > *claimed_ms) {
        second = *claimed_ms;
        *claimed_ms = at_ms;
        is_new = true;
    } else if (at_ms == *claimed_ms) {
        return false; /* the claim is probably from the same order, received twice */
    }
    second = smaller(second, limit_ms);
    if (second > *trusted_ms) {
        *trusted_ms = second;
        is_new = true;
    }
    return is_new;
}

int flo_epoch_admit(uint32_t stored, uint32_t trusted, uint32_t epoch, struct flo_err *err)
{
    uint32_t held = stored != 0 ? stored : trusted;

    if (epoch < held) {
        return flo_fail(err, FLO_E_CMD_EPOCH, "epoch %u is older than %u", epoch, held);
    }
    if (epoch == held || (epoch == trusted && epoch - held == 1)) {
        return 0;
    }
    flo_fail(err, FLO_E_CMD_EPOCH, "epoch %u, held is %u, and the trusted keys say %u", epoch, held,
             trusted);
    return flo_err_fix(err, "look who signs orders: epochs move by one, with "
                            "the list of trusted keys");
}
