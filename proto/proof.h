/* Proof: each message of a device has an authentication code (MAC) that only
 * its key can make.
 *
 * A broker, or whoever controls it, can publish any text on any topic.  So the
 * last member of each message of a device is
 *
 *   ,"proof":"<8>.<16>.<14>.<32>"}
 *
 * in lower-case hex: the first digits of the ids of the controller's order key
 * and of the device's key, a number, and the code.  The code is the first half
 * of HMAC-SHA256 over the topic, the first three fields, and the text before
 * this member.  The secret comes from ECDH of the two keys and HKDF-SHA256 (RFC
 * 5869), so only these two ends can compute it.  The topic names fleet, device
 * and channel.  The number always grows while the device has this key, so
 * replayed messages are detected.  All functions are pure. */
#ifndef FLOTILLA_PROTO_PROOF_H
#define FLOTILLA_PROTO_PROOF_H

#include <flotilla/base.h>

#include "base/host/crypto.h"

#define FLO_PROOF_BYTES 84 /* bytes that a proof adds to a message */
#define FLO_PROOF_CONTROLLER_TEXT 9
#define FLO_PROOF_DEVICE_TEXT 17
#define FLO_PROOF_NUMBER_MAX ((UINT64_C(1) << 56) - 1)

/* The key that device and controller share.  It is secret: callers wipe it. */
struct flo_proof_key {
    uint8_t secret[FLO_DIGEST_BYTES];
    char controller[FLO_PROOF_CONTROLLER_TEXT];
    char device[FLO_PROOF_DEVICE_TEXT];
};
/* Computes the shared key on the device.  Fails as flo_key_agree does. */
FLO_MUST_USE int flo_proof_key_device(const struct flo_key *device,
                                      const struct flo_public_key *controller,
                                      struct flo_proof_key *out, struct flo_err *err);
/* Computes the shared key on the controller.  Fails as flo_key_agree does. */
FLO_MUST_USE int flo_proof_key_controller(const struct flo_key *controller,
                                          const struct flo_public_key *device,
                                          struct flo_proof_key *out, struct flo_err *err);

/* Appends a message and its proof.  The message is a JSON object with at least
 * one member. */
void flo_proof_add(const struct flo_proof_key *key, const char *topic, uint64_t number,
                   const char *message, size_t bytes, struct flo_buf *out);

/* The proof in a message, which is not checked yet. */
struct flo_proof {
    char controller[FLO_PROOF_CONTROLLER_TEXT];
    char device[FLO_PROOF_DEVICE_TEXT];
    uint64_t number;
    uint8_t code[FLO_DIGEST_BYTES / 2];
    size_t before; /* bytes of the message that are before the proof */
};
/* Finds the proof in a message.  Returns false when it is missing or
 * malformed. */
bool flo_proof_find(const char *message, size_t bytes, struct flo_proof *out);
/* Tells whether the proof was made with this key. */
bool flo_proof_holds(const struct flo_proof *proof, const struct flo_proof_key *key,
                     const char *topic, const char *message);

#endif
