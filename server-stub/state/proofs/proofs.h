/* Proofs: checks that a message was sent by the device in whose name it is.
 *
 * Each device proves its messages with the key of its certificate and the
 * controller's order key (proto/proof.h).  Somebody who owns only the broker
 * can hold messages back, but cannot forge any.  Once a device proved a
 * message, all its later ones need a proof.  A fleet that is older than proofs
 * accepts messages without one from devices that never sent one, until its
 * operator refuses them.  Each message number is accepted once.  The only
 * exception: a broker sends its retained messages again to a controller that
 * connects. */
#ifndef FLOTILLA_SERVER_STATE_PROOFS_H
#define FLOTILLA_SERVER_STATE_PROOFS_H

#include <flotilla/proto.h>

#include "base/host/crypto.h"

struct flo_proofs;
struct flo_controller;
struct flo_fleet_certificate;

enum flo_proof_word {
    FLO_PROOF_GOOD,
    /* the proof is good, but its number was used: the broker sent a retained
     * message again */
    FLO_PROOF_AGAIN,
    FLO_PROOF_NONE, /* the message has no proof, and its device never proved one */
    /* the message lacks a proof though its device proved one before, or the
     * proof does not fit key or text */
    FLO_PROOF_WRONG,
    FLO_PROOF_OLD, /* a used number */
    FLO_PROOF_WORDS
};
/* Returns "good", "again", "none", "wrong" or "old". */
const char *flo_proof_word(enum flo_proof_word word);

/* ---- the control thread ---- */

FLO_MUST_USE int flo_proofs_new(struct flo_proofs **out, struct flo_err *err);
/* Loads the keys of all devices when the controller opens.  *has_keyless is
 * true if the store has certificates without their key. */
FLO_MUST_USE int flo_proofs_load(struct flo_controller *controller, bool *has_keyless,
                                 struct flo_err *err);
/* Sets the policy of a new fleet, which refuses messages without a proof. */
FLO_MUST_USE int flo_proofs_begin(struct flo_controller *controller, struct flo_err *err);
void flo_proofs_free(struct flo_proofs *proofs);
/* Sets the order key in use, and the previous one or NULL.  A device that does
 * not know the newer key yet proves with the previous one. */
FLO_MUST_USE int flo_proofs_use(struct flo_proofs *proofs, const struct flo_key *order,
                                const struct flo_key *before_or_null, struct flo_err *err);
/* Adds the key of a certificate that was issued now.  From now on the device
 * may prove messages with this key. */
FLO_MUST_USE int flo_proofs_issued(struct flo_proofs *proofs,
                                   const struct flo_fleet_certificate *certificate,
                                   struct flo_err *err);
/* Notes that a device uses this certificate, so that its older keys are no
 * longer accepted.  Telemetry comes by a connection of its own, and may arrive
 * later than other messages that were sent after it.  For telemetry the
 * previous key and the older order key therefore stay accepted.  This ends with
 * the first telemetry that uses the newer ones, and after ten minutes at
 * most. */
void flo_proofs_held(struct flo_proofs *proofs, const char *device, const char *serial);
/* Notes that the device was reported gone, so that an older presence message is
 * not accepted again. */
void flo_proofs_gone(struct flo_proofs *proofs, const char *device);
/* Notes that the broker will send its retained messages again, because the
 * controller subscribes. */
void flo_proofs_again(struct flo_proofs *proofs);
/* Writes the numbers of the reports and presences of a batch, in the batch's
 * transaction.  So a number is used up together with its message.  The caller
 * passes *count to flo_proofs_settle with the result of the transaction. */
FLO_MUST_USE int flo_proofs_write_batch(struct flo_controller *controller, size_t *count,
                                        struct flo_err *err);
void flo_proofs_settle(struct flo_proofs *proofs, size_t count, bool is_committed);
/* Writes message numbers that are only in memory, of at most count_max devices,
 * within a transaction.  Numbers of events, answers and telemetry may wait,
 * because a repetition of those counts once.  *is_done is true when no number
 * is left. */
FLO_MUST_USE int flo_proofs_write(struct flo_controller *controller, size_t count_max,
                                  bool *is_done, struct flo_err *err);
/* Removes from the list a device in whose name messages without a proof came
 * since the last call.  Writes its id to `device`, which holds 37 bytes.
 * Returns false if the list is empty. */
bool flo_proofs_told(struct flo_proofs *proofs, char *device);
/* Removes from the list the next device that must ask for a certificate.  Its
 * messages have had used numbers for a long time: its disk lost the last number,
 * and a new certificate restarts the numbers.  Or its key is not known here, and
 * the renewal shows whose it is.  Writes the device's id to `device`, which holds 37
 * bytes.  Returns false if the list is empty. */
bool flo_proofs_behind(struct flo_proofs *proofs, char *device);
/* Returns how many of the fleet's `devices` devices never proved a message. */
uint64_t flo_proofs_missing(struct flo_proofs *proofs, uint64_t devices);
/* Forgets a retired device, whose keys are no longer accepted. */
void flo_proofs_forget(struct flo_proofs *proofs, const char *device);

/* ---- any thread ---- */

/* Checks a message on a topic of a device, and counts the result.  For GOOD and
 * AGAIN the message's number is used up.  The closing brace then replaces the
 * proof at the message's end, and *bytes becomes the new length.  With
 * `refuses`, a device with a message without proof (NONE) is reported as
 * well. */
enum flo_proof_word flo_proofs_judge(struct flo_proofs *proofs, enum flo_topic topic,
                                     const char *device, const char *path, const char *message,
                                     size_t *bytes, bool refuses);
uint64_t flo_proofs_count(struct flo_proofs *proofs, enum flo_proof_word word);

#endif
