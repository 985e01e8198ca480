/* Proof: a message of a device bears a code that only its key can make.
 *
 * A broker, or who took it, writes any text on any topic.  So the last member
 * of each message of a device is
 *
 *   ,"proof":"<8>.<16>.<14>.<32>"}
 *
 * in small hex: the begins of the ids of the controller's order key and of the
 * device's key, a number, and the code.  The code is the first half of
 * HMAC-SHA256 over topic, the three words before it, and the text before this
 * member.  Its secret comes from ECDH of the two keys and HKDF-SHA256 (RFC
 * 5869), so each end makes it alone, and nobody else does.  The topic names
 * fleet, device and channel.  The number only grows while the device has this
 * key: an old message is seen as such.  Pure. */
#ifndef FLOTILLA_PROTO_PROOF_H
#define FLOTILLA_PROTO_PROOF_H

#include <flotilla/base.h>

#include "base/host/crypto.h"

#define FLO_PROOF_BYTES 84 /* that a message grows by */
#define FLO_PROOF_CONTROLLER_TEXT 9
#define FLO_PROOF_DEVICE_TEXT 17
#define FLO_PROOF_NUMBER_MAX ((UINT64_C(1) << 56) - 1)

/* The two ends share it.  A secret: wipe it. */
struct flo_proof_key {
    uint8_t secret[FLO_DIGEST_BYTES];
    char controller[FLO_PROOF_CONTROLLER_TEXT];
    char device[FLO_PROOF_DEVICE_TEXT];
};
/* Fails as flo_key_agree. */
FLO_MUST_USE int flo_proof_key_device(const struct flo_key *device,
                                      const struct flo_public_key *controller,
                                      struct flo_proof_key *out, struct flo_err *err);
FLO_MUST_USE int flo_proof_key_controller(const struct flo_key *controller,
                                          const struct flo_public_key *device,
                                          struct flo_proof_key *out, struct flo_err *err);

/* Append a message, a JSON object with a member or more, and its proof. */
void flo_proof_add(const struct flo_proof_key *key, const char *topic, uint64_t number,
                   const char *message, size_t bytes, struct flo_buf *out);

/* A proof that a message says it has. */
struct flo_proof {
    char controller[FLO_PROOF_CONTROLLER_TEXT];
    char device[FLO_PROOF_DEVICE_TEXT];
    uint64_t number;
    uint8_t code[FLO_DIGEST_BYTES / 2];
    size_t before; /* bytes of the message before this member */
};
/* false: there is none at the end, or it has another form. */
bool flo_proof_find(const char *message, size_t bytes, struct flo_proof *out);
/* Is it of who has this key? */
bool flo_proof_holds(const struct flo_proof *proof, const struct flo_proof_key *key,
                     const char *topic, const char *message);

#endif
