/* Memory: requests for trust statements, and what their answers said.  It is not
 * for others. */
#ifndef FLOTILLA_AGENT_TRUST_MEMORY_H
#define FLOTILLA_AGENT_TRUST_MEMORY_H

#include "agent/core/silence.h"
#include "agent/shell/trust/trust.h"

struct flo_shell_newest {
    struct flo_silence silence;
    struct flo_newest word; /* waits for its path or document; number 0: none does */
    bool is_direct;         /* the word came from the controller by HTTPS */
    struct flo_newest_path path;
    struct flo_digest desired;  /* flo_newest_desired of the document that is here */
    char keys[FLO_DIGEST_TEXT]; /* digest of the order keys that signed the numbers */
    uint64_t bundle;            /* number of the newest bundle that was taken; 0: none had one */
    uint64_t kept_ms;           /* when the word was stored last; 0: it shall be */
    uint64_t ask_ms;            /* time before which the controller is not asked again */
    struct event *looker;
    void (*ask)(struct flo_shell *shell); /* asks the controller by HTTPS */
};
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
    /* when an order whose time does not fit asked for that answer last; 0: none did */
    uint64_t time_ms;
    struct flo_shell_newest newest;
    /* called after an answer of the controller; NULL: nothing is called */
    void (*then)(struct flo_shell *shell);
};
/* Tells whether the cause of an error is this device.  A document may be valid
 * then, and is requested again, or comes again. */
bool flo_shell_trust_is_ours(int code);

#endif
