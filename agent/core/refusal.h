/* Refusal: decides how a device handles an order that it does not accept.
 * Pure. Some errors are about the order itself. Others are about this device
 * only: then the order is not decided, and must be sent again. */
#ifndef FLOTILLA_AGENT_CORE_REFUSAL_H
#define FLOTILLA_AGENT_CORE_REFUSAL_H

#include <flotilla/base.h>

struct flo_refusal_facts {
    int code;           /* FLO_E_...: reason for the refusal */
    bool has_id;        /* the order could be read, so its id is known */
    bool is_answered;   /* the order was answered before, and the answer is stored */
    bool is_next_epoch; /* the order is of the epoch after that of the device's trust statement */
    bool was_asked; /* for a jump in numbers: the controller was asked since the order first came */
};
enum flo_refusal_answer {
    FLO_REFUSAL_SILENT,
    FLO_REFUSAL_REPEATS, /* the stored answer is sent again */
    FLO_REFUSAL_REFUSES, /* with the error */
};
struct flo_refusal {
    enum flo_refusal_answer answer;
    bool is_told;     /* the device reports it as a security event */
    bool comes_again; /* nothing was decided */
    bool is_degraded; /* this device is at fault, and degraded */
    bool sees_clock;  /* the clock may have been set since, so it is checked */
    /* a trust statement that has not arrived may name the order's signer:
     * request it */
    bool doubts;
    bool asks; /* the controller is asked whether it issued that many numbers */
};
void flo_agent_refuse(const struct flo_refusal_facts *facts, struct flo_refusal *out);

#endif
