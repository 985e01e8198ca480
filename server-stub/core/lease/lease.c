/* Lease: state machine of follower, candidate and leader. */
#include <assert.h>
#include <stddef.h>

#include "server-stub/core/lease/lease.h"

static enum flo_lease_do ask(struct flo_lease *lease, enum flo_lease_do what, uint64_t now_ms)
{
    lease->is_asking = true;
    lease->asked_ms = now_ms;
    return what;
}

static bool is_over(const struct flo_lease *lease, uint64_t now_ms)
{
    bool is_free = !lease->row.is_held || lease->row.epoch == 0;
    uint64_t since_ms = now_ms - lease->seen_ms;

    return lease->is_late ? since_ms >= FLO_LEASE_LATE_MS : is_free || since_ms >= FLO_LEASE_MS;
}

static enum flo_lease_do lead(struct flo_lease *lease, uint64_t now_ms)
{
    return lease->is_asking || now_ms - lease->asked_ms < FLO_LEASE_BEAT_MS
               ? FLO_LEASE_WAIT
               : ask(lease, FLO_LEASE_BEAT, now_ms);
}

static enum flo_lease_do follow(struct flo_lease *lease, uint64_t now_ms)
{
    if (lease->has_seen && !lease->is_unfit && is_over(lease, now_ms)) {
        lease->state = FLO_LEASE_CANDIDATE;
        return ask(lease, FLO_LEASE_TAKE, now_ms);
    }
    return lease->has_seen && now_ms - lease->asked_ms < FLO_LEASE_LOOK_MS
               ? FLO_LEASE_WAIT
               : ask(lease, FLO_LEASE_LOOK, now_ms);
}

enum flo_lease_do flo_lease_next(struct flo_lease *lease, uint64_t now_ms)
{
    switch (lease->state) {
    case FLO_LEASE_LEADER:
        return lead(lease, now_ms);
    case FLO_LEASE_ENDED:
        return FLO_LEASE_STOP;
    case FLO_LEASE_FOLLOWER:
    case FLO_LEASE_CANDIDATE:
        break;
    }
    return lease->is_asking ? FLO_LEASE_WAIT : follow(lease, now_ms);
}

/* Handles the answer that has the row.  A follower's wait for a new beat starts
 * when the answer arrives: the leader wrote the beat before that. */
void flo_lease_saw(struct flo_lease *lease, const struct flo_lease_row *row, uint64_t now_ms)
{
    assert(lease->is_asking && lease->state == FLO_LEASE_FOLLOWER);
    lease->is_asking = false;
    if (!lease->has_seen || lease->row.epoch != row->epoch || lease->row.beat != row->beat) {
        lease->seen_ms = now_ms;
    }
    lease->row = *row;
    lease->has_seen = true;
}

void flo_lease_changed(struct flo_lease *lease, bool is_changed)
{
    assert(lease->is_asking && lease->state != FLO_LEASE_FOLLOWER);
    lease->is_asking = false;
    switch (lease->state) {
    case FLO_LEASE_CANDIDATE:
        lease->state = is_changed ? FLO_LEASE_LEADER : FLO_LEASE_FOLLOWER;
        lease->epoch = is_changed ? lease->row.epoch + 1 : 0;
        lease->has_seen = false;
        break;
    case FLO_LEASE_LEADER:
        lease->state = is_changed ? FLO_LEASE_LEADER : FLO_LEASE_ENDED;
        break;
    default:
        return;
    }
    if (is_changed) {
        lease->until_ms = lease->asked_ms + FLO_LEASE_MS - FLO_LEASE_MARGIN_MS;
    }
}

/* A request without an answer is due again.  A candidate's claim may have changed
 * the row, so the candidate waits as if another controller had claimed it. */
void flo_lease_unanswered(struct flo_lease *lease)
{
    lease->is_asking = false;
    lease->asked_ms -= FLO_LEASE_BEAT_MS;
    if (lease->state == FLO_LEASE_CANDIDATE) {
        lease->state = FLO_LEASE_FOLLOWER;
        lease->has_seen = false;
    }
}

bool flo_lease_leads(const struct flo_lease *lease, uint64_t now_ms)
{
    return lease->state == FLO_LEASE_LEADER && now_ms < lease->until_ms;
}

bool flo_lease_may_wait(const struct flo_lease *lease, bool is_commit, uint64_t now_ms)
{
    uint64_t held_ms = is_commit ? FLO_LEASE_MS - FLO_LEASE_MARGIN_MS : FLO_LEASE_UNHEARD_MS;
    uint64_t heard_ms = lease->until_ms - (FLO_LEASE_MS - FLO_LEASE_MARGIN_MS);

    return lease->state == FLO_LEASE_LEADER && now_ms < heard_ms + held_ms;
}

/* ---- who is there ---- */

const char *flo_lease_place_word(enum flo_lease_place place)
{
    static const char *const words[FLO_LEASE_PLACES] = {
        [FLO_LEASE_LEADS] = "leads",
        [FLO_LEASE_STANDS] = "stands-by",
        [FLO_LEASE_WAITS] = "waits",
        [FLO_LEASE_SILENT] = "silent",
    };

    return words[place];
}

enum flo_lease_place flo_lease_place_of(bool is_holder, bool leads, bool is_lost, uint64_t age_ms)
{
    if (is_holder) {
        return leads ? FLO_LEASE_LEADS : FLO_LEASE_WAITS;
    }
    return is_lost || age_ms >= FLO_LEASE_SILENT_MS ? FLO_LEASE_SILENT : FLO_LEASE_STANDS;
}
