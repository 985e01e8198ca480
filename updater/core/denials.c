/* Blocked releases: which releases a device refuses, and who blocked them.
 *
 * The functions are pure.  A release has at most one entry for normal orders
 * and one for emergency orders.  The entry is the strongest decision about the
 * release so far, so it does not matter in which order, or how often, decisions
 * arrive. */
#include <assert.h>
#include <string.h>

#include "updater/core/eras.h"

static struct flo_denial *find(struct flo_slots *slots, const struct flo_digest *release,
                               uint8_t lane)
{
    assert(slots->denial_count <= FLO_DENIALS_MAX);
    for (uint32_t i = 0; i < slots->denial_count; i++) {
        struct flo_denial *denial = &slots->denials[i];
        if (denial->lane == lane && flo_digest_equal(&denial->release, release)) {
            return denial;
        }
    }
    return NULL;
}

/* Returns how strong a cause for blocking is, from 0 to 4; a stronger cause
 * replaces a weaker one. */
static unsigned weight(enum flo_denial_cause cause)
{
    switch (cause) {
    case FLO_DENIAL_ALLOWED:
        return 0;
    case FLO_DENIAL_SPEED:
        return 1;
    case FLO_DENIAL_MEMORY:
        return 2;
    case FLO_DENIAL_ORDERED:
        return 3;
    case FLO_DENIAL_FAULT:
    case FLO_DENIAL_CAUSES:
        break;
    }
    return 4;
}

/* Tells whether the new decision `said` about a release replaces the stored
 * one.  A fault on this device always wins, then the newer order.  If both are
 * equally new, an allowing order wins, because it allows all releases up to the
 * number that it names. */
static bool is_stronger(const struct flo_denial *said, const struct flo_denial *known)
{
    if (known->cause == FLO_DENIAL_FAULT || said->cause == FLO_DENIAL_FAULT) {
        return said->cause == FLO_DENIAL_FAULT;
    }
    if (said->statement != known->statement) {
        return said->statement > known->statement;
    }
    if (known->cause == FLO_DENIAL_ALLOWED) {
        return false;
    }
    return said->cause == FLO_DENIAL_ALLOWED || weight(said->cause) > weight(known->cause);
}

static void merge(struct flo_denial *known, const struct flo_denial *said)
{
    assert(flo_digest_equal(&known->release, &said->release));
    assert(known->lane == said->lane);
    if (is_stronger(said, known)) {
        known->cause = said->cause;
    }
    if (said->statement > known->statement) {
        known->statement = said->statement;
    }
    if (said->number > known->number) {
        known->number = said->number;
    }
}

bool flo_slots_hold(const struct flo_slots *slots, const struct flo_digest *release)
{
    return flo_digest_equal(release, &slots->current) ||
           flo_digest_equal(release, &slots->previous) ||
           flo_digest_equal(release, &slots->candidate) ||
           flo_digest_equal(release, &slots->baseline);
}

/* Returns whether entry a is dropped before b: first an allowed release that is
 * in no slot, then the release with the lowest number.  An unknown number
 * counts as the highest. */
static bool goes_before(const struct flo_slots *slots, const struct flo_denial *a,
                        const struct flo_denial *b)
{
    bool a_is_idle = a->cause == FLO_DENIAL_ALLOWED && !flo_slots_hold(slots, &a->release);
    bool b_is_idle = b->cause == FLO_DENIAL_ALLOWED && !flo_slots_hold(slots, &b->release);

    if (a_is_idle != b_is_idle) {
        return a_is_idle;
    }
    return a->number - 1 < b->number - 1; /* an unknown number, 0, wraps to the highest */
}

/* Removes the entry that allows a release, because the operator at the device
 * blocks the release now.  An entry from an order newer than `statement`
 * stays. */
static void disallow(struct flo_slots *slots, const struct flo_digest *release, uint64_t statement)
{
    struct flo_denial *known = find(slots, release, 0);

    if (known != NULL && known->cause == FLO_DENIAL_ALLOWED && known->statement <= statement) {
        flo_slots_denial_remove(slots, (uint32_t)(known - slots->denials));
    }
}

void flo_slots_denial_remove(struct flo_slots *slots, uint32_t index)
{
    struct flo_denial *list = slots->denials;

    assert(index < slots->denial_count);
    slots->denial_count--;
    memmove(&list[index], &list[index + 1], (slots->denial_count - index) * sizeof(list[0]));
    memset(&list[slots->denial_count], 0, sizeof(list[0]));
}

/* Inserts an entry into the list of blocked and allowed releases, which is
 * sorted by release.  So the list is the same in whatever order the entries
 * arrive. */
static void insert(struct flo_slots *slots, const struct flo_denial *said)
{
    struct flo_denial *list = slots->denials;
    uint32_t at = slots->denial_count++;

    assert(at < FLO_DENIALS_MAX);
    while (at > 0) {
        int order = memcmp(list[at - 1].release.bytes, said->release.bytes, 32);
        if (order < 0 || (order == 0 && list[at - 1].lane < said->lane)) {
            break;
        }
        list[at] = list[at - 1];
        at--;
    }
    list[at] = *said;
}

/* Drops the least important entry of a full list.  Returns true when it blocked
 * a release; then slots->folded (releases up to this number are blocked) is
 * raised to that release's number. */
static bool make_room(struct flo_slots *slots)
{
    uint32_t first = 0;

    assert(slots->denial_count == FLO_DENIALS_MAX);
    for (uint32_t i = 1; i < slots->denial_count; i++) {
        if (goes_before(slots, &slots->denials[i], &slots->denials[first])) {
            first = i;
        }
    }
    struct flo_denial gone = slots->denials[first];
    uint64_t up_to = gone.number;

    flo_slots_denial_remove(slots, first);
    if (gone.cause == FLO_DENIAL_ALLOWED) {
        return false;
    }
    if (up_to == 0 && slots->floor > 0) {
        /* The blocked release has no known number.  So all releases below the
         * highest number ever committed here are blocked: too many are better
         * than too few. */
        up_to = slots->floor - 1;
    }
    if (up_to > slots->folded) {
        slots->folded = up_to;
    }
    return true;
}

bool flo_slots_deny(struct flo_slots *slots, const struct flo_denial *said)
{
    bool is_folded = false;
    struct flo_denial *known;

    assert(said->cause < FLO_DENIAL_CAUSES);
    if (flo_digest_is_zero(&said->release)) {
        return false;
    }
    known = find(slots, &said->release, said->lane);
    if (known != NULL) {
        merge(known, said);
        return false;
    }
    if (slots->denial_count == FLO_DENIALS_MAX) {
        is_folded = make_room(slots);
    }
    insert(slots, said);
    return is_folded;
}

enum flo_denial_cause flo_slots_denial(const struct flo_slots *slots,
                                       const struct flo_digest *release, uint64_t number)
{
    bool is_listed = false;

    assert(slots->denial_count <= FLO_DENIALS_MAX);
    if (flo_digest_is_zero(release)) {
        return FLO_DENIAL_ALLOWED;
    }
    for (uint32_t i = 0; i < slots->denial_count; i++) {
        const struct flo_denial *denial = &slots->denials[i];
        if (!flo_digest_equal(&denial->release, release)) {
            continue;
        }
        is_listed = true;
        if (denial->cause != FLO_DENIAL_ALLOWED) {
            return denial->cause;
        }
    }
    if (is_listed || number == 0 || number > slots->folded || flo_slots_hold(slots, release)) {
        return FLO_DENIAL_ALLOWED;
    }
    /* The release is blocked because its number is at most `folded`, which
     * replaces lost entries without their causes. */
    return FLO_DENIAL_ORDERED;
}

bool flo_slots_is_denied(const struct flo_slots *slots, const struct flo_digest *release,
                         uint64_t number)
{
    return flo_slots_denial(slots, release, number) != FLO_DENIAL_ALLOWED;
}

/* ---- what the device says itself ---- */

/* Returns the number of the release to block if it is the candidate, the
 * current release, or the one that the newest order assigns, else 0. */
static uint64_t number_of(const struct flo_slots *slots, const struct flo_denial_here *said)
{
    if (flo_digest_equal(&said->release, &slots->candidate)) {
        return slots->candidate_number;
    }
    if (flo_digest_equal(&said->release, &slots->current)) {
        return slots->current_number;
    }
    return flo_digest_equal(&said->release, &slots->stated.target) ? said->assigned : 0;
}

bool flo_slots_deny_here(struct flo_slots *slots, const struct flo_device *device,
                         const struct flo_denial_here *said)
{
    bool is_by_hand = said->order == 0;
    struct flo_denial denial = {.release = said->release,
                                .number = number_of(slots, said),
                                .statement = is_by_hand ? device->top : said->order,
                                .cause = said->cause};

    assert(said->cause != FLO_DENIAL_ALLOWED);
    if (said->cause == FLO_DENIAL_ORDERED && !is_by_hand) {
        return false;
    }
    if (is_by_hand) {
        disallow(slots, &denial.release, denial.statement);
    }
    return flo_slots_deny(slots, &denial);
}

bool flo_slots_allow_here(struct flo_slots *slots, const struct flo_device *device,
                          const struct flo_digest *release)
{
    const struct flo_denial said = {
        .release = *release, .statement = device->top, .cause = FLO_DENIAL_ALLOWED};

    if (!flo_slots_is_denied(slots, release, 0)) {
        return false;
    }
    (void)flo_slots_deny(slots, &said);
    return true;
}
