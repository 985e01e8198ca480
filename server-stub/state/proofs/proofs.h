/* Proofs: was a message sent by the device in whose name it is?
 *
 * Each device proves its messages with the key of its certificate and the
 * controller's order key (proto/proof.h).  Whoever has the broker alone can
 * hold messages back and send none.  A device that proved one message proves
 * all that follow.  A fleet from before proofs takes messages without one from
 * devices that never sent one, until its operator refuses them.
 *
 * A number counts once.  It is taken a second time where the broker tells what
 * it retains to a controller that connects. */
#ifndef FLOTILLA_SERVER_STATE_PROOFS_H
#define FLOTILLA_SERVER_STATE_PROOFS_H

#include <flotilla/proto.h>

#include "base/host/crypto.h"

struct flo_proofs;
struct flo_controller;
struct flo_fleet_certificate;

enum flo_proof_word {
    FLO_PROOF_GOOD,
    FLO_PROOF_AGAIN, /* good, and its number was used up: a retained one */
    FLO_PROOF_NONE,  /* and the device never gave one */
    FLO_PROOF_WRONG, /* none, one of another key, or of another text */
    FLO_PROOF_OLD,   /* a number that was used up */
    FLO_PROOF_WORDS
};
/* "good", "again", "none", "wrong" or "old". */
const char *flo_proof_word(enum flo_proof_word word);

/* ---- the control thread ---- */

FLO_MUST_USE int flo_proofs_new(struct flo_proofs **out, struct flo_err *err);
/* Keys of all devices: when the controller opens.  *has_keyless: there are
 * certificates whose key the store does not have. */
FLO_MUST_USE int flo_proofs_load(struct flo_controller *controller, bool *has_keyless,
                                 struct flo_err *err);
/* A new fleet: it refuses messages without a proof. */
FLO_MUST_USE int flo_proofs_begin(struct flo_controller *controller, struct flo_err *err);
void flo_proofs_free(struct flo_proofs *proofs);
/* The order key in use, and the one before (NULL: there is none): a device that
 * has not heard of the newer one proves with it. */
FLO_MUST_USE int flo_proofs_use(struct flo_proofs *proofs, const struct flo_key *order,
                                const struct flo_key *before_or_null, struct flo_err *err);
/* A certificate was issued; its device may prove with its key. */
FLO_MUST_USE int flo_proofs_issued(struct flo_proofs *proofs,
                                   const struct flo_fleet_certificate *certificate,
                                   struct flo_err *err);
/* A device holds this certificate: older keys prove nothing any more.
 * Telemetry comes by a connection of its own and may be judged later than what
 * was sent behind it: the key before this one, and the order key before the one
 * that the device knows, prove it until the first telemetry of the newer, and
 * for ten minutes at most. */
void flo_proofs_held(struct flo_proofs *proofs, const char *device, const char *serial);
/* Somebody said that the device is gone: the presence before that does not
 * count again. */
void flo_proofs_gone(struct flo_proofs *proofs, const char *device);
/* The broker tells again what it retains. */
void flo_proofs_again(struct flo_proofs *proofs);
/* Write the numbers of reports and presences that a batch takes, in its
 * transaction: they are used up with what they said.  *count: for
 * flo_proofs_settle, which says how the transaction ended. */
FLO_MUST_USE int flo_proofs_write_batch(struct flo_controller *controller, size_t *count,
                                        struct flo_err *err);
void flo_proofs_settle(struct flo_proofs *proofs, size_t count, bool is_committed);
/* Write numbers that are in memory alone, of so many devices; within a
 * transaction.  Those of events, answers and telemetry may wait: what
 * comes twice there counts once.  *is_done: none is left. */
FLO_MUST_USE int flo_proofs_write(struct flo_controller *controller, size_t count_max,
                                  bool *is_done, struct flo_err *err);
/* A device in whose name messages came without a proof since the last call;
 * `device` holds 37.  false: there is no other. */
bool flo_proofs_told(struct flo_proofs *proofs, char *device);
/* A device whose numbers are used up for long: its disk lost them, and a new
 * certificate begins them again.  As flo_proofs_told. */
bool flo_proofs_behind(struct flo_proofs *proofs, char *device);
/* How many of so many devices never proved a message. */
uint64_t flo_proofs_missing(struct flo_proofs *proofs, uint64_t devices);
/* The device was retired: its keys prove nothing any more. */
void flo_proofs_forget(struct flo_proofs *proofs, const char *device);

/* ---- any thread ---- */

/* Judge a message that stands on the topic of a device, and count it.  GOOD
 * and AGAIN: its number is used up, and *bytes becomes its length without the
 * proof, whose place the last brace takes.  `refuses`: NONE is told, too. */
enum flo_proof_word flo_proofs_judge(struct flo_proofs *proofs, enum flo_topic topic,
                                     const char *device, const char *path, const char *message,
                                     size_t *bytes, bool refuses);
uint64_t flo_proofs_count(struct flo_proofs *proofs, enum flo_proof_word word);

#endif
