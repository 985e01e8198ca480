/* Proofs of this device's messages (proto/proof.h). */
#ifndef FLOTILLA_AGENT_PROOF_H
#define FLOTILLA_AGENT_PROOF_H

#include "agent/shell/device/device.h"

/* Append the message with its proof.  false: there is none, because no order
 * key is trusted or memory lacks; then nothing may be read in `out`. */
bool flo_shell_prove(struct flo_shell *shell, const char *topic, const char *text, size_t bytes,
                     struct flo_buf *out);

#endif
