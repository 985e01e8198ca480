/* Belief: decides which certificate authorities a device trusts in TLS.
 *
 * Where a trust statement lists authorities, those and no others are trusted,
 * because root keys signed the list.  Otherwise the controller's answer to a
 * renewal adds its own authorities to the trusted ones and removes none.  The
 * certificate in the answer must come from an authority that was trusted
 * before.  So a forged answer cannot take a device away from its fleet. */
#ifndef FLOTILLA_AGENT_BELIEF_H
#define FLOTILLA_AGENT_BELIEF_H

#include "agent/shell/shell.h"

struct flo_belief {
    /* Number of the trust statement whose authorities are in use. */
    uint64_t statement;
};

/* Takes the authorities that a statement lists, after a statement and at the
 * start.  true: the trusted authorities changed, which is a reason to renew. */
bool flo_belief_of_statement(struct flo_belief *belief, const struct flo_shell *shell);
/* Checks the certificate in an answer.  FLO_E_NET_TLS: no authority that this
 * device trusts issued it. */
FLO_MUST_USE int flo_belief_check(const struct flo_shell *shell, const char *certificate,
                                  struct flo_err *err);
/* Takes the authorities in an answer: `pems`, "" if there are none.  Returns
 * whether the trusted authorities changed. */
bool flo_belief_of_answer(const struct flo_shell *shell, const char *pems);

#endif
