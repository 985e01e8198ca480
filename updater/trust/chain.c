/* Trust chain: checks whether a trust statement follows the one in use.
 *
 * The number increases by one.  So nobody can lock a fleet out by a jump, or
 * skip a statement that removes a key.  The epoch must increase by one when an
 * order or emergency key is removed, and may do so otherwise.  Sequence numbers
 * that a lost key used up no longer count in the new epoch. */
#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/meta.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/trust.h>

#include "updater/trust/trust.h"

/* Counts the valid signatures by keys of `signers` with one of `roles`.  Each
 * key counts once: an envelope has each keyid once, and an id is the hash of
 * its key. */
static int count_signatures(const struct flo_envelope *envelope, const struct flo_trust *signers,
                            unsigned roles, uint32_t *out, struct flo_err *err)
{
    struct flo_buf message = {.bytes_max = FLO_ENVELOPE_BYTES_MAX + 256};
    int rv = 0;

    *out = 0;
    flo_envelope_signed_bytes(envelope->type, envelope->body, envelope->body_bytes, &message);
    if (message.failed) {
        rv = flo_fail(err, FLO_E_MEMORY, "no memory to check a signature");
    }
    for (size_t i = 0; rv == 0 && i < envelope->signature_count; i++) {
        const struct trusted_key *key = flo_trust_find(signers, envelope->signatures[i].keyid);
        if (key == NULL || (key->roles & roles) == 0) {
            continue;
        }
        rv = flo_verify(&key->key, message.data, message.bytes, envelope->signatures[i].signature,
                        FLO_SIGNATURE_BYTES, err);
        if (rv == 0 && !flo_signature_is_low(envelope->signatures[i].signature)) {
            rv = flo_fail(err, FLO_E_SIG_FORMAT,
                          "s is above half the order: not the canonical form");
        }
        if (rv < 0) {
            flo_wrap(err, rv, "signatures[%zu]", i);
        } else {
            (*out)++;
        }
    }
    flo_buf_deinit(&message);
    return rv;
}

/* Returns how many keys of which role must sign the successor of `held`.
 *
 * An unsigned list has no root keys.  Its successor has its own, and a device
 * accepts it from its own controller only.  Devices that were enrolled with a
 * publisher's list also need that publisher's signature, so a controller alone
 * cannot choose the root. */
static uint32_t signers_of(const struct flo_trust *held, unsigned *role)
{
    *role = FLO_ROLE_ROOT;
    if (held->threshold > 0) {
        return held->threshold;
    }
    *role = FLO_ROLE_RELEASE;
    for (size_t i = 0; i < held->count; i++) {
        if ((held->keys[i].roles & FLO_ROLE_RELEASE) != 0) {
            return 1;
        }
    }
    return 0;
}

int flo_trust_count_up(const struct flo_trust *draft, const struct flo_trust *held,
                       struct flo_trust_counters *out, struct flo_err *err)
{
    struct flo_trust_counters counters = {.own_needed = draft->threshold};

    FLO_TRY(count_signatures(&draft->envelope, draft, FLO_ROLE_ROOT, &counters.own, err));
    if (held != NULL) {
        unsigned role;
        counters.held_needed = signers_of(held, &role);
        FLO_TRY(count_signatures(&draft->envelope, held, role, &counters.held, err));
    }
    *out = counters;
    return 0;
}

/* Returns a key from which `held` accepts orders and `next` does not, or NULL
 * when there is none. */
static const struct trusted_key *taken_away(const struct flo_trust *held,
                                            const struct flo_trust *next)
{
    const unsigned lanes[] = {FLO_ROLE_ORDER, FLO_ROLE_EMERGENCY};

    for (size_t i = 0; i < held->count; i++) {
        const struct trusted_key *key = &held->keys[i];
        const struct trusted_key *now = flo_trust_find(next, key->key.keyid);
        for (size_t j = 0; j < FLO_COUNT(lanes); j++) {
            if ((key->roles & lanes[j]) != 0 && (now == NULL || (now->roles & lanes[j]) == 0)) {
                return key;
            }
        }
    }
    return NULL;
}

uint32_t flo_trust_epoch_after(const struct flo_trust *held, const struct flo_trust *next)
{
    return held->epoch + (taken_away(held, next) != NULL ? 1 : 0);
}

static int check_epoch(const struct flo_trust *held, const struct flo_trust *next,
                       struct flo_err *err)
{
    const struct trusted_key *lost = taken_away(held, next);

    if (next->epoch < held->epoch || next->epoch - held->epoch > 1) {
        return flo_fail(err, FLO_E_TRUST_EPOCH, "trust statement %llu: epoch %u, held is %u",
                        (unsigned long long)next->number, next->epoch, held->epoch);
    }
    if (lost != NULL && next->epoch == held->epoch) {
        return flo_fail(err, FLO_E_TRUST_EPOCH,
                        "trust statement %llu takes the %s key %.16s away and "
                        "stays in epoch %u",
                        (unsigned long long)next->number,
                        flo_role_word(lost->roles & ~(unsigned)FLO_ROLE_RELEASE), lost->key.keyid,
                        next->epoch);
    }
    return 0;
}

static int check_signers(const struct flo_trust *held, const struct flo_trust *next,
                         struct flo_err *err)
{
    struct flo_trust_counters counters;

    FLO_TRY(flo_trust_count_up(next, held, &counters, err));
    if (counters.held < counters.held_needed) {
        return flo_fail(err, FLO_E_TRUST_THRESHOLD,
                        "trust statement %llu: %u of the %s keys of statement %llu signed "
                        "it, %u must",
                        (unsigned long long)next->number, counters.held,
                        held->threshold == 0 ? "release" : "root", (unsigned long long)held->number,
                        counters.held_needed);
    }
    return counters.own >= counters.own_needed
               ? 0
               : flo_fail(err, FLO_E_TRUST_THRESHOLD,
                          "trust statement %llu: %u of its own root keys "
                          "signed, it asks for %u",
                          (unsigned long long)next->number, counters.own, counters.own_needed);
}

int flo_trust_follows(const struct flo_trust *held, const struct flo_trust *next,
                      enum flo_trust_standing *out, struct flo_err *err)
{
    if (strcmp(held->fleet, next->fleet) != 0) {
        return flo_fail(err, FLO_E_META_FLEET, "trust statement for fleet %s, this is %s",
                        next->fleet, held->fleet);
    }
    if (next->number < held->number) {
        *out = FLO_TRUST_OLDER;
        return 0;
    }
    if (next->number == held->number) {
        *out = FLO_TRUST_SAME;
        return flo_digest_equal(&next->digest, &held->digest)
                   ? 0
                   : flo_fail(err, FLO_E_META_EQUIVOCATION,
                              "two trust statements have the number %llu",
                              (unsigned long long)held->number);
    }
    if (next->number - held->number > 1) {
        *out = FLO_TRUST_GAP;
        return 0;
    }
    FLO_TRY(check_signers(held, next, err));
    FLO_TRY(check_epoch(held, next, err));
    *out = FLO_TRUST_NEXT;
    return 0;
}
