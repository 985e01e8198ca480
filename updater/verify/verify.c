/* Verification: turns signed bytes into a document that may take effect.
 *
 * No other file decides that a document may take effect.  The checks come in
 * this order: strict envelope, type, signature by a key of the role, and only
 * then the body.  The type is part of the signed bytes, so an order can never
 * pass for a release. */
#include "updater/trust/trust.h"

#include <stdlib.h>
#include <string.h>

#include <flotilla/errors/cmd.h>
#include <flotilla/errors/sig.h>
#include <flotilla/errors/target.h>
#include <flotilla/errors/trust.h>
#include <flotilla/newest.h>

#include "base/host/digest.h"

/* ---- signatures ---- */

static int unknown_key(const struct flo_envelope *envelope, const struct flo_trust *trust,
                       struct flo_err *err)
{
    const char *keyid = envelope->signatures[0].keyid;
    bool is_known = flo_trust_find(trust, keyid) != NULL;

    for (size_t i = 0; i < envelope->signature_count; i++) {
        if (flo_trust_is_key_revoked(trust, envelope->signatures[i].keyid)) {
            return flo_fail(err, FLO_E_SIG_REVOKED_KEY,
                            "it is signed by key %s, which trust statement "
                            "%llu revoked",
                            envelope->signatures[i].keyid,
                            (unsigned long long)flo_trust_number(trust));
        }
    }
    return flo_fail(err, FLO_E_SIG_UNKNOWN_KEY,
                    "no key of the right role among %zu signature%s; the first "
                    "is by %s, which %s",
                    envelope->signature_count, envelope->signature_count == 1 ? "" : "s", keyid,
                    is_known ? "has another role" : "nobody trusts here");
}

/* Refuses non-canonical signatures, because r||s and r||n-s both verify.  The
 * check comes after the check of trusted signatures, so that a damaged
 * signature is reported as sig.bad. */
static int check_low(const struct flo_envelope *envelope, struct flo_err *err)
{
    for (size_t i = 0; i < envelope->signature_count; i++) {
        if (!flo_signature_is_low(envelope->signatures[i].signature)) {
            return flo_fail(err, FLO_E_SIG_FORMAT,
                            "signatures[%zu]: s is above half the order: not "
                            "the canonical form",
                            i);
        }
    }
    return 0;
}

/* Requires a valid signature by a key with one of `roles`, and counts them.  An
 * invalid signature by such a key is refused, even if there is a valid one
 * too. */
static int check_signatures(const struct flo_envelope *envelope, const struct flo_trust *trust,
                            unsigned roles, const struct trusted_key **signer, uint32_t *count,
                            struct flo_err *err)
{
    struct flo_buf message = {.bytes_max = FLO_ENVELOPE_BYTES_MAX + 256};
    int rv = 0;

    *signer = NULL;
    *count = 0;
    flo_envelope_signed_bytes(envelope->type, envelope->body, envelope->body_bytes, &message);
    if (message.failed) {
        flo_buf_deinit(&message);
        return flo_fail(err, FLO_E_MEMORY, "no memory to check a signature");
    }
    for (size_t i = 0; rv == 0 && i < envelope->signature_count; i++) {
        const struct trusted_key *key = flo_trust_find(trust, envelope->signatures[i].keyid);
        if (key == NULL || (key->roles & roles) == 0) {
            continue;
        }
        rv = flo_verify(&key->key, message.data, message.bytes, envelope->signatures[i].signature,
                        FLO_SIGNATURE_BYTES, err);
        if (rv < 0) {
            rv = flo_wrap(err, rv, "signatures[%zu]", i);
        } else if ((*count)++ == 0) {
            *signer = key;
        }
    }
    flo_buf_deinit(&message);
    FLO_TRY(rv);
    return *signer == NULL ? unknown_key(envelope, trust, err) : check_low(envelope, err);
}

static int open_envelope(const void *data, size_t bytes, const char *type,
                         const struct flo_trust *trust, unsigned roles,
                         struct flo_envelope *envelope, const struct trusted_key **signer,
                         uint32_t *count, struct flo_err *err)
{
    FLO_TRY(flo_envelope_parse(data, bytes, type, envelope, err));
    int rv = check_signatures(envelope, trust, roles, signer, count, err);
    if (rv < 0) {
        flo_envelope_deinit(envelope);
    }
    return rv;
}

/* ---- documents ---- */

int flo_release_verify_draft(const void *data, size_t bytes, const struct flo_trust *trust,
                             struct flo_release_verified *out, struct flo_err *err)
{
    struct flo_envelope envelope = {0};
    const struct trusted_key *signer = NULL;

    FLO_TRY(open_envelope(data, bytes, FLO_TYPE_RELEASE, trust, FLO_ROLE_RELEASE, &envelope,
                          &signer, &out->publishers, err));
    int rv =
        flo_release_parse(envelope.body, envelope.body_bytes, trust->fleet, &out->release, err);
    if (rv < 0) {
        flo_envelope_deinit(&envelope);
        return rv;
    }
    flo_sha256(envelope.body, envelope.body_bytes, &out->digest);
    if (flo_trust_is_release_revoked(trust, &out->digest)) {
        rv = flo_fail(err, FLO_E_TARGET_REVOKED, "trust statement %llu revoked the release %s@%s",
                      (unsigned long long)flo_trust_number(trust), out->release.model,
                      out->release.version);
        flo_release_deinit(&out->release);
        flo_envelope_deinit(&envelope);
        return rv;
    }
    out->body = envelope.body;
    out->body_bytes = envelope.body_bytes;
    memcpy(out->keyid, signer->key.keyid, sizeof out->keyid);
    return 0;
}

int flo_release_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                       struct flo_release_verified *out, struct flo_err *err)
{
    FLO_TRY(flo_release_verify_draft(data, bytes, trust, out, err));
    uint32_t needed = flo_trust_publishers(trust, out->release.model);
    if (out->publishers >= needed) {
        return 0;
    }
    flo_fail(err, FLO_E_TRUST_PUBLISHERS,
             "%s@%s: %u of %u publishers signed it that trust statement %llu asks for",
             out->release.model, out->release.version, out->publishers, needed,
             (unsigned long long)flo_trust_number(trust));
    flo_release_verified_deinit(out);
    return FLO_E_TRUST_PUBLISHERS;
}

void flo_release_verified_deinit(struct flo_release_verified *verified)
{
    flo_release_deinit(&verified->release);
    free(verified->body);
    verified->body = NULL;
}

/* Checks that normal and emergency orders cannot be confused.  The id of an
 * emergency order begins with e-, and its number is the signer's clock. */
static int check_lane(const struct flo_order_verified *verified, struct flo_err *err)
{
    const struct flo_order *order = &verified->order;
    bool is_called = strncmp(order->id, "e-", 2) == 0;

    if (order->is_emergency ? !flo_order_fact(order->op)->is_emergency
                            : order->op == FLO_ORDER_ALLOW) {
        return flo_fail(err, FLO_E_SIG_UNKNOWN_KEY, "%s key %s may not ask for %s",
                        flo_role_word(verified->role), verified->keyid,
                        flo_order_op_word(order->op));
    }
    if (is_called != order->is_emergency) {
        return flo_fail(err, FLO_E_CMD_FORMAT,
                        "order %s by an %s key: e-... names emergency orders", order->id,
                        flo_role_word(verified->role));
    }
    return order->is_emergency && order->seq != order->issued_at_ms
               ? flo_fail(err, FLO_E_CMD_FORMAT, "order %s: its number %llu is not its time %llu",
                          order->id, (unsigned long long)order->seq,
                          (unsigned long long)order->issued_at_ms)
               : 0;
}

int flo_order_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                     struct flo_order_verified *out, struct flo_err *err)
{
    struct flo_envelope envelope = {0};
    struct flo_order_verified verified = {0};
    const struct trusted_key *signer = NULL;
    uint32_t count;

    FLO_TRY(open_envelope(data, bytes, FLO_TYPE_ORDER, trust, FLO_ROLE_ORDER | FLO_ROLE_EMERGENCY,
                          &envelope, &signer, &count, err));
    int rv =
        flo_order_parse(envelope.body, envelope.body_bytes, trust->fleet, &verified.order, err);
    flo_sha256(envelope.body, envelope.body_bytes, &verified.body);
    flo_envelope_deinit(&envelope);
    memcpy(verified.keyid, signer->key.keyid, sizeof verified.keyid);
    if (rv == FLO_E_CMD_FORMAT) {
        *out = verified;
    }
    FLO_TRY(rv);
    verified.role = (signer->roles & FLO_ROLE_ORDER) != 0 ? FLO_ROLE_ORDER : FLO_ROLE_EMERGENCY;
    verified.order.is_emergency = verified.role == FLO_ROLE_EMERGENCY;
    FLO_TRY(check_lane(&verified, err));
    *out = verified;
    return 0;
}

int flo_newest_verify(const void *data, size_t bytes, const struct flo_trust *trust,
                      struct flo_newest *out, struct flo_err *err)
{
    struct flo_envelope envelope = {0};
    const struct trusted_key *signer = NULL;
    uint32_t count;

    FLO_TRY(open_envelope(data, bytes, FLO_TYPE_NEWEST, trust, FLO_ROLE_ORDER, &envelope, &signer,
                          &count, err));
    int rv = flo_newest_parse(envelope.body, envelope.body_bytes, trust->fleet, out, err);
    flo_envelope_deinit(&envelope);
    return rv;
}
