/* Whom a device believes in TLS.
 *
 * The authorities that a trust statement lists are believed, and no others:
 * root keys say so.  Where none lists any, the controller's answer to a renewal
 * adds its own to those that are believed, and takes none away; and the
 * certificate in it is by one that was believed before.  So who forged one
 * answer turns no device from its fleet. */
#ifndef FLOTILLA_AGENT_BELIEF_H
#define FLOTILLA_AGENT_BELIEF_H

#include "agent/shell/shell.h"

struct flo_belief {
    /* Number of the statement whose authorities are believed. */
    uint64_t statement;
};

/* After a statement, and at the start.  true: others are believed than before,
 * which is a reason to renew. */
bool flo_belief_of_statement(struct flo_belief *belief, const struct flo_shell *shell);
/* FLO_E_NET_TLS: the certificate is by nobody whom this device believes. */
FLO_MUST_USE int flo_belief_check(const struct flo_shell *shell, const char *certificate,
                                  struct flo_err *err);
/* `pems`: the authorities of an answer, ""  if it has none. */
bool flo_belief_of_answer(const struct flo_shell *shell, const char *pems);

#endif
