/* Link: receives messages by the MQTT connection to the controller. */
#ifndef FLOTILLA_AGENT_LINK_LINK_H
#define FLOTILLA_AGENT_LINK_LINK_H

#include "agent/shell/loop.h"

FLO_MUST_USE int flo_shell_link_open(struct flo_shell *shell, struct flo_err *err);
/* Has the broker send desired and the lists of orders once more, if an order
 * could not be taken before and may be taken now.  To be called from time to
 * time. */
void flo_shell_link_ask_again(struct flo_shell *shell);

#endif
