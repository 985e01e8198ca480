/* The link to the controller, its receiving end. */
#ifndef FLOTILLA_AGENT_LINK_LINK_H
#define FLOTILLA_AGENT_LINK_LINK_H

#include "agent/shell/loop.h"

FLO_MUST_USE int flo_shell_link_open(struct flo_shell *shell,
                                     struct flo_err *err);

#endif
