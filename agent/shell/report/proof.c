/* Proofs: finds the key with which this device proves its messages, and numbers
 * the proofs in increasing order. */
#include <stdio.h>
#include <string.h>

#include "agent/shell/report/memory.h"
#include "agent/shell/report/proof.h"

/* Number of bits of the counter in a proof's number.
 *
 * A proof's number is a time of the device in milliseconds, and a counter
 * within that millisecond.  So it is above all earlier numbers even if
 * outbox.db was lost.  A used time is stored every AHEAD_MS, because the clock
 * may be set back.  If it is set back by less before a restart, numbers may
 * repeat until the clock reaches the last used time. */
#define COUNT_BITS 10
#define MS_MAX (FLO_PROOF_NUMBER_MAX >> (COUNT_BITS + 1))
#define AHEAD_MS 60000
#define VALUE "proof"

static int make_key(struct flo_shell_proof *proof, const struct flo_identity *identity,
                    const struct flo_trust_key *order, struct flo_err *err)
{
    FLO_CLEANUP(flo_key_cleanup) struct flo_key *key = NULL;
    struct flo_public_key controller;

    FLO_TRY(flo_public_key_parse(order->pem, strlen(order->pem), &controller, err));
    FLO_TRY(flo_key_load(identity->key_file, &key, err));
    return flo_proof_key_device(key, &controller, &proof->key, err);
}

/* Finds the proof key for the device's present pair and the controller's key.
 * Returns false when there is none. */
static bool look_at_key(struct flo_shell_proof *proof, const struct flo_identity *identity)
{
    const struct flo_pair *pair = &identity->pairs.list[identity->pair];
    struct flo_trust_key order;
    struct flo_err err = {0};

    if (identity->trust == NULL || !flo_trust_key_with(identity->trust, FLO_ROLE_ORDER, &order)) {
        return false;
    }
    if (strcmp(proof->of_order, order.keyid) != 0 ||
        strcmp(proof->of_pair, pair->facts.key.keyid) != 0) {
        snprintf(proof->of_order, sizeof(proof->of_order), "%s", order.keyid);
        snprintf(proof->of_pair, sizeof(proof->of_pair), "%s", pair->facts.key.keyid);
        proof->has_key = make_key(proof, identity, &order, &err) == 0;
        if (!proof->has_key) {
            flo_log_err(FLO_LOG_ERROR, "proof", &err);
        }
    }
    return proof->has_key;
}

static uint64_t next_number(struct flo_shell *shell)
{
    struct flo_shell_proof *proof = &shell->report->proof;
    uint64_t clock_ms = flo_shell_clock_ms(shell);
    uint64_t now_ms = clock_ms < MS_MAX ? clock_ms : 0; /* a time out of range counts as 0 */

    if (proof->number == 0) {
        int64_t stored = flo_values_number(shell->db, VALUE);
        if (stored > 0 && (uint64_t)stored >= now_ms) {
            proof->number = ((uint64_t)stored + AHEAD_MS) << COUNT_BITS;
        }
    }
    proof->number++;
    if (proof->number >> COUNT_BITS < now_ms) {
        proof->number = now_ms << COUNT_BITS;
    }
    if (proof->stored_ms == 0 || proof->number >> COUNT_BITS >= proof->stored_ms + AHEAD_MS) {
        proof->stored_ms = (proof->number >> COUNT_BITS) + 1;
        flo_values_set_number(shell->db, VALUE, (int64_t)proof->stored_ms);
    }
    return proof->number;
}

bool flo_shell_prove(struct flo_shell *shell, const char *topic, const char *text, size_t bytes,
                     struct flo_buf *out)
{
    if (!look_at_key(&shell->report->proof, &shell->identity)) {
        return false;
    }
    flo_proof_add(&shell->report->proof.key, topic, next_number(shell), text, bytes, out);
    return !out->failed;
}
