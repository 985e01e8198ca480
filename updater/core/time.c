/* Earliest possible time, and the valid epoch: how far a signed order may move
 * both.  Pure; both are kept in the device record.
 *
 * Time.  A time that is too early lets an old order in, and the numbers of
 * subjects refuse that one.  A time that is too late makes every later order an
 * expired one, for ever.  One claim alone therefore moves nothing.  Trusted
 * time is the second highest claim, by different orders or by the certificate
 * of the peer.  One order that is dated a year ahead is noted, and the next
 * honest one counts.  The second highest of a set does not depend on the order
 * in which its members came.  No claim goes beyond the limit of a second
 * source: a synchronised clock, or the end of the peer's certificate.
 *
 * Epoch.  It moves by one, and only when the trusted keys' document says so:
 * one order of a stolen key must not end all later ones. */
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
        return false; /* the same order again, as far as can be told */
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
