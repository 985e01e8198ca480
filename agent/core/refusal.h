/* Refusal: decides how a device answers an order that it does not accept. Pure.
 * Some errors are about the order.  Others, such as a full disk, are only about
 * this device.  Then the order is not decided, and the controller must send it
 * again. */
#ifndef FLOTILLA_AGENT_CORE_REFUSAL_H
#define FLOTILLA_AGENT_CORE_REFUSAL_H

#include <flotilla/base.h>

struct flo_refusal_facts {
    int code;         /* error code (FLO_E_...) for which the order is not accepted */
    bool has_id;      /* the order could be read, so its id is known */
    bool is_answered; /* the order was answered before, and the answer is stored */
    /* the order's epoch is the one after that of the device's trust
     * statement */
    bool is_next_epoch;
    /* for an order number that jumps ahead, and a time that does not fit: the
     * controller has been asked since the order first arrived */
    bool was_asked;
    bool clock_is_good; /* the device's own clock says the time (FLO_TIME_OWN) */
};
enum flo_refusal_answer {
    FLO_REFUSAL_SILENT,
    FLO_REFUSAL_REPEATS, /* send the stored answer again */
    FLO_REFUSAL_REFUSES, /* with the error */
};
struct flo_refusal {
    enum flo_refusal_answer answer;
    bool is_told;     /* the device reports the refusal as a security event */
    bool comes_again; /* nothing was decided */
    bool is_degraded; /* the cause is in this device, which is degraded now */
    /* the order failed because of its time, so the device checks whether its
     * clock has been set since */
    bool sees_clock;
    /* the device requests trust statements, because one that has not arrived
     * yet may name the order's signer */
    bool doubts;
    /* the device asks the controller whether it has issued order numbers as
     * high as this one, and what the time is */
    bool asks;
};
void flo_agent_refuse(const struct flo_refusal_facts *facts, struct flo_refusal *out);

#endif
