/* Link: receives the controller's messages over the MQTT connection. */
#ifndef FLOTILLA_AGENT_LINK_LINK_H
#define FLOTILLA_AGENT_LINK_LINK_H

#include "agent/shell/loop.h"

FLO_MUST_USE int flo_shell_link_open(struct flo_shell *shell, struct flo_err *err);
/* Makes the broker send the `desired` document and the lists of orders again,
 * if an order that was refused before may be accepted now.  The caller calls it
 * from time to time. */
void flo_shell_link_ask_again(struct flo_shell *shell);

#endif
