/* The link to the controller, its receiving end. */
#ifndef FLOTILLA_AGENT_LINK_LINK_H
#define FLOTILLA_AGENT_LINK_LINK_H

#include "agent/shell/loop.h"

FLO_MUST_USE int flo_shell_link_open(struct flo_shell *shell, struct flo_err *err);
/* At times: where an order was not taken that may be taken now, have the broker
 * send desired and lists of orders once more. */
void flo_shell_link_ask_again(struct flo_shell *shell);

#endif
