/* Proof: adds to each message of this device a proof of its origin
 * (proto/proof.h). */
#ifndef FLOTILLA_AGENT_PROOF_H
#define FLOTILLA_AGENT_PROOF_H

#include "agent/shell/device/device.h"

/* Appends the message with its proof to `out`.  Returns false when no order key
 * is trusted or memory is lacking; then `out` must not be used. */
bool flo_shell_prove(struct flo_shell *shell, const char *topic, const char *text, size_t bytes,
                     struct flo_buf *out);

#endif
