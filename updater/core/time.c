/* Time and epoch: what the time is, and how far a signed order may advance the
 * epoch.  Pure; both are stored in the device record.
 *
 * Time.  A belief is a judgement with sources and their order (the table below).
 * A wrong clock of the controller must not cost a device its orders.  So what
 * statements say ranks below a clock that is known to be good, and never goes
 * beyond the certificates that the device needs to hear the next statement.
 *
 * Statements say the second highest time of different ones.  So one of next year
 * changes nothing, whatever the order of arrival.  The controller's own answer by
 * HTTPS corrects it in both directions.  Two sources vouch for that time: the
 * answer, and the dates of the certificate that it came under.
 *
 * Epoch.  It advances by one, and only when the document of trusted keys says
 * so.  Otherwise one order of a stolen key could invalidate all later ones. */
#include <flotilla/errors/cmd.h>
#include <flotilla/updater.h>

#define NEAR_MS UINT64_C(86400000) /* clocks that differ by less agree */

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static bool is_near(uint64_t a, uint64_t b)
{
    return larger(a, b) - smaller(a, b) <= NEAR_MS;
}

uint64_t flo_time_needed(uint64_t from_ms, uint64_t until_ms)
{
    uint64_t life_ms = until_ms > from_ms ? until_ms - from_ms : 0;

    return until_ms - smaller(NEAR_MS, life_ms / 8);
}

uint64_t flo_time_limit(const struct flo_time_sources *sources)
{
    uint64_t until_ms = sources->until_ms == 0 ? UINT64_MAX : sources->until_ms;
    bool is_kept = sources->is_synchronised && sources->clock_ms >= sources->least_ms;

    return is_kept ? smaller(sources->clock_ms, until_ms) : until_ms;
}

/* ---- the sources ---- */

static uint64_t known(const struct flo_time_sources *sources)
{
    return larger(sources->least_ms, sources->good_ms);
}

static uint64_t of_kernel(const struct flo_time_sources *sources)
{
    return sources->is_synchronised ? sources->clock_ms : 0;
}

static uint64_t of_own_clock(const struct flo_time_sources *sources)
{
    bool is_valid = sources->until_ms == 0 || sources->clock_ms < sources->until_ms;

    return is_valid && is_near(sources->clock_ms, sources->good_ms) ? sources->clock_ms : 0;
}

static uint64_t of_statements(const struct flo_time_sources *sources)
{
    return smaller(sources->said_ms, flo_time_limit(sources));
}

static uint64_t of_rtc(const struct flo_time_sources *sources)
{
    bool is_likely =
        sources->clock_ms >= known(sources) && sources->clock_ms <= flo_time_limit(sources);

    return is_likely ? sources->clock_ms : 0;
}

void flo_time_believe(const struct flo_time_sources *sources, struct flo_time_belief *out)
{
    /* The best one first.  A time of before the program was built says nothing. */
    static const struct {
        enum flo_time_source source;
        uint64_t (*says)(const struct flo_time_sources *sources);
    } table[] = {
        {FLO_TIME_KERNEL, of_kernel},
        {FLO_TIME_OWN, of_own_clock},
        {FLO_TIME_SAID, of_statements},
        {FLO_TIME_RTC, of_rtc},
    };

    for (size_t i = 0; i < FLO_COUNT(table); i++) {
        out->now_ms = table[i].says(sources);
        out->source = table[i].source;
        if (out->now_ms != 0 && out->now_ms >= sources->least_ms) {
            return;
        }
    }
    out->now_ms = known(sources);
    out->source = FLO_TIME_STORED;
}

/* ---- what statements say ---- */

bool flo_time_agrees(uint64_t at_ms, const struct flo_time_sources *sources)
{
    return at_ms >= sources->least_ms && is_near(at_ms, sources->clock_ms);
}

bool flo_time_claim(uint64_t *said_ms, uint64_t *claimed_ms, uint64_t at_ms, uint64_t limit_ms)
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
    if (second > *said_ms) {
        *said_ms = second;
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
