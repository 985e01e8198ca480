/* Memory: requests for trust statements, and what their answers said.  It is not
 * for others. */
#ifndef FLOTILLA_AGENT_TRUST_MEMORY_H
#define FLOTILLA_AGENT_TRUST_MEMORY_H

#include "agent/shell/trust/trust.h"

struct flo_shell_trust {
    struct flo_https *fetch; /* request for trust statements in progress; NULL: none */
    struct event *timer;     /* timer of the next request for trust statements */
    /* time before which the device does not request trust statements for a
     * reason that strangers can cause */
    uint64_t doubt_ms;
    /* Highest order number that the controller has issued, and the time of its
     * answer by HTTPS; 0: not known. */
    uint64_t order_number, order_number_ms;
    /* time since which an order with a number far above the others waits for that
     * answer; 0: none waits */
    uint64_t leap_ms;
    /* called after an answer of the controller; NULL: nothing is called */
    void (*then)(struct flo_shell *shell);
};

#endif
