/* Belief: decides which certificate authorities a device trusts in TLS.
 *
 * A trust statement that lists authorities decides alone, because root keys
 * signed it.  Without such a list, the controller's answer to a renewal adds
 * its authorities to the trusted ones and removes none.  The certificate in
 * that answer must come from an authority that was trusted before.  So a forged
 * answer cannot take a device away from its fleet. */
#ifndef FLOTILLA_AGENT_BELIEF_H
#define FLOTILLA_AGENT_BELIEF_H

#include "agent/shell/shell.h"

struct flo_belief {
    /* Number of the trust statement whose authorities are trusted. */
    uint64_t statement;
};

/* Trusts the authorities that the newest trust statement lists.  Returns true
 * when the trusted authorities changed, which is a reason to renew. */
bool flo_belief_of_statement(struct flo_belief *belief, const struct flo_shell *shell);
/* Checks the certificate in an answer to a renewal.
 * FLO_E_NET_TLS  no authority that this device trusts issued it */
FLO_MUST_USE int flo_belief_check(const struct flo_shell *shell, const char *certificate,
                                  struct flo_err *err);
/* Adds the authorities in an answer to the trusted ones.  `pems`: their text;
 * "": none.  Returns whether the trusted authorities changed. */
bool flo_belief_of_answer(const struct flo_shell *shell, const char *pems);

#endif
